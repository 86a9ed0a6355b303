package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/audit"
)

func Example() {
	dir, _ := os.MkdirTemp("", "audit")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "audit.jsonl")

	trail, err := audit.Open(path, audit.Options{Key: []byte("32 random bytes from a secret...")})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = trail.Record(context.Background(), safety.Event{Kind: safety.KindVerdict, Subject: "ada", Severity: safety.High})
	_ = trail.Record(context.Background(), safety.Event{Kind: safety.KindVerdict, Subject: "ada", Severity: safety.Low})
	_ = trail.Close()

	text, _ := os.ReadFile(path)
	report, err := audit.Verify(bytes.NewReader(text))
	fmt.Println(report.Records, err)

	altered := bytes.Replace(text, []byte(`"high"`), []byte(`"none"`), 1)
	_, err = audit.Verify(bytes.NewReader(altered))
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// audit: the chain is broken at line 1, after record 0: its hash does not fit what it says
}

// A chain that verifies may still lack its end: compare it with what was noted
// down elsewhere.
func ExampleVerify_incorrect() {
	dir, _ := os.MkdirTemp("", "audit")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "audit.jsonl")
	trail, _ := audit.Open(path, audit.Options{})
	for range 3 {
		_ = trail.Record(context.Background(), safety.Event{Severity: safety.High})
	}
	noted, _ := trail.Last()
	_ = trail.Close()

	text, _ := os.ReadFile(path)
	lines := bytes.SplitAfter(text, []byte("\n"))
	report, err := audit.Verify(bytes.NewReader(bytes.Join(lines[:2], nil))) // somebody removed the last
	fmt.Println("wrong: whole, because", err)
	fmt.Println("right: whole is", report.Last == noted)
	// Output:
	// wrong: whole, because <nil>
	// right: whole is false
}
