package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

func TestEveryCodeSurvivesTheWire(t *testing.T) {
	t.Parallel()
	for code, status := range fault.Codes() {
		sent := fault.New(code, "no %s here", "luck").With("field", "place").Because(errors.New("hidden cause"))
		header, message, body := fault.Encode(fmt.Errorf("wrapped: %w", sent))
		if header != fmt.Sprint(status) {
			t.Errorf("%s: status %s, want %d", code, header, status)
		}
		if strings.Contains(string(body)+message, "hidden") {
			t.Errorf("%s: the cause went to the caller: %s", code, body)
		}
		got := fault.Decode(header, message, body)
		var e *fault.Error
		if !errors.Is(got, code) || !errors.As(got, &e) || e.Message != "no luck here" || e.Details["field"] != "place" {
			t.Errorf("%s came back as %v", code, got)
		}
	}
}

func TestErrorsWithoutACode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want fault.Code
	}{
		"a deadline":       {fmt.Errorf("reading: %w", context.DeadlineExceeded), fault.Timeout},
		"a coded stranger": {fmt.Errorf("deciding: %w", coded{}), fault.TokenMoved},
		"anything else":    {errors.New("disk on fire"), fault.Internal},
	} {
		got := fault.From(test.err)
		if got.Code != test.want {
			t.Errorf("%s became %s, want %s", name, got.Code, test.want)
		}
		if !errors.Is(got, test.want) {
			t.Errorf("%s does not match %s", name, test.want)
		}
	}
	_, message, body := fault.Encode(errors.New("disk on fire"))
	if strings.Contains(message+string(body), "fire") {
		t.Errorf("an internal error told what it was: %s", body)
	}
}

func TestReplyOfAnotherKindIsNoError(t *testing.T) {
	t.Parallel()
	if err := fault.Decode("", "", []byte(`{"code":"conflict"}`)); err != nil {
		t.Errorf("a reply without the header became %v", err)
	}
	if err := fault.Decode("429", "slow down", []byte("not ours")); !errors.Is(err, fault.Overloaded) {
		t.Errorf("a foreign 429 became %v", err)
	}
}

func TestHeadersStayOnOneLine(t *testing.T) {
	t.Parallel()
	_, message, _ := fault.Encode(fault.New(fault.BadRequest, "first\r\nNats-Evil: second"))
	if strings.ContainsAny(message, "\r\n") {
		t.Errorf("the header breaks out of its line: %q", message)
	}
}

type coded struct{}

func (coded) Error() string                { return "moved" }
func (coded) FaultCode() string            { return string(fault.TokenMoved) }
func (coded) FaultDetails() map[string]any { return nil }
