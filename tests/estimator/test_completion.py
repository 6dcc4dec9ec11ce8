"""What shells offer: through click's classes, and through a real bash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class

from joulecast.cli.main import main
from joulecast.cli.names import VARIABLE
from joulecast.measurements.models import model_names
from joulecast.measurements.table.table import table_names
from joulecast.traces.public.catalog import CATALOG_VARIABLE, catalog, embedded_names
from joulecast.traces.public.tasks import task_names
from tests.conftest import RunCli

ROOT = Path(__file__).parent.parent.parent
BASH = shutil.which("bash")
SHELLS = ("bash", "zsh", "fish")


def offered(monkeypatch: pytest.MonkeyPatch, shell: str, *words: str) -> list[tuple[str, str]]:
    """Type and value of what is offered for the last of the words."""
    *before, incomplete = words
    monkeypatch.setenv(VARIABLE, f"{shell}_complete")
    made = get_completion_class(shell)(main, {}, "joulecast", VARIABLE)
    return [(item.type, item.value) for item in made.get_completions(before, incomplete)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("azfolder", "h100-mine", ".hidden"):
        (tmp_path / name).mkdir()
    for name in ("az.csv", "h100-notes.txt", "requests.csv"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "x", "--table", ""),
        ("estimate", "x", "--host", ""),
        ("compare", "x", "--table", "first", "--table", ""),
        ("table4", "--table", ""),
        ("table", "show", ""),
        ("table", "show", "first", "--over", ""),
        ("table", "check", ""),
        ("replay", "x", "--table", ""),
        ("validate", "--table", ""),
    ],
    ids=" ".join,
)
def test_tables(monkeypatch, shell: str, words: tuple[str, ...]) -> None:
    found = offered(monkeypatch, shell, *words)
    assert [("plain", name) for name in table_names()] == [
        one for one in found if one[1] in table_names()
    ]
    if shell == "bash":
        assert found[len(table_names()) :] == [("plain", "azfolder/"), ("plain", "h100-mine/")]
    else:
        assert found[0] == ("dir", "")
        assert len(found) == 1 + len(table_names())


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shell", SHELLS)
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
def test_traces(monkeypatch, shell: str, words: tuple[str, ...]) -> None:
    names = sorted(n for n in {*embedded_names(), *catalog()} if n.startswith("az"))
    assert {"azure-2023-code", "azure-2024-code", "azure-2024-code-reconstructed"} <= {*names}
    found = offered(monkeypatch, shell, *words)
    plain = [("plain", name) for name in names]
    if shell == "bash":
        assert found == [*plain, ("plain", "az.csv"), ("plain", "azfolder/")]
    else:
        assert found == [("file", "az"), *plain]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shell", SHELLS)
def test_where_no_name_fits_the_shell_looks_for_files(monkeypatch, shell: str) -> None:
    assert offered(monkeypatch, shell, "estimate", "req") == [("file", "req")]
    assert offered(monkeypatch, shell, "estimate", "x", "--table", "/u") == [("dir", "/u")]
    assert offered(monkeypatch, shell, "trace", "fetch", "req") == []


def test_other_names(monkeypatch) -> None:
    def values(*words: str) -> list[str]:
        return [value for kind, value in offered(monkeypatch, "zsh", *words) if kind == "plain"]

    assert values("trace", "fetch", "") == list(catalog())
    assert values("trace", "task", "") == task_names()
    assert values("flops", "") == model_names()
    assert values("measure", "--model", "") == model_names()
    assert values("measure", "--gpu-type", "h") == ["h100-sxm", "h200-sxm"]
    assert values("table4", "--gpu", "h1") == ["h100-sxm"]
    assert values("measure", "--engine", "v") == ["vllm"]
    assert values("estimate", "--format", "") == ["table", "json", "csv"]
    assert values("completion", "") == list(SHELLS)
    assert {"completion", "doctor", "estimate", "measure", "replay"} <= {*values("")}
    assert values("doc") == ["doctor"]
    assert values("measure", "--pl") == ["--plan"]


def commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {rest}", one) for rest, one in commands(command, ctx))
        else:
            yield name, command


def test_whatever_help_calls_a_table_or_a_trace_completes(monkeypatch) -> None:
    with main.make_context("joulecast", [], resilient_parsing=True) as ctx:
        seen = 0
        for words, command in list(commands(main, ctx)):
            offered(monkeypatch, "zsh", *words.split(), "")
            for param in command.params:
                shown = param.make_metavar(ctx).strip("[].")
                if shown in {"TABLE", "TRACE", "MODEL"}:
                    values = {one.value for one in param.shell_complete(ctx, "")}
                    wanted = {"TABLE": table_names(), "MODEL": model_names()}
                    assert {*wanted.get(shown, embedded_names())} <= values, f"{words} {param.name}"
                    seen += 1
    assert seen > 12


def test_what_is_wrong_elsewhere_is_no_matter(monkeypatch, tmp_path: Path) -> None:
    broken = tmp_path / "catalog.json"
    broken.write_text("{")
    monkeypatch.setenv(CATALOG_VARIABLE, str(broken))
    assert offered(monkeypatch, "bash", "trace", "fetch", "") == []
    found = offered(monkeypatch, "fish", "estimate", "azure")
    shipped = [name for name in embedded_names() if name.startswith("azure")]
    assert [value for kind, value in found if kind == "plain"] == shipped
    assert offered(monkeypatch, "bash", "estimate", "--pue", "much", "--ta") == [
        ("plain", "--table")
    ]
    assert offered(monkeypatch, "bash", "table4", "--trace", "nonsense", "--pe") == [
        ("plain", "--peak")
    ]


def test_commands_work_as_before_once_a_shell_asked(monkeypatch, run_cli: RunCli) -> None:
    offered(monkeypatch, "bash", "flops", "ll")
    result = run_cli("flops", "no-such-model")
    assert result.exit_code == 1
    assert 'unknown model "no-such-model"' in result.stderr
    assert run_cli("flops", "llama-3.1-8b").exit_code == 0
    assert "MODEL" in run_cli("flops", "--help").stdout


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


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("joulecast comp", ["compare", "completion"]),
        ("joulecast estimate azure-2023-", ["azure-2023-code", "azure-2023-conv"]),
        ("joulecast measure --engine p", ["pytorch"]),
        (
            "joulecast table show h100-sxm/llama-3.1-8b/vllm-q",
            [
                "h100-sxm/llama-3.1-8b/vllm-quick",
                "h100-sxm/llama-3.1-8b/vllm-quick-second",
                "h100-sxm/llama-3.1-8b/vllm-quick-third",
            ],
        ),
        ("joulecast trace fetch no-such", []),
    ],
)
def test_a_real_bash(tmp_path: Path, line: str, replies: list[str]) -> None:
    script = f"""
        source <(joulecast completion bash) || exit 3
        [[ $(complete -p joulecast) == *_joulecast_completion* ]] || exit 4
        COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _joulecast_completion joulecast
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    bash = [str(BASH), "--norc", "-c", script]
    done = subprocess.run(
        bash, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.split() == replies


@pytest.mark.parametrize("line", ["joulecast ", "joulecast estimate az", "joulecast table show h"])
def test_nothing_large_is_imported_for_it(tmp_path: Path, line: str) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from joulecast.cli.main import main\n"
        "main(prog_name='joulecast')\n"
    )
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path) | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("plain,")
    imported = set(done.stderr.split())
    assert "joulecast.cli.main" in imported
    heavy = {"pandas", "duckdb", "matplotlib", "scipy.optimize", "ibis", "torch", "vllm"}
    assert not heavy & imported
