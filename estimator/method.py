"""The two ways to estimate a trace, by name."""

from typing import Literal, get_args

Method = Literal["binned", "stepwise"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "stepwise"

Mode = Literal["offline", "online"]
"""How requests are served: all at once, or as they come."""

MODES: tuple[Mode, ...] = get_args(Mode)

Router = Literal["round-robin", "least-loaded"]
"""How requests are shared out among replicas."""

ROUTERS: tuple[Router, ...] = get_args(Router)
