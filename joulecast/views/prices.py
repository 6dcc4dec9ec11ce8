"""What `joulecast prices` shows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from joulecast.estimator.unit_prices.carry import CarriedPrices
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.rates import CONTEXT_TOKENS, RateCard, rate_card
from joulecast.estimator.unit_prices.work import TERMS
from joulecast.measurements.hardware import Gpu
from joulecast.views.numbers import joules, percent
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report
from joulecast.views.steps import PART_LABELS

_UNITS = {
    "weight_bytes": ("GB", 1e9),
    "linear_flops": ("TFLOP", 1e12),
    "quantized_flops": ("TFLOP", 1e12),
    "expert_flops": ("TFLOP", 1e12),
    "cache_bytes": ("GB", 1e9),
    "wide_cache_bytes": ("GB", 1e9),
    "attention_flops": ("TFLOP", 1e12),
    "head_flops": ("TFLOP", 1e12),
    "layer_tokens": ("million layers", 1e6),
    "outputs": ("1,000", 1e3),
    "experts_read": ("1,000", 1e3),
    "link_bytes": ("GB", 1e9),
    "link_calls": ("1,000", 1e3),
}
"""Kind of work -> what a price is shown for, and how many units that is."""


def gpu_list_report(gpus: Sequence[tuple[Gpu, CarriedPrices]]) -> Report:
    """`joulecast prices` alone."""
    view = grid_table()
    view.add_column("GPU")
    view.add_column("product")
    for heading in ("rated\nW", "memory\nGB", "GB/s", "dense\nTFLOP/s"):
        view.add_column(heading, justify="right")
    view.add_column("prices")
    rows = []
    for gpu, carried in gpus:
        dtype = gpu.half_dtype
        row = {
            "gpu": gpu.name,
            "product": gpu.product,
            "tdp_w": gpu.tdp_w,
            "memory_bytes": gpu.memory_bytes,
            "memory_bytes_per_s": gpu.memory_bytes_per_s,
            "dense_peak_flops_per_s": gpu.peak(dtype),
            "prices": "measured" if carried.from_gpu is None else "by data sheet",
        }
        rows.append(row)
        add_row(
            view,
            gpu.name,
            gpu.product,
            f"{gpu.tdp_w:,.0f}",
            f"{gpu.memory_bytes / 1e9:,.0f}",
            f"{gpu.memory_bytes_per_s / 1e9:,.0f}",
            f"{gpu.peak(dtype) / 1e12:,.1f}",
            str(row["prices"]),
        )
    return Report({"gpus": rows}, rows, view)


def prices_report(scaling: Scaling, model: str | None) -> Report:
    """`joulecast prices GPU ENGINE`."""
    carried = scaling.carried_prices()
    prices, gpu = carried.prices, scaling.deployment.gpu
    card = None if model is None else rate_card(scaling)
    provenance = prices.provenance
    tables, replays, models = (
        _counted(what, provenance) for what in ("tables", "replays", "models")
    )
    source = f"{tables} and {replays} of {models}"
    if carried.from_gpu is not None:
        source = f"those of {carried.from_gpu}, carried over by the data sheets ({source})"
    facts = [
        ("GPU", f"{gpu.name} ({gpu.product})"),
        ("engine", prices.engine),
        ("prices from", source),
        ("models", ", ".join(provenance["models"])),
        ("idle power", f"{prices.idle_power_w:.0f} W, sd {prices.idle_sd_w:.0f} W between cards"),
        (
            "held out",
            ", ".join(f"{kind} {percent(sd)}" for kind, sd in prices.errors.items())
            + f" (relative sd of the errors of {_held_out(provenance)})",
        ),
    ]
    document = {**prices.to_dict(), "from_gpu": carried.from_gpu}
    views = [facts_table(facts), _prices_view(carried)]
    if card is not None:
        document |= {"model": model, "rate_card": card.to_dict()}
        views.append(_rates_view(card, scaling))
    rows = [
        {"work": term, "energy_j": price_j, "sd_j": sd_j} for term, price_j, sd_j in _rows(carried)
    ]
    notes = [
        (
            "Prices are beside idle power, which is drawn all the time. Time is no sum of such "
            "prices: a step lasts the longer of reading and computing."
        )
    ]
    return Report(document, rows, Group(*views, notes_text(notes)))


def _counted(what: str, provenance: Mapping[str, Any]) -> str:
    """How many there are: "1 table", "2 tables"."""
    count = len(provenance.get(what, ()))
    return f"{count} {what[:-1] if count == 1 else what}"


def _held_out(provenance: Mapping[str, Any]) -> str:
    """What the errors of a price list are of."""
    is_of_many = len(provenance["models"]) > 1
    return "models that were left out" if is_of_many else "replays that are in no fit"


def _rows(carried: CarriedPrices) -> list[tuple[str, float, float]]:
    """Each kind of work with its price and the sd of that [J]."""
    prices = carried.prices
    sds = [math.sqrt(max(0.0, variance)) for variance in prices.covariance.diagonal().tolist()]
    return list(zip(TERMS, prices.energy_j.tolist(), sds, strict=True))


def _prices_view(carried: CarriedPrices) -> Table:
    view = grid_table("what a unit of work costs")
    view.add_column("work")
    view.add_column("unit")
    view.add_column("price", justify="right")
    view.add_column("known\nwithin (sd)", justify="right")
    for term, price_j, sd_j in _rows(carried):
        unit, amount = _UNITS[term]
        if price_j > 0:
            add_row(
                view, PART_LABELS[term], unit, joules(price_j * amount), percent(sd_j / price_j)
            )
    return view


def _rates_view(card: RateCard, scaling: Scaling) -> Table:
    view = grid_table(f"what 1,000 tokens cost: {scaling.name}")
    view.add_column("tokens")
    view.add_column("energy", justify="right")
    view.add_column("time between\ntwo tokens", justify="right")
    add_row(view, "input, in full steps", joules(card.input_j), "")
    for rate in card.outputs:
        requests = "1 request" if rate.batch_size == 1 else f"{rate.batch_size} requests at a time"
        context = f"output, {requests} of {CONTEXT_TOKENS:,} tokens"
        add_row(view, context, joules(rate.output_j), f"{1e3 * rate.output_seconds:.1f} ms")
    return view
