//go:build linux

package execkind

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

func TestAProgramMakesItsOutputOfItsInput(t *testing.T) {
	k := newTestKind(t)
	succeeds(t, k, &wire.Function{FunctionSpec: wire.FunctionSpec{Exec: &wire.ExecFunction{Command: "cat"}}}, `{"a": [1, "é"]}`, `{"a": [1, "é"]}`)
	succeeds(t, k, shell(`read line; echo "$line" | tr a-z A-Z`), `"loud"`, `"LOUD"`)
	succeeds(t, k, shell(`cat`), ``, `null`)
	succeeds(t, k, shell(`:`), `1`, `null`)
	succeeds(t, k, shell(`printf ' \n'`), `1`, `null`)
	result := succeeds(t, k, shell(`echo hello >&2; echo '{}'`), `1`, `{}`)
	if result.Stderr != "hello\n" {
		t.Errorf("standard error is %q", result.Stderr)
	}
}

func TestTheEnvironmentIsTheFunctionsOwn(t *testing.T) {
	k := newTestKind(t)
	t.Setenv("BREAKER_SECRET", "runner's")
	t.Setenv("LD_PRELOAD", "")
	fn := shell(`tr '\0' '\n' </proc/$$/environ >&2`)
	fn.Exec.Env = map[string]string{"COLOUR": "red", "KEY": "secret:PASSWORD", "EMPTY": ""}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx, cancel := context.WithTimeout(trace.ContextWithSpanContext(t.Context(), span), patience)
	defer cancel()
	result, failure := k.Run(ctx, fn, attempt(`1`))
	if failure != nil {
		t.Fatal(failure)
	}
	var rest []string
	folders := map[string]string{}
	for line := range strings.Lines(result.Stderr) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "HOME", "TMPDIR":
			folders[name] = value
		case "BREAKER_RUN":
			if len(value) != 32 {
				t.Errorf("the mark is %q", value)
			}
		default:
			rest = append(rest, line)
		}
	}
	want := `BREAKER_ATTEMPT=2
BREAKER_EXECUTION=e1
BREAKER_INSTANCE=i1
BREAKER_TOKEN=t1
BREAKER_WORKFLOW=w1
COLOUR=red
EMPTY=
IDEMPOTENCY_KEY=e1
KEY=[PASSWORD]
LANG=C.UTF-8
PATH=/usr/local/bin:/usr/bin:/bin
TRACEPARENT=00-01000000000000000000000000000000-0200000000000000-01`
	if got := strings.Join(rest, "\n"); got != want {
		t.Errorf("the environment is\n%s\nwant\n%s", got, want)
	}
	if folders["HOME"] == "" || folders["HOME"] != folders["TMPDIR"] || folders["HOME"] == os.Getenv("TMPDIR") {
		t.Errorf("the folders are %v", folders)
	}
}

func TestWorkWithoutATokenHasNoneInTheEnvironment(t *testing.T) {
	k := newTestKind(t)
	fn := shell(`echo "\"${BREAKER_TOKEN-none} ${BREAKER_WORKFLOW-none} ${BREAKER_INSTANCE-none} ${TRACEPARENT-none}\""`)
	result, failure := k.Run(t.Context(), fn, &work.Attempt{Job: &wire.Job{ID: "e1", Attempt: 1}})
	if failure != nil || string(result.Output) != `"none none none none"` {
		t.Errorf("it says %s, %v", result.Output, failure)
	}
}

func TestSecretsReachTheProgramAndNobodyElse(t *testing.T) {
	k := newTestKind(t)
	secret := func(script string) *wire.Function {
		fn := shell(script)
		fn.Exec.Env = map[string]string{"KEY": "secret:PASSWORD"}
		return fn
	}
	result := succeeds(t, k, secret(`test "$KEY" = `+password+` && echo "{\"key\": \"$KEY\"}"; echo "it is $KEY" >&2`), `1`, `{"key": "[PASSWORD]"}`)
	if result.Stderr != "it is [PASSWORD]\n" {
		t.Errorf("standard error is %q", result.Stderr)
	}
	for _, script := range []string{
		`echo "it is $KEY" >&2; echo "no JSON but $KEY"`,
		`echo "{\"error\": {\"code\": \"x\", \"message\": \"$KEY\"}}"; exit 1`,
		// Cutting leaves no half of it.
		`printf '%0245d' 0; echo "$KEY"`,
	} {
		_, failure := run(t, k, secret(script), `1`)
		if failure == nil {
			t.Fatalf("%s succeeded", script)
		}
		if all := failure.Error() + failure.Stderr; strings.Contains(all, "correct-") || !strings.Contains(all, "[PAS") {
			t.Errorf("%s shows %q", script, all)
		}
	}
	_, failure := run(t, k, secret(`{ echo "$KEY"; printf '%04090d' 0; } >&2; exit 1`), `1`)
	if strings.Contains(failure.Stderr, "staple") || len(failure.Stderr) > work.MaxStderr {
		t.Errorf("standard error begins with %q", failure.Stderr[:40])
	}
	fn := shell(`:`)
	fn.Exec.Env = map[string]string{"KEY": "secret:OTHER"}
	_, failure = run(t, k, fn, `1`)
	fails(t, failure, wire.FailureMisconfigured, "exec.env.KEY", "OTHER")
}

