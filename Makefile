# `make up` and `make test` each do all they need on a fresh machine; see README.md.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
EXTRAS = hub,notebook,examples

.PHONY: help up test bench screenshots lint smoke install clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|'

up: install ## set everything up and start the hub on http://127.0.0.1:8000 (arguments: ARGS="--port=9000")
	$(BIN)/regrow up $(ARGS)

test: EXTRAS = test
test: install ## run every test (arguments: ARGS="tests/spawner -k gpu")
	$(BIN)/pytest $(ARGS)

bench: EXTRAS = test
bench: install ## run the benchmarks (one of them: ONLY=spawn)
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

screenshots: EXTRAS = test
screenshots: install ## take the pictures of the documentation again
	REGROW_SCREENSHOTS=docs/images $(BIN)/pytest tests/end_to_end/test_tour.py tests/end_to_end/test_projects_in_the_browser.py \
		tests/kernel_magics/test_checkpoint_in_the_browser.py \
	  tests/end_to_end/test_variables_survive_in_the_browser.py

lint: EXTRAS = test,lint
lint: install ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

smoke: install ## run a throwaway user's whole session on the running hub
	$(BIN)/regrow smoke $(ARGS)

install: $(BIN)/python
	@test -e $(BIN)/regrow || echo "Installing Regrow and what it needs into $(VENV). This takes a minute, once."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]' --config-settings editable_mode=strict
	@install -D -m 644 kernel_magics/ipython_kernel_config.py $(VENV)/etc/ipython/ipython_kernel_config.py
	@install -D -m 644 server_extension/regrow.json $(VENV)/etc/jupyter/jupyter_server_config.d/regrow.json
	@install -D -m 644 server_extension/page_config.json $(VENV)/etc/jupyter/labconfig/page_config.json

# Debian and Ubuntu keep ensurepip in a package of its own.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Regrow needs Python 3.11 or later; $(PYTHON) is `$(PYTHON) -V`. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  test "`id -u`" = 0 && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); } || \
	  { rm -rf $(VENV); echo "Python cannot make virtual environments here. Try: sudo apt-get install python3-venv"; exit 2; }

clean: ## remove the virtual environment and what was built
	rm -rf $(VENV) build *.egg-info
