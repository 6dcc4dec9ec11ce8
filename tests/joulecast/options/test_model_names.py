"""Names of models that others write, as the commands take them."""

import json
from pathlib import Path

import pytest

import joulecast as jc
from tests.conftest import RunCli

NAME, MODEL = "meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"
TAKEN = f'"{NAME}" is taken as {MODEL}'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With four requests."""
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_text("input_tokens,output_tokens\n" + "64,16\n" * 4)
    return path


def test_an_estimate_says_what_a_name_is_taken_as(
    log: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    words = ("estimate", log, "--model", NAME)
    document = json.loads(run_cli(*words, "--html", page, "--format", "json").stdout)
    own = json.loads(run_cli("estimate", log, "--model", MODEL, "--format", "json").stdout)
    assert document == {**own, "basis_notes": f"{own['basis_notes']}; {TAKEN}"}
    assert document["model"] == MODEL
    assert f"; {TAKEN}" in " ".join(run_cli(*words).stdout.split())
    assert "&#34;" + TAKEN[1:].replace('"', "&#34;") in " ".join(page.read_text().split())
    made = jc.estimate(log, model=NAME, gpu="l40s")
    assert made.basis is not None
    assert made.basis.model == MODEL
    assert made.basis.notes[-1] == TAKEN


@pytest.mark.parametrize(
    "words",
    [
        ("flops", NAME),
        ("prices", "--input", "64", "--output", "16", "--model", NAME),
        ("plan", "log.csv", "--serving", "offline", "--on", "gpu=h100-sxm", "--model", NAME),
        ("measure", "--engine", "vllm", "--dry-run", "-o", "table", "--model", NAME),
    ],
)
def test_other_commands_say_it_beside_the_result(
    words: tuple[str, ...], log: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    ended = run_cli(*words)
    assert TAKEN in ended.stderr
    own = run_cli(*(MODEL if word == NAME else word for word in words))
    assert (ended.exit_code, ended.stdout) == (own.exit_code, own.stdout)
    assert MODEL in own.stdout


def test_a_name_of_no_model_is_refused_with_a_hint(log: Path, run_cli: RunCli) -> None:
    for name, hint in (
        ("mistralai/Mistral-7B-Instruct-v0.2", 'did you mean "mistral-7b"?'),
        ("zzz", "name a shipped one, such as llama-3.1-8b"),
    ):
        refused = run_cli("estimate", log, "--model", name)
        assert refused.exit_code == 1
        assert hint in refused.stderr
        assert "falcon" not in refused.stderr
