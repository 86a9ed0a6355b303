// Package detect hears the person, not the story: it is the built-in detector
// of what people in crisis write, and of what a service must not say to them.
package detect
