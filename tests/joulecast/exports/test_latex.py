"""Results as LaTeX: whole tables, and names that print as they are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group

from joulecast.views.latex import latex_escaped, latex_text
from joulecast.views.parts import Bar, add_row, facts_table, grid_table, notes_text
from tests.conftest import RunCli

COMMAND = re.compile(r"\\(?:[{}$&#_%]|textbackslash\{\}|text[a-z]+\{\}|pm|geq|leq)")
VLLM = "h100-sxm/llama-3.1-8b/vllm"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % of a_b & c#1", r"50 \% of a\_b \& c\#1"),
        (r"C:\{x}", r"C:\textbackslash{}\{x\}"),
        ("~10^3 $", r"\textasciitilde{}10\textasciicircum{}3 \$"),
        ("< 0.1 % | > 1", r"\textless{} 0.1 \% \textbar{} \textgreater{} 1"),
        ("[x]", "{[}x{]}"),
        ("--pue", "-{}-pue"),
        ("± 2", r"$\pm$ 2"),
        ("é", "é"),
    ],
)
def test_escapes(text: str, escaped: str) -> None:
    assert latex_escaped(text) == escaped


@given(st.text())
def test_nothing_of_a_name_is_a_command(text: str) -> None:
    """With our own escapes taken away, no letter that LaTeX reads otherwise is left."""
    left = COMMAND.sub("", latex_escaped(text).replace("{[}", "").replace("{]}", ""))
    left = left.replace("-{}-", "").replace("$$", "")
    assert not set(left) & set("\\{}$&#_%~^<>|")


def test_tables_are_booktabs_and_pictures_are_left_out() -> None:
    grid = grid_table("A title")
    grid.add_column("name\nof it")
    grid.add_column("J", justify="right")
    add_row(grid, "a_b", ["1", "0 to 2"])
    bars = grid_table()
    bars.add_column("bar")
    add_row(bars, Bar(0.1, 0.2, 0.3))
    facts = facts_table([("x", "1 %"), ("", ""), ("y", "2")])
    text = latex_text(Group(facts, grid, bars, notes_text(["A note."])))
    assert text == (
        "\\begin{tabular}{lp{0.7\\linewidth}}\n\\toprule\nx & 1 \\% \\\\\n\\midrule\ny & 2 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\n"
        "A title\\par\n"
        "\\begin{tabular}{lr}\n\\toprule\nname of it & J \\\\\n\\midrule\n"
        "a\\_b & 1 (0 to 2) \\\\\n\\bottomrule\n\\end{tabular}\n\n"
        "A note.\\par\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "azure-2023-code", "--table", VLLM, "--serving", "offline", "--explain"),
        ("compare", "azure-2023-code", "--table", VLLM, "--table", VLLM, "--pue", "1.2"),
        ("table4",),
        ("table", "show", VLLM),
    ],
)
def test_every_row_has_as_many_cells_as_columns(words: tuple[str, ...], run_cli: RunCli) -> None:
    text = run_cli(*words, "--format", "latex").stdout
    tabulars = re.findall(r"\\begin\{tabular\}\{([^\n]*)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert tabulars
    for alignment, body in tabulars:
        columns = len(alignment.replace(r"p{0.7\linewidth}", "p"))
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == columns - 1
