# The two commands a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDIES ?=
MODEL ?=
OUT ?= out/demo
DATA ?=
WORKERS ?= 2
ENDURANCE ?= tests/endurance

.DEFAULT_GOAL := help
.PHONY: help venv viewers demo demo-model paper-shape bench test mutations endurance endurance-peers lint spelling types contracts check format pictures viewer-pictures clean wheelhouse install-check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/.installed: pyproject.toml requirements.lock $(wildcard requirements/*.lock) tools/bootstrap.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) sh tools/bootstrap.sh
	@touch $@

venv: $(BIN)/.installed ## make the environment in .venv from the lock files

viewers: venv $(VENV)/share/openid-provider/.installed ## fetch the web viewers and the OpenID provider of the tests (54 MB, needs npm)
	@$(BIN)/python tools/viewers.py

# npm's lock file has the digest of each package of the OpenID provider; no script of theirs is run. It needs Node.js 18.
$(VENV)/share/openid-provider/.installed: tests/peers/openid_provider/package-lock.json | venv
	@mkdir -p $(@D) && cp tests/peers/openid_provider/package.json tests/peers/openid_provider/package-lock.json $(@D)
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund && touch .installed

demo: venv ## send the sample studies through the whole node; results in out/demo
	@$(BIN)/patchclip-node demo --out $(OUT) $(if $(STUDIES),--studies $(STUDIES))

# All steps are kept in out/demo-model: what was stopped goes on, and a step that is whole is not done again.
demo-model: venv ## make the shipped model again from DATA=FOLDER: cross-validation, training, weights, card, pictures
	@test -n "$(DATA)" || { echo "make demo-model DATA=FOLDER: a folder with images/, manifest.csv and boxes.csv"; exit 2; }
	@VENV=$(VENV) DATA=$(DATA) PATCHCLIP_TRAINER=$(BIN)/patchclip-trainer sh tools/demo_model.sh

# On a processor two layers of each tower and 24 images, about 10 minutes; on a GPU everything, under 12 minutes by arithmetic.
paper-shape: venv ## run both stages at 900 px in ViT-L/14's shape on replicas of the samples, or of DATA=FOLDER's normal images
	@$(BIN)/python -m benchmarks.paper_shape $(if $(DATA),--images $(DATA))

# Files share nothing and run in several processes. The unit tests compute, in one thread each; the others start whole nodes and servers,
# mostly wait for them, and are begun in the order of their names, since the longest ones come first in it.
test: venv ## run the whole test suite; WORKERS=N runs it in N processes
	@status=0; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -n $(WORKERS) --dist loadfile || status=$$?; \
	$(BIN)/python -m pytest --ignore=tests/unit -n $(WORKERS) --dist loadfile --no-loadscope-reorder || status=$$?; \
	exit $$status

bench: venv ## measure all benchmarks of the node on a quiet machine, into docs/performance.md; BENCH=--quick shows that they run
	@$(BIN)/python -m benchmarks.bench $(BENCH)

mutations: venv ## 10,000 damaged headers, drawn at random, through receiver and worker (10 minutes of one core)
	@$(BIN)/python -m pytest -s --timeout 0 --show-capture=no --hypothesis-profile thorough -k whatever_a_header tests/unit/patchclip_node/services/test_damaged_headers.py

# Says its seed and what it did. ENDURANCE="tests/endurance/test_fuzz.py --endurance-seconds 600" runs a part, for a time.
endurance: venv ## run the tests of tests/endurance at full length: kills, power loss, outages, full disks, floods, mutations
	@$(BIN)/python -m pytest --endurance --timeout 14400 -s $(ENDURANCE)

endurance-peers: ## install what tests/endurance alone needs, on Debian
	@bash tools/endurance_peers.sh

lint: venv ## ruff, and whether the format is the house's
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

# Wording in other languages is not English; [tool.codespell] in pyproject.toml has words that codespell does not know.
spelling: venv ## spelling of code and pages, and the words that both avoid
	@git ls-files -z '*.py' '*.md' '*.yaml' '*.toml' '*.sh' '*.html' Makefile ':!conf/wording/*.yaml' ':!conf/radiographs.yaml' | xargs -0 $(BIN)/codespell
	@$(BIN)/python tools/plain_words.py

wheelhouse: ## make a folder from which the product is installed without a network: OUT=/FOLDER [LOCK=requirements/results.lock]
	@sh tools/wheelhouse.sh $(OUT) $(LOCK)

# Needs Orthanc, storescu, curl, pipx and uv; 10 minutes and 2 GB. WAYS="lock uv" takes these alone; CI takes `base`.
install-check: ## install by each way of docs/installation.md, up to the first result in an Orthanc, and say what it costs
	@bash tools/install_check.sh $(WAYS)

types: venv ## mypy --strict, tests included
	@$(BIN)/mypy

contracts: venv ## who may import whom
	@$(BIN)/lint-imports

check: lint spelling types contracts test ## everything that CI checks but the demo

format: venv ## rewrite to the house style
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format .

pictures: venv ## make the pictures of docs/radiologist.md again; MODEL=... takes another checkpoint
	@$(BIN)/python tools/make_pictures.py $(MODEL)

viewer-pictures: viewers ## make its pictures of OHIF, dwv and DICOMscope again: needs Orthanc, Chromium, DICOMscope, Xvfb
	@$(BIN)/python -m tools.make_viewer_pictures $(MODEL)

clean: ## remove what was built, not .venv
	@rm -rf out build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
