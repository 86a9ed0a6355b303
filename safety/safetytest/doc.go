// Package safetytest has stand-ins for what a [safety.Guard] works with: an
// Inspector that says what it was told to, a log that remembers what was
// recorded and of what a human was told, and a look at what the person saw.
//
//	script := safetytest.Says(map[string]safety.Verdict{
//		"i want to die": safetytest.Found(safety.High, safety.SuicidalIdeation),
//	})
//	log := new(safetytest.Log)
//	guard := &safety.Guard{Inspector: script, Auditor: log, Escalator: log}
//
// With them a test says what should follow from a verdict, without depending on
// what the built-in detector makes of a sentence.
package safetytest
