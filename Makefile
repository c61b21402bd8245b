# Everything a person does from a checkout. `make` alone lists the targets.
# Needs Python 3.11 to 3.14, make and a package index; whatever else there is comes from requirements/.

.DEFAULT_GOAL := help
.PHONY: help setup run test check check-deploy format docs lock clean FORCE

PYTHON ?=
ARGS ?=
# Without its compiled files a process takes a fifth longer to start, and much here starts processes.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/.ready
# What an environment for development holds; runtime.txt alone is what production installs.
LOCKS := bootstrap build embedded dev
LOCK_FILES := $(LOCKS:%=requirements/%.txt)

# The environment is also stale when the folder was moved or the interpreter it was made with is gone.
USABLE = test -x $(BIN)/python && test "$$(cat $(READY) 2>/dev/null)" = "$(CURDIR)"
ifneq ($(shell $(USABLE) && echo yes),yes)
$(READY): FORCE
endif

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Arguments go through ARGS:  make run ARGS='--port 9000'   make test ARGS='-n 0 tests/config'"

setup: $(READY) ## Make .venv with everything locked in requirements/ (nothing to do when fresh)

run: setup ## Start everything on this machine: database, broker, migrations, demo data, API
	@exec $(BIN)/app dev $(ARGS)

test: setup ## Run the whole test suite, in parallel
	@$(BIN)/pytest $(ARGS)

check: setup ## Lint, format, types and import contracts, changing nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

DEPLOY := .venv/deploy
MANIFESTS := deploy/kubernetes

check-deploy: $(DEPLOY)/.ready ## Check Dockerfile, compose file and manifests by their schemas
	$(DEPLOY)/bin/hadolint Dockerfile
	$(DEPLOY)/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(DEPLOY)/bin/kubernetes-validate --strict --quiet $(MANIFESTS)/*.yaml \
		$(filter-out %/kustomization.yaml,$(wildcard $(MANIFESTS)/migrate/*.yaml $(MANIFESTS)/run/*.yaml))
	$(DEPLOY)/bin/check-jsonschema --schemafile $(MANIFESTS)/keda/schema.json \
		$(filter-out %/kustomization.yaml,$(wildcard $(MANIFESTS)/keda/*.yaml))

format: setup ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup ## Write docs/reference anew from the code
	@$(BIN)/python docs/reference/generate.py

PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check
# Uv does not read pip's configuration: an index that is named there is handed on. It trusts the machine's certificates.
UV = index="$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2>/dev/null || true)}"; \
	UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; \
	if [ -n "$$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; else unset UV_DEFAULT_INDEX; fi; \
	$(BIN)/uv pip

COMPILE = $(UV) compile --quiet --universal --python-version 3.11 --system-certs --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(ARGS)

lock: setup ## Write requirements/ anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(COMPILE) --group bootstrap -o requirements/bootstrap.txt
	@$(COMPILE) --group build -o requirements/build.txt
	@$(COMPILE) pyproject.toml -o requirements/runtime.txt
	@$(COMPILE) pyproject.toml --extra embedded -c requirements/runtime.txt -o requirements/embedded.txt
	@$(COMPILE) --group deploy -o requirements/deploy.txt
	@$(COMPILE) --group dev -c requirements/embedded.txt -o requirements/dev.txt

$(DEPLOY)/.ready: requirements/deploy.txt | setup
	@$(BIN)/python -m venv --clear --without-pip $(DEPLOY)
	@$(UV) sync --quiet --system-certs --require-hashes --python $(CURDIR)/$(DEPLOY)/bin/python requirements/deploy.txt
	@touch $@

clean: ## Remove the environment and every cache; data and settings stay
	rm -rf .venv dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find app tests alembic -name __pycache__ -type d -prune -exec rm -rf {} +

# The first interpreter on the path that is new enough, unless PYTHON names one.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
FIND_PYTHON = for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	"$$python" -c '$(SUPPORTED)' >/dev/null 2>&1 && break; python=; done

$(READY): pyproject.toml $(LOCK_FILES)
	@! { $(USABLE); } || exit 0; $(FIND_PYTHON); \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 to 3.14 is needed, and there is none as '$(or $(PYTHON),python3)'." \
			"Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
	if ! "$$python" -c 'import venv, ensurepip._bundled' >/dev/null 2>&1; then \
		version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$$python cannot make virtual environments. On Debian and Ubuntu:" \
			"apt-get install python$$version-venv" >&2; exit 1; fi; \
	echo "Making .venv with $$("$$python" --version) ..."; \
	"$$python" -m venv --clear .venv
	@$(PIP) install --require-hashes -r requirements/bootstrap.txt
	@$(UV) sync --quiet --system-certs --compile-bytecode --require-hashes $(LOCK_FILES) || { \
		echo "uv could not install the locks (see above); pip tries, which takes a minute longer ..." >&2; \
		$(PIP) install --require-hashes $(LOCK_FILES:%=-r %); }
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@echo "$(CURDIR)" > $(READY)
	@echo "Ready: $(BIN)/app --help"
