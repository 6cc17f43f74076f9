"""Sphinx settings. `tools/site_source.py` copies this file beside the pages that it writes."""

from configparser import ConfigParser
from pathlib import Path

parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
cfg = parser["DEFAULT"]

project = "LAST"
author = cfg["author"]
copyright = cfg["copyright"]
release = version = cfg["version"]
language = "en"

extensions = ["myst_nb", "sphinx.ext.mathjax", "autoapi.extension"]
exclude_patterns = ["_build", "package"]
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "autoapi.python_import_resolution"]
default_role = "literal"
nitpicky = False

# notebooks are shown as they were saved
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_render_markdown_format = "myst"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

# formulas, from a copy
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}
myst_update_mathjax = False

# the package
autoapi_dirs = ["package/last"]
autoapi_root = "api"
autoapi_add_toctree_entry = False
autoapi_options = ["members"]
autoapi_python_class_content = "class"
autoapi_member_order = "bysource"

html_theme = "pydata_sphinx_theme"
html_title = "LAST"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "LAST"},
    "navbar_align": "left",
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_depth": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "default",
}
if cfg["git_url"]:
    html_theme_options["icon_links"] = [
        {"name": "Repository", "url": cfg["git_url"], "icon": "fa-solid fa-code-branch"}
    ]
