"""The documentation: Sphinx with furo and MyST; every warning is an error (`make docs`)."""

import pspgen_pyro

project = "pspgen_pyro"
author = "The pspgen_pyro developers"
project_copyright = "2026, The pspgen_pyro developers"
release = pspgen_pyro.__version__
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]
templates_path = ["_templates"]
exclude_patterns = ["jupyter_execute", "_build", "_templates", "notebooks/work"]
# the first suffix is that of the generated API pages
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

autosummary_generate = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Other arguments", "params_style")]
# names in single backticks are code: this package's docstrings quote names, not roles
default_role = "code"

html_theme = "furo"
html_title = f"pspgen_pyro {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
# summaries are fetched, which a browser refuses where the site is a folder
html_show_search_summary = False
