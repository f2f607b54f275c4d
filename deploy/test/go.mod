module github.com/seed-42b4788c/circuit-breaker/deploy/test

go 1.26.0
