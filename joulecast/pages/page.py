"""What every page shares: its template, its numbers, and how it was made."""

import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.over_time.durations import duration, moment
from joulecast.estimator.unit_prices.memory import default_limits
from joulecast.estimator.unit_prices.model import Served
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.grid import Grid
from joulecast.traces.load import LoadedTrace
from joulecast.traces.printable import printable
from joulecast.traces.reading.rows.rules import REASONS
from joulecast.traces.workload import Workload
from joulecast.version import VERSION
from joulecast.views.answers import Sentence, Shown
from joulecast.views.answers.compare import saving_number
from joulecast.views.estimate import basis_text
from joulecast.views.numbers import grams, joules, kwh, money, percent
from joulecast.views.report import json_text

_PACKAGES = ("numpy", "scipy", "duckdb", "matplotlib")
_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "joules": joules,
    "kwh": kwh,
    "grams": grams,
    "grams of CO2": lambda mass_g: grams(mass_g, "CO2"),
    "count": lambda number: f"{number:,}",
    "share": percent,
    "percent": lambda number: f"{number:,.1f} %",
    "less": lambda saving: saving_number(saving, "less"),
    "more": lambda saving: saving_number(saving, "more"),
    "times": lambda saving: saving_number(saving, "times"),
    "duration": duration,
    "moment": moment,
    "watts": lambda power_w: f"{power_w:,.0f} W",
    "exact": str,
    "number": lambda number: f"{number:,.7g}",
}


@dataclass(frozen=True)
class Numbers:
    """The numbers of a JSON document, as a page shows them.

    Attributes:
        document: What `to_dict` gave.
    """

    document: Mapping[str, Any]

    def __call__(
        self, key: str | Sequence[str], form: str = "number", currency: str | None = None
    ) -> Markup:
        """A number with its value to the last digit behind what is shown of it.

        Args:
            key: Where it is in the document, such as "requests.total" or "cells.3.energy_j"; or
                such a key and the name of one more, which may hold dots.
            form: How to show it: a name in `_FORMATS`, or "money" with its currency.
            currency: For money.
        """
        first, *last = [key] if isinstance(key, str) else key
        keys = (*first.split("."), *last)
        value = self._value(keys)
        shown = money(float(str(value)), currency) if form == "money" else _FORMATS[form](value)
        return self._element(keys, shown)

    def sentence(self, sentence: Sentence) -> Markup:
        """A sentence whose numbers have their values behind them and stay with their units."""
        unbroken = "\N{NO-BREAK SPACE}%"
        return Markup("").join(
            self._element(part.key.split("."), part.text)
            if isinstance(part, Shown)
            else printable(part).replace(" %", unbroken)
            for part in sentence
        )

    def _value(self, keys: Sequence[str]) -> Any:
        value: Any = self.document
        for part in keys:
            value = value[int(part)] if isinstance(value, Sequence) else value[part]
        return value

    def _element(self, keys: Sequence[str], shown: str) -> Markup:
        element = Markup('<data value="{}" data-key="{}">{}</data>')
        return element.format(json.dumps(self._value(keys)), ".".join(keys), shown)


@dataclass(frozen=True)
class MapCell:
    """One cell of a heat map.

    Attributes:
        shade: 0 for none, 1 to 8 for little to much, on a logarithmic scale.
        text: What is written in it.
        place: Of the cell in the document's "cells"; None if it has no requests.
    """

    shade: int
    text: str
    place: int | None


def render(template: str, **context: Any) -> str:
    """A page, or a part of one."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("joulecast.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals["include_style"] = lambda: Markup(  # noqa: S704 - a file of ours
        (Path(__file__).parent / "templates" / "page.css").read_text("utf-8")
    )
    environment.globals["left_out_reasons"] = REASONS
    return environment


def _shown(value: Any) -> Any:
    """What a template writes of a value; names may hold what turns letters around."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def document_script(document: Mapping[str, Any]) -> Markup:
    """The JSON document, to be read by programs from within the page."""
    # Whatever a name holds, it neither ends the element nor begins a comment.
    return Markup(json_text(document).replace("<", "\\u003c"))  # noqa: S704 - so it is safe


def provenance(command: str) -> dict[str, str]:
    """How and with what a page was made."""
    return {
        "command": command,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "joulecast": VERSION,
        "Python": platform.python_version(),
        "packages": ", ".join(_versions()),
    }


def _versions() -> Iterator[str]:
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} not installed"


def table_facts(table: EnergyTable) -> list[tuple[str, str]]:
    """What an energy table was measured on, when and how."""
    metadata = table.metadata
    idle_w = metadata["idle_power_w"]
    settings = ", ".join(f"{key} {value}" for key, value in metadata["engine_settings"].items())
    cards = metadata.get("cards", {})
    facts = [
        ("table", table.name),
        ("GPU", table.gpus_in_words),
        ("model", f"{metadata['model']}, {metadata['dtype']}, weights {metadata['weights']}"),
        ("engine", f"{metadata['engine']} {metadata['engine_version']}"),
        ("engine settings", settings or "none recorded"),
        ("measured", f"{table.measured_days} by {metadata['measured_by']}"),
        *table.measured_facts,
        ("power", f"limit {metadata['power_limit_w']:g} W, idle "
         + ("not known" if idle_w is None else f"{idle_w:g} W")),
    ]  # fmt: skip
    for card, about in cards.items():
        parts = [f"driver {about['driver']}" if "driver" in about else ""]
        parts.append(str(about.get("host_cpu") or ""))
        facts.append(("card", ", ".join(part for part in (card, *parts) if part)))
    return facts


