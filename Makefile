# Beckon's commands. `make` lists them.

CARGO ?= cargo
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Cargo uses all cores by itself, and `check` keeps its order under `make -j`, too.
.NOTPARALLEL:
.PHONY: help run build test check fmt clippy docs deny bench bench-index prove-crash prove-nodes prove-redis prove-dispatch prove-geometry prove-nginx prove-peers audit tools

BECKON := ./target/release/beckon

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build Beckon and show it: server, provider stand-in and a story (Ctrl-C ends it)
	$(BECKON) demo

build: ## Build the release binary, target/release/beckon
	$(CARGO) build --release --locked

DATA := $(or $(BECKON_DATA),../shared/data)

test: tools ## Run every test
	@if [ ! -d '$(DATA)' ]; then \
		echo 'SKIPPED: the tests on real data, for there is no folder $(DATA) (set BECKON_DATA)'; \
	fi
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		echo '$(CARGO) nextest run --workspace --locked'; \
		$(CARGO) nextest run --workspace --locked; \
	else \
		echo '$(CARGO) test --workspace --locked'; \
		$(CARGO) test --workspace --locked; \
	fi

# In this order: what is quick comes first, and the tests' summary is the last thing to be read.
check: fmt clippy docs deny test ## Everything that must pass: format, lints, docs, dependencies, tests

fmt: ## Check the format (`cargo fmt` mends it)
	$(CARGO) fmt --all --check

clippy: ## Lint; warnings are errors
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

docs: ## Build the code's documentation; warnings are errors
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

deny: ## Check the dependencies against deny.toml, where cargo-deny is installed
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo '$(CARGO) deny check bans licenses sources'; \
		$(CARGO) deny --workspace --locked check bans licenses sources; \
	else \
		echo 'SKIPPED: cargo deny is not installed, so deny.toml was not checked (cargo install cargo-deny --locked)'; \
	fi

audit: ## Check the dependencies for known faults; fetches the advisory database
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo 'needs cargo-deny: cargo install cargo-deny --locked' >&2; exit 1; }
	$(CARGO) deny --workspace --locked check advisories

bench: ## Drive a release server, then its engine on both stores; replace a large set; measure push client and index
	$(CARGO) build --release --locked --workspace
	./target/release/loadtest commute --spawn $(BECKON)
	./target/release/loadtest replace --spawn $(BECKON)
	./target/release/loadtest engine
	./target/release/loadtest push
	./target/release/loadtest-index compare
	./target/release/loadtest-index swap

bench-index: ## Measure the geofence index against rstar and geo (ROWS=100k-mix,1m-circles for some rows)
	$(CARGO) build --release --locked --package loadtest
	./target/release/loadtest-index compare $(if $(ROWS),--rows $(ROWS))
	./target/release/loadtest-index swap

prove-crash: ## Kill a server again and again and count what was lost (BECKON_PROVE_ROUNDS=100)
	BECKON_PROVE_ROUNDS=$${BECKON_PROVE_ROUNDS:-100} \
		$(CARGO) test --release --locked --test it crash -- --nocapture

prove-nodes: ## Kill and stop four servers that race on few customers; judged from the gateway (BECKON_PROVE_ROUNDS=100)
	BECKON_PROVE_ROUNDS=$${BECKON_PROVE_ROUNDS:-100} \
		$(CARGO) test --release --locked --test it proofs::nodes -- --nocapture

prove-redis: ## Kill, stop, fill and delay Redis, and replace a cluster's masters (BECKON_PROVE_ROUNDS=100)
	BECKON_PROVE_ROUNDS=$${BECKON_PROVE_ROUNDS:-100} \
		$(CARGO) test --release --locked --test it -- --nocapture --test-threads 1 proofs::redis proofs::cluster

prove-dispatch: ## Send a million pushes through all that providers do wrong, cuts, and servers that die (BECKON_PROVE_PUSHES)
	BECKON_PROVE_PUSHES=$${BECKON_PROVE_PUSHES:-1000000} \
		$(CARGO) test --release --locked --test it chaos -- --nocapture --test-threads 1

prove-geometry: ## Hold the index against independent oracles at nasty places (BECKON_PROVE_QUERIES=100000)
	BECKON_PROVE_QUERIES=$${BECKON_PROVE_QUERIES:-100000} \
		$(CARGO) test --release --locked --test geometry -- --nocapture

prove-nginx: ## Send 100,000 pushes through nginx, which closes connections every 1000 (BECKON_PROVE_PUSHES)
	@command -v nginx >/dev/null || { \
		sudo=; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
		$$sudo apt-get update && $$sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get install --yes --no-install-recommends nginx-light; }
	BECKON_PROVE_PUSHES=$${BECKON_PROVE_PUSHES:-100000} \
		$(CARGO) test --locked --test it nginx -- --nocapture

PEERS := $(CURDIR)/target/peers

prove-peers: ## Other people's programs as the other side: node-apn from npm, PyJWT from PyPI
	@if ! { command -v npm && command -v python3; } >/dev/null; then \
		echo 'SKIPPED: npm and python3 are needed to fetch node-apn and PyJWT'; \
	elif mkdir -p $(PEERS) && npm install --silent --no-fund --no-audit --prefix $(PEERS) @parse/node-apn@8.1 && \
		{ test -x $(PEERS)/venv/bin/python || python3 -m venv $(PEERS)/venv; } && \
		$(PEERS)/venv/bin/pip install --quiet 'PyJWT==2.*' cryptography; then \
		BECKON_PEERS=$(PEERS) $(CARGO) test --locked --test it peers -- --nocapture; \
	else \
		echo 'SKIPPED: node-apn or PyJWT could not be fetched'; \
	fi

# What the tests call besides cargo. Installed where apt is there to do it.
tools:
	@missing=; \
	command -v curl >/dev/null || missing=curl; \
	{ command -v redis-server && command -v redis-cli; } >/dev/null || missing="$$missing redis-server"; \
	if [ -n "$$missing" ]; then \
		if ! command -v apt-get >/dev/null; then echo "the tests need $$missing" >&2; exit 1; fi; \
		sudo=; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
		$$sudo apt-get update && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $$missing; \
	fi
