"""Errors are one line that steers no terminal, whatever they quote."""

import json
from pathlib import Path

import pytest

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.load import load_workload
from tests.conftest import RunCli

STEERING = "\x1b]0;title\x07\x1b[31mred\u202e\x9b2J"
SHOWN = "\\x1b]0;title\\x07\\x1b[31mred\\u202e\\x9b2J"


def test_a_message_is_one_line_that_steers_nothing() -> None:
    error = InputError(f"log.csv: holds\n\t{STEERING} and \ud800")
    assert str(error) == f"log.csv: holds {SHOWN} and \\ud800"
    assert str(InputError("größe.csv: 长度 is “-3” 🙂")) == "größe.csv: 长度 is “-3” 🙂"
    assert str(unknown_name("trace", STEERING, ["a"])).startswith(f'unknown trace "{SHOWN}"')


@pytest.mark.parametrize("kind", ["header", "value", "JSON key", "JSON value", "workload"])
def test_what_a_file_holds_does_not_reach_the_terminal(
    kind: str, tmp_path: Path, run_cli: RunCli
) -> None:
    workload = load_workload("azure-2023-code").to_dict()
    workload["cells"][0][0] = STEERING
    contents = {
        "header": f"{STEERING},output_tokens\n5,7\n",
        "value": f"input_tokens,output_tokens\n{STEERING},7\n",
        "JSON key": json.dumps({STEERING: 5, "output_tokens": 7}),
        "JSON value": json.dumps({"input_tokens": STEERING, "output_tokens": 7}),
        "workload": json.dumps(workload),
    }
    path = tmp_path / "log"
    path.write_text(contents[kind])
    result = run_cli("trace", "summary", path)
    assert result.exit_code == 1
    assert "title" in result.stderr
    assert result.stderr.rstrip("\n").isprintable()
