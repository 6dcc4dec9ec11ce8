"""A metered window of traffic: what it took, and the logs of its steps and the counter's ticks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from joulecast.measurements.engines import EngineSteps
from joulecast.measurements.facts import (
    COUNT,
    MEASURED,
    MEASURED_TOO,
    POSITIVE,
    TEXT,
    Check,
    list_of,
    or_null,
    record_of,
)
from joulecast.measurements.gpu.gates import MAX_POWER_OVER_LIMIT, unbelievable
from joulecast.measurements.identity import differences
from joulecast.measurements.replay import ENGINE_STEPS, RUN
from joulecast.measurements.steplog.files import SUFFIX, log_path, read_log
from joulecast.measurements.steplog.log import StepLog, count_problem
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.traces.errors import InputError

PLAN = "traffic"
"""What table.json calls the plan of a table that has windows in the place of runs."""

PREFIX = "traffic-"
"""Files of a window begin with that and its number."""

MOST_TICKS_OFF = 0.01
"""How far the ticks of a valid window may be from what the meter read at its ends."""

_CLOCK_OFF_S = 0.05
"""The meter's own clock and the logs' read the ends of a window one after the other."""

_FACTS: Check = record_of(
    {
        **MEASURED,
        "window_begin": POSITIVE,
        "window_end": POSITIVE,
        **RUN,
        "engine_steps": ENGINE_STEPS,
        "requests": COUNT,
        "requests_cut": COUNT,
        "segments": list_of(
            record_of({"name": TEXT, "begin": POSITIVE, "drained": POSITIVE}, {"requests": COUNT})
        ),
    },
    {**MEASURED_TOO, "seed": COUNT, "host_cpu": or_null(TEXT)},
)


@dataclass(frozen=True)
class TrafficWindow:
    """One window.

    Attributes:
        path: Its log of steps; the others lie beside it.
        steps: What every step of the engine fed, and when.
    """

    path: Path
    steps: StepLog

    @classmethod
    def read(cls, path: Path) -> "TrafficWindow":
        """Read a log of steps and what it says of its window, believing nothing.

        Raises:
            InputError: It cannot be read, or something in it cannot be true.
        """
        steps = StepLog.read(path)
        facts = steps.facts
        try:
            _FACTS(dict(facts), "")
            seconds = facts["window_end"] - facts["window_begin"]
            if not math.isclose(seconds, facts["seconds"], abs_tol=_CLOCK_OFF_S):
                raise ValueError(
                    f'"window_end" is {seconds:g} s after "window_begin", and "seconds" is '
                    f"{facts['seconds']:g}"
                )
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error
        return cls(path, steps)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the logs say of themselves."""
        return self.steps.facts

    @property
    def is_valid(self) -> bool:
        """Whether it passed every validity gate."""
        return self.facts["reason"] is None

    @property
    def begin_s(self) -> float:
        """When it began [s, monotonic clock]."""
        return float(self.facts["window_begin"])

    @property
    def end_s(self) -> float:
        """When it ended [s, monotonic clock]."""
        return float(self.facts["window_end"])

    @property
    def card(self) -> str:
        """UUID of the GPU; of all, joined by +, where there are several."""
        return str(self.facts["card"])

    @property
    def energy_j(self) -> float:
        """As the meter read it [J]."""
        return float(self.facts["energy_j"])

    @property
    def seconds(self) -> float:
        """Length [s]."""
        return float(self.facts["seconds"])

    @property
    def spans(self) -> list[tuple[str, float, float]]:
        """Stretches of traffic: name, when it began and when it had drained [s]."""
        return [(span["name"], span["begin"], span["drained"]) for span in self.facts["segments"]]

    @cached_property
    def ticks(self) -> Ticks:
        """What the energy counters showed, and when."""
        return Ticks.read(self.beside("ticks"))

    @cached_property
    def highest_power_w(self) -> float:
        """Mean power of the second that took most [W]."""
        times = np.arange(self.begin_s, self.end_s)
        return float(self.ticks.energies(times).max())

    def beside(self, kind: str) -> Path:
        """Another log of the same window."""
        return log_path(self.path.parent, self.path.name.removesuffix(f".steps{SUFFIX}"), kind)

    @cached_property
    def requests(self) -> Mapping[str, npt.NDArray[Any]]:
        """What it says of every request, column by column."""
        return read_log(self.beside("requests"), "requests").columns

    @cached_property
    def states(self) -> Mapping[str, npt.NDArray[Any]]:
        """Temperature and clocks of every GPU, about once a second, column by column."""
        return read_log(self.beside("states"), "states").columns

    @property
    def longest(self) -> tuple[int, int]:
        """Longest input and output of its requests [tokens]."""
        inputs, outputs = self.requests["input_tokens"], self.requests["output_tokens"]
        return int(inputs.max()), int(outputs.max())


