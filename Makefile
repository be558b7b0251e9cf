# Needs make and Python >= 3.11; everything else comes from requirements/*.txt, by hash, into .venv.
PY   ?= python3.11 python3 python3.12 python3.13 python3.14
VENV ?= .venv
JOBS ?= 2
UV   ?= uv

BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal
CODE   := $(wildcard src tests tools bench)

# The vendors' own clients, which the tests send against a gateway: each in an environment of its own.
FOREIGN := $(patsubst requirements/foreign-%.txt,%,$(wildcard requirements/foreign-*.txt))
LARGE   := $(filter litellm inspect datasets,$(FOREIGN))
LIGHT   := $(filter-out $(LARGE),$(FOREIGN))
NPM     ?= npm

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all foreign foreign-all lint check coverage bench bench-gateway soak soak-memory lock clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## see it work, here and now: no key, no network
	@$(BIN)/midshift demo

test: $(VENV)/.dev foreign ## the tests, but for those marked heavy or browser
	@$(PYTEST) -m "not heavy and not browser"

test-all: $(VENV)/.dev foreign-all ## every test
	@$(PYTEST)

foreign: $(LIGHT:%=.foreign/%/.made) ## the vendors' Python clients, for the tests in tests/foreign

foreign-all: foreign $(LARGE:%=.foreign/%/.made) .foreign/node/.made ## and those that are large

lint: $(VENV)/.dev ## style, types, the direction of imports, the documents
	@failed=; \
	$(BIN)/ruff check $(CODE) || failed="$$failed style"; \
	$(BIN)/ruff format --check $(CODE) || failed="$$failed format"; \
	$(BIN)/mypy $(CODE) || failed="$$failed types"; \
	$(BIN)/lint-imports --no-logo || failed="$$failed imports"; \
	$(BIN)/python tools/check_docs.py || failed="$$failed documents"; \
	$(BIN)/python tools/write_reference.py --check || failed="$$failed reference"; \
	$(BIN)/python tools/write_states.py --check || failed="$$failed states"; \
	$(BIN)/python tools/write_pins.py --check || failed="$$failed pins"; \
	[ -z "$$failed" ] || { echo "make lint: faults in$$failed (formatting is mended by: $(BIN)/ruff format $(CODE))" >&2; exit 1; }

check: test lint ## test and lint: what a change must pass

coverage: $(VENV)/.dev ## which lines no test runs
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -m "not heavy and not browser"
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

bench: $(VENV)/.dev ## measure: runs each bench/bench_*.py
	@found=0; for f in bench/bench_*.py; do \
		[ -e "$$f" ] || continue; found=1; echo "$$f"; $(BIN)/python "$$f" || exit 1; done; \
	[ $$found = 1 ] || { echo "make bench: no bench/bench_*.py here" >&2; exit 1; }

bench-gateway: $(VENV)/.dev ## one core of gateway, ours beside those that are installed (needs cc; FLAGS="--only envoy")
	@$(BIN)/python -m bench.gateway.bench $(FLAGS)

soak: $(VENV)/.dev ## half an hour of killed gateways, failing providers and leaving apps; every request accounted for
	@$(BIN)/python -m tests.cli.chaos --seconds 1800

soak-memory: $(VENV)/.dev ## 10 million requests, after which a gateway holds no more than before (half an hour)
	@$(BIN)/python -m bench.gateway.memory --requests 10000000

# Keeps the pins that still fit; UPGRADE=1 takes the newest. The dev lock is bound to the versions of the run lock.
LOCKED  = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
COMPILE = $(LOCKED) pyproject.toml
lock: ## rewrite requirements/*.txt from pyproject.toml (for maintainers; needs uv)
	@command -v $(UV) >/dev/null || { \
		echo "make lock: $(UV) not found. Type next: python3 -m pip install uv   (or: make lock UV=/path/to/uv)" >&2; exit 1; }
	@$(COMPILE) --group build -o requirements/run.txt
	@$(COMPILE) --group dev -c requirements/run.txt -o requirements/dev.txt
	@for f in requirements/foreign-*.in; do $(LOCKED) "$$f" -o "$${f%.in}.txt" || exit 1; done

clean: ## remove what make made
	@rm -rf $(VENV) .foreign dist build htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find $(CODE) -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.run $(VENV)/.dev: $(VENV)/.%: requirements/%.txt pyproject.toml $(BIN)/python
	@echo "Installing requirements/$*.txt into $(VENV), by hash (about half a minute the first time)"
	@$(PIP) --require-hashes --only-binary :all: -r $<
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# Without pip of their own: that of $(VENV) installs, which halves the time that they take.
.foreign/%/.made: requirements/foreign-%.txt $(BIN)/python
	@echo "Installing requirements/foreign-$*.txt into .foreign/$*, by hash"
	@$(BIN)/python -m venv --clear --without-pip .foreign/$*
	@$(BIN)/python -m pip --disable-pip-version-check --python .foreign/$*/bin/python install -qq --no-compile \
		--require-hashes --only-binary :all: -r $<
	@touch $@

.foreign/node/.made: requirements/node/package.json
	@mkdir -p .foreign/node
	@cp $< .foreign/node/
	@command -v $(NPM) >/dev/null || { echo "make: npm not found: the clients on Node.js will NOT be tested" >&2; exit 0; }; \
		echo "Installing requirements/node/package.json into .foreign/node"; \
		cd .foreign/node && $(NPM) install --no-save --no-package-lock --no-audit --no-fund --loglevel=error && touch .made || \
		echo "make: npm could not install them: the clients on Node.js will NOT be tested" >&2

$(BIN)/python:
	@for p in $(PY); do \
		"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		echo "Making $(VENV) with $$("$$p" --version)"; \
		"$$p" -m venv --clear $(VENV) && exit 0; \
		rm -rf $(VENV); \
		echo "make: $$p could not make a virtual environment (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; \
	done; \
	echo "make: midshift needs Python >= 3.11 and none was found (tried: $(PY))." >&2; \
	echo "      Install one, or name it: make PY=/path/to/python3.11" >&2; exit 1
