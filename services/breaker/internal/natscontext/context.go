package natscontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// DefaultURL is where a server is looked for when nothing names one.
const DefaultURL = "nats://127.0.0.1:4222"

// Settings say where and as whom to connect. The JSON names are those of the context files.
type Settings struct {
	// Name is the context's, empty where none is used.
	Name string `json:"-"`
	// URL is one or several server URLs, separated by commas.
	URL      string `json:"url"`
	Token    string `json:"token"`
	User     string `json:"user"`
	Password string `json:"password"`
	// Creds, NKey, Cert, Key and CA are files.
	Creds       string `json:"creds"`
	NKey        string `json:"nkey"`
	UserJWT     string `json:"user_jwt"`
	UserSeed    string `json:"user_seed"`
	Cert        string `json:"cert"`
	Key         string `json:"key"`
	CA          string `json:"ca"`
	TLSFirst    bool   `json:"tls_first"`
	InboxPrefix string `json:"inbox_prefix"`

	// These make a context unusable here; see unsupported.
	NSC         string `json:"nsc"`
	JSDomain    string `json:"jetstream_domain"`
	JSAPIPrefix string `json:"jetstream_api_prefix"`
	SocksProxy  string `json:"socks_proxy"`
}

// Choice is what flags say; empty fields were not given.
type Choice struct {
	Context  string
	Server   string
	Creds    string
	User     string
	Password string
	NKey     string
	CA       string
	Cert     string
	Key      string
}

// variables are the environment's names for the choices, as the nats command line has them.
var variables = []struct {
	name  string
	field func(*Choice) *string
}{
	{"NATS_CONTEXT", func(c *Choice) *string { return &c.Context }},
	{"NATS_URL", func(c *Choice) *string { return &c.Server }},
	{"NATS_CREDS", func(c *Choice) *string { return &c.Creds }},
	{"NATS_USER", func(c *Choice) *string { return &c.User }},
	{"NATS_PASSWORD", func(c *Choice) *string { return &c.Password }},
	{"NATS_NKEY", func(c *Choice) *string { return &c.NKey }},
	{"NATS_CA", func(c *Choice) *string { return &c.CA }},
	{"NATS_CERT", func(c *Choice) *string { return &c.Cert }},
	{"NATS_KEY", func(c *Choice) *string { return &c.Key }},
}

// Resolve joins flags, environment and context. Without a named context the selected one
// is used, if there is one. Errors name the context and its file.
func Resolve(flags Choice, getenv func(string) string) (Settings, error) {
	choice := flags
	credentialsByFlag := choice.hasCredentials()
	for _, v := range variables {
		credential := v.name == "NATS_CREDS" || v.name == "NATS_USER" || v.name == "NATS_PASSWORD" || v.name == "NATS_NKEY"
		if credential && credentialsByFlag && !(v.name == "NATS_PASSWORD" && choice.User != "") {
			continue
		}
		if field := v.field(&choice); *field == "" {
			*field = getenv(v.name)
		}
	}
	settings, err := load(choice.Context, getenv)
	if err != nil {
		return Settings{}, err
	}
	choice.override(&settings)
	if settings.URL == "" {
		settings.URL = DefaultURL
	}
	return settings, errors.Join(settings.unsupported(), settings.unreadable())
}

func (c Choice) hasCredentials() bool { return c.Creds != "" || c.User != "" || c.NKey != "" }

func (c Choice) override(s *Settings) {
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&s.URL, c.Server)
	set(&s.CA, c.CA)
	set(&s.Cert, c.Cert)
	set(&s.Key, c.Key)
	if !c.hasCredentials() {
		return
	}
	s.Token, s.User, s.Password, s.Creds, s.NKey, s.UserJWT, s.UserSeed, s.NSC = "", c.User, c.Password, c.Creds, c.NKey, "", "", ""
	if s.User != "" && s.Password == "" {
		// As the nats command line reads it: a user without a password is a token.
		s.Token, s.User = s.User, ""
	}
}

// unsupported refuses what a context asks for and this program cannot do, instead of
// connecting to something else than the context means.
func (s Settings) unsupported() error {
	for _, setting := range []struct{ name, value string }{
		{"nsc", s.NSC},
		{"jetstream_domain", s.JSDomain},
		{"jetstream_api_prefix", s.JSAPIPrefix},
		{"socks_proxy", s.SocksProxy},
	} {
		if setting.value != "" {
			return fmt.Errorf("the NATS context %q sets %s, which breaker does not support; choose another with --context, or name the server and credentials", s.Name, setting.name)
		}
	}
	return nil
}

// unreadable names the files that are not there, which a failed connection would not.
func (s Settings) unreadable() error {
	var faults []error
	for _, file := range []string{s.Creds, s.NKey, s.Cert, s.Key, s.CA} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func load(name string, getenv func(string) string) (Settings, error) {
	folder := configFolder(getenv)
	if name == "" {
		selected, err := os.ReadFile(filepath.Join(folder, "context.txt"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && folder != "" {
			return Settings{}, fmt.Errorf("read which NATS context is selected: %w", err)
		}
		name = strings.TrimSpace(string(selected))
	}
	if name == "" {
		return Settings{}, nil
	}
	path := name
	if !strings.HasSuffix(name, ".json") || !filepath.IsAbs(name) {
		if strings.Contains(name, "..") || strings.ContainsAny(name, `/\`) {
			return Settings{}, fmt.Errorf("%q is not the name of a NATS context", name)
		}
		path = filepath.Join(folder, "context", name+".json")
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, fmt.Errorf("there is no NATS context %q (%s); known: %s", name, path, strings.Join(Names(getenv), ", "))
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read the NATS context %q: %w", name, err)
	}
	settings := Settings{}
	if err := json.Unmarshal(raw, &settings); err != nil {
		return Settings{}, fmt.Errorf("read the NATS context %q: %s: %w", name, path, err)
	}
	settings.Name = name
	for _, file := range []*string{&settings.Creds, &settings.NKey, &settings.Cert, &settings.Key, &settings.CA} {
		*file = expandHome(*file, getenv)
	}
	return settings, nil
}

// Names lists the contexts that exist, for messages and shell completion.
func Names(getenv func(string) string) []string {
	files, err := filepath.Glob(filepath.Join(configFolder(getenv), "context", "*.json"))
	if err != nil {
		return nil
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	sort.Strings(names)
	return names
}

func configFolder(getenv func(string) string) string {
	if base := getenv("XDG_CONFIG_HOME"); base != "" {
		return filepath.Join(base, "nats")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "nats")
	}
	return ""
}

func expandHome(path string, getenv func(string) string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(getenv("HOME"), rest)
	}
	return path
}
