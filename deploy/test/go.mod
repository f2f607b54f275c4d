module github.com/seed-42b4788c/circuit-breaker/deploy/test

go 1.26.0

require (
	github.com/seed-42b4788c/circuit-breaker/pkg v0.0.0
	github.com/seed-42b4788c/circuit-breaker/pkg/natstest v0.0.0
	github.com/seed-42b4788c/circuit-breaker/services/breaker v0.0.0
	github.com/seed-42b4788c/circuit-breaker/services/token v0.0.0
	github.com/seed-42b4788c/circuit-breaker/services/transition v0.0.0
)

require (
	github.com/anishathalye/porcupine v1.3.1 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	github.com/nats-io/nats-server/v2 v2.15.2 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	go.yaml.in/yaml/v2 v2.4.4 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)

replace github.com/seed-42b4788c/circuit-breaker/pkg => ../../pkg

replace github.com/seed-42b4788c/circuit-breaker/pkg/natstest => ../../pkg/natstest

replace github.com/seed-42b4788c/circuit-breaker/services/token => ../../services/token

replace github.com/seed-42b4788c/circuit-breaker/services/transition => ../../services/transition

replace github.com/seed-42b4788c/circuit-breaker/services/breaker => ../../services/breaker
