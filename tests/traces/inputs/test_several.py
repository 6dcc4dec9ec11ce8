"""Several traces that are given together are one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import joulecast as jc
from joulecast.traces.load import load_trace
from tests.conftest import RunCli

FIRST = "input_tokens,output_tokens,arrival_s\n100,20,0\n3000,200,5\n"
SECOND = "input_tokens,output_tokens,arrival_s\n70,20,9\n300,20,15\n"
UNTIMED = "input_tokens,output_tokens\n10,20\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("a.csv", FIRST), ("b.csv", SECOND), ("u.csv", UNTIMED)):
        (tmp_path / name).write_text(text)
    (tmp_path / "whole.csv").write_text(FIRST + SECOND.partition("\n")[2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_one_trace_in_the_order_in_which_they_are_given() -> None:
    whole, both = load_trace("whole.csv", most_lengths=9), load_trace(["a.csv", "b.csv"], None, 9)
    assert both.workload == whole.workload
    np.testing.assert_array_equal(both.lengths, whole.lengths)
    turned = load_trace(["b.csv", "a.csv"], None, 9)
    assert turned.lengths is not None
    assert turned.lengths.tolist() == [[70, 20], [300, 20], [100, 20], [3000, 200]]
    assert jc.summarise([Path("a.csv"), "b.csv"]) == jc.summarise("whole.csv")
    forecast = jc.estimate(["a.csv", "b.csv"])
    assert forecast.trace == "a.csv, b.csv"
    assert forecast.energy_j == jc.estimate("whole.csv").energy_j


def test_commands_take_several(run_cli: RunCli) -> None:
    for words in (["estimate"], ["compare", "--table", "h100-sxm/llama-3.1-8b/vllm"]):
        several, alone = (
            json.loads(run_cli(*words, *traces, "--format", "json").stdout)
            for traces in (["a.csv", "[b]*.csv"], ["whole.csv"])
        )
        assert several.pop("trace") == "a.csv, [b]*.csv"
        del alone["trace"]
        if words[0] == "compare":
            for compared in (*several["tables"], *alone["tables"]):
                del compared["trace"]
        assert several == alone
    assert "4: 4 requests" in run_cli("trace", "summary", "a.csv", "b.csv").stdout
    run_cli("trace", "bin", "a.csv", "b.csv", "-o", "w.json")
    assert jc.load_workload("w.json") == jc.load_workload("whole.csv")
    run_cli("trace", "plot", "a.csv", "b.csv", "-o", "w.png")


def test_workloads_and_tables_add_up_with_files() -> None:
    jc.load_workload("a.csv").save(Path("a.json"))
    table = pd.read_csv("b.csv")
    whole = jc.load_workload("whole.csv")
    assert jc.load_workload(["a.json", "b.csv"]) == whole
    assert jc.load_workload(["a.csv", table]) == whole
    assert jc.load_workload([jc.load_workload("a.csv"), table]) == whole
    assert jc.estimate(["a.json", "b.csv"]).serving is not None
    paper = jc.load_workload("a.csv", jc.PAPER_GRID)
    assert jc.load_workload([paper, "b.csv"]) == whole.on_grid(jc.PAPER_GRID)
    known = jc.load_workload("azure-2023-code")
    conversations = jc.load_workload("azure-2023-conv")
    assert jc.load_workload(["azure-2023-code", "azure-2023-conv"]) == known + conversations
    assert jc.summarise(["azure-2023-code", table], arrival_column="none").requests == (
        known.total.requests + 2
    )


def test_what_knows_no_times_is_named(run_cli: RunCli) -> None:
    jc.load_workload("u.csv").save(Path("u.json"))
    for other in ("u.json", "u.csv"):
        ran = run_cli("estimate", "a.csv", other, "--format", "json")
        assert json.loads(ran.stdout)["serving"]["mode"] == "offline"
        assert f"{other}: does not tell when its requests came" in ran.stderr
        with pytest.raises(jc.InputError, match=f"{other} does not tell when its requests came"):
            jc.estimate(["a.csv", other], serving="online")
    assert jc.load_workload(["a.csv", "u.json"]).arrivals is None


def test_clocks_that_differ_are_told(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("input_tokens,output_tokens,arrival_s\n1,2,2024-01-01\n")
    jc.load_workload("d.csv").save(tmp_path / "d.json")
    with pytest.raises(jc.InputError, match=r"lie decades apart: .*--arrival-column none"):
        jc.load_workload(["d.json", "a.csv"])
    assert jc.load_workload(["d.json", "a.csv"], arrival_column="none").total.requests == 3


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["a.csv", "a.csv"], "a.csv: is given twice; give it once"),
        (
            ["a.csv", "./a.csv"],
            './a.csv: is given twice, as "a.csv" and as "./a.csv"; give it once',
        ),
        (["*.csv", "a.csv"], 'a.csv: is given twice, as "*.csv" and as "a.csv"; give it once'),
        (["a*", "*.csv"], 'a.csv: is given twice, as "a*" and as "*.csv"; give it once'),
        (
            ["link.csv", "a.csv"],
            'a.csv: is given twice, as "link.csv" and as "a.csv"; give it once',
        ),
        (["azure-2023-code"] * 2, "azure-2023-code: is given twice; give it once"),
        (["-", "-"], "-: is given twice; give it once"),
    ],
)
def test_what_is_given_twice_is_refused(given: list[str], text: str, run_cli: RunCli) -> None:
    Path("link.csv").symlink_to("a.csv")
    if "*.csv" in given:
        Path("link.csv").unlink()
    with pytest.raises(jc.InputError) as caught:
        jc.load_workload(given)
    assert str(caught.value) == text
    assert run_cli("trace", "summary", *given).stderr == f"Error: {text}\n"


def test_a_table_given_twice_is_refused() -> None:
    table = pd.read_csv("a.csv")
    with pytest.raises(jc.InputError, match=r"^pandas table: is given twice; give it once$"):
        jc.load_workload([table, table])
    assert jc.load_workload([table, table.copy()]).total.requests == 4


def test_a_file_that_is_not_there_among_several() -> None:
    with pytest.raises(jc.InputError, match=r"^nope\.csv: no such file"):
        jc.load_workload(["a.csv", "nope.csv"])


def test_results_do_not_replace_any_of_them(run_cli: RunCli) -> None:
    ran = run_cli("trace", "bin", "a.csv", "b.csv", "-o", "b.csv")
    assert "is a trace that was given" in ran.stderr
    assert Path("b.csv").read_text() == SECOND


def test_spark_takes_one(run_cli: RunCli) -> None:
    ran = run_cli("trace", "bin", "a.csv", "b.csv", "--engine", "spark")
    assert "--engine spark takes one TRACE, a file or a glob" in ran.stderr
