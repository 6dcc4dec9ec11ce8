"""A server that follows every request on its own, in time: slow, and independent of the other."""

import math
from collections.abc import Callable, Sequence

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from tests.estimator.slow_scheduler import SlowScheduler, requests_of

Law = tuple[
    Callable[..., tuple[float, float, float]], Callable[[float, float, float, float], float]
]
"""Decoding requests, prompt tokens, context, pairs, sampled tokens of a step, prompts that read a
cached prefix and tokens of these -> seconds that its parts take, those that the power limit asks
for, and those that its host needs to launch it. And decoding requests and prompt tokens of a step,
seconds that its parts last, and those before which it is not launched -> seconds that it takes."""


class SlowServer(SlowScheduler):
    """Lets requests in when they have come; a step lasts as a law says."""

    def __init__(
        self,
        rules: ContinuousBatching,
        lengths: Sequence[tuple[int, int]],
        arrivals: Sequence[float],
        law: Law,
        credit: tuple[float, float],
        cached: Sequence[int] | None = None,
    ) -> None:
        super().__init__(rules, [])
        self.requests = requests_of(lengths, cached)
        self.coming = list(zip(arrivals, self.requests, strict=True))
        self.law = law
        self.recovery, self.most_credit_s = credit
        self.credit_s = 0.0
        self.clock, self.began, self.is_ahead = 0.0, 0.0, False
        self.host_is_free = 0.0
        self.first: dict[int, float] = {}
        self.last: dict[int, float] = {}

    def let_in(self, moment: float) -> None:
        while self.coming and self.coming[0][0] <= moment:
            self.waiting.append(self.coming.pop(0)[1])

    def serve(self) -> list[tuple[float, ...]]:
        """Per step: what `run` says, when it began, and how long it lasted."""
        log = []
        while self.coming or self.waiting or any(r.over_since is None for r in self.running):
            looks_ahead = self.rules.steps_to_release == 1 and self.is_ahead
            self.let_in(self.began if looks_ahead else self.clock)
            self.now += 1
            self.scheduled, self.budget = [], self.rules.token_budget
            self.release()
            if not self.continue_running():
                self.admit()
            if self.scheduled:
                step = self.execute()
                work, together = self.law
                parts_s, limit_s, launch_seconds = work(*step, *self.reads[-1][:2])
                begin = self.began if looks_ahead and self.is_ahead else self.clock
                self.host_is_free = max(self.host_is_free, begin) + launch_seconds
                seconds = together(*step[:2], parts_s, self.host_is_free - self.clock)
                seconds = max(seconds, limit_s - (self.credit_s if launch_seconds else 0.0))
                beyond_s = seconds - limit_s
                self.credit_s += self.recovery * beyond_s if beyond_s > 0 else beyond_s
                self.credit_s = min(max(self.credit_s, 0.0), self.most_credit_s)
                log.append((*step, self.clock, seconds))
                self.began, self.clock, self.is_ahead = self.clock, self.clock + seconds, True
                self.note_tokens()
            elif any(request.over_since is not None for request in self.running):
                self.is_ahead = False
            else:
                self.is_ahead = False
                self.clock = max(self.clock, self.coming[0][0])
        return log

    def note_tokens(self) -> None:
        for place, request in enumerate(self.requests):
            if request.decodes:
                self.first.setdefault(place, self.clock)
            if request.over_since is not None:
                self.last.setdefault(place, self.clock)


def times(log: Sequence[tuple[float, ...]]) -> float:
    """All steps together [s]."""
    return math.fsum(seconds for *_, seconds in log)
