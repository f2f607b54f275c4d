// Package render fills texts in: the URL, the headers and the body of a request, and the
// prompts of agents. A text is a Go template over JSON:
//
//	Order {{ .input.id }} of {{ .input.customer.name | upper }}:
//	{{ range .input.items }}- {{ .sku }} ({{ json .options }})
//	{{ end }}
//
// Templates come from outside, so only the syntax is Go's. Members are looked up and functions
// are called by this package alone: data has no methods, and what is not listed here does not
// exist. The builtin functions call, print, printf, println, html, js and slice are left out.
//
// # Values
//
// A text prints as it is, everything else as JSON; a number has the text that it came with. A
// member that is missing is an error that names it, such as
//
//	http.body: line 2: .input.customer.name is missing
//
// and so is a member of what is no object. get is the kind way to ask. Empty texts, lists and
// objects, 0, false and null count as false.
//
//	json x           x as JSON
//	get x "a" 0      a member of a member, or null; index x "a" 0 is an error instead
//	default y x      y where x is null or empty, as in {{ get .input "name" | default "you" }}
//	lower upper trim
//	join ", " list   its elements, with that in between
//	urlquery x       x for a query of a URL; urlpath x is x for a part of its path
//	len x            how many characters, elements or members
//	eq ne lt le gt ge compare numbers as numbers, and texts; and or not
//
// The caller may add more (Function).
//
// # Limits
//
// A template has at most 64 KiB, and what it makes 1 MiB. range nests twice, and define,
// template and block do not exist, so nothing calls itself; every repetition, every call and
// the bytes that calls handle are counted, and too much work is an error.
//
// Not guaranteed: that what is filled in fits its place. Only urlquery, urlpath and json keep a
// value from meaning something in a URL or in JSON.
package render
