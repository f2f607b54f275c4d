package execkind

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// process is one line of the table.
type process struct {
	parent, group, session, threads int
	// start is when it began, in ticks: with it a number means one process only.
	start uint64
	// resident is what it has in memory, in bytes, other people's files included.
	resident uint64
	// dead: a zombie.
	dead bool
	// seal is the hard limit that the kernel ignores and hands down, see bound.
	seal uint64
	// mark is the value of BREAKER_RUN in the environment that it began with.
	mark string
	// marked: seal and mark are known, and need not be read again.
	marked bool
}

// table is the processes of this machine, or container, by number. All runs look at the same
// one, so that many runs cost no more looks than one.
type table struct {
	mu   sync.Mutex
	at   time.Time
	rows map[int]process
	text []byte
}

// since is a table that was read when, or later. It is shared: do not change it.
func (t *table) since(when time.Time) (map[int]process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows != nil && !t.at.Before(when) {
		return t.rows, nil
	}
	at := time.Now()
	rows, err := t.read()
	if err != nil {
		return nil, err
	}
	t.at, t.rows = at, rows
	return rows, nil
}

func (t *table) read() (map[int]process, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	if t.text == nil {
		t.text = make([]byte, 4<<10)
	}
	rows := make(map[int]process, len(t.rows))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		row, ok := readProcess(pid, t.text)
		if !ok {
			continue // It is gone.
		}
		if old, known := t.rows[pid]; known && old.start == row.start && old.marked {
			row.seal, row.mark, row.marked = old.seal, old.mark, true
		} else if row.group != 0 { // The kernel's own are in group 0.
			row.seal = readSeal(pid)
			row.mark, row.marked = readMark(pid)
		}
		rows[pid] = row
	}
	if len(rows) == 0 {
		return nil, errors.New("/proc shows no processes")
	}
	return rows, nil
}

// Fields of /proc/PID/stat, counted from the one after the name; see proc_pid_stat(5).
const (
	fieldState    = 0
	fieldParent   = 1
	fieldGroup    = 2
	fieldSession  = 3
	fieldThreads  = 17
	fieldStart    = 19
	fieldResident = 21
)

var pageSize = uint64(os.Getpagesize())

// readProcess reads one line, with a buffer to read into.
func readProcess(pid int, buffer []byte) (process, bool) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	defer func() { _ = file.Close() }()
	n, err := file.Read(buffer)
	if err != nil {
		return process{}, false
	}
	return parseProcess(string(buffer[:n]))
}

func parseProcess(line string) (process, bool) {
	// The name is in brackets, and may itself contain brackets and spaces.
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return process{}, false
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) <= fieldResident {
		return process{}, false
	}
	number := func(field int) uint64 {
		n, _ := strconv.ParseUint(fields[field], 10, 64)
		return n
	}
	state := fields[fieldState]
	return process{
		parent: int(number(fieldParent)), group: int(number(fieldGroup)), session: int(number(fieldSession)),
		threads: int(number(fieldThreads)), start: number(fieldStart), resident: number(fieldResident) * pageSize,
		dead: state == "Z" || state == "X",
	}, true
}

// readSeal reads the seal of a process, also of a zombie; 0 is that of a stranger.
func readSeal(pid int) uint64 {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, sealed, nil, &limit); err != nil {
		return 0
	}
	return limit.Max
}

// maxEnviron is more than a program of ours begins with.
const maxEnviron = 1 << 20

// readMark reads the mark in the environment of a process. One that is just being loaded has no
// environment yet, and a zombie none any more: then it is not known, and is read again.
func readMark(pid int) (mark string, known bool) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		// Another user's is none of ours, for none of ours can become another user.
		return "", errors.Is(err, os.ErrPermission)
	}
	defer func() { _ = file.Close() }()
	environ, err := io.ReadAll(io.LimitReader(file, maxEnviron))
	if err != nil || len(environ) == 0 {
		return "", false
	}
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(variable, []byte(variableRun+"=")); ok {
			return string(value), true
		}
	}
	return "", true
}
