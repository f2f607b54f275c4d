package render

import (
	"strconv"
	"strings"
	"text/template/parse"
)

// Functions that only rewritten templates call: a template that names them is refused, since
// the parser does not know them.
const (
	fieldFunction  = "_field"
	textFunction   = "_text"
	itemsFunction  = "_items"
	filledFunction = "_filled"
)

// rewriter has all work done by the functions of this package: it turns .a.b into a call, and
// ends each pipeline with the function that its place wants. It also refuses what is left out.
type rewriter struct {
	tree      *parse.Tree
	functions []Function
	line      int
	reason    string
}

func (r *rewriter) refuse(at parse.Node, reason string) {
	if r.reason != "" {
		return
	}
	location, _ := r.tree.ErrorContext(at)
	r.line, _ = locate("template: " + location + ": ")
	r.reason = reason
}

func (r *rewriter) list(list *parse.ListNode, nesting int) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.ActionNode:
			r.pipe(n.Pipe)
			if len(n.Pipe.Decl) == 0 {
				r.end(n.Pipe, textFunction)
			}
		case *parse.IfNode:
			r.branch(&n.BranchNode, filledFunction, nesting)
		case *parse.WithNode:
			r.branch(&n.BranchNode, filledFunction, nesting)
		case *parse.RangeNode:
			if nesting == MaxNesting {
				r.refuse(n, "range nests more than twice")
			}
			r.branch(&n.BranchNode, itemsFunction, nesting)
			// Each repetition writes something, if only nothing: that is how they are counted.
			tick := &parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos}
			n.List.Nodes = append([]parse.Node{tick}, n.List.Nodes...)
		case *parse.TextNode, *parse.BreakNode, *parse.ContinueNode, *parse.CommentNode:
		case *parse.TemplateNode:
			r.refuse(n, "define, template and block are not possible")
		default:
			r.refuse(n, "this is not possible here")
		}
	}
}

func (r *rewriter) branch(n *parse.BranchNode, last string, nesting int) {
	r.pipe(n.Pipe)
	r.end(n.Pipe, last)
	inside := nesting
	if n.NodeType == parse.NodeRange {
		inside++
	}
	r.list(n.List, inside)
	r.list(n.ElseList, nesting)
}

// end appends a call of a function to a pipeline.
func (r *rewriter) end(pipe *parse.PipeNode, function string) {
	pipe.Cmds = append(pipe.Cmds, command(pipe.Pos, parse.NewIdentifier(function).SetPos(pipe.Pos)))
}

func (r *rewriter) pipe(pipe *parse.PipeNode) {
	var cmds []*parse.CommandNode
	for i, cmd := range pipe.Cmds {
		piped := i > 0
		function, ok := cmd.Args[0].(*parse.IdentifierNode)
		if !ok && (piped || len(cmd.Args) > 1) {
			r.refuse(cmd.Args[0], "only a function has arguments")
		}
		if cmd.Args[0].Type() == parse.NodeNil {
			r.refuse(cmd.Args[0], "nil is only an argument")
		}
		r.added(cmd, piped)
		for k, arg := range cmd.Args {
			cmd.Args[k] = r.argument(arg)
		}
		if ok && (function.Ident == "and" || function.Ident == "or") {
			for k, arg := range cmd.Args[1:] {
				cmd.Args[1+k] = filled(arg)
			}
			if piped {
				cmds = append(cmds, command(cmd.Pos, parse.NewIdentifier(filledFunction).SetPos(cmd.Pos)))
			}
		}
		cmds = append(cmds, cmd)
	}
	pipe.Cmds = cmds
}

// filled has and, and or, which text/template knows by itself, take 0 for false.
func filled(arg parse.Node) parse.Node {
	switch arg.Type() {
	case parse.NodePipe, parse.NodeVariable, parse.NodeDot:
		pos := arg.Position()
		last := command(pos, parse.NewIdentifier(filledFunction).SetPos(pos))
		return &parse.PipeNode{NodeType: parse.NodePipe, Pos: pos, Cmds: []*parse.CommandNode{command(pos, arg), last}}
	}
	return arg
}

// added checks a call of one of the caller's functions.
func (r *rewriter) added(cmd *parse.CommandNode, piped bool) {
	for i, arg := range cmd.Args {
		name, ok := arg.(*parse.IdentifierNode)
		if !ok {
			continue
		}
		for _, f := range r.functions {
			if f.Name != name.Ident {
				continue
			}
			if i > 0 || piped || len(cmd.Args) != 2 || cmd.Args[1].Type() != parse.NodeString {
				r.refuse(arg, f.Name+` has one text that is written out, such as {{ `+f.Name+` "NAME" }}`)
			} else if text := cmd.Args[1].(*parse.StringNode).Text; f.Check != nil {
				if err := f.Check(text); err != nil {
					r.refuse(arg, err.Error())
				}
			}
		}
	}
}

func (r *rewriter) argument(node parse.Node) parse.Node {
	switch n := node.(type) {
	case *parse.FieldNode:
		return lookup(n.Pos, "", &parse.DotNode{NodeType: parse.NodeDot, Pos: n.Pos}, n.Ident)
	case *parse.VariableNode:
		if len(n.Ident) == 1 {
			return n
		}
		base := &parse.VariableNode{NodeType: parse.NodeVariable, Pos: n.Pos, Ident: n.Ident[:1]}
		return lookup(n.Pos, strings.TrimSuffix(n.Ident[0], "$"), base, n.Ident[1:])
	case *parse.ChainNode:
		return lookup(n.Pos, "(…)", r.argument(n.Node), n.Field)
	case *parse.PipeNode:
		r.pipe(n)
		if len(n.Decl) > 0 {
			r.refuse(n, "a variable is set outside of parentheses")
		}
	}
	return node
}

// lookup is a call of fieldFunction: what the base is called, the base, and the members. The
// root and the dot are called nothing, so that a path begins with its point.
func lookup(pos parse.Pos, called string, base parse.Node, members []string) parse.Node {
	args := []parse.Node{parse.NewIdentifier(fieldFunction).SetPos(pos), text(pos, called), base}
	for _, member := range members {
		args = append(args, text(pos, member))
	}
	return &parse.PipeNode{NodeType: parse.NodePipe, Pos: pos, Cmds: []*parse.CommandNode{command(pos, args...)}}
}

func command(pos parse.Pos, args ...parse.Node) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: args}
}

func text(pos parse.Pos, s string) parse.Node {
	return &parse.StringNode{NodeType: parse.NodeString, Pos: pos, Quoted: strconv.Quote(s), Text: s}
}
