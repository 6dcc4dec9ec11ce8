import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.load import summarise
from joulecast.traces.summary import summarise_workload
from tests.conftest import RunCli, workload_of


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 700)), min_size=2, max_size=50))
def test_against_numpy(tmp_path_factory, requests) -> None:
    path = tmp_path_factory.mktemp("s") / "t.csv"
    path.write_text("input_tokens,output_tokens\n" + "".join(f"{i},{o}\n" for i, o in requests))
    exact = summarise(path)
    bounds = summarise_workload(workload_of(POWER_OF_TWO_GRID, requests))
    for column, name in enumerate(("input", "output")):
        lengths = np.array(requests)[:, column]
        for summary in (getattr(exact, name), getattr(bounds, name)):
            assert summary.mean == pytest.approx(lengths.mean())
            assert summary.sd == pytest.approx(lengths.std(ddof=1), abs=1e-9)
        statistics = getattr(exact, name)
        assert statistics.median[0] == pytest.approx(np.median(lengths))
        assert statistics.percentile_99[0] == pytest.approx(np.percentile(lengths, 99))
        assert statistics.maximum == lengths.max()
        for share, (low, high) in (
            (50, getattr(bounds, name).median),
            (99, getattr(bounds, name).percentile_99),
        ):
            quantile = np.percentile(lengths, share)
            assert low <= quantile
            assert high is None or quantile <= high


def test_real_trace(azure_folder: Path, run_cli: RunCli) -> None:
    path = azure_folder / "azure-2023-code.csv"
    document = json.loads(run_cli("trace", "summary", path, "--format", "json").stdout)
    assert document["requests"] == 8819
    assert document["beyond_grid"] == 27
    assert round(document["input_tokens"]["mean"], 2) == 2047.85
    assert round(document["output_tokens"]["mean"], 2) == 27.88
    assert document["span_s"] > 3000
    shipped = json.loads(run_cli("trace", "summary", "azure-2023-code", "--format", "json").stdout)
    assert shipped["input_tokens"]["mean"] == document["input_tokens"]["mean"]
    assert shipped["input_tokens"]["median"] == [1025, 2048]


def test_failed_requests_do_not_count(tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens\n10,0\n20,4\n40,6\n")
    document = json.loads(
        run_cli("trace", "summary", tmp_path / "t.csv", "--format", "json").stdout
    )
    assert (document["requests"], document["failed"]) == (2, 1)
    assert document["input_tokens"]["mean"] == 30


def test_a_trace_of_failures_alone(tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens\n10,0\n")
    result = run_cli("trace", "summary", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    assert "1 failed" in result.stdout
