package render

import (
	"fmt"
	"strings"
	"text/template"
)

// Every repetition, every piece of output and every call costs this much work, and a byte for
// each byte that it handles.
const (
	stepWork = 64
	maxWork  = 64 << 20
)

// problem is what a function returns, so that it can be told from the errors of text/template.
type problem struct{ err error }

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

func problemf(format string, args ...any) error { return &problem{fmt.Errorf(format, args...)} }

// run is one execution: what it has written, and how much work is left.
type run struct {
	output strings.Builder
	left   int
}

func (r *run) work(bytes int) error {
	r.left -= stepWork + bytes
	if r.left < 0 {
		return &problem{ErrLimit}
	}
	return nil
}

// Write takes output.
func (r *run) Write(b []byte) (int, error) {
	if err := r.work(len(b)); err != nil {
		return 0, err
	}
	if r.output.Len()+len(b) > MaxOutput {
		return 0, &problem{ErrLimit}
	}
	return r.output.Write(b)
}

// function is how all functions look: none of them has text/template convert arguments.
type function func(args []any) (any, error)

// functions are all that a rewritten template may call.
func (r *run) functions() template.FuncMap {
	all := template.FuncMap{}
	for name, f := range r.listed() {
		all[name] = r.counted(name, f)
	}
	for name, f := range map[string]function{fieldFunction: field, textFunction: printed, itemsFunction: items, filledFunction: nonzero} {
		all[name] = r.counted(name, f)
	}
	return all
}

// listed are the functions that a template may name.
func (r *run) listed() map[string]function {
	all := map[string]function{
		"json": exactly(1, encode), "get": get, "index": index, "default": exactly(2, orDefault), "len": exactly(1, length),
		"join": exactly(2, r.join), "not": exactly(1, not), "eq": equal, "ne": exactly(2, notEqual),
	}
	for name, f := range textFunctions {
		all[name] = exactly(1, onText(f))
	}
	for name, f := range orderFunctions {
		all[name] = exactly(2, inOrder(f))
	}
	return all
}

// counted charges a call, with the texts that go in and come out.
func (r *run) counted(name string, f function) any {
	return func(args ...any) (any, error) {
		bytes := 0
		for _, arg := range args {
			if s, ok := arg.(string); ok {
				bytes += len(s)
			}
		}
		if err := r.work(bytes); err != nil {
			return nil, err
		}
		value, err := f(args)
		if err != nil {
			if !strings.HasPrefix(name, "_") {
				err = &problem{fmt.Errorf("%s %w", name, err)}
			}
			return nil, err
		}
		switch v := value.(type) {
		case string:
			if len(v) > MaxOutput {
				return nil, &problem{ErrLimit}
			}
			return v, r.work(len(v))
		case map[string]any:
			if name == itemsFunction {
				return v, r.work(stepWork * len(v)) // They are sorted.
			}
		}
		return value, nil
	}
}

// added makes one of the caller's functions.
func (r *run) added(f Function) any {
	return func(args ...any) (any, error) {
		if err := r.work(0); err != nil {
			return nil, err
		}
		argument, ok := args[0].(string)
		if !ok || len(args) != 1 {
			return nil, problemf("%s has one text", f.Name)
		}
		value, err := f.Call(argument)
		if err != nil {
			return nil, &problem{err}
		}
		return value, r.work(len(value))
	}
}
