"""The price lists that ship: one for each GPU and engine of which several models were measured.

    python -m joulecast.estimator.unit_prices.shipped

fits them anew to the tables and replays that ship (`make prices`).
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from joulecast.estimator.unit_prices.carry import carry
from joulecast.estimator.unit_prices.fit import Metered, fit_unit_prices, held_out_errors
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.measurements.hardware import load_gpu
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import write_text
from joulecast.version import VERSION

_SUFFIX = ".prices.json"
_FEWEST_MODELS = 3

BEST_KNOWN = "h100-sxm"
"""The GPU that prices are carried from: most models, formats and hosts were measured on it."""

PYTORCH_TABLE = f"{BEST_KNOWN}/llama-3.1-8b/pytorch"


def price_list_names() -> list[str]:
    """The price lists, as "h100-sxm/vllm"."""
    names = (path.name for path in _folder().iterdir() if path.name.endswith(_SUFFIX))
    return sorted(name.removesuffix(_SUFFIX).replace("--", "/") for name in names)


@cache
def load_unit_prices(gpu: str, engine: str) -> UnitPrices:
    """The price list of a GPU and engine.

    Raises:
        InputError: None ships.
    """
    name = f"{gpu}/{engine}"
    if name not in price_list_names():
        raise unknown_name("price list", name, price_list_names())
    return UnitPrices.from_dict(json.loads(_path(gpu, engine).read_text(encoding="utf-8")))


def _path(gpu: str, engine: str) -> Path:
    return _folder() / f"{gpu}--{engine}{_SUFFIX}"


def _folder() -> Path:
    return Path(str(files("joulecast.estimator.unit_prices")))


def fit_price_list(gpu: str, engine: str, prior: UnitPrices | None = None) -> UnitPrices:
    """Fit a price list to all that ships of a GPU and engine.

    Args:
        gpu: Short name.
        engine: Of the engine.
        prior: Prices carried over from another GPU.

    Raises:
        InputError: Of fewer than three models, which do not tell what carries.
    """
    from joulecast.estimator.unit_prices.sources import (
        idle_powers_w,
        raw_traffic,
        shared_studies,
        shipped_measurements,
        shipped_replays,
        shipped_tables,
    )

    tables = shipped_tables(gpu, engine)
    models = {table.model for table in tables}
    if len(models) < _FEWEST_MODELS:
        raise InputError(f"{gpu}/{engine}: {len(models)} models were measured; too few to tell")
    raw = raw_traffic(gpu, tables)
    shared = shared_studies(gpu, engine)
    batches = [*shipped_measurements([*tables, *shared]), *raw]
    replays, powers_w = shipped_replays(gpu, engine), idle_powers_w(tables)
    metered = [*batches, *replays]
    return fit_unit_prices(
        metered,
        powers_w,
        _errors(metered, batches, powers_w, prior),
        {
            "tables": sorted(table.name for table in tables),
            "studies": sorted(study.name for study in shared),
            "replays": sorted(each.name for each in replays),
            "traffic": sorted({each.name.split()[1] for each in raw}),
            "models": sorted(models),
            "engine_versions": sorted({str(t.metadata["engine_version"]) for t in tables}),
            "cards": len(powers_w),
            "carried_from": prior and prior.provenance["gpu"],
            "gpu": gpu,
            **_when_and_by(),
        },
        prior,
    )


def _when_and_by() -> dict[str, str]:
    """When prices were fitted, and by which version."""
    return {"fitted_on": datetime.now(UTC).date().isoformat(), "joulecast": VERSION}


def fit_pytorch_list() -> UnitPrices:
    """Prices of plain PyTorch, of which one model was measured on one kind of GPU."""
    from joulecast.estimator.unit_prices.pytorch import fit_pytorch_prices
    from joulecast.measurements.replay import SHIPPED, Replay
    from joulecast.measurements.table.table import load_table

    replays = [Replay.load(path) for path in sorted((SHIPPED / "pytorch").glob("*.json"))]
    shared = load_unit_prices(BEST_KNOWN, "vllm")
    fitted = fit_pytorch_prices(load_table(PYTORCH_TABLE), shared, replays)
    return replace(fitted, provenance={**fitted.provenance, **_when_and_by()})


def _errors(
    metered: list[Metered],
    batches: list[Metered],
    powers_w: list[float],
    prior: UnitPrices | None,
) -> dict[str, float]:
    """Relative sd of the errors of models that were left out, by what was forecast."""
    names = {each.name for each in batches}
    told = held_out_errors(
        metered,
        powers_w,
        lambda each: each.deployment.model,
        lambda each: each.deployment.is_plain,
        prior=prior,
    )
    by_kind: dict[str, list[float]] = {}
    for each in metered:
        if each.name not in told:
            continue
        energy, _ = told[each.name]
        kind = "mixture" if each.deployment.shape.is_mixture else "dense"
        if not each.is_busy:
            kind += " traffic"
        elif each.name in names:
            kind += " batches"
        by_kind.setdefault(kind, []).append(energy)
    return {kind: float(np.sqrt(np.mean(np.square(of)))) for kind, of in sorted(by_kind.items())}


def main() -> None:
    """Fit the price list of the GPU that most is known of, then those of the others."""
    from joulecast.estimator.unit_prices.sources import measured_kinds

    first = fit_price_list(BEST_KNOWN, "vllm")
    _write(first)
    for gpu, engine in measured_kinds():
        if gpu == BEST_KNOWN:
            continue
        try:
            prior = carry(first, load_gpu(BEST_KNOWN), load_gpu(gpu)).prices
            _write(fit_price_list(gpu, engine, prior))
        except InputError:
            continue  # too few models
    load_unit_prices.cache_clear()
    _write(fit_pytorch_list())


def _write(prices: UnitPrices) -> None:
    text = json.dumps(prices.to_dict(), indent=1)
    write_text(_path(prices.gpu, prices.engine), text + "\n")


if __name__ == "__main__":
    main()
