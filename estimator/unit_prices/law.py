"""What steps of a deployment cost by prices per unit of physical work."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.attribution.division import Division, prompt_share
from joulecast.estimator.ideal import Roofline
from joulecast.estimator.steps.intervals import card_spread
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.work import StepCounts, Steps
from joulecast.estimator.unit_prices.carry import CarriedPrices
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.prices import Spent
from joulecast.estimator.unit_prices.work import TERMS, StepWork, pieces
from joulecast.measurements.arrays import FloatArray

_FREEDOM = 20
"""Of the errors of models that were left out: some ten models, two kinds of replay each."""

UNMEASURED_FORMAT_SD = 0.15
"""Of 4-bit weights, and of mixtures in 8 bits, which nobody here measured."""

SHARED_SD = 0.015
"""Where two GPUs share a model that was not measured so: rms of six replays on two H100s, each
forecast without anything of its model (docs/prices.md); twice as much with every doubling."""

_BYTES = {"weight_bytes", "cache_bytes"}

_SHARED = {"weight_bytes", "experts_read", "link_calls"}
"""What a step takes for all that it feeds together."""

_CACHE = {"cache_bytes", "wide_cache_bytes"}
_SAMPLING = {"outputs", "head_flops"}
_PROMPTS = {"attention_flops"}


@dataclass(frozen=True)
class UnitLaw:
    """Prices of a GPU, for one deployment.

    Attributes:
        carried: Prices, and what is not known of them.
        deployment: What serves.
        roofline: Least energy of its steps.
        model_sd: Relative sd of the errors of models that were left out of the prices.
        is_own: Whether the deployment is one of those that the prices are fitted to.
    """

    carried: CarriedPrices
    deployment: Deployment
    roofline: Roofline
    model_sd: float
    is_own: bool

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what the interval rests on."""
        return _FREEDOM

    @property
    def idle_power_w(self) -> float:
        """Power of all GPUs of a server that waits [W]."""
        return self.deployment.gpus * self.carried.prices.idle_power_w

    @property
    def idle_sd_w(self) -> float:
        """Sd of that [W]: cards of a kind that was metered average out, a kind does not."""
        gpus = self.deployment.gpus
        cards = gpus if self.carried.from_gpu else math.sqrt(gpus)
        return cards * self.carried.prices.idle_sd_w

    @property
    def cards(self) -> float:
        """Cards that the prices are of: so many that they are those of the kind."""
        return math.inf

    def gauge(self, steps: Steps) -> FloatArray:
        """Time, time on a slow host, and work; shape (15,)."""
        return self.carried.prices.spent(steps, self.deployment).array()

    def spending(self, service: Service) -> Spending:
        """What the work costs, and idle power all the time."""
        spent, gpus = Spent.of_array(service.gauged), self.deployment.gpus
        prices = self.carried.prices
        energy_j = prices.energy_of(spent, gpus)
        seconds = max(spent.seconds, energy_j / (gpus * self.deployment.power_limit_w))
        waited_w = gpus * prices.idle_power_w
        return Spending(
            energy_j=energy_j,
            seconds=seconds,
            parts_j=prices.parts_j(spent, gpus),
            least_parts_j=self._least_parts_j(spent),
            host_sd=waited_w * (spent.slow_seconds - spent.seconds) / 2 / energy_j,
        )

    def _least_parts_j(self, spent: Spent) -> Mapping[str, float]:
        """What each kind of work would take at the chip's peaks, and rated power [J]."""
        gpu, dtype = self.deployment.gpu, self.deployment.dtype
        least = dict.fromkeys([*TERMS, "idle"], 0.0)
        for term, amount in zip(TERMS, spent.work.tolist(), strict=True):
            if term in _BYTES:
                least[term] = gpu.tdp_w * amount / gpu.memory_bytes_per_s
            elif term == "quantized_flops" and amount:
                least[term] = gpu.tdp_w * amount / gpu.peak("float8")
            elif term.endswith("_flops"):
                least[term] = gpu.tdp_w * amount / gpu.peak(dtype)
        return least

    def relative_sds(
        self,
        service: Service,
        spending: Spending,
        cells: float,  # noqa: ARG002 - errors of models were found on mixed requests
        servers: int = 1,
    ) -> dict[str, float]:
        """What makes a metered run differ: cause -> relative sd."""
        spent, energy_j = Spent.of_array(service.gauged), spending.energy_j
        prices, gpus = self.carried.prices, self.deployment.gpus
        common = 1 / (1 + self.carried.idle_cards)  # as in an estimate over time
        idle_sd = self.idle_sd_w * spent.seconds / energy_j
        idle_sd *= math.sqrt(common + (1 - common) / servers)
        load = energy_j / spending.seconds / (gpus * self.deployment.power_limit_w)
        of_cards = card_spread(self.deployment.gpu.name, load, gpus * servers)
        sds = {
            "coefficients": prices.work_sd_j(spent.work) / energy_j,
            "shape" if self.is_own else "model": self.model_sd,
            "card": math.hypot(of_cards, idle_sd),
        }
        if self.carried.has_spread:
            sds["gpu"] = self.carried.relative_sd(spent, energy_j)
        quantization, is_mixture = self.deployment.quantization, self.deployment.shape.is_mixture
        if quantization == "int4" or (quantization == "fp8" and is_mixture):
            sds["format"] = UNMEASURED_FORMAT_SD
        if gpus > 1:
            sds["shared"] = SHARED_SD * gpus / 2
        sds["host"] = spending.host_sd or 0.0
        return sds

    def drawn_j(self, service: Service) -> float:
        """Energy of one draw of the requests [J]."""
        spent = Spent.of_array(service.gauged)
        return self.carried.prices.energy_of(spent, self.deployment.gpus)

    def alone_j(self, counts: StepCounts) -> float:
        """Energy of requests but for what they share [J], to share the whole by."""
        ones = np.ones(1)
        steps = Steps(
            decoding=ones * (counts.outputs - counts.requests),
            prompt_tokens=ones * (counts.tokens - counts.outputs + counts.requests),
            context=ones * counts.context,
            pairs=ones * counts.pairs,
            sampled=ones * counts.outputs,
            is_launched=np.zeros(1, dtype=bool),
            requests=int(counts.requests),
        )
        deployment = self.deployment
        work = deployment.work_of(steps)
        amounts = dict(zip(TERMS, work.total.tolist(), strict=True))
        prices = dict(zip(TERMS, self.carried.prices.energy_j.tolist(), strict=True))
        return float(sum(prices[term] * amounts[term] for term in TERMS if term not in _SHARED))

    def own_j(self, requests: Steps) -> Division:
        """What each row takes for its tokens alone [J]."""
        return self.division(requests, self.deployment.work_of(requests), 0.0, _SHARED)

    def divided_j(self, steps: Steps) -> FloatArray:
        """What steps take for each of `PHASES`, idle power included [J], shape (3,)."""
        prices, deployment = self.carried.prices, self.deployment
        total_j = np.zeros(3)
        for piece in pieces(steps):
            work = deployment.work_of(piece)
            alone = piece.seconds
            seconds = prices.step_seconds(work, deployment) if alone is None else alone
            divided = self.division(piece, work, self.idle_power_w * seconds)
            total_j += divided.total(piece)
        return total_j

    def division(
        self,
        steps: Steps,
        work: StepWork,
        idle_j: FloatArray | float,
        without: Collection[str] = (),
        share: FloatArray | None = None,
    ) -> Division:
        """The parts of each row, without some kinds of work.

        Args:
            steps: The rows.
            work: Theirs.
            idle_j: Idle power as long as each lasts [J].
            without: The kinds of work that are left out.
            share: Of what each takes for all that it feeds, which is of prompts, shape (steps,);
                by tokens if not given.
        """
        cache_j = self._priced_j(work, _CACHE)
        decoding_j = cache_j
        if steps.prefixes is not None:
            decoding = self.deployment.work_of(replace(steps, prefixes=None))
            decoding_j = self._priced_j(decoding, _CACHE)
        apart = {*_CACHE, *_SAMPLING, *_PROMPTS, *without}
        by_tokens_j = self._priced_j(work, {*TERMS} - apart) + idle_j
        share = prompt_share(steps) if share is None else share
        return Division(
            input_j=share * by_tokens_j + self._priced_j(work, _PROMPTS),
            cached_j=cache_j - decoding_j,
            output_j=(1 - share) * by_tokens_j + decoding_j + self._priced_j(work, _SAMPLING),
        )

    def _priced_j(self, work: StepWork, terms: Collection[str]) -> FloatArray:
        """What some kinds of work take beside idle power [J], shape (steps,)."""
        is_one = np.array([term in terms for term in TERMS])
        return np.asarray(self.carried.prices.energy_j[is_one] @ work.amounts[is_one])
