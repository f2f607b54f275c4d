package fleet

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	functionrunner "github.com/seed-42b4788c/circuit-breaker/services/function-runner"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
	"github.com/seed-42b4788c/circuit-breaker/services/transition"
)

// Settings are those of every service, as each reads them from the environment when it runs
// alone. What all services share is in each of them, with the same values.
type Settings struct {
	Token          token.Environment
	Rules          rules.Environment
	Transition     transition.Environment
	FunctionRunner functionrunner.Environment
}

// DefaultSettings is what an empty environment gives.
func DefaultSettings() Settings {
	var s Settings
	if err := env.Load(nil, &s); err != nil {
		panic("the defaults of the services are faulty: " + err.Error())
	}
	return s
}

// Base is what all services share.
func (s Settings) Base() env.Base { return s.Transition.Base }

// Validate reports every fault at once.
func (s Settings) Validate() error { return s.FunctionRunner.Validate() }

// part is one service of the fleet.
type part struct {
	name  string
	build func(service.Deps) (service.Part, error)
}

// parts lists the services in the order in which they start. Secrets are looked for in environ.
func (s Settings) parts(environ []string) []part {
	return []part{
		{token.Name, func(deps service.Deps) (service.Part, error) {
			return token.New(deps, s.Token.Config())
		}},
		{rules.Name, func(deps service.Deps) (service.Part, error) {
			return rules.New(deps, s.Rules.Config())
		}},
		{transition.Name, func(deps service.Deps) (service.Part, error) {
			return transition.New(deps, s.Transition.Config())
		}},
		{functionrunner.Name, func(deps service.Deps) (service.Part, error) {
			cfg, err := s.FunctionRunner.Config(environ)
			if err != nil {
				return nil, err
			}
			return functionrunner.New(deps, cfg)
		}},
	}
}
