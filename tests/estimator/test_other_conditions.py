"""What `validate` and `--host` say where conditions are not a table's."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib import rc_context

from joulecast.measurements.replay import SHIPPED
from joulecast.measurements.table.table import table_folder
from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"
QUICK = "h100-sxm/llama-3.1-8b/vllm-quick"
DIFFERENCES = [
    "engine_version is 9.9.9 in the replay, 0.22.0 in the table",
    "power_limit_w is 800 in the replay, 700 in the table",
    "max_num_seqs is 16 in the replay, 1024 in the table",
]


def changed(source: Path, path: Path, settings: dict[str, Any], **facts: Any) -> Path:
    """A copy of a JSON file with other facts and engine settings."""
    document = json.loads(source.read_text()) | facts
    document["engine_settings"] |= settings
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A shipped replay, said to be of another version, power limit and budget."""
    source = SHIPPED / "vllm" / "short-replies.json"
    facts = {"engine_version": "9.9.9", "power_limit_w": 800}
    return changed(source, tmp_path / "other.json", {"max_num_seqs": 16}, **facts)


def test_a_replay_of_other_conditions_is_not_taken_for_the_same(
    run_cli: RunCli, other: Path
) -> None:
    result = run_cli("validate", other)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"Error: other: {', '.join(DIFFERENCES)}; give a table of the same conditions with "
        f"--table, or take this one anyway, with what differs told: --table {VLLM}\n"
    )


def test_with_a_table_of_ones_own_choice_every_difference_is_told(
    run_cli: RunCli, other: Path, tmp_path: Path
) -> None:
    words = "validate", other, "--table", VLLM
    shown = " ".join(run_cli(*words, "--plot", tmp_path / "p.svg").stdout.split())
    assert f"* other was run under other conditions than {VLLM}: {', '.join(DIFFERENCES)}." in shown
    assert " other * " in shown
    (row,) = json.loads(run_cli(*words, "--format", "json").stdout)["replays"]
    assert row["differences"] == DIFFERENCES
    assert row["host"] is None  # measured on that card, but under the conditions of before
    (line,) = csv.DictReader(run_cli(*words, "--format", "csv").stdout.splitlines())
    assert line["differences"] == str(DIFFERENCES)
    same = SHIPPED / "vllm" / "short-replies.json"
    plain = run_cli("validate", same, "--table", VLLM)
    assert "other conditions" not in plain.stdout
    assert "*" not in plain.stdout
    (row,) = json.loads(run_cli("validate", same, "--format", "json").stdout)["replays"]
    assert row["differences"] == []


def test_the_picture_tells_it_too(run_cli: RunCli, other: Path, tmp_path: Path) -> None:
    picture = tmp_path / "p.svg"
    with rc_context({"svg.fonttype": "none"}):  # letters as letters
        result = run_cli("validate", other, "--table", VLLM, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "other *" in picture.read_text()
    assert "9.9.9" in picture.read_text()


def test_another_kind_is_refused_whatever_table_is_named(run_cli: RunCli, tmp_path: Path) -> None:
    source = SHIPPED / "vllm" / "short-replies.json"
    path = changed(source, tmp_path / "four.json", {"tensor_parallel_size": 4})
    for words in ((), ("--table", VLLM)):
        result = run_cli("validate", path, *words)
        assert result.exit_code == 1
        assert "no table of llama-3.1-8b on h100-sxm with vllm and the same settings" in (
            result.stderr
        )
    assert "tensor_parallel_size is 4 in the replay, 1 in the table" in result.stderr


def test_of_several_tables_the_nearest_is_taken(
    run_cli: RunCli, other: Path, tmp_path: Path
) -> None:
    """Whichever comes first."""
    near = tmp_path / "near"
    shutil.copytree(table_folder(VLLM), near)
    changed(near / "table.json", near / "table.json", {"max_num_seqs": 16}, engine_version="9.9.9")
    for tables in ((VLLM, near), (near, VLLM)):
        words = [word for table in tables for word in ("--table", table)]
        (row,) = json.loads(run_cli("validate", other, *words, "--format", "json").stdout)[
            "replays"
        ]
        assert row["table"] == str(near)
        assert row["differences"] == ["power_limit_w is 800 in the replay, 700 in the table"]


def test_a_host_of_other_conditions_is_refused(run_cli: RunCli, tmp_path: Path) -> None:
    host = tmp_path / "host"
    shutil.copytree(table_folder(QUICK), host)
    changed(host / "table.json", host / "table.json", {}, engine_version="0.23.0")
    words = "estimate", "azure-2023-code", "--table", VLLM, "--host"
    result = run_cli(*words, host)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {host}: engine_version is 0.23.0 there, 0.22.0 in {VLLM}; a host is told by a "
        "table of the same GPUs, model, engine, version and settings\n"
    )
    assert run_cli(*words, QUICK).exit_code == 0
