# `make` alone lists what one can do. Everything is set up on first use: a virtual environment in .venv, nothing outside.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo deploy destroy package upgrade test bench bench-fleet bench-pages bench-recorder bench-tls scheduling screenshots bench-map docs alerts reference lint lint-terraform format clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fdist needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; \
	then $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock && \
	     $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	     $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; fi
	@# A fleet on one machine is many processes that start at once: each would compile all that it imports.
	@$(BIN)/python -m compileall -q -j 0 fdist_site nodes transfers
	@touch $@

setup: $(READY) ## make the virtual environment, with every dependency at its locked version and the command .venv/bin/fdist

demo: $(READY) ## a whole fleet on this machine: both topologies, for real, verified (ARGS="--nodes 12 --keep")
	@$(BIN)/python manage.py demo $(ARGS)

test: $(READY) ## every test, a file to each core; what needs root or a Debian package is skipped with its reason
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

bench: $(READY) ## what an assignment costs the scheduler's Redis, beside a script that does nothing
	@$(BIN)/python -m tests.bench.scheduler $(ARGS)

bench-fleet: $(READY) ## a fleet in network namespaces, as root: ours beside nginx and BitTorrent (ARGS="even8 killed --repeat 3")
	@$(BIN)/python -c 'import libtorrent' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/bench/requirements-bench.lock || true
	@$(BIN)/python -m tests.bench.fleet $(ARGS)

bench-map: $(READY) ## how smoothly the live page of 1,000 nodes x 2,000 shards runs (needs Debian's chromium)
	@$(BIN)/python -m tests.bench.map $(ARGS)

bench-pages: $(READY) ## how long pages and lists take with a million transfers (ARGS="--database postgresql")
	@$(BIN)/python -m tests.bench.pages $(ARGS)

bench-recorder: $(READY) ## how many completed shards a second reach the record (ARGS="--database postgresql")
	@$(BIN)/python -m tests.bench.recorder $(ARGS)

bench-tls: $(READY) ## what TLS between nodes costs: CPU seconds a GB with and without (ARGS="--size 2GB")
	@$(BIN)/python -m tests.bench.tls $(ARGS)

scheduling: $(READY) ## the tables of docs/scheduling.md: how near the scheduler comes to its bounds, by policy
	@$(BIN)/python -m tests.bench.scheduling $(ARGS)

screenshots: $(READY) ## docs/images anew: the pages of a real fleet in the middle of its work (needs Debian's chromium)
	@$(BIN)/python -m tests.pages.screenshots $(ARGS)

docs: $(READY) ## these documents as a site, site/index.html; a link without a target or a page in no list ends it
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env -b html docs site $(ARGS)

alerts: export RUNBOOK ?=
alerts: ## the rules for Prometheus, led to your runbook: make alerts RUNBOOK=https://docs.acme.example/runbook.html > alerts.yml
	@case "$$RUNBOOK" in *[!A-Za-z0-9.:/_~%?=\&+,@-]*) ok= ;; http://?*|https://?*) ok=1 ;; *) ok= ;; esac; \
	if test -z "$$ok"; then \
	  echo "RUNBOOK: '$$RUNBOOK' is not the address of a page; say where docs/runbook.md is read, such as RUNBOOK=https://docs.acme.example/fdist/runbook.html" >&2; exit 1; \
	fi; \
	sed "s#https://docs.example.org/fdist/runbook.html#$$(printf %s "$$RUNBOOK" | sed 's/&/\\&/g')#" docs/grafana/alerts.yml

reference: $(READY) ## docs/reference anew, from the commands and the API themselves
	@$(BIN)/python -m tests.docs.reference

package: $(READY) ## one archive with the project and all that it needs, for machines in the cloud
	@$(BIN)/python -m fdist_site.cloud.package $(ARGS)

CLOUD = --project "$(PROJECT)" $(if $(NUM_SERVERS),--num-servers "$(NUM_SERVERS)") $(if $(NAME),--name "$(NAME)") \
	$(if $(REGION),--region "$(REGION)") $(if $(ZONES),--zones "$(ZONES)") $(if $(TFVARS),--var-file "$(TFVARS)") \
	$(if $(IMAGE_PYTHON),--python "$(IMAGE_PYTHON)") $(if $(PACKAGE),--package "$(PACKAGE)") $(if $(PATIENCE),--patience "$(PATIENCE)") $(if $(YES),--yes)

deploy: $(READY) ## an installation on Google Cloud: make deploy PROJECT=my-project NUM_SERVERS=3 (see docs/gcp.md)
	@$(BIN)/python -m fdist_site.cloud.deploy deploy $(CLOUD)

destroy: $(READY) ## remove it: make destroy PROJECT=my-project
	@$(BIN)/python -m fdist_site.cloud.deploy destroy $(CLOUD)

upgrade: $(READY) ## after deploy: bring agents up to date, drained first (make upgrade PROJECT=my-project BATCH=2)
	@$(BIN)/python -m fdist_site.cloud.upgrade --project "$(PROJECT)" $(if $(NAME),--name "$(NAME)") \
		$(if $(BATCH),--batch "$(BATCH)") $(if $(ACTION),--action "$(ACTION)")

lint: $(READY) ## what CI checks beside the tests: style, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy fdist_site nodes transfers
	@$(BIN)/lint-imports

lint-terraform: $(READY) ## terraform/ by its own rules and by checkov's, which finds known mistakes
	@if command -v terraform >/dev/null; then TF_CLI_CONFIG_FILE=/dev/null terraform fmt -check -recursive -diff terraform; else echo "terraform is not on PATH: its layout is not checked"; fi
	@$(BIN)/python -m tests.terraform.policy $(ARGS)

format: $(READY) ## lay the code out as ruff likes it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the virtual environment and what the demo left
	rm -rf $(VENV) .fdist staticfiles site
