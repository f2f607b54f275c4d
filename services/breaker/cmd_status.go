package breaker

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/survey"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newStatus(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Look the fleet over: server, services, streams, workflows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.Bus(cmd.Context())
			if err != nil {
				return err
			}
			progress := a.Console.Progress("workflows", 0)
			found, err := survey.Take(cmd.Context(), b, func(done, total int) {
				progress.Total(int64(total))
				progress.Set(int64(done))
			})
			progress.Finish()
			if err != nil {
				return err
			}
			return a.show(found, func() { a.survey(found) })
		},
	}
}

func (a *App) survey(s *survey.Survey) {
	c := a.Console
	c.Printf("%s %s, nats-server %s, %.2f ms away, messages up to %s\n\n",
		c.Paint(ui.Bold, "server"), ui.Clean(s.Server.URL), ui.Clean(s.Server.Version), s.Server.RoundTrip, bytesText(uint64(s.Server.MaxPayload)))

	services := ui.NewTable("SERVICE", "COPIES", "VERSION")
	for _, service := range s.Services {
		services.Row(ui.Cell{Text: service.Name, Style: ui.Bold}, number(service.Copies), strings.Join(service.Versions, ", "))
	}
	c.Table(services, "no service answers")
	c.Printf("\n")

	streams := ui.NewTable("STREAM", "MESSAGES", "SIZE", "REPLICAS", "LEADER")
	for _, stream := range s.Streams {
		streams.Row(stream.Name, number(stream.Messages), ui.Cell{Text: bytesText(stream.Bytes), Right: true}, number(stream.Replicas), stream.Leader)
	}
	c.Table(streams, "no streams")
	c.Printf("\n")

	workflows := ui.NewTable("WORKFLOW", "VERSION", "STATUS", "ACTIVE", "SUSPENDED", "COMPLETED", "CANCELLED", "LAST EVENT", "VIEW BEHIND")
	for _, w := range s.Workflows {
		lag := number(w.Lag)
		if w.Lag > 0 {
			lag.Style = ui.Warning
		}
		row := []any{ui.Cell{Text: w.Name, Style: ui.Bold}, number(w.Version), workflowStatus(w.Status)}
		for _, status := range wire.Statuses() {
			row = append(row, number(w.Instances[status]))
		}
		workflows.Row(append(row, number(w.LastEvent), lag)...)
	}
	c.Table(workflows, "no workflows; deploy one with breaker deploy FILE")
}
