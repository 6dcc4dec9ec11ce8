"""An estimate's answer in a sentence, and what energy it is of."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from joulecast.estimator.over_time.durations import duration
from joulecast.traces.inputs.equal import count_text
from joulecast.views.answers import Sentence, Shown
from joulecast.views.numbers import energy_ends, joules, kwh

if TYPE_CHECKING:
    from joulecast.estimator.by_model import ModelEstimates
    from joulecast.estimator.estimate import Estimate

DIGITS = 3
"""A sentence shows no more of a number than its interval lets one believe."""


def estimate_answer(estimate: "Estimate", trace: str) -> Sentence:
    """What it takes, of what energy, for which requests, by what.

    Args:
        estimate: The estimate.
        trace: What to call its requests.
    """
    return [
        "It takes about ",
        *energy_parts(estimate),
        " of GPU energy to serve ",
        *_requests_parts(estimate),
        f" of {_without_count(trace, estimate)} with {deployment_text(estimate)}",
        f"{_pace_text(estimate)}.",
    ]


def energy_parts(estimate: "Estimate | ModelEstimates", at: str = "") -> Iterator[str | Shown]:
    """An energy in joules and in kilowatt hours, with its interval or why it has none.

    Args:
        estimate: Whose energy.
        at: Where the estimate is in the document, such as "tables.0.".
    """
    yield Shown(f"{at}energy_j", joules(estimate.energy_j, DIGITS))
    yield " ("
    yield Shown(f"{at}energy_kwh", kwh(estimate.energy_kwh, DIGITS))
    if estimate.interval_j is None:
        yield "; no interval, which the binned method cannot tell)"
        return
    low, high = energy_ends(*estimate.interval_j, DIGITS)
    yield "; 95 %: "
    yield Shown(f"{at}interval_j.0", low)
    yield " to "
    yield Shown(f"{at}interval_j.1", high)
    yield ")"


def _without_count(trace: str, estimate: "Estimate") -> str:
    """A trace's name, which begins with its count where its requests are all alike."""
    return trace.removeprefix(f"{count_text(estimate.requests['total'])} of ")


def _requests_parts(estimate: "Estimate") -> Iterator[str | Shown]:
    few, many = estimate.requests["estimated"], estimate.requests["total"]
    count = Shown("requests.estimated", f"{few:,}")
    if few < many:
        yield from (count, " of the ", Shown("requests.total", f"{many:,}"), " requests")
    else:
        yield from ("the ", count, " request" if few == 1 else " requests")


def deployment_text(estimate: "Estimate") -> str:
    """Model, GPUs and engine in a few words."""
    basis = estimate.basis
    if basis is None:
        return estimate.table
    gpus = basis.gpu if basis.gpus == 1 else f"{basis.gpus} x {basis.gpu}"
    return f"{basis.model} on {gpus} ({basis.engine}, {basis.dtype})"


def _pace_text(estimate: "Estimate") -> str:
    serving = estimate.serving
    if serving is None:
        return ", all at once"
    return f" over {duration(serving.arrivals_s)}" if serving.arrivals_s else ", online"


def scope_text(estimate: "Estimate") -> str:
    """Whose energy it is, from when to when, and what it leaves out."""
    when = (
        "while they serve the requests as one batch, no idle hours"
        if estimate.serving is None
        else "from the first arrival to the last token, idle power in between included"
    )
    left_out = "the rest of the servers and the building"
    facility = estimate.facility
    if facility is not None and (facility.server_overhead or facility.pue):
        return f"GPUs, {when}; {left_out} are told apart, as far as they were given"
    return f"GPUs, {when}; without {left_out}"
