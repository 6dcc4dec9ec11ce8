"""Copies the campaign's studies to where they ship, and tells prefill and decoding apart.

python ship_studies.py                   every table below h200-sxm and h100-sxm of a study's plan
python ship_studies.py FOLDER[=NAME]...  these alone, under other names

Tables are copied byte for byte (table.json, runs.csv, host.csv, by_gpu.csv, speculation.csv), their
logs stay here. phases.csv is derived where steps and ticks were logged, as `measure --log` does.
"""

# ruff: noqa: T201

import json
import shutil
import sys
from pathlib import Path

from joulecast.measurements.sweep.phases import HOW, split_runs
from joulecast.measurements.sweep.studies import STUDIES
from joulecast.measurements.table.phases import PHASES_FILE, write_phases

HERE = Path(__file__).parent
STUDIES_FOLDER = HERE.parent / "studies"
COPIED = "table.json", "runs.csv", "host.csv", "by_gpu.csv", "speculation.csv"


def ship(source: Path, name: str) -> None:
    """Copy a study, and derive its phases."""
    metadata = json.loads((source / "table.json").read_text(encoding="utf-8"))
    target = STUDIES_FOLDER / metadata["gpu"] / metadata["model"] / name
    target.mkdir(parents=True, exist_ok=True)
    for file in COPIED:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)
    if splits := split_runs(source, print):
        whence = (
            f"derived from the logs of steps and ticks of {source.relative_to(HERE.parent)} by "
            "ship_studies.py of that campaign"
        )
        write_phases(target / PHASES_FILE, [whence, *HOW], splits)
        sums = [each.sum_over_meter for each in splits]
        ends = f"{100 * min(sums):.1f} to {100 * max(sums):.1f} % of the meter"
        print(f"{target.relative_to(STUDIES_FOLDER)}: {len(splits)} runs, their parts {ends}")
    else:
        print(f"{target.relative_to(STUDIES_FOLDER)}: no logs of steps")


def studies() -> list[Path]:
    """The campaign's tables of a study's plan."""
    return [
        path.parent
        for path in sorted(HERE.glob("*-sxm/*/**/table.json"))
        if json.loads(path.read_text(encoding="utf-8")).get("plan") in STUDIES
    ]


if __name__ == "__main__":
    words = [word.partition("=") for word in sys.argv[1:]]
    chosen = [(Path(folder).resolve(), name) for folder, _, name in words]
    for folder, name in chosen or [(folder, "") for folder in studies()]:
        ship(folder, name or "-".join(folder.relative_to(HERE).parts[2:]))
