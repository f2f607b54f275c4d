package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const digestBytes = 9

// Digest identifies the content of a request to an endpoint, whatever the order of its
// members and its white space: two requests with one request_id are the same command only
// if their digests agree. Without a request id nothing is ever compared, and the digest is
// empty.
func Digest(subject string, origin wire.Origin, request any) (string, error) {
	if origin.RequestID == "" {
		return "", nil
	}
	raw, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	var content any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&content); err != nil {
		return "", err
	}
	canonical, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(subject+"\n"), canonical...))
	return base64.RawURLEncoding.EncodeToString(sum[:digestBytes]), nil
}
