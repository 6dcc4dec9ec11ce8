"""Copies the campaign's studies to where they ship, and tells prefill and decoding apart.

python ship_studies.py                   every table below h200-sxm and h100-sxm of a study's plan
python ship_studies.py FOLDER[=NAME]...  these alone, under other names

Tables are copied byte for byte (table.json, runs.csv, host.csv, by_gpu.csv, speculation.csv), their
logs stay here. phases.csv is derived where steps and ticks were logged:

A step has the GPU from when it was scheduled, or the output before it was there, to its own output.
Steps that feed prompts are prefill, whatever decodes beside these; all others are decoding. Between
two ticks of the energy counter (100 ms, taken to be 20 ms late) the energy, less idle power over
the time in which no step had the GPU, is prefill's power times its time plus decoding's power times
its own. Least squares over the ticks of a window give the two powers, which times both phases' time
in the window are their energies; the standard errors are those of the fit. The parts are not made
to add up to the meter, so that how far they do says how sound they are.
"""

# ruff: noqa: T201

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.measurements.sweep.studies import STUDIES
from joulecast.measurements.table.phases import PHASES_FILE, PhaseSplit, write_phases

HERE = Path(__file__).parent
STUDIES_FOLDER = HERE.parent / "studies"
COPIED = "table.json", "runs.csv", "host.csv", "by_gpu.csv", "speculation.csv"
COUNTER_LATE_S = 0.02
PROVENANCE = """\
derived from the logs of steps and ticks of {source} by ship_studies.py of that campaign
least squares of the energy between ticks on the time of steps that feed prompts (prefill) and of
all others (decoding); idle power where no step had the GPU
energies and times are of the whole window; errors are standard errors of the fit"""


def seconds_between(begin: FloatArray, end: FloatArray, bounds: FloatArray) -> FloatArray:
    """How much of some stretches of time lies between each two bounds [s]."""
    until = [np.clip(np.minimum(end, bound) - begin, 0, None).sum() for bound in bounds]
    return np.diff(np.array(until))


def split(path: Path) -> PhaseSplit:
    """Tell prefill and decoding of a logged run apart, as the head of this file says."""
    log, ticks = StepLog.read(path), Ticks.read(path.with_name(path.name.replace("steps", "ticks")))
    begin, end = log.gpu_begin, log.output_at
    is_prefill = log.prompt_tokens > 0
    window_begin, window_end = log.window
    moments = next(iter(ticks.by_gpu.values())).seconds
    first = max(window_begin - 0.1, *(of_gpu.seconds[0] for of_gpu in ticks.by_gpu.values()))
    last = min(window_end + 0.1, *(of_gpu.seconds[-1] for of_gpu in ticks.by_gpu.values()))
    bounds = moments[(moments >= first) & (moments <= last)]
    phases = np.stack(
        [
            seconds_between(begin[of], end[of], bounds - COUNTER_LATE_S)
            for of in (is_prefill, ~is_prefill)
        ],
        axis=1,
    )
    idle_w = log.facts["idle_power_w"]
    energies_j = ticks.energies(bounds) - idle_w * (np.diff(bounds) - phases.sum(axis=1))
    powers_w, *_ = np.linalg.lstsq(phases, energies_j, rcond=None)
    residuals_j = energies_j - phases @ powers_w
    variance = residuals_j @ residuals_j / (len(residuals_j) - 2)
    errors_w = np.sqrt(variance * np.diag(np.linalg.inv(phases.T @ phases)))
    seconds = np.array([(end - begin)[of].sum() for of in (is_prefill, ~is_prefill)])
    facts = log.facts
    return PhaseSplit(
        input_tokens=facts["input_tokens"],
        output_tokens=facts["output_tokens"],
        batch_size=facts["batch_size"],
        run=facts["run"],
        batches=facts["batches"],
        prefill_j=powers_w[0] * seconds[0],
        prefill_error_j=errors_w[0] * seconds[0],
        decode_j=powers_w[1] * seconds[1],
        decode_error_j=errors_w[1] * seconds[1],
        idle_j=idle_w * (window_end - window_begin - seconds.sum()),
        metered_j=facts["energy_j"],
        prefill_seconds=seconds[0],
        decode_seconds=seconds[1],
        mixed_steps=int((is_prefill & (log.decoding > 0)).sum()),
    )


def ship(source: Path, name: str) -> None:
    """Copy a study, and derive its phases."""
    metadata = json.loads((source / "table.json").read_text(encoding="utf-8"))
    target = STUDIES_FOLDER / metadata["gpu"] / metadata["model"] / name
    target.mkdir(parents=True, exist_ok=True)
    for file in COPIED:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)
    splits = [split(path) for path in (source / "logs").glob("*.steps.csv.gz")]
    if splits:
        splits.sort(key=lambda each: (*each.batch, each.run))
        lines = PROVENANCE.format(source=source.relative_to(HERE.parent)).split("\n")
        write_phases(target / PHASES_FILE, lines, splits)
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
