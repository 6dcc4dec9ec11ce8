"""What a table tells of steps' cost.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R

Prices are those of a mean card of the kind, as far as it is told how the table's own lie among them
(`kinds/cards.py`). What the GPU spends waiting for its host to launch steps is kept apart: it is
taken off the table's runs before they are priced, and added for the host that serves. What steps of
an H200 take besides, below the power limit, `full_clock.py` says.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.attribution.division import Division, prompt_share, weighted
from joulecast.estimator.full_clock import FullClock
from joulecast.estimator.ideal import Roofline
from joulecast.estimator.kinds.cards import Kind, load_kind
from joulecast.estimator.steps.hosts import Hosts, hosts_of
from joulecast.estimator.steps.intervals import Spread, card_spread, relative_sds
from joulecast.estimator.steps.metered_batches import (
    MeteredBatch,
    batches_of_steps,
)
from joulecast.estimator.steps.prices import Prices, fit_prices
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.traffic import fit_traffic
from joulecast.estimator.steps.work import TERMS, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError

IDLE_SPREADS, OTHER_IDLE_SPREAD = {"h200-sxm": 0.03}, 0.06
"""Relative sd of idle power between cards of a kind: 3.0 of 124 W between 25 H200s, 5.0 of 126 W
between fifteen H100s, of which the first twelve showed 7; as much for kinds of which few cards were
metered."""

_FEWEST_BATCHES = 60
_FULL_BATCH = 0.93
_MOST_AVERAGED = 4.0
"""Cells over which what the law misses averages out: an interval of 2.5 % then holds the thirteen
replays of 1,000 requests and more that the full tables are held against."""

SHORT_TOKENS, SHORT_SD = 256, 0.04
"""Mean length of requests [tokens] up to which their steps are mostly of decoding with little to
read, between those that wait for the weights and those that compute; and what the law, which draws
a line through both, may miss there. Chosen after a look at sixteen windows of two tasks on an H200
(4.5 % too high, rms; docs/accuracy.md); later ones will tell."""


@dataclass(frozen=True)
class KindSpread:
    """How far batches lie from the fit, by whether they bring the card to its limit.

    Attributes:
        full_sd: Relative sd of those that do.
        spare_sd: Of the others, which wait for memory or for the host.
    """

    full_sd: float
    spare_sd: float

    @classmethod
    def of(
        cls, batches: Sequence[MeteredBatch], prices: Prices, limit_w: float
    ) -> "KindSpread | None":
        """From a table's batches; None if they are too few to be told apart."""
        if len(batches) < _FEWEST_BATCHES:
            return None
        told_j = np.array([prices.total_j(batch.counts) + batch.waiting_j for batch in batches])
        energies_j = np.array([batch.energy_j for batch in batches])
        loads = energies_j / [batch.seconds for batch in batches] / limit_w
        squares = np.square(told_j / energies_j - 1) * len(batches) / prices.freedom
        is_full = loads >= _FULL_BATCH
        if not is_full.any() or is_full.all():
            return None
        return cls(
            full_sd=math.sqrt(float(squares[is_full].mean())),
            spare_sd=math.sqrt(float(squares[~is_full].mean())),
        )

    def sd(self, load: float, cells: float) -> float:
        """What the law misses of a run at some share of the power limit, over so many cells.

        A run of equal requests is one more batch; what is missed of many different ones averages
        out in part, and only at the limit, where errors of time cost nothing.
        """
        if load < _FULL_BATCH:
            return self.spare_sd
        return self.full_sd / math.sqrt(min(_MOST_AVERAGED, max(1.0, cells)))


