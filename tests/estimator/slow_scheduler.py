"""Continuous batching told request by request: slow, and independent of the one that ships."""

from collections.abc import Sequence
from dataclasses import dataclass

from joulecast.estimator.steps.continuous_batching import ContinuousBatching


@dataclass(eq=False)
class Request:
    """One request, and what the scheduler has done for it."""

    tokens: int  # to be in the cache before the next token comes out
    left: int  # tokens still to come out
    computed: int = 0
    blocks: int = 0
    decodes: bool = False  # what came out last is fed next
    over_since: int | None = None
    cached: int = 0  # tokens of the prompt that are there before it is fed


class SlowScheduler:
    """All requests in lists, looked at one by one in every step."""

    def __init__(
        self,
        rules: ContinuousBatching,
        lengths: Sequence[tuple[int, int]],
        cached: Sequence[int] | None = None,
    ) -> None:
        self.rules = rules
        self.waiting = requests_of(lengths, cached)
        self.reads: list[tuple[float, float, float]] = []
        self.running: list[Request] = []
        self.free, self.now, self.budget = rules.cache_blocks, 0, 0
        self.scheduled: list[tuple[Request, int]] = []

    def run(self) -> list[tuple[float, ...]]:
        """Per step: decoding requests, prompt tokens, context, pairs, tokens that come out."""
        log = []
        while self.waiting or any(request.over_since is None for request in self.running):
            self.now += 1
            self.scheduled, self.budget = [], self.rules.token_budget
            self.release()
            if not self.continue_running():
                self.admit()
            if self.scheduled:
                log.append(self.execute())
        return log

    def release(self) -> None:
        for request in list(self.running):
            since = request.over_since
            if since is not None and self.now - since > self.rules.steps_to_release:
                self.running.remove(request)
                self.free += request.blocks

    def continue_running(self) -> bool:
        """Whether anyone was preempted."""
        preempted, index = False, 0
        while index < len(self.running) and self.budget > 0:
            request = self.running[index]
            if request.over_since is None:
                tokens = min(request.tokens - request.computed, self.budget)
                while self.more_blocks(request, tokens) > self.free and request in self.running:
                    self.preempt(next(r for r in reversed(self.running) if r.over_since is None))
                    preempted = True
                if request not in self.running:
                    break
                self.take(request, tokens)
            index += 1
        return preempted

    def preempt(self, request: Request) -> None:
        self.running.remove(request)
        self.waiting.insert(0, request)
        self.free += request.blocks
        request.computed = request.blocks = 0
        request.decodes = False

    def admit(self) -> None:
        while self.waiting and self.budget > 0 and len(self.running) < self.rules.most_requests:
            request = self.waiting[0]
            whole = -(-request.tokens // self.rules.block_tokens)
            request.computed = request.cached
            is_cut = request.tokens - request.computed > self.budget
            if whole > self.free or (is_cut and not self.rules.chunked_prefill):
                break
            self.running.append(self.waiting.pop(0))
            self.take(request, min(request.tokens - request.computed, self.budget))

    def more_blocks(self, request: Request, tokens: int) -> int:
        return -(-(request.computed + tokens) // self.rules.block_tokens) - request.blocks

    def take(self, request: Request, tokens: int) -> None:
        more = self.more_blocks(request, tokens)
        self.free -= more
        request.blocks += more
        self.budget -= tokens
        self.scheduled.append((request, tokens))

    def execute(self) -> tuple[float, ...]:
        decoding = prompt = sampled = readers = 0
        context, pairs, read, read_pairs = 0.0, 0.0, 0.0, 0.0
        for request, tokens in self.scheduled:
            before = request.computed
            request.computed += tokens
            if request.decodes:
                decoding += 1
                context += request.computed
            else:
                prompt += tokens
                pairs += (request.computed**2 - before**2) / 2
                readers += request.cached > 0
                read += request.cached
                read_pairs += request.cached * tokens
            if request.computed == request.tokens:
                sampled += 1
                request.tokens += 1
                request.left -= 1
                request.decodes = True
                request.over_since = self.now if request.left == 0 else None
        self.reads.append((readers, read, read_pairs))
        return decoding, prompt, context, pairs, sampled


def requests_of(
    lengths: Sequence[tuple[int, int]], cached: Sequence[int] | None = None
) -> list[Request]:
    """Requests that nothing was done for; the last token of a prompt is never cached."""
    tokens = [0] * len(lengths) if cached is None else cached
    return [Request(i, o, cached=min(c, i - 1)) for (i, o), c in zip(lengths, tokens, strict=True)]
