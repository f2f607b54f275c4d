module github.com/seed-42b4788c/circuit-breaker/services/transition

go 1.26.0
