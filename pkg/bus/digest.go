package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

const digestBytes = 9

// Digest identifies the content of a request to an endpoint, whatever the order of its
// members and its white space: two requests with one request_id are the same command only
// if their digests agree.
func Digest(subject string, request any) (string, error) {
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
