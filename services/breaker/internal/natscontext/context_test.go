package natscontext_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/natscontext"
)

// home is a configuration folder as the nats command line keeps it.
type home struct {
	dir string
	env map[string]string
}

func newTestHome(t *testing.T) *home {
	t.Helper()
	h := &home{dir: t.TempDir(), env: map[string]string{}}
	h.env["XDG_CONFIG_HOME"] = h.dir
	h.env["HOME"] = h.dir
	for _, file := range []string{"ca.pem", "me.creds", "env.creds"} {
		if err := os.WriteFile(filepath.Join(h.dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *home) getenv(name string) string { return h.env[name] }

func (h *home) write(t *testing.T, path, content string) {
	t.Helper()
	path = filepath.Join(h.dir, "nats", path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h *home) resolve(t *testing.T, flags natscontext.Choice) natscontext.Settings {
	t.Helper()
	settings, err := natscontext.Resolve(flags, h.getenv)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// production is a context file as "nats context save" writes it.
const production = `{
  "description": "production", "url": "nats://prod:4222", "socks_proxy": "", "token": "", "user": "ops", "password": "secret",
  "creds": "", "nkey": "", "cert": "", "key": "", "ca": "~/ca.pem", "nsc": "", "jetstream_domain": "",
  "jetstream_api_prefix": "", "jetstream_event_prefix": "", "inbox_prefix": "_INBOX.ops", "user_jwt": "", "color_scheme": "",
  "tls_first": true
}`

func TestWithoutAnythingTheLocalServerIsMeant(t *testing.T) {
	t.Parallel()
	got := newTestHome(t).resolve(t, natscontext.Choice{})
	if diff := cmp.Diff(natscontext.Settings{URL: natscontext.DefaultURL}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheSelectedContextIsUsed(t *testing.T) {
	t.Parallel()
	h := newTestHome(t)
	h.write(t, "context/prod.json", production)
	h.write(t, "context.txt", "prod\n")
	want := natscontext.Settings{
		Name: "prod", URL: "nats://prod:4222", User: "ops", Password: "secret", CA: filepath.Join(h.dir, "ca.pem"),
		TLSFirst: true, InboxPrefix: "_INBOX.ops",
	}
	if diff := cmp.Diff(want, h.resolve(t, natscontext.Choice{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheContext(t *testing.T) {
	t.Parallel()
	h := newTestHome(t)
	h.write(t, "context/prod.json", production)
	h.write(t, "context/other.json", `{"url": "nats://other:4222"}`)
	h.write(t, "context.txt", "other")
	h.env["NATS_CONTEXT"] = "prod"
	if got := h.resolve(t, natscontext.Choice{}); got.URL != "nats://prod:4222" {
		t.Errorf("NATS_CONTEXT was not used: %s", got.URL)
	}
	h.env["NATS_URL"] = "nats://env:4222"
	if got := h.resolve(t, natscontext.Choice{}); got.URL != "nats://env:4222" || got.User != "ops" {
		t.Errorf("NATS_URL should replace the URL and leave the user: %+v", got)
	}
	if got := h.resolve(t, natscontext.Choice{Server: "nats://flag:4222", Context: "other"}); got.URL != "nats://flag:4222" || got.User != "" {
		t.Errorf("flags were not used: %+v", got)
	}
}

func TestIdentitiesNeverMix(t *testing.T) {
	t.Parallel()
	h := newTestHome(t)
	h.write(t, "context/prod.json", production)
	h.write(t, "context.txt", "prod")
	mine := filepath.Join(h.dir, "me.creds")
	got := h.resolve(t, natscontext.Choice{Creds: mine})
	if got.User != "" || got.Password != "" || got.Creds != mine {
		t.Errorf("the context's user stayed beside --creds: %+v", got)
	}
	h.env["NATS_CREDS"] = filepath.Join(h.dir, "env.creds")
	got = h.resolve(t, natscontext.Choice{User: "me", Password: "mine"})
	if got.Creds != "" || got.User != "me" || got.Password != "mine" {
		t.Errorf("NATS_CREDS stayed beside --user: %+v", got)
	}
}

func TestAUserWithoutAPasswordIsAToken(t *testing.T) {
	t.Parallel()
	h := newTestHome(t)
	got := h.resolve(t, natscontext.Choice{User: "t0ken"})
	if got.Token != "t0ken" || got.User != "" {
		t.Errorf("got %+v", got)
	}
	h.env["NATS_PASSWORD"] = "secret"
	if got := h.resolve(t, natscontext.Choice{User: "me"}); got.User != "me" || got.Password != "secret" {
		t.Errorf("NATS_PASSWORD was not used: %+v", got)
	}
}

func TestFilesThatAreNotThereAreNamed(t *testing.T) {
	t.Parallel()
	h := newTestHome(t)
	h.env["NATS_CREDS"] = filepath.Join(h.dir, "lost.creds")
	_, err := natscontext.Resolve(natscontext.Choice{CA: filepath.Join(h.dir, "lost.pem")}, h.getenv)
	for _, file := range []string{"lost.creds", "lost.pem"} {
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s is not named: %v", file, err)
		}
	}
}

func TestContextsThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	h := newTestHome(t)
	h.write(t, "context/leaf.json", `{"url": "nats://x", "jetstream_domain": "hub"}`)
	h.write(t, "context/broken.json", `{"url": `)
	for name, want := range map[string]string{
		"leaf": "jetstream_domain", "broken": "broken", "none": "known: broken, leaf", "../leaf": "not the name", "a/b": "not the name",
	} {
		_, err := natscontext.Resolve(natscontext.Choice{Context: name}, h.getenv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("context %q: %v, want something with %q", name, err, want)
		}
	}
}
