"""Results as tables of pandas: the same numbers as elsewhere, in columns that name their units."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import joulecast as jc
from joulecast.traces.load import load_trace

LOG = pd.DataFrame(
    {
        "input_tokens": [100, 3000, 9000, 50],
        "output_tokens": [10, 200, 20, 0],
        "arrival_s": [0.0, 5.0, 6.0, 7.0],
    }
)
TABLE = "h100-sxm/llama-3.1-8b/vllm"


@pytest.fixture(scope="module")
def forecast() -> jc.Estimate:
    return jc.estimate(LOG, TABLE, pue=1.2, carbon=50, price="0.2 EUR")


def test_cells_of_an_estimate(forecast: jc.Estimate) -> None:
    cells = forecast.to_frame()
    assert cells["energy_j"].sum() == pytest.approx(forecast.energy_j)
    assert cells["requests"].sum() == 3
    assert cells["input_edge_tokens"].tolist() == [128, 4096, pd.NA]
    both = cells.merge(jc.load_workload(LOG, jc.PAPER_GRID).to_frame(), how="outer")
    assert len(both) == len(cells), "edges and requests are called alike"


def test_parts_and_what_happens_over_time(forecast: jc.Estimate) -> None:
    parts = forecast.to_frame("parts").set_index("part")
    assert parts["energy_j"].to_dict() == forecast.parts_j
    assert forecast.serving is not None
    timeline = forecast.to_frame("timeline")
    pd.testing.assert_frame_equal(timeline, forecast.serving.timeline.to_frame())
    assert timeline["energy_j"].sum() == pytest.approx(forecast.energy_j)
    assert timeline["arrived"].sum() == 3
    assert timeline["ttft_p50_s"].isna().sum() == len(timeline) - 3
    latencies = forecast.to_frame("latencies").set_index("latency")
    ttft = forecast.serving.latencies["ttft"]
    assert ttft is not None
    assert latencies.loc["ttft"].tolist() == [ttft.p50, ttft.p90, ttft.p99, ttft.mean]
    assert latencies.columns.tolist() == ["p50_s", "p90_s", "p99_s", "mean_s"]


def test_an_estimate_in_a_row(forecast: jc.Estimate) -> None:
    (row,) = forecast.to_frame("total").to_dict("records")
    document = forecast.to_dict()
    low_j, high_j = document["interval_j"]
    assert (row["interval_low_j"], row["interval_high_j"]) == (low_j, high_j)
    for name in ("energy_j", "energy_kwh", "carbon_g", "cost", "currency", "mean_power_w"):
        assert row[name] == document[name]
    assert row["ideal_dense_j"] == document["ideal_j"]["dense"]


def test_what_an_estimate_has_not_is_said_in_a_line(forecast: jc.Estimate) -> None:
    offline = jc.estimate(LOG, TABLE, "binned")
    with pytest.raises(jc.InputError, match="the method binned tells no parts; take method"):
        offline.to_frame("parts")
    for part in ("timeline", "latencies"):
        with pytest.raises(jc.InputError, match=f"all there at once, so there is no {part};"):
            offline.to_frame(part)
    with pytest.raises(jc.InputError, match='part "x" is none of: cells, parts, timeline, '):
        forecast.to_frame("x")  # type: ignore[arg-type]


def test_a_comparison_has_a_row_per_table() -> None:
    comparison = jc.compare(LOG, ["h100-sxm/llama-3.1-8b/pytorch", TABLE])
    table = comparison.to_frame()
    assert table["table"].tolist() == ["h100-sxm/llama-3.1-8b/pytorch", TABLE]
    first, second = comparison.tables
    assert table["energy_j"].tolist() == [first.estimate.energy_j, second.estimate.energy_j]
    assert table["saving_percent"].tolist() == [0, second.saving_percent]
    assert second.saving_interval_percent is not None
    ends = table.loc[1, ["saving_low_percent", "saving_high_percent"]].tolist()
    assert ends == list(second.saving_interval_percent)
    assert table.loc[0, ["saving_low_percent", "saving_high_percent"]].isna().all()


def test_a_workload_has_a_row_per_cell_however_large_its_sums() -> None:
    workload = jc.load_workload(LOG)
    cells = workload.to_frame()
    for name in jc.CellSums._fields:
        assert cells[name].sum() == getattr(workload.total, name)
    sums = jc.CellSums(2**70, *[2**70 * 100] * 5)
    large = jc.Workload(jc.PAPER_GRID, {(1, 1): sums})
    assert large.to_frame()["requests"].tolist() == [2**70]
    nothing = jc.Workload(jc.PAPER_GRID, {}).to_frame()
    assert nothing.columns.tolist() == cells.columns.tolist()


def test_a_summary_has_a_row_per_length() -> None:
    summary = jc.summarise(LOG)
    assert summary.input is not None
    table = summary.to_frame().set_index("length")
    assert table.loc["input", "mean_tokens"] == summary.input.mean
    assert table.loc["output", "maximum_tokens"] == 200
    binned = jc.summarise(jc.load_workload(LOG)).to_frame().set_index("length")
    assert pd.isna(binned.loc["input", "percentile_99_high_tokens"])
    assert pd.isna(binned.loc["input", "maximum_tokens"])


def test_timed_requests_can_be_given_again() -> None:
    timed = load_trace(LOG, with_arrivals=True).timed
    assert timed is not None
    again = load_trace(timed.to_frame(), with_arrivals=True).timed
    assert again is not None
    np.testing.assert_array_equal(again.arrival_s, timed.arrival_s)
    np.testing.assert_array_equal(again.lengths, timed.lengths)


ALONE = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "polars", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refused())
import numpy as np
import joulecast as jc
rows = [(100, 10), (3000, 200)]
table = np.array(rows, dtype=[("input_tokens", "i4"), ("output_tokens", "i8")])
assert jc.load_workload(rows) == jc.load_workload(np.array(rows)) == jc.load_workload(table)
try:
    jc.load_workload(rows).to_frame()
except jc.InputError as error:
    print(error)
"""


def test_arrays_and_pairs_need_no_library_of_tables() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "to_frame() makes tables of pandas, which is not there; install it with: pip install "
        "'joulecast[frames]'\n"
    )


POLARS = """
import sys
import joulecast as jc
assert not {"pandas", "polars", "pyarrow"} & set(sys.modules)

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refused())
import polars as pl
table = pl.DataFrame({"input_tokens": [100, 7], "output_tokens": [10, 7], "arrival_s": [0.0, 1.5]})
assert jc.summarise(table).span_s == 1.5
"""


def test_polars_needs_no_pyarrow() -> None:
    done = subprocess.run(
        [sys.executable, "-c", POLARS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
