"""How a trace is read and its requests are served, as `estimate` and `compare` take it."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from joulecast.estimator.method import Method, Mode, ServingKeywords, VariantKeywords
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.thinning import Thinning, chosen, thinned_workload
from joulecast.traces.reading.options import ReadingKeywords

if TYPE_CHECKING:
    from joulecast.estimator.online.wish import ServingWish
    from joulecast.traces.load import LoadedTrace

_MOST_AT_A_RATE = 5_000_000


class EstimateKeywords(ReadingKeywords, ServingKeywords):
    """How to read a trace, and how its requests are served."""


class SingleKeywords(EstimateKeywords, VariantKeywords):
    """The same of a single deployment, and how it serves besides."""


def without_variant(how: SingleKeywords) -> EstimateKeywords:
    """The same but for how the deployment serves besides."""
    variant = VariantKeywords.__annotations__
    return cast("EstimateKeywords", {k: value for k, value in how.items() if k not in variant})


def serving_wish(
    method: Method, serving: ServingKeywords, by_default: Mode | None = None
) -> "ServingWish | None":
    """How requests are to be served; None for the method binned.

    Args:
        method: Which.
        serving: What is asked for.
        by_default: The mode where nothing is asked for that is of one; None goes by the trace.

    Raises:
        InputError: Something is asked for that cannot be, or that this method does not take.
    """
    from joulecast.estimator.online.wish import ServingWish

    wish = ServingWish(**serving)
    if wish.serving is None and not wish.asks_for_online:
        wish = replace(wish, serving=by_default)
    if method != "binned":
        return wish
    if replace(wish, share=1.0) not in (ServingWish(), ServingWish(serving="offline")):
        raise InputError(
            "how requests are served (--serving, --rate, --replicas and the like) is for --method "
            "stepwise; leave these out, or --method binned"
        )
    return None


def most_lengths(most: int, wish: "ServingWish | None") -> int:
    """Up to how many requests are wanted one by one: more, where they come at a rate."""
    return most if wish is None or wish.rate is None else max(most, _MOST_AT_A_RATE)


def wants_arrivals(method: Method, wish: "ServingWish | None") -> bool:
    """Whether it matters when the requests of a trace came."""
    if method == "binned" or wish is None:
        return False
    return wish.serving != "offline" and wish.rate is None


def thinned(loaded: "LoadedTrace", share: float, trace: str) -> "LoadedTrace":
    """A share of a trace's requests, each kept with that probability at its own time.

    Args:
        loaded: The trace.
        share: Above 0; 1 keeps all.
        trace: What to call it.

    Raises:
        InputError: It keeps none, or groups of the requests are told, too.
    """
    if share == 1:
        return loaded
    if loaded.groups is not None:
        raise InputError(
            f"{trace}: --share and --group-by do not go together, since parts of groups are of all "
            "requests; leave one out, or pick a group with --where"
        )
    kept = _thinned(loaded, share)
    before, after = loaded.workload.total.requests, kept.workload.total.requests
    if loaded.timed is not None:
        before = len(loaded.timed)
    if not after:
        count = "its only request" if before == 1 else f"any of its {before:,} requests"
        raise InputError(f"{trace}: a share of {share:g} does not keep {count}; give a larger one")
    return replace(kept, counts=None, thinning=Thinning(share, before - after))


def _thinned(loaded: "LoadedTrace", share: float) -> "LoadedTrace":
    """The same, though it may keep none."""
    workload, timed, lengths = loaded.workload, loaded.timed, loaded.lengths
    if timed is not None:
        timed = timed.only(chosen(len(timed), share))
        workload = workload.with_lengths(timed.lengths, timed.cached)
        if lengths is None:
            return replace(loaded, workload=workload, timed=timed)
        each = timed.untimed()
    elif lengths is not None:
        is_kept = chosen(len(lengths), share)
        cached, rows = (
            None if each is None else each[is_kept] for each in (loaded.cached, loaded.rows)
        )
        workload = workload.with_lengths(lengths[is_kept], cached)
        each = lengths[is_kept], cached, rows
    else:
        return replace(loaded, workload=thinned_workload(workload, share))
    lengths, cached, rows = each
    return replace(
        loaded, workload=workload, timed=timed, lengths=lengths, cached=cached, rows=rows
    )
