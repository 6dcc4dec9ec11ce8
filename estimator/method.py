"""The two ways to estimate a trace, by name."""

from typing import Literal, TypedDict, get_args

Method = Literal["binned", "stepwise"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "stepwise"

Mode = Literal["offline", "online"]
"""How requests are served: all at once, or as they come."""

MODES: tuple[Mode, ...] = get_args(Mode)

Router = Literal["round-robin", "least-loaded"]
"""How requests are shared out among replicas."""

ROUTERS: tuple[Router, ...] = get_args(Router)


_LIMITS = "max_num_seqs", "max_num_batched_tokens"
"""What-ifs of an engine's limits, by the names of its own settings."""


def limits_of(asked: object) -> dict[str, int]:
    """Those limits of an engine that something asks for, by its attributes of these names."""
    limits = {name: getattr(asked, name) for name in _LIMITS}
    return {name: limit for name, limit in limits.items() if limit is not None}


class VariantKeywords(TypedDict, total=False):
    """How a deployment serves besides: nothing compiled, tokens drawn, a draft.

    Attributes:
        eager: Whether nothing is compiled (vllm).
        decoding: "greedy", "sampling", "temperature:0.8" or "top-p:0.9".
        speculate: A draft, tokens that it proposes, and the share accepted of those tried, such as
            "llama-3.2-1b,4,0.7".
    """

    eager: bool
    decoding: str | None
    speculate: str | None


class ServingKeywords(TypedDict, total=False):
    """The attributes of `ServingWish` as keyword arguments."""

    serving: Mode | None
    rate: float | None
    speed: float
    share: float
    replicas: int | Literal["auto"]
    router: Router
    slo: str | None
    scale_to_zero_s: float | None
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
