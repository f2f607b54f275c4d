module github.com/seed-42b4788c/circuit-breaker/pkg/natstest

go 1.26.0
