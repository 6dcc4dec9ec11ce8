r"""A result as LaTeX: each of its tables as a tabular of booktabs, and its remarks below.

It goes where the package booktabs is loaded, by \input; captions and floats are the paper's.
"""

import re
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column

from joulecast.traces.printable import printable
from joulecast.views.parts import Bar, Cell, FactsTable, GridTable

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$",
}  # fmt: skip
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPES)))
_ALIGNMENTS = {"right": "r", "center": "c"}


def latex_escaped(text: str) -> str:
    """A text that LaTeX prints as it is, whatever names it holds."""
    escaped = _SPECIAL.sub(lambda match: _ESCAPES[match[0]], printable(text))
    escaped = escaped.replace("--", "-{}-")  # two hyphens are a dash
    return escaped.replace("[", "{[}").replace("]", "{]}")  # which \\ would take as its option


def latex_text(view: RenderableType) -> str:
    """Everything that a view shows and that is no picture."""
    return "\n".join(_blocks(view))


def _blocks(view: RenderableType) -> Iterator[str]:
    if isinstance(view, Group):
        for part in view.renderables:
            yield from _blocks(part)
    elif isinstance(view, Padding):
        yield from _blocks(view.renderable)
    elif isinstance(view, Cell):
        if view:
            yield f"{_cell(view)}\\par\n"
    elif isinstance(view, FactsTable):
        yield _tabular(r"lp{0.7\linewidth}", [], _rows(view.columns))
    elif isinstance(view, GridTable) and not any(map(_is_drawn, view.columns)):
        yield from _grid(view)


def _grid(table: GridTable) -> Iterator[str]:
    """A table with a head."""
    if table.heading is not None:
        yield f"{_cell(table.heading)}\\par"
    alignment = "".join(_ALIGNMENTS.get(column.justify, "l") for column in table.columns)
    heads = [_head(column) for column in table.columns]
    yield _tabular(alignment, heads, _rows(table.columns))


def _is_drawn(column: Column) -> bool:
    return any(isinstance(cell, Bar) for cell in column.cells)


def _head(column: Column) -> str:
    lines = column.header.lines if isinstance(column.header, Cell) else (str(column.header),)
    return latex_escaped(" ".join(line for line in lines if line))


def _rows(columns: Sequence[Column]) -> list[list[str]]:
    rows = zip(*(column.cells for column in columns), strict=True)
    return [[_cell(cell) for cell in row] for row in rows]


def _cell(cell: RenderableType) -> str:
    return latex_escaped(cell.on_one_line().lines[0]) if isinstance(cell, Cell) else ""


def _tabular(alignment: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"\\begin{{tabular}}{{{alignment}}}", "\\toprule"]
    if heads:
        lines += [" & ".join(heads) + r" \\", "\\midrule"]
    for row in rows:
        # An empty pair sets groups of facts apart.
        lines.append(" & ".join(row) + r" \\" if any(row) else "\\midrule")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])
