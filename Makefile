# fastloss: every chore is a target, and each prepares what it needs in $(VENV).
# Stamp files in $(VENV) remember what is installed: a second run is quick, a changed kernel is rebuilt.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
C_SOURCES := $(wildcard src/fastloss/csrc/*/*.c src/fastloss/csrc/*/*.h)
PYX := $(wildcard src/fastloss/*.pyx src/fastloss/_engines/*.pyx)
KERNELS := pyproject.toml setup.py $(PYX) $(wildcard src/fastloss/*.pxd src/fastloss/_engines/*.pxd) $(C_SOURCES)
DEMO := build/demo
SANITIZED := build/sanitized

# More arguments for a target, as in: make test TEST_ARGS='-k huber'
TEST_ARGS ?=
MUTANTS_ARGS ?=
BENCH_ARGS ?=
# The same random calls all week, so that a finding can be repeated.
FUZZ_ARGS ?= --seconds 180 --seed $(shell date +%G%V)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all mutants sanitize peers bench bench-readme accuracy arm64 lint format docs docs-check build dist clean distclean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.extra-demo ## Train on real digits, then evaluate the saved logits from the command line
	$(BIN)/python examples/digits.py --out $(DEMO)
	$(BIN)/fastloss evaluate cross_entropy perplexity --worst 10 \
	    --logits $(DEMO)/logits.npy --target $(DEMO)/target.npy --group $(DEMO)/target.npy
	@echo "The hardest digits, as a picture: $(DEMO)/hardest_digits.png"

test: $(VENV)/.extra-test ## Run the quick tests on all cores: every pair of the test matrix, in minutes
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore tests/peers $(TEST_ARGS)

test-all: $(VENV)/.extra-test ## Run the full tests: every combination of the matrix, and what takes long
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore tests/peers --full $(TEST_ARGS)

mutants: $(VENV)/.extra-test ## Plant faults, one at a time, and see that the tests find each
	$(BIN)/python tools/mutants.py $(MUTANTS_ARGS)

# In a copy of the sources, so that the build in src/ stays as it is. One CPU level beside the baseline: the sanitizers see what the
# C code does, not what its instructions are.
sanitize: $(VENV)/.extra-test ## Random calls, minutes of them, of a build with AddressSanitizer and UBSan
	mkdir -p $(SANITIZED)
	cp setup.py pyproject.toml README.md LICENSE $(SANITIZED)
	tar -cf - --exclude='*.so' --exclude='fastloss/_kernels.c' --exclude='_engines/*.c' src | tar -xf - -C $(SANITIZED)
	cd $(SANITIZED) && FASTLOSS_SANITIZE=address,undefined FASTLOSS_LEVELS=v3 \
	    $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	LD_PRELOAD=$$($(or $(CC),cc) -print-file-name=libasan.so) PYTHONPATH=$(SANITIZED)/src ASAN_OPTIONS=detect_leaks=0 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $(BIN)/python tests/support/fuzz.py $(FUZZ_ARGS)

peers: $(VENV)/.extra-test $(VENV)/.extra-peers ## Compare with PyTorch, JAX, optax, SciPy and scikit-learn
	FASTLOSS_REQUIRE_PEERS=1 $(BIN)/python -m pytest tests/peers $(TEST_ARGS)

arm64: ## Cross-compile the C files for arm64 and compare all loops, under qemu-user, with this machine's
	$(PYTHON) tests/arm64/check.py

bench: $(VENV)/.extra-test $(VENV)/.extra-bench ## Time every row against each installed peer, on one thread and on all
	$(BIN)/python -m bench $(BENCH_ARGS)

bench-readme: $(VENV)/.extra-test ## Rewrite tables and picture in README.md and docs/ from the saved results
	$(BIN)/python -m bench.readme

accuracy: $(VENV)/.extra-test ## Measure the worst errors in ULP, ours and each installed peer's
	$(BIN)/python -m pytest -n auto -q --full tests/contract/test_accuracy.py --worst-errors=bench/results/worst_errors.json
	$(BIN)/python -m bench.accuracy

lint: $(VENV)/.extra-test $(VENV)/.extra-lint ## Check style and types; change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src/fastloss
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES) tests/arm64/tables.c

format: $(VENV)/.extra-lint ## Rewrite Python and C sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES) tests/arm64/tables.c

docs: $(VENV)/.extra-docs ## Build the site in build/docs, after the parts of docs/ that come from the registry and the imports
	$(BIN)/python docs/generate.py
	$(BIN)/python tools/architecture.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "The site: build/docs/index.html"

docs-check: $(VENV)/.extra-test ## Check that the generated pages are current and every example runs
	$(BIN)/python -m pytest tests/system/test_docs.py $(TEST_ARGS)

build: $(VENV)/.built ## Compile the extension and install the package in place

dist: $(VENV)/bin/python ## Build the sdist, and the wheel from it, in build/dist
	$(PIP) build
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist

clean: ## Remove everything built, but not $(VENV)
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f $(wildcard src/fastloss/*.so src/fastloss/_engines/*.so) $(patsubst %.pyx,%.c,$(PYX)) $(VENV)/.built
	find src tests bench docs examples -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## Remove $(VENV) as well
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fastloss needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

# What pyproject.toml needs for a build, once: pip would otherwise install it anew, in an environment of its own, for each build.
$(VENV)/.build-requires: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	    | xargs $(PIP)
	@touch $@

$(VENV)/.built: $(KERNELS) | $(VENV)/.build-requires
	$(PIP) --no-build-isolation --editable .
	@touch $@

# fastloss itself is installed already, so pip adds only what the extra names.
$(VENV)/.extra-%: pyproject.toml | $(VENV)/.built
	$(PIP) 'fastloss[$*]'
	@touch $@
