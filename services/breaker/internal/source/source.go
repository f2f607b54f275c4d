// Package source reads what people write for breaker: one document, in YAML or JSON, from a
// file or from standard input. It knows nothing of what the document says.
package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

// maxSize bounds what is read of a file; what the services take of one document is less.
const maxSize = 4 << 20

// Read reads the file at path, or stdin for "-".
func Read(path string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d MiB, too large to be read", path, maxSize>>20)
	}
	return raw, nil
}

// JSON leaves JSON as it is, so that whoever reads it sees every key and every digit, and
// turns YAML into JSON, refusing duplicate keys.
func JSON(raw []byte) (json.RawMessage, error) {
	if trimmed := strings.TrimSpace(string(raw)); strings.HasPrefix(trimmed, "{") && json.Valid(raw) {
		return raw, nil
	}
	object, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, malformed(err)
	}
	return object, onlyDocument(raw)
}

func malformed(err error) error {
	return fmt.Errorf("neither YAML nor JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// onlyDocument refuses a second document in the file, which the conversion would pass over
// in silence.
func onlyDocument(raw []byte) error {
	decoder := yamlv2.NewDecoder(bytes.NewReader(raw))
	var document any
	for n := 0; ; n++ {
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return malformed(err)
		case n > 0 && document != nil:
			return errors.New("more than one YAML document; write one per file")
		}
		document = nil
	}
}
