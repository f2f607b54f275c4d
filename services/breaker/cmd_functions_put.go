package breaker

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/functionset"
)

const functionsPutHelp = `put reads functions in YAML or JSON ("-" is standard input), reports everything that can be seen
to be wrong with them at once, and stores them only if all of them are right. A file holds one
function, or a list of them under functions:

  id: notify
  kind: http                                     # or nats, exec, wasm, expression
  http: { url: "https://example.com/notify", headers: { authorization: "secret:NOTIFY" } }
  input: { to: "=token.data.reviewer" }          # texts that begin with = are expressions
  timeout: 10s
  retry: { attempts: 5, backoff: exponential, initial: 1s }
  triggers: [{ event: transitioned, to: review }]
  chains: [{ function: tell_ops, on: failure }]

A file is the whole function: what it leaves out goes back to what it is by default in the next
version. So a function that was disabled is enabled again, unless the file says enabled: false.

A function whose id is new is created; one that says something else gets a next version; the
others stay unchanged. Jobs use the newest version, those that wait already too.`

func newFunctionsPut(a *App) *cobra.Command { return newPut(a, functionShelf(a), functionsPutHelp) }

func functionShelf(a *App) *shelf[functionset.Function, wire.Function] {
	return &shelf[functionset.Function, wire.Function]{
		one: "function", many: "functions", exists: fault.FunctionExists, missing: fault.FunctionNotFound,
		read: func(path string) (held[functionset.Function], error) {
			language, err := a.conditions()
			if err != nil {
				return held[functionset.Function]{}, err
			}
			file, err := functionset.Read(language, path, a.Console.In)
			if err != nil {
				return held[functionset.Function]{}, err
			}
			return held[functionset.Function]{path, file.Functions, file.Problems}, nil
		},
		id:      func(f *functionset.Function) string { return f.ID },
		version: func(f *wire.Function) int { return f.Version },
		get: func(ctx context.Context, c *client.Client, id string) (wire.Function, error) {
			return c.FunctionGet(ctx, wire.FunctionGetRequest{ID: id})
		},
		same: func(f *functionset.Function, have *wire.Function) bool { return f.Same(have) },
		create: func(ctx context.Context, c *client.Client, f *functionset.Function, origin wire.Origin) (wire.Function, error) {
			return c.FunctionCreate(ctx, wire.FunctionCreateRequest{ID: f.ID, FunctionSpec: f.FunctionSpec, Origin: origin})
		},
		update: func(ctx context.Context, c *client.Client, f *functionset.Function, have *wire.Function, origin wire.Origin) (wire.Function, error) {
			return c.FunctionUpdate(ctx, wire.FunctionUpdateRequest{
				ID: f.ID, FunctionSpec: f.FunctionSpec, Reset: f.Reset(have), ExpectedVersion: have.Version, Origin: origin,
			})
		},
	}
}
