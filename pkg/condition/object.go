package condition

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	tokenVariable    = "token"
	tokensVariable   = "tokens"
	instanceVariable = "instance"
	dataField        = "data"
	metadataField    = "metadata"
)

var (
	tokenType    = types.NewObjectType("Token")
	instanceType = types.NewObjectType("Instance")
	documentType = types.NewMapType(types.StringType, types.DynType)
	tokensType   = types.NewListType(tokenType)
)

// field is a declared field of a kind of object.
type field[T any] struct {
	kind *types.Type
	get  func(T) ref.Val
}

var tokenFields = map[string]field[*tokenValue]{
	"id":               {types.StringType, func(t *tokenValue) ref.Val { return types.String(t.token.ID) }},
	"place":            {types.StringType, func(t *tokenValue) ref.Val { return types.String(t.token.Place) }},
	"instance_id":      {types.StringType, func(t *tokenValue) ref.Val { return types.String(t.token.InstanceID) }},
	"workflow_id":      {types.StringType, func(t *tokenValue) ref.Val { return types.String(t.token.WorkflowID) }},
	dataField:          {documentType, func(t *tokenValue) ref.Val { return t.document(dataField) }},
	metadataField:      {documentType, func(t *tokenValue) ref.Val { return t.document(metadataField) }},
	"created_at":       {types.TimestampType, func(t *tokenValue) ref.Val { return types.Timestamp{Time: t.token.CreatedAt} }},
	"updated_at":       {types.TimestampType, func(t *tokenValue) ref.Val { return types.Timestamp{Time: t.token.UpdatedAt} }},
	"arrived_at":       {types.TimestampType, func(t *tokenValue) ref.Val { return types.Timestamp{Time: t.token.ArrivedAt} }},
	"arrival_sequence": {types.IntType, func(t *tokenValue) ref.Val { return types.Int(t.token.ArrivalSequence) }},
}

var instanceFields = map[string]field[*instanceValue]{
	"id":               {types.StringType, func(i *instanceValue) ref.Val { return types.String(i.instance.ID) }},
	"workflow_id":      {types.StringType, func(i *instanceValue) ref.Val { return types.String(i.instance.WorkflowID) }},
	"status":           {types.StringType, func(i *instanceValue) ref.Val { return types.String(i.instance.Status) }},
	"workflow_version": {types.IntType, func(i *instanceValue) ref.Val { return types.Int(i.instance.WorkflowVersion) }},
	"tokens":           {tokensType, func(i *instanceValue) ref.Val { return i.marking() }},
	"visits":           {types.NewMapType(types.StringType, types.IntType), func(i *instanceValue) ref.Val { return i.visits() }},
	"created_at":       {types.TimestampType, func(i *instanceValue) ref.Val { return types.Timestamp{Time: i.instance.CreatedAt} }},
	"updated_at":       {types.TimestampType, func(i *instanceValue) ref.Val { return types.Timestamp{Time: i.instance.UpdatedAt} }},
}

// tokenValue is a token as conditions see it.
type tokenValue struct {
	objectValue
	in             *Input
	token          *wire.Token
	data, metadata *object
}

// document is the data or metadata, or an error where it is no JSON object.
func (t *tokenValue) document(name string) ref.Val {
	kept, text := &t.data, t.token.Data
	if name == metadataField {
		kept, text = &t.metadata, t.token.Metadata
	}
	if *kept == nil {
		read, err := document(text)
		if err != nil {
			return types.NewErr("%s.%s is no JSON object", tokenVariable, name)
		}
		*kept = read
	}
	return *kept
}

// Get is a field.
func (t *tokenValue) Get(name ref.Val) ref.Val { return getField(tokenFields, t, name) }

// IsSet reports whether a field exists.
func (t *tokenValue) IsSet(name ref.Val) ref.Val { return isField(tokenFields, name) }

// Type is Token.
func (t *tokenValue) Type() ref.Type { return tokenType }

// Value is the token itself, for the getters of its fields.
func (t *tokenValue) Value() any { return t }

// Equal compares every field.
func (t *tokenValue) Equal(other ref.Val) ref.Val {
	o, ok := other.(*tokenValue)
	return types.Bool(ok && (t.token == o.token || sameFields(tokenFields, t, o)))
}

