// Package metrics counts what happened.
package metrics
