"""Every command and every piece of Python in README.md and docs/ runs."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import joulecast as jc
from joulecast.cli.main import main
from joulecast.measurements.steplog.columns import LOG_COLUMNS
from joulecast.traces.load import load_workload
from tests.conftest import RunCli

pytestmark = pytest.mark.slow  # every command that is shown runs

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r"^```\w+ (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""A block with the name of a file behind its language is that file, to the commands."""
ANSWER = re.compile(r"^\| .+ \| `(joulecast [^`]+)` \|$", re.MULTILINE)
"""A row of the README's questions, with the command that answers it."""
DRAWN = re.compile(r"`((?:joulecast|python) [^`]+)`")
MADE_BY_MAKE = ("make ", "git ", "cd ", "pip ", "python3 ", "source ", ".venv/bin/pip ")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, body)
        for page in PAGES
        for found, body in BLOCK.findall(page.read_text())
        if found == language
    ]


@pytest.fixture
def in_a_folder_with_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{100 + 7 * k % 900},{1 + 11 * k % 300}\n" for k in range(500))
    (tmp_path / "requests.csv").write_text("input_tokens,output_tokens\n" + rows)
    (tmp_path / "log.jsonl").write_text('{"prompt": 100, "completion": 20}\n' * 10)
    (tmp_path / "BurstGPT_1.csv").write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n"
    )
    for page in PAGES:
        for name, content in SNIPPET.findall(page.read_text()):
            (tmp_path / name).write_text(content)


@pytest.mark.usefixtures("in_a_folder_with_a_log")
@pytest.mark.parametrize(("page", "body"), blocks("sh"))
def test_shell_blocks(page: str, body: str, run_cli: RunCli) -> None:
    for line in body.replace("\\\n", " ").splitlines():
        command, _, _ = line.partition("  #")
        if not command.strip() or command.startswith(MADE_BY_MAKE):
            continue
        assert command.startswith("joulecast "), f"{page}: {command}"
        result = run_cli(*shlex.split(command)[1:])
        assert result.exit_code == 0, f"{page}: {command}\n{result.output}"


@pytest.mark.usefixtures("in_a_folder_with_a_log")
@pytest.mark.parametrize("command", ANSWER.findall((ROOT / "README.md").read_text()))
def test_commands_that_answer_questions_run(command: str, run_cli: RunCli) -> None:
    result = run_cli(*shlex.split(command)[1:])
    assert result.exit_code == 0, f"{command}\n{result.output}"


def test_the_gallery_shows_what_draws_its_pictures() -> None:
    page = (ROOT / "docs/gallery.md").read_text()
    drawing = (ROOT / "docs/pictures/draw.py").read_text()
    commands = [shlex.split(command) for command in DRAWN.findall(page)]
    for name in set(re.findall(r"\(pictures/([\w-]+)\.png\)", page)):
        assert (ROOT / f"docs/pictures/{name}.png").exists()
    assert len(commands) > 8
    for command in commands:
        for word in command[1:]:
            stem = Path(word).stem if word.endswith((".png", ".py")) else word
            assert word.isupper() or stem in drawing, f"gallery: {word} of {command}"


@pytest.mark.usefixtures("in_a_folder_with_a_log")
@pytest.mark.parametrize(("page", "body"), blocks("python"))
def test_python_blocks(page: str, body: str) -> None:
    exec(compile(body, page, "exec"), {})


@pytest.mark.usefixtures("in_a_folder_with_a_log")
@pytest.mark.parametrize(
    ("name", "options", "read", "tokens", "failed", "invalid"),
    [
        ("openai.jsonl", {}, 2, (907, 474), 0, 0),
        ("batch_output.jsonl", {"on_invalid": "skip"}, 1, (812, 164), 0, 1),
        ("spend_logs.csv", {}, 2, (907, 474), 1, 0),
        ("litellm.jsonl", {}, 2, (907, 474), 0, 0),
        ("bench.json", {}, 2, (907, 474), 1, 0),
        ("usage_export.csv", {}, 32, (106_000, 24_000), 0, 0),
        ("gateway.csv", {"where": "user = alice"}, 1, (812, 164), 0, 0),
    ],
)
def test_logs_that_are_shown_say_what_the_page_says(
    name: str, options, read: int, tokens: tuple[int, int], failed: int, invalid: int
) -> None:
    workload = load_workload(name, **options)
    total = workload.total
    assert (total.requests, total.input_tokens, total.output_tokens) == (read, *tokens)
    assert workload.failed.requests == failed
    assert sum(workload.invalid.values()) == invalid


@cache
def printed_by(command: str) -> str:
    """What a command prints; several pages show the same ones."""
    return CliRunner().invoke(main, shlex.split(command)[2:]).stdout


@pytest.mark.usefixtures("in_a_folder_with_a_log")
@pytest.mark.parametrize(("page", "body"), blocks("console"))
def test_shown_output_is_the_real_one(page: str, body: str) -> None:
    command, _, shown = body.partition("\n")
    assert command.startswith("$ joulecast "), f"{page}: {command}"
    printed = printed_by(command)
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()


def test_every_key_of_a_result_is_described() -> None:
    page = (ROOT / "docs/files.md").read_text()
    rows = dict(re.findall(r"^\| `([\w ]+)` \| (.*) \|$", page, re.MULTILINE))
    table = "h100-sxm/llama-3.1-8b/vllm"
    costs = {"pue": 1.2, "carbon": "FR", "price": "0.18 EUR"}
    estimate = jc.estimate("azure-2023-code", table, "stepwise", **costs).to_dict()
    comparison = jc.compare("azure-2023-code", [table, table]).to_dict()
    cells = {key for cell in estimate["cells"] for key in cell}
    assert {*estimate, *cells} <= set(re.findall(r"`(\w+)`", rows["estimate"]))
    more = {*comparison, *comparison["tables"][0]} - set(estimate)
    assert more <= set(re.findall(r"`(\w+)`", rows["compare"]))


def test_every_column_of_a_log_is_described() -> None:
    page = (ROOT / "docs/steplogs.md").read_text()
    for log, columns in LOG_COLUMNS.items():
        section = page.partition(f"\n### {log.capitalize()}\n")[2].partition("\n#")[0]
        rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
        assert rows == [(name, column.meaning) for name, column in columns.items()]


def headings(page: Path) -> set[str]:
    """What a link may name behind the #, as code hosts and the site make it of a heading."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_links_between_pages_lead_somewhere() -> None:
    checked = 0
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
            if "://" in target:
                continue
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in headings(file), f"{page.name} links to {target}#{anchor}"
                checked += 1
    assert checked > 10
