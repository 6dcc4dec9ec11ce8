"""What both ways of measuring, runs of batches and traffic, begin with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joulecast.measurements.conditions import conditions
from joulecast.measurements.engines import Engine, EngineRequest, load_engine
from joulecast.measurements.gpu.devices import NvmlGpu
from joulecast.measurements.hardware import gpus_in_words
from joulecast.measurements.models import model_names
from joulecast.measurements.sweep.request import SweepRequest, model_name
from joulecast.measurements.table.metadata import MODEL_CONFIG
from joulecast.traces.files import write_text
from joulecast.traces.grid import PAPER_GRID
from joulecast.version import VERSION

MEASURED_BY = f"joulecast {VERSION}"
"""Who measures, in table.json."""


def start_engine(
    request: SweepRequest,
    config: dict[str, Any],
    weights: Path | None,
    gpus: Sequence[NvmlGpu],
    note: Callable[[str], None],
) -> Engine:
    """The engine that was asked for, with its model; told of in a line."""
    cards = gpus_in_words(gpus[0].product, len(gpus))
    note(f"{cards}: starting {request.engine} with {request.model}")
    asked = EngineRequest(request.model, config, weights, request.variant, request.longest)
    return load_engine(request.engine, asked)


def table_metadata(
    gpus: Sequence[NvmlGpu],
    engine: Engine,
    request: SweepRequest,
    left_out: Sequence[tuple[int, int, str]],
) -> dict[str, Any]:
    """table.json of a table that is begun."""
    return {
        "joulecast_table": 1,
        **conditions(gpus, engine, model_name(request.model), MEASURED_BY),
        "variant": asdict(request.variant),
        "plan": request.plan_name,
        "idle_power_w": None,
        "meter": "NVML total energy counter, read at the ends of a window that begins at a tick",
        "grid": PAPER_GRID.to_dict(),
        "capacity": engine.capacity_record(),
        "measured_cells": 0,
        "complete": False,
        "cards": {},
        "left_out": left_out,
    }


def keep_config(output: Path, model: str, config: dict[str, Any]) -> None:
    """Put the config of a model that does not ship beside its table."""
    if model not in model_names():
        write_text(output / MODEL_CONFIG, json.dumps(config, indent=2) + "\n")
