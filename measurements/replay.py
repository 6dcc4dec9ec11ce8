"""A metered run of real requests: what an estimate can be held against."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from joulecast.measurements.batching import Batching, StaticBatch
from joulecast.measurements.engines import EngineSteps
from joulecast.measurements.facts import (
    AMOUNT,
    COUNT,
    COUNT_FROM_1,
    MEASURED,
    MEASURED_TOO,
    NUMBER,
    OBJECT,
    POSITIVE,
    TEXT,
    TRUTH,
    WATTS,
    Check,
    exactly,
    is_count,
    is_number,
    list_of,
    or_null,
    record_of,
    value_of,
)
from joulecast.measurements.gpu.gates import MAX_POWER_OVER_LIMIT, unbelievable
from joulecast.measurements.gpu.window import Window
from joulecast.measurements.identity import check_variant
from joulecast.traces.errors import InputError
from joulecast.traces.files import read_json, write_text

SHIPPED = Path(__file__).parent / "replays"
"""The folder of the replays that ship."""

SHIPPED_ONLINE = Path(__file__).parent / "online"
"""The folder of those whose requests came over time."""

_MARK = "joulecast replay"
_VERSION = 1
_LONGEST = 2**31
_MOST_BEYOND_S = 0.1
"""So much may pass between the end of the last request and that of the window, which is a tick."""

ServedAt = tuple[float, float, float]
"""When a request came, gave its first token and its last [s from the start of its window]."""


@dataclass(frozen=True)
class ReplayRun:
    """One metered window, in which all requests were run once, or again until it was long enough.

    Attributes:
        energy_j: GPU energy of the window [J].
        seconds: Time of the window [s].
        tick_error_j: Bound on the error from the meter's ticks [J].
        temperature_start_c: GPU temperature before [deg C].
        temperature_end_c: After [deg C].
        card: UUID of the GPU; of all, joined by +, where there are several.
        idle_power_w: Power of that card with the model loaded and nothing to do [W].
        started_at: ISO 8601 time.
        reason: The validity gates that it failed; None if it is valid.
        rounds: How often all requests were run in it, one time after the other.
    """

    energy_j: float
    seconds: float
    tick_error_j: float
    temperature_start_c: float
    temperature_end_c: float
    card: str
    idle_power_w: float
    started_at: str
    reason: str | None
    rounds: int = 1

    @property
    def round_j(self) -> float:
        """GPU energy of all requests, run once [J]."""
        return self.energy_j / self.rounds

    @property
    def round_seconds(self) -> float:
        """Time that they took [s]."""
        return self.seconds / self.rounds

    def facts(self) -> dict[str, Any]:
        """As files have it: rounds are told where there are several."""
        facts = asdict(self)
        if self.rounds == 1:
            del facts["rounds"]
        return facts

    @classmethod
    def of(
        cls, window: Window, card: str, idle_power_w: float, faults: Sequence[str], rounds: int = 1
    ) -> "ReplayRun":
        """What a metered window says, to the digits that the meter has.

        Args:
            window: What was seen.
            card: UUIDs of its GPUs.
            idle_power_w: Power of these with nothing to do [W].
            faults: The gates that it failed, each with what was seen.
            rounds: How often all requests were run in it.
        """
        return cls(
            energy_j=round(window.reading.energy_j, 3),
            seconds=round(window.reading.seconds, 4),
            tick_error_j=round(window.reading.tick_error_j, 2),
            temperature_start_c=window.temperature_start_c,
            temperature_end_c=window.temperature_end_c,
            card=card,
            idle_power_w=round(idle_power_w, 2),
            started_at=window.started_at,
            reason="; ".join(faults) or None,
            rounds=rounds,
        )


def _counts(how_many: int, text: str) -> Check:
    """A check of a list of so many lengths or requests."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == how_many
            and all(is_count(number, 1) and number < _LONGEST for number in value)
        )

    return value_of(f"{text}: whole numbers of 1 or more", holds)


RUN: Mapping[str, Check] = {
    "energy_j": POSITIVE,
    "seconds": POSITIVE,
    "tick_error_j": AMOUNT,
    "temperature_start_c": NUMBER,
    "temperature_end_c": NUMBER,
    "card": TEXT,
    "idle_power_w": WATTS,
    "started_at": TEXT,
    "reason": value_of(
        "why it is not valid, or null",
        lambda value: value is None or (isinstance(value, str) and bool(value)),
    ),
}
"""What a metered run says of itself, as `ReplayRun` has it."""