@dataclass(frozen=True)
class TableLaw:
    """Prices of one table.

    Attributes:
        prices: Of each kind of work.
        spread: How far equal work lies apart.
        hosts: How long hosts take to launch a step; None if they launch none one by one.
        roofline: Least energy of the steps.
        power_limit_w: Of all GPUs [W].
        idle_power_w: Of all GPUs, loaded and waiting [W]; 0 if the table does not say.
        kinds: How far batches of each kind lie from the fit; None for a table of few batches.
        gpus: That share the model.
        idle_cards: Cards that idle power is of, or as sure as a mean over.
        clock: What steps take besides; None where nothing is known of that.
        notes: What an estimate rests on besides the table, each in words.
    """

    prices: Prices
    spread: Spread
    hosts: Hosts | None
    roofline: Roofline
    power_limit_w: float
    idle_power_w: float = 0.0
    kinds: "KindSpread | None" = None
    gpus: int = 1
    idle_cards: float = 1.0
    clock: FullClock | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        table: EnergyTable,
        host: EnergyTable | None = None,
        batches: Sequence[MeteredBatch] | None = None,
        kind: Kind | None = None,
    ) -> "TableLaw":
        """Fit the law to a table.

        Args:
            table: As for `estimate_stepwise`, as are the errors.
            host: Likewise.
            batches: What `batches_of_steps` makes of the table, if that is at hand; to schedule
                them takes tenths of a second.
            kind: The cards of the kind; what ships of it, if not given.
        """
        roofline, limit_w = Roofline.of(table), float(table.metadata["power_limit_w"])
        idle_w = float(table.metadata.get("idle_power_w") or 0.0)
        if table.is_of_traffic:
            if host is not None:
                raise InputError(
                    f"{table.name}: is of traffic, whose prices hold the pace of its own host; "
                    "leave --host out"
                )
            traffic = fit_traffic(table)
            return cls(
                *(traffic.prices, traffic.spread, None, roofline, limit_w, idle_w),
                gpus=table.gpu_count,
            )
        as_run = batches_of_steps(table) if batches is None else batches
        kind = load_kind(table.gpu.name) if kind is None else kind
        mean = kind.centred(as_run, limit_w)
        hosts = hosts_of(table, mean.batches, host)
        waiting = mean.batches if hosts is None else hosts.without_waiting(mean.batches)
        mean_idle_w, notes = kind.idle_power_w(table.metadata.get("cards", {})), mean.notes
        if mean_idle_w is not None:
            idles = f"idle power is the mean of {len(kind.idle_w)} cards, {mean_idle_w:.0f} W"
            notes += (f"{idles} (its own: {idle_w:.0f} W)",)
            idle_w = mean_idle_w
        clock = FullClock.of(table, waiting, None if hosts is None else hosts.pace, idle_w)
        waiting, prices = (waiting, fit_prices(waiting)) if clock is None else clock.fit(waiting)
        return cls(
            prices,
            replace(Spread.of(as_run), cards=mean.cards),
            hosts,
            roofline,
            limit_w,
            idle_w,
            KindSpread.of(waiting, prices, limit_w),
            table.gpu_count,
            mean.cards if mean_idle_w is None else len(kind.idle_w),
            clock,
            notes,
        )

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the fit."""
        return self.prices.freedom

    @property
    def idle_sd_w(self) -> float:
        """Sd of idle power, between a card of the table and the one that serves [W]."""
        spread = IDLE_SPREADS.get(self.roofline.gpu.name, OTHER_IDLE_SPREAD)
        cards = 1 / self.gpus * (1 + 1 / self.idle_cards)
        return spread * math.sqrt(cards) * self.idle_power_w

    @property
    def cards(self) -> float:
        """Cards that its prices are as sure as a mean over."""
        return self.spread.cards

    def gauge(self, steps: Steps) -> FloatArray:
        """What the steps take besides, shape (1,) to (5,).

        Tokens of padding; how long the GPU waits for the serving and for a slow host [s], if it
        does; and last what `FullClock` adds [J], if it is known.
        """
        padding = [steps.total(steps.padded)]
        waiting = np.zeros(0) if self.hosts is None else self.hosts.waiting_seconds(steps)
        clock = self.clock
        besides_j = np.zeros(0) if clock is None else clock.total_besides_j(steps, self.prices)
        return np.concatenate([padding, waiting, besides_j])

    def _besides_parts_j(self, service: Service) -> tuple[float, float]:
        """What dear cached tokens take, and idle power of hidden products, below 0 [J]."""
        if self.clock is None:
            return 0.0, 0.0
        cache_j, hidden_j = service.gauged[-2:].tolist()
        return cache_j, hidden_j

    def spending(self, service: Service) -> Spending:
        """What the work costs, and the waiting for the serving host."""
        counts = service.counts
        padded = _padded(service)
        energy_j, seconds = self.prices.total_j(padded), self.prices.total_seconds(padded)
        parts_j = dict(self.prices.parts_j(padded))
        cache_j, hidden_j = self._besides_parts_j(service)
        parts_j["context"] += cache_j
        parts_j["tokens"] += hidden_j
        energy_j += cache_j + hidden_j
        least_parts_j = dict(self.roofline.parts_energy(counts))
        host_sd = None
        if self.hosts is not None:
            pace = self.hosts.pace
            _, serving_s, slow_s = service.gauged[:3].tolist()
            parts_j["waiting"] = pace.waiting_power_w * serving_s
            least_parts_j["waiting"] = 0.0
            energy_j += parts_j["waiting"]
            seconds = float(pace.gpu_seconds @ padded.array()) + serving_s
            host_sd = pace.waiting_power_w * (slow_s - serving_s) / 2 / energy_j
        # No card draws more than its limit for long; a table of few runs tells times less well.
        seconds = max(seconds, energy_j / self.power_limit_w)
        return Spending(energy_j, seconds, parts_j, least_parts_j, host_sd)

    def relative_sds(
        self, service: Service, spending: Spending, cells: float, servers: int = 1
    ) -> dict[str, float]:
        """What makes a metered run differ from its price: cause -> relative sd."""
        load = spending.energy_j / spending.seconds / self.power_limit_w
        of_cards = card_spread(self.roofline.gpu.name, load, self.gpus)
        sds = relative_sds(self.prices, self.spread, service.counts, of_cards, servers)
        if self.kinds is not None:
            sds["shape"] = self.kinds.sd(load, cells)
        counts = service.counts
        if counts.tokens < SHORT_TOKENS * counts.requests:
            sds["shape"] = math.hypot(sds["shape"], SHORT_SD)
        return sds if spending.host_sd is None else {**sds, "host": spending.host_sd}

    def drawn_j(self, service: Service) -> float:
        """Energy of one draw of the requests [J]."""
        return self.prices.total_j(_padded(service)) + sum(self._besides_parts_j(service))

    def alone_j(self, counts: StepCounts) -> float:
        """Energy of requests but for what they share [J], to share the whole by."""
        return self.prices.total_j(counts)

    def own_j(self, requests: Steps) -> Division:
        """What each row takes for its tokens alone [J]."""
        _, token_j, context_j, pair_j, output_j, _ = self.prices.energy_j.tolist()
        read = 0 * requests.context if requests.prefixes is None else requests.prefixes.tokens
        return Division(
            input_j=token_j * requests.prompt_tokens + pair_j * requests.pairs,
            cached_j=context_j * read,
            output_j=token_j * requests.decoding
            + context_j * requests.context
            + output_j * requests.sampled,
        )

    def divided_j(self, steps: Steps) -> FloatArray:
        """What steps take for each of `PHASES` [J], shape (3,); taking requests in is apart."""
        share = prompt_share(steps)
        clock, nothing = self.clock, np.zeros((2, len(steps.decoding)))
        cache_j, hidden_j = nothing if clock is None else clock.besides_j(steps, self.prices)
        besides_j = self._besides_j(steps, hidden_j)
        of_prompts, of_outputs = (
            self.prices.energy_j[0] * part.total(part.weights_read) + besides_j(part)
            for part in (weighted(steps, share), weighted(steps, 1 - share))
        )
        own_j = self.own_j(steps).total(steps)
        return np.asarray(own_j + np.array([of_prompts, 0.0, of_outputs + steps.total(cache_j)]))

    def _besides_j(self, steps: Steps, hidden_j: FloatArray) -> Callable[[Steps], float]:
        """What padding, waiting and hidden products take, of these steps weighted [J]."""
        besides_j = self.prices.energy_j[TERMS.index("tokens")] * steps.padded + hidden_j
        if self.hosts is not None:
            pace = self.hosts.pace
            (waits,) = pace.waits(steps, [self.hosts.serving_seconds])
            besides_j = besides_j + pace.waiting_power_w * waits
        return lambda part: part.total(besides_j)


def _padded(service: Service) -> StepCounts:
    """The counts of a service, tokens with their padding."""
    return replace(service.counts, tokens=service.counts.tokens + float(service.gauged[0]))
