package petri

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		` {"b": 1, "a": null} `:                     `{"b":1}`,
		`{"z":{"y":null,"x":[{"w":null},null,1]}}`:  `{"z":{"x":[{},null,1]}}`,
		`[1.0, 1e400, -0, 123456789012345678901.5]`: `[1.0,1e400,-0,123456789012345678901.5]`,
		`"<a> & \u00e9 \u2028 \ud800"`:              `"\u003ca\u003e \u0026 é \u2028 ` + "\ufffd" + `"`,
		`{"a":1,"a":{"b":2}}`:                       `{"a":{"b":2}}`,
		`null`:                                      `null`,
	} {
		got, err := Normalize(json.RawMessage(in), 64)
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v, not %s", in, got, err, want)
		}
	}
	for in, code := range map[string]string{
		``: "invalid_field", `{`: "invalid_field", `{} []`: "invalid_field", `{"a":}`: "invalid_field", "\x00": "invalid_field",
		strings.Repeat("[", 65) + strings.Repeat("]", 65): "limit_exceeded",
		strings.Repeat("[", 1<<20):                        "limit_exceeded",
	} {
		if _, err := Normalize(json.RawMessage(in), 64); err == nil || asRejection(err).Code != code {
			t.Errorf("%.20q gave %v", in, err)
		}
	}
}

// The examples of RFC 7396, appendix A, but for those whose result holds a null, which the
// normal form leaves out.
func TestMergePatchDoesWhatTheRFCSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := MergePatch(json.RawMessage(c.base), json.RawMessage(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s became %s, %v, not %s", c.base, c.patch, got, err, c.want)
		}
	}
}

func TestNormalFormIsWhatMarshalWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := drawJSON(t, "value")
		once, err := Normalize(raw, 0)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		twice, err := Normalize(once, 0)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("%s is not yet normal: %s, %v", once, twice, err)
		}
		if marshalled, err := json.Marshal(once); err != nil || string(marshalled) != string(once) {
			t.Fatalf("Marshal made %s of %s, %v", marshalled, once, err)
		}
		if strings.Contains(string(once), ":null") && !strings.Contains(string(raw), `":null`) {
			t.Fatalf("a null member is left: %s", once)
		}
	})
}

func TestMergingADifferenceGivesTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base, target := drawJSON(t, "base"), drawJSON(t, "target")
		want, err := Normalize(target, 0)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := Diff(base, target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := MergePatch(base, patch)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%s with %s became %s, %v, not %s", base, patch, got, err, want)
		}
		if same, err := Diff(target, target); err != nil || want[0] == '{' && string(same) != `{}` {
			t.Fatalf("%s differs from itself by %s, %v", target, same, err)
		}
	})
}

func TestSplicingIsMerging(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base, patch := toRaw(t, decoded(t, drawObject(t, "base"))), drawObject(t, "patch")
		want, err := MergePatch(base, patch)
		if err != nil {
			t.Fatal(err)
		}
		p, err := decode(patch)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := splice(nil, base, p.(object))
		if !ok || string(got) != string(want) {
			t.Fatalf("%s with %s was spliced to %s, %v, not %s", base, patch, got, ok, want)
		}
	})
}

func TestWhatIsNotNormalIsMergedTheLongWay(t *testing.T) {
	t.Parallel()
	for _, base := range []string{`{"b":1,"a":2}`, ` {"a": 2, "b":1}`, `{"a":2,"b":1 }`, `{"a":2,"b":1,"c":null}`} {
		got, err := mergeStored(json.RawMessage(base), json.RawMessage(`{"c":null,"d":{"e":null}}`))
		if err != nil || string(got) != `{"a":2,"b":1,"d":{}}` {
			t.Errorf("%s became %s, %v", base, got, err)
		}
	}
	for _, base := range []string{``, `{`, `{"a`, `{"a"`, `{"a":`, `{"a":[`, `{"a":"`, `{"a":1`, `{"a":1}}`, `{"a":1,}`, `{,}`, `{"\\":1}x`, `{"\x":1}`} {
		if got, err := mergeStored(json.RawMessage(base), json.RawMessage(`{"a":{"b":1}}`)); err == nil {
			t.Errorf("%s became %s", base, got)
		}
	}
}

func TestMergingLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base, patch := decoded(t, drawObject(t, "base")), decoded(t, drawObject(t, "patch"))
		before := toRaw(t, base)
		path := []string{rapid.SampledFrom(someKeys).Draw(t, "outer"), rapid.SampledFrom(someKeys).Draw(t, "inner")}
		merged := merge(base, prunePatch(patch))
		without(base, path)
		put(base, path, "x")
		diff(base, merged)
		if after := toRaw(t, base); string(before) != string(after) {
			t.Fatalf("%s became %s", before, after)
		}
	})
}

func decoded(t *rapid.T, raw json.RawMessage) any {
	v, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return prune(v)
}

func toRaw(t *rapid.T, v any) json.RawMessage {
	raw, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var someKeys = []string{"a", "b", "items", "item", "k<&>", "é", "function_outputs"}

func drawObject(t *rapid.T, label string) json.RawMessage {
	var b strings.Builder
	writeObject(t, &b, label, 3)
	return json.RawMessage(b.String())
}

func drawJSON(t *rapid.T, label string) json.RawMessage {
	var b strings.Builder
	writeJSON(t, &b, label, 4)
	return json.RawMessage(b.String())
}

func writeObject(t *rapid.T, b *strings.Builder, label string, depth int) {
	b.WriteByte('{')
	for i, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(someKeys), 0, 4, rapid.ID[string]).Draw(t, label) {
		if i > 0 {
			b.WriteString(", ")
		}
		name, _ := json.Marshal(key)
		b.Write(name)
		b.WriteByte(':')
		writeJSON(t, b, label, depth-1)
	}
	b.WriteByte('}')
}

func writeJSON(t *rapid.T, b *strings.Builder, label string, depth int) {
	most := 6
	if depth <= 0 {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(t, label) {
	case 0:
		b.WriteString(`null`)
	case 1:
		b.WriteString(rapid.SampledFrom([]string{`0`, `-0`, `1`, `1.0`, `1e3`, `12345678901234567890.10`}).Draw(t, label))
	case 2:
		b.WriteString(rapid.SampledFrom([]string{`"x"`, `"<&>"`, `"\u2028"`, `"\ud800"`, `""`}).Draw(t, label))
	case 3:
		b.WriteString(rapid.SampledFrom([]string{`true`, `false`}).Draw(t, label))
	case 4:
		b.WriteByte('[')
		for i := range rapid.IntRange(0, 3).Draw(t, label) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(t, b, label, depth-1)
		}
		b.WriteByte(']')
	default:
		writeObject(t, b, label, depth)
	}
}