_RUN_TOO: Mapping[str, Check] = {"rounds": COUNT_FROM_1}

SERVED: Check = or_null(
    list_of(
        value_of(
            "when a request came, gave its first token and its last: three times that ascend",
            lambda times: (
                isinstance(times, list)
                and len(times) == 3
                and all(map(is_number, times))
                and 0 <= times[0] <= times[1] <= times[2]
            ),
        )
    )
)
"""When each request came and was served; null where all were there at once."""

ENGINE_STEPS: Check = or_null(exactly({"steps": COUNT, "tokens": COUNT, "preempted": COUNT}))
"""What an engine's own scheduler counted; null if it does not say."""

_OWN: Mapping[str, Check] = {
    "lengths": list_of(_counts(2, "an input and an output length")),
    "batches": or_null(list_of(_counts(3, "requests, input and output length"))),
    "runs": list_of(exactly(RUN, _RUN_TOO)),
    "engine_steps": ENGINE_STEPS,
}
"""What becomes a part of a `Replay` of its own; the rest are its facts."""

_DOCUMENT = record_of(
    {
        "format": value_of(f'"{_MARK}"', lambda value: value == _MARK),
        "version": value_of(f"{_VERSION}", lambda value: is_count(value) and value == _VERSION),
        **MEASURED,
        "trace": TEXT,
        **_OWN,
    },
    {
        **MEASURED_TOO,
        "sources": list_of(OBJECT),
        "drawn": TEXT,
        "seed": COUNT,
        "too_long": COUNT,
        "batches_from": or_null(TEXT),
        "host_cpu": or_null(TEXT),
        "served": SERVED,
        "trace_begin_s": AMOUNT,
        "trace_seconds": POSITIVE,
        "speed": POSITIVE,
        "rate": or_null(POSITIVE),
        "in_flight": COUNT_FROM_1,
        "static": COUNT_FROM_1,
        "padded": TRUTH,
    },
)


