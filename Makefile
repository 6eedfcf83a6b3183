# What people type. Each target makes what it needs; only git, make and Python 3.11 or newer are assumed.
#   PYTHON=/path/to/python  which Python makes the environment (default: the first that is new enough)
#   PORT=8000               where `make serve` listens
#   ARGS="-k pool"          more arguments, for pytest or for `quart-app dev`

VENV ?= .venv
PORT ?= 8000
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$p" -c '$(NEW_ENOUGH)' 2>/dev/null && command -v "$$p" && break; done)

.PHONY: help serve test coverage lint types check lock bench bench-quick bench-engine bench-costs bench-publish audit sbom docs reference clean clean-data runtime dev
.DEFAULT_GOAL := help

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: runtime  ## the API with real data on a private database; PORT=8000
	@$(BIN)/python -m quart_app.local_server
	@exec $(BIN)/quart-app dev --bind 127.0.0.1:$(PORT) $(ARGS)

test: dev  ## all tests, on every database server that can be had; ARGS=... goes to pytest
	@$(BIN)/python -m quart_app.testing $(ARGS)
	@exec $(BIN)/python -m pytest $(ARGS)

lint: dev  ## style, formatting and who may import whom
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

types: dev  ## mypy --strict
	@$(BIN)/mypy

coverage: dev  ## the engine's branches that unit tests take, without a server: all of them
	@$(BIN)/python -m pytest tests/unit/mysql tests/fuzz -m "not mysql" -q -p no:randomly --hypothesis-profile=ci --cov=quart_app/mysql \
		--cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100 $(ARGS)

check: lint types test  ## all of the above

lock: dev  ## compile the lock files anew from pyproject.toml
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install -q uv
	@set -e; lock() { $(VENV)-lock/bin/uv pip compile --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q "$$@"; }; \
	lock pyproject.toml -o requirements.txt; \
	lock pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt; \
	lock --group build -c requirements-dev.txt -o requirements-build.txt; \
	lock --group docs -c requirements-dev.txt -o requirements-docs.txt; \
	lock --group audit -o requirements-audit.txt

bench: dev  ## ours beside the peers, about an hour; ARGS="--rounds 3": half an hour; ARGS=--resume goes on
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: dev  ## the same with fewer peers and short rounds, in under 3 minutes
	@$(BIN)/python -m benchmarks --quick $(ARGS)

bench-engine: dev  ## the pool alone, beside aiomysql's
	@$(BIN)/python -m benchmarks.engine $(ARGS)

bench-costs: dev  ## what each safety feature costs a request, and each layer
	@$(BIN)/python -m benchmarks.costs $(ARGS)

bench-publish: dev  ## write the results into README.md and docs/discussion/speed.md
	@$(BIN)/python -m benchmarks.publish

audit:  ## are there known vulnerabilities in what is locked? asks a service on the network
	@$(PYTHON) scripts/bootstrap.py $(VENV)-audit audit
	@$(VENV)-audit/bin/python scripts/audit.py requirements.txt

sbom:  ## what the image's Python packages are, as CycloneDX: dist/sbom.cdx.json
	@$(PYTHON) scripts/bootstrap.py $(VENV)-audit audit
	@mkdir -p dist
	@$(PYTHON) -m venv --without-pip --clear $(VENV)-image
	@$(VENV)-audit/bin/python -m pip --disable-pip-version-check --python $(VENV)-image install -q \
		--require-hashes --no-deps -r requirements.txt
	@$(VENV)-audit/bin/cyclonedx-py environment $(VENV)-image/bin/python --pyproject pyproject.toml \
		--mc-type application --output-reproducible --of JSON -o dist/sbom.cdx.json
	@echo "dist/sbom.cdx.json"

docs:  ## these pages as HTML; a warning fails
	@$(PYTHON) scripts/bootstrap.py $(VENV)-docs docs
	@$(VENV)-docs/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

reference: dev  ## write the generated pages of docs/reference anew from the code
	@$(BIN)/python -m tests.docs.reference

clean:  ## remove what these commands made, but for the private database
	rm -rf $(VENV) $(VENV)-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist build docs/_build

clean-data:  ## remove the private database of `make serve`
	rm -rf .local

runtime dev:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it (on Debian: sudo apt-get install" \
		"-y python3 python3-venv) or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) scripts/bootstrap.py $(VENV) $@
