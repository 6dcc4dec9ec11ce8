"""Every tick of the GPUs' energy counters in a window, and the energy between two moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.gpu.meter import FREEZE_SECONDS
from joulecast.measurements.steplog.columns import TICK_COLUMNS
from joulecast.measurements.steplog.files import LogFile, read_log
from joulecast.measurements.steplog.log import require_no_way_back
from joulecast.traces.errors import InputError


@dataclass(frozen=True)
class GpuTicks:
    """The ticks of one GPU; arrays of shape (ticks,).

    Attributes:
        seconds: When each came, taken at the middle of the call that first showed it [s, monotonic
            clock].
        joules: What the counter showed then, less what it showed first [J].
        late_seconds: How much earlier than the end of that call it may have come [s].
    """

    seconds: FloatArray
    joules: FloatArray
    late_seconds: FloatArray

    @classmethod
    def of_columns(
        cls,
        not_before: FloatArray,
        begin: FloatArray,
        end: FloatArray,
        energy_mj: npt.NDArray[np.int64],
    ) -> "GpuTicks":
        """The ticks of some rows of `TICK_COLUMNS`."""
        joules = (energy_mj - energy_mj[:1].sum()) / 1000
        return cls((begin + end) / 2, joules, end - not_before)

    def problem(self, begin: float, end: float) -> str | None:
        """Why nothing can be said of a stretch of time; None if something can.

        Args:
            begin: When it begins [s, monotonic clock].
            end: When it ends [s, monotonic clock].
        """
        if not len(self.seconds):
            return "has no ticks"
        if (np.diff(self.joules) < 0).any():
            return "went back: it was reset, or the driver was reloaded"
        inside = self.seconds[(self.seconds > begin) & (self.seconds < end)]
        first, last = self.seconds[0], self.seconds[-1]
        if first > begin:
            return f"is incomplete: its first tick is {first - begin:.1f} s after the beginning"
        gaps = np.diff(np.concatenate([[begin], inside, [end]]))
        if last < end and end - last <= FREEZE_SECONDS:
            return f"is incomplete: its last tick is {end - last:.1f} s before the end"
        if gaps.max() > FREEZE_SECONDS:
            at = begin + gaps[: int(gaps.argmax())].sum()
            return (
                f"is frozen or incomplete: no tick came for {gaps.max():.1f} s, from "
                f"{at - begin:.1f} s after the beginning on"
            )
        return None


@dataclass(frozen=True)
class Ticks:
    """The ticks of all GPUs of a window.

    Attributes:
        source: Where they come from, for messages.
        facts: Of the window: when it began and ended, what the meter read, on what it ran.
        by_gpu: Index of a GPU -> its ticks.
    """

    source: str
    facts: Mapping[str, Any]
    by_gpu: Mapping[int, GpuTicks]

    @classmethod
    def read(cls, path: Path) -> "Ticks":
        """Read NAME.ticks.csv.gz.

        Raises:
            InputError: It is none, it is cut off, a time or a counter goes back; the line is named.
        """
        file = read_log(path, "ticks")
        columns = file.columns
        for earlier, later in (("not_before", "begin"), ("begin", "end")):
            rows = np.flatnonzero(columns[later] < columns[earlier])
            if len(rows):
                raise file.refusal(rows[0], f"its {later} is before its {earlier}")
        return cls(
            str(path),
            file.facts,
            {int(gpu): _of_gpu(file, int(gpu)) for gpu in np.unique(columns["gpu"])},
        )

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[str]], facts: Mapping[str, Any]) -> "Ticks":
        """The ticks that a poller has just written, as texts in the order of `TICK_COLUMNS`."""
        columns = np.array(rows, dtype=float).reshape(-1, len(TICK_COLUMNS))
        energy_mj = np.array([int(row[-1]) for row in rows], dtype=np.int64)
        by_gpu = {}
        for gpu in np.unique(columns[:, 0]):
            rows_of_gpu = columns[:, 0] == gpu
            not_before, begin, end = columns[rows_of_gpu, 1:4].T
            by_gpu[int(gpu)] = GpuTicks.of_columns(not_before, begin, end, energy_mj[rows_of_gpu])
        return cls("the poller", facts, by_gpu)

    @property
    def window(self) -> tuple[float, float]:
        """When the metered window began and ended [s, monotonic clock]."""
        return self.facts["window_begin"], self.facts["window_end"]

    def problem(self, begin: float, end: float) -> str | None:
        """Why nothing can be said of a stretch of time, in words; None if something can.

        A counter that does not tick for `FREEZE_SECONDS` is frozen, or nobody read it.

        Args:
            begin: When it begins [s, monotonic clock].
            end: When it ends [s, monotonic clock].
        """
        if not self.by_gpu:
            return "the energy counter has no ticks"
        for gpu, ticks in self.by_gpu.items():
            if problem := ticks.problem(begin, end):
                return f"the energy counter of GPU {gpu} {problem}"
        return None

    def energies(self, moments: npt.ArrayLike) -> FloatArray:
        """Energy of all GPUs from the first to the last of some moments, stretch by stretch [J].

        Between two ticks, power is taken to be constant.

        Args:
            moments: The bounds of the stretches, in their order [s, monotonic clock], shape (n,).

        Returns:
            Energy of each stretch [J], shape (n - 1,).

        Raises:
            InputError: There is no telling; `problem` says why.
        """
        bounds = np.asarray(moments, dtype=float)
        if problem := self.problem(bounds[0], bounds[-1]):
            raise InputError(f"{self.source}: {problem}; take another log, or another stretch")
        return sum(
            (
                np.diff(np.interp(bounds, ticks.seconds, ticks.joules))
                for ticks in self.by_gpu.values()
            ),
            start=np.zeros(len(bounds) - 1),
        )

    def energy_between(self, begin: float, end: float) -> float:
        """Energy of all GPUs between two moments [J].

        Args:
            begin: [s, monotonic clock]
            end: [s, monotonic clock]

        Raises:
            InputError: As `energies`.
        """
        return float(self.energies([begin, end])[0])


def _of_gpu(file: LogFile, gpu: int) -> GpuTicks:
    """The ticks of one GPU in a file, none of which goes back."""
    columns = file.columns
    rows = np.flatnonzero(columns["gpu"] == gpu)
    for name in ("not_before", "begin", "end"):
        require_no_way_back(file, name, rows)
    energy_mj = columns["energy_mj"][rows]
    steps = np.diff(energy_mj)
    if (steps <= 0).any():
        k = int(np.flatnonzero(steps <= 0)[0])
        raise file.refusal(
            rows[k + 1],
            f"its energy_mj is {energy_mj[k + 1]} after {energy_mj[k]}, and a counter only rises",
        )
    return GpuTicks.of_columns(
        columns["not_before"][rows], columns["begin"][rows], columns["end"][rows], energy_mj
    )
