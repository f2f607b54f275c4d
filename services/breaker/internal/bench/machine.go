package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where the figures were taken.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryMB int    `json:"memory_mb"`
	OS       string `json:"os"`
	Go       string `json:"go"`
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	m.CPU, _ = procField("/proc/cpuinfo", "model name")
	if kb, ok := procField("/proc/meminfo", "MemTotal"); ok {
		m.MemoryMB = kilobytes(kb) >> 10
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS += " " + strings.TrimSpace(string(kernel))
	}
	return m
}

// Resident is the memory of a process, in MB: now, and at its peak.
type Resident struct{ Now, Peak int }

// resident reads the memory of a process from /proc; ok is false where there is none.
func resident(pid int) (r Resident, ok bool) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	now, ok := procField(path, "VmRSS")
	if !ok {
		return r, false
	}
	peak, _ := procField(path, "VmHWM")
	return Resident{Now: kilobytes(now) >> 10, Peak: kilobytes(peak) >> 10}, true
}

func kilobytes(value string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(value, " kB"))
	return n
}

// procField is the value of the first line of this name in a file of lines "name: value".
func procField(path, name string) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		key, value, ok := strings.Cut(scanner.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
