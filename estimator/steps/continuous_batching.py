"""Continuous batching as vLLM schedules it: which step feeds which tokens.

Every running request decodes one token a step; what is left of a step's token budget feeds waiting
prompts, in chunks. `in_time` follows it, for requests that are all there and for those that come
over time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from joulecast.estimator.steps.in_time.replica import serve_replica
from joulecast.estimator.steps.in_time.state import (
    CONTEXT,
    DECODE,
    PAIRS,
    PROMPT,
    READ,
    READ_BY,
    READ_PAIRS,
    SAMPLED,
    SECONDS,
    STEPS,
    Rules,
    StepTimes,
)
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.work import LengthArray, PrefixReads, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.errors import InputError
from joulecast.traces.requests import StoredLengths, TokenArray

GRAPH_TOKENS = 512
"""vLLM records CUDA graphs for steps of up to so many tokens, unless it is told otherwise."""


def graph_padding(tokens: FloatArray, graph_tokens: int) -> FloatArray:
    """What steps of so many tokens compute besides, shape (steps,).

    vLLM records graphs of 1, 2, 4 and 8 tokens, then of every 8th number up to 256 and of every
    16th beyond, and runs a step by the next larger one.
    """
    apart = np.where(tokens > 256, 16.0, 8.0)
    graph = np.where(tokens > 4, np.ceil(tokens / apart) * apart, np.where(tokens > 2, 4.0, tokens))
    return np.where(tokens > graph_tokens, 0.0, graph - tokens)


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
        times: How long steps last; None where only their order matters.
    """

    has_prefix_cache: ClassVar[bool] = True
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
    times: StepTimes | None = field(default=None, compare=False, repr=False)

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

    def require_fits(self, lengths: StoredLengths) -> None:
        """Refuse requests that the engine cannot serve even alone.

        Args:
            lengths: (i, o) per request [tokens], shape (n, 2).

        Raises:
            InputError: There is one; its lengths are named.
        """
        if not len(lengths):
            return
        tokens = lengths.sum(axis=1)
        place = int(tokens.argmax())
        longest = int(tokens[place])
        if -(-(longest - 1) // self.block_tokens) > self.cache_blocks:
            i, o = lengths[place].tolist()
            raise InputError(
                f"a request of {i:,} + {o:,} tokens does not fit into the engine's KV cache of "
                f"{self.cache_tokens:,} tokens; leave such requests out, or have more GPUs share it"
            )
        if not self.chunked_prefill and longest > self.token_budget:
            raise InputError(
                f"a request of {longest:,} tokens does not fit into a step of "
                f"{self.token_budget:,}, and the engine does not feed prompts in chunks; use "
                "--method binned"
            )

    def fewest_steps(self, lengths: LengthArray) -> float:
        """No step reads more tokens than the cache holds, or decodes for more than may run."""
        counts = StepCounts.of_lengths(lengths)
        return max(counts.context / self.cache_tokens, counts.outputs / self.most_requests)

    def schedule(
        self,
        lengths: LengthArray,
        progress: Progress | None = None,
        cached: TokenArray | None = None,
    ) -> Steps:
        """Serve requests that are all there from the start, in their order.

        Args:
            lengths: (i, o) per request [tokens], 1 or more each, shape (n, 2).
            progress: Told what share of the requests has ended.
            cached: Tokens of each prompt that are read from a cache of prefixes, shape (n,).

        Returns:
            What every step feeds.

        Raises:
            InputError: A request does not fit into the cache even alone.
        """
        self.require_fits(lengths)
        parts: list[FloatArray] = []
        at_once = np.zeros(len(lengths))
        served = serve_replica(
            self.rules_for(lengths),
            self.cache_blocks,
            self.times,
            at_once,
            lengths,
            parts.append,
            cached=cached,
            progress=progress,
        )
        if served.stuck is not None:
            raise self.never_served(served.stuck, lengths)
        return self.steps_of(np.concatenate(parts), len(lengths))

    def rules_for(self, lengths: StoredLengths) -> Rules:
        """The settings as the simulation takes them, for requests of these lengths."""
        # The oldest request that has not ended is never preempted once what has ended is released,
        # and each step feeds it a token or more.
        longest = int(lengths.sum(axis=1).max(initial=0))
        return Rules(
            token_budget=self.token_budget,
            most_requests=self.most_requests,
            block_tokens=self.block_tokens,
            is_chunked=self.chunked_prefill,
            lag=self.steps_to_release,
            longest_wait=longest + self.steps_to_release + 1,
        )

    def steps_of(self, rows: FloatArray, requests: int) -> Steps:
        """Rows of a simulation, as `in_time.state` has them, step by step."""
        count = rows[:, STEPS].astype(np.int64)
        decoding, fed, pairs, sampled, context, *reads = (
            np.repeat(rows[:, column], count)
            for column in (DECODE, PROMPT, PAIRS, SAMPLED, CONTEXT, READ_BY, READ, READ_PAIRS)
        )
        place = np.arange(len(decoding)) - np.repeat(np.cumsum(count) - count, count)
        context += decoding * (place - np.repeat((rows[:, STEPS] - 1) / 2, count))
        return Steps(
            decoding,
            fed,
            context,
            pairs,
            sampled,
            is_launched=decoding + fed > self.graph_tokens,
            requests=requests,
            **self._computed(decoding + fed),
            seconds=None if self.times is None else np.repeat(rows[:, SECONDS] / count, count),
            prefixes=PrefixReads.of(*reads),
        )

    def rows_as_steps(self, rows: FloatArray, requests: int) -> Steps:
        """The same with equal steps in a row of their own."""
        decoding, fed = rows[:, DECODE], rows[:, PROMPT]
        return Steps(
            decoding,
            fed,
            context=rows[:, CONTEXT],
            pairs=rows[:, PAIRS],
            sampled=rows[:, SAMPLED],
            is_launched=decoding + fed > self.graph_tokens,
            requests=requests,
            **self._computed(decoding + fed),
            repeats=rows[:, STEPS],
            seconds=rows[:, SECONDS] / rows[:, STEPS],
            prefixes=PrefixReads.of(rows[:, READ_BY], rows[:, READ], rows[:, READ_PAIRS]),
        )

    def _computed(self, tokens: FloatArray) -> dict[str, FloatArray | None]:
        """The padding of steps that feed so many tokens, and the weights that both have read."""
        padding, mixture = graph_padding(tokens, self.graph_tokens), self.mixture
        share_read = None if mixture is None else mixture.share_read(tokens + padding)
        return {"padding": padding, "share_read": share_read}

    def never_served(self, request: int, lengths: StoredLengths) -> InputError:
        """What to say of rules under which some request makes no progress."""
        tokens = int(lengths[request].sum())
        return InputError(
            f"request {request + 1} of {len(lengths)}, of {tokens} tokens with its output, is "
            f"never served from a KV cache of {self.cache_tokens} tokens under the engine's rules "
            "of admission; leave such requests out, or use --method binned"
        )

    def schedule_batch(self, input_tokens: int, output_tokens: int, batch_size: int) -> Steps:
        """The same for equal requests."""
        return self.schedule(np.tile([input_tokens, output_tokens], (batch_size, 1)))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value
