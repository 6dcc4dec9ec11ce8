"""What a table's steps take besides the prices of their work, where memory is fast.

    E = prices x work + waiting + e_context x dear cached tokens - idle power x hidden time

Of the H200. A cached byte costs more while a step leaves power to spare than at the power limit,
where clock and voltage fall and reading takes no longer. So a step takes the dearer price, but no
more than the limit gives in the time that it lasts at full clock, and no less than the price at the
limit. And the price of a token, which prompts tell, holds idle power for the time that multiplying
takes; where weights are read meanwhile, that time is none of its own. docs/prices.md, "Below the
power limit, and at it", has what was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.ideal import Roofline
from joulecast.estimator.steps.host_pace import HostPace
from joulecast.estimator.steps.metered_batches import MeteredBatch
from joulecast.estimator.steps.prices import Prices, fit_prices
from joulecast.estimator.steps.work import TERMS, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.table import EnergyTable

DEAR_CACHE = {"h200-sxm": 1.3}
"""How many times as much a cached token costs at full clock as at the limit. By 46 windows of
equal requests of Llama-3.1-8B on one H200 (GPU-eeac62f6), which its table meets best by 1.25 to 1.4
of 1.1 to 1.6, but for a common factor; which of these, after a look at runs served online.
H100s show none, and other kinds were not looked at."""

_HELD = 0.98
"""Share of its limit that a card draws in the mean when that decides: the median of batches."""

_OF_BANDWIDTH, _OF_PEAK = 0.9, 0.63
"""Shares that reading and multiplying reach, as in the H200's price list and windows."""

_ROUNDS = 24
_TOKENS, _CONTEXT = TERMS.index("tokens"), TERMS.index("context")


