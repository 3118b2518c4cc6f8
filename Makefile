# `make help` lists the targets. Variables: GO, CGO_ENABLED (0: the slow pure Go
# engine, no C compiler or library needed), FUZZTIME, BENCH, BENCHTIME.

GO        ?= go
FUZZTIME  ?= 10s
BENCH     ?= .
BENCHTIME ?= 1s

# Said outright, because Go turns cgo off by itself where it finds no compiler.
export CGO_ENABLED ?= 1
export GO FUZZTIME
# Go's own installer leaves PATH alone; root and sudo often lack this entry.
export PATH := $(PATH):/usr/local/go/bin

pure := CGO_ENABLED=0 $(GO)
# The tests of several packages share the processors: OpenMP's threads must not
# spin while they wait, or the tests take several times as long.
passive := OMP_WAIT_POLICY=passive
# A checkout that git will not read (no git, another owner) builds all the same.
stamp := $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Train a detector on a made-up product and show what it finds (runs/demo)
	bin/destseg demo -o runs/demo

.PHONY: build
build: setup ## Build bin/destseg
	$(GO) build $(stamp) -o bin/destseg ./cmd/destseg

.PHONY: test
test: format vet ## Check and test everything, with oneDNN and without cgo
ifneq ($(CGO_ENABLED),0)
	$(passive) $(GO) test -vet=off ./...
endif
	$(pure) test -vet=off -short ./...

.PHONY: test-browser
test-browser: setup ## Drive the page of the service in a real browser; pictures of it land in runs/browser
	@scripts/setup browser
	$(GO) vet -tags browser ./cmd/destseg
	$(passive) DESTSEG_SCREENSHOTS=$(CURDIR)/runs/browser $(GO) test -vet=off -tags browser -count 1 -run '^TestPage' ./cmd/destseg

.PHONY: race
race: setup ## Test for data races where goroutines share data
	$(passive) $(GO) test -vet=off -short -race . ./train ./synth ./dataset ./internal/training ./internal/download ./teacher/pretrain ./serve/... ./client

.PHONY: lint
lint: format vet ## Format check, go vet and staticcheck, with cgo and without
	$(GO) tool staticcheck -tags browser ./...
	$(pure) tool staticcheck ./...

.PHONY: fuzz
fuzz: setup ## Run every fuzz target for FUZZTIME (10s)
	scripts/fuzz

.PHONY: bench
bench: setup ## Run the benchmarks that match BENCH (.) for BENCHTIME (1s) each
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...

.PHONY: clean
clean: ## Remove what build made
	rm -rf bin

.PHONY: setup
setup: ## Install what the build needs and the machine lacks (Debian, Ubuntu)
	@scripts/setup

.PHONY: format
format: setup
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:" $$unformatted >&2; exit 1; fi

.PHONY: vet
vet: setup
ifneq ($(CGO_ENABLED),0)
	$(GO) vet ./...
endif
	$(pure) vet ./...
