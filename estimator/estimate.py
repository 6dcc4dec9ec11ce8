"""What an estimate says, whichever method made it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from joulecast.estimator.attribution.attribution import Attribution
from joulecast.estimator.attribution.cells import CellEstimate, cell_edges
from joulecast.estimator.attribution.served import ServedRequests, columns_of, rows_of
from joulecast.estimator.basis import Basis
from joulecast.estimator.footprint.facility import Boundary, Facility
from joulecast.estimator.groups import GroupShare, shares_of
from joulecast.estimator.ideal import Ideal, implied_flops_per_s
from joulecast.estimator.method import Method
from joulecast.estimator.steps.cached import CachedPrompts
from joulecast.estimator.steps.spending import OwnCard
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.models import model_called
from joulecast.measurements.table.interpolation import Coverage
from joulecast.traces.errors import InputError
from joulecast.traces.frame import frame_of
from joulecast.traces.html import html_of
from joulecast.traces.inputs.thinning import Thinning
from joulecast.traces.reading.rows.reading import TraceReading
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

    from joulecast.estimator.over_time.serving import Serving
    from joulecast.traces.load import LoadedTrace

Source = Literal["trace", "reconstructed"]
FramePart = Literal["cells", "parts", "timeline", "latencies", "groups", "requests", "total"]


@dataclass(frozen=True)
class Estimate:
    """Energy of a workload on one GPU, model and engine.

    Attributes:
        trace: What the user called the trace.
        source: "trace", or "reconstructed" where only published figures of it are known.
        table: Name of the energy table; of a deployment that none is of, the deployment in words.
        method: "binned" or "stepwise".
        requests: "total", "estimated", "beyond_grid", "beyond_positions" (longer than the model
            has positions for), "beyond_memory" (than the GPU holds), "failed", "invalid" -> how
            many.
        invalid: What was wrong with the invalid rows -> how many.
        estimated_tokens: "input", "output" -> true lengths of the estimated requests [tokens].
        beyond_grid_token_share: Tokens of requests beyond the grid over all tokens.
        energy_j: GPU energy of the estimated requests [J].
        interval_j: 95 % interval [J]; None where the method does not support one.
        ideal_j: "dense", "sparse", "roofline" -> energy of that ideal [J].
        coverage: "measured", "interpolated", "extrapolated" -> share of energy_j.
        dense_peak_flops_per_s: What the chip can do [FLOP/s].
        cells: The cells that have requests, by edges, those left out included. By the step model a
            cell has its share of what the whole takes.
        seconds: Time on the GPU [s]; this and what follows is None where the method has none.
        parts_j: Term of the step model -> its part of energy_j [J].
        least_parts_j: The same, if each kind of work alone ran at the chip's peaks [J].
        relative_sds: What the interval is made of -> relative sd.
        facility: Where the GPUs stand; None if that was not asked for.
        whole_batches: Whether the batches of a cell were rounded up to whole ones (binned).
        basis: What it stands on.
        serving: How the requests were served as they came; None where all were there at once.
        limits: Settings of the engine that were taken in place of its own -> value.
        reading: What was read of the log; None where the requests come from a workload.
        groups: Parts of groups of the requests, the largest first; empty if not asked for.
        cached: Prompt tokens that were in a cache of prefixes; None where the trace says nothing of
            it.
        attribution: What input, cached and output tokens take, and waiting; None if binned.
        served: The estimated requests one by one; None where these are not known.
        thinning: What was left out of the requests on purpose; None for nothing.
        own_card: The card that will serve, where replays on it were told; None for any of its kind.
    """

    trace: str
    source: Source
    table: str
    method: Method
    requests: Mapping[str, int]
    invalid: Mapping[str, int]
    estimated_tokens: Mapping[str, int]
    beyond_grid_token_share: float
    energy_j: float
    interval_j: tuple[float, float] | None
    ideal_j: Mapping[Ideal, float]
    coverage: Mapping[Coverage, float]
    dense_peak_flops_per_s: float
    cells: tuple[CellEstimate, ...] = ()
    seconds: float | None = None
    parts_j: Mapping[str, float] | None = None
    least_parts_j: Mapping[str, float] | None = None
    relative_sds: Mapping[str, float] | None = None
    facility: Facility | None = None
    whole_batches: bool = False
    basis: Basis | None = None
    serving: "Serving | None" = None
    limits: Mapping[str, int] = field(default_factory=dict)
    reading: TraceReading | None = None
    groups: tuple[GroupShare, ...] = ()
    cached: CachedPrompts | None = None
    attribution: Attribution | None = None
    served: ServedRequests | None = field(default=None, repr=False, compare=False)
    thinning: Thinning | None = None
    own_card: OwnCard | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens that were in a cache of prefixes [tokens]; None if that is not known."""
        return None if self.cached is None else self.cached.tokens

    @property
    def uncached_j(self) -> float | None:
        """Energy if nothing were cached [J]; None likewise."""
        return None if self.cached is None else self.cached.uncached_j

    @property
    def is_scaled(self) -> bool:
        """Whether no table of this very deployment was measured."""
        return self.basis is not None and self.basis.kind != "measured"

    @property
    def method_text(self) -> str:
        """What the method is called, with "whole batches" where batches are rounded up."""
        return f"{self.method}, whole batches" if self.whole_batches else self.method

    def among(self, groups: Mapping[str, Workload], whole: Workload) -> "Estimate":
        """The same energy, with the parts of groups of the requests that sum to the whole."""
        edges_j = {(cell.input_tokens, cell.output_tokens): cell.energy_j for cell in self.cells}
        cells_j = {at: edges_j.get(cell_edges(whole.grid, at)) or 0.0 for at in whole.cells}
        return replace(self, groups=shares_of(groups, whole, cells_j, self.attribution))

    def thinned(self, thinning: Thinning | None) -> "Estimate":
        """The same, of which it is known how many requests of the trace it was not to be of."""
        if thinning is None:
            return self
        total = self.requests["total"] + thinning.left_out
        requests = {**self.requests, "total": total, "left_out_by_share": thinning.left_out}
        return replace(self, requests=requests, thinning=thinning)

    def with_requests(self, loaded: "LoadedTrace") -> "Estimate":
        """The same, knowing its requests one by one, where those of the trace are known so."""
        if loaded.lengths is None and loaded.timed is None:
            return replace(self, served=None)  # what was served was drawn
        if self.served is not None or self.attribution is None or loaded.lengths is None:
            return self
        requests = ServedRequests(loaded.lengths, loaded.cached, loaded.rows)
        return replace(self, served=requests.within(self.attribution.longest))

    def request_columns(self) -> Iterator[dict[str, Any]]:
        """Column -> its values, of some requests after others: the part of each, which sum to all.

        Raises:
            InputError: Its requests are not known one by one, or the method tells no parts.
        """
        if self.attribution is None:
            raise InputError("the method binned tells no parts of requests; take method stepwise")
        if self.served is None:
            raise InputError(
                f"{self.trace}: its requests are not known one by one; give the file of requests, "
                "not a workload"
            )
        basis = None if self.basis is None else self.basis.kind
        return columns_of(self.served, self.attribution, self.energy_j, self.interval_j, basis)

    def called(self, model: str | None) -> "Estimate":
        """The same, saying what model a name is taken as that is not the shipped one's own.

        Args:
            model: As the user named it; None if nobody did.

        Raises:
            InputError: There is no such model.
        """
        basis = self.basis
        if model is None or basis is None or model_called(model) == model:
            return self
        note = f'"{model}" is taken as {model_called(model)}'
        return replace(self, basis=replace(basis, notes=(*basis.notes, note)))

    def at(self, facility: Facility | None) -> "Estimate":
        """The same energy, with the footprint that it has in a facility."""
        seconds = self.seconds if self.serving is None else self.serving.span_s
        servers = 1 if self.serving is None else self.serving.replicas
        gpus = 1 if self.basis is None else self.basis.gpus
        return replace(self, facility=facility and facility.during(seconds, servers, gpus))

    @property
    def energy_kwh(self) -> float:
        """GPU energy [kWh]."""
        return self.energy_j / JOULES_PER_KWH

    @property
    def interval_kwh(self) -> tuple[float, float] | None:
        """95 % interval [kWh]; None where the method does not support one."""
        if self.interval_j is None:
            return None
        low, high = self.interval_j
        return low / JOULES_PER_KWH, high / JOULES_PER_KWH

    @property
    def interval_percent(self) -> float | None:
        """How far the interval's upper end lies above the energy [%]; None likewise.

        So does its lower end below, unless that is more than half of it.
        """
        if self.interval_j is None:
            return None
        return 100 * (self.interval_j[1] / self.energy_j - 1)

    @property
    def mean_power_w(self) -> float | None:
        """Energy over time on the GPU [W], or over all time; None where the method has no time."""
        seconds = self.seconds if self.serving is None else self.serving.span_s
        return None if seconds is None else self.energy_j / seconds

    @property
    def joules_per_request(self) -> float:
        """Energy per estimated request [J]."""
        return self.energy_j / self.requests["estimated"]

    @property
    def joules_per_output_token(self) -> float:
        """Energy per output token asked for, lengths not rounded up [J]."""
        return self.energy_j / self.estimated_tokens["output"]

    @property
    def joules_per_1000_tokens(self) -> float:
        """Energy per 1,000 tokens, inputs and outputs together, lengths not rounded up [J]."""
        return 1000 * self.energy_j / sum(self.estimated_tokens.values())

    @property
    def excess_percent(self) -> dict[Ideal, float]:
        """How far the energy lies above each ideal [%]."""
        return {name: excess_percent(self.energy_j, ideal) for name, ideal in self.ideal_j.items()}

    @property
    def implied_flops_per_s(self) -> float:
        """Rate at which a chip at rated power would compute, to spend this [FLOP/s]."""
        peak = self.dense_peak_flops_per_s
        return implied_flops_per_s(self.ideal_j["dense"], self.energy_j, peak)

    @property
    def footprint(self) -> dict[str, Any]:
        """What a facility makes of the energy, and what the widest energy that is told is of."""
        if self.facility is None:
            boundary: Boundary = "GPU"
            return {"boundary": boundary}
        return self.facility.to_dict(self.energy_j, self.interval_j)

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain JSON values."""
        document: dict[str, Any] = {
            "trace": self.trace,
            "source": self.source,
            "table": None if self.is_scaled else self.table,
            "reading": None if self.reading is None else self.reading.to_dict(),
            **({} if self.basis is None else self.basis.to_dict()),
            "method": self.method_text,
            "serving": {
                **({"mode": "offline"} if self.serving is None else self.serving.to_dict()),
                **self.limits,
            },
            "requests": dict(self.requests),
            "invalid_rows": dict(self.invalid),
            "beyond_grid_token_share": self.beyond_grid_token_share,
            "energy_j": self.energy_j,
            "energy_kwh": self.energy_kwh,
            "interval_j": self.interval_j and list(self.interval_j),
            "interval_kwh": self.interval_kwh and list(self.interval_kwh),
            "interval_percent": self.interval_percent,
            "joules_per_request": self.joules_per_request,
            "joules_per_output_token": self.joules_per_output_token,
            "joules_per_1000_tokens": self.joules_per_1000_tokens,
            "estimated_tokens": dict(self.estimated_tokens),
            "ideal_j": dict(self.ideal_j),
            "excess_percent": self.excess_percent,
            "implied_flops_per_s": self.implied_flops_per_s,
            "dense_peak_flops_per_s": self.dense_peak_flops_per_s,
            "coverage": dict(self.coverage),
            "seconds": self.seconds,
            "mean_power_w": self.mean_power_w,
            "parts_j": self.parts_j and dict(self.parts_j),
            "least_parts_j": self.least_parts_j and dict(self.least_parts_j),
            "relative_sds": self.relative_sds and dict(self.relative_sds),
            "attribution": self.attribution and self.attribution.to_dict(),
            "cells": [cell.to_dict() for cell in self.cells],
        }
        if self.groups:
            document["groups"] = [group.to_dict() for group in self.groups]
        if self.thinning is not None:
            document["thinning"] = self.thinning.to_dict()
        if self.own_card is not None:
            document["own_card"] = self.own_card.to_dict()
        if self.cached is not None:
            document["cached"] = self.cached.to_dict(self.energy_j)
        return document | self.footprint

    def to_frame(self, part: FramePart = "cells") -> "pd.DataFrame":
        """A part of the estimate as a table of pandas; names of columns end in their units.

        Args:
            part: "cells" for a row per cell of the grid, "parts" for where the joules go
                (stepwise), "timeline" for a row per slice of time and "latencies" for how long
                requests waited (both where they were served as they came), "groups" for a row per
                group (with `group_by`), "requests" for a row per request (where these are known
                one by one), "total" for one row.

        Raises:
            InputError: It has no such part, or there is no pandas.
        """
        if part == "cells":
            return frame_of([cell.row() for cell in self.cells])
        if part == "total":
            return frame_of([self.total_row()])
        if part == "requests":
            return frame_of(rows_of(self.request_columns()))
        if part == "groups":
            if not self.groups:
                raise InputError(f"{self.trace}: was not read by groups; give group_by")
            return frame_of([group.to_dict() for group in self.groups])
        if part == "parts":
            if self.parts_j is None:
                raise InputError("the method binned tells no parts; take method stepwise")
            least_j = self.least_parts_j or {}
            rows = [
                {"part": name, "energy_j": energy_j, "least_energy_j": least_j.get(name)}
                for name, energy_j in self.parts_j.items()
            ]
            return frame_of(rows)
        if part not in ("timeline", "latencies"):
            raise InputError(f'part "{part}" is none of: {", ".join(get_args(FramePart))}')
        if self.serving is None:
            raise InputError(
                f"{self.trace}: its requests were all there at once, so there is no {part}; "
                "estimate requests whose arrival times are known, or give a rate"
            )
        serving = self.serving
        return serving.timeline.to_frame() if part == "timeline" else serving.latency_frame()

    def total_row(self) -> dict[str, Any]:
        """The estimate in a row, nothing of it nested; None is what it does not tell."""
        low_j, high_j = self.interval_j or (None, None)
        return {
            "trace": self.trace,
            "table": self.table,
            "method": self.method_text,
            "requests": self.requests["estimated"],
            "energy_j": self.energy_j,
            "interval_low_j": low_j,
            "interval_high_j": high_j,
            "energy_kwh": self.energy_kwh,
            "seconds": self.seconds,
            "mean_power_w": self.mean_power_w,
            "joules_per_request": self.joules_per_request,
            "joules_per_output_token": self.joules_per_output_token,
            "joules_per_1000_tokens": self.joules_per_1000_tokens,
            **{f"ideal_{name}_j": energy_j for name, energy_j in self.ideal_j.items()},
            **{key: v for key, v in self.footprint.items() if not isinstance(v, (list, dict))},
        }

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return html_of(self)


def excess_percent(real_j: float, ideal_j: float) -> float:
    """How far an energy lies above an ideal: 100 (E / E_ideal - 1) [%]."""
    return 100 * (real_j / ideal_j - 1)


def source_of(workload: Workload) -> Source:
    """`Estimate.source` of a workload."""
    return "reconstructed" if workload.is_reconstructed else "trace"
