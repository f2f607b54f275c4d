package fleet

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The heap of a fleet swings: the server reads whole blocks of its streams, and keeps the
// buffers for the next one. Left to the collector's defaults, the process keeps several
// times of what it needs: it collects when the heap has doubled, and when the load has
// gone, for minutes not at all.
const (
	// Below memoryFloor nothing is done. Above it, a collection comes at the latest when what
	// lives has grown by half and memoryRoom; the limit moves with what lives, so that the
	// collector never runs for nothing.
	memoryFloor = 224 << 20
	memoryRoom  = 96 << 20
	memoryCheck = time.Second
	// After so many checks without a collection the process is idle, and gives back what it
	// holds above the floor; again later, because the server lets go of its blocks only when
	// nobody has read them for a while.
	memoryIdle, memoryIdleLong, memoryIdleLongest = 4, 12, 40
)

// LimitMemory keeps the process's memory near what it needs, until ctx ends. GOMEMLIMIT and
// GOGC, where set, are the operator's word and stand.
func LimitMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	tick := time.NewTicker(memoryCheck)
	defer tick.Stop()
	var cycles uint64
	for idle := 0; ; idle++ {
		metrics.Read(samples)
		live, held := int64(samples[0].Value.Uint64()), samples[2].Value.Uint64()-samples[3].Value.Uint64()
		debug.SetMemoryLimit(max(memoryFloor, live+live/2+memoryRoom))
		if now := samples[1].Value.Uint64(); now != cycles {
			cycles, idle = now, 0
		}
		if held > memoryFloor && (idle == memoryIdle || idle == memoryIdleLong || idle == memoryIdleLongest) {
			// Twice: what the server has put back into its pools survives one collection.
			runtime.GC()
			debug.FreeOSMemory()
			metrics.Read(samples)
			cycles = samples[1].Value.Uint64()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
