package detect_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

func Example() {
	d := detect.Default()
	for _, text := range []string{
		"kill the goblin with the axe",
		"my character wants to kill himself",
		"i want to die",
		"i took all my pills about twenty minutes ago lol",
	} {
		v, _ := d.Inspect(context.Background(), safety.Content{Text: []byte(text)})
		fmt.Println(v.Severity)
	}
	// Output:
	// none
	// none
	// moderate
	// imminent
}

func ExampleDetector_Explain() {
	text := "i want to kill myself, ooc, not my character"
	_, reasons := detect.Default().Explain(context.Background(), safety.Content{Text: []byte(text)})
	for _, r := range reasons {
		if r.Rule == "si.want-kill" {
			fmt.Println(r.Severity, r.Category, r.Why, text[r.Start:r.End])
		}
	}
	// Output: moderate suicidal_ideation A wish to take one's own life. i want to kill myself
}

func ExampleDetector_Next() {
	var t detect.Trajectory
	now := time.Now()
	for _, text := range []string{"i have the pills", "they're my dad's", "doing it tonight"} {
		t, _ = detect.Default().Next(t, safety.Content{Text: []byte(text)}, now)
	}
	fmt.Println(t.Severity(now), t.Severity(now.Add(24*time.Hour)))
	// Output: high none
}

func ExampleNew() {
	_, err := detect.New(detect.Source{Name: "house.rules", Text: "language en\nrule h.door abuse sometimes\n  he locks the ( door\n"})
	fmt.Println(err)

	d, _ := detect.New(detect.Source{Name: "house.rules", Text: strings.TrimLeft(`
pack house-1
language en
class NEG not never
rule h.door abuse moderate
  why: Somebody is locked in.
  (he|she) ~ locks the door
  yes: he always locks the door
  no: he never locks the door
frame negation
  NEG
`, "\n")})
	v, _ := d.Inspect(context.Background(), safety.Content{Text: []byte("he always locks the door")})
	fmt.Println(v.Severity, v.Model, d.SelfTest())
	// Output:
	// detect: house.rules:2: safety: unknown severity "sometimes": want one of none, low, moderate, high, imminent
	// detect: house.rules:3: missing ) in "he locks the ( door"
	// moderate house-1 <nil>
}

// Judging a conversation line by line, and taking the last verdict for the
// person's state, forgets what was said before: a joke clears nothing.
func ExampleDetector_Inspect_incorrect() {
	d := detect.Default()
	var last safety.Severity
	var t detect.Trajectory
	now := time.Now()
	for _, text := range []string{"i'm going to kill myself tonight", "lol jk"} {
		c := safety.Content{Text: []byte(text)}
		v, _ := d.Inspect(context.Background(), c)
		last = v.Severity // wrong
		t, _ = d.Next(t, c, now)
	}
	fmt.Println("last line:", last)
	fmt.Println("conversation:", t.Severity(now))
	// Output:
	// last line: none
	// conversation: high
}
