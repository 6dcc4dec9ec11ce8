"""The paper's claims on requests in flight and on tasks, from replays as a sitting keeps them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulecast.estimator.paper.claims.claim import paper_figures
from joulecast.estimator.paper.claims.compare import Finding, compare_paper
from joulecast.estimator.paper.claims.replayed import Replays, compare_replays
from joulecast.estimator.paper.claims.verdict import Verdict
from joulecast.measurements.batching import Batching
from joulecast.measurements.replay import Replay, ReplayRun
from joulecast.measurements.table import studies
from joulecast.plots import claims as claims_plot
from joulecast.plots.claims import plot_paper
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

LENGTHS = [(100, 20), (30, 4), (500, 60), (8, 8)] * 64
RUN = {
    "seconds": 20.0, "tick_error_j": 1.0, "temperature_start_c": 50.0,
    "temperature_end_c": 51.0, "card": "GPU-1", "idle_power_w": 100.0,
    "started_at": "now", "reason": None,
}  # fmt: skip


def replayed(
    batching: Batching, *energies_j: float, engine: str = "vllm", trace: str = "conv.csv",
    lengths: list[tuple[int, int]] = LENGTHS, rounds: int = 1,
) -> Replay:  # fmt: skip
    runs = [ReplayRun(energy_j=energy_j * rounds, rounds=rounds, **RUN) for energy_j in energies_j]
    facts: dict[str, Any] = {
        "trace": trace, "gpu": "h200-sxm", "gpu_product": "x", "model": "llama-3.1-8b",
        "engine": engine, "engine_version": "1", "engine_settings": {}, "dtype": "bfloat16",
        "measured_on": "2026-12-01", "measured_by": "a test", **batching.facts(),
    }  # fmt: skip
    return Replay(facts, lengths, batching.batches(lengths), runs, None)


def pair(number: int, in_flight: tuple[float, ...], static: tuple[float, ...]) -> list[Replay]:
    return [
        replayed(Batching(in_flight=number), *in_flight),
        replayed(Batching(static=number), *static),
    ]


def finding(name: str, *replays: Replay) -> Finding:
    findings = compare_paper([*paper_figures().values()], [], replays).findings
    return next(finding for finding in findings if finding.claim.name == name)


def test_in_flight_over_static_batches() -> None:
    replays = [
        *pair(8, (7000.0,), (10_000.0,)),
        *pair(32, (5000.0,), (8000.0,)),  # neither many nor few
        *pair(128, (4800.0, 4805.0, 4795.0), (5000.0, 5005.0, 4995.0)),
        *pair(256, (4900.0, 4905.0, 4895.0), (5000.0, 5005.0, 4995.0)),
    ]
    large, small = finding("online-large", *replays), finding("online-small", *replays)
    assert large.evidence[0].measured.low == pytest.approx(-4)
    assert large.evidence[0].at == "128 at once, conv, in flight over static batches"
    assert large.ruling.verdict is Verdict.AGREES
    assert small.evidence[0].measured.low == pytest.approx(-30)
    assert small.ruling.verdict is Verdict.AGREES
    assert "begins when the last request of the one" in large.to_dict()["about"]


def test_nothing_measured_draws_nothing(tmp_path: Path) -> None:
    nothing = compare_paper([paper_figures()["online"]], [], [])
    with pytest.raises(InputError, match="online: nothing was measured here that could be drawn"):
        plot_paper(nothing, [], tmp_path / "online.png")
    assert not list(tmp_path.iterdir())


def test_each_two_ways_have_a_panel_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(
        claims_plot,
        "save_figure",
        lambda picture, _notes, _path: titles.extend(axis.get_title() for axis in picture.axes),
    )
    monkeypatch.setattr(claims_plot, "_draw_published", lambda *_: None)
    replays = [
        replay
        for trace in ("imdb.csv", "wmt-14.csv")
        for replay in (
            replayed(Batching(in_flight=8), 4000.0, trace=trace),
            replayed(Batching(static=8, is_padded=True), 6000.0, trace=trace),
            replayed(Batching(static=8), 9000.0, trace=trace, engine="pytorch"),
        )
    ]
    tasks = compare_paper([paper_figures()["tasks"]], [], replays)
    plot_paper(tasks, [], tmp_path / "tasks.png")
    ways = "vllm in flight over pytorch", "vllm padded batches over pytorch"
    assert len(titles) == len(ways)
    assert all(way in title for way, title in zip(ways, titles, strict=True))


def test_less_than_five_percent_takes_three_runs() -> None:
    one = finding("online-large", *pair(128, (4800.0,), (5000.0,)))
    assert one.ruling.verdict is Verdict.UNKNOWN
    assert "three runs" in one.ruling.reason
    # Three files of the same run are one measurement, those of three runs are three.
    again = [each for _ in range(3) for each in pair(128, (4800.0,), (5000.0,))]
    assert finding("online-large", *again).evidence[0].measured == one.evidence[0].measured
    runs = [each for j in (0.0, 1.0, 2.0) for each in pair(128, (4800.0 + j,), (5000.0 + j,))]
    assert finding("online-large", *runs).ruling.verdict is Verdict.AGREES


def test_other_requests_batches_and_invalid_runs_are_not_compared() -> None:
    other = [(i + 1, o) for i, o in LENGTHS]
    padded = replayed(Batching(static=128, is_padded=True), 9000.0)
    others = replayed(Batching(static=128), 9000.0, lengths=other)
    in_flight = replayed(Batching(in_flight=128), 4000.0)
    assert not finding("online-large", in_flight, padded, others).evidence
    failed = replayed(Batching(static=128), 5000.0)
    bad = Replay(failed.facts, LENGTHS, failed.batches,
                 [ReplayRun(energy_j=1.0, **{**RUN, "reason": "window: 1 s"})], None)  # fmt: skip
    assert not finding("online-large", in_flight, bad).evidence
    with_bad = finding("online-large", in_flight, failed, bad).evidence[0]
    assert (with_bad.measured.low, with_bad.invalid_runs) == (pytest.approx(-20), 1)


def test_tasks_go_before_equal_batches() -> None:
    replays = []
    for task, saving in (("wmt-14", 0.4), ("imdb", 0.2)):
        for number in (1, 8, 128):
            padded = Batching(static=number, is_padded=True)
            more = {"trace": f"traces/{task}.csv", "lengths": LENGTHS[: 4 * len(task)] * 8}
            replays += [
                replayed(padded, 1000.0, engine="pytorch", **more),
                replayed(padded, 1000.0 * (1 - saving), rounds=3, **more),
                replayed(Batching(in_flight=number), 500.0, **more),
            ]
    saves = finding("vllm-saves", *replays)
    assert saves.evidence[0].measured.low == pytest.approx(-20)  # the least of all
    assert saves.evidence[0].size == 12
    assert "the four tasks" in saves.about
    assert saves.ruling.verdict is Verdict.AGREES
    handed = Replays(replays)
    assert saves.claim.replays is not None
    names = {each.name for each in compare_replays(saves.claim.replays, "h200-sxm", handed)}
    assert "imdb, vllm padded batches over pytorch padded batches" in names
    assert "wmt-14, vllm in flight over pytorch padded batches" in names


def test_a_folder_of_replays_is_a_study_and_ones_own_count(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "h200-sxm" / "llama-3.1-8b" / "in-flight"
    folder.mkdir(parents=True)
    for k, replay in enumerate(pair(8, (7000.0,), (10_000.0,))):
        replay.save(folder / f"{k}.json")
    picture = tmp_path / "online.svg"
    words: tuple[object, ...] = ("paper", "online", "--replays", folder)
    result = run_cli(*words, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "-30.0 %" in result.stdout
    assert "<svg" in picture.read_text()
    taken = run_cli(*words, "-o", folder / "0.json")
    assert "is a replay that was given" in taken.stderr
    shipped: Callable[[], Path] = lambda: tmp_path  # noqa: E731
    monkeypatch.setattr(studies, "_folder", shipped)
    studies.study_replays.cache_clear()
    assert [replay.batching for replay in studies.study_replays()] == [
        Batching(in_flight=8), Batching(static=8)
    ]  # fmt: skip
    studies.study_replays.cache_clear()
    assert studies.study_names() == []
