# Two commands are all one needs: `make demo` and `make test`. Both bring along what is missing.

VENV := $(CURDIR)/.venv
PYTEST := $(VENV)/bin/python -m pytest

# What the tests run against: names of releases, divided by commas, or all. Two releases of one broker take two runs.
export BROKERS ?= activemq-5,rabbitmq-3
each_run = runs=$$($(VENV)/bin/python tests/interop/brokers.py $(2)) || exit 2; failed=; \
	for run in $$runs; do BROKERS=$$run $(1) || failed="$$failed $$run"; done; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# The interpreter that the binary embeds, for every build the same: another one means another build. It
# is the one that .venv was made of; the environment itself is found when the binary starts.
export PYO3_PYTHON = $(shell cat .cache/python 2>/dev/null)
export VIRTUAL_ENV := $(VENV)

.NOTPARALLEL:
.PHONY: help demo test prepare prepare-demo build fmt lint doc test-rust features deny test-python pytest pytest-others interop broker-table wsgi-table suites pythons fuzz faults soak bench instructions instructions-write peers clean

help: ## Say what there is (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## The life of four WSGI requests, frame by frame, on the embedded broker
	@cargo run --quiet -- demo

test: PYTHONS := short
test: prepare fmt lint doc test-rust features deny instructions pytest pytest-others pythons ## Everything that CI runs
	@tests/prepare.sh summary

prepare: ## What the tests need: .venv, libpython, brokers
	@tests/prepare.sh test

prepare-demo:
	@tests/prepare.sh demo

build: prepare-demo
	cargo build

fmt: ## Formatting, checked
	cargo fmt --all --check

lint: prepare-demo ## clippy with every feature, warnings are errors
	cargo clippy --workspace --all-targets --all-features -- -D warnings

doc: prepare-demo ## rustdoc, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

test-rust: prepare-demo ## Unit, property and conformance tests, documentation examples
	@tests/features.sh all

features: prepare-demo ## Every reactor alone, with and without Python, and none
	@tests/features.sh each

deny: ## Licences, bans and sources of the dependencies, where cargo-deny is installed
	@if tests/prepare.sh deny; then cargo deny check licenses bans sources; fi

test-python: prepare build ## pytest with the development broker only
	$(PYTEST) tests -m "not activemq and not rabbitmq and not artemis"

pytest: prepare build ## All tests in Python, with the brokers that BROKERS names
	@$(call each_run,$(PYTEST) tests)

interop: prepare build ## pytest with real brokers: BROKERS=all, or activemq-5,activemq-6,artemis,rabbitmq-3,rabbitmq-4
	@$(call each_run,$(PYTEST) tests -m "activemq or rabbitmq or artemis")

pytest-others: prepare build ## The tests of docs/brokers.md and the faults, shortened, on the brokers that BROKERS leaves out
	@tests=$$(BROKERS= $(VENV)/bin/python tests/interop/guarantees.py tests) && \
	$(call each_run,$(PYTEST) -m "activemq or rabbitmq or artemis" $$tests tests/faults/test_faults.py,others)

broker-table: export BROKERS = all
broker-table: prepare build ## The table of docs/brokers.md, written from a run of its tests on all five brokers
	rm -f .cache/guarantees.json
	@tests=$$(BROKERS= $(VENV)/bin/python tests/interop/guarantees.py tests) && \
	$(call each_run,$(PYTEST) --record .cache/guarantees.json -m "activemq or rabbitmq or artemis" $$tests)
	BROKERS= $(VENV)/bin/python tests/interop/guarantees.py write

wsgi-table: prepare build ## The table of docs/wsgi.md, written from a run of its tests
	$(PYTEST) tests/wsgi --write-table

suites: build ## The test suites of Falcon, Flask and httpbin, their requests sent as messages
	@tests/prepare.sh suites
	$(VENV)/bin/python tests/suites/suites.py $(SUITES)

pythons: prepare ## Other Pythons and the oldest Rust, as root: PYTHONS="3.9 3.13 3.14 3.15 rust", short (a part), or all (the default)
	@tests/pythons.sh $(or $(PYTHONS),all)

fuzz: ## Parser, session, link, TLS, mapping and URI, each fuzzed for FUZZ_TIME seconds (60), by FUZZ_TARGETS
	@fuzz/run.sh

faults: prepare build ## Things broken under load, on real brokers (BROKERS); what is lost, what comes twice, how soon it is well again
	@$(call each_run,$(VENV)/bin/python tests/faults/faults.py $(FAULTS))

soak: prepare ## A million requests on one reactor; memory and descriptors must stay as they are
	cargo build --release
	STOMP_WSGI=$(or $(CARGO_TARGET_DIR),target)/release/stomp-wsgi $(VENV)/bin/python tests/faults/soak.py $(SOAK)

bench: prepare-demo ## What parsing, mapping, WSGI and the broker cost, measured (benches/)
	cargo bench

instructions: prepare-demo ## What the parts cost in instructions, against benches/instructions/limits.json, where valgrind is
	@if tests/prepare.sh valgrind; then $(VENV)/bin/python benches/instructions/count.py; fi

instructions-write: prepare-demo ## What they cost now, made the limits
	@tests/prepare.sh valgrind
	$(VENV)/bin/python benches/instructions/count.py --write

peers: prepare ## stomp-wsgi, other WSGI servers and other STOMP clients, in turn (benches/peers/); PEERS=--help
	@tests/prepare.sh peers
	cargo build --release --bin stomp-wsgi --example peers-echo
	$(VENV)/bin/python benches/peers/peers.py $(PEERS)

clean: ## Remove what was built and prepared
	cargo clean
	rm -rf .venv .cache .pytest_cache
