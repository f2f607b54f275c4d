module github.com/seed-42b4788c/circuit-breaker/services/breaker

go 1.26.0
