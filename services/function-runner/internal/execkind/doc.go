// Package execkind runs functions of the kind exec: a program that the operator allows, with
// JSON on its standard input and output.
//
//	            not in the list: forbidden
//	Run ──┬──▶  secret or program missing: misconfigured
//	      │
//	      ▼          limits are set                          ended by itself
//	   started, ──────────────────────▶ running ───────────────────────────────┐
//	   held before its                     │ deadline, Close, too much output,  │
//	   first instruction                   │ too many processes, much memory    │
//	                                       ▼                                    ▼
//	                        killed with all that it started ──▶ nobody left ──▶ result
//
// What a run gets: an environment of PATH, LANG, HOME, TMPDIR, the function's own and the
// variables that name its work; a fresh, empty folder to work in that is removed afterwards; a
// session of its own; no privileges by setuid; and no descriptors but its standard ones.
//
// What bounds it: each process has its memory (private writable memory, and what is resident
// of shared memory), processor time, size of files (64 MB) and open files (256). The whole run
// has a number of processes, of threads (16 times as many), and of bytes on standard output.
// Of standard error, the end is kept.
//
// Memory is bounded by RLIMIT_DATA and not by RLIMIT_AS, because Go and Node reserve far more
// address space than they use: under an RLIMIT_AS of 256 MB neither even begins.
//
// When a run ends, however it does, what it left behind is killed: its process group, and
// every process that is in its session, has its seal (a random RLIMIT_LOCKS, which the kernel
// hands down and otherwise ignores) or its mark (BREAKER_RUN in the environment that it began
// with), descends from one of these, or did so when it was last looked at, which is every 50 ms.
// All are stopped before the first is killed, so that none goes on because another died. The
// search ends when nobody was found twice.
//
// Not guaranteed:
//   - A process escapes the search that means to: it lowers that limit, leaves the session, drops
//     the environment and loses its parent between two looks. So do the children of one that does.
//     Only a cgroup or a namespace of PIDs, which the operator gives to the runner as a whole,
//     holds against that. Where the hard RLIMIT_LOCKS is low already, there is no seal, only the
//     mark.
//   - When the runner is killed with SIGKILL, the kernel kills the program, but not what the
//     program started.
//   - A program is no prisoner: it runs as the runner's user and in its network, and may read and
//     signal what that user may, the runner's own /proc/*/environ included. Allow what you trust.
//   - Total memory is bounded by processes times memory only, the disk not at all: many files of
//     64 MB fill it. A tmpfs counts as disk.
//   - The number of processes is looked at every 50 ms, and so may be higher for a moment.
//   - Where the kernel or a seccomp profile refuses ptrace, the limits are set right after the
//     program has begun, rather than before.
//   - Secrets are redacted from output and errors only as they are, not when they are encoded.
//
// All this is Linux; elsewhere the package compiles, and every run is misconfigured.
package execkind
