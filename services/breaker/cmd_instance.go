package breaker

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newInstance(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "instance", Aliases: []string{"instances"}, Short: "Instances: get, list, suspend, resume, migrate, cancel"}
	cmd.AddCommand(
		newInstanceGet(a), newInstanceList(a), newInstanceSuspend(a), newInstanceResume(a), newInstanceMigrate(a), newInstanceCancel(a),
	)
	group(cmd)
	return cmd
}

// showInstance shows an instance with its marking.
func (a *App) showInstance(i *wire.Instance) error {
	return a.show(i, func() {
		a.instance(i)
		if len(i.Tokens) > 0 {
			a.Console.Printf("\n")
			a.tokens(i.Tokens)
		}
	})
}

func newInstanceGet(a *App) *cobra.Command {
	var past string
	var replica bool
	cmd := &cobra.Command{
		Use: "get INSTANCE", Short: "Show an instance, now or in the past", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			point, err := asOf(past)
			if err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			instance, err := c.InstanceGet(ctx, wire.InstanceGetRequest{InstanceID: args[0], AsOf: point, Consistent: consistency(replica)})
			if err != nil {
				return err
			}
			return a.showInstance(&instance)
		},
	}
	asOfFlag(cmd, &past)
	replicaFlag(cmd, &replica)
	return cmd
}

func newInstanceList(a *App) *cobra.Command {
	var list listFlags
	var req wire.InstanceListRequest
	var wanted string
	cmd := &cobra.Command{
		Use: "list [WORKFLOW]", Aliases: []string{"ls"}, Short: "List instances",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if req.Status, err = oneOfFlag("status", wanted, wire.Statuses()...); err != nil {
				return err
			}
			if len(args) > 0 {
				req.WorkflowID = args[0]
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			instances, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.Instance, string, error) {
				req.Page = page
				reply, err := c.InstanceList(ctx, req)
				return reply.Instances, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.InstanceListReply{Instances: instances, NextCursor: next}, func() {
				t := ui.NewTable("INSTANCE", "STATUS", "VERSION", "CREATED (UTC)", "CHANGED (UTC)", "WORKFLOW")
				for _, i := range instances {
					t.Row(i.ID, status(i.Status), number(i.WorkflowVersion), clock(i.CreatedAt), clock(i.UpdatedAt), i.WorkflowID)
				}
				a.Console.Table(t, "no instances")
			})
		},
	}
	list.flags(cmd)
	cmd.Flags().StringVar(&wanted, "status", "", "only active, suspended, completed or cancelled ones")
	cmd.Flags().StringVar(&req.NameContains, "name", "", "only of workflows whose name contains this")
	return cmd
}

func newInstanceSuspend(a *App) *cobra.Command {
	var req wire.InstanceSuspendRequest
	cmd := &cobra.Command{
		Use: "suspend INSTANCE", Short: "Hold an instance: nothing in it moves until it is resumed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.InstanceID = args[0]
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			instance, err := c.InstanceSuspend(ctx, req)
			if err != nil {
				return err
			}
			return a.showInstance(&instance)
		},
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	originFlags(cmd, &req.Origin)
	return cmd
}

func newInstanceResume(a *App) *cobra.Command {
	var req wire.InstanceResumeRequest
	cmd := &cobra.Command{
		Use: "resume INSTANCE", Short: "Let a suspended instance go on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.InstanceID = args[0]
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			instance, err := c.InstanceResume(ctx, req)
			if err != nil {
				return err
			}
			return a.showInstance(&instance)
		},
	}
	originFlags(cmd, &req.Origin)
	return cmd
}

func newInstanceMigrate(a *App) *cobra.Command {
	var req wire.InstanceMigrateRequest
	var places []string
	cmd := &cobra.Command{
		Use: "migrate INSTANCE VERSION", Short: "Move an instance to another version of its workflow", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			req.InstanceID = args[0]
			if req.Version, err = versionArg(args[1]); err != nil {
				return err
			}
			if req.Places, err = pairs("place", places); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			instance, err := c.InstanceMigrate(ctx, req)
			if err != nil {
				return err
			}
			return a.showInstance(&instance)
		},
	}
	cmd.Flags().StringArrayVar(&places, "place", nil, "OLD=NEW: a place that has another id in the new version (repeatable)")
	originFlags(cmd, &req.Origin)
	return cmd
}

func newInstanceCancel(a *App) *cobra.Command {
	var req wire.TokenCancelRequest
	cmd := &cobra.Command{
		Use: "cancel INSTANCE", Short: "End an instance and all its tokens", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.InstanceID = args[0]
			return a.cancel(cmd.Context(), req)
		},
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	originFlags(cmd, &req.Origin)
	return cmd
}
