"""The project page: docs/ as a site that is built offline, and that a browser opens from disk.

``make docs`` builds it into build/site, and fails for a link that leads nowhere, a page that does
not read, and a command without a page. What is generated (the options of every command, the
reference of the Python names) is read from the code by the two extensions beside this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploybench import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "DeployBench"
author = "The DeployBench authors"
copyright = author  # noqa: A001
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "shown", "drawn", "reference"]
root_doc = "index"
source_suffix = {".md": "markdown"}
exclude_patterns = ["site", "example-run", "example-study"]

# Headings have the anchors that they have on GitHub, so that a link works in both places.
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
myst_fence_as_directive = ["mermaid"]

# A link to a name of Python need not lead anywhere: numpy's and torch's own pages are on the web.
nitpick_ignore_regex = [("py:.*", ".*")]
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
# Names and options stand on their own page, not in the navigation of every page: half of the time
# of the build went there.
toc_object_entries = False

html_theme = "furo"
html_title = f"DeployBench {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["../report-example.html", "../report-study.html"]
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # it is fetched, which no page from disk may do
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
highlight_language = "text"  # of blocks that name none: what a terminal shows
pygments_style = "default"
pygments_dark_style = "monokai"
