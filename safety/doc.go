// Package safety looks at what is said, both ways: what a person says to a
// service, and what the service says back.
//
//	person ──► Guard ──► service      delivered at every severity, annotated;
//	             │                    help goes into the reply; a human is told
//	person ◄── Guard ◄── service      judged; what would do harm is replaced
//	             │
//	             ├─ Inspector  what is found in a text          (safety/detect, or yours)
//	             ├─ Policy     what follows from it             (a table)
//	             ├─ Sessions   the level of a conversation      (memory, or a shared store)
//	             ├─ Book       what is said, and where to turn  (data files)
//	             ├─ Auditor    what happened                    (safety/audit, or yours)
//	             └─ Escalator  who is told                      (yours)
//
// The shortest program:
//
//	guard := &safety.Guard{Inspector: detect.Default()}
//	http.ListenAndServe("localhost:8080", guard.Wrap(service))
//
// # What it promises
//
// A person's words are delivered. There is no setting that blocks them: to be
// cut off for having said that one wants to die teaches not to say it.
//
// Nothing passes silently. Everything that passes is counted, by
// [Guard.Observe], as looked at or as skipped for a reason; where a verdict was
// owed and could not be had, that is recorded too. No header claims that
// something was checked which was not.
//
// What fails, fails towards help. An Inspector that errs, panics or takes too
// long makes the verdict "unknown": the message is delivered, the reply names
// where help is.
//
// No text is kept: not in verdicts, events, observations, levels or errors.
//
// # What it is not
//
// It is a screening aid, not a medical device. A text can show a danger and can
// never clear one. It calls no emergency service. The built-in texts and
// numbers must be read by a clinician, and the numbers verified, before they
// are relied on: see [Resource.VerifiedOn].
//
// # Conversations
//
// A verdict of high or above raises the level of the conversation, for half an
// hour at each level; only time lowers it. [Guard.Level] tells it without reading
// a body, so that a host can let that conversation go first. An Inspector that is
// a [Follower] may raise it where no single message is grave.
//
// # How text is found
//
// Of a JSON message the decoded string values are judged, at the paths of
// [Guard.Fields] or everywhere but in credentials, each by itself; and then all
// of them together, so that a sentence cut over two fields is found. The whole
// counts only if it says more than its parts did. Forms, multipart bodies, plain
// text, gzip, deflate and zstd, UTF-16 and Latin-1 are read likewise. A JSON
// document that is broken or nested deeper than 64 levels is judged as one text
// and counted as malformed; of several that follow each other all are judged. A
// form is read as JSON too where it looks like it, and what in it is no
// NAME=VALUE is judged as a text. What is forwarded is always the original, byte
// for byte.
//
// What a person says in a coding or charset that cannot be read (br, three layers
// of gzip) is delivered with the severity "unknown", and the reply's headers name
// the standing help: once in a Cooldown for each conversation, and with every
// reply where no conversation is known. Nothing is put into the body then: a client
// that always writes so would read of nothing else. A service's reply in such a
// coding passes and is counted; ask it for [Codings] only.
//
// Paths, queries and headers are not judged, and neither, yet, are event streams:
// they pass at once and are counted as skipped.
package safety
