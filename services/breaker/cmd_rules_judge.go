package breaker

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// question is what rules test and rules explain ask.
type question struct {
	wire.RuleEvaluateRequest
	// program judges here, without a fleet; nil where the fleet has the rule.
	program *condition.Program
}

// verdict is what came of all questions.
type verdict struct {
	Passed  bool                     `json:"passed"`
	Results []wire.RuleEvaluateReply `json:"results"`
}

const judgeHelp = `It ends with 0 when every rule has passed, with 7 when one has not.`

func newRulesTest(a *App) *cobra.Command {
	var documents payload
	var place, token, past, text string
	var version int
	cmd := &cobra.Command{
		Use:   "test RULE|FILE",
		Short: "Say what a rule makes of a document or a token, and change nothing",
		Long: `test asks a rule of the fleet, every rule in a file (a name that ends in .yaml, .yml or .json, or
"-"), or the condition given by --condition: about the document in --data, --metadata and --place,
or about a token, now or in the past. A file or a condition about a document needs no fleet.

` + judgeHelp,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeRule,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" && (documents.data == "-" || documents.metadata == "-") {
				return usagef("only one of the rules and the document can be standard input")
			}
			about := wire.RuleEvaluateRequest{TokenID: token}
			var err error
			if about.AsOf, err = asOf(past); err != nil {
				return err
			}
			data, metadata, err := documents.read(a)
			if err != nil {
				return err
			}
			document := data != nil || metadata != nil || place != ""
			switch {
			case !isObject(data) || !isObject(metadata):
				return usagef(`--data and --metadata must be objects such as {"title": "Plan"}`)
			case len(args) == 1 == (text != ""):
				return usagef("name a rule or a file, or give a --condition")
			case document && token != "":
				return usagef("give either a document in --data, --metadata or --place, or a --token, not both")
			case !document && token == "":
				return usagef("give the document to judge in --data, --metadata or --place, or name a --token")
			case past != "" && token == "":
				return usagef("--as-of needs a --token: a document has no past")
			case version != 0 && (text != "" || isFile(args[0])):
				return usagef("--version is that of a rule in the fleet")
			}
			if document {
				about.Token = &wire.GivenToken{Place: place, Data: data, Metadata: metadata}
			}
			about.Version = version
			questions, err := a.questions(args, text, about)
			if err != nil {
				return err
			}
			return a.judge(cmd.Context(), questions)
		},
	}
	documents.flags(cmd, "the token's data")
	cmd.Flags().StringVar(&place, "place", "", "the place where the token stands")
	cmd.Flags().StringVar(&token, "token", "", "judge this token")
	cmd.Flags().StringVar(&text, "condition", "", "judge by this condition: an expression, or a tree in JSON")
	cmd.Flags().IntVar(&version, "version", 0, "an earlier version of the rule (default the newest)")
	asOfFlag(cmd, &past)
	return cmd
}

func newRulesExplain(a *App) *cobra.Command {
	var past string
	cmd := &cobra.Command{
		Use: "explain RULE TOKEN", Short: "Say what a rule makes of a token, now or in the past",
		Long: "explain RULE TOKEN is test RULE --token TOKEN.\n\n" + judgeHelp,
		Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeRule,
		RunE: func(cmd *cobra.Command, args []string) error {
			point, err := asOf(past)
			if err != nil {
				return err
			}
			return a.judge(cmd.Context(), []question{{RuleEvaluateRequest: wire.RuleEvaluateRequest{RuleID: args[0], TokenID: args[1], AsOf: point}}})
		},
	}
	asOfFlag(cmd, &past)
	return cmd
}

