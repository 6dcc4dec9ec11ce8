"""The windows of eager steps, drawn tokens and speculation, as docs/decoding.md has them."""

from pathlib import Path
from types import ModuleType

import pytest

from joulecast import measurements
from joulecast.estimator.variants.sampling import SamplingCost
from joulecast.estimator.variants.speculative_law import measured_rounds
from joulecast.measurements.engines.decoding import Decoding
from tests.conftest import load_program

ROOT = Path(__file__).parents[3]
PAGE, PROGRAM = ROOT / "docs/decoding.md", ROOT / "benchmarks/decoding_options.py"
WINDOWS = Path(measurements.__file__).parent / "campaign-2026-11-26"
pytestmark = pytest.mark.skipif(
    not WINDOWS.exists(), reason="the campaign of 2026-11-26 does not ship"
)


@pytest.fixture(scope="module")
def options() -> ModuleType:
    return load_program(PROGRAM)


@pytest.mark.slow
def test_the_page_has_what_the_program_prints(options: ModuleType) -> None:
    lines = set(PAGE.read_text(encoding="utf-8").splitlines())
    assert [line for line in options.tables() if line and line not in lines] == []


@pytest.mark.slow
def test_all_windows_lie_inside_their_intervals(options: ModuleType) -> None:
    windows = [*options.eager_windows()]
    windows += [each for a in options.ACCEPTANCES for each in options.speculated_windows(a, False)]
    assert len(windows) == 24
    later = [each for a in options.ACCEPTANCES for each in options.speculated_windows(a, True)]
    later += options.drawn_windows("top-p:0.9", is_later=True)
    assert len(later) == 9
    assert all(window.is_inside for window in windows + later)


@pytest.mark.parametrize("strategy", ["temperature:0.8", "top-p:0.9"])
def test_costs_of_drawing_are_what_windows_tell(strategy: str, options: ModuleType) -> None:
    cost = SamplingCost.of(Decoding.of(strategy), options.h200())
    found = options.drawing(strategy)
    assert [each.batch_size for each in found] == list(cost.sampled_tokens[1:])
    assert [each.seconds for each in found] == pytest.approx(cost.seconds[1:], rel=0.01)
    assert [each.work_j for each in found] == pytest.approx(cost.work_j[1:], rel=0.01, abs=1e-4)


@pytest.mark.slow
def test_the_host_takes_what_windows_tell(options: ModuleType) -> None:
    seconds, log_sd = options.host_of_rounds()
    told = measured_rounds()
    assert seconds == pytest.approx(told["round_seconds"], rel=0.01)
    assert log_sd == pytest.approx(told["round_log_sd"], abs=0.01)
