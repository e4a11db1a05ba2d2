.PHONY: demo test test-slow lint docs bench notebooks release clean
.DELETE_ON_ERROR:

BIN := .venv/bin

demo: .venv/installed
	@rm -rf demo
	@$(BIN)/pspgen demo --out demo

test: .venv/installed
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/installed
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

docs: .venv/installed
	@$(BIN)/sphinx-build -W -q -b html docs docs/_build
	@! grep -rlE '<(script|link|img)[^>]*(src|href)="https?:' docs/_build --include='*.html' || \
		{ echo "docs: these pages load something from a network"; exit 1; }

# the other benchmarks need a trained run; their headings give the commands
bench: .venv/installed
	@for name in solver chain mesh_convergence; do \
		OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; done

# at full size, each from the data and the model that the ones before it made
notebooks: .venv/installed
	@rm -rf notebooks/work
	@OMP_NUM_THREADS=1 PSPGEN_NOTEBOOK_SIZE=full $(BIN)/jupyter-execute --inplace notebooks/*.ipynb

# what could go out, tried as a newcomer would try it
release: .venv/installed
	@sh tools/release.sh

clean:
	rm -rf .venv demo dist docs/_build notebooks/work pspgen_pyro/*/__pycache__

.venv/installed: pyproject.toml tools/bootstrap.sh
	@sh tools/bootstrap.sh
