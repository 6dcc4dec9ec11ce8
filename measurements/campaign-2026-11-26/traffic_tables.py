"""Tables of traffic from the minutes of traffic of this folder, as `joulecast measure` makes them.

python traffic_tables.py FOLDER     writes FOLDER/<gpu>/<model>/
"""

# mypy: ignore-errors
# ruff: noqa: D103, T201

import json
import shutil
import sys
from pathlib import Path

from joulecast.measurements.steplog.files import read_log
from joulecast.measurements.sweep.folder import write_metadata
from joulecast.traces.grid import PAPER_GRID

HERE = Path(__file__).parent
METADATA = ("gpu", "gpu_product", "gpu_count", "power_limit_w", "model", "engine", "engine_version",
            "engine_settings", "dtype", "weights", "measured_on", "measured_by")  # fmt: skip
METER = "NVML total energy counter, read at the ends of a window that begins at a tick"


def main():
    for steps in sorted(HERE.glob("*/*/logs/traffic.steps.csv.gz")):
        source = steps.parents[1]
        target = Path(sys.argv[1]) / source.relative_to(HERE)
        target.mkdir(parents=True, exist_ok=True)
        facts = read_log(steps, "steps").facts
        for log in ("steps", "ticks", "states", "requests"):
            shutil.copy(
                source / "logs" / f"traffic.{log}.csv.gz", target / f"traffic-1.{log}.csv.gz"
            )
        card = {"idle_power_w": facts["idle_power_w"], "host_cpu": facts["host_cpu"]}
        earlier = sorted(source.glob("*/table.json"))
        if earlier:
            card = json.loads(earlier[0].read_text())["cards"].get(facts["card"], card)
        write_metadata(
            target,
            {
                "joulecast_table": 1,
                **{key: facts[key] for key in METADATA},
                "plan": "traffic",
                "idle_power_w": facts["idle_power_w"],
                "meter": METER,
                "grid": PAPER_GRID.to_dict(),
                "capacity": {"how": "nothing was searched for"},
                "measured_cells": 0,
                "complete": False,
                "cards": {facts["card"]: card},
                "left_out": [],
                "status": "done",
            },
        )
        for config in source.glob("model/*/config.json"):
            shutil.copy(config, target / "config.json")
        print(target)


if __name__ == "__main__":
    main()
