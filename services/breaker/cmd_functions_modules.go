package breaker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/functionset"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// moduleStart is how a module of WebAssembly 1 begins.
const moduleStart = "\x00asm\x01\x00\x00\x00"

// module is a WASI module in the bucket of modules.
type module struct {
	Module     string    `json:"module"`
	Bytes      uint64    `json:"bytes"`
	Digest     string    `json:"digest"`
	UploadedAt time.Time `json:"uploaded_at"`
	// Outcome is that of an upload.
	Outcome string `json:"outcome,omitempty"`
}

func newModule(info *jetstream.ObjectInfo) module {
	return module{Module: info.Name, Bytes: info.Size, Digest: info.Digest, UploadedAt: info.ModTime}
}

func newFunctionsUpload(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "upload NAME FILE", Short: "Put a WASI module where functions of kind wasm find it",
		Long: `upload puts a WASI module ("-" is standard input) into the bucket of modules, where it takes the
place of one with the same name. Functions name it in wasm.module; they run the new one within a
second or two.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !functionset.ValidModule(name) {
				return usagef("the name of a module must be %s, not %q", functionset.ModuleNames, name)
			}
			body, err := a.readModule(args[1])
			if err != nil {
				return err
			}
			b, err := a.Bus(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			put, err := upload(ctx, b, name, body)
			if err != nil {
				return storeFault(err)
			}
			return a.show(put, func() {
				a.fields("module", ui.Cell{Text: put.Module, Style: ui.Accent}, "outcome", outcome(put.Outcome, false),
					"size", bytesText(put.Bytes), "digest", put.Digest)
			})
		},
	}
}

func (a *App) readModule(path string) ([]byte, error) {
	var body []byte
	var err error
	if path == "-" {
		body, err = io.ReadAll(a.Console.In)
	} else {
		body, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, usageError{err}
	}
	if !bytes.HasPrefix(body, []byte(moduleStart)) {
		return nil, usagef("%s is no WebAssembly module: compile for WASI, such as GOOS=wasip1 GOARCH=wasm go build; components are not run", path)
	}
	return body, nil
}

// upload puts a module unless the same one is there.
func upload(ctx context.Context, b *bus.Bus, name string, body []byte) (module, error) {
	bucket, err := openModules(ctx, b)
	if err != nil {
		return module{}, err
	}
	outcome := deployCreated
	switch have, err := bucket.GetInfo(ctx, name); {
	case errors.Is(err, jetstream.ErrObjectNotFound):
	case err != nil:
		return module{}, err
	default:
		digest := sha256.New()
		digest.Write(body)
		if have.Digest == jetstream.GetObjectDigestValue(digest) {
			put := newModule(have)
			put.Outcome = deployUnchanged
			return put, nil
		}
		outcome = deployUpdated
	}
	info, err := bucket.PutBytes(ctx, name, body)
	if err != nil {
		return module{}, err
	}
	put := newModule(info)
	put.Outcome = outcome
	return put, nil
}

// openModules opens the bucket of modules, which is made by the first who needs it.
func openModules(ctx context.Context, b *bus.Bus) (jetstream.ObjectStore, error) {
	bucket, err := b.JS.ObjectStore(ctx, wire.BucketModules)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return bucket, err
	}
	bucket, err = b.JS.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: wire.BucketModules, Description: "WASI modules of functions", Storage: jetstream.FileStorage, Replicas: b.Config().Replicas,
	})
	if errors.Is(err, jetstream.ErrBucketExists) { // Somebody was faster.
		return b.JS.ObjectStore(ctx, wire.BucketModules)
	}
	return bucket, err
}

// storeFault says that the bucket, and not a service, did not do it.
func storeFault(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return fault.New(fault.Unavailable, "the bucket %s is out of reach", wire.BucketModules).Because(err)
	}
	return fmt.Errorf("the bucket %s: %w", wire.BucketModules, err)
}

func newFunctionsModules(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "modules", Short: "List the WASI modules that were uploaded", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.Bus(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			modules, err := listModules(ctx, b)
			if err != nil {
				return storeFault(err)
			}
			return a.show(map[string]any{"modules": modules}, func() {
				t := ui.NewTable("MODULE", "SIZE", "UPLOADED (UTC)", "DIGEST")
				for _, m := range modules {
					t.Row(ui.Cell{Text: m.Module, Style: ui.Bold}, ui.Cell{Text: bytesText(m.Bytes), Right: true}, clock(m.UploadedAt), m.Digest)
				}
				a.Console.Table(t, "no modules; put one there with breaker functions upload NAME FILE")
			})
		},
	}
}

func listModules(ctx context.Context, b *bus.Bus) ([]module, error) {
	modules := []module{}
	bucket, err := b.JS.ObjectStore(ctx, wire.BucketModules)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return modules, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := bucket.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, err
	}
	for _, info := range all {
		modules = append(modules, newModule(info))
	}
	slices.SortFunc(modules, func(x, y module) int { return strings.Compare(x.Module, y.Module) })
	return modules, nil
}
