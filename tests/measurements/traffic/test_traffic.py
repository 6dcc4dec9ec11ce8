"""A minute of traffic in fake time: what comes out is what the fake card was priced with."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulecast.estimator.steps.traffic import fit_traffic
from joulecast.estimator.steps.work import TERMS
from joulecast.estimator.stepwise import StepModel, estimate_stepwise
from joulecast.measurements.engines import EngineError, EngineVariant
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.steplog.logger import WindowLogger
from joulecast.measurements.table.checks import check_table
from joulecast.measurements.table.table import load_table
from joulecast.measurements.traffic.folder import TrafficFolder
from joulecast.measurements.traffic.pace import Pace, rough_pace
from joulecast.measurements.traffic.session import TrafficSession
from joulecast.measurements.traffic.stretches import TrafficMaker
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload
from tests.measurements.fakes import FakeTime, metadata_of
from tests.measurements.traffic.fake_server import (
    IDLE_W,
    PRICES,
    SECONDS,
    FakeServer,
    PricedGpu,
    TickReader,
)

ROUGH = rough_pace(load_shape("llama-3.1-8b"), load_gpu("h100-sxm"), "bfloat16", EngineVariant())


def a_session(
    path: Path,
    change: Callable[[FakeServer, TickReader], None] = lambda *_: None,
    resume: bool = False,
) -> TrafficSession:
    fake_time = FakeTime()
    gpu = PricedGpu(fake_time)
    server, reader = FakeServer(gpu=gpu), TickReader(gpu)
    change(server, reader)
    begin = TrafficFolder.resume if resume else TrafficFolder.create
    return TrafficSession(
        server,
        [gpu],
        begin(path, metadata_of(server, [gpu])),
        ROUGH,
        8704,
        lambda _: None,
        fake_time.clock,
        fake_time.sleep,
        lambda engine, gpus, note: WindowLogger(engine, gpus, note, lambda _: reader),  # type: ignore[arg-type,return-value]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traffic") / "table"
    window = a_session(path).run()
    assert window.is_valid, window.facts["reason"]
    return path


def test_the_prices_of_the_card_come_out(folder: Path) -> None:
    table = load_table(folder)
    assert table.metadata["status"] == "done"
    assert 40 < table.windows[0].seconds < 90
    told = fit_traffic(table)
    assert told.idle_power_w == pytest.approx(IDLE_W, rel=0.01)
    prices = dict(zip(TERMS, told.prices.energy_j, strict=True))
    for term in ("steps", "tokens", "context"):
        assert prices[term] == pytest.approx(PRICES[term], rel=0.03), term
    lengths = np.array([(900, 120), (40, 600), (6000, 4)] * 40)
    estimate = estimate_stepwise(Workload.of_lengths(PAPER_GRID, lengths), table, "mix", lengths)
    counts = StepModel.of(table).scheduler.schedule(lengths).counts.array()
    assert estimate.energy_j == pytest.approx(
        float(counts @ np.array([*PRICES.values()])), rel=0.01
    )
    assert estimate.seconds == pytest.approx(float(counts @ SECONDS), rel=0.05)
    low, high = estimate.interval_j or (0, 0)
    assert low < estimate.energy_j < high
    assert max(map(abs, told.stretch_errors.values())) < 0.1


def test_a_table_of_traffic_says_what_it_is(folder: Path) -> None:
    table = load_table(folder)
    checks = {check.name: check for check in check_table(table)}
    assert checks["a valid window of traffic"].passed
    assert checks["no invalid windows"].passed
    with pytest.raises(InputError, match="use --method stepwise"):
        _ = table.cells
    with pytest.raises(InputError, match="pace of its own host"):
        StepModel.of(table, table)


def test_requests_come_when_they_should_and_all_are_logged(folder: Path) -> None:
    window = load_table(folder).windows[0]
    names = [name for name, _, _ in window.spans]
    assert len(names) == len(set(names)) == 8
    for (_, _, drained), (_, began, _) in zip(window.spans, window.spans[1:], strict=False):
        assert began - drained >= 2.0
    assert window.facts["requests"] > 500
    assert window.steps.counts().steps == window.facts["engine_steps"]["steps"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda server, reader: setattr(reader, "dies_at", 160.0), "ticks: the process that reads"),
        (lambda server, reader: setattr(server.gpu, "frozen_from", 160.0), "frozen"),
        (lambda server, reader: setattr(server, "uncounted_steps", 1), "step log: it has"),
    ],
)
def test_a_window_with_a_fault_is_kept_and_marked(tmp_path: Path, change: Any, reason: str) -> None:
    path = tmp_path / "table"
    if reason == "frozen":  # which the meter itself sees at the end
        with pytest.raises(InputError, match="did not move"):
            a_session(path, change).run()
        return
    window = a_session(path, change).run()
    assert not window.is_valid
    assert reason in str(window.facts["reason"])
    assert load_table(path).metadata["status"] == "measuring"
    with pytest.raises(InputError, match="no valid window"):
        fit_traffic(load_table(path))
    again = a_session(path, resume=True).run()
    assert again.path.name == "traffic-2.steps.csv.gz"
    table = load_table(path)
    assert [window.is_valid for window in table.windows] == [False, True]
    assert fit_traffic(table).idle_power_w == pytest.approx(IDLE_W, rel=0.01)


def test_a_crash_leaves_no_window(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with pytest.raises(EngineError, match="vllm crashed: CUDA error"):
        a_session(path, lambda server, _: setattr(server, "crashes_at", 150.0)).run()
    assert not list(path.glob("traffic-*"))
    with pytest.raises(InputError, match="has no window of traffic"):
        load_table(path)
    assert a_session(path, resume=True).run().is_valid


def test_a_table_is_not_gone_on_with_under_other_conditions(folder: Path) -> None:
    with pytest.raises(InputError, match="max_num_seqs"):
        a_session(folder, lambda server, _: server.limits.update(max_num_seqs=16), resume=True)
    with pytest.raises(InputError, match="already holds"):
        a_session(folder)


def test_a_log_that_was_cut_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    steps = tmp_path / "traffic-1.steps.csv.gz"
    text = gzip.decompress(steps.read_bytes())
    steps.write_bytes(gzip.compress(text[:-7]))
    with pytest.raises(InputError, match="cut off in mid line"):
        load_table(tmp_path)
    steps.write_bytes(gzip.compress(text.replace(b'"llama-3.1-8b"', b'"olmo-1b"')))
    with pytest.raises(InputError, match="model is olmo-1b there, llama-3"):
        load_table(tmp_path)
    steps.write_bytes(gzip.compress(text.replace(b"# energy_j: ", b"# energy_j: -")))
    with pytest.raises(InputError, match="energy_j"):
        load_table(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"# segments: [", "stretches that tell apart"),
        (b"steps", "without a step tells no price"),
    ],
)
def test_a_log_that_tells_too_little(folder: Path, tmp_path: Path, line: bytes, said: str) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    steps = tmp_path / "traffic-1.steps.csv.gz"
    lines = gzip.decompress(steps.read_bytes()).splitlines(keepends=True)
    if line == b"steps":
        head = next(k for k, row in enumerate(lines) if not row.startswith(b"#"))
        lines = lines[: head + 1]
    else:
        lines = [b"# segments: []\n" if row.startswith(line) else row for row in lines]
    steps.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(InputError, match=said):
        fit_traffic(load_table(tmp_path))


def test_slow_models_are_asked_less() -> None:
    fast, slow = (
        TrafficMaker(Pace(step, 2e-5, 5e-8, 1e-9), 8704, 450_000, 1024).stretches()
        for step in (0.002, 0.04)
    )
    assert sum(len(s.requests) for s in fast) > 2 * sum(len(s.requests) for s in slow)
    assert max(r.output_tokens for s in slow for r in s.requests) <= 125
    for stretch in (*fast, *slow):
        for request in stretch.requests:
            assert 1 <= request.input_tokens <= 8704 - request.output_tokens


@pytest.mark.parametrize("most_running", [1, 8])
def test_an_engine_of_few_requests_at_once_is_not_asked_more_than_it_can_serve(
    most_running: int,
) -> None:
    pace = Pace(0.0066, 2e-5, 5e-8, 1e-9)
    maker = TrafficMaker(pace, 8704, 450_000, most_running)
    for stretch in maker.stretches():
        work = sum(
            pace.request_seconds(r.input_tokens, r.output_tokens, most_running)
            for r in stretch.requests
        )
        # Of the dozen of a steady stretch some are long by chance.
        assert work < 20, stretch.name
    assert maker.rough_seconds(maker.stretches()) < 90
