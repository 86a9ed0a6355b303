// Command inspect says what the detector hears in each line.
//
//	echo '{"text": "i took all my pills"}' | inspect
//	inspect -explain "i want to die, lol"
//	inspect -eval corpus.jsonl
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
	"github.com/theinterneti/tta-gateway/safety/detect/eval"
)

func main() {
	evaluate := flag.Bool("eval", false, "measure the detector on labelled files")
	wrong := flag.Bool("wrong", false, "with -eval: print what was judged wrongly, text and all")
	rules := flag.Bool("rules", false, "with -eval: count which rules were wrong on harmless texts")
	flag.Parse()
	if *evaluate {
		var all []eval.Case
		for _, name := range flag.Args() {
			f, err := os.Open(name)
			if err != nil {
				panic(err)
			}
			cases, err := eval.Read(name, f)
			if err != nil {
				panic(err)
			}
			all = append(all, cases...)
		}
		rep, err := eval.Measure(context.Background(), detect.Default(), all)
		if err != nil {
			panic(err)
		}
		fmt.Print(rep)
		if *rules {
			n := map[string]int{}
			for _, w := range rep.Wrong {
				if !w.Case.Crisis {
					seen := map[string]bool{}
					_, why := detect.Default().Explain(context.Background(), safety.Content{Text: []byte(w.Case.Text), Direction: w.Case.Direction})
					for _, f := range why {
						if f.Severity >= 2 && !seen[f.Source] {
							seen[f.Source] = true
							n[fmt.Sprint(f.Rule, " ", f.Severity, " ", f.Source, " ", min(120, len(f.Pattern)), " ", f.Pattern[:min(120, len(f.Pattern))])]++
						}
					}
				}
			}
			for k, v := range n {
				fmt.Println("RULE", v, k)
			}
		}
		if *wrong {
			for _, w := range rep.Wrong {
				fmt.Println(w.Verdict.Severity, w.Case.Crisis, w.Case.Severity, w.Case.Kind, "|", w.Case.Text, "|", w.Verdict.Findings)
			}
		}
	}
}
