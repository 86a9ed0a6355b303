// Package demo is a small, honest stand-in for the TTA services.
package demo
