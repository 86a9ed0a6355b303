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

	"github.com/theinterneti/tta-gateway/safety/detect"
	"github.com/theinterneti/tta-gateway/safety/detect/eval"
)

func main() {
	evaluate := flag.Bool("eval", false, "measure the detector on labelled files")
	wrong := flag.Bool("wrong", false, "with -eval: print what was judged wrongly, text and all")
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
		if *wrong {
			for _, w := range rep.Wrong {
				fmt.Println(w.Verdict.Severity, w.Case.Crisis, w.Case.Severity, w.Case.Kind, "|", w.Case.Text, "|", w.Verdict.Findings)
			}
		}
	}
}
