package condition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// refuse makes the error for a fault in a condition.
func refuse(field, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidField, "%s %s", field, fmt.Sprintf(format, args...)).With("field", field)
}

func (d *dialect) refusalAt(field string, line, column int, format string, args ...any) *fault.Error {
	return refuse(field, "is no usable %s: at line %d, column %d: %s", d.noun, line, column, fmt.Sprintf(format, args...)).
		With("line", line).With("column", column)
}

// refusal is the error for what the compiler found in an expression.
func (d *dialect) refusal(field, text string, problem *common.Error) *fault.Error {
	line, column := problem.Location.Line(), problem.Location.Column()+1
	if line < 1 {
		return refuse(field, "is no usable %s: %s", d.noun, shorten(problem.Message))
	}
	if strings.Contains(problem.Message, "mismatched input '<EOF>'") {
		return d.refusalAt(field, line, column, "the expression ends too early")
	}
	message := shorten(problem.Message)
	if hint := advice(problem.Message, before(text, line, column)); hint != "" {
		message += "; " + hint
	}
	return d.refusalAt(field, line, column, "%s", message)
}

// before is what stands on a line before a column.
func before(text string, line, column int) string {
	lines := strings.Split(text, "\n")
	if line > len(lines) {
		return ""
	}
	letters := []rune(lines[line-1])
	return string(letters[:min(column-1, len(letters))])
}

var (
	unknownName = regexp.MustCompile(`^undeclared reference to '(\w+)'`)
	oddInput    = regexp.MustCompile(`input '(\w+)'`)
	loneSign    = regexp.MustCompile(`token recognition error at: '([=&|])`)
	notBefore   = regexp.MustCompile(`(?i)(^|\W)not\s*$`)
)

// advice is what to write instead, for those faults that other languages teach; empty for
// others.
func advice(message, before string) string {
	const words = "write &&, || or !"
	if found := unknownName.FindStringSubmatch(message); found != nil {
		if _, known := tokenFields[found[1]]; known {
			return "write " + tokenVariable + "." + found[1]
		}
		if strings.EqualFold(found[1], "not") {
			return words
		}
	}
	if found := loneSign.FindStringSubmatch(message); found != nil {
		return map[string]string{"=": "write == to compare", "&": words, "|": words}[found[1]]
	}
	if strings.HasPrefix(message, "found no matching overload for '_?_:_' applied to '(bool,") {
		return "write dyn(…) around one of two that differ in kind"
	}
	if found := oddInput.FindStringSubmatch(message); found != nil {
		if slices.Contains([]string{"and", "or", "not"}, strings.ToLower(found[1])) || notBefore.MatchString(before) {
			return words
		}
	}
	return ""
}
