"""How the pages become HTML: Markdown through MyST, nothing fetched from anywhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_version = re.search(r'__version__ = "(.+)"', (ROOT / "quart_app/__init__.py").read_text())

project = "quart_app"
release = version = _version[1] if _version else ""
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"quart_app {version}"
html_copy_source = html_show_sphinx = False
