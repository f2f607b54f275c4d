package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"unicode/utf8"
)

// field is the value of .a.b: what the base is called, the base, and the members.
func field(args []any) (any, error) {
	path, value := args[0].(string), args[1]
	for _, member := range args[2:] {
		name := member.(string)
		switch v := value.(type) {
		case map[string]any:
			inner, ok := v[name]
			if !ok {
				return nil, problemf("%s.%s is missing", path, name)
			}
			value = inner
		default:
			if path == "" {
				path = "what stands here"
			}
			if value == nil {
				return nil, problemf("%s is null, and has no member %s", path, name)
			}
			return nil, problemf("%s is %s, and has no member %s", path, kind(value), name)
		}
		path += "." + name
	}
	return value, nil
}

// kind says what a value is, never which.
func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "true or false"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case json.Number, int, int64, float64:
		return "a number"
	}
	return fmt.Sprintf("a %T", value)
}

// printed is what {{ }} writes.
func printed(args []any) (any, error) { return textOf(args[0]) }

func textOf(value any) (string, error) {
	if s, ok := value.(string); ok {
		return s, nil
	}
	return jsonOf(value)
}

func jsonOf(value any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", errors.New("has a value that is no JSON")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func encode(args []any) (any, error) { return jsonOf(args[0]) }

// items is what range goes over.
func items(args []any) (any, error) {
	switch args[0].(type) {
	case nil, []any, map[string]any, int:
		return args[0], nil
	}
	return nil, problemf("range goes over a list or an object, and this is %s", kind(args[0]))
}

// nonzero has the number 0 count as false, which text/template takes for a text.
func nonzero(args []any) (any, error) {
	if n, ok := args[0].(json.Number); ok {
		if f, err := n.Float64(); err == nil && f == 0 {
			return 0, nil
		}
	}
	return args[0], nil
}

func not(args []any) (any, error) {
	value, _ := nonzero(args)
	truth, _ := template.IsTrue(value)
	return !truth, nil
}

func orDefault(args []any) (any, error) {
	empty := args[1] == nil
	switch v := args[1].(type) {
	case string:
		empty = v == ""
	case []any:
		empty = len(v) == 0
	case map[string]any:
		empty = len(v) == 0
	}
	if empty {
		return args[0], nil
	}
	return args[1], nil
}

// get follows members and positions, and is null where there is none.
func get(args []any) (any, error) {
	value, _, err := follow(args)
	return value, err
}

func index(args []any) (any, error) {
	value, missing, err := follow(args)
	if err == nil && missing != nil {
		return nil, fmt.Errorf("finds nothing at %v", missing)
	}
	return value, err
}

func follow(args []any) (value, missing any, err error) {
	if len(args) < 2 {
		return nil, nil, errors.New("needs a value, and the names or positions of members")
	}
	value = args[0]
	for _, step := range args[1:] {
		found := false
		switch v := value.(type) {
		case map[string]any:
			name, ok := step.(string)
			if !ok {
				return nil, nil, errors.New("needs the name of a member of an object")
			}
			value, found = v[name]
		case []any:
			at, err := position(step)
			if err != nil {
				return nil, nil, err
			}
			if found = at >= 0 && at < len(v); found {
				value = v[at]
			}
		}
		if !found {
			return nil, step, nil
		}
	}
	return value, nil, nil
}

func position(step any) (int, error) {
	switch n := step.(type) {
	case int:
		return n, nil
	case json.Number:
		if at, err := n.Int64(); err == nil {
			return int(at), nil
		}
	}
	return 0, errors.New("needs a position, from 0, in a list")
}

func length(args []any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return utf8.RuneCountInString(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	}
	return nil, errors.New("needs a text, a list or an object, and has " + kind(args[0]))
}

func (r *run) join(args []any) (any, error) {
	list, ok := args[1].([]any)
	separator, isText := args[0].(string)
	if !ok || !isText {
		return nil, errors.New(`needs a text and a list, as in join ", " .input.names`)
	}
	var b strings.Builder
	for i, element := range list {
		text, err := textOf(element)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(text)
		if err := r.work(0); err != nil {
			return nil, err
		}
		if b.Len() > MaxOutput {
			return nil, &problem{ErrLimit}
		}
	}
	return b.String(), nil
}

var textFunctions = map[string]func(string) string{
	"lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace,
	"urlquery": url.QueryEscape, "urlpath": url.PathEscape,
}

// onText makes a function of a text, a number or a truth.
func onText(f func(string) string) function {
	return func(args []any) (any, error) {
		switch args[0].(type) {
		case nil, []any, map[string]any:
			return nil, errors.New("needs a text, and has " + kind(args[0]))
		}
		text, err := textOf(args[0])
		if err != nil {
			return nil, err
		}
		return f(text), nil
	}
}

// exactly checks how many arguments there are.
func exactly(n int, f function) function {
	return func(args []any) (any, error) {
		if len(args) != n {
			return nil, fmt.Errorf("has %d arguments, and needs %d", len(args), n)
		}
		return f(args)
	}
}
