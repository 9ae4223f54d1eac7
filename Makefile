# The developer's and the newcomer's commands. `make run` and `make test` set up everything they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCE ?=
DEST ?=
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo podman-compose)
WORKERS ?= 2

.PHONY: install run test test-fast test-containers container-images check docs audit bench up down

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "derain-flows needs Python 3.11 to 3.13: make PYTHON=python3.12 ...")'
	@echo "installing into $(VENV): this takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# make itself exits with 2 whatever the exit code of the run, and prints the run's own code: "Error 1".
run: install
	@$(BIN)/derain $(if $(SOURCE),"$(SOURCE)" $(if $(DEST),"$(DEST)"),$(if $(DEST),$(error DEST=$(DEST) needs SOURCE= too),--samples))

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --durations 40 -m "not containers"

# Needs root, podman, buildah and SLURM (see CONTRIBUTING.md).
test-containers: container-images
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m containers --timeout 1200

# Builds for minutes the first time.
container-images: install
	$(BIN)/python -m tests.support.containers.containers

# No servers, no whole runs.
test-fast: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m "not slow and not ceph and not chromium and not containers"

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: install docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.style.english

# Locked dependencies against known advisories, where these can be reached.
audit: install
	$(BIN)/python -m benchmarks.release.audit

# All servers on this host (compose.yaml), with WORKERS=8 Dask workers; `make down` ends them and keeps their data.
up: .env
	mkdir -p "$$(. ./.env && echo "$${DERAIN_DATA:-$(or $(DERAIN_DATA),data)}")/var"
	$(COMPOSE) build
	$(COMPOSE) up --detach --scale worker=$(WORKERS)

# podman-compose counts all workers but the first as orphans.
down:
	$(COMPOSE) down --remove-orphans

.env:
	(umask 077; sed -e "s/^POSTGRES_PASSWORD=$$/&$$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')/" \
		-e "s/^#DERAIN_USER=.*/DERAIN_USER=$(if $(findstring podman,$(COMPOSE)),0:0,$(shell id -u):$(shell id -g))/" \
		deploy/env.example > $@)

# Benchmarks that need data take it from SETS=folder with train, real_frames and real_rain; Ray Data runs if RAY=python has it.
bench: install
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.speed.planning
	$(BIN)/python -m benchmarks.speed.derain_batch --data "$(or $(SETS),$(error make bench SETS=folder with real_frames and real_rain))"
	$(BIN)/python -m benchmarks.speed.where_time_goes
	$(BIN)/python -m benchmarks.peers $(if $(RAY),--ray "$(RAY)")
	$(BIN)/python -m benchmarks.speed.training_step --data "$(SETS)/train"
	$(BIN)/python -m benchmarks.speed.starts
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.codec.encoders
