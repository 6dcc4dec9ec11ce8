"""A log of several models, each served by itself: estimates, and what none could be made of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Price
from joulecast.estimator.forecast import estimate
from joulecast.estimator.keywords import EstimateKeywords, SingleKeywords
from joulecast.estimator.method import Method
from joulecast.measurements.models import model_names
from joulecast.traces.errors import InputError
from joulecast.traces.files import read_json
from joulecast.traces.frame import frame_of
from joulecast.traces.inputs.inputs import TraceInput, require_lasting, trace_name
from joulecast.traces.load import load_trace
from joulecast.traces.reading.options import ReadingKeywords
from joulecast.traces.reading.rows.reading import TraceReading
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

_TUNED = re.compile(r"[-_. ](instruct|chat|it|hf|base|turbo|latest|v\d+:\d+)\b.*$")
"""What follows the name of an architecture and says nothing of its shape."""


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


@dataclass(frozen=True)
class NotEstimated:
    """A model of the log of which no estimate is made.

    Attributes:
        names: As the log has them.
        requests: Its requests.
        input_tokens: Of these together [tokens].
        output_tokens: Likewise [tokens].
        reason: Why not.
    """

    names: tuple[str, ...]
    requests: int
    input_tokens: int
    output_tokens: int
    reason: str


@dataclass(frozen=True)
class ModelEstimates:
    """Estimates of the models of a log.

    Attributes:
        trace: What the user called the trace.
        reading: What was read of it.
        estimates: Model -> estimate of its requests, the largest first.
        names: Model -> its names in the log.
        not_estimated: The others.
    """

    trace: str
    reading: TraceReading | None
    estimates: Mapping[str, Estimate]
    names: Mapping[str, tuple[str, ...]]
    not_estimated: tuple[NotEstimated, ...]

    @property
    def energy_j(self) -> float:
        """Energy of all that are estimated [J]."""
        return sum(estimate.energy_j for estimate in self.estimates.values())

    @property
    def interval_j(self) -> tuple[float, float] | None:
        """Sums of the ends of their intervals [J], as if all erred alike; None if one has none."""
        intervals = [estimate.interval_j for estimate in self.estimates.values()]
        if None in intervals:
            return None
        low, high = zip(*(ends for ends in intervals if ends is not None), strict=True)
        return sum(low), sum(high)

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row per model that is estimated; see `Estimate.to_frame`.

        Raises:
            InputError: There is no pandas.
        """
        return frame_of(
            [
                {"model": model, "names": ", ".join(self.names[model]), **made.total_row()}
                for model, made in self.estimates.items()
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "trace": self.trace,
            "reading": None if self.reading is None else self.reading.to_dict(),
            "energy_j": self.energy_j,
            "interval_j": self.interval_j and list(self.interval_j),
            "models": [
                {"names": list(self.names[model]), **estimate.to_dict()}
                for model, estimate in self.estimates.items()
            ],
            "not_estimated": [
                {**vars(other), "names": list(other.names)} for other in self.not_estimated
            ],
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
        method: As in `estimate`.
        **how: How to read, as the attributes of `ReadingOptions` say, how the requests are served,
            as those of `ServingWish` do, and what else `estimate` takes, but for `model`, `table`
            and `host`.

    Returns:
        An estimate of each model, the largest first, their sum, and what could not be estimated.

    Raises:
        InputError: None of its models can be estimated, or as in `estimate`.
    """
    read, groups = _read(trace, how)
    column = read.columns["model"][0]
    names: dict[str, list[str]] = {}
    others = []
    for name, group in groups.items():
        model = (models or {}).get(name) or known_model(name)
        if group.total.requests and model is not None:
            names.setdefault(model, []).append(name)
        else:
            unknown = "no such model is known"
            reason = unknown if group.total.requests else "none of its requests has an output"
            others.append(_not_estimated([name], groups, reason))
    estimates: dict[str, Estimate] = {}
    for model, called in names.items():
        try:
            where = _only(column, called, how.get("where"))
            keywords: dict[str, Any] = {**how, "group_by": None, "where": where}
            estimates[model] = estimate(trace, None, method, model=model, **keywords)
        except InputError as error:
            others.append(_not_estimated(called, groups, str(error)[:120]))
    if not estimates:
        why = "; ".join(f"{', '.join(other.names)}: {other.reason}" for other in others[:3])
        raise InputError(
            f"{trace_name(trace)}: none of its models can be estimated ({why}); say with --models "
            "FILE what they are, or take one for all with --model"
        )
    ranked = sorted(estimates, key=lambda model: -estimates[model].energy_j)
    return ModelEstimates(
        trace_name(trace),
        read,
        {model: estimates[model] for model in ranked},
        {model: tuple(names[model]) for model in ranked},
        tuple(others),
    )


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


def _not_estimated(
    names: Sequence[str], groups: Mapping[str, Workload], reason: str
) -> NotEstimated:
    totals = [groups[name].total for name in names]
    return NotEstimated(
        tuple(names),
        sum(total.requests for total in totals),
        sum(total.input_tokens for total in totals),
        sum(total.output_tokens for total in totals),
        reason,
    )


def _only(column: str, names: Sequence[str], where: str | None) -> str:
    """The condition that a row is of a model by one of its names, beside others."""
    quoted = ['"{}"'.format(text.replace('"', '""')) for text in (column, *names)]
    own = f"{quoted[0]} in ({', '.join(quoted[1:])})"
    return own if where is None else f"{where} and {own}"


def known_model(name: str) -> str | None:
    """The shipped model that a name such as "meta-llama/Llama-3.1-8B-Instruct" stands for."""
    last = name.rsplit("/", 1)[-1].lower()
    for candidate in (last, _TUNED.sub("", last), re.sub(r"^meta-", "", _TUNED.sub("", last))):
        if candidate in model_names():
            return candidate
    return None


def read_models(path: Path) -> dict[str, str]:
    """The models that names in a log stand for: a JSON object of names.

    Raises:
        InputError: The file is none.
    """
    models = read_json(path, "write an object of names")
    if not isinstance(models, dict) or not all(isinstance(value, str) for value in models.values()):
        raise InputError(
            f'{path}: is not an object of names; write such as {{"my-model": "llama-3.1-8b"}}'
        )
    return models
