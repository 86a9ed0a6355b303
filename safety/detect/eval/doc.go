// Package eval measures a detector on labelled texts: recall, false alarms,
// average precision and the area under the ROC curve, for each category,
// severity and kind of text.
//
//	cases, err := eval.Read("corpus.jsonl", file)
//	report, err := eval.Measure(ctx, detect.Default(), cases)
//	fmt.Println(report)
//
// It reads two forms. One is JSON lines with the members text, label, source,
// cat, severity, lang, and optionally direction and session. The other is the
// form of our own corpus, in which a line "@ en crisis suicidal_ideation 3"
// says what all lines below it are.
package eval
