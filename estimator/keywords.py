"""How a trace is read and its requests are served, as `estimate` and `compare` take it."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from joulecast.estimator.method import Method, Mode, ServingKeywords, VariantKeywords
from joulecast.traces.errors import InputError
from joulecast.traces.reading.options import ReadingKeywords

if TYPE_CHECKING:
    from joulecast.estimator.online.wish import ServingWish

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
    if wish not in (ServingWish(), ServingWish(serving="offline")):
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
