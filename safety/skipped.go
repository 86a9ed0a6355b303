package safety

// Why something was not looked at, or not wholly. These are the values of
// [Verdict.Skipped] and [Observation.Skipped] that this package gives; they are
// few and fixed, so that they can label a metric. A [NotInspected] rule gives
// its own reason.
const (
	SkippedNotInspected    = "not inspected"    // no guard, or no inspector, stood there
	SkippedInspectorFailed = "inspector failed" // it returned an error, panicked, or took too long
	SkippedTooLarge        = "too large"        // longer than what is held for judging; the first part was judged
	SkippedBinary          = "binary"           // no text: an image, a sound, a binary message
	SkippedCoding          = "coding"           // a Content-Encoding or charset that we cannot decode, or broken data in it
	SkippedMalformed       = "malformed"        // broken or too deeply nested JSON, form, multipart; judged as far as possible as text
	SkippedStream          = "stream"           // an event stream, passed uncut
	SkippedBudget          = "budget"           // the memory for held bodies was used up
	SkippedCredential      = "credential"       // the value of a password, token or key, by its name; where the body came in a coding it counts as inspected
	SkippedPartial         = "partial"          // a range of a representation: its beginning or end is not there
)
