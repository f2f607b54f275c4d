module github.com/seed-42b4788c/circuit-breaker/deploy/tools/schemagen

go 1.26.0

require github.com/seed-42b4788c/circuit-breaker/pkg v0.0.0

require github.com/google/uuid v1.6.0 // indirect

replace github.com/seed-42b4788c/circuit-breaker/pkg => ../../../pkg

replace github.com/seed-42b4788c/circuit-breaker/pkg/natstest => ../../../pkg/natstest
