"""Requests that can be served at all: a model has so many positions, and a cache so much room."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from joulecast.estimator.steps.work import LengthArray
from joulecast.measurements.models import load_shape
from joulecast.traces.requests import TokenArray
from joulecast.traces.workload import Workload


class Served(NamedTuple):
    """Requests that can be served.

    Attributes:
        workload: Their sums.
        lengths: (i, o) of each, shape (n, 2) [tokens]; None if only sums are known.
        cached: Tokens of each prompt that are in a cache of prefixes, shape (n,) [tokens]; None if
            nothing is known of it, or without `lengths`.
    """

    workload: Workload
    lengths: LengthArray | None = None
    cached: TokenArray | None = None


def within_positions(
    workload: Workload,
    lengths: LengthArray | None,
    config: str,
    cached: TokenArray | None = None,
) -> Served:
    """The requests of a workload that a model has positions for.

    Args:
        workload: Requests.
        lengths: As for `no_longer_than`.
        config: What `load_shape` takes for the model.
        cached: As for `no_longer_than`.
    """
    return no_longer_than(workload, lengths, load_shape(config).positions, cached)


def no_longer_than(
    workload: Workload,
    lengths: LengthArray | None,
    longest: int | None,
    cached: TokenArray | None = None,
) -> Served:
    """The requests of a workload of at most so many tokens.

    Args:
        workload: Requests.
        lengths: Theirs, one by one, shape (n, 2) [tokens]; None if cells alone are known. A cell
            then counts as too long where its requests are in the mean.
        longest: Input and output together [tokens]; None for any length.
        cached: Tokens of each prompt that are in a cache of prefixes, beside `lengths`.
    """
    if longest is None:
        return Served(workload, lengths, cached)
    if lengths is None:
        short = [
            place
            for place, sums in workload.cells.items()
            if sums.input_tokens + sums.output_tokens <= longest * sums.requests
        ]
        return Served(workload.of_cells(short))
    fits = lengths.sum(axis=1) <= longest
    if fits.all():
        return Served(workload, lengths, cached)
    kept, cached = lengths[fits], None if cached is None else cached[fits]
    of_kept = Workload.of_lengths(workload.grid, kept, cached)
    return Served(replace(workload, cells=of_kept.cells, cached=of_kept.cached), kept, cached)


def request_counts(
    workload: Workload, served: Workload, estimated: int, in_memory: Workload | None = None
) -> dict[str, int]:
    """`Estimate.requests`.

    Args:
        workload: All requests.
        served: Those that the model has positions for.
        estimated: How many of these are estimated.
        in_memory: Those that the GPU's memory holds, too; None if all are.
    """
    in_memory = served if in_memory is None else in_memory
    total, failed = workload.total.requests, workload.failed.requests
    invalid = sum(workload.invalid.values())
    return {
        "total": total + failed + invalid,
        "estimated": estimated,
        "beyond_grid": in_memory.total.requests - estimated,
        "beyond_positions": total - served.total.requests,
        "beyond_memory": served.total.requests - in_memory.total.requests,
        "failed": failed,
        "invalid": invalid,
    }


def left_out_text(requests: Mapping[str, int], config: str) -> str:
    """What keeps the requests of a workload from being estimated, and what to do, in words.

    Args:
        requests: As `request_counts` has them.
        config: What `load_shape` takes for the model.
    """
    positions = load_shape(config).positions
    room = "" if positions is None else f" ({positions:,} tokens, input and output together)"
    reasons = {
        "beyond_grid": "beyond the table's grid",
        "beyond_positions": f"longer than the model has positions for{room}",
        "beyond_memory": "longer than the GPU's memory holds",
        "failed": "failed",
        "invalid": "invalid",
    }
    counts = [f"{requests[key]:,} {text}" for key, text in reasons.items() if requests[key]]
    advice = {
        "beyond_positions": "give a --model of more positions",
        "beyond_memory": "give more --gpus, or a --gpu of more memory",
    }
    what_to_do = [f"; {text}" for key, text in advice.items() if requests[key]]
    return (", ".join(counts) or "it has none") + "".join(what_to_do)
