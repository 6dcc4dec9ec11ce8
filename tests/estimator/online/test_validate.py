"""Estimates of the shipped replays whose requests came over time, against meter and clock."""

import re
import statistics
from pathlib import Path

import pytest

from joulecast.estimator.online.validate import HELD, OnlineValidation, validate_online
from joulecast.estimator.validate import shipped_tables_for
from joulecast.measurements.replay import SHIPPED_ONLINE, Replay
from tests.conftest import RunCli

PAGE = Path(__file__).parents[3] / "docs/online.md"


@pytest.fixture(scope="module")
def validations() -> dict[str, OnlineValidation]:
    replays = {path: Replay.load(path) for path in sorted(SHIPPED_ONLINE.rglob("*.json"))}
    return {
        name: validate_online(name, replay, shipped_tables_for(replay))
        for path, replay in replays.items()
        for name in [path.relative_to(SHIPPED_ONLINE).with_suffix("").as_posix()]
    }


def test_energy_is_met_as_far_as_the_page_says(validations: dict[str, OnlineValidation]) -> None:
    """2 % in the median and 4 % at worst are aimed at; what is reached is on the page."""
    errors = [abs(validation.error_percent) for validation in validations.values()]
    assert len(errors) == 100
    assert statistics.median(errors) < 3.1
    assert max(errors) < 8.5
    within = [validation.is_within for validation in validations.values()]
    assert sum(within) >= 0.95 * len(within)
    for validation in validations.values():
        assert validation.estimate.serving is not None
        assert validation.estimate.serving.offline_j < validation.metered_j


def test_times_are_met_as_often_as_the_page_says(validations: dict[str, OnlineValidation]) -> None:
    told = validations.values()
    assert sum(abs(each.steps_percent or 0) <= 3 for each in told) == 83
    for (name, quantile), (most, runs) in zip(
        HELD, ((10, 87), (20, 90), (5, 89), (5, 86)), strict=True
    ):
        errors = [abs(each.latency_percent(name, quantile) or 0) for each in told]
        assert sum(error <= most for error in errors) == runs, name


def test_latencies_lie_in_their_intervals(validations: dict[str, OnlineValidation]) -> None:
    """Of either kind of server, each latency of 19 runs of 20, by the runs they were chosen by."""
    inside: dict[str, list[dict[tuple[str, str], bool]]] = {}
    for each in validations.values():
        serving = each.estimate.serving
        assert serving is not None
        intervals = serving.latency_intervals_s()
        within = {}
        for name, timed in each.latencies.items():
            assert timed is not None
            for quantile, seconds in timed.to_dict().items():
                low_s, high_s = (intervals[name] or {})[quantile]
                within[name, quantile] = low_s <= seconds <= high_s
        assert {k: within[k] for k in HELD} == each.latencies_within
        inside.setdefault(serving.spread.stands_on, []).append(within)
    assert [len(runs) for runs in inside.values()] == [83, 17]
    for runs in inside.values():
        for latency in runs[0]:
            assert sum(run[latency] for run in runs) >= 0.95 * len(runs), latency


def test_the_page_has_them_all(validations: dict[str, OnlineValidation]) -> None:
    rows = {
        cells[0]: cells[1:]
        for line in re.findall(r"^\| (h\d+-sxm/\S+ \|.*) \|$", PAGE.read_text(), re.MULTILINE)
        for cells in [[cell.strip() for cell in line.split("|")]]
    }
    assert set(rows) == set(validations)
    for name, validation in validations.items():
        metered, _, *shown = rows[name]
        told = [validation.error_percent, validation.steps_percent]
        told += [validation.latency_percent(*each) for each in HELD]
        assert metered == f"{validation.metered_j / 1000:.2f} kJ"
        assert shown == ["-" if value is None else f"{value:+.1f} %" for value in told]


def test_a_replay_alone_is_shown(run_cli: RunCli, tmp_path: Path) -> None:
    path = SHIPPED_ONLINE / "h200-sxm/llama-3.1-8b/code-1x.json"
    shown = run_cli("validate", path, "--plot", tmp_path / "code.png")
    assert shown.exit_code == 0
    assert "served as they came" in shown.stdout
    assert (tmp_path / "code.png").stat().st_size > 1000
