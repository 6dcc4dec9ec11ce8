"""The process that reads the counters: a real one, with a made-up NVML."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.steplog import reader as reader_module
from joulecast.measurements.steplog.reader import CounterReader
from joulecast.measurements.steplog.ticks import Ticks
from tests.measurements.steplog.conftest import WATTS

pytestmark = pytest.mark.slow  # time passes for real


def window(seconds: float) -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(seconds)
    return begin, time.monotonic()


def test_ticks_and_states_come_from_another_process(nvml: pytest.MonkeyPatch) -> None:
    with CounterReader((0, 2)) as reader:
        assert reader._process.pid != os.getpid()
        begin, end = window(0.7)
        rows = reader.collect(begin, end)
        folder = Path(reader._folder.name)
        assert folder.is_dir()
    assert rows.problem is None
    assert not folder.exists()
    assert reader._process.returncode == 0  # it ended by itself, when it was asked to
    ticks = Ticks.of_rows(rows.ticks, {})
    assert ticks.problem(begin, end) is None
    truth = 2 * WATTS * (end - begin)
    assert ticks.energy_between(begin, end) == pytest.approx(truth, rel=0.1)
    assert {tuple(row[2:]) for row in rows.states} == {("50", "1980", "", "4")}
    assert {row[0] for row in rows.states} == {"0", "2"}


def test_a_reader_that_is_killed_is_noticed_and_another_takes_over(
    nvml: pytest.MonkeyPatch,
) -> None:
    with CounterReader((0,)) as reader:
        begin, _ = window(0.3)
        reader._process.send_signal(signal.SIGKILL)
        reader._process.wait()
        _, end = window(0.3)
        rows = reader.collect(begin, end)
    said = "the process that reads the energy counters ended with status -9"
    assert rows.problem == said
    assert len(rows.ticks) > 2  # what it had read is kept
    with CounterReader((0,)) as reader:
        assert reader.collect(*window(0.2)).problem is None


def test_a_gpu_that_is_lost_ends_it_with_nvmls_words(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("FAKE_LOST_AFTER", "0.4")
    with CounterReader((0,)) as reader:
        rows = reader.collect(*window(0.5))
    assert rows.problem is not None
    assert rows.problem.endswith("ended with status 1: NVMLError: GPU is lost")


def test_a_counter_that_freezes_is_noticed(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("FAKE_FREEZE_AFTER", "0.4")
    nvml.setattr(reader_module, "FREEZE_SECONDS", 0.3)
    with CounterReader((0,)) as reader:
        begin, end = window(0.6)
        rows = reader.collect(begin, end)
    assert rows.problem is None  # it reads; what it reads does not move
    problem = Ticks.of_rows(rows.ticks, {}).problem(begin, end)
    assert problem is not None
    assert "is incomplete: its last tick is 0." in problem


def test_what_keeps_it_from_starting_is_a_line(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("FAKE_NO_DRIVER", "1")
    with pytest.raises(MeterError, match="status 1: NVMLError: Driver Not Loaded; ticks cannot"):
        CounterReader((0,)).__enter__()
    nvml.delenv("FAKE_NO_DRIVER")
    nvml.setenv("FAKE_FREEZE_AFTER", "0")
    nvml.setattr(reader_module, "START_SECONDS", 0.6)
    with pytest.raises(MeterError, match=r"not every energy counter ticked within 0.6 s"):
        CounterReader((0,)).__enter__()


def test_a_line_that_is_not_whole_is_left_for_the_next_time(nvml: pytest.MonkeyPatch) -> None:
    with CounterReader((0,)) as reader:
        reader._process.terminate()
        reader._process.wait()
        rows = reader.collect(0, 0).ticks
        with reader._ticks.path.open("a") as file:
            file.write("0,1.0,1.1")
        assert reader.collect(0, 0).ticks == rows
        with reader._ticks.path.open("a") as file:
            file.write(",1.2,7\n0,2.0")
        assert reader.collect(0, 0).ticks == [*rows, ["0", "1.0", "1.1", "1.2", "7"]]


def test_it_ends_when_its_parent_is_gone(nvml: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = str(Path(reader_module.__file__).parents[3])
    program = (
        "import os, sys, time\n"
        f"sys.path.insert(0, {root!r})\n"
        "from joulecast.measurements.steplog.reader import CounterReader\n"
        "reader = CounterReader((0,)).__enter__()\n"
        "print(reader._process.pid, reader._folder.name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -9
    pid, folder = done.stdout.split()
    for _ in range(200):
        if not is_running(int(pid)):
            break
        time.sleep(0.02)
    else:
        pytest.fail("it outlived its parent")
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie, which waits for a parent to take note."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_ctrl_c_in_the_terminal_does_not_end_it(nvml: pytest.MonkeyPatch) -> None:
    with CounterReader((0,)) as reader:
        reader._process.send_signal(signal.SIGINT)
        assert reader.collect(*window(0.3)).problem is None
