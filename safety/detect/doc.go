// Package detect hears the person, not the story: it is the built-in detector
// of what people in crisis write, and of what a service must not say to them.
// It runs in the process, in microseconds, without a network call, and explains
// itself.
//
//	text ─► blocks ─► words ─► rules ─► frames ─┐
//	        (a        (leet,   (over    (not,   ├─► verdict
//	        sentence) hidden,  classes  years   │   (severity, categories,
//	                  other    of       ago, my │    findings, score)
//	                  scripts  words)   charac- │
//	                  undone)           ter…)   │
//	                     └──► linear model ─────┘
//
// The shortest program:
//
//	v, _ := detect.Default().Inspect(ctx, safety.Content{Text: []byte("i took all my pills")})
//	fmt.Println(v.Severity) // imminent
//
// # Rules
//
// A rule is a small grammar over classes of words, in a text file that a
// clinician can read: an id, a category, a severity in the order of C-SSRS, the
// reason for it, patterns, and sentences that it must and must not hear
// ([Detector.SelfTest]). All patterns of a window are evaluated with bit
// operations on all positions at once, so that the time is linear whatever the
// text. English, Spanish, French, Portuguese and German have grammars of their
// own; all are always tried. [New] compiles a pack of your own, [Live] exchanges
// it while it works, [Beside] watches a candidate.
//
// # Frames
//
// The words around a finding change what it means: a negation, another time,
// recovery, the story, a quotation, information, an accident, a figure of
// speech, a laugh. Each frame lowers severities by a fixed table, and none
// deletes what is imminent. Words that leave the game ("irl", "ooc", "not my
// character") take the story's frames back for the whole text.
//
// # Model
//
// A linear model over hashed runs of words and letters orders texts by
// [safety.Verdict]'s Score, which is no probability. It may lift a text that no
// rule knows, to low or moderate, to high only when it is far above; and where
// it is sure that nothing is meant, it lowers a moderate finding to low. A text
// that only the model heard carries the rule "model" and the category that its
// words vote for, which is right about every second time. Its weights are
// rebuilt from the committed corpus and hashed counts by a test.
//
// # Conversations
//
// A [Trajectory] remembers what was said of weight in a conversation, without
// its text: single lines that mean little together may mean much, and a sentence
// sent in pieces is heard. Only time lowers it.
//
// # Limits
//
// A verdict is a screening signal, not an assessment: text can never clear a
// person of risk, and None says only that nothing was found. The grammars were
// written and measured by engineers on texts of their own and on public weakly
// labelled forums; a clinician must review grades and texts before real use. It
// hears little of what is said without any of the words of danger, little in
// other languages than its five, and an abuser's, a child's or a dialect's words
// less well than those it was written in. README.md beside this file states what
// was measured, on what. It is not a medical device.
package detect
