"""What the four logs of a window hold: their columns, with units, and what a value may be.

All times are of the one monotonic clock that the processes of a machine share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a column holds."""

    TIME = "a time [s] of 0 or more"
    COUNT = "a whole number of 0 or more"
    AMOUNT = "a number of 0 or more"
    NUMBER = "a number"
    TEXT = "a text"


@dataclass(frozen=True)
class Column:
    """One column of a log.

    Attributes:
        meaning: What it says, with its unit.
        kind: What a value of it may be.
        may_be_empty: Whether a value may be missing, which reads as NaN.
    """

    meaning: str
    kind: Kind = Kind.COUNT
    may_be_empty: bool = False


STEP_COLUMNS: Mapping[str, Column] = {
    "schedule_begin": Column("when scheduling of the step began [s, monotonic clock]", Kind.TIME),
    "schedule_end": Column(
        "when it ended; what follows launches the step [s, monotonic clock]", Kind.TIME
    ),
    "output_at": Column(
        "when the engine had this step's own output on the host: its work on the GPU was done by "
        "then [s, monotonic clock]; empty if it never was asked for",
        Kind.TIME,
        may_be_empty=True,
    ),
    "returned": Column(
        "when the engine call that gave this output returned [s, monotonic clock]",
        Kind.TIME,
        may_be_empty=True,
    ),
    "decoding": Column("requests that decode, one token each"),
    "prompt_tokens": Column("prompt tokens fed; after a preemption, all tokens fed once more"),
    "context": Column(
        "cached tokens that the decoding requests read, the new one included [tokens]"
    ),
    "pairs": Column(
        "prompt query-key pairs: (after^2 - before^2) / 2 a chunk that brings a request from "
        "`before` to `after` tokens",
        Kind.AMOUNT,
    ),
    "sampled": Column("tokens that come out: decoding + prompts_completed"),
    "prompts_fed": Column("requests that are fed prompt tokens"),
    "prompts_completed": Column("of these, those whose prompt ends in this step"),
    "running": Column("requests that run, after scheduling"),
    "waiting": Column("requests that wait, after scheduling"),
    "preempted": Column("requests that had to give their cache back in this scheduling"),
}

REQUEST_COLUMNS: Mapping[str, Column] = {
    "segment": Column(
        "stretch of the traffic; empty in a replay, where all requests are asked at once",
        Kind.TEXT,
    ),
    "arrival": Column(
        "when the request was to arrive [s, monotonic clock]", Kind.TIME, may_be_empty=True
    ),
    "added": Column(
        "when it was handed to the engine, between two steps [s, monotonic clock]",
        Kind.TIME,
        may_be_empty=True,
    ),
    "input_tokens": Column("prompt [tokens]"),
    "output_tokens": Column("asked for [tokens]"),
    "scheduled": Column(
        "when the scheduling that took it in began [s, monotonic clock]",
        Kind.TIME,
        may_be_empty=True,
    ),
    "first_token": Column(
        "when the engine call that gave its first token returned [s, monotonic clock]",
        Kind.TIME,
        may_be_empty=True,
    ),
    "finish": Column(
        "when the engine call that gave its last token returned [s, monotonic clock]",
        Kind.TIME,
        may_be_empty=True,
    ),
    "produced": Column("output tokens that the log saw sampled"),
    "preempted": Column("how often it had to give its cache back"),
    "cut": Column("1 if it was cut off at the time limit, else 0"),
}

TICK_COLUMNS: Mapping[str, Column] = {
    "gpu": Column("index of the GPU"),
    "not_before": Column(
        "when the last call began that still showed the old value [s, monotonic clock]", Kind.TIME
    ),
    "begin": Column(
        "when the call began that first showed this value [s, monotonic clock]", Kind.TIME
    ),
    "end": Column("when that call returned [s, monotonic clock]", Kind.TIME),
    "energy_mj": Column("total energy counter of the GPU [mJ]"),
}

STATE_COLUMNS: Mapping[str, Column] = {
    "gpu": Column("index of the GPU"),
    "at": Column("when it was read, just after a tick was seen [s, monotonic clock]", Kind.TIME),
    "temperature_c": Column("GPU temperature [deg C]", Kind.NUMBER, may_be_empty=True),
    "sm_mhz": Column("SM clock [MHz]", Kind.AMOUNT, may_be_empty=True),
    "memory_mhz": Column("memory clock [MHz]", Kind.AMOUNT, may_be_empty=True),
    "throttle_bits": Column(
        "NVML's current clocks event reasons, as bits (4 is the power cap, 1 idle)",
        Kind.AMOUNT,
        may_be_empty=True,
    ),
}

LOG_COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "steps": STEP_COLUMNS,
    "ticks": TICK_COLUMNS,
    "states": STATE_COLUMNS,
    "requests": REQUEST_COLUMNS,
}
"""Which log -> its columns, in their order."""
