"""The two ways to estimate a trace, by name."""

from typing import Literal, get_args

Method = Literal["binned", "stepwise"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "stepwise"
