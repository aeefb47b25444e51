# The verbs. `make` alone shows them. Needs make and Python 3.11 or newer; everything else goes into .venv.

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench docs lock browser node spark

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
EXACT := --no-deps --require-hashes --only-binary :all: --requirement requirements.lock
ARGS ?=
PYTHON ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

help:
	@echo "make run     set up and replay a real trace through the gateway  (ARGS='--once --sample 2000')"
	@echo "make test    every test                                          (ARGS='tests/cost -k tiers')"
	@echo "make check   lint, format, types, layers, documentation"
	@echo "make bench   every benchmark, in its quick form                  (ARGS='' for the full one)"
	@echo "make docs    write docs/reference and docs/articles.md anew"
	@echo "make lock    resolve the dependencies anew                       (ARGS=--upgrade for newer ones)"

setup: $(READY)

run: $(READY)
	@$(VENV)/bin/baseload demo $(ARGS)

test: $(READY) browser node spark
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

check: $(READY) spark
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pytest tests/test_layers.py tests/test_docs.py

bench: ARGS := --quick
bench: $(READY)
	@$(PY) -m benchmarks $(ARGS)

docs: $(READY)
	@$(PY) docs/reference/generate.py
	@$(PY) docs/articles.py

# The environment: exact versions, each file checked against its hash, then the project itself without dependencies.
# uv installs in seconds; where it cannot reach a registry that pip is configured for, pip does the same more slowly.
# A second `make` finds the stamp newer than both files and does nothing.
$(READY): requirements.lock pyproject.toml
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  for found in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	    $$found -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	    found=; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Baseload needs Python 3.11 or newer with its venv module, and found none as python3." >&2; \
	    echo "Install it (on Debian: apt-get install python3 python3-venv) or name one: make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up $(VENV) with $$($$found --version)" >&2; \
	  $$found -m venv --clear $(VENV); \
	}
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	@$(PY) -m pip install -qq --no-deps --require-hashes --only-binary :all: -r $(VENV)/uv.lock
	@$(PY) -m uv pip install --quiet --no-config --compile-bytecode $(EXACT) || $(PY) -m pip install -qq $(EXACT)
	@$(PY) -m uv pip install --quiet --no-config --no-deps --no-build-isolation --editable .
	@touch $@

# The console is tested in a real browser.
browser:
	@command -v chromium >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "Installing chromium, in which the console is tested" >&2; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else \
	    echo "The console is tested in a real browser: install chromium so that it is on the PATH" \
	      "(on Debian: sudo apt-get install chromium), then run make test again." >&2; \
	    exit 1; \
	  fi; \
	}

# The gateway is tested with OpenAI's client for Node, too. Its lock file names no registry: npm knows its own.
NODE := tests/gateway/node
NODE_READY := $(NODE)/node_modules/.ready

node: $(NODE_READY)

$(NODE_READY): $(NODE)/package-lock.json
	@command -v npm >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "Installing Node, with whose client the gateway is tested" >&2; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; \
	  else \
	    echo "The gateway is tested with OpenAI's client for Node: install Node 18 or newer with npm" \
	      "(on Debian: sudo apt-get install nodejs npm), then run make test again." >&2; \
	    exit 1; \
	  fi; \
	}
	@npm ci --prefix $(NODE) --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# A ledger is asked through a real Spark, too. It is large (480 MB) and comes as source only, so it has a lock file of
# its own, checked in the same way, and only the tests wait for it. Java runs it.
SPARK_READY := $(VENV)/.spark

spark: $(SPARK_READY)

$(SPARK_READY): requirements-spark.lock $(READY)
	@command -v java >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "Installing Java, which runs the Spark of the tests" >&2; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jre-headless >/dev/null; \
	  else \
	    echo "A ledger is tested with a real Spark: install Java 17 or newer" \
	      "(on Debian: sudo apt-get install default-jre-headless), then run make test again." >&2; \
	    exit 1; \
	  fi; \
	}
	@echo "Installing Spark, with which a ledger is asked (480 MB)" >&2
	@sed -n '/^setuptools==/,/[^\\]$$/p' requirements-spark.lock > $(VENV)/setuptools.lock
	@$(PY) -m uv pip install --quiet --no-config --no-deps --require-hashes --only-binary :all: -r $(VENV)/setuptools.lock \
	  || $(PY) -m pip install -qq --no-deps --require-hashes --only-binary :all: -r $(VENV)/setuptools.lock
	@$(PY) -m uv pip install --quiet --no-config --no-deps --require-hashes --no-build-isolation -r requirements-spark.lock \
	  || $(PY) -m pip install -qq --no-deps --require-hashes --no-build-isolation -r requirements-spark.lock
	@touch $@

lock: $(READY)
	@$(PY) -m uv pip compile pyproject.toml --extra dev --extra fast --extra lake --extra otel --extra postgres --universal --python-version 3.11 --generate-hashes \
	  --no-config --no-emit-index-url --no-header --no-annotate --quiet $(ARGS) -o requirements.lock
	@printf 'pyspark\nsetuptools\n' | $(PY) -m uv pip compile - --universal --python-version 3.11 --generate-hashes \
	  --no-config --no-emit-index-url --no-header --no-annotate --quiet $(ARGS) -o requirements-spark.lock
