package functionrunner

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// store knows every function in its newest version, ready to run.
type store = catalog.Catalog[wire.Function, *function]

// functionOverhead is what a function takes in a reply beside its longest parts, at most on
// average.
const functionOverhead = 2 << 10

func (s *Service) newStore(b *bus.Bus, tel *telemetry.Telemetry) *store {
	return catalog.New(b, tel, catalog.Config[wire.Function, *function]{
		Bucket: wire.BucketFunctions, Noun: "function", NotFound: fault.FunctionNotFound, Exists: fault.FunctionExists,
		Head: func(f *wire.Function) catalog.Head {
			return catalog.Head{
				ID: &f.ID, Version: &f.Version, Description: &f.Description, Tags: &f.Tags, Author: &f.Author,
				CreatedAt: &f.CreatedAt, UpdatedAt: &f.UpdatedAt, RequestID: &f.RequestID, RequestDigest: &f.RequestDigest,
			}
		},
		Prepare: s.prepare,
		Size: func(f *wire.Function) int {
			return functionOverhead + len(f.Input) + len(f.InputSchema) + len(f.OutputSchema) + len(f.Expression)
		},
		Changed: func(id string) {
			s.pool.Wake()
			s.triggers.wake()
		},
	})
}

// Enabled lists the functions whose jobs are to be done.
func (s *Service) Enabled() []string {
	var ids []string
	for _, e := range s.store.All() {
		if e.Definition.IsEnabled() {
			ids = append(ids, e.Definition.ID)
		}
	}
	return ids
}

// Target is a function as the pool runs it.
func (s *Service) Target(id string) work.Target {
	e := s.store.Known(id)
	if e == nil || e.Deleted || e.Prepared == nil || !e.Definition.IsEnabled() {
		return nil
	}
	return e.Prepared
}