@dataclass(frozen=True)
class Replay:
    """Requests that were run under the meter.

    Attributes:
        facts: What was run, on what, with which versions and settings.
        lengths: (i, o) per request, in the order in which they were asked [tokens].
        batches: The static batches that they were run in; None if the engine schedules by itself.
        runs: One or more metered runs.
        engine_steps: What the engine's own scheduler did for all requests once, on average; None if
            it does not say.
        served: When each request came and was served in the first run, in the order of `lengths`;
            None where all were there at once. What follows that run is not valid.
    """

    facts: Mapping[str, Any]
    lengths: Sequence[tuple[int, int]]
    batches: Sequence[StaticBatch] | None
    runs: Sequence[ReplayRun]
    engine_steps: EngineSteps | None
    served: Sequence[ServedAt] | None = None

    @property
    def batching(self) -> Batching:
        """How the requests were handed to the engine."""
        return Batching.of(self.facts)

    @property
    def valid_runs(self) -> list[ReplayRun]:
        """The runs that passed every gate."""
        return [run for run in self.runs if run.reason is None]

    def save(self, path: Path) -> None:
        """Write a readable file: a line per key, run and request, whole or not at all."""
        steps = None if self.engine_steps is None else asdict(self.engine_steps)
        document = {
            "format": _MARK,
            "version": _VERSION,
            **self.facts,
            "engine_steps": steps,
            "batches": self.batches,
        }
        head = "".join(
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n"
            for key, value in document.items()
        )
        runs = ",\n    ".join(json.dumps(run.facts()) for run in self.runs)
        lengths = ", ".join(json.dumps(list(pair)) for pair in self.lengths)
        tail = f'  "lengths": [{lengths}]'
        if self.served is not None:
            served = ", ".join(json.dumps(list(times)) for times in self.served)
            tail = f'{tail},\n  "served": [{served}]'
        write_text(path, f'{{\n{head}  "runs": [\n    {runs}\n  ],\n{tail}\n}}\n')

    @classmethod
    def load(cls, path: Path) -> "Replay":
        """Read a replay file, believing nothing.

        Raises:
            InputError: It is none, or something in it cannot be true.
        """
        document = read_json(path, "get the file again")
        try:
            if not isinstance(document, dict):
                raise ValueError("it is not a JSON object")  # noqa: TRY004
            return cls._from_dict(document)
        except ValueError as error:
            raise InputError(f"{path}: is not a valid replay: {error}") from error

    @classmethod
    def _from_dict(cls, document: Mapping[str, Any]) -> "Replay":
        _DOCUMENT(document, "")
        check_variant(document)
        batches, steps = document["batches"], document["engine_steps"]
        served = document.get("served")
        replay = cls(
            {
                key: document[key]
                for key in document
                if key not in {*_OWN, "served", "format", "version"}
            },
            [(i, o) for i, o in document["lengths"]],
            None if batches is None else [(n, i, o) for n, i, o in batches],
            [ReplayRun(**run) for run in document["runs"]],
            None if steps is None else EngineSteps(**steps),
            None if served is None else [(a, t, f) for a, t, f in served],
        )
        replay.check()
        return replay

    def check(self) -> None:
        """Hold its parts against each other.

        Raises:
            ValueError: They do not fit.
        """
        if not self.lengths or not self.runs:
            raise ValueError("it has no requests or no runs")
        if self.facts["engine"] == "pytorch" and self.batches is None:
            raise ValueError("its static batches are missing")
        if self.batches is not None and sum(n for n, _, _ in self.batches) != len(self.lengths):
            raise ValueError("its batches do not hold its requests")
        self._check_served()
        self._check_batching()
        self._check_lengths()
        for run in self.valid_runs:
            if problem := unbelievable(None, run.temperature_start_c, run.temperature_end_c):
                raise ValueError(f"a run {problem}")
            power_w = run.energy_j / run.seconds
            if power_w <= run.idle_power_w:
                raise ValueError(
                    f"a valid run drew {power_w:.1f} W, no more than its card with nothing to do "
                    f"({run.idle_power_w:g} W)"
                )
        limit_w = self.facts.get("power_limit_w")
        if limit_w is not None and any(
            run.energy_j > MAX_POWER_OVER_LIMIT * limit_w * run.seconds for run in self.valid_runs
        ):
            raise ValueError(f"a valid run drew more than the limit of {limit_w:g} W allows")

    def _check_served(self) -> None:
        """Hold the times of requests against their number, their order and the window.

        Raises:
            ValueError: They do not fit.
        """
        if self.served is None:
            return
        if len(self.served) != len(self.lengths):
            raise ValueError("it has not the times of each of its requests")
        if any(run.reason is None for run in self.runs[1:]):
            raise ValueError("it has times of its requests, and more than one valid run")
        if any(later[0] < earlier[0] for earlier, later in itertools.pairwise(self.served)):
            raise ValueError("its requests do not come in their order")
        end_s, seconds = max(finish for _, _, finish in self.served), self.runs[0].seconds
        if end_s > seconds + _MOST_BEYOND_S:
            raise ValueError(
                f"its last request ends after {end_s:g} s, and its window lasted {seconds:g} s"
            )

    def _check_batching(self) -> None:
        """Hold what it says of batches and requests in flight against each other.

        Raises:
            ValueError: They do not fit.
        """
        batching = self.batching
        if not batching.is_limited:
            return
        if self.served is not None:
            raise ValueError("its requests come over time, and are in batches or limited, too")
        if batching.in_flight is not None and batching.static is not None:
            raise ValueError("its requests are in static batches, and served continuously, too")
        if batching.batches(self.lengths) != self.batches:
            raise ValueError("its batches are not those of its requests in their order")

    def _check_lengths(self) -> None:
        """Hold the requests against what the engine could take, and what it counted.

        Raises:
            ValueError: They do not fit.
        """
        settings, steps = self.facts["engine_settings"], self.engine_steps
        longest = max(i + o for i, o in self.lengths)
        if longest > (settings.get("max_model_len") or math.inf):
            raise ValueError(
                f"a request has {longest:,} tokens, and the engine takes "
                f"{settings['max_model_len']:,}"
            )
        is_told = self.batches is None or self.batching.static is not None
        if steps is None or not is_told or settings.get("prefix_caching"):
            return
        parts = self.batching.parts(self.lengths)
        fed = sum(i + o - 1 for part in parts for i, o in part)
        if steps.tokens < fed or (not steps.preempted and steps.tokens > fed):
            raise ValueError(
                f"its requests have {fed:,} tokens to feed, and the engine counted "
                f"{steps.tokens:,} with {steps.preempted:,} preemptions"
            )