// questions are those about one document or token: of a condition, of the rules in a file,
// or of a rule that the fleet has.
func (a *App) questions(args []string, text string, about wire.RuleEvaluateRequest) ([]question, error) {
	language, err := a.conditions()
	if err != nil {
		return nil, err
	}
	if text != "" {
		about.Condition = conditionOf(text)
		program, err := language.Compile("condition", about.Condition)
		return []question{{about, program}}, err
	}
	if !isFile(args[0]) {
		about.RuleID = args[0]
		return []question{{about, nil}}, nil
	}
	files, err := ruleShelf(a).readAll(a, args)
	if err != nil {
		return nil, err
	}
	var all []question
	for _, rule := range files[0].definitions {
		about.RuleID, about.Condition = rule.ID, rule.Condition
		all = append(all, question{about, rule.Program})
	}
	return all, nil
}

// conditionOf takes a tree for a tree, a JSON text for what it says, and anything else for
// an expression.
func conditionOf(text string) json.RawMessage {
	trimmed := strings.TrimSpace(text)
	if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, `"`) && json.Valid([]byte(trimmed)) {
		return json.RawMessage(trimmed)
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return nil
	}
	return raw
}

// isObject tells an object, or nothing at all, from other JSON.
func isObject(raw json.RawMessage) bool {
	return raw == nil || strings.HasPrefix(strings.TrimSpace(string(raw)), "{")
}

// judge asks all questions and shows the answers.
func (a *App) judge(ctx context.Context, questions []question) error {
	v := verdict{Passed: true, Results: []wire.RuleEvaluateReply{}}
	for _, q := range questions {
		answer, err := a.ask(ctx, q)
		if err != nil {
			return err
		}
		v.Passed = v.Passed && answer.Passed
		v.Results = append(v.Results, answer)
	}
	err := a.show(v, func() {
		for _, r := range v.Results {
			a.showAnswer(&r)
		}
	})
	if err == nil && !v.Passed {
		return errNotPassed
	}
	return err
}

func (a *App) ask(ctx context.Context, q question) (wire.RuleEvaluateReply, error) {
	if q.program != nil && q.Token != nil {
		said, err := q.program.Explain(ctx, condition.NewInput(condition.Subject{
			Token: &wire.Token{Place: q.Token.Place, Data: q.Token.Data, Metadata: q.Token.Metadata}, Now: time.Now(),
		}))
		return wire.RuleEvaluateReply{
			RuleID: q.RuleID, Passed: said.Passed, Explanation: said.Text, SubResults: append([]wire.SubResult{}, parts(said.Parts)...),
		}, err
	}
	c, err := a.Client(ctx)
	if err != nil {
		return wire.RuleEvaluateReply{}, err
	}
	ctx, cancel := a.request(ctx)
	defer cancel()
	id := q.RuleID
	if q.Condition != nil {
		q.RuleID = "" // The one in the file counts, whatever the fleet has under its name.
	}
	answer, err := c.RuleEvaluate(ctx, q.RuleEvaluateRequest)
	answer.RuleID = id
	return answer, err
}

func parts(all []condition.Explanation) []wire.SubResult {
	results := make([]wire.SubResult, len(all))
	for i, e := range all {
		results[i] = wire.SubResult{Passed: e.Passed, Explanation: e.Text, SubResults: parts(e.Parts)}
	}
	return results
}

func (a *App) showAnswer(r *wire.RuleEvaluateReply) {
	said, style := "did not pass", ui.Bad
	if r.Passed {
		said, style = "passed", ui.Good
	}
	a.Console.Printf("%s %s: %s\n", ui.Clean(ruleName(r.RuleID, r.Version)), a.Console.Paint(style, said), ui.Clean(r.Explanation))
	a.showParts(r.SubResults, "  ")
}

// showParts writes what each part of a condition said, those of a part below it.
func (a *App) showParts(all []wire.SubResult, indent string) {
	for _, part := range all {
		mark := a.Console.Paint(ui.Bad, "no ")
		if part.Passed {
			mark = a.Console.Paint(ui.Good, "yes")
		}
		a.Console.Printf("%s%s  %s\n", indent, mark, ui.Clean(part.Explanation))
		a.showParts(part.SubResults, indent+"  ")
	}
}
