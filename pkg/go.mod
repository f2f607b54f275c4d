module github.com/seed-42b4788c/circuit-breaker/pkg

go 1.26.0

require github.com/google/uuid v1.6.0 // indirect
