package env_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
)

type testConfig struct {
	env.Base
	Workers int `env:"BREAKER_WORKERS" envDefault:"4"`
}

func newTestConfig(t *testing.T, environ ...string) (testConfig, error) {
	t.Helper()
	var cfg testConfig
	err := env.Load(environ, &cfg)
	return cfg, err
}

func TestEmptyEnvironmentGivesDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := newTestConfig(t, "PATH=/bin", "BREAKER_CREDS_TYPO_OF_ANOTHER=")
	if err == nil || !strings.Contains(err.Error(), "BREAKER_CREDS_TYPO_OF_ANOTHER") {
		t.Errorf("an unknown name is a fault even when it is empty, have %v", err)
	}
	cfg, err = newTestConfig(t, "PATH=/bin", "BREAKER_REPLICAS=")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Workers != 4 || cfg.DefaultMaxAge != 168*time.Hour || cfg.Replicas != 1 || cfg.ReconnectBufferSize != 8<<20 {
		t.Errorf("want the defaults, have %+v", cfg)
	}
	if !reflect.DeepEqual(cfg.Common(), env.DefaultBase()) {
		t.Errorf("want DefaultBase, have %+v", cfg.Common())
	}
}

func TestUsualNATSNamesAreRead(t *testing.T) {
	t.Parallel()
	cfg, err := newTestConfig(t, "NATS_URL=nats://a:1,nats://b:2", "NATS_CREDS=/c")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg.NATSURLs, []string{"nats://a:1", "nats://b:2"}) || cfg.NATSCreds != "/c" {
		t.Errorf("want both usual names read, have %v and %q", cfg.NATSURLs, cfg.NATSCreds)
	}
	cfg, err = newTestConfig(t, "NATS_URL=nats://a:1", "BREAKER_NATS_URLS=nats://b:2")
	if err != nil || cfg.NATSURLs[0] != "nats://b:2" {
		t.Errorf("want our name first, have %v, %v", cfg.NATSURLs, err)
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := newTestConfig(t,
		"BREAKER_REPLICAS=three", "BREAKER_REQUEST_TIMEOUT=soon", "BREAKER_DEFAULT_MAX_BYTES=lots",
		"BREAKER_WROKERS=3", "BREAKER_QQQQQQQQQQQQ=1")
	if err == nil {
		t.Fatal("want faults")
	}
	for _, want := range []string{
		"BREAKER_REPLICAS is not a whole number",
		"BREAKER_REQUEST_TIMEOUT is not a duration such as",
		"BREAKER_DEFAULT_MAX_BYTES is not a size such as",
		"BREAKER_WROKERS is unknown; did you mean BREAKER_WORKERS?",
		"BREAKER_QQQQQQQQQQQQ is unknown; remove it",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in\n%v", want, err)
		}
	}
}

func TestValuesThatMakeNoSenseAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := newTestConfig(t,
		"BREAKER_REPLICAS=9", "BREAKER_CONCURRENCY=0", "BREAKER_MAX_DELIVER=0", "BREAKER_STORAGE=tape",
		"BREAKER_LOG_LEVEL=loud", "BREAKER_LOG_FORMAT=xml", "BREAKER_HTTP_LISTEN=8080",
		"BREAKER_DEFAULT_MAX_AGE=-1h", "BREAKER_DEFAULT_MAX_MESSAGES=-1", "BREAKER_DRAIN_TIMEOUT=0",
		"BREAKER_NATS_CERT=/c", "BREAKER_NATS_CREDS=/c", "BREAKER_NATS_TOKEN=t", "BREAKER_NATS_PASSWORD=p")
	if err == nil {
		t.Fatal("want faults")
	}
	for _, want := range []string{
		"BREAKER_REPLICAS", "BREAKER_CONCURRENCY", "BREAKER_MAX_DELIVER", "BREAKER_STORAGE", "BREAKER_LOG_LEVEL",
		"BREAKER_LOG_FORMAT", "BREAKER_HTTP_LISTEN", "BREAKER_DEFAULT_MAX_AGE", "BREAKER_DEFAULT_MAX_MESSAGES",
		"BREAKER_DRAIN_TIMEOUT", "BREAKER_NATS_CERT and BREAKER_NATS_KEY", "not several", "needs BREAKER_NATS_USER",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %s among the faults:\n%v", want, err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	cfg, err := newTestConfig(t, "BREAKER_NATS_USER=me", "BREAKER_NATS_PASSWORD="+secret)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, urlErr := newTestConfig(t, "BREAKER_NATS_URLS=nats://me:"+secret+"@%zz")
	_, typeErr := newTestConfig(t, "BREAKER_REPLICAS="+secret)
	for what, printed := range map[string]string{
		"JSON": string(encoded), "%v": fmt.Sprint(cfg), "%+v": fmt.Sprintf("%+v", cfg), "%#v": fmt.Sprintf("%#v", cfg),
		"URL fault": fmt.Sprint(urlErr), "type fault": fmt.Sprint(typeErr),
	} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s shows the secret: %s", what, printed)
		}
	}
	if urlErr == nil || typeErr == nil {
		t.Error("want faults for the bad values")
	}
	if cfg.NATSPassword.Reveal() != secret {
		t.Error("want Reveal to give the secret")
	}
}

