"""table.json, read strictly: what anything reads holds what `joulecast measure` writes."""

from pathlib import Path
from typing import Any

from joulecast.measurements.engines import MAX_BATCH_SIZE
from joulecast.measurements.facts import (
    AMOUNT,
    COUNT,
    MEASURED,
    MEASURED_TOO,
    TEXT,
    TRUTH,
    WATTS,
    is_count,
    list_of,
    object_of,
    or_null,
    record_of,
    value_of,
)
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.identity import check_variant
from joulecast.measurements.models import load_shape, model_names
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid

MODEL_CONFIG = "config.json"
"""In a table's folder: the config of a model that does not ship."""

_VERSION = 1


def _is_version(value: Any) -> bool:
    return is_count(value) and value == _VERSION


def _check_grid(value: Any, name: str) -> None:
    try:
        Grid.from_dict(value)
    except ValueError as error:
        raise ValueError(f'"{name}": {error}') from error


def _is_capacity(row: Any) -> bool:
    """Whether this is a cell's B(I, O) as a search found it."""
    return (
        isinstance(row, list)
        and len(row) == 4
        and all(is_count(value) for value in row[:3])
        and row[2] <= MAX_BATCH_SIZE
        and (row[3] is None or (is_count(row[3]) and row[2] < row[3]))
    )


def _is_left_out(cell: Any) -> bool:
    """Whether this is a cell that no batch fits, with the reason."""
    return isinstance(cell, list) and [type(value) for value in cell] == [int, int, str]


_CARD = record_of(
    {"idle_power_w": WATTS},
    {
        "idle_window_s": AMOUNT,
        "first_used": TEXT,
        "driver": TEXT,
        "clocks": object_of(AMOUNT),
        "host_cpu": or_null(TEXT),
    },
)
_CAPACITY = record_of(
    {},
    {
        "how": TEXT,
        "gpu_seconds": AMOUNT,
        "tries": COUNT,
        "found": list_of(
            value_of("input, output, the largest batch and the first that failed", _is_capacity)
        ),
    },
)
_PLANS = "paper", "full", "spread", "quick", "sweeps", "batches", "decoding", "traffic"
_METADATA = record_of(
    {
        "joulecast_table": value_of(f"version {_VERSION}", _is_version),
        **MEASURED,
        "weights": TEXT,
        "power_limit_w": WATTS,
        "idle_power_w": or_null(WATTS),
        "grid": _check_grid,
        "measured_cells": COUNT,
        "complete": TRUTH,
    },
    {
        **MEASURED_TOO,
        "cards": object_of(_CARD),
        "capacity": _CAPACITY,
        "left_out": list_of(value_of("input, output and reason", _is_left_out)),
        "status": value_of('"measuring" or "done"', lambda value: value in ("measuring", "done")),
        "made_by": TEXT,
        "plan": value_of("a plan", lambda value: value in _PLANS),
    },
)


def check_metadata(metadata: Any, path: Path) -> Grid:
    """Hold the content of a table.json against what it must say.

    Returns:
        The table's grid.

    Raises:
        InputError: Something lacks or cannot be true; `path` and the key are named.
    """
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: is not a JSON object")
    try:
        _METADATA(metadata, "")
        limit_w, idle_w = metadata["power_limit_w"], metadata["idle_power_w"]
        if idle_w is not None and idle_w >= limit_w:
            raise ValueError(f'"idle_power_w" is {idle_w:g}, not below the limit of {limit_w:g} W')
        check_variant(metadata)
        load_shape(config_of(metadata["model"], path.parent))
        quantization, sheet = (
            metadata["engine_settings"].get("quantization"),
            load_gpu(metadata["gpu"]),
        )
        for dtype in (metadata["dtype"], COMPUTE_DTYPE.get(quantization, metadata["dtype"])):
            sheet.peak(dtype)
        return Grid.from_dict(metadata["grid"])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def config_of(model: str, folder: Path) -> str:
    """What `load_config` takes for a table's model: a table of another brings its config along."""
    own = folder / MODEL_CONFIG
    return str(own) if model not in model_names() and own.is_file() else model
