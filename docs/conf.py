"""Settings of Sphinx for the pages of this folder; ``nox -s docs`` builds them."""

import os
import re
import sys
from pathlib import Path
from typing import Any

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
    "misc.highlighting_failure",  # of a command that goes on in the next line, which the lexer of notebooks does not know
    "myst.xref_missing",  # CONTRIBUTING.md and the like stand outside this folder; a test follows every link
]

autodoc_typehints = "signature"
python_maximum_signature_line_length = 80  # longer ones have a line for each argument
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def let_names_break(_app: object, _page: str, _template: str, context: dict[str, str], _doctree: object) -> None:
    """Long names in code may break behind a dot, a slash or the like, very long ones behind an underscore; numbers and what is copied stay whole."""

    def broken(found: re.Match[str]) -> str:
        name = found.group()
        signs = r"/=:_" if len(name) > 28 else r"/=:"
        return re.sub(rf"((?:[{signs}]|\.(?!\d))+)(?=\w)", r"\1<wbr>", name)

    if "body" in context:
        context["body"] = re.sub(r'(?<=<span class="pre">)[^<]{13,}(?=</span>)', broken, context["body"])


def setup(app: Any) -> None:
    """Sphinx asks for this."""
    app.connect("html-page-context", let_names_break)
