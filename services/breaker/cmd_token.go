package breaker

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newToken(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Aliases: []string{"tokens"}, Short: "Tokens: create, get, list, history, update, cancel, inject, find"}
	cmd.AddCommand(
		newTokenCreate(a), newTokenGet(a), newTokenList(a), newTokenHistory(a),
		newTokenUpdate(a), newTokenCancel(a), newTokenInject(a), newTokenFind(a),
	)
	group(cmd)
	return cmd
}

func newTokenCreate(a *App) *cobra.Command {
	var req wire.TokenCreateRequest
	var documents payload
	cmd := &cobra.Command{
		Use: "create WORKFLOW", Short: "Start an instance with its first token",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			req.WorkflowID = args[0]
			if req.Data, req.Metadata, err = documents.read(a); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			token, err := c.TokenCreate(ctx, req)
			if err != nil {
				return err
			}
			return a.show(token, func() { a.token(&token) })
		},
	}
	documents.flags(cmd, "the token's data")
	cmd.Flags().StringVar(&req.Place, "place", "", "where it starts (default the workflow's initial place)")
	originFlags(cmd, &req.Origin)
	return cmd
}

func newTokenGet(a *App) *cobra.Command {
	var req wire.TokenGetRequest
	var past string
	var replica bool
	cmd := &cobra.Command{
		Use: "get TOKEN", Short: "Show a token, now or in the past", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			req.TokenID = args[0]
			if req.AsOf, err = asOf(past); err != nil {
				return err
			}
			req.Consistent = consistency(replica)
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			token, err := c.TokenGet(ctx, req)
			if err != nil {
				return err
			}
			return a.show(token, func() {
				a.token(&token)
				if len(token.TransitionHistory) > 0 {
					a.Console.Printf("\n")
					a.history(token.TransitionHistory)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&req.History, "history", false, "with the token's steps")
	cmd.Flags().StringVar(&req.WorkflowID, "workflow", "", "the token's workflow, where its id alone is not enough")
	asOfFlag(cmd, &past)
	replicaFlag(cmd, &replica)
	return cmd
}

// replicaFlag allows a read to be answered by a replica that may lag.
func replicaFlag(cmd *cobra.Command, replica *bool) {
	cmd.Flags().BoolVar(replica, "replica", false, "let any replica answer, even one that lags")
}

func consistency(replica bool) *bool {
	if !replica {
		return nil
	}
	no := false
	return &no
}

func newTokenList(a *App) *cobra.Command {
	var list listFlags
	var req wire.TokenListRequest
	cmd := &cobra.Command{
		Use: "list [WORKFLOW]", Aliases: []string{"ls"}, Short: "List the tokens that stand in a place, in a workflow or anywhere",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				req.WorkflowID = args[0]
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			tokens, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.Token, string, error) {
				req.Page = page
				reply, err := c.TokenList(ctx, req)
				return reply.Tokens, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.TokenListReply{Tokens: tokens, NextCursor: next}, func() { a.tokens(tokens) })
		},
	}
	list.flags(cmd)
	cmd.Flags().StringVar(&req.Place, "place", "", "only tokens in this place")
	cmd.Flags().Uint64Var(&req.MinSequence, "min-sequence", 0, "wait until the view has reached this revision")
	return cmd
}

func newTokenHistory(a *App) *cobra.Command {
	var list listFlags
	cmd := &cobra.Command{
		Use: "history TOKEN", Short: "List a token's steps, oldest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			records, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.TransitionRecord, string, error) {
				reply, err := c.TokenHistory(ctx, wire.TokenHistoryRequest{TokenID: args[0], Page: page})
				return reply.Records, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.TokenHistoryReply{Records: records, NextCursor: next}, func() { a.history(records) })
		},
	}
	list.flags(cmd)
	return cmd
}

func newTokenUpdate(a *App) *cobra.Command {
	var req wire.TokenUpdateRequest
	var documents payload
	cmd := &cobra.Command{
		Use: "update TOKEN", Short: "Change a token where it stands", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			req.TokenID = args[0]
			if req.Data, req.Metadata, err = documents.read(a); err != nil {
				return err
			}
			if req.Data == nil && req.Metadata == nil {
				return usagef("nothing to change: give --data or --metadata")
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			token, err := c.TokenUpdate(ctx, req)
			if err != nil {
				return err
			}
			return a.show(token, func() { a.token(&token) })
		},
	}
	documents.flags(cmd, "a merge patch (RFC 7396) for the data")
	fenceFlags(cmd, &req.ExpectedSequence, &req.ArrivalSequence)
	originFlags(cmd, &req.Origin)
	return cmd
}

func newTokenCancel(a *App) *cobra.Command {
	var req wire.TokenCancelRequest
	cmd := &cobra.Command{
		Use: "cancel TOKEN", Short: "Take one token out of its instance", Args: cobra.ExactArgs(1),
		Long: "cancel takes one token out of its instance; breaker instance cancel ends a whole instance.",
		RunE: func(cmd *cobra.Command, args []string) error {
			req.TokenID = args[0]
			return a.cancel(cmd.Context(), req)
		},
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	originFlags(cmd, &req.Origin)
	return cmd
}

// cancel ends a token or an instance, whichever the request names.
func (a *App) cancel(ctx context.Context, req wire.TokenCancelRequest) error {
	c, err := a.Client(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := a.request(ctx)
	defer cancel()
	instance, err := c.TokenCancel(ctx, req)
	if err != nil {
		return err
	}
	return a.showInstance(&instance)
}

func newTokenInject(a *App) *cobra.Command {
	var req wire.TokenInjectRequest
	var documents payload
	cmd := &cobra.Command{
		Use: "inject INSTANCE PLACE", Short: "Put a new token into a running instance", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			req.InstanceID, req.Place = args[0], args[1]
			if req.Data, req.Metadata, err = documents.read(a); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			if req.WorkflowID == "" {
				instance, err := c.InstanceGet(ctx, wire.InstanceGetRequest{InstanceID: req.InstanceID})
				if err != nil {
					return err
				}
				req.WorkflowID = instance.WorkflowID
			}
			token, err := c.TokenInject(ctx, req)
			if err != nil {
				return err
			}
			return a.show(token, func() { a.token(&token) })
		},
	}
	documents.flags(cmd, "the token's data")
	cmd.Flags().StringVar(&req.WorkflowID, "workflow", "", "the instance's workflow (default: looked up)")
	originFlags(cmd, &req.Origin)
	return cmd
}

func newTokenFind(a *App) *cobra.Command {
	var req wire.TokenFindRequest
	cmd := &cobra.Command{
		Use: "find WORKFLOW CONDITION", Short: "Find tokens by a CEL condition", Args: cobra.ExactArgs(2),
		Example:           `  breaker token find document_review 'token.data.amount > 1000.0'`,
		ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.WorkflowID, req.Where = args[0], args[1]
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			found, err := c.TokenFind(ctx, req)
			if err != nil {
				return err
			}
			return a.show(found, func() {
				a.tokens(found.Tokens)
				if found.Truncated {
					a.Console.Notef("%s\n", a.Console.PaintErr(ui.Warning, "the scan ended before the last token: there may be more"))
				}
			})
		},
	}
	cmd.Flags().IntVar(&req.Limit, "limit", 0, "how many to find at most (default: the service's)")
	return cmd
}
