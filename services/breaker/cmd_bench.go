package breaker

import (
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/bench"
)

func newBench(a *App) *cobra.Command { return bench.Command(a.Console) }
