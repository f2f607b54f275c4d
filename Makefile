# make demo   builds breaker and pushes real work through a fleet of its own
# make test   everything that must hold, in under ten minutes
# make help   the rest

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := $(CURDIR)/bin
export CGO_ENABLED ?= 0

# Modules whose tests make test runs; deploy/tools only pins tools.
MODULES := $(patsubst %/go.mod,%,$(shell git ls-files '*go.mod' 2>/dev/null | grep -v '^deploy/tools/go.mod'))
PACKAGES := $(addsuffix /...,$(addprefix ./,$(MODULES)))
SERVICES := token rules transition function-runner breaker
# Packages whose tests run under the race detector too: the core, and what all services stand on.
RACE := ./pkg/petri/... ./pkg/wire/... ./pkg/fault/... ./pkg/bus/... ./pkg/catalog/... ./pkg/service/... ./pkg/work/... ./services/rules/... ./services/transition/...
FUZZ_TIME ?= 3s
# Modules whose fuzz targets make fuzz runs; make test fuzzes the core alone, since the services take minutes to build for it.
FUZZ_MODULES ?= $(MODULES)
TEST_TIMEOUT ?= 480s

.PHONY: help
help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: ## put every binary into bin/
	@for s in $(SERVICES); do echo "building $$s"; (cd services/$$s && GOWORK=off go build -trimpath -o $(BIN)/$$s ./cmd/$$s) || exit 1; done

.PHONY: demo
demo: breaker ## build breaker, start a fleet with embedded NATS, run real work through it, show the result
	$(BIN)/breaker demo

.PHONY: run
run: breaker ## the same fleet, left up: data in .breaker/, NATS on 4222, HTTP on 8080
	$(BIN)/breaker up --dir .breaker

.PHONY: breaker
breaker:
	@cd services/breaker && GOWORK=off go build -trimpath -o $(BIN)/breaker ./cmd/breaker

.PHONY: test
test: notice lint breaker ## everything that must hold: lint, tests, race detector, short fuzzing, examples
	go test -timeout $(TEST_TIMEOUT) $(PACKAGES)
	@$(MAKE) --no-print-directory race fuzz FUZZ_TIME=1s FUZZ_MODULES=pkg

.PHONY: notice
notice:
	@command -v gcc >/dev/null || echo "!!! gcc is missing: the race detector is LEFT OUT"
	@command -v node >/dev/null && command -v npm >/dev/null || echo "!!! Node or npm is missing: the Node example is LEFT OUT"

.PHONY: race
race: ## the race detector over the core and one service
	@if command -v gcc >/dev/null; then echo "go test -race $(RACE)"; CGO_ENABLED=1 go test -race -short -timeout $(TEST_TIMEOUT) $(RACE); \
	else echo "!!! gcc is missing: the race detector was LEFT OUT"; fi

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZ_TIME (default 3s)
	@for m in $(FUZZ_MODULES); do for p in $$(cd $$m && grep -rlE '^func Fuzz' --include='*_test.go' . 2>/dev/null | xargs -r -n1 dirname | sort -u); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$m/$$p/*_test.go | sed 's/^func //'); do \
			echo "fuzzing $$f in $$m/$$p"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZ_TIME) ./$$m/$$p || exit 1; done; done; done

.PHONY: lint
lint: $(BIN)/staticcheck $(BIN)/gofumpt ## formatting, vet, staticcheck
	@out=$$($(BIN)/gofumpt -l $(MODULES)); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi
	go vet $(PACKAGES)
	$(BIN)/staticcheck $(PACKAGES)

.PHONY: fmt
fmt: $(BIN)/gofumpt ## format everything
	$(BIN)/gofumpt -w $(MODULES)

.PHONY: generate
generate: ## the JSON Schemas and the AsyncAPI document, from the Go types
	go run ./deploy/tools/schemagen

.PHONY: tidy
tidy: ## go mod tidy in every module
	@for m in $(MODULES) deploy/tools; do (cd $$m && GOWORK=off go mod tidy) || exit 1; done

.PHONY: chaos
chaos: breaker ## the long proofs: kills, pauses, clusters
	CHAOS=long go test -count=1 -timeout 3600s -v -run 'Chaos|Kill|Cluster|Takeover|Copies' ./deploy/test/...

.PHONY: bench
bench: breaker ## firings against raw NATS, with all sizes; see deploy/benchmarks.md
	$(BIN)/breaker bench --full

.PHONY: docker-test
docker-test: breaker ## build the images with a real Docker engine, run the fleet, push work through it
	deploy/docker/try.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)

# Tools are pinned in deploy/tools/go.mod.
$(BIN)/staticcheck: deploy/tools/go.mod
	@cd deploy/tools && GOWORK=off go build -o $@ honnef.co/go/tools/cmd/staticcheck
$(BIN)/gofumpt: deploy/tools/go.mod
	@cd deploy/tools && GOWORK=off go build -o $@ mvdan.cc/gofumpt