func TestWhatKubernetesInjectsIsNoFault(t *testing.T) {
	t.Parallel()
	_, err := newTestConfig(t,
		"BREAKER_NATS_SERVICE_HOST=10.0.0.1", "BREAKER_NATS_SERVICE_PORT=4222", "BREAKER_NATS_SERVICE_PORT_CLIENT=4222",
		"BREAKER_NATS_PORT=tcp://10.0.0.1:4222", "BREAKER_NATS_PORT_4222_TCP=tcp://10.0.0.1:4222",
		"BREAKER_NATS_PORT_4222_TCP_ADDR=10.0.0.1")
	if err != nil {
		t.Error(err)
	}
	if _, err = newTestConfig(t, "BREAKER_NATS_PORT=4222"); err == nil {
		t.Error("want a plain port to be unknown")
	}
}

func TestSecretsOfTheOperatorAreNoFault(t *testing.T) {
	t.Parallel()
	if _, err := newTestConfig(t, "BREAKER_SECRET_API_KEY=hunter2", "BREAKER_SECRET_WORKERS="); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"BREAKER_SECRET", "BREAKER_SECRETS_API_KEY"} {
		_, err := newTestConfig(t, name+"=hunter2")
		if err == nil || !strings.Contains(err.Error(), name+" is unknown") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want %s to be unknown, have %v", name, err)
		}
	}
}

func TestHTTPIsOffWhenSetToNothing(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]bool{"A=b": true, "BREAKER_HTTP_LISTEN=": false, "BREAKER_HTTP_LISTEN=off": false} {
		cfg, err := newTestConfig(t, environ)
		if err != nil || cfg.ServesHTTP() != want {
			t.Errorf("%s: want %v, have %v, %v", environ, want, cfg.ServesHTTP(), err)
		}
	}
}

func TestSizesHaveUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]env.Bytes{"0": 0, "12": 12, "3B": 3, "2KB": 2000, "2 KiB": 2048, "1gib": 1 << 30, "5MB": 5e6} {
		var got env.Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: want %d, have %d, %v", text, want, got, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1.5GB", "9999999999TB"} {
		var got env.Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: want an error, have %d", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"token_id", "transition_id", "data"}
	for name, want := range map[string]string{"tokenid": "token_id", "tokne_id": "token_id", "date": "data", "Data": "data", "quux": "", "": ""} {
		if got, _ := env.Nearest(name, known); got != want {
			t.Errorf("%q: want %q, have %q", name, want, got)
		}
	}
}

func ExampleLoad() {
	var cfg env.Base
	err := env.Load([]string{"NATS_URL=nats://10.0.0.7:4222", "BREAKER_REPLCAS=3"}, &cfg)
	fmt.Println(err)
	// Output: BREAKER_REPLCAS is unknown; did you mean BREAKER_REPLICAS?
}
