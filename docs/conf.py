"""Sphinx's configuration. The build first makes what is not kept: reference pages, curves and the guide's figures."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

from pages import docstrings, figures, reference  # noqa: E402

import fastloss  # noqa: E402

project, author = "fastloss", "The fastloss developers"
version = release = fastloss.__version__
copyright = author

extensions = ["myst_parser", "sphinx_design", "sphinx_copybutton", "pages.mathml"]
myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_block", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
suppress_warnings = ["myst.header"]
exclude_patterns = ["pages", "generate.py"]

html_theme = "pydata_sphinx_theme"
html_title = "fastloss"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: object) -> None:
    if wrong := docstrings.faults():
        raise ValueError("docstrings:\n" + "\n".join(wrong))
    figures.guide()
    figures.losses(DOCS / "reference" / "curves")
    reference.write(DOCS / "reference")
