module github.com/seed-42b4788c/circuit-breaker/deploy/examples

go 1.26.0

require (
	github.com/seed-42b4788c/circuit-breaker/pkg v0.0.0
	sigs.k8s.io/yaml v1.6.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	go.yaml.in/yaml/v2 v2.4.4 // indirect
)

replace github.com/seed-42b4788c/circuit-breaker/pkg => ../../pkg

replace github.com/seed-42b4788c/circuit-breaker/pkg/natstest => ../../pkg/natstest
