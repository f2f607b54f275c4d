package fleet

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The heap of a fleet swings: the server reads whole blocks of its streams, and keeps the
// buffers for the next one. Left to the collector's default, which waits until the heap has
// doubled, the process holds on to several times what it needs. A limit has it collect
// before that; where more than the limit really lives, the limit moves up with it, so that
// the collector never runs for nothing.
const (
	memoryFloor = 224 << 20
	memoryRoom  = 96 << 20
	memoryCheck = time.Second
)

// LimitMemory keeps the process's memory near what it needs, until ctx ends. GOMEMLIMIT and
// GOGC, where set, are the operator's word and stand.
func LimitMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(memoryCheck)
	defer tick.Stop()
	for {
		metrics.Read(sample)
		live := int64(sample[0].Value.Uint64())
		debug.SetMemoryLimit(max(memoryFloor, live+live/2+memoryRoom))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
