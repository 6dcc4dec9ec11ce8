"""Requests that can be served at all: a model has so many positions, and a cache so much room."""

from dataclasses import replace

from joulecast.estimator.steps.work import LengthArray
from joulecast.measurements.models import load_shape
from joulecast.traces.workload import Workload


def within_positions(
    workload: Workload, lengths: LengthArray | None, config: str
) -> tuple[Workload, LengthArray | None]:
    """The requests of a workload that a model has positions for.

    Args:
        workload: Requests.
        lengths: As for `no_longer_than`.
        config: What `load_shape` takes for the model.
    """
    return no_longer_than(workload, lengths, load_shape(config).positions)


def no_longer_than(
    workload: Workload, lengths: LengthArray | None, longest: int | None
) -> tuple[Workload, LengthArray | None]:
    """The requests of a workload of at most so many tokens.

    Args:
        workload: Requests.
        lengths: Theirs, one by one, shape (n, 2) [tokens]; None if cells alone are known. A cell
            then counts as too long where its requests are in the mean.
        longest: Input and output together [tokens]; None for any length.
    """
    if longest is None:
        return workload, lengths
    if lengths is None:
        cells = {
            place: sums
            for place, sums in workload.cells.items()
            if sums.input_tokens + sums.output_tokens <= longest * sums.requests
        }
        return replace(workload, cells=cells), None
    fits = lengths.sum(axis=1) <= longest
    if fits.all():
        return workload, lengths
    kept = lengths[fits]
    return replace(workload, cells=Workload.of_lengths(workload.grid, kept).cells), kept