def windows_in(folder: Path) -> list[TrafficWindow]:
    """The windows of a table's folder, in their order.

    Raises:
        InputError: A file cannot be read, or something in it cannot be true.
    """
    paths = sorted(folder.glob(f"{PREFIX}*.steps{SUFFIX}"), key=lambda path: (len(path.name), path))
    return [TrafficWindow.read(path) for path in paths]


def check_windows(
    metadata: Mapping[str, Any], windows: Sequence[TrafficWindow], folder: Path
) -> None:
    """Hold the windows of a folder against its table.json.

    Raises:
        InputError: There is none, one is of something else, or one cannot have drawn what it says.
    """
    if not windows:
        raise InputError(
            f"{folder}: has no window of traffic ({PREFIX}1.steps{SUFFIX}); measure --plan traffic "
            "again"
        )
    limit_w = metadata["power_limit_w"]
    for window in windows:
        if others := differences(metadata, window.facts):
            told = ", ".join(other.text("in table.json", "there") for other in others)
            raise InputError(
                f"{window.path}: {told}; put the logs back beside their own table.json"
            )
        if window.is_valid and not len(window.steps):
            raise InputError(f"{window.path}: a valid window without a step tells no price")
        if window.is_valid:
            _check_logs(window)
        power_w = window.energy_j / window.seconds
        if window.is_valid and power_w > MAX_POWER_OVER_LIMIT * limit_w:
            raise InputError(
                f"{window.path}: a valid window drew {power_w:.0f} W, over "
                f"{MAX_POWER_OVER_LIMIT:g} x the power limit of {limit_w:g} W"
            )


def _check_logs(window: TrafficWindow) -> None:
    """Hold a valid window's logs against what the engine counted and the meter read.

    Raises:
        InputError: They are not whole, or of more than any request can take.
    """
    steps, facts = window.steps, window.facts
    counted = None if facts["engine_steps"] is None else EngineSteps(**facts["engine_steps"])
    if problem := count_problem(steps.counts(), counted):
        raise InputError(f"{window.path}: {problem}; get the file again")
    _check_requests(window)
    longest = sum(window.longest)
    faults = {
        "output_at": ~np.isfinite(steps.output_at),
        "context": (steps.context < steps.decoding) | (steps.context > longest * steps.decoding),
        "pairs": steps.pairs > longest * steps.prompt_tokens,
    }
    for name, is_faulty in faults.items():
        if is_faulty.any():
            raise InputError(
                f"{window.path}: the {name} of step {int(np.argmax(is_faulty)) + 1:,} is missing, "
                "or more or less than its requests can take; get the file again"
            )
    drift = [facts[f"temperature_{end}_c"] for end in ("start", "end")]
    if problem := unbelievable(None, *drift):
        raise InputError(f"{window.path}: {problem}; get the file again")
    _check_work(window)
    energy_j = window.ticks.energy_between(window.begin_s, window.end_s)
    if abs(energy_j / window.energy_j - 1) > MOST_TICKS_OFF:
        raise InputError(
            f"{window.beside('ticks')}: its ticks add up to {energy_j:,.0f} J, and the meter read "
            f"{window.energy_j:,.0f} J; get the file again"
        )


def _check_requests(window: TrafficWindow) -> None:
    """As many as were asked, with the outputs that were asked for.

    Raises:
        InputError: They are not.
    """
    path, requests = window.beside("requests"), window.requests
    if len(requests["produced"]) != window.facts["requests"]:
        raise InputError(
            f"{path}: has {len(requests['produced']):,} requests of the "
            f"{window.facts['requests']:,} that the window had; get the file again"
        )
    other = (requests["produced"] != requests["output_tokens"]) & (requests["cut"] == 0)
    if other.any():
        raise InputError(
            f"{path}: {int(other.sum()):,} requests got other outputs than they asked for; get the "
            "file again"
        )
    if requests["cut"].sum() != window.facts["requests_cut"]:
        raise InputError(
            f"{path}: {int(requests['cut'].sum()):,} requests were cut off, and "
            f"{window.path.name} tells of {window.facts['requests_cut']:,}; get both again"
        )


def _check_work(window: TrafficWindow) -> None:
    """The steps fed what the requests had.

    Raises:
        InputError: They did not.
    """
    path, requests = window.beside("requests"), window.requests
    if requests["cut"].any() or window.steps.preempted.any():
        return  # what is fed then is not told by lengths alone
    inputs = requests["input_tokens"].astype(float)
    fed = float((inputs + requests["output_tokens"] - 1).sum())
    for name, told, counted in (
        ("tokens", fed, float((window.steps.decoding + window.steps.prompt_tokens).sum())),
        ("prompt pairs", float((inputs**2 / 2).sum()), float(window.steps.pairs.sum())),
    ):
        if not math.isclose(told, counted, rel_tol=1e-6):
            raise InputError(
                f"{path}: its requests have {told:,.0f} {name}, and the steps of "
                f"{window.path.name} {counted:,.0f}; get both again"
            )
