# What people and CI call. Every target sets up what it needs; the second time it is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := core librsync_ext tests/testkit $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml contrib/bundles/*/pyproject.toml))
INPUTS := constraints.txt requirements-dev.txt $(addsuffix /pyproject.toml,$(PACKAGES)) \
          $(wildcard librsync_ext/src/tarragon_librsync/*.c librsync_ext/src/tarragon_librsync/*.h librsync_ext/*.py)
SOURCES := core/src $(wildcard plugins/*/src) librsync_ext/src tests/testkit/src

.PHONY: setup demo test lint types arch bench generated wheels alone clean

setup: $(VENV)/.ready

$(VENV)/.ready: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt $(addprefix -e ,$(PACKAGES))
	touch $@

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash contrib/demo.sh

test: setup
	-$(BIN)/python tests/judge/duplicity_environment.py
	-$(BIN)/python tests/servers/servers_environment.py
	$(BIN)/python -m pytest -m "not slow" $(or $(PKG),core librsync_ext plugins tests)
	$(BIN)/python -m pytest -m slow $(or $(PKG),core librsync_ext plugins tests) || [ $$? -eq 5 ]  # 5: PKG has none

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy core/src/tarragon $(filter-out %.egg-info,$(wildcard plugins/*/src/*)) tests/testkit/src/tarragon_testkit

arch: setup
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture tests/startup

bench: setup
	$(BIN)/python tests/bench/bench.py

# What follows from the project files of the packages: the bundle, and the table of all.
generated: setup
	$(BIN)/python contrib/generate.py

wheels: setup
	$(BIN)/python contrib/alone.py --wheels dist

# Every wheel installed alone with what it names, and its own tests: make alone PKG=par2, or all of them.
alone: setup
	nice $(BIN)/python contrib/alone.py $(PKG)

clean:
	rm -rf $(VENV) .venv-duplicity .venv-servers dist
