"""Requests that are longer than a model has positions for."""

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli

OLMO = "h100-sxm/olmo-1b/vllm-quick"
"""Of a model of 2,048 positions."""


def trace(path: Path, rows: list[tuple[int, int]]) -> Path:
    path.write_text("input_tokens,output_tokens\n" + "".join(f"{i},{o}\n" for i, o in rows))
    return path


@pytest.mark.parametrize("method", ["binned", "stepwise"])
def test_they_are_counted_and_left_out(method: str, run_cli: RunCli, tmp_path: Path) -> None:
    served = [(500 + k, 100) for k in range(20)] + [(1948, 100)]
    short = trace(tmp_path / "short.csv", served)
    all_of_them = trace(tmp_path / "all.csv", [*served, (4000, 100), (1949, 400)])
    words = ("--table", OLMO, "--method", method)
    document, without = (
        json.loads(run_cli("estimate", path, *words, "--format", "json").stdout)
        for path in (all_of_them, short)
    )
    assert document["requests"]["total"] == 23
    assert document["requests"]["beyond_positions"] == 2
    assert document["requests"]["estimated"] == without["requests"]["estimated"] == 21
    assert without["requests"]["beyond_positions"] == 0
    for key in ("energy_j", "estimated_tokens", "ideal_j", "cells"):
        assert document[key] == without[key], key
    text = " ".join(run_cli("estimate", all_of_them, *words).stdout.split())
    assert "2 longer than the model has positions for" in text
    assert "positions for" not in run_cli("estimate", short, *words).stdout


@pytest.mark.parametrize("method", ["binned", "stepwise"])
def test_where_nothing_else_is_there_nothing_is_estimated(
    method: str, run_cli: RunCli, tmp_path: Path
) -> None:
    path = trace(tmp_path / "long.csv", [(200_000, 2000)])
    words = ("--table", "h100-sxm/llama-3.1-8b/vllm", "--method", method)
    result = run_cli("estimate", path, *words)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {path}: has no request to estimate: 1 longer than the model has positions for "
        "(131,072 tokens, input and output together); give a --model of more positions\n"
    )


def test_saved_cells_count_by_their_mean(run_cli: RunCli, tmp_path: Path) -> None:
    path = trace(tmp_path / "t.csv", [(500, 100)] * 5 + [(4000, 100)] * 3)
    saved = tmp_path / "t.json"
    assert run_cli("trace", "bin", path, "-o", saved).exit_code == 0
    words = ("estimate", saved, "--table", OLMO, "--format", "json")
    requests = json.loads(run_cli(*words).stdout)["requests"]
    assert (requests["estimated"], requests["beyond_positions"]) == (5, 3)