def served_facts(served: Served, estimate: Estimate) -> list[tuple[str, str]]:
    """What an estimate was made of: a table, or prices that were scaled."""
    if isinstance(served, EnergyTable):
        return table_facts(served)
    deployment = served.deployment
    limits = default_limits(deployment)
    prices = served.carried_prices().prices
    return [
        ("serves", served.name),
        ("basis", basis_text(estimate)),
        ("prices from", ", ".join(estimate.basis.tables if estimate.basis else ())),
        ("power", f"rated {deployment.gpu.tdp_w:g} W, idle {prices.idle_power_w:.0f} W each"),
        (
            "engine settings",
            (
                f"{limits.requests:,} requests at once and {limits.tokens:,} tokens a step, as the "
                "engine chooses for such a GPU"
            ),
        ),
    ]


def gpu_facts(served: Served) -> list[tuple[str, str]]:
    """The figures of the data sheet that ideals stand on, each with its source."""
    if isinstance(served, EnergyTable):
        gpu, dtype, count = served.gpu, served.compute_dtype, served.gpu_count
    else:
        deployment = served.deployment
        gpu, dtype, count = deployment.gpu, deployment.compute_dtype, deployment.gpus
    each = " each" if count > 1 else ""
    rates = ", ".join(f"{rate / 1e12:g} TFLOP/s {peak}" for peak, rate in gpu.peaks(dtype).items())
    facts = {
        "tdp_w": ("rated power", f"{gpu.tdp_w:g} W{each}"),
        f"{dtype} dense": (f"peak, {dtype}", rates + each),
        "memory_bytes_per_s": ("memory bandwidth", f"{gpu.memory_bytes_per_s / 1e9:g} GB/s{each}"),
    }
    return [
        (name, f"{text} ({gpu.sources[key]})" if key in gpu.sources else text)
        for key, (name, text) in facts.items()
    ]


def source_facts(loaded: LoadedTrace) -> list[tuple[str, str]]:
    """Where the requests come from, and what was read."""
    facts = [] if loaded.reading is None else [("read", loaded.reading.text)]
    for source in loaded.workload.sources:
        about = [str(source.get("name", "unnamed"))]
        about += [f"{key} {source[key]}" for key in ("kind", "format", "licence", "citation")
                  if key in source]  # fmt: skip
        facts.append(("requests from", "; ".join(about)))
    return facts


def length_ranges(edges: Sequence[int], shortest: int = 0) -> list[str]:
    """What lengths each bin of a grid holds, the last one those beyond it [tokens]."""
    lows = [shortest, *(edge + 1 for edge in edges[:-1])]
    ranges = [f"{low:,} to {edge:,}" for low, edge in zip(lows, edges, strict=True)]
    return [*ranges, f"over {edges[-1]:,}"]


def map_rows(
    estimate: Estimate, grid: Grid, quantity: str, show: Callable[[float], str]
) -> list[list[MapCell]]:
    """A heat map over the grid with a row and a column for what lies beyond it.

    Args:
        estimate: Its cells are on `grid`.
        grid: The cells.
        quantity: "requests" or "energy_j".
        show: How to write a value into a cell.
    """
    places = {(cell.input_tokens, cell.output_tokens): k for k, cell in enumerate(estimate.cells)}
    values = [getattr(cell, quantity) for cell in estimate.cells]
    positive = [value for value in values if value]
    rows: list[list[MapCell]] = []
    for i in (*grid.input_edges, None):
        row = []
        for o in (*grid.output_edges, None):
            place = places.get((i, o))
            value = None if place is None else values[place]
            if place is None:
                row.append(MapCell(0, "", None))
            elif value is None:
                row.append(MapCell(0, "out", place))
            else:
                row.append(MapCell(_shade(value, min(positive), max(positive)), show(value), place))
        rows.append(row)
    return rows


def _shade(value: float, low: float, high: float) -> int:
    if value <= 0:
        return 0
    return 8 if high <= low else 1 + round(7 * math.log(value / low) / math.log(high / low))


def trimmed(rows: Sequence[Sequence[MapCell]]) -> list[list[MapCell]]:
    """A map without the last of its rows and columns, as far as nothing lies there."""
    kept = [list(row) for row in rows]
    while len(kept) > 1 and all(cell.place is None for cell in kept[-1]):
        kept = kept[:-1]
    while len(kept[0]) > 1 and all(row[-1].place is None for row in kept):
        kept = [row[:-1] for row in kept]
    return kept


def estimate_grid(served: Served, workload: Workload, method: str) -> Grid:
    """The grid that an estimate's cells are on."""
    if method == "stepwise" or not isinstance(served, EnergyTable):
        return workload.grid
    return served.grid
