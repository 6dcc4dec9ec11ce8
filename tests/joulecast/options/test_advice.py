"""Errors advise options that the command has, or those of another command that they name."""

import re
from pathlib import Path

import pytest

from joulecast.cli.main import COMMANDS, main
from joulecast.estimator.variants.wish import as_of_specs
from tests.conftest import RunCli
from tests.test_bad_input import TABLE

EQUAL = ("--requests", "100", "--input", "500", "--output", "100")
SLO = ("--slo", "ttft_p99=2s")
FP8 = "gpu=h100-sxm,engine=pytorch,dtype=fp8"
TOO_LARGE = "model=qwen2.5-72b,gpu=l4"
DRAFT = "speculate=llama-3.2-1b:4:0.7"
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")

CASES = [
    ("prices", "--model", "qwen2.5-7b", "--engine", "pytorch", "--rate", "2"),
    ("prices", "--model", "qwen2.5-72b", "--gpu", "l4"),
    ("prices", "--model", "qwen2.5-7b", "--engine", "pytorch", "--dtype", "fp8"),
    ("prices", "h100-sxm", "pytorch", "--model", "qwen2.5-7b", "--dtype", "fp8"),
    ("prices", "--gpu", "l40s", "LOG", "--input-column", "x"),
    ("prices", "--gpu", "l40s", "--where", "x = 1"),
    ("prices", "--gpus", "2"),
    ("compare", *EQUAL, "--on", "engine=pytorch", "--rate", "2"),
    ("compare", *EQUAL, "--on", DRAFT, "--rate", "2"),
    ("compare", *EQUAL, "--on", "engine=pytorch", "--max-num-seqs", "4"),
    ("compare", *EQUAL, "--on", TOO_LARGE),
    ("compare", *EQUAL, "--on", FP8),
    ("compare", *EQUAL, "--method", "binned", "--table", TABLE, "--on", "decoding=top-p:0.9"),
    ("compare", *EQUAL, "--method", "binned", "--on", "gpu=l40s"),
    ("compare", *EQUAL, "--method", "binned", "--table", TABLE, "--rate", "2"),
    ("compare", "LOG", "--on", "gpu=h100-sxm", "--serving", "online"),
    ("compare", "LOG", "--on", "gpu=h100-sxm", "--share", "2"),
    ("compare", "LOG", "--on", "gpu=h100-sxm", "--slo", "ttft_p99=1s"),
    ("plan", "LOG", "--on", "gpu=h100-sxm", *SLO),
    ("plan", "LOG", "--on", "gpu=h100-sxm"),
    ("plan", "LOG", "--on", "engine=pytorch", *SLO, "--rate", "2"),
    ("plan", "LOG", "--on", DRAFT, *SLO, "--rate", "2"),
    ("plan", "LOG", "--on", TOO_LARGE, *SLO, "--rate", "2"),
    ("plan", "LOG", "--on", FP8, *SLO, "--rate", "2"),
    ("plan", "LOG", "--on", "gpu=h100-sxm", *SLO, "--rate", "2", "--by", "cost"),
    ("plan", "LOG", "--on", "gpu=h100-sxm", *SLO, "--serving", "offline"),
    ("estimate", "LOG", "--serving", "online"),
    ("estimate", *EQUAL, "--engine", "pytorch", "--rate", "2"),
    ("estimate", *EQUAL, "--model", "qwen2.5-72b", "--gpu", "l4"),
    ("estimate", *EQUAL, "--method", "binned", "--gpu", "l40s"),
    ("estimate", *EQUAL, "--speculate", "llama-3.2-1b,4,0.7", "--rate", "2"),
    ("estimate", "LOG", "--share", "0.5", "--rate", "2"),
]


def options_of(name: str) -> set[str]:
    command = main.get_command(None, name)
    return {option for param in command.params for option in param.opts}


def strangers(command: str, text: str) -> set[str]:
    """Options in a text that are of no command that is called or named there."""
    named = [command, *(name for name in COMMANDS if f"joulecast {name}" in text)]
    return set(OPTION.findall(text)) - set().union(*map(options_of, named))


@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_every_option_that_an_error_names_is_there(
    words: tuple[str, ...], tmp_path: Path, run_cli: RunCli
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("input_tokens,output_tokens\n" + "500,100\n" * 20)
    result = run_cli(*(str(log) if word == "LOG" else word for word in words))
    assert result.exit_code in (1, 2), result.output
    error = result.stderr[result.stderr.index("Error: ") :]
    assert strangers(words[0], error) == set()


def test_reasons_of_a_plan_name_its_own_options(tmp_path: Path, run_cli: RunCli) -> None:
    log = tmp_path / "log.csv"
    log.write_text("arrival_s,input_tokens,output_tokens\n0,500,100\n5,500,100\n")
    on = (part for spec in (TOO_LARGE, FP8, DRAFT, "engine=pytorch") for part in ("--on", spec))
    result = run_cli("plan", log, *SLO, "--on", "gpu=h100-sxm", *on)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "gpus=8" in shown
    assert strangers("plan", shown) == set()


def test_a_stranger_is_seen() -> None:
    assert strangers("prices", "take --serving offline, or --engine vllm") == {"--serving"}
    assert strangers("prices", "run joulecast estimate --serving offline") == set()


def test_lists_have_the_words_without_dashes() -> None:
    assert as_of_specs("8 could: --gpus 8; or --dtype int4") == "8 could: gpus=8; or dtype=int4"
    assert as_of_specs("or --gpu h200-sxm. Or --gpu and") == "or gpu=h200-sxm. Or gpu and"
    assert as_of_specs("leave --gpus out, or --speculate") == "leave gpus out, or speculate"
    assert as_of_specs("--decoding top-p:0.9: was not") == "decoding=top-p:0.9: was not"
    assert as_of_specs("a faster GPU or several (--gpus)", {"--gpus"}).endswith("(--gpus)")
    kept = "joulecast measure --plan decoding --engine vllm"
    assert as_of_specs(f"--model x needs {kept}") == f"model x needs {kept}"
