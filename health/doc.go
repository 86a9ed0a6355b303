// Package health says what is well.
package health
