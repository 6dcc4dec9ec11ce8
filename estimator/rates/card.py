"""A rate card: what 1,000 tokens of a model cost on a replica, by how busy that is.

    E = (input - cached) x input rate + cached x cached rate + output x output rate + waiting

Each load is an estimate, and its rates sum to it (docs/rate-card.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from joulecast.estimator.attribution.attribution import Attribution, IdlePower, TokenShare
from joulecast.estimator.basis import Basis
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility, Price
from joulecast.estimator.footprint.server import ServerOverhead
from joulecast.estimator.forecast import estimation_method, reading_of
from joulecast.estimator.keywords import most_lengths
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.variants.wish import Wish, choose_served
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.equal import equal_requests
from joulecast.traces.inputs.inputs import TraceInput, trace_name
from joulecast.traces.load import LoadedTrace, load_trace
from joulecast.traces.reading.options import ReadingKeywords

if TYPE_CHECKING:
    from joulecast.estimator.online.wish import ServingWish
    from joulecast.estimator.unit_prices.model import Served

REQUESTS = 5_000
"""As many equal requests are served where no trace is given: their beginning and their end hardly
count."""

INPUT_TOKENS, OUTPUT_TOKENS = 1_000, 200
"""Of each, where nobody says."""

SHARES = {"low": 0.02, "medium": 0.25, "busy": 0.8}
"""Loads where no rate is given, over what a replica serves a second when all is there at once."""

SECONDS_AN_HOUR = 3600.0


class _Asked(NamedTuple):
    """A load that is asked for.

    Attributes:
        name: What to call it.
        rate: Requests a second; None for those of the trace, or all at once.
        is_offline: Whether all are there at once.
    """

    name: str
    rate: float | None = None
    is_offline: bool = False

    @property
    def wish(self) -> "ServingWish":
        """The same as a wish of how to serve."""
        from joulecast.estimator.online.wish import ServingWish

        return ServingWish("offline") if self.is_offline else ServingWish(rate=self.rate)


@dataclass(frozen=True)
class Load:
    """What tokens cost at a load.

    Attributes:
        name: "low", "medium", "busy", "as it came", "all at once", or the rate.
        estimate: Of the workload at this load.
        attribution: What its tokens and waiting take, which sum to the estimate.
        capacity_per_s: What a replica serves when all is there at once [requests/s].
    """

    name: str
    estimate: Estimate
    attribution: Attribution
    capacity_per_s: float

    @property
    def requests_per_s(self) -> float | None:
        """Requests that come, on average [requests/s]; None where all are there at once."""
        return None if self.estimate.serving is None else self.estimate.serving.requests_per_s

    def to_dict(self, facility: Facility | None) -> dict[str, Any]:
        """As plain JSON values, with what the facility makes of each rate."""
        estimate, serving, rate = self.estimate, self.estimate.serving, self.requests_per_s
        ttft, tpot = (
            None if serving is None else serving.latencies[name] for name in ("ttft", "tpot")
        )
        shares = self.attribution.shares.items()
        return {
            "load": self.name,
            "requests_per_s": rate,
            "share_of_capacity": None if rate is None else rate / self.capacity_per_s,
            "busy_share": 1.0 if serving is None else serving.busy_share,
            **{kind: _rate(share, facility) for kind, share in shares},
            "idle_j": self.attribution.idle_j,
            "idle_j_per_request": self.attribution.idle_j / estimate.requests["estimated"],
            "energy_j": estimate.energy_j,
            "interval_j": estimate.interval_j and list(estimate.interval_j),
            "ttft_s": ttft and ttft.to_dict(),
            "tpot_s": tpot and tpot.to_dict(),
        }


@dataclass(frozen=True)
class RateCard:
    """What 1,000 tokens of a model cost on a replica, by load.

    Attributes:
        workload: The requests, in words.
        served: What serves, in words.
        basis: What it stands on.
        capacity_per_s: What a replica serves when all is there at once [requests/s].
        mean_tokens: "input", "cached", "output" -> of a request, on average [tokens].
        loads: The rates of each load.
        facility: Where the GPUs stand; None if that was not asked for.
    """

    workload: str
    served: str
    basis: Basis | None
    capacity_per_s: float
    mean_tokens: dict[str, float]
    loads: tuple[Load, ...]
    facility: Facility | None = None

    @property
    def idle(self) -> IdlePower | None:
        """What a replica draws with nothing to do; None if that is not known."""
        return self.loads[0].attribution.idle

    @property
    def gpus(self) -> int:
        """GPUs of a replica."""
        return 1 if self.basis is None else self.basis.gpus

    @property
    def scope(self) -> str:
        """What the joules are of, in words."""
        cards = "the GPU" if self.gpus == 1 else f"the {self.gpus} GPUs"
        return f"GPU energy of a replica: {cards} that hold{'s' * (self.gpus == 1)} the model once"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "workload": self.workload,
            "mean_tokens": dict(self.mean_tokens),
            **({} if self.basis is None else self.basis.to_dict()),
            "scope": self.scope,
            "capacity_requests_per_s": self.capacity_per_s,
            "idle": self._idle_dict(),
            "loads": [load.to_dict(self.facility) for load in self.loads],
        }

    def _idle_dict(self) -> dict[str, Any] | None:
        if self.idle is None:
            return None
        hour_j = SECONDS_AN_HOUR * self.idle.power_w
        low_j, high_j = (SECONDS_AN_HOUR * end for end in self.idle.interval_w)
        return {
            "power_w": self.idle.power_w,
            "interval_w": list(self.idle.interval_w),
            "j_per_hour": hour_j,
            "interval_j_per_hour": [low_j, high_j],
            **_of_facility("facility_per_hour", self.facility, hour_j, (low_j, high_j)),
        }


def _rate(share: TokenShare, facility: Facility | None) -> dict[str, Any]:
    """A rate as plain JSON values, and what a facility makes of 1,000 tokens."""
    document = share.to_dict()
    each_j, ends_j = document["j_per_1000_tokens"], document["interval_j_per_1000_tokens"]
    if each_j is None:
        return document
    name = "facility_per_1000_tokens"
    return {**document, **_of_facility(name, facility, each_j, (ends_j[0], ends_j[1]))}


def _of_facility(
    name: str, facility: Facility | None, energy_j: float, interval_j: tuple[float, float]
) -> dict[str, Any]:
    return {} if facility is None else {name: facility.to_dict(energy_j, interval_j)}


def rate_card(
    trace: TraceInput | None = None,
    rates: Sequence[float] = (),
    *,
    model: str | Path | None = None,
    gpu: str | Path | None = None,
    engine: str | None = None,
    gpus: int | None = None,
    dtype: str | None = None,
    pue: float | None = None,
    carbon: float | str | CarbonIntensity | None = None,
    price: float | str | Price | None = None,
    server_overhead: str | None = None,
    progress: Progress | None = None,
    **reading: Unpack[ReadingKeywords],
) -> RateCard:
    """What 1,000 input, cached and output tokens cost at some loads, waiting apart.

    Args:
        trace: The requests, as in `estimate`; equal ones of 1,000 and 200 tokens if not given.
        rates: Requests a second that come to a replica at random, a load each; if none are given,
            shares of what it can serve, all at once, and the trace's own times where it has any.
        model: As in `estimate`, as are the four that follow.
        gpu: Likewise.
        engine: Likewise.
        gpus: Likewise.
        dtype: Likewise.
        pue: Facility energy over GPU energy, 1 or more.
        carbon: Carbon intensity [gCO2e/kWh], or a region.
        price: Price of a kilowatt hour.
        server_overhead: What servers draw beside their GPUs, as a share of that: "30 %".
        progress: Told what share of the work is done, 0 to 1.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        Rates [J] with 95 % intervals. Those of a load sum to its estimate.

    Raises:
        InputError: Something given cannot be used.
    """
    if len(set(rates)) < len(rates):
        raise InputError("a rate is asked for twice; give each once")
    facility = Facility.of(pue, carbon, price, server_overhead)
    if facility is not None and facility.server_overhead is not None:
        _require_share(facility.server_overhead)
    texts = [None if name is None else str(name) for name in (model, gpu)]
    served = choose_served(None, Wish(texts[0], texts[1], engine, gpus, dtype))
    requests = equal_requests(REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS) if trace is None else trace
    grid, most = reading_of("stepwise", served)
    most = most_lengths(most, _Asked("", 1.0).wish)
    loaded = load_trace(requests, grid, most, with_arrivals=True, **reading)
    card = _card_of(loaded, served, trace_name(requests), rates, progress)
    return replace(card, facility=facility)


def _require_share(overhead: ServerOverhead) -> None:
    """Refuse what has no part in the joules of a token.

    Raises:
        InputError: It is watts.
    """
    if overhead.share is None:
        raise InputError(
            f"a server overhead of {overhead.text} is of time, not of tokens; for a rate card give "
            'a share of the GPU energy, such as "30 %", or estimate a trace'
        )


def _card_of(
    loaded: LoadedTrace,
    served: "Served",
    name: str,
    rates: Sequence[float],
    progress: Progress | None,
) -> RateCard:
    """All of a card but its facility."""
    share = 1 / (1 + len(rates or SHARES))

    def estimate_at(asked: _Asked, begun: float) -> tuple[Estimate, Attribution]:
        told = part_of(progress, begun, begun + share)
        make = estimation_method("stepwise", loaded, progress=told, wish=asked.wish)
        estimate = make(loaded.workload, served, name)
        assert estimate.attribution is not None  # noqa: S101 - the step model tells it
        return estimate, estimate.attribution

    at_once, divided = estimate_at(_Asked("all at once", is_offline=True), 0.0)
    count = at_once.requests["estimated"]
    capacity = count / (at_once.seconds or 1.0)
    loads = [
        Load(asked.name, *estimate_at(asked, min(1 - share, share * number)), capacity)
        for number, asked in enumerate(_asked(loaded, at_once, rates, capacity), start=1)
    ]
    if not rates:
        loads.append(Load("all at once", at_once, divided, capacity))
    tokens = {kind: part.tokens for kind, part in divided.shares.items()}
    tokens["input"] += tokens["cached"]
    mean_tokens = {kind: each / count for kind, each in tokens.items()}
    return RateCard(name, served.name, at_once.basis, capacity, mean_tokens, tuple(loads))


def _asked(
    loaded: LoadedTrace, at_once: Estimate, rates: Sequence[float], capacity: float
) -> list[_Asked]:
    """The loads over time that a card is of."""
    if rates:
        if at_once.attribution is not None and not at_once.attribution.is_continuous:
            raise InputError(
                f"{at_once.table}: how its static batches would form over time is not known, so "
                "that only all at once has rates; leave --rate out, or take --engine vllm"
            )
        return [_Asked(f"{rate:g}/s", rate) for rate in rates]
    if at_once.attribution is None or not at_once.attribution.is_continuous:
        return []
    has_times = loaded.timed is not None or loaded.workload.arrivals is not None
    own = [_Asked("as it came")] if has_times else []
    return own + [_Asked(name, share * capacity) for name, share in SHARES.items()]
