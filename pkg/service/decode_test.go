package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

type inner struct {
	Count int `json:"count"`
}

type request struct {
	TokenID string            `json:"token_id"`
	Limit   int               `json:"limit,omitempty"`
	From    time.Time         `json:"from,omitzero"`
	AsOf    wire.AsOf         `json:"as_of,omitzero"`
	After   wire.Duration     `json:"after"`
	Data    json.RawMessage   `json:"data,omitempty"`
	Inner   inner             `json:"inner"`
	Flag    *bool             `json:"flag,omitempty"`
	Places  map[string]string `json:"places,omitempty"`
	wire.Origin
}

func TestRequestsAreDecoded(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		"": "", "  \n": "", "{}": "", `{"token_id":"a"}`: "a", ` {"token_id" : "a", "request_id":"r" } ` + "\n": "a",
		`{"token_id":"a","token_id":"b"}`: "b", `{"token_id":null}`: "", `{"t\u006fken_id":"a"}`: "a",
		`{"data":{"x":[1,{"y":"}\"]"}]},"token_id":"a"}`: "a",
	} {
		req, err := service.DecodeRequest[request]([]byte(payload))
		if err != nil || req.TokenID != want {
			t.Errorf("%s: want token_id %q, have %q, %v", payload, want, req.TokenID, err)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload string
		code    fault.Code
		field   string
		hint    string
	}{
		"no object":         {`[1]`, fault.BadRequest, "", ""},
		"null":              {`null`, fault.BadRequest, "", ""},
		"text":              {`hello`, fault.BadRequest, "", ""},
		"cut":               {`{"token_id":"a"`, fault.BadRequest, "", ""},
		"syntax":            {`{"token_id":a}`, fault.BadRequest, "", ""},
		"no colon":          {`{"token_id" "a"}`, fault.BadRequest, "", ""},
		"no comma":          {`{"token_id":"a" "limit":1}`, fault.BadRequest, "", ""},
		"comma at the end":  {`{"token_id":"a",}`, fault.BadRequest, "", ""},
		"no value":          {`{"token_id":}`, fault.BadRequest, "", ""},
		"open string":       {`{"token_id":"a}`, fault.BadRequest, "", ""},
		"wrong bracket":     {`{"data":[1}`, fault.BadRequest, "", ""},
		"control character": {"{\"token_id\":\"a\nb\"}", fault.BadRequest, "", ""},
		"trailing object":   {`{}{}`, fault.BadRequest, "", ""},
		"trailing rubbish":  {`{} x`, fault.BadRequest, "", ""},
		"unknown":           {`{"colour":1}`, fault.UnknownField, "colour", ""},
		"near miss":         {`{"tokenid":"a"}`, fault.UnknownField, "tokenid", "token_id"},
		"other case":        {`{"Token_ID":"a"}`, fault.UnknownField, "Token_ID", "token_id"},
		"embedded":          {`{"requestid":"a"}`, fault.UnknownField, "requestid", "request_id"},
		"long name":         {`{"` + strings.Repeat("x", 9000) + `":1}`, fault.UnknownField, strings.Repeat("x", 64) + "…", ""},
		"wrong type":        {`{"token_id":1}`, fault.InvalidField, "token_id", ""},
		"fraction":          {`{"limit":1.5}`, fault.InvalidField, "limit", ""},
		"too large":         {`{"limit":99999999999999999999}`, fault.InvalidField, "limit", ""},
		"bad time":          {`{"token_id":"a","from":"yesterday"}`, fault.InvalidField, "from", ""},
		"bad as_of":         {`{"as_of":{}}`, fault.InvalidField, "as_of", ""},
		"bad duration":      {`{"after":5}`, fault.InvalidField, "after", ""},
		"nested unknown":    {`{"inner":{"cuont":1}}`, fault.UnknownField, "inner.cuont", ""},
		"nested wrong type": {`{"inner":{"count":"1"}}`, fault.InvalidField, "inner.count", ""},
		"nesting bomb":      {`{"data":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`, fault.BadRequest, "", ""},
		"open nesting bomb": {strings.Repeat(`{"data":`, 1<<18), fault.BadRequest, "", ""},
	} {
		_, err := service.DecodeRequest[request]([]byte(c.payload))
		if !errors.Is(err, c.code) {
			t.Errorf("%s: want %s, have %v", name, c.code, err)
			continue
		}
		details := fault.From(err).Details
		if c.field != "" && details["field"] != c.field {
			t.Errorf("%s: want the field %q, have %v", name, c.field, details)
		}
		if c.hint != "" && details["did_you_mean"] != c.hint {
			t.Errorf("%s: want the hint %q, have %v", name, c.hint, details)
		}
		if message := fault.From(err).Message; len(message) > 400 {
			t.Errorf("%s: the message has %d bytes", name, len(message))
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{
		`{"token_id":"a","data":{"x":[1,"\"}"]},"as_of":5}`, `{"token_id"`, `{"a":{"b":[`, `{"inner":{"count":1},"flag":true,"places":{"a":"b"}}`, `{"limit":1e2,"after":"5s"}`, `{"from":"2026-01-02T03:04:05Z"} `, `{"\u0000":1}`, "{\"\xff\":1}", `{"x":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := service.DecodeRequest[request](data)
		want, wantErr := decodeByTheBook(data)
		if err != nil {
			if code := fault.From(err).Code; code.Status() != 400 {
				t.Fatalf("want a 400, have %v", err)
			}
			// We are stricter about names only.
			if wantErr == nil && !errors.Is(err, fault.UnknownField) {
				t.Fatalf("encoding/json takes what we refuse: %v", err)
			}
			return
		}
		if wantErr != nil {
			t.Fatalf("we take what encoding/json refuses: %v", wantErr)
		}
		if !reflect.DeepEqual(req, want) {
			t.Fatalf("encoding/json reads it as %+v, we as %+v", want, req)
		}
	})
}

// decodeByTheBook decodes with the standard library alone.
func decodeByTheBook(data []byte) (req request, err error) {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) == 0 {
		return req, nil
	}
	if data[0] != '{' {
		return req, errors.New("not an object")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&req); err != nil {
		return req, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return req, errors.New("something follows")
	}
	return req, nil
}
