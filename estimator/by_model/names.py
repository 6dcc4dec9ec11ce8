"""Which model each name in a log is of, and what there is to say of those that are of none."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joulecast.estimator.estimate import Estimate
from joulecast.measurements.models import known_model
from joulecast.traces.workload import Workload


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


def names_by_model(
    groups: Mapping[str, Workload], models: Mapping[str, str]
) -> dict[str, list[str]]:
    """Model -> its names in the log, of those that are known and have requests."""
    names: dict[str, list[str]] = {}
    for name, group in groups.items():
        model = models.get(name) or known_model(name)
        if group.total.requests and model is not None:
            names.setdefault(model, []).append(name)
    return names


def without_model(
    groups: Mapping[str, Workload], names: Mapping[str, Sequence[str]]
) -> tuple[list[NotEstimated], list[str]]:
    """What is of no known model, or has no requests; and the names that are not known."""
    others, unknown = [], []
    with_model = {name for called in names.values() for name in called}
    for name in groups:
        if name in with_model:
            continue
        reason = "none of its requests has an output"
        if groups[name].total.requests:
            unknown.append(name)
            reason = "no such model is known; say with --models FILE what it is"
        others.append(not_estimated_of([name], groups, reason))
    return others, unknown


def not_estimated_of(
    names: Sequence[str], groups: Mapping[str, Workload], reason: str
) -> NotEstimated:
    """What some names of the log have, of which no estimate is made."""
    totals = [groups[name].total for name in names]
    return NotEstimated(
        tuple(names),
        sum(total.requests for total in totals),
        sum(total.input_tokens for total in totals),
        sum(total.output_tokens for total in totals),
        reason,
    )


def notes_of(
    estimates: Mapping[str, Estimate],
    how: Mapping[str, Any],
    unknown: Sequence[str],
    missing: Sequence[str],
) -> Iterator[str]:
    """What a reader must know of names, and of GPUs that were chosen."""
    shared = {model: each.basis.gpus for model, each in estimates.items() if each.basis is not None}
    if how.get("gpus") is None and any(gpus > 1 for gpus in shared.values()):
        counts = ", ".join(f"{model} {gpus}" for model, gpus in shared.items())
        yield (
            f"Each model has the fewest GPUs, 1, 2, 4 or 8, that hold it: {counts}; "
            "--gpus N gives every model N."
        )
    if unknown:
        example = json.dumps({unknown[0]: "llama-3.1-8b"})
        yield (
            "For a model that is not known, --models FILE says what it is: a JSON object of names "
            f"in the log and known models or config.json files, such as {example}."
        )
    for name in missing:
        yield f'--models: "{name}" is no name of a model in the log.'


def condition_of(column: str, names: Sequence[str], where: str | None) -> str:
    """The condition that a row is of a model by one of its names, beside others."""
    quoted = ['"{}"'.format(text.replace('"', '""')) for text in (column, *names)]
    own = f"{quoted[0]} in ({', '.join(quoted[1:])})"
    return own if where is None else f"{where} and {own}"
