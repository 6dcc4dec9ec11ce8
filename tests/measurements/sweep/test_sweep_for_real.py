"""The sweep in real time: killed at random moments, and on a real engine."""

import collections
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.table.runs import read_runs
from joulecast.measurements.table.table import load_table
from tests.measurements.fakes import Busy, FakeGpu, make_sweep
from tests.measurements.sweep.sweep_process import plan

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.measurements.sweep.sweep_process", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def wait_for_runs(folder: Path, process: subprocess.Popen, at_least: int) -> None:
    """Until so many lines are on disk, or the process ends."""
    while process.poll() is None:
        path = folder / "runs.csv"
        if path.exists() and path.read_bytes().count(b"\n") > at_least:
            return
        time.sleep(0.002)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_every_run_is_there_once(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    folder = tmp_path / "t"
    kills = 0
    for _ in range(4):
        process = start(folder)
        before = (folder / "runs.csv").read_bytes().count(b"\n") if folder.exists() else 0
        wait_for_runs(folder, process, before + rng.randrange(1, 12))
        time.sleep(rng.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        load_table(str(folder))  # fit to be read at any moment
    assert kills >= 3
    process = start(folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    runs = read_runs(folder / "runs.csv")
    counts = collections.Counter(
        (run.input_tokens, run.output_tokens, run.batch_size, run.run) for run in runs
    )
    missing = {spec.key for spec in plan()} - set(counts)
    assert not missing
    assert set(counts.values()) == {1}
    table = load_table(str(folder))
    assert table.metadata["status"] == "done"


def test_a_sweep_on_a_real_engine(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.measurements.tiny_model import cpu_engine

    engine = cpu_engine(tmp_path / "tiny")
    busy, prepare = Busy(), engine.prepare
    engine.prepare = lambda *cell: busy.watch(prepare(*cell))
    gpu = FakeGpu(clock=time.monotonic, power_w=busy.power_w, tick_seconds=0.01)
    sweep = make_sweep(tmp_path / "t", engine, [gpu], min_window_s=0.3, idle_seconds=0.1)
    cells = [(32, 8), (32, 16), (128, 8), (256, 8), (128, 16), (256, 16)]
    specs = [RunSpec(i, o, 4, True, 1) for i, o in cells]
    specs.append(RunSpec(32, 8, 1, False, 1))
    sweep.run(specs)
    sweep.folder.save("done")
    sweep.folder.close()
    table = load_table(str(tmp_path / "t"))
    assert len(table.measured) == len(cells)
    for run in table.runs:
        assert run.valid, run.reason
        assert run.seconds >= 0.3
        assert abs(run.energy_j - 400 * run.seconds) <= run.tick_error_j + 0.02 * run.energy_j
