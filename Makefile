# Carillon. `make help` lists what there is. All that is downloaded or written lies in .venv and .carillon.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3.11
BIN := .venv/bin
STAMPS := .carillon/stamps
SOURCES := schemas tables agents flows deploy

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' $(MAKEFILE_LIST))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMPS)/tools $(STAMPS)/packages $(STAMPS)/jars ## Make .venv and fetch all that is missing; quick when nothing changed

demo: setup ## Start everything, send traffic through, show what happened; Ctrl-C stops it
	$(BIN)/carillon demo

# Half of their time tests wait: two processes share them, file by file, each with servers of its own.
test: setup ## Run every test, the broker-level ones against a real broker
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

simulate: setup ## Play the engine's logic under simulated faults: SEEDS=2000, or SEED=n alone
	$(BIN)/python -m tests.simulation.run

fuzz: setup ## Send hostile records and templates through every stage in memory: SECONDS=60
	$(BIN)/python -m tests.fuzz.run

check: setup ## Lint, types, layers and the shape of the tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/shape

bench-route: setup ## Measure the routing stage beside a plain loop and stock Faust
	$(BIN)/python tests/bench/route.py

bench-peers: setup $(STAMPS)/peers ## The same beside Kafka Streams, Quix, Bytewax and Faust, too
	PEERS=$${PEERS:-all} $(BIN)/python tests/bench/route.py

bench-steady: setup $(STAMPS)/peers ## Measure added latency and cost at steady rates, beside the peers
	$(BIN)/python tests/bench/steady.py

bench-kills: setup $(STAMPS)/peers ## Count what each peer loses and repeats under twelve kills
	$(BIN)/python tests/bench/kills.py

bench-pipeline: setup ## Measure the whole pipeline's throughput
	$(BIN)/python tests/bench/pipeline.py

bench-blast: setup ## Measure OTPs while ten times as much marketing comes
	$(BIN)/python tests/bench/blast.py

bench-latency: setup ## Measure due -> provider call under open-loop load
	$(BIN)/python tests/bench/latency.py

bench-stand: setup ## Measure how long the high lanes stand still when a worker dies
	$(BIN)/python tests/bench/standing.py

chaos: setup ## Strike the whole pipeline with faults and pairs of faults, then audit it: SEEDS=3 DURATION=60
	$(BIN)/python tests/chaos/chaos.py

soak: setup ## The same for hours: HOURS=1
	HOURS=$(or $(HOURS),1) SEEDS=1000000 DURATION=$(or $(DURATION),600) $(BIN)/python tests/chaos/chaos.py

chaos-brokers: setup ## Kill the leader of three brokers, then two of the three
	$(BIN)/python tests/chaos/brokers.py

chaos-route: setup ## Kill and rebalance the routing flow; count what was lost or repeated
	$(BIN)/python tests/chaos/route.py

chaos-deliver: setup ## Kill delivery workers; count repeated calls
	$(BIN)/python tests/chaos/deliver.py

chaos-scale: setup ## Grow routing to four workers and back under load
	$(BIN)/python tests/chaos/scale.py

chaos-lanes: setup ## Measure OTPs beside an import of people, OTPs and opt-outs beside a marketing backlog
	$(BIN)/python tests/chaos/lanes.py

chaos-selftest: setup ## Plant faults in the engine; the audit must see each of them
	$(BIN)/python tests/chaos/selftest.py

chaos-stock: setup ## Put the pipeline on stock Faust through the same load, kills and audit
	$(BIN)/python tests/chaos/stock.py

report: setup ## Draw tests/evidence from what the runs above have left
	$(BIN)/python -m tests.report

requirements: ## Pin requirements/*.in again, with hashes, after a change
	$(PYTHON) -m venv .carillon/pip-tools
	.carillon/pip-tools/bin/pip install -q pip-tools
	cd requirements && for name in run dev peers; do ../.carillon/pip-tools/bin/pip-compile --quiet --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe --no-header \
		--annotation-style=line -o $$name.txt $$name.in || exit 1; done

clean: ## Remove all that setting up and running has left
	rm -rf .venv .carillon .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find $(SOURCES) tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Names every missing tool at once, before anything is downloaded.
$(STAMPS)/tools:
	@missing=; \
	command -v $(PYTHON) >/dev/null || missing="$$missing\n  $(PYTHON): Debian: apt-get install python3.11 python3.11-venv; or: make PYTHON=/path/to/python3.11"; \
	command -v mvn >/dev/null || missing="$$missing\n  mvn: Debian: apt-get install maven"; \
	version=$$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1); \
	[ "$${version:-0}" -ge 17 ] || missing="$$missing\n  Java 17 or later: Debian: apt-get install openjdk-17-jre-headless"; \
	if [ -n "$$missing" ]; then printf "Missing, please install:$$missing\n" >&2; exit 1; fi
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages: requirements/run.txt requirements/dev.txt pyproject.toml | $(STAMPS)/tools
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/dev.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/jars: deploy/local/kafka/pom.xml deploy/local/dynamodb/pom.xml $(STAMPS)/packages
	$(BIN)/python -m deploy.local.fetch
	@touch $@

# Only the benchmarks beside the peers need these.
$(STAMPS)/peers: requirements/peers.txt $(shell find tests/bench/peers/streams -type f) $(STAMPS)/packages
	@command -v javac >/dev/null || { printf "Missing, please install:\n  javac: Debian: apt-get install openjdk-17-jdk-headless\n" >&2; exit 1; }
	$(PYTHON) -m venv .carillon/peers
	.carillon/peers/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/peers.txt
	mvn -q -B -f tests/bench/peers/streams/pom.xml package
	@touch $@
