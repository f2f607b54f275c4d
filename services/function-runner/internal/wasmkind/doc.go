// Package wasmkind runs functions of the kind wasm: commands of WASI (preview 1), with JSON on
// standard input and output, through wazero. Modules are objects in the bucket modules.
//
//	name ──GetInfo, at most once a second──▶ digest
//	(digest, limit of memory) ──▶ cache ──read, harden, compile──▶ module
//	module ──instantiate──▶ ready ──take──▶ running ──▶ ended
//	             ▲                  │
//	             └──── fill ◀───────┘
//
// A module is compiled once per copy, and leaves the cache when nobody has run it for a while; a
// refused one stays as well, so that bad bytes are compiled once. An upload takes effect within
// about a second. An instance serves one run: it begins clean, and what it leaves behind is gone.
//
// Instances are pooled because making one costs as much as a short run. For the sample in
// protocols/examples/wasm (Go, 3.3 MB, 2 cores, best of 200): compile 1 s, make an instance 1.6 ms,
// run a ready one 1.7 ms with all around it. A module of one instruction takes 0.04 ms instead of
// 0.09. Under full load the pool gains nothing: the work is the same, only earlier. wazero fixes
// arguments and environment when it makes an instance; a ready one has to learn them later, so
// the functions of WASI that read them are ours (wasi.go).
//
// What it guarantees:
//   - a run ends soon after its time, also in endless loops, in recursion, and asleep. wazero
//     looks at the time in loops alone; harden adds what lacks (instruction.go)
//   - no files, no network, no environment of the host; time and chance are real
//   - memory, tables and output are bounded, and no module ends the process: what wazero's decoder
//     would believe (lengths, locals, tables) is checked before, and panics end in a failure
//   - the values of the function's secrets are in no output, error or standard error
//   - after Close no goroutine and no instance is left
//
// What it does not:
//   - the limit of memory is that of the module's linear memory. Beside it a run can have its call
//     stack (wazero: about 100 MB at worst), its tables (8 MB) and, while its memory grows, a copy
//   - a compilation cannot be interrupted. Its cost grows with the square of some numbers, which
//     harden bounds, and is waited for two minutes at most; then the module is refused, and the
//     compilation goes on beside until it is through. Compilations share half of the cores
//   - a failed growth of memory is seen by the module, and not by us: what it makes of it (most
//     programs end with a trap or exit code 2) is the code failed, not limit_exceeded
//   - who can write to the folder of compiled modules runs code in this process
package wasmkind
