"""How far a long simulation is, on a terminal alone."""

import io
import time
from pathlib import Path

import pytest

from joulecast.estimator.steps.in_time import replica
from joulecast.views import progress
from joulecast.views.progress import SimulationBar
from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_says_how_much_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    with SimulationBar() as bar:
        assert bar.watch is not None
        for share in (0.1, 0.1001, 0.4, 0.0, 0.25):  # a second table begins at 0
            bar.watch(share)
            bar._progress.refresh()
            time.sleep(0.01)
    shown = terminal.getvalue()
    assert "serving" in shown
    assert "40%" in shown
    assert "25%" in shown


def test_short_work_and_other_files_show_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with SimulationBar() as bar:
        assert bar.watch is not None
        bar.watch(0.5)
        bar.watch(1.0)
    assert terminal.getvalue() == ""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert SimulationBar().watch is None


@pytest.mark.parametrize("command", ["estimate", "compare"])
def test_commands_tell_how_far_they_are(
    command: str, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From requests that are known, and from draws, which are served one after the other."""
    told: list[float] = []
    monkeypatch.setattr(SimulationBar, "watch", property(lambda _: told.append))
    monkeypatch.setattr(replica, "_ROWS", 10)
    trace = tmp_path / "t.csv"
    trace.write_text("input_tokens,output_tokens\n" + "100,20\n9000,3\n" * 30)
    assert run_cli(command, trace, "--table", VLLM).exit_code == 0
    assert told == sorted(told)
    assert told[-1] == 1.0
    told.clear()
    monkeypatch.setattr("joulecast.estimator.steps.serving.MOST_SIMULATED", 20)
    assert run_cli(command, trace, "--table", VLLM).exit_code == 0
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    assert sum(share < 0.2 for share in told) > 1
