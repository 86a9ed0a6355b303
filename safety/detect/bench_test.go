package detect_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

func benchmark(b *testing.B, text string) {
	d := detect.Default()
	c := safety.Content{Text: []byte(text)}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Inspect(context.Background(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommand(b *testing.B) { benchmark(b, "kill the goblin with the rusty axe") }
func BenchmarkChat(b *testing.B) {
	benchmark(b, "yeah i think we should go back to the tavern and ask the old man about the map")
}
func BenchmarkPersonal(b *testing.B) {
	benchmark(b, "i feel a bit down today because i had to work late and i want to see my friends again")
}
func BenchmarkCrisis(b *testing.B) {
	benchmark(b, "i took all my pills about twenty minutes ago and i want to die")
}
func BenchmarkNarration(b *testing.B) {
	benchmark(b, string(bytes.Repeat([]byte("The old king stood on the parapet, and the wind tore at his cloak. Below him the city slept under its smoke, and nobody knew what he had decided. "), 100)))
}
func BenchmarkHostile(b *testing.B) {
	benchmark(b, string(bytes.Repeat([]byte("i want to "), 100_000)))
}
func BenchmarkHostileSpaced(b *testing.B) {
	benchmark(b, string(bytes.Repeat([]byte("k i l l m y s e l f d i e "), 4_000)))
}
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		if _, err := detect.New(detect.BuiltIn()...); err != nil {
			b.Fatal(err)
		}
	}
}
