"""A sweep in a process of its own, to be killed: python -m THIS.MODULE FOLDER."""

import sys
import time
from pathlib import Path

from joulecast.measurements.sweep.plans import make_plan
from joulecast.measurements.sweep.sweep import missing_runs
from joulecast.traces.grid import PAPER_GRID
from tests.measurements.fakes import COST, Busy, FakeEngine, FakeGpu, make_sweep

RUNS = 2


def plan():
    engine = FakeEngine()
    return make_plan("paper", PAPER_GRID, engine.capacity, COST, RUNS)


def main(folder: Path) -> None:
    busy, engine = Busy(), FakeEngine(seconds_per_batch=0.005)
    prepare = engine.prepare
    engine.prepare = lambda *cell: busy.watch(prepare(*cell))
    gpu = FakeGpu(clock=time.monotonic, power_w=busy.power_w, tick_seconds=0.002)
    resume = (folder / "table.json").exists()
    sweep = make_sweep(folder, engine, [gpu], resume=resume, min_window_s=0.01, idle_seconds=0.05)
    sweep.run(plan())
    done = not missing_runs(plan(), sweep.folder.runs)
    sweep.folder.save("done" if done else "measuring")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
