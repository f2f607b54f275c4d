package execkind

import (
	"bytes"
	"strings"
	"testing"
)

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	all := bytes.Repeat([]byte("0123456789"), 3000)
	for _, step := range []int{1, 7, 4096, keptStderr - 1, keptStderr, keptStderr + 1, len(all)} {
		var kept tail
		for at := 0; at < len(all); at += step {
			n, err := kept.Write(all[at:min(at+step, len(all))])
			if err != nil || n != min(step, len(all)-at) {
				t.Fatal(n, err)
			}
			want := all[max(0, min(at+step, len(all))-keptStderr):min(at+step, len(all))]
			if !bytes.Equal(kept.text, want) {
				t.Fatalf("in steps of %d, %d bytes are kept at %d, want %d", step, len(kept.text), at, len(want))
			}
		}
		if cap(kept.text) > 4*keptStderr {
			t.Errorf("it holds %d bytes", cap(kept.text))
		}
	}
}

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	if got := lastBytes("aéé", 3); got != "é" {
		t.Errorf("the end is %q", got)
	}
	if got := firstBytes("ééa", 3); got != "é" {
		t.Errorf("the beginning is %q", got)
	}
	if got := firstBytes("a\xff", 10) + lastBytes("\xffb", 10); got != "a\ufffd\ufffdb" {
		t.Errorf("what is no character is %q", got)
	}
	if long := strings.Repeat("x", 10); firstBytes(long, 10) != long || lastBytes(long, 10) != long {
		t.Error("what fits is cut")
	}
}
