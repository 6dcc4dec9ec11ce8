"""Prefill and decoding told apart in the runs of a table whose steps and energy were logged.

A step has the GPU from when it was scheduled, or the output before it was there, to its own output.
Steps that feed prompts are prefill, whatever decodes beside these; all others are decoding. Between
two ticks of the energy counter (100 ms, taken to be 20 ms late) the energy, less idle power over
the time in which no step had the GPU, is prefill's power times its time plus decoding's power times
its own. Least squares over the ticks of a window give the two powers, which times both phases' time
in the window are their energies; the standard errors are those of the fit. The parts are not made
to add up to the meter, so that how far they do says how sound they are.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.measurements.sweep.run_logs import FOLDER
from joulecast.measurements.table.phases import PHASES_FILE, PhaseSplit, write_phases
from joulecast.traces.errors import InputError

COUNTER_LATE_S = 0.02
HOW = (
    "least squares of the energy between ticks on the time of steps that feed prompts (prefill),",
    "and of all others (decoding); idle power where no step had the GPU",
    "energies and times are of the whole window; errors are standard errors of the fit",
)
"""How phases are told, for the head of a file of them."""

_STEPS = ".steps.csv.gz"


def split_run(path: Path) -> PhaseSplit:
    """Tell prefill and decoding of a logged run apart.

    Args:
        path: Of its log of steps, beside which its log of ticks lies.

    Raises:
        InputError: A log cannot be read, or does not tell the two apart.
    """
    log, ticks = StepLog.read(path), Ticks.read(path.with_name(path.name.replace("steps", "ticks")))
    begin, end = log.gpu_begin, log.output_at
    is_prefill = log.prompt_tokens > 0
    window_begin, window_end = log.window
    moments = next(iter(ticks.by_gpu.values())).seconds
    first = max(window_begin - 0.1, *(of_gpu.seconds[0] for of_gpu in ticks.by_gpu.values()))
    last = min(window_end + 0.1, *(of_gpu.seconds[-1] for of_gpu in ticks.by_gpu.values()))
    bounds = moments[(moments >= first) & (moments <= last)]
    both = (is_prefill, ~is_prefill)
    phases = np.stack(
        [_seconds_between(begin[of], end[of], bounds - COUNTER_LATE_S) for of in both], axis=1
    )
    idle_w, facts = log.facts["idle_power_w"], log.facts
    energies_j = ticks.energies(bounds) - idle_w * (np.diff(bounds) - phases.sum(axis=1))
    if len(energies_j) < 3 or np.linalg.matrix_rank(phases) < 2:
        raise InputError(f"{path}: its ticks do not tell prefill from decoding")
    powers_w, *_ = np.linalg.lstsq(phases, energies_j, rcond=None)
    if powers_w.min() < 0:
        raise InputError(f"{path}: its ticks do not tell prefill from decoding")
    residuals_j = energies_j - phases @ powers_w
    variance = residuals_j @ residuals_j / (len(residuals_j) - 2)
    errors_w = np.sqrt(variance * np.diag(np.linalg.inv(phases.T @ phases)))
    seconds = np.array([(end - begin)[of].sum() for of in both])
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


def split_runs(folder: Path, note: Callable[[str], None]) -> list[PhaseSplit]:
    """The phases of a table's logged runs, by lengths, batch size and run.

    Args:
        folder: Of the table.
        note: Told of the runs whose phases cannot be told.
    """
    splits = []
    for path in sorted((folder / FOLDER).glob(f"*{_STEPS}")):
        try:
            splits.append(split_run(path))
        except InputError as error:
            note(str(error))
    return sorted(splits, key=lambda split: (*split.batch, split.run))


def write_table_phases(folder: Path, note: Callable[[str], None]) -> None:
    """Write phases.csv of a table's logged runs, those that were logged earlier included.

    Args:
        folder: Of the table.
        note: Told of how many runs, and of those whose phases cannot be told.

    Raises:
        InputError: It cannot be written.
    """
    if splits := split_runs(folder, note):
        write_phases(folder / PHASES_FILE, [f"derived from {FOLDER}/", *HOW], splits)
        note(f"{folder / PHASES_FILE}: prefill and decoding of {len(splits)} runs")


def _seconds_between(begin: FloatArray, end: FloatArray, bounds: FloatArray) -> FloatArray:
    """How much of some stretches of time lies between each two bounds [s]."""
    until = [np.clip(np.minimum(end, bound) - begin, 0, None).sum() for bound in bounds]
    return np.diff(np.array(until))
