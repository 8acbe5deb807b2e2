# On a fresh machine with Python 3.11 and git: `make demo` shows it, `make test` proves it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

.PHONY: setup demo test test-argo-shapes check lint types imports bench clean

setup: $(READY)

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "The bridge needs Python 3.11 or later: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "This Python has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@git --version >/dev/null 2>&1 || { echo "The bridge needs git on the PATH" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup
	@$(BIN)/python examples/demo.py

# Three workers for two cores: a good part of a test waits for processes that it started.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 3 / 2)
PYTEST  := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
BESIDE  := -n $(WORKERS) --dist worksteal

# `make test T=tests/test_cli.py` runs what you name, in one process.
test: setup
	@$(PYTEST) $(or $(T),$(BESIDE))

# The real workflow files, run by act, and the recipe of the image: minutes, and an index.
.PHONY: test-act
test-act: setup
	@$(PYTEST) $(BESIDE) tests/test_act.py tests/test_release.py tests/test_image.py

# Beside a Metaflow that is too old for a gate, from an index: make test-old-metaflow METAFLOW=2.18.13
.PHONY: test-old-metaflow
METAFLOW ?= 2.18.13
test-old-metaflow: setup
	$(PYTHON) -m venv --clear build/metaflow-$(METAFLOW)
	build/metaflow-$(METAFLOW)/bin/python -m pip install --quiet --disable-pip-version-check metaflow==$(METAFLOW) setuptools .
	HITL_OLD_METAFLOW=$(abspath build/metaflow-$(METAFLOW))/bin/python $(BIN)/python -m pytest tests/test_metaflow_old.py

# With another Metaflow than the lock's: make test-metaflow METAFLOW=2.19.0, or METAFLOW=newest. 2.19.0
# asks a cluster even for `argo-workflows create --only-json`: what compiles for Argo is left out.
.PHONY: test-metaflow
test-metaflow: setup
	$(PYTHON) -m venv --clear build/metaflow
	build/metaflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	build/metaflow/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	build/metaflow/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade metaflow$(if $(filter newest,$(METAFLOW)),,==$(METAFLOW))
	PYTHONDONTWRITEBYTECODE= build/metaflow/bin/python -m pytest $(BESIDE) tests/test_card.py \
	  $(filter-out tests/test_metaflow_argo.py tests/test_metaflow_old.py,$(wildcard tests/test_metaflow_*.py))

.PHONY: test-ssh-keygen
# Both ways between our signatures and the real ssh-keygen (Debian: openssh-client).
test-ssh-keygen: setup
	@$(PYTEST) -m ssh_keygen tests/test_ssh_keygen.py tests/test_signed_votes.py

# Parsers of what others wrote, driven by what they cover; needs atheris, which no lock has.
.PHONY: fuzz
fuzz: setup
	@$(BIN)/python -m tests.fuzz_parsers -max_total_time=600

# What people see on GitHub, and what they click at `hitl github setup`, in Chromium: `make test-browser DRAW=1` also draws docs/pictures anew.
.PHONY: test-browser
test-browser: $(VENV)/browser
	@$(if $(DRAW),DRAW=1) PYTHONDONTWRITEBYTECODE= $(VENV)/browser/bin/python -m pytest tests/test_browser.py tests/test_browser_setup.py

# GitHub's own example events, through the workflows' conditions and the action; needs npm.
.PHONY: test-octokit
test-octokit: setup build/octokit-webhooks-examples-7.6.1.tgz
	@$(PYTEST) tests/test_octokit.py

build/octokit-webhooks-examples-7.6.1.tgz:
	mkdir -p build/npm
	npm pack --silent --pack-destination build/npm @octokit/webhooks-examples@7.6.1
	echo '0dee94dd707a3b70ed09aedb2a008ccd31dd7a8a6aa99e92362bcc6099caeb989eaca2f5027348034b644580914bb970193efdd9df8fb3559b7c796ca3a3329d  build/npm/$(@F)' | sha512sum --check --quiet
	mv build/npm/$(@F) $@

$(VENV)/browser: $(READY) tests/browser.lock
	$(PYTHON) -m venv --clear $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/browser.lock
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(\"" + sysconfig.get_path("purelib") + "\")")' > $$(ls -d $@/lib/python3*/site-packages)/the-bridge.pth

.PHONY: test-argo-shapes
# Minutes: all shapes of a flow on the stand-in for Argo, where `make test` takes a few; on a plain
# ledger, and decided on GitHub by push and by pull. Each worker is given few tests at a time:
# `worksteal` leaves a worker its next test, even behind one of six minutes.
test-argo-shapes: setup
	@$(PYTEST) -n $(WORKERS) --dist load --maxschedchunk 1 -m argo_shapes

.PHONY: test-examples
test-examples: setup
	@$(PYTEST) $(BESIDE) -m examples tests/test_examples.py

.PHONY: test-cluster
# On a real API server: the cluster that KUBECONFIG names, which knows Argo's resource types; without
# it, one of our own, made from Kubernetes' Go modules (minutes, once).
test-cluster: setup $(if $(KUBECONFIG),,apiserver)
	@$(BIN)/python -m pytest -m cluster

.PHONY: apiserver
apiserver: $(BIN)/apiserver

$(BIN)/apiserver: $(READY) $(wildcard tests/apiserver/*)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/apiserver/requirements.lock
	CGO_ENABLED=0 GOTOOLCHAIN=local $(BIN)/go build -C tests/apiserver -trimpath -buildvcs=false -ldflags='-s -w' -o $(abspath $@) .

.PHONY: test-argo
# On a real controller: KUBECONFIG names a cluster with Argo Workflows in its namespace argo.
test-argo: setup
	@$(BIN)/python -m pytest -m argo_real

.PHONY: test-argo-pods
# In pods: KUBECONFIG names a node of this machine with Argo Workflows on it, whose pods share the
# machine's network; HITL_TEST_IMAGE an image there with Python and git, HITL_TEST_GATE_IMAGE one
# that has the bridge. Argo's own command line is on the PATH.
test-argo-pods: setup
	@$(BIN)/python -m pytest -m argo_pods

# The documentation as a site in build/site; a broken link or anchor fails it.
.PHONY: site
site: $(VENV)/site
	@NO_MKDOCS_2_WARNING=1 $(VENV)/site/bin/mkdocs build

$(VENV)/site: $(READY) docs/requirements.lock
	$(PYTHON) -m venv --clear $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock
	@printf '%s\n' $(CURDIR) $(abspath $(VENV))/lib/python3*/site-packages > $$(ls -d $@/lib/python3*/site-packages)/the-bridge.pth

check: lint types imports test

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports

bench: setup
	@set -e; for each in bench/*.py; do $(BIN)/python $$each; done

# The lock holds hashes and no addresses; `make lock` needs uv on the PATH.
.PHONY: lock
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header --all-extras --group dev pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header --constraint requirements-dev.lock \
	  action/requirements.in -o action/requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header --constraint requirements-dev.lock \
	  action/kubernetes.in -o action/kubernetes.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header --constraint requirements-dev.lock \
	  --extra argo pyproject.toml -o templates/kubernetes/requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header docs/requirements.in -o docs/requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header tests/browser.in -o tests/browser.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header .github/release.in -o .github/release.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --no-header \
	  tests/apiserver/requirements.in -o tests/apiserver/requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
