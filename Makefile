# The commands of the book; `make` alone lists them. What they do is in book/_tools/.
PYTHON ?= python3
BIN := .venv/bin
TOOL := $(BIN)/python book/_tools
# What proves the book reaches no other computer, so that none is needed to read, run or build it.
OFFLINE := $(TOOL)/offline.py
BENCH := PYTHONPATH=book/_tools:benchmarks $(BIN)/python -W ignore benchmarks
# One thread for each process: two of them use two cores better than threads do, and outputs do not depend on it.
ONE_THREAD := OMP_NUM_THREADS=1 TQDM_DISABLE=1
ALL_KINDS = $(if $(MODULE)$(SINCE)$(CHAPTER)$(EXERCISES),,all)
DRAW = $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

.DEFAULT_GOAL := help
.PHONY: help site read pdf test notebooks browser sweep machines mutants inputs contract chapter run lab publish links clean bench faults audit reproducible

help:  ## list the commands
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

.venv/.site: requirements.txt pyproject.toml book/_tools/set_up.py
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) book/_tools/set_up.py -r requirements.txt
	@$(PYTHON) book/_tools/set_up.py --no-deps -e .
	@touch $@

.venv/.tests: .venv/.site tests/requirements.txt
	@$(PYTHON) book/_tools/set_up.py -c requirements.txt -r tests/requirements.txt
	@touch $@

site: .venv/.site  ## build the website; warnings are errors
	@echo "Building the site"
	@$(OFFLINE) $(TOOL)/build_site.py

read: .venv/.site  ## serve the built website on this computer
	@$(TOOL)/read.py

pdf: .venv/.tests  ## print the built website as one PDF, _build/book.pdf
	@$(TOOL)/pdf.py

test: .venv/.tests  ## prove everything: lib, the contract, standalone notebooks, every chapter's outputs
	@echo "Testing that the network can be cut; then, with none, lib, the contract and the standalone notebooks"
	@$(BIN)/python -m pytest tests/test_offline.py -p no:cacheprovider -q
	@$(ONE_THREAD) $(OFFLINE) $(BIN)/python -m pytest tests --ignore=tests/browser -p no:cacheprovider -q -n logical --dist worksteal
	@echo "Running every chapter and comparing its outputs"
	@$(OFFLINE) $(TOOL)/notebooks.py

notebooks: .venv/.tests  ## compare the outputs of every chapter, or of one: CHAPTER=slug
	@$(OFFLINE) $(TOOL)/notebooks.py $(CHAPTER)

browser: .venv/.tests  ## open the built website in headless Chromium and check it
	@$(OFFLINE) $(BIN)/python -m pytest tests/browser -q -n logical --dist loadgroup

sweep: .venv/.tests  ## run the chapters with many seeds: [SEEDS="1 2 3"] [CHAPTER="slug slug"] [DASK=tcp://…]
	@DASK=$(DASK) $(TOOL)/sweep.py --chapter "$(CHAPTER)" $(SEEDS)

machines: .venv/.tests  ## run the chapters with other threads, instructions and precision: [CHAPTER="slug slug"] [STANDALONE=1]
	@$(TOOL)/machines.py --chapter "$(CHAPTER)" $(if $(STANDALONE),--standalone)

# What is named leaves the other kinds out; without a name: ten edits of each module, three of each chapter, five of each solution.
mutants: .venv/.tests  ## change lib, methods, solutions at random, see what notices: [MODULE="course.line …"] [SINCE=commit] [CHAPTER="slug …"] [EXERCISES="slug …"] [COUNT=edits of each] [SEED=0] [JOBS=cores]
	@$(if $(or $(MODULE),$(SINCE),$(ALL_KINDS)),$(TOOL)/lib_mutants.py --module "$(MODULE)" --since "$(SINCE)" $(DRAW))
	@$(if $(or $(CHAPTER),$(ALL_KINDS)),$(TOOL)/mutants.py --chapter "$(CHAPTER)" $(DRAW))
	@$(if $(or $(EXERCISES),$(ALL_KINDS)),$(TOOL)/solution_mutants.py --chapter "$(EXERCISES)" $(DRAW))

inputs: .venv/.tests  ## try bad input on every public function of lib: [MODULE=lib.sequence.moe] [EXAMPLES=200]
	@$(BIN)/python tests/inputs/try_inputs.py $(MODULE) --each --examples $(or $(EXAMPLES),200)

bench: .venv/.tests  ## time lib against peers; with AGAINST=commit also its chapters: [CHAPTER=slug] [ROUNDS=1]
	@$(BENCH)/checked_calls.py
	@OMP_NUM_THREADS=1 $(BENCH)/attention.py
	@OMP_NUM_THREADS=1 $(BENCH)/augmentation.py
	@OMP_NUM_THREADS=1 $(BENCH)/decoding.py
	@OMP_NUM_THREADS=1 $(BENCH)/detection.py
	@OMP_NUM_THREADS=1 $(BENCH)/experts.py
	@OMP_NUM_THREADS=1 $(BENCH)/flows.py
	@OMP_NUM_THREADS=1 $(BENCH)/foundations.py
	@OMP_NUM_THREADS=1 $(BENCH)/growth/growth.py
	@OMP_NUM_THREADS=1 $(BENCH)/promptable.py
	@OMP_NUM_THREADS=1 $(BENCH)/samplers.py
	@OMP_NUM_THREADS=1 $(BENCH)/windows.py
	@$(BENCH)/imports.py $(AGAINST)
	@$(if $(AGAINST),$(BENCH)/notebooks.py $(AGAINST) --chapter "$(CHAPTER)" --rounds $(or $(ROUNDS),1))
	@$(if $(AGAINST),$(BENCH)/whole_book.py $(AGAINST) --rounds $(or $(ROUNDS),1))

contract: .venv/.site  ## list what the chapters, or some (CHAPTER="slug slug"), violate
	@$(TOOL)/list_violations.py $(CHAPTER)

chapter: .venv/.site  ## begin a chapter from the template: PART=part SLUG=slug
	@$(TOOL)/new_chapter.py "$(PART)" "$(SLUG)"

run: .venv/.site  ## execute a chapter and store its outputs: CHAPTER=slug
	@$(TOOL)/execute.py $(CHAPTER)

lab: .venv/.site  ## open JupyterLab with the book's kernel
	@$(BIN)/jupyter lab book

publish:  ## push the built website to the branch gh-pages of origin
	@$(PYTHON) book/_tools/publish.py

# In a folder of its own: the website would publish the report, and pages that were read for it lack the site's anchors.
links: .venv/.site  ## ask every link to another site whether it still answers
	@$(BIN)/jupyter-book build . --builder linkcheck --path-output _build/links -q

faults: .venv/.tests  ## kill the tools, fill their disk, spoil their notebooks; what comes of it: [RUNS=10] [SITES=3] [SEED=0]
	@$(TOOL)/faults.py --runs $(or $(RUNS),10) --sites $(or $(SITES),3) --seed $(or $(SEED),0)

audit: .venv/.tests  ## list the licences of all dependencies, and their known weaknesses
	@$(TOOL)/audit.py

reproducible: .venv/.tests  ## build the site of a commit twice and compare both byte for byte: [COMMIT=HEAD]
	@$(OFFLINE) $(TOOL)/reproducible.py $(COMMIT)

clean:  ## remove what was built; the virtual environment stays
	rm -rf _build .pytest_cache
