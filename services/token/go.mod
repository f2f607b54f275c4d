module github.com/seed-42b4788c/circuit-breaker/services/token

go 1.26.0

require (
	github.com/seed-42b4788c/circuit-breaker/pkg v0.0.0
	github.com/seed-42b4788c/circuit-breaker/pkg/natstest v0.0.0
)

replace github.com/seed-42b4788c/circuit-breaker/pkg => ../../pkg

replace github.com/seed-42b4788c/circuit-breaker/pkg/natstest => ../../pkg/natstest
