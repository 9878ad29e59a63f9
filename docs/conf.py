"""How the site is built: ``python -m sphinx -W --keep-going -b html docs docs/_build``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

from notebook_copies import copy_notebooks, run_before, write_index

import e91

project = "E91"
author = "The E91 developers"
copyright = "the E91 developers; Apache-2.0"
version = release = e91.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "command_line_pages",
    "gallery_pictures",
    "glossary_page",
    "mathml",
    "python_pages",
]
exclude_patterns = ["_build", "jupyter_execute", "_extensions", "**.ipynb_checkpoints"]

# Pages are Markdown; a heading's anchor is GitHub's, so that links work in both places.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]

# Notebooks are kept without outputs.  They are copied here, and a copy that has been run already
# with the same cells (.ci/run runs them once, as tests) is not run again.
copy_notebooks(HERE.parent / "notebooks", HERE / "notebooks")
write_index(HERE / "notebooks")
nb_execution_mode = "force"
nb_execution_excludepatterns = run_before(HERE / "notebooks")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_ipywidgets_js = {}  # sliders need a kernel; their scripts would come from another site

# A name between single backticks is a link if it is documented, and code otherwise.
default_role = "py:obj"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "__new__, __init__"}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Source", "Not promised"]
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"E91 {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # a page that was opened from a folder may not fetch others
