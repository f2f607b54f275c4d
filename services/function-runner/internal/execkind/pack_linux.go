package execkind

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// pack is the processes of one run.
type pack struct {
	table *table
	// leader is the program itself: its number is that of its group and session too.
	leader int
	seal   uint64
	mark   string
	// known are those that were seen, with when they began: who once belongs stays.
	known map[int]uint64
}

func newPack(t *table, leader int, of *program) *pack {
	return &pack{table: t, leader: leader, seal: of.seal, mark: of.mark, known: map[int]uint64{}}
}

// members picks those of the run: who is in the group or the session, carries the seal or the
// mark, or is known; and the children of these.
func (p *pack) members(rows map[int]process) map[int]process {
	found := map[int]process{}
	children := map[int][]int{}
	var fresh []int
	add := func(pid int, row process) {
		if _, twice := found[pid]; !twice {
			found[pid] = row
			fresh = append(fresh, pid)
		}
	}
	for pid, row := range rows {
		children[row.parent] = append(children[row.parent], pid)
		start, known := p.known[pid]
		if pid == p.leader || row.group == p.leader || row.session == p.leader ||
			row.seal == p.seal || row.mark == p.mark || known && start == row.start {
			add(pid, row)
		}
	}
	for len(fresh) > 0 {
		parent := fresh[len(fresh)-1]
		fresh = fresh[:len(fresh)-1]
		for _, pid := range children[parent] {
			add(pid, rows[pid])
		}
	}
	clear(p.known)
	for pid, row := range found {
		p.known[pid] = row.start
	}
	return found
}

// excess looks at what the run has, and says what is too much. Zombies count as processes: they
// take a number each.
func (p *pack) excess(of *program) reason {
	rows, err := p.table.since(time.Now().Add(-lookEvery / 2))
	if err != nil {
		return notKilled // The next look will tell; the limits of each process hold.
	}
	members := p.members(rows)
	if len(members) > of.maxProcesses {
		return byProcesses
	}
	threads := 0
	for pid, row := range members {
		threads += row.threads
		if row.resident > of.memory && occupied(pid) > of.memory {
			return byMemory
		}
	}
	if threads > of.maxProcesses*threadsPerProcess {
		return byThreads
	}
	return notKilled
}

// occupied is the memory of a process without the files that it has mapped.
func occupied(pid int) (bytesInAll uint64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		for _, name := range []string{"RssAnon:", "RssShmem:"} {
			if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
				kB, _ := strconv.ParseUint(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
				bytesInAll += kB << 10
			}
		}
	}
	return bytesInAll
}

const (
	// huntFor bounds the search, against what forks faster than it can be killed.
	huntFor = 10 * time.Second
	// looks is how often in a row nobody must be found: a look is not an instant, and who is
	// born behind it is seen by the next one.
	looks = 2
)

// hunt kills everybody and returns when nobody is found any more. The leader must not have been
// reaped, so that its number is nobody else's.
func (p *pack) hunt() {
	end := time.Now().Add(huntFor)
	pause := time.Millisecond
	for quiet := 0; quiet < looks && time.Now().Before(end); {
		_ = unix.Kill(-p.leader, unix.SIGKILL)
		rows, err := p.table.since(time.Now())
		if err != nil {
			return // The group is killed; nothing else can be found.
		}
		if p.strike(p.members(rows)) {
			quiet++
			continue
		}
		quiet = 0
		time.Sleep(pause)
		pause = min(2*pause, lookEvery)
	}
}

// strike kills the members, and reports that there was nobody. It stops all of them first, so
// that none sees another one die and goes on with its next step.
func (p *pack) strike(members map[int]process) bool {
	nobody := true
	for _, blow := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
		for pid, row := range members {
			if !row.dead {
				signal(pid, row.start, blow)
				nobody = false
			}
		}
	}
	for pid, row := range members {
		if row.dead && pid != p.leader && row.parent == os.Getpid() {
			// As PID 1 we inherit orphans.
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	return nobody
}

// signal reaches the process of that number and start, and nobody who has the number by now.
func signal(pid int, start uint64, s unix.Signal) {
	handle, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		_ = unix.Kill(pid, s) // An old kernel, or a strict profile.
		return
	}
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(handle) }()
	if row, ok := readProcess(pid, make([]byte, 4<<10)); ok && row.start == start {
		_ = unix.PidfdSendSignal(handle, s, nil, 0)
	}
}
