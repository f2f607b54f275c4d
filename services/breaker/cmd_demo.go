package breaker

import (
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/demo"
)

func newDemo(a *App) *cobra.Command { return demo.Command(a.Console) }
