package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// comments are what pkg/wire says of its types and their fields.
type comments struct {
	types  map[string]string            // by type
	fields map[string]map[string]string // by type, by field
}

func readComments(dir string) (*comments, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no Go files in %s", dir)
	}
	c := &comments{types: map[string]string{}, fields: map[string]map[string]string{}}
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("reading comments: %w", err)
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				c.readTypes(g)
			}
		}
	}
	return c, nil
}

func (c *comments) readTypes(g *ast.GenDecl) {
	for _, s := range g.Specs {
		spec := s.(*ast.TypeSpec)
		doc := spec.Doc.Text()
		if doc == "" {
			doc = g.Doc.Text()
		}
		c.types[spec.Name.Name] = oneParagraph(doc)
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		fields := map[string]string{}
		for _, f := range structure.Fields.List {
			for _, name := range f.Names {
				fields[name.Name] = oneParagraph(f.Doc.Text())
			}
		}
		c.fields[spec.Name.Name] = fields
	}
}

func oneParagraph(doc string) string { return strings.Join(strings.Fields(doc), " ") }

// aboutType is a type's comment in the words of the wire: members carry their JSON names.
func (c *comments) aboutType(t reflect.Type) string {
	return onWire(withoutSubject(c.types[t.Name()], t.Name()), t)
}

// aboutField is a field's comment in the words of the wire.
func (c *comments) aboutField(owner reflect.Type, f reflect.StructField) string {
	return onWire(withoutSubject(c.fields[owner.Name()][f.Name], f.Name), owner)
}

// inWords says what a reader of Go looks up.
var inWords = strings.NewReplacer(
	"MaxPage", strconv.Itoa(wire.MaxPage), "DefaultPage", strconv.Itoa(wire.DefaultPage),
	" (State.Fill)", "", "State.AutomaticChains", "automatic_chains in state.json", "RememberedRequest", "state.json", "the Nats fields", "the nats_ members",
	"StatusCompleted", "completed",
)

func onWire(text string, t reflect.Type) string {
	text = inWords.Replace(text)
	if text == "" || t.Kind() != reflect.Struct {
		return text
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _ := jsonName(f)
		if f.Anonymous || name == "" || name == t.Name() {
			continue
		}
		word := regexp.MustCompile(`\b` + f.Name + `\b`)
		text = word.ReplaceAllString(text, name)
	}
	return text
}

// withoutSubject drops the name that Go's comments begin with: "Token is a document"
// becomes "A document", "Limit bounds the page" becomes "Bounds the page".
func withoutSubject(text, name string) string {
	rest, ok := strings.CutPrefix(text, name+" ")
	if !ok || strings.HasPrefix(rest, "and ") {
		return text
	}
	for _, verb := range []string{"is ", "are "} {
		rest = strings.TrimPrefix(rest, verb)
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}
