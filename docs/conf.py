"""Settings of Sphinx for the pages of this folder; ``nox -s docs`` builds them."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name / "src") for name in ("lfads_core", *(f"lfads_plugins_{end}" for end in ("std", "calcium", "emg", "tune", "lab")))]

project = "lfads"
author = "the authors of lfads-core"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "LFADS"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# Tutorials are notebooks. `nox -s docs` runs them, each in an empty folder, and keeps what came out until their text changes.
nb_execution_mode = os.environ.get("LFADS_DOCS_EXECUTE", "off")
nb_execution_cache_path = str(ROOT / ".nox" / "notebooks")
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True

myst_heading_anchors = 4  # links to headings as they are on the pages of a repository
suppress_warnings = [
    "myst-nb.lexer",  # of notebooks that were not run, whose language nobody says
    "mystnb.lexer",
    "myst.xref_missing",  # CONTRIBUTING.md and the like stand outside this folder; a test follows every link
]

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
