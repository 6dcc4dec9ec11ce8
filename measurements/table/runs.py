"""One measured run, and the strict reading of runs.csv."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from joulecast.measurements.engines import MAX_BATCH_SIZE
from joulecast.measurements.gpu.gates import unbelievable
from joulecast.traces.errors import InputError


class BatchRun:
    """What names a run, be it planned or made: its lengths, its batch and its number."""

    input_tokens: int
    output_tokens: int
    batch_size: int
    run: int

    @property
    def cell(self) -> tuple[int, int]:
        """(I, O) [tokens]."""
        return self.input_tokens, self.output_tokens

    @property
    def batch(self) -> tuple[int, int, int]:
        """(I, O, batch size)."""
        return *self.cell, self.batch_size

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What makes it the same run, in a plan or on any card."""
        return *self.batch, self.run


@dataclass(frozen=True)
class Run(BatchRun):
    """One metered window: some batches of equal requests, back to back. Values are for the window.

    Attributes:
        input_tokens: Input length of every request [tokens].
        output_tokens: Output length of every request [tokens].
        batch_size: Requests in a batch.
        at_capacity: Whether batch_size is B(I, O), the largest that the GPU holds.
        batches: Batches in the window.
        energy_j: Energy of the window [J].
        seconds: Length of the window [s].
        tick_error_j: Bound on the error from the meter's ticks [J], None if not recorded.
        mean_power_w: Mean power [W], None if not recorded.
        temperature_start_c: GPU temperature at the start [deg C], None if not recorded.
        temperature_end_c: GPU temperature at the end [deg C], None if not recorded.
        run: Number of the repeat, from 1.
        gpu: Which card, None if not recorded.
        started_at: ISO 8601 time, None if not recorded.
        valid: Whether the run passed every validity gate.
        reason: Which gate it failed, None if valid.
    """

    input_tokens: int
    output_tokens: int
    batch_size: int
    at_capacity: bool
    batches: int
    energy_j: float
    seconds: float
    tick_error_j: float | None
    mean_power_w: float | None
    temperature_start_c: float | None
    temperature_end_c: float | None
    run: int
    gpu: str | None
    started_at: str | None
    valid: bool
    reason: str | None

    @property
    def batch_energy_j(self) -> float:
        """Energy of one batch [J]."""
        return self.energy_j / self.batches

    @property
    def power_w(self) -> float:
        """Mean power over the window [W]."""
        return self.energy_j / self.seconds


_BELIEVABLE = 1e-3, 1e12
_MOST_DIGITS = 9

COLUMNS = tuple(field.name for field in fields(Run))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS or int(text) < 1:
        raise ValueError("is no whole number of 1 or more")
    return int(text)


def _batch_size(text: str) -> int:
    if (batch_size := _count(text)) > MAX_BATCH_SIZE:
        raise ValueError(f"is over the cap of {MAX_BATCH_SIZE}")
    return batch_size


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def _positive(text: str) -> float:
    if (number := _number(text)) <= 0:
        raise ValueError("is not above 0; a meter that read nothing is no measurement")
    if not _BELIEVABLE[0] <= number <= _BELIEVABLE[1]:
        raise ValueError("is beyond belief")
    return number


def _not_negative(text: str) -> float:
    if (number := _number(text)) < 0:
        raise ValueError("is below 0")
    return number


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text == "true"


_T = TypeVar("_T")


def _optional(parse: Callable[[str], _T]) -> Callable[[str], _T | None]:
    return lambda text: None if text == "" else parse(text)


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "input_tokens": _count,
    "output_tokens": _count,
    "batch_size": _batch_size,
    "at_capacity": _truth,
    "batches": _count,
    "energy_j": _positive,
    "seconds": _positive,
    "tick_error_j": _optional(_not_negative),
    "mean_power_w": _optional(_positive),
    "temperature_start_c": _optional(_number),
    "temperature_end_c": _optional(_number),
    "run": _count,
    "gpu": _optional(str),
    "started_at": _optional(str),
    "valid": _truth,
    "reason": _optional(str),
}


def read_runs(path: Path, torn: bool = False) -> list[Run]:
    """Read runs.csv, believing nothing.

    Args:
        path: The file.
        torn: Leave out a last line that has no end, since it was cut off while it was written.

    Raises:
        InputError: A column, a value or the fit between values is wrong; file and line are named.
    """
    runs: list[Run] = []
    seen: dict[tuple[object, ...], int] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = (line for line in file if line.endswith("\n") or not torn)
            reader = csv.reader(lines)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise InputError(f"{path}:1: its columns must be {','.join(COLUMNS)}")
            for row in reader:
                where = f"{path}:{reader.line_num}"
                run = _parse(row, where)
                key = (*run.key, run.gpu)
                if key in seen:
                    raise InputError(
                        f"{where}: repeats run {run.run} of ({run.input_tokens}, "
                        f"{run.output_tokens}) at batch {run.batch_size} from line {seen[key]}; "
                        "remove one"
                    )
                seen[key] = reader.line_num
                runs.append(run)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV text file ({error})") from error
    if not runs:
        raise InputError(f"{path}: has no runs")
    return runs


def _parse(row: list[str], where: str) -> Run:
    if len(row) != len(COLUMNS):
        raise InputError(f"{where}: has {len(row)} values, needs {len(COLUMNS)}; was it cut off?")
    values: dict[str, Any] = {}
    for column, text in zip(COLUMNS, row, strict=True):
        try:
            values[column] = _PARSERS[column](text)
        except ValueError as error:
            raise InputError(f'{where}: {column} is "{text}", which {error}') from None
    run = Run(**values)
    if run.mean_power_w is not None and abs(run.mean_power_w / run.power_w - 1) > 0.02:
        raise InputError(
            f"{where}: mean_power_w is {run.mean_power_w:g}, but energy_j / seconds is "
            f"{run.power_w:.4g} W"
        )
    if not run.valid and run.reason is None:
        raise InputError(f"{where}: is not valid but gives no reason")
    start_c, end_c = run.temperature_start_c, run.temperature_end_c
    if run.valid and (problem := unbelievable(run.reason, start_c, end_c)):
        raise InputError(f"{where}: {problem}")
    return run
