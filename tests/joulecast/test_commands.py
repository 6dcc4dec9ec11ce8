"""The commands as a whole: how they are listed, and which words they take."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import joulecast
from joulecast import estimator, measurements, traces
from joulecast.cli.main import COMMANDS, main
from tests.conftest import RunCli

TABLE = "h100-sxm/llama-3.1-8b/vllm"
HELP = (("--help",), ("trace", "--help"), ("table", "--help"))


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_no_summary_is_cut(words: tuple[str, ...], run_cli: RunCli) -> None:
    _, summaries = run_cli(*words, terminal_width=80).stdout.split("Commands:")
    assert len(summaries.splitlines()) > 3
    assert "..." not in summaries


def test_commands_are_listed_with_the_first_sentence_of_their_help() -> None:
    with main.make_context("joulecast", [], resilient_parsing=True) as ctx:
        for name, summary in COMMANDS.items():
            command = main.get_command(ctx, name)
            assert command.name == name
            assert command.get_short_help_str(1000) == summary


def test_a_mistyped_command_is_set_right(run_cli: RunCli) -> None:
    result = run_cli("estimat", "x")
    assert result.exit_code == 2
    assert "Did you mean 'estimate'" in result.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_what_needs_no_command_imports_none(words: list[str]) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from joulecast.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {name for name in done.stderr.split() if name.startswith("joulecast.cli")}
    assert imported == {"joulecast.cli", "joulecast.cli.main"}
    assert not {"numpy", "rich", "scipy"} & set(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--table", TABLE, "--table", TABLE), "give one --table; compare takes several"),
        (("--host", TABLE, "--host", TABLE), "--host is given twice"),
        (("--method", "binned", "--method", "stepwise"), "--method is given twice"),
        (("--format", "json", "--format=csv"), "--format is given twice"),
        (("-o", "a", "--output", "b"), "--output is given twice"),
        (("--pue", "1.2", "--pue", "1.2"), "--pue is given twice"),
    ],
)
def test_an_option_of_one_value_is_given_once(
    words: tuple[str, ...], message: str, run_cli: RunCli
) -> None:
    table = () if "--table" in words else ("--table", TABLE)
    result = run_cli("estimate", "azure-2023-code", *table, *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr


def test_nor_are_two_opposites_given(run_cli: RunCli) -> None:
    result = run_cli("validate", "--known-host", "--unknown-host")
    assert result.exit_code == 2
    assert "--known-host/--unknown-host is given twice" in result.stderr


def test_options_of_several_values_and_flags_may_be_repeated(run_cli: RunCli) -> None:
    several = ("--table", TABLE, "--table", TABLE, "--method", "binned")
    result = run_cli("compare", "azure-2023-code", *several, "--whole-batches", "--whole-batches")
    assert result.exit_code == 0, result.output


def test_no_text_sends_readers_to_a_page_that_does_not_ship() -> None:
    """A wheel has no docs/. Docstrings may name a page: whoever reads code has a clone."""
    texts, rooms = 0, (joulecast, estimator, measurements, traces)
    for path in (path for room in rooms for path in Path(room.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and id(node) not in docstrings:
                assert "docs/" not in node.value, f"{path}:{node.lineno}"
                texts += 1
    assert texts > 1000
