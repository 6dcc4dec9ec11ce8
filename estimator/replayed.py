"""What a replay will take, before it is made: the step model's forecast of a window."""

import math
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.steps.batching import batched
from joulecast.estimator.steps.work import LengthArray
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.model import Served, deployment_like, served_by
from joulecast.measurements.batching import Batching
from joulecast.measurements.engines import EngineVariant
from joulecast.measurements.gpu.gates import MIN_WINDOW_S
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload


@dataclass(frozen=True)
class ReplayForecast:
    """A window of a replay.

    Attributes:
        requests: That are run.
        rounds: How often all of them are run, so that the window is long enough.
        seconds: How long it lasts [s].
        energy_j: What it takes [J].
        source: What the forecast stands on: a table, or a deployment in words.
    """

    requests: int
    rounds: int
    seconds: float
    energy_j: float
    source: str


def deployment_for(engine: str, model: str, gpu: str | None, variant: EngineVariant) -> Served:
    """The best that is known of what serves a replay.

    Args:
        engine: Its name.
        model: A shipped model, or where a config is.
        gpu: Short name of the GPU; the default one if not given.
        variant: How the engine serves, as `resolve_variant` has it.

    Raises:
        InputError: No such GPU, or nothing is known that a forecast could stand on.
    """
    deployment = deployment_like(None, model, gpu, engine, variant.gpus, variant.quantization)
    is_eager = engine == "vllm" and variant.compiled is False
    return served_by(
        replace(
            deployment,
            is_eager=is_eager,
            max_num_seqs=variant.max_num_seqs,
            max_num_batched_tokens=variant.max_num_batched_tokens,
        )
    )


def forecast_replay(served: Served, lengths: LengthArray, batching: Batching) -> ReplayForecast:
    """Forecast a window in which requests are served as a batching says.

    Args:
        served: What serves them.
        lengths: (i, o) per request in their order [tokens], shape (n, 2).
        batching: How they are handed over.

    Raises:
        InputError: The engine has no such batching, or a request does not fit.
    """
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    model = _step_model(served, workload)
    model = replace(model, scheduler=batched(model.scheduler, batching))
    estimate = model.estimate(workload, "", np.asarray(lengths, dtype=np.int64))
    seconds = estimate.seconds or 0.0
    rounds = max(1, math.ceil(MIN_WINDOW_S / seconds)) if seconds > 0 else 1
    return ReplayForecast(
        requests=len(lengths),
        rounds=rounds,
        seconds=rounds * seconds,
        energy_j=rounds * estimate.energy_j,
        source=served.name,
    )


def _step_model(served: Served, workload: Workload) -> StepModel:
    return StepModel.of(served) if isinstance(served, EnergyTable) else served.step_model(workload)
