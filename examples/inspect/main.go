// Command inspect says what the detector hears in each line.
//
// It reads JSON lines, one text each, and writes a verdict for each in the same
// order:
//
//	$ echo '{"text": "i took all my pills"}' | inspect
//	{"severity":4,"score":0.98,"categories":["suicidal_ideation"],"language":"en","findings":[...]}
//
// A line is {"text", "direction": "request" or "response", "session"}. Lines
// with the same session are one conversation in order, and their verdicts carry
// a session_severity; lines without are judged alone.
//
//	inspect -eval FILE...     measures recall and false alarms on labelled files
//	inspect -explain TEXT     shows a person why
//
// Texts are read and never written, except with -wrong, which is for your own corpora.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
	"github.com/theinterneti/tta-gateway/safety/detect/eval"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "inspect:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	explain := flags.String("explain", "", "explain the verdict on `TEXT`")
	reply := flags.Bool("response", false, "with -explain: the text is what a service says")
	evaluate := flags.Bool("eval", false, "measure the detector on labelled files")
	wrong := flags.Bool("wrong", false, "with -eval: also write the texts that were judged wrongly")
	causes := flags.Bool("causes", false, "with -eval: also count the patterns behind false alarms")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d := detect.Default()
	switch {
	case *explain != "":
		return explainText(out, d, *explain, *reply)
	case *evaluate:
		return measure(out, d, flags.Args(), *wrong, *causes)
	}
	return eval.Lines(context.Background(), d, in, out)
}

func explainText(out io.Writer, d *detect.Detector, text string, reply bool) error {
	c := safety.Content{Text: []byte(text)}
	if reply {
		c.Direction = safety.Response
	}
	v, reasons := d.Explain(context.Background(), c)
	fmt.Fprintf(out, "%s, score %.3f, %v, language %q, by %s\n", v.Severity, v.Score, v.Categories, v.Language, v.Model)
	for _, r := range reasons {
		fmt.Fprintf(out, "  %q\n    %s\n    %s\n", text[r.Start:r.End], r, r.Pattern)
	}
	return nil
}

func measure(out io.Writer, d *detect.Detector, names []string, wrong, causes bool) error {
	var all []eval.Case
	for _, name := range names {
		cases, err := eval.ReadFile(name)
		if err != nil {
			return err
		}
		all = append(all, cases...)
	}
	rep, err := eval.Measure(context.Background(), d, all)
	if err != nil {
		return err
	}
	fmt.Fprint(out, rep)
	if causes {
		for _, line := range eval.Causes(d, rep) {
			fmt.Fprintln(out, line)
		}
	}
	if wrong {
		for _, w := range rep.Wrong {
			fmt.Fprintf(out, "%s\t%.3f\twant %v %s %s\t%s\t%v\n", w.Verdict.Severity, w.Verdict.Score, w.Case.Crisis, w.Case.Kind, w.Case.Severity, w.Case.Text, w.Verdict.Findings)
		}
	}
	return nil
}
