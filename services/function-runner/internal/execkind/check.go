package execkind

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	maxArgs = 256
	// maxTexts bounds the arguments, and the environment, together; the kernel takes 128 KiB of
	// each at least.
	maxTexts    = 64 << 10
	minMemoryMB = 16 // Less, and programs die before they begin.
	maxMemoryMB = 1 << 20
	maxSeconds  = 24 * 60 * 60
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Check refuses a function that no copy could run, with fault.InvalidField and the field in the
// details, such as exec.command or exec.env.NAME. A command that is not in this copy's list is
// no fault: another copy may allow it.
func (k *Kind) Check(fn *wire.FunctionSpec) error {
	spec := fn.Exec
	if spec == nil {
		return invalid("exec", "is missing: give its command")
	}
	if !commandName.MatchString(spec.Command) {
		return invalid("exec.command", "must be a name in the operator's list: letters, digits, and . _ + -")
	}
	if err := checkArgs(spec.Args); err != nil {
		return err
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
		if err := checkVariable(name, spec.Env[name]); err != nil {
			return err
		}
		total += len(name) + len(spec.Env[name])
	}
	if total > maxTexts {
		return invalid("exec.env", "has %d bytes; at most %d are possible", total, maxTexts)
	}
	if n := spec.MemoryMB; n != 0 && (n < minMemoryMB || n > maxMemoryMB) {
		return invalid("exec.memory_mb", "must lie between %d and %d", minMemoryMB, maxMemoryMB)
	}
	if n := spec.CPUSeconds; n < 0 || n > maxSeconds {
		return invalid("exec.cpu_seconds", "must lie between 1 and %d", maxSeconds)
	}
	return nil
}

func checkArgs(args []string) error {
	if len(args) > maxArgs {
		return invalid("exec.args", "has %d elements; at most %d are possible", len(args), maxArgs)
	}
	total := 0
	for i, arg := range args {
		if strings.ContainsRune(arg, 0) {
			return invalid("exec.args["+strconv.Itoa(i)+"]", "contains a NUL, which no argument can")
		}
		total += len(arg)
	}
	if total > maxTexts {
		return invalid("exec.args", "has %d bytes; at most %d are possible", total, maxTexts)
	}
	return nil
}

func checkVariable(name, value string) error {
	field := "exec.env." + name
	switch {
	case !variableName.MatchString(name):
		return invalid(field, "is no name of a variable: use letters, digits and _")
	case reserved(name):
		return invalid(field, "is not the function's to set: choose another name")
	case strings.ContainsRune(value, 0):
		return invalid(field, "contains a NUL, which no variable can")
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return fault.New(fault.InvalidField, field+" "+format, args...).With("field", field)
}
