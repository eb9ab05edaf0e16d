# One command each; every target does the set-up it needs first. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# An interpreter from 3.11 to 3.13; PYTHON=/path/to/python3.13 chooses another one. Debian's own comes first.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11 /usr/bin/python3.12 /usr/bin/python3.13) python3)
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
PURE := tests/topology tests/store tests/rest

.PHONY: help setup venv test lint golden docs manifests test-kubernetes demo demo-tenancy demo-services demo-kubernetes demo-datapath run bench lock clean

help: ## this list
	@echo "usage: make TARGET   (the first run installs what is missing, with apt and pip)"
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install Debian packages where missing, and the virtual environment
	@tools/setup packages
	@PYTHON="$(PYTHON)" VENV="$(VENV)" tools/setup venv

venv: ## the virtual environment only (.venv, exact versions from requirements/test.lock)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" tools/setup venv

# What only computes is run on all cores; what real processes and packets take part in, by itself, one after the other.
ifeq ($(TESTS),tests)
test: setup ## all tests (TESTS=tests/topology for a part)
	$(BIN)/python -m pytest $(PURE) --numprocesses auto --dist worksteal $(PYTEST_ARGS)
	$(BIN)/python -m pytest $(TESTS) $(PURE:%=--ignore=%) $(PYTEST_ARGS)
else
test: setup
	$(BIN)/python -m pytest $(TESTS) $(PYTEST_ARGS)
endif

lint: setup ## ruff, mypy, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy deploy/node/pod.py
	$(BIN)/mypy deploy/node/install_cni.py
	$(BIN)/mypy deploy/node/interpreter.py
	$(BIN)/lint-imports

golden: setup ## rewrite tests/golden with what the code produces now; look at the difference before you commit
	$(BIN)/python -m pytest $(TESTS) -q --golden-update
	git --no-pager diff --stat -- tests/golden

docs: setup ## rewrite docs/pipeline.md from topology/pipeline.py
	$(BIN)/python -m tools.pipeline_page

manifests: setup ## rewrite deploy/kubernetes/crds and base/rbac.yaml from kube/resources.py and kube/permissions.py
	$(BIN)/python -m kube.schema
	$(BIN)/python -m kube.permissions

test-kubernetes: setup ## the tests of Kubernetes' API against a real API server: KUBECONFIG=FILE
	@test -n "$(KUBECONFIG)" || { echo "make test-kubernetes needs KUBECONFIG=FILE of an API server, from 1.27 on" >&2; exit 2; }
	KUBECONFIG_UNDER_TEST="$(KUBECONFIG)" $(BIN)/python -m pytest tests/kube -m "not double" $(PYTEST_ARGS)

demo: setup ## three nodes, two tenants, real packets; exit status 0 only if all is as expected (needs root)
	$(BIN)/python -m lab.demo

demo-tenancy: setup ## equal addresses, own ranges, one-way and narrowed connections, real packets (needs root)
	$(BIN)/python -m lab.demo_tenancy

demo-services: setup ## services without a proxy: every kind of door, tenants, refusal, failing nodes, real packets (needs root)
	$(BIN)/python -m lab.demo_services

demo-kubernetes: setup ## a cluster whose two controllers fail in turn, under pings (needs root)
	$(BIN)/python -m lab.demo_kubernetes

demo-datapath: setup ## encapsulations, a tunnel that is cut, large packets, taps, real packets (needs root)
	$(BIN)/python -m lab.demo_datapath

run: setup ## lab and controller, up until Ctrl-C (needs root)
	$(BIN)/python -m lab.run

bench: setup ## measurements beside their limits (needs root)
	$(BIN)/python -m bench

compose-test: ## docker-compose.yml with a private container engine, real packets (root; docker.io docker-compose debootstrap)
	@tools/compose-test

lock: venv ## choose the newest versions that fit setup.cfg and write requirements/*.lock
	@VENV="$(VENV)" tools/setup lock

clean: ## remove the virtual environment and everything else that was made
	rm -rf $(VENV) .make build heddle.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
