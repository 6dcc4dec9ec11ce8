"""What shells offer: through click's classes, and through a real bash."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from joulecast.cli.completion import VARIABLE
from joulecast.cli.main import main
from joulecast.measurements.models import model_names
from joulecast.measurements.table.table import table_names
from joulecast.traces.public.catalog import CATALOG_VARIABLE, catalog, embedded_names
from joulecast.traces.public.tasks import task_names
from tests.conftest import RunCli

ROOT = Path(__file__).parent.parent.parent
BASH = shutil.which("bash")
SHELLS = ("bash", "zsh", "fish")


def offered(*words: str) -> list[tuple[str, str]]:
    """Type and value of what any shell is offered for the last of the words."""
    *before, incomplete = words
    shell = ShellComplete(main, {}, "joulecast", VARIABLE)
    return [(item.type, item.value) for item in shell.get_completions(before, incomplete)]


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "x", "--table", ""),
        ("estimate", "x", "--host", ""),
        ("compare", "x", "--table", "first", "--table", ""),
        ("paper", "--table", ""),
        ("table4", "--table", ""),
        ("table", "show", ""),
        ("table", "show", "first", "--over", ""),
        ("table", "check", ""),
        ("replay", "x", "--table", ""),
        ("validate", "--table", ""),
    ],
    ids=" ".join,
)
def test_tables(words: tuple[str, ...]) -> None:
    # The folder comes first: click's script for bash forgets names before it.
    assert offered(*words) == [("dir", ""), *(("plain", name) for name in table_names())]


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "az"),
        ("compare", "az"),
        ("trace", "summary", "az"),
        ("trace", "plot", "az"),
        ("trace", "bin", "az"),
        ("replay", "first", "az"),
    ],
    ids=" ".join,
)
def test_traces(words: tuple[str, ...]) -> None:
    names = sorted(n for n in {*embedded_names(), *catalog()} if n.startswith("az"))
    assert {"azure-2023-code", "azure-2024-code", "azure-2024-code-reconstructed"} <= {*names}
    assert offered(*words) == [("file", "az"), *(("plain", name) for name in names)]


def test_where_no_name_fits_the_shell_looks_for_files() -> None:
    assert offered("estimate", "req") == [("file", "req")]
    assert offered("estimate", "x", "--table", "/u") == [("dir", "/u")]
    assert offered("trace", "fetch", "req") == []


def test_other_names() -> None:
    def values(*words: str) -> list[str]:
        return [value for kind, value in offered(*words) if kind == "plain"]

    assert values("trace", "fetch", "") == list(catalog())
    assert values("trace", "task", "") == task_names()
    assert values("flops", "") == model_names()
    assert values("measure", "--model", "") == model_names()
    assert values("measure", "--gpu-type", "h") == [
        "h100-nvl",
        "h100-pcie",
        "h100-sxm",
        "h200-nvl",
        "h200-sxm",
    ]
    assert values("table4", "--gpu", "h100-s") == ["h100-sxm"]
    assert values("paper", "mixtures", "sp") == ["speculation"]
    assert values("estimate", "--gpu", "l4") == ["l4", "l40s"]
    assert values("measure", "--engine", "v") == ["vllm"]
    assert values("estimate", "--format", "") == ["table", "json", "csv", "latex"]
    assert values("completion", "") == list(SHELLS)
    assert {"completion", "doctor", "estimate", "measure", "replay"} <= {*values("")}
    assert values("doc") == ["doctor"]
    assert values("measure", "--pl") == ["--plan"]


def commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {rest}", below) for rest, below in commands(command, ctx))
        else:
            yield name, command


def test_whatever_help_calls_a_table_a_trace_or_a_model_completes() -> None:
    names = {"TABLE": table_names(), "MODEL": model_names(), "TRACE": embedded_names()}
    with main.make_context("joulecast", [], resilient_parsing=True) as ctx:
        seen = 0
        for words, command in commands(main, ctx):
            for param in command.params:
                metavar = param.make_metavar(ctx).strip("[].")
                if metavar in names or param.name == "model":
                    values = {item.value for item in param.shell_complete(ctx, "")}
                    assert {*names.get(metavar, model_names())} <= values, f"{words} {param.name}"
                    seen += 1
    assert seen == 24


def test_what_is_wrong_elsewhere_is_no_matter(monkeypatch, tmp_path: Path) -> None:
    broken = tmp_path / "catalog.json"
    broken.write_text("{")
    monkeypatch.setenv(CATALOG_VARIABLE, str(broken))
    assert offered("trace", "fetch", "") == []
    shipped = [name for name in embedded_names() if name.startswith("azure")]
    assert offered("estimate", "azure") == [
        ("file", "azure"),
        *(("plain", name) for name in shipped),
    ]
    assert offered("estimate", "--pue", "much", "--ta") == [("plain", "--table")]
    assert offered("table4", "--trace", "nonsense", "--pe") == [("plain", "--peak")]
    assert offered("compare", "x", "--price", "1", "--price", "2", "--ta") == [("plain", "--table")]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_the_one_of_click(run_cli: RunCli, shell: str) -> None:
    result = run_cli("completion", shell)
    assert result.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in result.stdout
    assert "_joulecast_completion" in result.stdout


def test_no_other_shells(run_cli: RunCli) -> None:
    assert run_cli("completion", "tcsh").exit_code == 2
    assert "bash-completion/completions/joulecast" in run_cli("completion", "--help").stdout


def environment(folder: Path) -> dict[str, str]:
    """One in which `joulecast` is the command of this tree."""
    command = folder / "joulecast"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m joulecast "$@"\n')
    command.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }


VLLM_QUICK = "h100-sxm/llama-3.1-8b/vllm-quick"


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_a_real_bash(tmp_path: Path) -> None:
    """One that sits at a terminal: of each line, the last word's completions are put into it."""
    for name in ("azure-2023-folder", "h100-mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "az.csv").write_text("")
    (tmp_path / "requests.csv").write_text("")
    lines = {
        "comp": ["compare", "completion"],
        "estimate azure-2023-": ["azure-2023-code", "azure-2023-conv"],
        "estimate az.": ["az.csv"],
        "estimate ./az": ["./az.csv", "./azure-2023-folder"],
        "estimate req": ["requests.csv"],
        "measure --engine p": ["pytorch"],
        "estimate --outp": ["--output-column", "--output"],
        "estimate --output req": ["requests.csv"],
        f"table show {VLLM_QUICK}": [
            VLLM_QUICK,
            *(f"{VLLM_QUICK}-{which}" for which in ("fourth", "second", "third")),
        ],
        "table show h100-m": ["h100-mine"],
        "table check req": ["req"],  # no folder begins so
        "trace fetch no-such": ["no-such"],
    }
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(str(BASH), ["bash", "--norc", "-i"], environment(tmp_path) | {"TERM": "dumb"})
    try:
        threading.Thread(target=read_all, args=(terminal,), daemon=True).start()
        os.write(terminal, b"source <(joulecast completion bash)\n")
        for number, (words, completions) in enumerate(lines.items()):
            result = tmp_path / f"line-{number}.txt"
            # Alt-* inserts all completions, Ctrl-E and Ctrl-A go to the ends of the line.
            keys = f"joulecast {words}\x1b*\x05 > {result}\x01echo \r"
            os.write(terminal, keys.encode())
            for _ in range(600):
                if result.exists() and result.read_text().endswith("\n"):
                    break
                time.sleep(0.05)
            assert result.read_text().split()[len(words.split()) :] == completions, words
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def read_all(terminal: int) -> None:
    """Whoever writes to a terminal that nobody reads waits for ever."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


@pytest.mark.parametrize("line", ["joulecast ", "joulecast estimate az", "joulecast table show h"])
def test_nothing_large_is_imported_for_it(tmp_path: Path, line: str) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from joulecast.cli.main import main\n"
        "main(prog_name='joulecast')\n"
    )
    question = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path) | question,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\nplain," in done.stdout or done.stdout.startswith("plain,")
    imported = set(done.stderr.split())
    assert "joulecast.cli.main" in imported
    heavy = {"pandas", "duckdb", "matplotlib", "scipy.optimize", "ibis", "torch", "vllm"}
    assert not heavy & imported
