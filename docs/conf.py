"""How Sphinx builds these pages: `sphinx-build -W -n docs build/docs`."""

import deltanet as dn

project = "deltanet"
author = "deltanet developers"
copyright = author
version = release = dn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say types in words
default_role = "autolink"  # a link where `name` is documented, emphasis elsewhere
numpydoc_show_class_members = False  # the pages of the API list the members by theme
numpydoc_class_members_toctree = False

nitpicky = True
nitpick_ignore_regex = [  # of other packages: the build needs no network
    (r"py:.*", r"(numpy|scipy|matplotlib|torch|sklearn|keras|flax|jax|onnx|safetensors|os)(\..*)?"),
]

html_theme = "pydata_sphinx_theme"
html_title = "deltanet"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"index": [], "install": [], "derivation": [], "numerics": []}
html_show_sourcelink = False
