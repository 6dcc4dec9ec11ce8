"""Speculation in vLLM: how many rounds requests take, and what a round feeds either model.

A round verifies the K tokens that a draft proposed of each request, all at once, and has the draft
propose K more. Each proposed token is accepted with probability a, given those before it, so that a
round of a request gives (1 - a^(K+1)) / (1 - a) tokens on average (Leviathan et al. 2023, equation
1), and a batch lasts as long as its least lucky request.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.steps.work import LengthArray, Steps, joined
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines.decoding import Speculation
from joulecast.traces.requests import TokenArray

_SEED = 20_261_129
_FEWEST_DRAWN = 256
"""Fewer requests than these are served as often as makes so many, and the mean is taken: one
request alone would stand for its luck."""


def drawn_rounds(tokens: TokenArray, speculation: Speculation, draw: int = 0) -> TokenArray:
    """Rounds that requests take to get so many tokens, drawn at random.

    The same draw with a larger acceptance takes no more rounds of any request.

    Args:
        tokens: Of each request, all but the first, which its prompt gives; shape (n,).
        speculation: What is proposed and accepted.
        draw: Another one for other luck.

    Returns:
        Rounds, shape (n,).
    """
    most, acceptance = speculation.lookahead, speculation.acceptance
    order = np.argsort(-tokens, kind="stable")
    left = tokens[order].astype(np.int64)
    rounds = np.zeros(len(tokens), dtype=np.int64)
    upper = np.searchsorted(-left, -np.arange(1, int(tokens.max(initial=0)) + 1), side="right")
    generator = np.random.default_rng([_SEED, draw])
    for drawn in upper.tolist():  # no request takes more rounds than tokens
        luck = generator.random(drawn)
        is_left = left[:drawn] > 0
        if not is_left.any():
            break
        rounds[:drawn] += is_left
        left[:drawn] -= 1 + _accepted(luck, most, acceptance)
    unsorted = np.empty_like(rounds)
    unsorted[order] = rounds
    return unsorted


def _accepted(luck: FloatArray, most: int, acceptance: float) -> TokenArray:
    """How many of the proposed tokens are accepted: k or more with probability a^k."""
    bounds = acceptance ** np.arange(1, most + 1, dtype=float)
    return np.asarray((luck[:, None] < bounds).sum(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class SpeculativeBatching:
    """Continuous batching whose decode steps are rounds.

    Attributes:
        batching: The engine's own; its cache holds tokens of both models.
        speculation: What is proposed and accepted.
    """

    has_prefix_cache: ClassVar[bool] = True
    reconstruction_sd: ClassVar[float] = ContinuousBatching.reconstruction_sd

    batching: ContinuousBatching
    speculation: Speculation

    @property
    def longest_request(self) -> int:
        """Input and output of the longest request that the cache holds [tokens]."""
        return self.batching.longest_request

    def clip(self, lengths: LengthArray) -> LengthArray:
        """Requests that were drawn, none longer than the cache holds."""
        return self.batching.clip(lengths)

    def require_fits(self, lengths: LengthArray) -> None:
        """Refuse requests that the engine cannot serve even alone; raises as the engine's own."""
        self.batching.require_fits(lengths)

    def fewest_steps(self, lengths: LengthArray) -> float:
        """So many steps are needed at the least."""
        return self.batching.fewest_steps(lengths) / (1 + self.speculation.lookahead)

    def schedule_batch(self, input_tokens: int, output_tokens: int, batch_size: int) -> Steps:
        """Serve equal requests."""
        return self.schedule(np.tile([input_tokens, output_tokens], (batch_size, 1)))

    def schedule(
        self,
        lengths: LengthArray,
        progress: Progress | None = None,
        cached: TokenArray | None = None,
    ) -> Steps:
        """Serve requests that are all there from the start; each decode step is a round.

        Args:
            lengths: (i, o) per request [tokens], 1 or more each, shape (n, 2).
            progress: Told what share of the requests has ended.
            cached: Tokens of each prompt that are read from a cache of prefixes, shape (n,).

        Raises:
            InputError: A request does not fit into the cache even alone.
        """
        self.require_fits(lengths)
        draws = -(-_FEWEST_DRAWN // max(1, len(lengths)))
        drawn = [drawn_rounds(lengths[:, 1] - 1, self.speculation, draw) for draw in range(draws)]
        rounds, often = np.unique(np.array(drawn), axis=0, return_counts=True)
        parts = [
            self._served(
                lengths, each, part_of(progress, k / len(rounds), (k + 1) / len(rounds)), cached
            )
            for k, each in enumerate(rounds)
        ]
        return parts[0] if len(parts) == 1 else mean_of_runs(parts, often / draws)

    def _served(
        self,
        lengths: LengthArray,
        rounds: TokenArray,
        progress: Progress | None,
        cached: TokenArray | None,
    ) -> Steps:
        """Serve requests that take so many rounds.

        The engine's scheduler is given a token for each round, and a cache that is smaller in the
        proportion in which requests then are; what rounds read of it is made good afterwards.
        """
        inputs, tokens = lengths[:, 0], lengths[:, 1] - 1
        asked = np.stack([inputs, 1 + rounds], axis=1)
        blocks = self.batching.cache_blocks * asked.sum() / lengths.sum()
        longest = -(-int(asked.sum(axis=1).max()) // self.batching.block_tokens)
        batching = replace(self.batching, cache_blocks=max(longest, math.floor(blocks)), times=None)
        steps = batching.schedule(asked, progress, cached)
        several = np.maximum(rounds, 1)
        missing = ((tokens - rounds) / several * rounds * (rounds - 1) / 2).sum()
        read = steps.context.sum()
        return replace(steps, context=steps.context * (1 + missing / read if read else 1.0))


def mean_of_runs(runs: Sequence[Steps], shares: FloatArray) -> Steps:
    """Steps of several runs of the same requests.

    Args:
        runs: Each of single steps.
        shares: What each counts for, shape (runs,); 1 together.
    """
    repeats = np.repeat(shares, [len(run.decoding) for run in runs])
    return replace(joined(runs, runs[0].requests), repeats=repeats)


class Passes(NamedTuple):
    """What rounds have two models do.

    Attributes:
        verified: Of the model: each request's last token and the K proposed ones, beside prompts.
        first: Of the draft: the same tokens and the one that came of them, whether rejected or not.
        further: Of the draft, K - 1 times: a token of each request that got one.
    """

    verified: Steps
    first: Steps
    further: Steps

    @classmethod
    def of(cls, rounds: Steps, lookahead: int, graph_tokens: int) -> "Passes":
        """Of rounds as `SpeculativeBatching` makes them.

        Args:
            rounds: What they would feed without a draft.
            lookahead: K.
            graph_tokens: Most tokens of a step that is not launched kernel by kernel.
        """
        requests, proposed = rounds.decoding, lookahead * rounds.decoding
        verified = rounds.prompt_tokens + proposed
        first = verified + rounds.sampled
        nothing = np.zeros(len(requests))
        return cls(
            verified=replace(
                rounds,
                prompt_tokens=verified,
                sampled=rounds.sampled + proposed,
                is_launched=requests + verified > graph_tokens,
            ),
            first=replace(rounds, prompt_tokens=first, is_launched=requests + first > graph_tokens),
            further=replace(
                rounds,
                decoding=rounds.sampled,
                prompt_tokens=nothing,
                pairs=nothing,
                is_launched=rounds.sampled > graph_tokens,
                prefixes=None,
            ),
        )
