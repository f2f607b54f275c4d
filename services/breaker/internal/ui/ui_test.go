package ui_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newTestConsole(t *testing.T) (console *ui.Console, out, errs *bytes.Buffer) {
	t.Helper()
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return ui.New(strings.NewReader(""), out, errs, func(string) string { return "" }), out, errs
}

func TestTableAlignsColumns(t *testing.T) {
	t.Parallel()
	console, out, _ := newTestConsole(t)
	table := ui.NewTable("NAME", "COUNT", "NOTE")
	table.Row("draft", ui.Cell{Text: "3", Right: true}, "waits")
	table.Row("prüfung", ui.Cell{Text: "1200", Right: true}, "")
	table.Row("審査", ui.Cell{Text: "7", Right: true}, "wide")
	console.Table(table, "nothing")
	want := "NAME     COUNT  NOTE\n" +
		"draft        3  waits\n" +
		"prüfung   1200\n" +
		"審査         7  wide\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table differs (-want +got):\n%s", diff)
	}
}

func TestColoursDoNotMoveColumns(t *testing.T) {
	t.Parallel()
	console, out, _ := newTestConsole(t)
	console.OutColour = true
	table := ui.NewTable()
	table.Row(ui.Cell{Text: "a", Style: ui.Good}, "x")
	table.Row("bbb", "y")
	console.Table(table, "")
	want := "\x1b[32ma\x1b[0m    x\nbbb  y\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table differs (-want +got):\n%s", diff)
	}
}

func TestTextFromElsewhereCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	console, out, _ := newTestConsole(t)
	table := ui.NewTable()
	table.Row("\x1b[2Jgone\r\n\u009b31m\u2028end")
	console.Table(table, "")
	if got := out.String(); strings.ContainsAny(strings.TrimSuffix(got, "\n"), "\x1b\r\n\u009b\u2028") {
		t.Errorf("control characters went through: %q", got)
	}
}

func TestAnEmptyTableSaysSo(t *testing.T) {
	t.Parallel()
	console, out, _ := newTestConsole(t)
	console.Table(ui.NewTable("A"), "no workflows")
	if got := out.String(); got != "no workflows\n" {
		t.Errorf("got %q", got)
	}
}

func TestColoursAreForTerminalsOnly(t *testing.T) {
	t.Parallel()
	console, _, _ := newTestConsole(t)
	if console.OutColour || console.ErrColour || console.ErrTerminal {
		t.Error("a buffer was taken for a terminal")
	}
	if got := console.Paint(ui.Bad, "x"); got != "x" {
		t.Errorf("painted %q on what is no terminal", got)
	}
}

func TestDocumentsKeepTheirCharacters(t *testing.T) {
	t.Parallel()
	console, out, _ := newTestConsole(t)
	if err := console.Line(map[string]string{"route": "a → b & <c>"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\"route\":\"a → b & <c>\"}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgressIsSilentForShortWorkOffATerminal(t *testing.T) {
	t.Parallel()
	console, out, errs := newTestConsole(t)
	progress := console.Progress("work", 10)
	progress.Add(4)
	progress.Set(10)
	progress.Finish()
	if out.Len() != 0 || errs.Len() != 0 {
		t.Errorf("wrote %q and %q", out, errs)
	}
}

func TestShortenCutsCharactersNotBytes(t *testing.T) {
	t.Parallel()
	if got := ui.Shorten("äöüß", 3); got != "äö…" {
		t.Errorf("got %q", got)
	}
	if got := ui.Shorten("äöü", 3); got != "äöü" {
		t.Errorf("got %q", got)
	}
}
