package execkind

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var commandName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}$`)

// ParseAllow reads the operator's list, such as "resize=/opt/bin/resize.sh,/usr/bin/jq": names
// and absolute paths of programs, where a path alone is named by its last part. Every program
// must be a regular file that can be executed, or a link to one. All faults are reported.
func ParseAllow(list string) (map[string]string, error) {
	allow := map[string]string{}
	var faults []error
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		name, path, named := strings.Cut(entry, "=")
		if !named {
			path = entry
			name = filepath.Base(path)
		}
		name, path = strings.TrimSpace(name), strings.TrimSpace(path)
		if err := checkProgram(name, path); err != nil {
			faults = append(faults, err)
			continue
		}
		if other, twice := allow[name]; twice && other != path {
			faults = append(faults, fmt.Errorf("%s is both %s and %s: give one of them another name, as in name=/path", name, other, path))
			continue
		}
		allow[name] = path
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return allow, nil
}

func checkProgram(name, path string) error {
	if !commandName.MatchString(name) {
		return fmt.Errorf("%q is no name for a program: use letters, digits, and . _ + -", name)
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s: %q is not an absolute path", name, path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: %s is not a regular file", name, path)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s: %s is not executable", name, path)
	}
	return nil
}
