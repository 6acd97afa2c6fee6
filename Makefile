# The Python to build .venv with (3.10 to 3.12; 3.11 is tested).
PYTHON ?= python3
# An index for torch and torchvision, to get builds without CUDA:
# make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PYTEST_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINNED := $(PIP) install --constraint constraints.txt
PYTEST = $(BIN)/python -m pytest --durations=30 -n auto --maxprocesses 4 --dist loadfile
STAMP := .venv/.installed
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))

.PHONY: help install demo demo-maps test test-slow test-all lint docs clean
.DELETE_ON_ERROR:

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: $(STAMP)  ## Create .venv and install everything, pinned

demo: install  ## Learn three defect kinds, then three more, and show what is forgotten and kept
	$(BIN)/python tools/misc/demo.py

demo-maps: install  ## Learn three products of good images, then two more, with alarms
	$(BIN)/python tools/misc/demo_maps.py

test: install  ## Run the test suite without what is marked slow, and the examples
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)
	$(BIN)/python -m pytest --doctest-modules mmdefect/functional mmdefect/apis

test-slow: install  ## Run what is marked slow: trainings, and the commands of the docs
	$(PYTEST) --no-loadscope-reorder -m slow $(PYTEST_ARGS)

test-all: install  ## Run the whole suite and print what it took
	@start=$$(date +%s); $(MAKE) test test-slow && \
		echo "make test-all: $$(($$(date +%s) - start)) s of wall time on" \
			"$$(getconf _NPROCESSORS_ONLN) cores, $$(uptime)"

lint: install  ## Check style, types and shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck tools/*.sh .ci/run

docs: install  ## Build the documentation into site/, links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## Remove what builds and test runs leave, but neither .venv nor data
	rm -rf build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache mmdefect/.mim
	find mmdefect tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first and, from an index of its own, alone: such an index holds its
# dependencies in other versions than the pinned ones.
$(STAMP): setup.py pyproject.toml constraints.txt requirements.txt \
		$(wildcard requirements/*.txt)
	@$(PYTHON) -c '$(SUPPORTED)' || \
		{ echo 'mmdefect needs Python 3.10 to 3.12: make install PYTHON=python3.11'; exit 1; }
	@echo 'Installing into .venv: one to three minutes, then never again.'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PINNED) --quiet pip setuptools wheel
ifneq ($(strip $(TORCH_INDEX)),)
	$(PINNED) --no-deps --index-url $(TORCH_INDEX) torch torchvision
endif
	$(PINNED) --quiet --requirement requirements.txt
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch $@
