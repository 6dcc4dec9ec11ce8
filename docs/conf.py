"""How Sphinx builds these pages into a site: `make docs`.

The pages are plain Markdown that reads well on a code host, too. Links between them are checked,
anchors included, and whatever leads nowhere ends the build.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import joulecast as jc  # noqa: E402 - from this clone, wherever another is installed
from joulecast.cli.main import main  # noqa: E402
from joulecast.version import VERSION  # noqa: E402

project = "joulecast"
author = "The joulecast authors"
release = version = VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"joulecast {VERSION}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 4
"""Headings down to this level are what `[text](page.md#heading)` may name, as on a code host."""

default_role = "code"  # `name` in the help of commands
smartquotes = False  # --option is no dash
napoleon_use_ivar = True
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"

nitpicky = True
nitpick_ignore_regex = [
    # Types of Python and numpy: a build fetches no other project's index, and needs no network.
    ("py:class", r"(collections\.abc|pathlib|numpy|np|npt|pandas|pd)\..*"),
    # Aliases; what they stand for is told beside each argument.
    ("py:class", r"OnInvalid|OnProgress|FramePart|.*\.(Reading|Estimate|Single|Models)Keywords"),
    ("py:class", r"(.*\.)?Replays|TraceInput|Stored(Lengths|Tokens)|(.*\.)?ArrowStream"),
    # Parts of results that are described under their full names.
    ("py:class", r"Slices|Rates|ArrivalReading|Serving|Timeline|Quantiles|Objective|CachedPrompts"),
    ("py:class", r"(.*\.)?OwnCard|LatencySpread"),
    # What plans are ranked by, why some are none, and what they reckon with, under its full name.
    ("py:class", r"(.*\.)?(Goal|Lack)|Terms"),
    # What an estimate is made from, and what it holds to be divided further.
    ("py:class", r"(.*\.)?(LoadedTrace|Steps|Division|Spending)"),
    # A window's logs, which programs read with the files' own page (docs/steplogs.md).
    ("py:class", r"(.*\.)?TrafficWindow"),
]

NAMES = set(jc.__all__)


def link_names(
    _app: Sphinx,
    _what: str,
    _name: str,
    _obj: Any,
    _options: Any,
    lines: list[str],
) -> None:
    """Read `name` in docstrings as code, and public names and pages as links; shorten types."""

    def role(match: re.Match[str]) -> str:
        word = match[1]
        return f":py:obj:`~joulecast.{word}`" if word in NAMES else f"``{word}``"

    for number, line in enumerate(lines):
        if line.startswith(":vartype"):
            lines[number] = re.sub(r"\b[a-z_.]+\.(?=[A-Z])", "", line)
        else:
            coded = re.sub(r"(?<![`:])`([^`]+)`(?!`)", role, line)
            lines[number] = re.sub(r"\bdocs/([\w-]+)\.md\b", r":doc:`\1`", coded)


def unlink_outside(app: Sphinx, doctree: nodes.document) -> None:
    """Leave links to Markdown outside this folder (../README.md) as text: no page is made of it.

    On a code host they lead there. Other files, such as notebooks, are copied into the site.
    """
    for node in list(doctree.findall(pending_xref)):
        target = Path(f"{node['reftarget']}.md")
        is_outside = target.is_absolute() and not target.is_relative_to(app.srcdir)
        if node.get("reftype") == "myst" and is_outside and target.is_file():
            node.replace_self(node.children[0].children)


def show_defaults(command: click.Command) -> None:
    """Say in the reference what an option is where it is left out, as --help does."""
    for option in command.params:
        if isinstance(option, click.Option) and not (option.is_flag or option.multiple):
            option.show_default = isinstance(option.default, (str, int, float))


def load_commands(group: click.Group, path: str) -> Iterator[str]:
    """Import what a group only imports when it is called for, which sphinx-click passes over.

    Yields:
        How each command below it is called.
    """
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            group.add_command(command)
            show_defaults(command)
            yield f"{path} {name}"
        if isinstance(command, click.Group):
            yield from load_commands(command, f"{path} {name}")


COMMANDS = {nodes.make_id(path): path for path in load_commands(main, "joulecast")}


def name_commands_whole(_app: Sphinx, doctree: nodes.document) -> None:
    """Head each command with the words that call it: joulecast trace bin, not bin."""
    for section in doctree.findall(nodes.section):
        path = COMMANDS.get(section["ids"][0])
        if path is not None:
            section[0] = nodes.title(path, path)


FIELD_NAMES = {"Variables": "Attributes", "Options": "Choices"}
"""What Sphinx and sphinx-click head lists of fields with -> what they are of."""


def polish_fields(_app: Sphinx, doctree: nodes.document) -> None:
    """Call fields by better names, and write a dash between a field and what it is."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))
        elif text in FIELD_NAMES and isinstance(text.parent, nodes.field_name):
            text.parent.replace(text, nodes.Text(FIELD_NAMES[text]))


def setup(app: Sphinx) -> None:
    """Tell Sphinx of the rules above."""
    app.connect("autodoc-process-docstring", link_names)
    app.connect("doctree-read", unlink_outside)
    app.connect("doctree-read", polish_fields)
    app.connect("doctree-read", name_commands_whole, priority=100)  # before headings are collected
    app.add_lexer("csv", TextLexer)
