"""A server that follows every request on its own, in time: slow, and independent of the other."""

import math
from collections.abc import Callable, Sequence

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from tests.estimator.slow_scheduler import SlowScheduler, requests_of

Law = tuple[
    Callable[..., tuple[float, float, float]],
    Callable[[float, float, float, float], float],
    Callable[[float, float, float], float],
]
"""Decoding requests, prompt tokens, context, pairs, sampled tokens of a step, prompts that read a
cached prefix and tokens of these -> seconds that its parts take, those that the power limit asks
for, and those that its host needs to launch it. Then decoding requests and prompt tokens of a step,
seconds that its parts last, and those before which it is not launched -> seconds that it takes. And
these two and seconds of its launch -> those for which the host's thread is at it."""


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
        is_one_thread: bool = True,
    ) -> None:
        super().__init__(rules, [])
        self.requests = requests_of(lengths, cached)
        self.coming = list(zip(arrivals, self.requests, strict=True))
        self.law = law
        self.recovery, self.most_credit_s = credit
        self.credit_s = 0.0
        self.clock, self.began, self.is_ahead = 0.0, 0.0, False
        self.host_is_free, self.is_one_thread = 0.0, is_one_thread
        self.noted: list[tuple[dict[int, float], int]] = []
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
            seen = max(self.began, self.host_is_free) if self.is_one_thread else self.began
            self.let_in(seen if looks_ahead else self.clock)
            self.now += 1
            self.scheduled, self.budget = [], self.rules.token_budget
            self.release()
            if not self.continue_running():
                self.admit()
            if self.scheduled:
                step = self.execute()
                work, together, at_launch = self.law
                parts_s, limit_s, launch_seconds = work(*step, *self.reads[-1][:2])
                begin = seen if looks_ahead and self.is_ahead else self.clock
                launches_at = max(self.host_is_free, begin)
                self.host_is_free = launches_at + at_launch(*step[:2], launch_seconds)
                if looks_ahead and self.is_ahead and self.is_one_thread:
                    for noted, place in self.noted:
                        noted[place] = max(noted[place], self.host_is_free)
                launched = launches_at + launch_seconds
                seconds = together(*step[:2], parts_s, launched - self.clock)
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
        self.noted = []
        for place, request in enumerate(self.requests):
            kinds = (self.first, request.decodes), (self.last, request.over_since is not None)
            for noted, has_token in kinds:
                if has_token and place not in noted:
                    noted[place] = self.clock
                    self.noted.append((noted, place))


def times(log: Sequence[tuple[float, ...]]) -> float:
    """All steps together [s]."""
    return math.fsum(seconds for *_, seconds in log)
