"""A log of several models, each served by itself: estimates, and what none could be made of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from joulecast.estimator.by_model.names import (
    NotEstimated,
    condition_of,
    names_by_model,
    not_estimated_of,
    notes_of,
    without_model,
)
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility, Price
from joulecast.estimator.forecast import estimate
from joulecast.estimator.keywords import EstimateKeywords, SingleKeywords
from joulecast.estimator.method import Method
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.models import models_called
from joulecast.traces.errors import InputError
from joulecast.traces.frame import frame_of
from joulecast.traces.inputs.inputs import TraceInput, require_lasting, trace_name
from joulecast.traces.load import load_trace
from joulecast.traces.reading.options import ReadingKeywords
from joulecast.traces.reading.rows.reading import TraceReading
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import pandas as pd


class ModelsKeywords(SingleKeywords, total=False):
    """What `estimate_models` takes besides."""

    gpu: str | Path | None
    engine: str | None
    gpus: int | None
    dtype: str | None
    idle_watts: float | None
    decode_watts: float | None
    whole_batches: bool
    pue: float | None
    carbon: float | str | CarbonIntensity | None
    price: float | str | Price | None
    server_overhead: str | None


OWN_KEYWORDS = tuple(
    name for name in ModelsKeywords.__annotations__ if name not in EstimateKeywords.__annotations__
)
"""Those of `ModelsKeywords` that say neither how to read nor how to serve."""


_ENERGIES = "it_energy_j", "it_interval_j", "it_energy_kwh"
_ADDED_UP = {
    *_ENERGIES,
    *(key.replace("it_", "facility_", 1) for key in _ENERGIES),
    *("carbon_g", "carbon_interval_g", "cost", "cost_interval"),
}
"""What of a footprint is more for more models; the rest is the same for all."""


@dataclass(frozen=True)
class ModelEstimates:
    """Estimates of the models of a log.

    Attributes:
        trace: What the user called the trace.
        reading: What was read of it.
        estimates: Model -> estimate of its requests, the largest first.
        names: Model -> its names in the log.
        not_estimated: The others.
        notes: What a reader must know of names, and of GPUs that were chosen.
    """

    trace: str
    reading: TraceReading | None
    estimates: Mapping[str, Estimate]
    names: Mapping[str, tuple[str, ...]]
    not_estimated: tuple[NotEstimated, ...]
    notes: tuple[str, ...] = ()

    @property
    def energy_j(self) -> float:
        """Energy of all that are estimated [J]."""
        return sum(estimate.energy_j for estimate in self.estimates.values())

    @property
    def interval_j(self) -> tuple[float, float] | None:
        """Sums of the ends of their intervals [J], as if all erred alike; None if one has none."""
        ends = _sum_of([estimate.interval_j for estimate in self.estimates.values()])
        return None if ends is None else (ends[0], ends[1])

    @property
    def energy_kwh(self) -> float:
        """The energy [kWh]."""
        return self.energy_j / JOULES_PER_KWH

    @property
    def requests(self) -> Mapping[str, int]:
        """`Estimate.requests` of all, those of which no estimate is made among the total."""
        counts: Counter[str] = Counter()
        for made in self.estimates.values():
            counts.update(made.requests)
        others = sum(other.requests for other in self.not_estimated)
        return {**counts, "total": counts["total"] + others, "other_models": others}

    @property
    def facility(self) -> Facility | None:
        """Where the GPUs stand, the same place for all, each for as long as it is there."""
        return next(iter(self.estimates.values())).facility

    @property
    def footprint(self) -> dict[str, Any]:
        """`Estimate.footprint` of all: energies, carbon, cost and their intervals added up."""
        footprints = [estimate.footprint for estimate in self.estimates.values()]
        return {
            key: _sum_of([each[key] for each in footprints]) if key in _ADDED_UP else value
            for key, value in footprints[0].items()
        }

    @property
    def serving(self) -> dict[str, Any]:
        """How all are served, by "mode" (null where they differ), "work_j" and "idle_j" [J]."""
        servings = [estimate.serving for estimate in self.estimates.values()]
        online = [serving for serving in servings if serving is not None]
        if not online:
            return {"mode": "offline"}
        mode = "online" if len(online) == len(servings) else None
        work_j = sum(serving.work_j for serving in online)
        return {"mode": mode, "work_j": work_j, "idle_j": sum(each.idle_j for each in online)}

    def total_row(self) -> dict[str, Any]:
        """All together in a row, nothing of it nested."""
        low_j, high_j = self.interval_j or (None, None)
        return {
            "trace": self.trace,
            "requests": self.requests["estimated"],
            "requests_total": self.requests["total"],
            "energy_j": self.energy_j,
            "interval_low_j": low_j,
            "interval_high_j": high_j,
            "energy_kwh": self.energy_kwh,
            **{f"serving_{key}": value for key, value in self.serving.items()},
            **{key: v for key, v in self.footprint.items() if not isinstance(v, (list, dict))},
        }

    def to_frame(self, part: Literal["models", "total"] = "models") -> "pd.DataFrame":
        """A table of pandas; names of columns end in their units.

        Args:
            part: "models" for a row per model that is estimated (as `Estimate.to_frame("total")`,
                with what it is based on and how it is served), "total" for one row of all.

        Raises:
            InputError: It has no such part, or there is no pandas.
        """
        if part == "total":
            return frame_of([self.total_row()])
        if part != "models":
            raise InputError(f'part "{part}" is none of: models, total')
        return frame_of([self._model_row(model) for model in self.estimates])

    def _model_row(self, model: str) -> dict[str, Any]:
        """A model's estimate in a row."""
        made = self.estimates[model]
        serving = made.serving
        return {
            "model": model,
            "names": ", ".join(self.names[model]),
            **made.total_row(),
            "requests_total": made.requests["total"],
            "basis": None if made.basis is None else made.basis.kind,
            "serving_mode": "offline" if serving is None else "online",
            "serving_span_s": None if serving is None else serving.span_s,
            "serving_busy_share": None if serving is None else serving.busy_share,
            "serving_work_j": None if serving is None else serving.work_j,
            "serving_idle_j": None if serving is None else serving.idle_j,
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        interval_j = self.interval_j
        return {
            "trace": self.trace,
            "reading": None if self.reading is None else self.reading.to_dict(),
            "requests": dict(self.requests),
            "serving": self.serving,
            "energy_j": self.energy_j,
            "energy_kwh": self.energy_kwh,
            "interval_j": interval_j and list(interval_j),
            "interval_kwh": interval_j and [end_j / JOULES_PER_KWH for end_j in interval_j],
            **self.footprint,
            "models": [
                {"names": list(self.names[model]), **estimate.to_dict()}
                for model, estimate in self.estimates.items()
            ],
            "not_estimated": [
                {**vars(other), "names": list(other.names)} for other in self.not_estimated
            ],
            "notes": list(self.notes),
        }


def estimate_models(
    trace: TraceInput,
    models: Mapping[str, str] | None = None,
    method: Method = "stepwise",
    **how: Unpack[ModelsKeywords],
) -> ModelEstimates:
    """Estimate each model of a log by itself, on servers of its own.

    Args:
        trace: As in `load_workload`, but a log or a table with a column of models.
        models: Name in the log -> `model` of `estimate`, where names do not say it themselves.
            A name that the log lacks is told in the notes.
        method: As in `estimate`.
        **how: How to read, as the attributes of `ReadingOptions` say, how the requests are served,
            as those of `ServingWish` do, and what else `estimate` takes, but for `model`, `table`,
            `card` and `host`. Without `gpus`, each model is served by the fewest of `GPU_COUNTS`
            that hold it.

    Returns:
        An estimate of each model, the largest first, their sum, and what could not be estimated.

    Raises:
        InputError: None of its models can be estimated, `models` has one that there is not, or as
            in `estimate`.
    """
    if dict(how).get("card"):
        raise InputError(
            "card: each model of a log has servers of its own, which cannot all be that card; "
            "leave it out, or estimate one model"
        )
    models = models_called(models or {})
    read, groups = _read(trace, how)
    column = read.columns["model"][0]
    names = names_by_model(groups, models)
    others, unknown = without_model(groups, names)
    estimates: dict[str, Estimate] = {}
    for model, called in names.items():
        try:
            where = condition_of(column, called, how.get("where"))
            gpus = gpus_for(model, how)
            keywords: dict[str, Any] = {**how, "group_by": None, "where": where, "gpus": gpus}
            estimates[model] = estimate(trace, None, method, model=model, **keywords)
        except InputError as error:
            others.append(not_estimated_of(called, groups, str(error)))
    if not estimates:
        why = "; ".join(f"{', '.join(other.names)}: {other.reason}" for other in others[:3])
        raise InputError(
            f"{trace_name(trace)}: none of its models can be estimated ({why}); or take one "
            "model for all with --model"
        )
    ranked = sorted(estimates, key=lambda model: -estimates[model].energy_j)
    return ModelEstimates(
        trace_name(trace),
        read,
        {model: estimates[model] for model in ranked},
        {model: tuple(names[model]) for model in ranked},
        tuple(others),
        tuple(notes_of(estimates, how, unknown, [name for name in models if name not in groups])),
    )


def gpus_for(model: str, how: Mapping[str, Any]) -> int:
    """How many GPUs share a model: as many as `how` says, or the fewest that hold it.

    Raises:
        InputError: There is no such model, GPU, engine or number format.
    """
    if how.get("gpus") is not None:
        return int(how["gpus"])
    from joulecast.estimator.unit_prices.memory import fewest_gpus
    from joulecast.estimator.unit_prices.model import deployment_like

    gpu = how.get("gpu")
    asked = None if gpu is None else str(gpu), how.get("engine"), None, how.get("dtype")
    return fewest_gpus(deployment_like(None, model, *asked))


def conditions_by_model(
    trace: TraceInput, models: Mapping[str, str] | None = None, **how: Unpack[ReadingKeywords]
) -> dict[str, str]:
    """The conditions that pick one model of a log, as `where` takes them.

    Args:
        trace: As in `estimate_models`.
        models: Likewise.
        **how: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        Model -> the condition that a row is of it, the one of most requests first.

    Raises:
        InputError: As in `load_trace`.
    """
    read, groups = _read(trace, how)
    names = names_by_model(groups, models_called(models or {}))
    requests = {
        model: sum(groups[name].total.requests for name in called)
        for model, called in names.items()
    }
    return {
        model: condition_of(read.columns["model"][0], names[model], how.get("where"))
        for model in sorted(names, key=lambda model: -requests[model])
    }


def _sum_of(values: Sequence[Any]) -> Any:
    """The sum of numbers, or of ends of intervals end by end; None if one of them is None."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], (list, tuple)):
        return [sum(ends) for ends in zip(*values, strict=True)]
    return sum(values)


def _read(trace: TraceInput, how: Mapping[str, Any]) -> tuple[TraceReading, Mapping[str, Workload]]:
    """What is read of a log, and the workload of each name of a model there.

    Raises:
        InputError: Models are not told apart there, or it can be read only once.
    """
    require_lasting(trace)
    of_reading = ReadingKeywords.__annotations__.keys()
    reading = {name: value for name, value in how.items() if name in of_reading}
    loaded = load_trace(trace, **cast("ReadingKeywords", {**reading, "group_by": "model"}))
    if loaded.groups is None or loaded.reading is None:
        raise InputError(f"{trace_name(trace)}: is a workload, in which models are not told apart")
    return loaded.reading, loaded.groups
