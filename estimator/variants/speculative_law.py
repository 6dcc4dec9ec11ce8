"""What rounds of speculation cost by prices per unit of physical work.

    t = max(t_model + t_draft on the GPU, t_host)
    E = P_idle t + work of both models x prices

vLLM 0.22 runs a draft model with asynchronous scheduling off and launches its passes piece by
piece, so that small batches wait for the host: t_host is what windows on one host took, and the
interval carries how far hosts lie apart.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from joulecast.estimator.attribution.division import Division
from joulecast.estimator.ideal import Roofline
from joulecast.estimator.steps.continuous_batching import GRAPH_TOKENS
from joulecast.estimator.steps.host_pace import HOST_SPREAD
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.law import UnitLaw
from joulecast.estimator.unit_prices.prices import Spent
from joulecast.estimator.unit_prices.work import TERMS, StepWork, pieces
from joulecast.estimator.variants.speculation import Passes
from joulecast.measurements.arrays import FloatArray

WORK_SD = 0.05
"""Relative sd of what speculating takes beside idle power: fourteen windows came out 2 to 8 % too
low, but for one; chosen after a look at them (docs/decoding.md)."""


@dataclass(frozen=True)
class RoundHost:
    """What the host needs for a round.

    Attributes:
        seconds: Of a round whose steps are all recorded graphs [s].
        log_sd: Sd of the logarithm of that, from host to host and from window to window.
    """

    seconds: float
    log_sd: float

    @classmethod
    def of(cls, lookahead: int) -> "RoundHost":
        """With K tokens proposed: by the passes, K + 1 of them.

        Only one K was measured: how far the time goes by passes at all is not known, so the
        spread reaches to where it does not.
        """
        told = measured_rounds()
        passes = (lookahead + 1) / (told["lookahead"] + 1)
        spreads = HOST_SPREAD, told["round_log_sd"], math.log(passes)
        return cls(told["round_seconds"] * passes, math.hypot(*spreads))

    @property
    def slow_seconds(self) -> float:
        """On a host that is slower than usual by two standard deviations [s]."""
        return self.seconds * math.exp(2 * self.log_sd)


@cache
def measured_rounds() -> Mapping[str, Any]:
    """What windows of speculation tell; see `source` there."""
    text = (files("joulecast.estimator.variants") / "speculation.json").read_text(encoding="utf-8")
    told: Mapping[str, Any] = json.loads(text)
    return told


@dataclass(frozen=True)
class SpeculativeRoofline(Roofline):
    """Least energy of rounds: that of both models' passes.

    Attributes:
        draft: Of the draft's steps.
        lookahead: K.
    """

    draft: Roofline | None = None
    lookahead: int = 1

    def steps_energy(self, steps: Steps) -> float:
        """Least energy of rounds [J]."""
        passes = Passes.of(steps, self.lookahead, GRAPH_TOKENS)
        least_j = super().steps_energy(passes.verified)
        if self.draft is None:
            return least_j
        further_j = (self.lookahead - 1) * self.draft.steps_energy(passes.further)
        return least_j + self.draft.steps_energy(passes.first) + further_j


class _Fed(NamedTuple):
    """Passes of one model.

    Attributes:
        deployment: The model, as if it served alone.
        fed: What each pass feeds.
        work: What that takes.
        times: How often a round has such a pass.
    """

    deployment: Deployment
    fed: Steps
    work: StepWork
    times: int

    @classmethod
    def of(cls, deployment: Deployment, fed: Steps, times: int) -> "_Fed":
        """With the work; to launch graphs in pieces is in what a round takes the host."""
        work = deployment.work_of(fed)
        whole = np.zeros_like(work.is_pieced)
        return cls(deployment, fed, replace(work, is_pieced=whole), times)


@dataclass(frozen=True)
class SpeculativeLaw(UnitLaw):
    """Prices of a GPU, for a model and its draft.

    Attributes:
        draft: The draft, as if it served alone.
        lookahead: K.
        host: What the host needs for a round.
    """

    draft: Deployment
    lookahead: int
    host: RoundHost

    def gauge(self, steps: Steps) -> FloatArray:
        """Time, time on a slow host, and work of both models; shape (15,)."""
        total, seconds, slow = np.zeros(len(TERMS)), 0.0, 0.0
        for piece in pieces(steps):
            models = self._models(piece)
            each = 1.0 if piece.repeats is None else piece.repeats
            for model in models:
                total += model.times * (model.work.amounts * each).sum(axis=1)
            usual, on_slow_host = self._seconds(models)
            seconds += piece.total(usual)
            slow += piece.total(on_slow_host)
        return Spent(total, seconds, slow).array()

    def divided_j(self, steps: Steps) -> FloatArray:
        """What rounds take for each of `PHASES`, idle power included [J], shape (3,)."""
        total_j = np.zeros(3)
        for piece in pieces(steps):
            outputs = (1 + self.lookahead) * piece.decoding
            share = piece.prompt_tokens / np.maximum(1e-9, piece.prompt_tokens + outputs)
            models = self._models(piece)
            for model in models:
                law = UnitLaw(
                    self.carried, model.deployment, self.roofline, self.model_sd, self.is_own
                )
                divided = law.division(model.fed, model.work, 0.0, share=share)
                total_j += model.times * divided.total(piece)
            idle_j = self.idle_power_w * self._seconds(models)[0]
            total_j += Division(share * idle_j, 0 * idle_j, (1 - share) * idle_j).total(piece)
        return total_j

    def _models(self, rounds: Steps) -> tuple["_Fed", ...]:
        """What rounds feed either model."""
        passes = Passes.of(rounds, self.lookahead, GRAPH_TOKENS)
        return (
            _Fed.of(self.deployment, passes.verified, 1),
            _Fed.of(self.draft, passes.first, 1),
            _Fed.of(self.draft, passes.further, self.lookahead - 1),
        )

    def _seconds(self, models: Sequence["_Fed"]) -> tuple[FloatArray, FloatArray]:
        """How long rounds last, and on a slow host [s], shape (rounds,) each."""
        pace = self.carried.prices.pace
        on_gpu = sum(each.times * self._gpu_seconds(each.work, each.deployment) for each in models)
        launched = sum(
            each.times * pace.launch_seconds(each.work, is_eager=False) for each in models
        )
        on_slow_host = math.exp(2 * HOST_SPREAD) * launched + self.host.slow_seconds
        return (
            np.maximum(on_gpu, launched + self.host.seconds),
            np.maximum(on_gpu, on_slow_host),
        )

    def _gpu_seconds(self, work: StepWork, deployment: Deployment) -> FloatArray:
        """How long steps last that wait for no host [s], shape (steps,)."""
        recorded = replace(work, is_launched=np.zeros_like(work.is_launched))
        return self.carried.prices.step_seconds(recorded, deployment)

    def relative_sds(
        self, service: Service, spending: Spending, cells: float, servers: int = 1
    ) -> dict[str, float]:
        """What makes a metered run differ: cause -> relative sd."""
        sds = super().relative_sds(service, spending, cells, servers)
        work_j = self.carried.prices.work_j(Spent.of_array(service.gauged).work)
        host_sd = sds.pop("host")
        return {**sds, "speculation": WORK_SD * work_j / spending.energy_j, "host": host_sd}
