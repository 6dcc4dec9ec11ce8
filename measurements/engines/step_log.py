"""What an engine says of its own steps, as it kept it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class LoggedStep(NamedTuple):
    """One engine step; what each value means is in `steplog/columns.py`, in this order."""

    schedule_begin: float
    schedule_end: float
    output_at: float | None
    returned: float | None
    decoding: int
    prompt_tokens: int
    context: int
    pairs: float
    sampled: int
    prompts_fed: int
    prompts_completed: int
    running: int
    waiting: int
    preempted: int


@dataclass
class LoggedRequest:
    """What a request went through.

    Attributes:
        input_tokens: Prompt [tokens].
        output_tokens: Asked for [tokens].
        scheduled: When the scheduling that took it in began [s, monotonic clock].
        first_token: When the engine call that gave its first token returned [s, monotonic clock];
            None if none came.
        finish: When the call that gave its last one returned [s, monotonic clock]; None likewise.
        produced: Output tokens that were sampled.
        preempted: How often it had to give its cache back.
    """

    input_tokens: int
    output_tokens: int
    scheduled: float
    first_token: float | None = None
    finish: float | None = None
    produced: int = 0
    preempted: int = 0


@dataclass(frozen=True)
class RawStepLog:
    """What an engine did between `start_step_log` and `stop_step_log`.

    Attributes:
        steps: In the order in which they were scheduled.
        requests: The engine's own name of a request -> what it went through, in the order in which
            they were taken in.
        meanings: Column -> what it holds, where that differs from what `steplog/columns.py` says.
    """

    steps: Sequence[LoggedStep]
    requests: Mapping[str, LoggedRequest]
    meanings: Mapping[str, str] = field(default_factory=dict)