@dataclass(frozen=True)
class FullClock:
    """How long steps last at full clock, and what that adds to a table's prices.

    Attributes:
        roofline: Of the table's model on its GPU.
        dear_cache: What a cached token costs at full clock, over its price at the limit.
        limit_w: Power limit [W].
        idle_power_w: Loaded and waiting [W].
        host: Pace of the table's host; None if all its steps are recorded graphs.
        step_s: What a recorded step takes besides reading and multiplying [s].
        output_s: What a token sampled adds [s].
    """

    roofline: Roofline
    dear_cache: float
    limit_w: float
    idle_power_w: float
    host: HostPace | None
    step_s: float = 0.0
    output_s: float = 0.0

    @classmethod
    def of(
        cls,
        table: EnergyTable,
        batches: Sequence[MeteredBatch],
        host: HostPace | None,
        idle_power_w: float,
    ) -> "FullClock | None":
        """Of a table of one GPU under vLLM that says its idle power; None for any other.

        Args:
            table: The table.
            batches: Of it.
            host: Pace of its host.
            idle_power_w: Of a mean card [W]; 0 if it is not known.
        """
        dear_cache = DEAR_CACHE.get(table.gpu.name)
        if dear_cache is None or table.gpu_count > 1 or table.engine != "vllm" or not idle_power_w:
            return None
        limit_w = float(table.metadata["power_limit_w"])
        clock = cls(Roofline.of(table), dear_cache, limit_w, idle_power_w, host)
        return clock._timed_by(batches)

    def _timed_by(self, batches: Sequence[MeteredBatch]) -> "FullClock":
        """With what recorded steps take besides, non-negative, least squares of relative errors."""
        from scipy.optimize import nnls

        rows, rest = [], []
        for batch in batches:
            steps = batch.steps
            if steps.is_launched[steps.decoding > 0].any():
                continue  # their time is the host's
            recorded = (~steps.is_launched).astype(float)
            counts = np.array([steps.total(recorded), steps.total(recorded * steps.sampled)])
            told_s = steps.total(self._seconds_and_hidden(steps)[0])
            rows.append(counts / batch.seconds)
            rest.append(1 - told_s / batch.seconds)
        if not rows:
            return self
        (step_s, output_s), _ = nnls(np.array(rows), np.array(rest))
        return replace(self, step_s=float(step_s), output_s=float(output_s))

    def _seconds_and_hidden(self, steps: Steps) -> tuple[FloatArray, FloatArray]:
        """How long steps last at full clock, and how long they multiply behind reading weights [s].

        Those launched kernel by kernel last as long as the table's did, on its host.
        """
        line, gpu, flops = self.roofline, self.roofline.gpu, self.roofline.flops
        bandwidth, peak = _OF_BANDWIDTH * gpu.memory_bytes_per_s, _OF_PEAK * line.peak
        tokens = steps.tokens_computed
        weight_bytes = line.shape.weight_bytes_read(tokens, line.dtype, line.quantization)
        reading = weight_bytes / bandwidth
        products = (flops.per_token * tokens + flops.per_pass * steps.sampled) / peak
        cache_bytes = line.shape.kv_bytes_per_token(line.dtype) * steps.tokens_read
        seconds = (
            np.maximum(reading, products)
            + cache_bytes / bandwidth
            + 2 * flops.per_pair * steps.pairs / peak
            + self.step_s
            + self.output_s * steps.sampled
        )
        if self.host is not None:
            on_host = self._priced(steps, self.host.gpu_seconds)
            launched = np.maximum(self.host.launch_seconds, on_host)
            seconds = np.where(steps.is_launched, launched, seconds)
        return seconds, np.minimum(reading, products)

    @staticmethod
    def _priced(steps: Steps, prices: FloatArray) -> FloatArray:
        """What the work of each step takes, shape (steps,); prices in the order of `TERMS`."""
        step, token, context, pair, output, _ = prices.tolist()
        return np.asarray(
            step * steps.weights_read
            + token * steps.tokens_computed
            + context * steps.tokens_read
            + pair * steps.pairs
            + output * steps.sampled
        )

    def besides_j(self, steps: Steps, prices: Prices) -> FloatArray:
        """What each step takes besides the prices of its work [J], shape (2, steps).

        That its cached tokens are dear; and, below 0, idle power while products are hidden.
        """
        return self._besides_j(steps, prices, *self._seconds_and_hidden(steps))

    def _besides_j(
        self, steps: Steps, prices: Prices, seconds: FloatArray, hidden: FloatArray
    ) -> FloatArray:
        """The same of steps that last so long, and multiply so long behind reading [s]."""
        hidden_most_j = prices.energy_j[_TOKENS] * steps.tokens_computed
        hidden_j = -np.minimum(self.idle_power_w * hidden, hidden_most_j)
        priced_j = self._priced(steps, prices.energy_j) + hidden_j
        dear_j = (self.dear_cache - 1) * prices.energy_j[_CONTEXT] * steps.context
        left_j = _HELD * self.limit_w * seconds - priced_j
        return np.array([np.clip(left_j, 0.0, dear_j), hidden_j])

    def total_besides_j(self, steps: Steps, prices: Prices) -> FloatArray:
        """The sums over all steps [J], shape (2,)."""
        return np.array([steps.total(each) for each in self.besides_j(steps, prices)])

    def fit(self, batches: Sequence[MeteredBatch]) -> tuple[Sequence[MeteredBatch], Prices]:
        """Prices of the work, each batch with what none of them is of; the two find each other."""
        priced, prices = batches, fit_prices(batches)
        besides_j = np.zeros(len(batches))
        timed = [(batch.steps, *self._seconds_and_hidden(batch.steps)) for batch in batches]
        for _ in range(_ROUNDS):
            told_j = [
                sum(map(steps.total, self._besides_j(steps, prices, seconds, hidden)))
                for steps, seconds, hidden in timed
            ]
            besides_j = (besides_j + np.array(told_j)) / 2
            priced = [
                replace(batch, waiting_j=batch.waiting_j + float(more_j))
                for batch, more_j in zip(batches, besides_j, strict=True)
            ]
            prices = fit_prices(priced)
        return priced, prices
