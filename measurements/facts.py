"""What the keys of table.json and of replay files must hold, checked before anything reads them.

A `Check` takes a value and the name of its key, and raises a ValueError that names both.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from joulecast.measurements.shapes.shape import DTYPE_BYTES
from joulecast.traces.reading.formats import shorten

Check = Callable[[Any, str], None]

_LARGEST = 1e15
_MOST_POWER_W = 1e6


def is_number(value: object) -> bool:
    """Whether this is a finite number that can be printed and reckoned with, and no truth."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _LARGEST


def is_count(value: object, least: int = 0) -> bool:
    """Whether this is a whole number of `least` or more."""
    return type(value) is int and least <= value < _LARGEST


def value_of(text: str, holds: Callable[[Any], bool]) -> Check:
    """A check of one value.

    Args:
        text: What it must be, in words: "is 5, not a text".
        holds: Whether it is that.
    """

    def check(value: Any, name: str) -> None:
        if not holds(value):
            raise ValueError(f'"{name}" is {shorten(json.dumps(value))}, not {text}')

    return check


TEXT = value_of("a text", lambda value: isinstance(value, str))
TRUTH = value_of("true or false", lambda value: isinstance(value, bool))
COUNT = value_of("a believable whole number of 0 or more", is_count)
COUNT_FROM_1 = value_of("a believable whole number of 1 or more", lambda value: is_count(value, 1))
NUMBER = value_of("a believable number", is_number)
POSITIVE = value_of("a believable number above 0", lambda value: is_number(value) and value > 0)
AMOUNT = value_of("a believable number of 0 or more", lambda value: is_number(value) and value >= 0)
WATTS = value_of(
    f"a power above 0 and below {_MOST_POWER_W:,.0f} W",
    lambda value: is_number(value) and 0 < value < _MOST_POWER_W,
)
SETTING = value_of(
    "a text, a number, true, false or null",
    lambda value: value is None or isinstance(value, str | bool) or is_number(value),
)
OBJECT = value_of("an object", lambda value: isinstance(value, dict))
LIST = value_of("a list", lambda value: isinstance(value, list))


def object_of(check_each: Check) -> Check:
    """An object with any keys, whose values all pass a check."""

    def check(value: Any, name: str) -> None:
        OBJECT(value, name)
        for key, each in value.items():
            check_each(each, f"{name}.{key}")

    return check


def list_of(check_each: Check) -> Check:
    """A list whose values all pass a check."""

    def check(value: Any, name: str) -> None:
        LIST(value, name)
        for position, each in enumerate(value):
            check_each(each, f"{name}[{position}]")

    return check


def record_of(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """An object that has some keys, and may have others; what else it has is nobody's business."""

    def check(value: Any, name: str) -> None:
        OBJECT(value, name)
        for key in required:
            if key not in value:
                raise ValueError(f'"{name}" lacks "{key}"' if name else f'lacks "{key}"')
        for key, check_value in {**required, **optional}.items():
            if key in value:
                check_value(value[key], f"{name}.{key}" if name else key)

    return check


def exactly(checks: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object that has these keys, and no others but optional ones."""
    optional = optional or {}
    check_keys = record_of(checks, optional)

    def check(value: Any, name: str) -> None:
        check_keys(value, name)
        if more := sorted(set(value) - set(checks) - set(optional)):
            raise ValueError(f'"{name}" has "{more[0]}", which it must not')

    return check


def or_null(check: Check) -> Check:
    """A check that null passes too."""
    return lambda value, name: None if value is None else check(value, name)


_SETTINGS: Mapping[str, Check] = {
    **dict.fromkeys(
        (
            "kv_cache_tokens",
            "kv_block_tokens",
            "max_num_seqs",
            "max_num_batched_tokens",
            "max_model_len",
            "tensor_parallel_size",
        ),
        or_null(COUNT_FROM_1),
    ),
    **dict.fromkeys(
        ("chunked_prefill", "async_scheduling", "prefix_caching", "eager", "compiled"),
        or_null(TRUTH),
    ),
    "gpu_memory_utilization": or_null(
        value_of("a share above 0 and up to 1", lambda value: is_number(value) and 0 < value <= 1)
    ),
    "quantization": or_null(TEXT),
    "decoding_strategy": or_null(TEXT),
    "speculation": or_null(TEXT),
}
"""What is known of the settings of engines."""

_VARIANT: Mapping[str, Check] = {
    "gpus": COUNT_FROM_1,
    "compiled": or_null(TRUTH),
    "quantization": or_null(TEXT),
    "max_num_seqs": or_null(COUNT_FROM_1),
    "max_num_batched_tokens": or_null(COUNT_FROM_1),
}
"""How an engine was asked to serve, as `EngineVariant` has it."""

_PROBABILITY = value_of("from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
_VARIANT_SINCE_DECODING: Mapping[str, Check] = {
    "decoding": exactly({"temperature": AMOUNT, "top_p": _PROBABILITY, "beam_width": COUNT_FROM_1}),
    "speculation": or_null(
        exactly({"draft": TEXT, "lookahead": COUNT_FROM_1, "acceptance": _PROBABILITY})
    ),
}
"""The same, of which tables before these options do not tell."""


def _engine_settings(value: Any, name: str) -> None:
    """Settings: those known are believable, and others at least no lists or objects."""
    object_of(SETTING)(value, name)
    record_of({}, _SETTINGS)(value, name)


_DTYPE = value_of(
    f"a number format of weights and KV cache: {', '.join(sorted(DTYPE_BYTES))}",
    lambda value: isinstance(value, str) and value in DTYPE_BYTES,
)

MEASURED: Mapping[str, Check] = {
    "gpu": TEXT,
    "gpu_product": TEXT,
    "model": TEXT,
    "engine": TEXT,
    "engine_version": TEXT,
    "engine_settings": _engine_settings,
    "dtype": _DTYPE,
    "measured_on": TEXT,
    "measured_by": TEXT,
}
"""What every measurement says of itself."""

MEASURED_TOO: Mapping[str, Check] = {
    "gpu_count": COUNT_FROM_1,
    "power_limit_w": WATTS,
    "weights": TEXT,
    "variant": exactly(_VARIANT, _VARIANT_SINCE_DECODING),
}
"""What it may say besides."""
