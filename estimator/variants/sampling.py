"""What drawing output tokens costs over taking the likeliest: a little time and energy a step.

    E = sum over steps of P_idle t(n) + w(n),  n tokens sampled in a step

t and w are what windows of vLLM 0.22 took over greedy ones in batches of 1 to 128: in between on a
line, beyond the last in proportion to n. Temperatures cost the same whatever they are: logits are
divided, and a token is drawn. Top-p masks the vocabulary first, up to seven rows by sorting each,
from eight on by a kernel that searches the bound; hence the step in t between 1 and 8.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from joulecast.estimator.attribution.division import Division
from joulecast.estimator.steps.in_time.state import StepTimes
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.work import StepCounts, Steps
from joulecast.estimator.stepwise import Law
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines.decoding import Decoding
from joulecast.measurements.hardware import load_gpu
from joulecast.traces.errors import InputError

_MEASURED = "sampling.json"
_ELSEWHERE_SD = 0.5
"""Relative sd of a cost on another GPU or with another vocabulary, of which no window tells."""


@dataclass(frozen=True)
class SamplingCost:
    """What a strategy takes over greedy decoding, a step.

    Attributes:
        strategy: Its name.
        sampled_tokens: Tokens sampled in a step, increasing from 0 [tokens].
        seconds: What such steps take longer [s].
        work_j: What they draw more beside idle power [J].
        relative_sd: Of the energy.
    """

    strategy: str
    sampled_tokens: Sequence[float]
    seconds: Sequence[float]
    work_j: Sequence[float]
    relative_sd: float

    @classmethod
    def of(cls, decoding: Decoding, deployment: Deployment) -> "SamplingCost":
        """What a strategy costs a deployment, carried from where it was measured.

        Time goes by what is read of the logits, so by vocabulary over bandwidth; what is drawn
        meanwhile by the rated power.

        Raises:
            InputError: It was not measured.
        """
        require_measured(decoding, deployment)
        measured = _measured()
        name = "top-p" if decoding.top_p < 1 else "temperature"
        points, source, gpu = measured[name], load_gpu(measured["gpu"]), deployment.gpu
        longer = deployment.shape.vocabulary / measured["vocabulary"]
        longer *= source.memory_bytes_per_s / gpu.memory_bytes_per_s
        is_same = gpu.name == source.name
        is_same = is_same and deployment.shape.vocabulary == measured["vocabulary"]
        return cls(
            strategy=decoding.text,
            sampled_tokens=(0.0, *points["sampled_tokens"]),
            seconds=(0.0, *(longer * value for value in points["seconds"])),
            work_j=(
                0.0,
                *(longer * gpu.tdp_w / source.tdp_w * value for value in points["work_j"]),
            ),
            relative_sd=math.hypot(points["relative_sd"], 0.0 if is_same else _ELSEWHERE_SD),
        )

    def step_seconds(self, sampled: FloatArray) -> FloatArray:
        """How much longer steps take that sample so many tokens [s], shape (steps,)."""
        return self._at(sampled, self.seconds)

    def step_work_j(self, sampled: FloatArray) -> FloatArray:
        """What they draw more beside idle power [J], shape (steps,)."""
        return self._at(sampled, self.work_j)

    def _at(self, sampled: FloatArray, values: Sequence[float]) -> FloatArray:
        beyond = np.maximum(1.0, sampled / self.sampled_tokens[-1])
        return np.asarray(beyond * np.interp(sampled, self.sampled_tokens, values))

    def fed_seconds(self, tokens: FloatArray) -> FloatArray:
        """The same for steps of which it is known alone what they feed [s], shape (steps,).

        All tokens of a step are taken to be sampled, no more than were measured: a larger one feeds
        a prompt, most of whose tokens are not.
        """
        return self.step_seconds(np.minimum(tokens, self.sampled_tokens[-1]))

    def lengthened(self, times: StepTimes) -> StepTimes:
        """How long steps last with it, for a simulation in time."""
        other: Any = np.asarray(times.other, dtype=float)
        return times._replace(other=other + self.fed_seconds(np.arange(float(len(other)))))


def require_measured(decoding: Decoding, deployment: Deployment) -> None:
    """Refuse a strategy that nobody measured.

    Raises:
        InputError: It was not; what it would take is said.
    """
    if decoding.is_beam_search:
        raise InputError(
            f"--decoding {decoding.text}: no trace is served with beams: they were measured in "
            "batches of one length, where vLLM searches in a loop of its own (joulecast paper "
            "decoding has what it takes); leave --decoding out"
        )
    if deployment.engine != "vllm":
        raise InputError(
            f"--decoding {decoding.text}: was measured with vllm alone; for {deployment.engine} it "
            f"takes windows of joulecast measure --plan decoding --engine {deployment.engine}"
        )


@cache
def _measured() -> Mapping[str, Any]:
    """What windows tell; see `source` there."""
    text = (files("joulecast.estimator.variants") / _MEASURED).read_text(encoding="utf-8")
    measured: Mapping[str, Any] = json.loads(text)
    return measured


@dataclass(frozen=True)
class SampledLaw:
    """A law of greedy steps, and what drawing their tokens takes besides.

    Attributes:
        law: Of greedy steps.
        cost: Of drawing.
    """

    law: Law
    cost: SamplingCost

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what the interval rests on."""
        return self.law.freedom

    @property
    def idle_power_w(self) -> float:
        """Power of all GPUs of a server that waits [W]."""
        return self.law.idle_power_w

    @property
    def idle_sd_w(self) -> float:
        """Sd of that, from card to card [W]."""
        return self.law.idle_sd_w

    @property
    def cards(self) -> float:
        """Cards that its prices are of."""
        return self.law.cards

    def gauge(self, steps: Steps) -> FloatArray:
        """Energy [J] and time [s] of drawing, then what the law of greedy steps asks for."""
        seconds = steps.total(self.cost.step_seconds(steps.sampled))
        gauged = self.law.gauge(self._undrawn(steps))
        return np.concatenate([[self._drawing_j(steps), seconds], gauged])

    def divided_j(self, steps: Steps) -> FloatArray:
        """What steps take for each of `PHASES` [J], shape (3,): drawing is for outputs."""
        greedy_j = self.law.divided_j(self._undrawn(steps))
        return np.asarray(greedy_j + np.array([0.0, 0.0, self._drawing_j(steps)]))

    def own_j(self, requests: Steps) -> Division:
        """What each row takes for its tokens alone [J]: drawing is shared by those of a step."""
        return self.law.own_j(requests)

    def _drawing_j(self, steps: Steps) -> float:
        """What drawing takes, idle power included [J]."""
        seconds = steps.total(self.cost.step_seconds(steps.sampled))
        return steps.total(self.cost.step_work_j(steps.sampled)) + self.idle_power_w * seconds

    def _undrawn(self, steps: Steps) -> Steps:
        """The same as if tokens were not drawn."""
        if steps.seconds is None:
            return steps
        longer = self.cost.fed_seconds(steps.decoding + steps.prompt_tokens)  # as `lengthened`
        return replace(steps, seconds=np.maximum(0.0, steps.seconds - longer))

    def spending(self, service: Service) -> Spending:
        """What the steps cost, and drawing their tokens."""
        greedy = self.law.spending(_greedy(service))
        drawn_j, seconds = service.gauged[:2].tolist()
        energy_j = greedy.energy_j + drawn_j
        host_sd = greedy.host_sd
        return Spending(
            energy_j=energy_j,
            seconds=greedy.seconds + seconds,
            parts_j={**greedy.parts_j, "drawing": drawn_j},
            least_parts_j={**greedy.least_parts_j, "drawing": 0.0},
            host_sd=None if host_sd is None else host_sd * greedy.energy_j / energy_j,
        )

    def relative_sds(
        self, service: Service, spending: Spending, cells: float, servers: int = 1
    ) -> dict[str, float]:
        """What makes a metered run differ: cause -> relative sd."""
        greedy = _greedy(service)
        sds = self.law.relative_sds(greedy, self.law.spending(greedy), cells, servers)
        drawn_share = float(service.gauged[0]) / spending.energy_j
        sds = {cause: (1 - drawn_share) * sd for cause, sd in sds.items()}
        host_sd = sds.pop("host", None)
        sds["drawing"] = self.cost.relative_sd * drawn_share
        return sds if host_sd is None else {**sds, "host": host_sd}

    def drawn_j(self, service: Service) -> float:
        """Energy of one draw of the requests [J]."""
        return self.law.drawn_j(_greedy(service)) + float(service.gauged[0])

    def alone_j(self, counts: StepCounts) -> float:
        """Energy of requests but for what they share [J], to share the whole by."""
        return self.law.alone_j(counts)


def _greedy(service: Service) -> Service:
    """The same without what drawing takes."""
    return Service(service.counts, service.gauged[2:])
