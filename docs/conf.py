"""How `make docs` builds the site: Sphinx, Furo, and MyST for pages in Markdown."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

# The pages read the platform's code and no server, so nothing is started for them.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")
os.environ.update(DATABASE_URL="postgres://unused/unused", REDIS_URL="redis://unused")

project = "MLOps platform"
extensions = ["myst_parser", "sphinx.ext.autodoc", "rest_reference", "drawings", "repository_links"]
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# Examples leave something out with an ellipsis, which is no valid JSON.
suppress_warnings = ["misc.highlighting_failure"]

smartquotes = False  # `--option` stays as it is
default_role = "code"  # docstrings write `name` for code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = "MLOps platform"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
