# The commands of the book; `make` alone lists them. What they do is in book/_tools/.
PYTHON ?= python3
COUNT ?= 30
SEED ?= 0
BIN := .venv/bin
TOOL := $(BIN)/python book/_tools
BENCH := PYTHONPATH=book/_tools $(BIN)/python -W ignore benchmarks
# One thread for each process: two of them use two cores better than threads do, and outputs do not depend on it.
ONE_THREAD := OMP_NUM_THREADS=1 TQDM_DISABLE=1

.DEFAULT_GOAL := help
.PHONY: help site read pdf test notebooks browser sweep mutants contract chapter run lab publish links clean bench

help:  ## list the commands
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

.venv/.site: requirements.txt pyproject.toml book/_tools/set_up.py
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) book/_tools/set_up.py -r requirements.txt
	@$(PYTHON) book/_tools/set_up.py --no-deps -e .
	@touch $@

.venv/.tests: .venv/.site tests/requirements.txt
	@$(PYTHON) book/_tools/set_up.py -c requirements.txt -r tests/requirements.txt
	@touch $@

# A failed build keeps no state, or the next one would pass without repeating the warnings.
site: .venv/.site  ## build the website; warnings are errors
	@echo "Building the site"
	@$(BIN)/jupyter-book build . -W -n --keep-going || { rm -rf _build/.doctrees; exit 1; }
	@echo "Open _build/html/index.html, or serve it with: make read"

read: .venv/.site  ## serve the built website on this computer
	@$(TOOL)/read.py

pdf: .venv/.tests  ## print the built website as one PDF, _build/book.pdf
	@$(TOOL)/pdf.py

test: .venv/.tests  ## prove everything: lib, the contract, standalone notebooks, every chapter's outputs
	@echo "Testing lib, the contract and the standalone notebooks"
	@$(ONE_THREAD) $(BIN)/python -m pytest tests --ignore=tests/browser -q -n logical --dist worksteal
	@echo "Running every chapter and comparing its outputs"
	@$(TOOL)/notebooks.py

notebooks: .venv/.tests  ## compare the outputs of every chapter, or of one: CHAPTER=slug
	@$(TOOL)/notebooks.py $(CHAPTER)

browser: .venv/.tests  ## open the built website in headless Chromium and check it
	@$(BIN)/python -m pytest tests/browser -q -n logical --dist loadgroup

sweep: .venv/.tests  ## run the chapters with many seeds: [SEEDS="1 2 3"] [CHAPTER="slug slug"] [DASK=tcp://…]
	@DASK=$(DASK) $(TOOL)/sweep.py --chapter "$(CHAPTER)" $(SEEDS)

mutants: .venv/.tests  ## break the chapters at random, see what notices: [CHAPTER="slug slug"] [COUNT=30] [SEED=0]
	@$(TOOL)/mutants.py --chapter "$(CHAPTER)" --count "$(COUNT)" --seed "$(SEED)"

bench: .venv/.tests  ## time lib against peers; with AGAINST=commit also its chapters: [CHAPTER=slug] [ROUNDS=1]
	@$(BENCH)/checked_calls.py
	@OMP_NUM_THREADS=1 $(BENCH)/attention.py
	@OMP_NUM_THREADS=1 $(BENCH)/augmentation.py
	@OMP_NUM_THREADS=1 $(BENCH)/decoding.py
	@OMP_NUM_THREADS=1 $(BENCH)/detection.py
	@OMP_NUM_THREADS=1 $(BENCH)/experts.py
	@OMP_NUM_THREADS=1 $(BENCH)/promptable.py
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

clean:  ## remove what was built; the virtual environment stays
	rm -rf _build .pytest_cache
