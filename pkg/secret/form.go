package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf16"
)

// forms are the ways in which a value may be written.
func forms(value string) []string {
	all := []string{value, html.EscapeString(value)}
	all = append(all, jsonForms(value)...)
	all = append(all, urlForms(value)...)
	all = append(all, base64Forms(value)...)
	all = append(all, hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))))
	return all
}

// jsonForms differ in what they escape besides what must be: nothing, HTML's characters,
// slashes, or all that is not ASCII.
func jsonForms(value string) []string {
	inner := func(quoted []byte) string { return string(quoted[1 : len(quoted)-1]) }
	plain := inner(quote(value))
	all := []string{plain, strings.ReplaceAll(plain, "/", `\/`)}
	if escaped, err := json.Marshal(value); err == nil {
		all = append(all, inner(escaped))
	}
	var ascii strings.Builder
	for _, c := range plain {
		if c < 0x80 {
			ascii.WriteRune(c)
			continue
		}
		for _, unit := range utf16.Encode([]rune{c}) {
			fmt.Fprintf(&ascii, `\u%04x`, unit)
		}
	}
	return append(all, ascii.String())
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// urlForms are those of Go and of JavaScript, with big and with small digits.
func urlForms(value string) []string {
	query := url.QueryEscape(value)
	spaces := strings.ReplaceAll(query, "+", "%20")
	script := strings.NewReplacer("%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(spaces)
	all := []string{query, spaces, script, url.PathEscape(value)}
	for _, form := range all {
		all = append(all, percent.ReplaceAllStringFunc(form, strings.ToLower))
	}
	return all
}

// base64Forms are the value alone, and what stays the same of it inside something longer: that
// depends only on where it begins in a group of three bytes.
func base64Forms(value string) []string {
	var all []string
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		all = append(all, encoding.EncodeToString([]byte(value)))
		for shift := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, shift), value...))
			first := (shift*8 + 5) / 6
			last := (shift + len(value)) * 8 / 6
			all = append(all, encoded[first:last])
		}
	}
	return all
}