func TestOnlyWhatTheOperatorListsRuns(t *testing.T) {
	k := newTestKind(t)
	fn := shell(`:`)
	fn.Exec.Command = "bash"
	if err := k.Check(&fn.FunctionSpec); err != nil {
		t.Errorf("another copy may allow it, but: %v", err)
	}
	_, failure := run(t, k, fn, `1`)
	fails(t, failure, wire.FailureForbidden, "bash")
	_, failure = run(t, newTestKind(t, func(c *Config) { c.Allow = nil }), shell(`:`), `1`)
	fails(t, failure, wire.FailureForbidden)

	lost := newTestKind(t, func(c *Config) { c.Allow["lost"] = "/none/such" })
	fn.Exec.Command = "lost"
	_, failure = run(t, lost, fn, `1`)
	fails(t, failure, wire.FailureMisconfigured, "lost", "no such file")

	fn.Exec = nil
	_, failure = run(t, k, fn, `1`)
	fails(t, failure, wire.FailureMisconfigured, "exec")
}

func TestExitCodesSayWhatKindOfFailureItIs(t *testing.T) {
	k := newTestKind(t)
	for script, want := range map[string]struct{ code, text string }{
		`exit 1`:  {wire.FailureFailed, "code 1"},
		`exit 75`: {wire.FailureFailed, "code 75"},
		`exit 64`: {wire.FailureRejected, "code 64"},
		`exit 65`: {wire.FailureRejected, "code 65"},
		`echo '{"error": {"code": "x", "message": "the card is void"}}'; exit 65`: {wire.FailureRejected, "the card is void"},
		`echo '{"error": "text"}'; exit 3`:                                        {wire.FailureFailed, "code 3"},
		`kill -9 $$`:                                                              {wire.FailureFailed, "SIGKILL"},
		`kill -15 $$`:                                                             {wire.FailureFailed, "SIGTERM"},
		`echo '{"a":'`:                                                            {wire.FailureInvalidOutput, `{\"a\":`},
		`echo '{} {}'`:                                                            {wire.FailureInvalidOutput, `{} {}`},
		`echo plain`:                                                              {wire.FailureInvalidOutput, "plain"},
		`printf '"\377"'`:                                                         {wire.FailureInvalidOutput, "one JSON value"},
	} {
		_, failure := run(t, k, shell(script+"\n"), `1`)
		fails(t, failure, want.code, want.text)
	}
	_, failure := run(t, k, shell(`head -c 100000 /dev/zero | tr '\0' x`), `1`)
	fails(t, failure, wire.FailureInvalidOutput, "xxx")
	if len(failure.Message) > quoted+100 {
		t.Errorf("the message has %d bytes", len(failure.Message))
	}
}

func TestAProgramNeedNotReadItsInput(t *testing.T) {
	k := newTestKind(t)
	big := `"` + strings.Repeat("x", 1<<20) + `"`
	succeeds(t, k, shell(`echo 1`), big, `1`)
	succeeds(t, k, shell(`exec <&-; sleep 0.1; echo 1`), big, `1`)
	succeeds(t, k, shell(`wc -c`), big, "1048579")
}

func TestTheFolderIsFreshPrivateAndRemoved(t *testing.T) {
	k := newTestKind(t)
	script := `test -z "$(ls -A)" && test "$(pwd -P)" = "$(cd "$HOME" && pwd -P)" && stat -c '"%a"' .
		mkdir -p closed/deep && echo x >closed/deep/file && ln -s / link && chmod 500 closed/deep && chmod 0 closed .`
	succeeds(t, k, shell(script), `1`, `"700"`)
	succeeds(t, k, shell(script), `1`, `"700"`)
}

func TestCloseEndsWhatRuns(t *testing.T) {
	k := newTestKind(t)
	ended := make(chan *work.Failure)
	runs := filepath.Join(t.TempDir(), "runs")
	go func() {
		_, failure := k.Run(t.Context(), shell(`echo $$ >`+runs+`; sleep 20`), attempt(`1`))
		ended <- failure
	}()
	awaitNumber(t, runs)
	k.Close()
	fails(t, <-ended, wire.FailureUnreachable)
	_, failure := run(t, k, shell(`:`), `1`)
	fails(t, failure, wire.FailureUnreachable)
	k.Close()
}
