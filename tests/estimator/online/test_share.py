"""A share of the traffic: each request kept by chance at its own time, everywhere and said."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.thinning import thinned_workload
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

TABLE = "h100-sxm/llama-3.1-8b/vllm"
ON = {"table": TABLE}
REQUESTS = 600
SAID = "what if a share of 0.5 of the requests: each kept or left out at random (seed 20251129)"


@pytest.fixture(scope="module")
def rows() -> list[tuple[float, int, int]]:
    """Ten minutes of requests, no two alike, not in order."""
    generator = np.random.default_rng(6)
    seconds = generator.permutation(np.arange(REQUESTS)) + generator.random(REQUESTS)
    lengths = generator.integers(20, 700, (REQUESTS, 2)).tolist()
    return [(at, i, o) for at, (i, o) in zip(seconds.round(3).tolist(), lengths, strict=True)]


@pytest.fixture(scope="module")
def trace(rows: list, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("share") / "log.csv"
    lines = (",".join(map(str, row)) for row in rows)
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *lines]) + "\n")
    return path


def test_the_kept_are_requests_of_the_trace_at_their_own_times(
    trace: Path, rows: list, tmp_path: Path, run_cli: RunCli
) -> None:
    whole, half = jc.estimate(trace, **ON), jc.estimate(trace, **ON, share=0.5)
    assert REQUESTS * 0.43 < half.requests["estimated"] < REQUESTS * 0.57
    assert half.requests["total"] == REQUESTS
    left_out = half.requests["left_out_by_share"]
    assert half.requests["estimated"] + left_out == REQUESTS
    assert half.serving.arrivals_s == pytest.approx(whole.serving.arrivals_s, rel=0.02)
    assert half.serving.work_j < 0.9 * whole.serving.work_j

    file = tmp_path / "parts.csv"
    words = ("--table", TABLE, "--share", "0.5", "--per-request", str(file))
    assert run_cli("estimate", str(trace), *words).exit_code == 0
    parts = list(csv.DictReader(file.read_text().splitlines()))
    assert sum(float(part["energy_j"]) for part in parts) == pytest.approx(half.energy_j)
    kept = [rows[int(part["row"]) - 1] for part in parts]
    assert len(set(kept)) == half.requests["estimated"]
    begin_s = min(at_s for at_s, _, _ in kept)
    for part, (at_s, i, o) in zip(parts, kept, strict=True):
        assert (int(part["input_tokens"]), int(part["output_tokens"])) == (i, o)
        assert float(part["arrival_s"]) == pytest.approx(at_s - begin_s, abs=1e-6)

    alone = tmp_path / "alone.csv"
    lines = [",".join(map(str, row)) for row in kept]
    alone.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *lines]) + "\n")
    assert jc.estimate(alone, **ON).energy_j == pytest.approx(half.energy_j, rel=1e-12)


@pytest.mark.parametrize("how", [{}, {"serving": "offline"}, {"method": "binned"}])
def test_less_is_kept_of_a_smaller_share(trace: Path, how: dict) -> None:
    shares = (1.0, 0.6, 0.3, 0.1)
    estimates = [jc.estimate(trace, **ON, **how, share=share) for share in shares]
    for more, less in itertools.pairwise(estimates):
        assert less.energy_j < more.energy_j
        assert less.estimated_tokens["input"] < more.estimated_tokens["input"]
    for share, made in zip(shares, estimates, strict=True):
        kept = made.requests["estimated"] + made.requests["beyond_grid"]
        assert kept == pytest.approx(share * REQUESTS, abs=45)


def test_sums_keep_their_means_and_slices_their_times() -> None:
    whole = load_embedded("azure-2023-conv")
    third = thinned_workload(whole, 1 / 3)
    assert third.total.requests == pytest.approx(whole.total.requests / 3, rel=0.03)
    assert third.arrivals.requests == third.total.requests
    assert third.arrivals.span_s == pytest.approx(whole.arrivals.span_s, rel=0.01)
    for name in CellSums._fields[1:]:
        of_each = [getattr(each.total, name) / each.total.requests for each in (whole, third)]
        assert of_each[1] == pytest.approx(of_each[0], rel=0.1)
    for index, held in third.arrivals.counts.items():
        assert all(count <= whole.arrivals.counts[index][cell] for cell, count in held.items())
    again = Workload.from_dict(third.to_dict())
    assert again == third


def test_equal_requests_stay_equal_and_cached(tmp_path: Path) -> None:
    workload = jc.equal_requests(2_000_000, 1000, 200, 400)
    made = jc.estimate(workload, **ON, share=0.25)
    count = made.requests["estimated"]
    assert count == pytest.approx(500_000, rel=0.01)
    assert made.estimated_tokens == {"input": 1000 * count, "output": 200 * count}
    assert made.cached_tokens == 400 * count


@pytest.mark.parametrize("command", ["estimate", "compare", "plan"])
def test_it_is_said_in_text_json_and_page(
    command: str, trace: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    page, document = tmp_path / "page.html", tmp_path / "made.json"
    words = {
        "estimate": ("--table", TABLE),
        "compare": ("--table", TABLE, "--on", "gpu=h200-sxm"),
        "plan": ("--on", TABLE, "--slo", "ttft_p99=2s"),
    }[command]
    words = (command, str(trace), *words, "--share", "50%")
    shown = run_cli(*words, "--html", str(page))
    assert shown.exit_code == 0, shown.output
    assert SAID in " ".join(shown.stdout.split())
    assert "by the share that was asked for" in " ".join(shown.stdout.split())
    assert "each kept or left out at random (seed 20251129)" in " ".join(page.read_text().split())
    assert run_cli(*words, "--format", "json", "-o", str(document)).exit_code == 0
    made = json.loads(document.read_text())
    made = made["tables"][1] if command == "compare" else made
    left_out = made["thinning"].pop("left_out")
    assert made["thinning"] == {"share": 0.5, "seed": 20251129}
    requests = made["options"][0]["requests"] if command == "plan" else made["requests"]
    assert requests["estimated"] + left_out == requests["total"] == REQUESTS


def test_each_model_of_a_log_is_thinned(trace: Path, tmp_path: Path, run_cli: RunCli) -> None:
    head, *lines = trace.read_text().splitlines()
    models = ("llama-3.1-8b", "qwen2.5-7b")
    log = tmp_path / "models.csv"
    rows = [f"{line},{models[k % 2]}" for k, line in enumerate(lines)]
    log.write_text("\n".join([f"{head},model", *rows]) + "\n")
    result = run_cli("estimate", str(log), "--group-by", "model", "--share", "0.5")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert SAID in shown
    assert f"of {REQUESTS} estimated" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--share", "2"), "give a speed (--speed) of 2"),
        (("--share", "200%"), "give a speed (--speed) of 2"),
        (("--share", "0.5", "--rate", "4"), "give --rate 2 alone"),
        (("--share", "1e-9"), "does not keep any of its 600 requests"),
        (("--share", "0.5", "--group-by", "hour"), "--share and --group-by do not go together"),
        (("--share", "half"), "half is no share; give 1 or less, such as 0.5 or 50%"),
        (("--share", "5%0"), "5%0 is no share; give 1 or less"),
        (("--share", "nan"), "nan is no share"),
        (("--share", "0"), "0 is no share"),
    ],
)
def test_what_cannot_be_a_share_ends_in_a_line(
    words: tuple[str, ...], message: str, trace: Path, run_cli: RunCli
) -> None:
    result = run_cli("estimate", str(trace), "--table", TABLE, *words)
    assert result.exit_code in (1, 2)
    assert message in result.stderr.splitlines()[-1]
    assert not result.stdout


def test_python_refuses_what_is_no_share(trace: Path) -> None:
    for share in (0, -1, "0.5", True, float("nan")):
        with pytest.raises(InputError, match="share is"):
            jc.estimate(trace, **ON, share=share)
