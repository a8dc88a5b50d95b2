# Needs Python 3.11 or later and make, nothing else: everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test check setup docs schema fuzz test-lowest clean

demo: $(VENV)/.demo-ready  ## run the specs of specs/ against the embedded mock
	@mkdir -p $(DEMO)
	@$(BIN)/wanspec run --mock --project $(DEMO) specs/*.yaml > $(VENV)/demo-results
	@echo; echo "The results (real PNG and MP4 files, made by the mock) lie in $(CURDIR)/$(DEMO)/mock-outputs:"
	@sed 's|^|  |' $(VENV)/demo-results

test: $(VENV)/.test-ready  ## run the tests
	@$(BIN)/python -m pytest

setup: $(VENV)/.test-ready  ## make the virtual environment for development

check: $(VENV)/.test-ready  ## what CI checks beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.test-ready  ## write everything that is generated
	$(BIN)/wanspec schema --out specs/wanspec.schema.json
	$(BIN)/wanspec schema --openapi --out mock_server/openapi.json
	$(BIN)/wanspec models ls --format markdown > docs/models.md
	$(BIN)/wanspec mock facts --format markdown > docs/mock.md
	$(BIN)/python tests/lib/prepare_contract.py
	$(BIN)/python tests/lib/machine_table.py README.md

fuzz: $(VENV)/.test-ready  ## calls of any kind against the mock, by its OpenAPI document: many, and others each time
	WANSPEC_FUZZ=$(or $(EXAMPLES),300) $(BIN)/python -m pytest tests/mock/test_fuzz.py

test-lowest:  ## the tests with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install -q "aiohttp==3.10.11" "av==14.1.0" "click==8.1.7" "jsonschema==4.21.0" "Pillow==10.3.0" \
	  "pyyaml==6.0.1" "rich==13.7.0" "dashscope==2.0.2" "httpx==0.27.0" "hypothesis==6.100.0" "pytest==8.2.0" "pytest-aiohttp==1.0.5" \
	  "pytest-xdist==3.6.1" "requests==2.31.0" "openapi-spec-validator==0.7.1" "junitparser==3.1.2" "xmlschema==3.3.1" && $(VENV)-lowest/bin/pip install -q --no-deps -e .
	$(VENV)-lowest/bin/python -m pytest

clean:
	rm -rf $(VENV) $(VENV)-lowest $(DEMO) tests/editor/node_modules tests/formats/*/node_modules tests/clients/node_modules tests/.clients benchmarks/peers/node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("wanspec needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-ready: pyproject.toml | $(VENV)/bin/python
	@echo "installing wanspec into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test-ready: pyproject.toml | $(VENV)/bin/python
	@echo "installing wanspec and its test tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.demo-ready
