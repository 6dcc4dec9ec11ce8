"""What each engine step of a window fed, and when it had the GPU."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines import EngineSteps
from joulecast.measurements.steplog.files import LogFile, read_log

CountArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepLog:
    """The steps of a window, in their order; arrays of shape (steps,).

    Attributes:
        facts: Of the window: when it began and ended, what the meter read, on what it ran.
        schedule_begin: When scheduling began [s, monotonic clock].
        schedule_end: When it ended; what follows launches the step [s, monotonic clock].
        output_at: When the step's own output was on the host [s, monotonic clock]; NaN if it never
            was asked for.
        returned: When the engine call that gave this output returned [s, monotonic clock], or NaN.
        decoding: Requests that decode, a token each.
        prompt_tokens: Prompt tokens fed; after a preemption, all tokens fed once more.
        context: Cached tokens that the decoding requests read, the new one included.
        pairs: Prompt query-key pairs.
        sampled: Tokens that come out.
        prompts_fed: Requests that are fed prompt tokens.
        prompts_completed: Of these, those whose prompt ends in this step.
        running: Requests that run, after scheduling.
        waiting: Requests that wait, after scheduling.
        preempted: Requests that had to give their cache back.
    """

    facts: Mapping[str, Any]
    schedule_begin: FloatArray
    schedule_end: FloatArray
    output_at: FloatArray
    returned: FloatArray
    decoding: CountArray
    prompt_tokens: CountArray
    context: CountArray
    pairs: FloatArray
    sampled: CountArray
    prompts_fed: CountArray
    prompts_completed: CountArray
    running: CountArray
    waiting: CountArray
    preempted: CountArray

    @classmethod
    def read(cls, path: Path) -> "StepLog":
        """Read NAME.steps.csv.gz.

        Raises:
            InputError: It is none, it is cut off, or what it says cannot be true; the line is
                named.
        """
        file = read_log(path, "steps")
        _check_times(file)
        _check_counts(file)
        return cls(file.facts, **file.columns)

    def __len__(self) -> int:
        return len(self.schedule_begin)

    @property
    def window(self) -> tuple[float, float]:
        """When the metered window began and ended [s, monotonic clock]."""
        return self.facts["window_begin"], self.facts["window_end"]

    @cached_property
    def tokens(self) -> CountArray:
        """Tokens fed, shape (steps,)."""
        return self.decoding + self.prompt_tokens

    @cached_property
    def gpu_begin(self) -> FloatArray:
        """When each step began to occupy the GPU [s, monotonic clock], shape (steps,).

        That is when it had been scheduled, or, if that was later, when the output of the step
        before was there: an engine may schedule a step while the one before still runs.
        """
        earlier = np.fmax.accumulate(self.output_at)
        before = np.concatenate([[-np.inf], earlier[:-1]]) if len(self) else earlier
        begin: FloatArray = np.fmax(self.schedule_end, before)
        return begin

    @cached_property
    def gpu_seconds(self) -> FloatArray:
        """How long each step occupied the GPU [s], shape (steps,); NaN if its end is not known."""
        return self.output_at - self.gpu_begin

    def counts(self) -> EngineSteps:
        """Steps, tokens and preemptions, as engines count them themselves."""
        return EngineSteps(len(self), int(self.tokens.sum()), int(self.preempted.sum()))

    def sums(self) -> dict[str, float]:
        """The work of all steps together.

        Returns:
            `steps`, `tokens`, `context`, `pairs`, `sampled`, `prompts_fed`, `prompts_completed`.
        """
        names = ("tokens", "context", "pairs", "sampled", "prompts_fed", "prompts_completed")
        return {"steps": len(self)} | {name: getattr(self, name).sum().item() for name in names}


def count_problem(logged: EngineSteps, counted: EngineSteps | None) -> str | None:
    """How a log differs from what the engine counted, which is None where it does not say."""
    if counted is None or logged == counted:
        return None
    return f"it has {_text(logged)}; the engine counted {_text(counted)}"


def _text(steps: EngineSteps) -> str:
    return f"{steps.steps:,} steps, {steps.tokens:,} tokens and {steps.preempted:,} preemptions"


def _check_times(file: LogFile) -> None:
    """Times do not go back, neither from step to step nor within one."""
    names = ("schedule_begin", "schedule_end", "output_at", "returned")
    for earlier, later in itertools.pairwise(names):
        rows = np.flatnonzero(file.columns[later] < file.columns[earlier])
        if len(rows):
            raise file.refusal(rows[0], f"its {later} is before its {earlier}")
    for name in names:
        require_no_way_back(file, name, np.arange(len(file.columns[name])))


def require_no_way_back(file: LogFile, name: str, rows: npt.NDArray[np.intp]) -> None:
    """Refuse a column that falls from one of these rows to the next; missing values are passed by.

    Raises:
        InputError: It does; the line is named.
    """
    rows = rows[~np.isnan(file.columns[name][rows])]
    values = file.columns[name][rows]
    falls = np.flatnonzero(np.diff(values) < 0)
    if len(falls):
        k = falls[0]
        raise file.refusal(
            rows[k + 1], f"its {name} goes back, from {values[k]:.6f} to {values[k + 1]:.6f}"
        )


def _check_counts(file: LogFile) -> None:
    """What comes out is of requests that were fed."""
    columns = file.columns
    for text, rows in (
        (
            "its sampled is not decoding + prompts_completed",
            columns["sampled"] != columns["decoding"] + columns["prompts_completed"],
        ),
        (
            "more prompts are completed than are fed",
            columns["prompts_completed"] > columns["prompts_fed"],
        ),
        (
            "more prompts are fed than prompt tokens",
            columns["prompts_fed"] > columns["prompt_tokens"],
        ),
        ("it feeds nothing", columns["decoding"] + columns["prompt_tokens"] == 0),
    ):
        if rows.any():
            raise file.refusal(int(np.flatnonzero(rows)[0]), text)
