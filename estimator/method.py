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


class ServingKeywords(TypedDict, total=False):
    """The attributes of `ServingWish` as keyword arguments."""

    serving: Mode | None
    rate: float | None
    speed: float
    replicas: int | Literal["auto"]
    router: Router
    slo: str | None
    scale_to_zero_s: float | None
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
