"""Continuous batching as vLLM schedules it: which step feeds which tokens.

Every running request decodes one token a step; what is left of a step's token budget feeds waiting
prompts, in chunks. A prompt is taken in when its whole cache fits; when running requests outgrow
the memory, the youngest gives its cache back and starts over, ahead of all that wait.
"""

from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.work import LengthArray, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.errors import InputError

GRAPH_TOKENS = 512
"""vLLM records CUDA graphs for steps of up to so many tokens, unless it is told otherwise."""


@dataclass(frozen=True)
class ContinuousBatching:
    """Settings of a scheduler.

    Attributes:
        token_budget: Most tokens that a step feeds.
        most_requests: Most requests that run at once.
        cache_blocks: Blocks of the KV cache.
        block_tokens: Tokens in a block.
        chunked_prefill: Whether a prompt may be fed in pieces.
        steps_to_release: Steps after its last in which a request still holds its cache: one where
            the next step is scheduled before the last one's tokens are there.
        graph_tokens: Most tokens of a step that runs as a CUDA graph.
        mixture: The model, if it is one of experts, of which a step reads those that it needs.
    """

    reconstruction_sd: ClassVar[float] = 0.02
    """As found where the truth is known (docs/reconstruction.md)."""

    token_budget: int
    most_requests: int
    cache_blocks: int
    block_tokens: int
    chunked_prefill: bool = True
    steps_to_release: int = 1
    graph_tokens: int = GRAPH_TOKENS
    mixture: ModelShape | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> "ContinuousBatching":
        """Of a vLLM table.

        Raises:
            InputError: The table does not say what the scheduler needs; `where` is named.
        """
        try:
            block_tokens = int(settings.get("kv_block_tokens", 16))
            rules = cls(
                token_budget=int(settings["max_num_batched_tokens"]),
                most_requests=int(settings["max_num_seqs"]),
                cache_blocks=int(settings["kv_cache_tokens"]) // block_tokens,
                block_tokens=block_tokens,
                chunked_prefill=_flag(settings.get("chunked_prefill", True)),
                steps_to_release=1 if _flag(settings.get("async_scheduling", True)) else 0,
                graph_tokens=(
                    0
                    if _flag(settings.get("eager", False))
                    else int(settings.get("max_cudagraph_capture_size", GRAPH_TOKENS))
                ),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InputError(
                f"{where}: its engine_settings lack what a step model needs ({error}); use "
                "--method binned, or measure the table again"
            ) from error
        if min(rules.most_requests, rules.cache_blocks, rules.block_tokens) < 1 or (
            rules.token_budget < rules.most_requests
        ):
            raise InputError(
                f"{where}: its engine_settings are those of no scheduler; use --method binned, or "
                "measure the table again"
            )
        return rules

    @property
    def cache_tokens(self) -> int:
        """Tokens that the KV cache holds."""
        return self.cache_blocks * self.block_tokens

    @property
    def longest_request(self) -> int:
        """Input and output of the longest request that the cache holds [tokens]."""
        return self.cache_tokens + 1  # the last output needs no room

    def clip(self, lengths: LengthArray) -> LengthArray:
        """Requests that were drawn, none longer than the cache holds."""
        outputs = np.minimum(lengths[:, 1], self.cache_tokens)
        inputs = np.minimum(lengths[:, 0], self.cache_tokens + 1 - outputs)
        return np.stack([inputs, outputs], axis=1)

    def require_fits(self, lengths: LengthArray) -> None:
        """Refuse requests that the engine cannot serve even alone.

        Args:
            lengths: (i, o) per request [tokens], shape (n, 2).

        Raises:
            InputError: There is one; its lengths are named.
        """
        needed = -(-(lengths.sum(axis=1) - 1) // self.block_tokens)
        if len(needed) and needed.max() > self.cache_blocks:
            i, o = lengths[int(needed.argmax())].tolist()
            raise InputError(
                f"a request of {i:,} + {o:,} tokens does not fit into the engine's KV cache of "
                f"{self.cache_tokens:,} tokens; leave such requests out, or have more GPUs share it"
            )
        if (
            not self.chunked_prefill
            and len(lengths)
            and (longest := int(lengths.sum(axis=1).max())) > self.token_budget
        ):
            raise InputError(
                f"a request of {longest:,} tokens does not fit into a step of "
                f"{self.token_budget:,}, and the engine does not feed prompts in chunks; use "
                "--method binned"
            )

    def fewest_steps(self, lengths: LengthArray) -> float:
        """No step reads more tokens than the cache holds, or decodes for more than may run."""
        counts = StepCounts.of_lengths(lengths)
        return max(counts.context / self.cache_tokens, counts.outputs / self.most_requests)

    def schedule(self, lengths: LengthArray, progress: Progress | None = None) -> Steps:
        """Serve requests that are all there from the start, in their order.

        Args:
            lengths: (i, o) per request [tokens], 1 or more each, shape (n, 2).
            progress: Told what share of the requests has ended.

        Returns:
            What every step feeds.

        Raises:
            InputError: A request does not fit into the cache even alone.
        """
        self.require_fits(lengths)
        return _Simulation(self, lengths[:, 0].tolist(), lengths[:, 1].tolist()).run(progress)

    def schedule_batch(self, input_tokens: int, output_tokens: int, batch_size: int) -> Steps:
        """The same for equal requests."""
        return self.schedule(np.tile([input_tokens, output_tokens], (batch_size, 1)))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _columns(log: "array[float]", width: int) -> FloatArray:
    """Rows of so many numbers, one after the other, as columns, shape (width, rows)."""
    return np.frombuffer(log, dtype=float).reshape(-1, width).T


class _Simulation:
    """One run, step by step; a step takes as long however many requests decode in it.

    A request decodes from the step after `began`, in which the last of its prompt was fed, to
    `ends`. Before step t its cache holds its prompt and t - 1 - began tokens more. So all that a
    step needs to know of the decoding requests is their number, the sum of their caches, and how
    many of them outgrow their last block in steps of the same rest modulo the block size.
    """

    def __init__(self, rules: ContinuousBatching, inputs: list[int], outputs: list[int]) -> None:
        self._count = count = len(inputs)
        self._rules = rules
        self._prompts = list(inputs)  # to be fed before decoding; longer when fed once more
        self._left = list(outputs)  # to be produced from there on
        self._began, self._ends, self._fed = [0] * count, [0] * count, [0] * count
        self._waiting = deque(range(count))
        self._running: dict[int, None] = {}  # oldest first
        self._partial: int | None = None  # whose prompt is fed in part
        self._ending: dict[int, list[int]] = {}
        self._completed: list[int] = []
        self._free = rules.cache_blocks
        self._now = self._decoding = self._cached = 0
        self._outgrowing = [0] * rules.block_tokens
        # The oldest request that has not ended is never preempted once what has ended is released,
        # and each step feeds it a token or more.
        longest = max(map(int.__add__, inputs, outputs), default=0)
        self._longest_wait = longest + rules.steps_to_release + 1

    def run(self, progress: Progress | None = None) -> Steps:
        """Until every request has ended.

        Raises:
            InputError: These rules never serve some request.
        """
        log = array("d")  # five numbers a step; there may be tens of millions
        done = last_end = 0
        while done < self._count:
            self._now += 1
            self._release(self._now - 1 - self._rules.steps_to_release)
            has_preempted = self._make_room()
            decoding, cached = self._decoding, self._cached
            fed, pairs = self._feed_prompts(self._rules.token_budget - decoding, has_preempted)
            sampled = decoding + len(self._completed)
            if decoding or fed:
                log.extend((decoding, fed, cached + decoding, pairs, sampled))
            elif not any(self._ending.values()):
                raise self._stuck()
            if ended := self._end_step():
                done, last_end = done + ended, self._now
                if progress is not None:
                    progress(done / self._count)
            elif self._now - last_end > self._longest_wait:
                raise self._stuck()
        decoding, fed_tokens, context, fed_pairs, sampled_tokens = _columns(log, 5)
        is_launched = decoding + fed_tokens > self._rules.graph_tokens
        mixture = self._rules.mixture
        return Steps(
            decoding,
            fed_tokens,
            context,
            fed_pairs,
            sampled_tokens,
            is_launched,
            self._count,
            None if mixture is None else mixture.share_read(decoding + fed_tokens),
        )

    def _stuck(self) -> InputError:
        """What to say of rules under which some request makes no progress."""
        active = (request for request in self._running if self._is_active(request))
        request = next(active, self._waiting[0] if self._waiting else 0)
        tokens = self._prompts[request] + self._left[request]
        return InputError(
            f"request {request + 1} of {self._count}, of {tokens} tokens with its output, is never "
            f"served from a KV cache of {self._rules.cache_tokens} tokens under the engine's rules "
            "of admission; leave such requests out, or use --method binned"
        )

    def _is_active(self, request: int) -> bool:
        """Whether a running request has not ended."""
        return request == self._partial or self._ends[request] >= self._now

    def _release(self, step: int) -> None:
        """Give back the caches of the requests that ended in a step."""
        for request in self._ending.pop(step, ()):
            del self._running[request]
            self._free += self._blocks(self._tokens_cached(request, step + 1))

    def _make_room(self) -> bool:
        """Blocks for the tokens that are decoded now; whether someone had to make way for them."""
        phase = self._now % self._rules.block_tokens
        has_preempted = False
        while self._outgrowing[phase] > self._free:
            self._preempt_youngest()
            has_preempted = True
        self._free -= self._outgrowing[phase]
        return has_preempted

    def _preempt_youngest(self) -> None:
        """Take all from the youngest request; what it has produced is fed to it again later."""
        youngest = next(request for request in reversed(self._running) if self._is_active(request))
        del self._running[youngest]
        self._waiting.appendleft(youngest)
        if youngest == self._partial:
            self._partial = None
            self._free += self._blocks(self._fed[youngest])
            return
        self._ending[self._ends[youngest]].remove(youngest)
        cached = self._tokens_cached(youngest, self._now)
        self._free += self._blocks(cached)
        self._stop_decoding(youngest, cached)
        produced = self._now - self._began[youngest]
        self._prompts[youngest] += produced
        self._left[youngest] -= produced

    def _feed_prompts(self, budget: int, has_preempted: bool) -> tuple[int, float]:
        """Feed the prompt that is in part, then waiting ones: tokens and pairs."""
        fed, pairs = 0, 0.0
        if self._partial is not None:
            if self._needs_more_blocks(self._partial, budget) > self._free:
                self._preempt_youngest()
                has_preempted = True
            else:
                fed, pairs = self._feed(self._partial, budget)
        while not has_preempted and self._waiting and fed < budget:
            request = self._waiting[0]
            prompt = self._prompts[request]
            if (
                len(self._running) == self._rules.most_requests
                or self._blocks(prompt) > self._free
                or (not self._rules.chunked_prefill and prompt > budget - fed)
            ):
                break
            self._waiting.popleft()
            self._running[request] = None
            self._fed[request] = 0
            more, more_pairs = self._feed(request, budget - fed)
            fed, pairs = fed + more, pairs + more_pairs
        return fed, pairs

    def _needs_more_blocks(self, request: int, budget: int) -> int:
        fed = self._fed[request]
        chunk = min(self._prompts[request] - fed, budget)
        return self._blocks(fed + chunk) - self._blocks(fed)

    def _feed(self, request: int, budget: int) -> tuple[int, float]:
        """Feed what the budget allows of a prompt; the rest is fed in the next step."""
        before, prompt = self._fed[request], self._prompts[request]
        self._free -= self._needs_more_blocks(request, budget)
        after = min(prompt, before + budget)
        self._fed[request] = after
        self._partial = request if after < prompt else None
        if after == prompt:
            self._completed.append(request)
        return after - before, (after * after - before * before) / 2

    def _end_step(self) -> int:
        """Every decoding request has one token more; how many requests ended."""
        now = self._now
        self._cached += self._decoding
        for request in self._ending.get(now, ()):
            self._stop_decoding(request, self._tokens_cached(request, now + 1))
        for request in self._completed:
            self._began[request] = now
            self._ends[request] = ends = now + self._left[request] - 1
            self._ending.setdefault(ends, []).append(request)
            if ends > now:
                self._decoding += 1
                self._cached += self._prompts[request]
                self._outgrowing[self._phase(request)] += 1
        self._completed.clear()
        return len(self._ending.get(now, ()))

    def _stop_decoding(self, request: int, cached: int) -> None:
        self._decoding -= 1
        self._cached -= cached
        self._outgrowing[self._phase(request)] -= 1

    def _tokens_cached(self, request: int, step: int) -> int:
        """In the cache of a request that decodes, before a step."""
        return self._prompts[request] + step - 1 - self._began[request]

    def _phase(self, request: int) -> int:
        """Steps in which a request outgrows its last block, modulo the block size."""
        return (self._began[request] + 1 - self._prompts[request]) % self._rules.block_tokens

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._rules.block_tokens)