// AggregateSize is the memory that the token counts for.
func (t *tokenValue) AggregateSize(_ types.AggregateSizer) uint32 {
	return weight(t.token.Data) + weight(t.token.Metadata)
}

// instanceValue is an instance as conditions see it.
type instanceValue struct {
	objectValue
	in       *Input
	instance *wire.Instance
	tokens   traits.Lister
	counts   traits.Mapper
}

func (i *instanceValue) marking() ref.Val {
	if i.tokens == nil {
		i.tokens = i.in.marking()
	}
	return i.tokens
}

func (i *instanceValue) visits() ref.Val {
	if i.counts == nil {
		i.counts = types.NewMap(types.DefaultTypeAdapter, i.instance.Visits)
	}
	return i.counts
}

// Get is a field.
func (i *instanceValue) Get(name ref.Val) ref.Val { return getField(instanceFields, i, name) }

// IsSet reports whether a field exists.
func (i *instanceValue) IsSet(name ref.Val) ref.Val { return isField(instanceFields, name) }

// Type is Instance.
func (i *instanceValue) Type() ref.Type { return instanceType }

// Value is the instance itself, for the getters of its fields.
func (i *instanceValue) Value() any { return i }

// Equal is identity: a condition knows one instance.
func (i *instanceValue) Equal(other ref.Val) ref.Val {
	o, ok := other.(*instanceValue)
	return types.Bool(ok && i == o)
}

// AggregateSize is the memory that the instance counts for.
func (i *instanceValue) AggregateSize(_ types.AggregateSizer) uint32 {
	total := uint32(1)
	for k := range i.instance.Tokens {
		total += weight(i.instance.Tokens[k].Data) + weight(i.instance.Tokens[k].Metadata)
	}
	return total
}

// objectValue is what no object of ours can do.
type objectValue struct{}

// ConvertToNative fails: nothing outside sees these objects.
func (objectValue) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("no conversion to %s", to)
}

// ConvertToType fails.
func (objectValue) ConvertToType(to ref.Type) ref.Val {
	return types.NewErr("a token or an instance cannot be made a %s", to.TypeName())
}

func getField[T any](fields map[string]field[T], of T, name ref.Val) ref.Val {
	text, _ := name.(types.String)
	if f, ok := fields[string(text)]; ok {
		return f.get(of)
	}
	return types.NewErr("no such field '%v'", name)
}

func isField[T any](fields map[string]field[T], name ref.Val) ref.Val {
	text, _ := name.(types.String)
	_, ok := fields[string(text)]
	return types.Bool(ok)
}

func sameFields[T any](fields map[string]field[T], a, b T) bool {
	for _, f := range fields {
		if types.Equal(f.get(a), f.get(b)) != types.True {
			return false
		}
	}
	return true
}

// provider adds our kinds of objects to those of the language.
type provider struct{ *types.Registry }

// FindStructType finds a kind of object.
func (p provider) FindStructType(name string) (*types.Type, bool) {
	switch name {
	case tokenType.TypeName():
		return types.NewTypeTypeWithParam(tokenType), true
	case instanceType.TypeName():
		return types.NewTypeTypeWithParam(instanceType), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldType finds a field.
func (p provider) FindStructFieldType(kind, name string) (*types.FieldType, bool) {
	switch kind {
	case tokenType.TypeName():
		return fieldType(tokenFields, name)
	case instanceType.TypeName():
		return fieldType(instanceFields, name)
	}
	return p.Registry.FindStructFieldType(kind, name)
}

func fieldType[T any](fields map[string]field[T], name string) (*types.FieldType, bool) {
	f, ok := fields[name]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type:  f.kind,
		IsSet: func(any) bool { return true },
		GetFrom: func(of any) (any, error) {
			typed, ok := of.(T)
			if !ok {
				return nil, fmt.Errorf("no such field '%s'", name)
			}
			value := f.get(typed)
			if err, failed := value.(*types.Err); failed {
				return nil, err
			}
			return value, nil
		},
	}, true
}

// NewValue refuses to make our objects: a condition asks about what there is.
func (p provider) NewValue(kind string, fields map[string]ref.Val) ref.Val {
	if kind == tokenType.TypeName() || kind == instanceType.TypeName() {
		return types.NewErr("a condition cannot make a %s", kind)
	}
	return p.Registry.NewValue(kind, fields)
}
