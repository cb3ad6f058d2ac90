# firedrill: the commands that README names. `make check` is the one gate.

GO      ?= go
LINT    := $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: build check lint test conformance bench soak fuzz clean

build: ## the binary, into bin/
	$(GO) build -trimpath -o bin/firedrill ./cmd/firedrill

check: lint test conformance ## what must pass before anything lands

lint: ## format, vet, linters
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(LINT) run ./...

test: ## every test, race detector included
	$(GO) test -race -timeout 20m ./...

conformance: ## the platform's own SDK against the sandbox, a module of its own
	cd conformance && $(GO) vet ./... && $(GO) test -race -timeout 10m ./...

soak: ## the long matrices that `test` only samples
	FIREDRILL_SOAK=1 $(GO) test -race -timeout 4h ./...

bench: ## measurements, side by side with what they are compared to
	$(GO) run ./bench/timetravel
	$(GO) run ./bench/deploy
	$(GO) run ./bench/kv
	$(GO) run ./bench/throughput
	$(GO) run ./bench/backup
	$(GO) run ./bench/fingerprint
	$(GO) run ./bench/transfer
	$(GO) run ./bench/measure
	$(GO) run ./bench/history
	$(GO) run ./bench/evidence
	$(GO) test -run '^$$' -bench . -benchtime 1s ./internal/journal ./internal/engine ./internal/testkit/sandboxtest

fuzz: ## every fuzz target for FUZZTIME
	./tools/fuzz

clean:
	rm -rf bin
