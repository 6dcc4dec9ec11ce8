"""How a user wants requests to be served, and what that makes of a trace."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from joulecast.estimator.method import MODES, ROUTERS, Mode, Router, limits_of
from joulecast.estimator.online.online import Plan, Server
from joulecast.estimator.online.own_pace import table_times
from joulecast.estimator.over_time.serving import Objective, objectives_of
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.model import Scaling, Served
from joulecast.estimator.variants.model import Sampled
from joulecast.estimator.variants.speculation import SpeculativeBatching
from joulecast.measurements.facts import is_number
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.inputs import some_of
from joulecast.traces.load import LoadedTrace
from joulecast.traces.requests import TimedRequests
from joulecast.traces.sampling import sample_requests, sample_with_cached

_SEED = 20_251_128
_MOST_DRAWN = 5_000_000
_YEAR_S = 365.25 * 86_400
_LONGEST_S = 10 * _YEAR_S


@dataclass(frozen=True)
class ServingWish:
    """What a user says of serving; None leaves it to joulecast.

    Attributes:
        serving: "online" as requests come, "offline" all at once; None for online where it is known
            when they come.
        rate: Requests a second that come at random (Poisson), in place of the trace's own times.
        speed: So many times as fast as the trace, or the rate.
        share: Each request is kept with this probability (by a generator with a fixed seed), at its
            own time; above 0, at most 1.
        replicas: Servers that share the requests, or "auto" for the fewest that meet `slo`.
        router: How requests are shared out.
        slo: Such as "ttft_p99=2s,tpot_p99=50ms".
        scale_to_zero_s: After so long with nothing to do a replica draws nothing [s].
        max_num_seqs: Most requests that run at once, in place of the engine's setting.
        max_num_batched_tokens: Most tokens that a step feeds, likewise.
    """

    serving: Mode | None = None
    rate: float | None = None
    speed: float = 1.0
    share: float = 1.0
    replicas: int | Literal["auto"] = 1
    router: Router = "round-robin"
    slo: str | None = None
    scale_to_zero_s: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.serving not in (None, *MODES):
            raise InputError(f'serving "{self.serving}" is none of: {", ".join(MODES)}')
        if self.router not in ROUTERS:
            raise InputError(f'router "{self.router}" is none of: {", ".join(ROUTERS)}')
        self._require_numbers()
        if (self.replicas == "auto") != (self.slo is not None):
            raise InputError(
                "--replicas auto and --slo go together: the fewest servers that meet it are taken, "
                "such as ttft_p99=2s,tpot_p99=50ms"
            )
        if self.serving == "offline" and self.asks_for_online:
            raise InputError(
                f"{', '.join(self._of_online)}: of requests that arrive over time; leave it out, "
                "or --serving offline"
            )

    def _require_numbers(self) -> None:
        """Refuse amounts that are none.

        Raises:
            InputError: One is not; it is named.
        """
        for name, value in (("rate", self.rate), ("speed", self.speed)):
            if value is not None and not (is_number(value) and value > 0):
                raise InputError(f"{name} is {value!r}; give a number above 0")
        self._require_share()
        if self.scale_to_zero_s is not None and not (
            is_number(self.scale_to_zero_s) and self.scale_to_zero_s >= 0
        ):
            raise InputError(f"scale to zero after {self.scale_to_zero_s!r} s; give 0 or more")
        if self.slo is not None and not isinstance(self.slo, str):
            raise InputError(f"slo is {self.slo!r}; give a text such as ttft_p99=2s,tpot_p99=50ms")
        counts = ("replicas", self.replicas), ("max_num_seqs", self.max_num_seqs)
        for name, count in (*counts, ("max_num_batched_tokens", self.max_num_batched_tokens)):
            if count not in (None, "auto") and (type(count) is not int or count < 1):
                raise InputError(f"{name} is {count!r}; give a whole number of 1 or more")

    def _require_share(self) -> None:
        """Refuse a share that is none, or of requests that come at a rate of their own.

        Raises:
            InputError: It is one of these.
        """
        if not (is_number(self.share) and self.share > 0):
            raise InputError(f"share is {self.share!r}; give a number above 0, 1 or less")
        if self.share > 1:
            raise InputError(
                f"share is {self.share:g}, and requests that nobody made are not made up; for more "
                f"traffic give a speed (--speed) of {self.share:g}, the same requests in less time"
            )
        if self.rate is not None and self.share != 1:
            raise InputError(
                f"rate and share: {self.rate:g} requests a second are as many, whatever share "
                f"they are of; give --rate {self.rate * self.share:g} alone"
            )

    @property
    def _of_online(self) -> list[str]:
        """What is asked for that means nothing offline."""
        defaults = ServingWish.__dataclass_fields__
        names = "rate", "speed", "replicas", "router", "slo", "scale_to_zero_s"
        return [name for name in names if getattr(self, name) != defaults[name].default]

    @property
    def asks_for_online(self) -> bool:
        """Whether something is asked for that means nothing offline."""
        return bool(self._of_online)

    @property
    def objectives(self) -> Sequence[Objective]:
        """What `slo` says.

        Raises:
            InputError: It says nothing.
        """
        return () if self.slo is None else objectives_of(self.slo)

    def plan(self, how: str, loaded: LoadedTrace) -> Plan:
        """The same as a simulation takes it."""
        untimed = 0 if self.rate is not None else loaded.untimed
        return Plan(
            replicas=None if self.replicas == "auto" else self.replicas,
            router=self.router,
            objectives=self.objectives,
            scale_to_zero_s=self.scale_to_zero_s,
            how=how,
            untimed=untimed,
            reading=None if loaded.arrivals is None or self.rate else loaded.arrivals.text,
            cluster=loaded.cluster,
        )

    def arrivals(
        self, loaded: LoadedTrace, trace: str, model: StepModel
    ) -> tuple[TimedRequests, str] | None:
        """The requests as they come, and where their times are from.

        None if these are not known, or if nobody asks and the engine forms static batches.

        Raises:
            InputError: They are asked for, and not known; or none of a column of them can be read.
        """
        is_asked = self.serving == "online" or self.asks_for_online
        if self.serving == "offline":
            return None
        of_times = ContinuousBatching, SpeculativeBatching  # the latter refuses them by its name
        if not is_asked and not isinstance(model.scheduler, of_times):
            return None
        pace = "" if self.speed == 1 else f", {self.speed:g} times as fast"
        if self.rate is not None:
            drawn = _at_rate(loaded, self.rate, trace)
            return self._paced(drawn, trace), f"at random, {self.rate:g} a second{pace}"
        if loaded.timed is not None:
            return self._paced(loaded.timed, trace), f"as in the trace{pace}"
        slices = loaded.workload.arrivals
        if slices is not None:
            drawn = sample_requests(loaded.workload, np.random.default_rng(_SEED))
            how = f"as in the trace to {slices.width_s:g} s, lengths drawn{pace}"
            return self._paced(drawn, trace), how
        unread = loaded.arrivals
        if unread is not None and unread.missing and not unread.requests:
            raise InputError(
                f"{trace}: {unread.text}, so that it is not known when they came; write dates and "
                "times as in ISO 8601, or numbers, name another column with --arrival-column, or "
                "take --serving offline to have all there at once"
            )
        if is_asked and loaded.timeless:
            raise InputError(
                f"{trace}: {some_of(loaded.timeless)} does not tell when its requests came, as the "
                "rest does; leave it out, or give --rate, requests a second"
            )
        if is_asked:
            raise InputError(
                f"{trace}: it is not known when its requests came; give --rate, requests a second, "
                "or name a column of times with --arrival-column"
            )
        return None

    def _paced(self, requests: TimedRequests, trace: str) -> TimedRequests:
        """The requests so many times as fast.

        Raises:
            InputError: They then come over more years than any log covers.
        """
        paced = requests.faster(self.speed)
        if paced.span_s > _LONGEST_S:
            raise InputError(
                f"{trace}: at this pace its requests come over {paced.span_s / _YEAR_S:.3g} "
                "years; give a larger rate, or a larger speed"
            )
        return paced

    @property
    def limits(self) -> dict[str, int]:
        """What-ifs of the engine's limits, by the names of its own settings."""
        return limits_of(self)


def _at_rate(loaded: LoadedTrace, rate: float, trace: str) -> TimedRequests:
    """The requests of a trace at random moments; in their order, where that is known."""
    generator = np.random.default_rng(_SEED)
    if loaded.timed is not None:
        lengths, cached, rows = loaded.timed.lengths, loaded.timed.cached, loaded.timed.rows
    elif loaded.lengths is not None:
        lengths, cached, rows = loaded.lengths, loaded.cached, loaded.rows
    else:
        count = loaded.workload.total.requests
        if count > _MOST_DRAWN:
            raise InputError(
                f"{trace}: has {count:,} requests of which only sums are known, and at most "
                f"{_MOST_DRAWN:,} are drawn; give the file, or a part of it"
            )
        lengths, cached = sample_with_cached(loaded.workload, count, generator)
        rows = None
    return TimedRequests.at_rate(lengths, rate, generator, cached, rows)


def with_limits(model: StepModel, wish: ServingWish, served: Served) -> StepModel:
    """The same with other limits of a step.

    Args:
        model: The step model.
        wish: The limits.
        served: The table or deployment that the model is of.

    Raises:
        InputError: The engine has none, or they do not go together.
    """
    if wish.max_num_seqs is None and wish.max_num_batched_tokens is None:
        return model
    scheduler = model.scheduler
    if isinstance(scheduler, SpeculativeBatching):
        batching = _limited(scheduler.batching, wish)
        return replace(model, scheduler=replace(scheduler, batching=batching))
    if not isinstance(scheduler, ContinuousBatching):
        raise InputError(f"{model.name}: its static batches have no such limits; leave them out")
    limited = _limited(scheduler, wish)
    if scheduler.times is not None and isinstance(served, Scaling):
        limited = replace(limited, times=served.step_times(limited))
    return replace(model, scheduler=limited)


def _limited(scheduler: ContinuousBatching, wish: ServingWish) -> ContinuousBatching:
    """The same with other limits; errors as for `with_limits`."""
    budget = wish.max_num_batched_tokens or scheduler.token_budget
    most = wish.max_num_seqs or scheduler.most_requests
    if budget < most:
        raise InputError(
            f"a step of {budget} tokens has less than one for each of {most} requests that may run "
            "at once; raise --max-num-batched-tokens, or lower --max-num-seqs"
        )
    # How long its steps last is known for its own limits alone.
    return replace(scheduler, token_budget=budget, most_requests=most, times=None)


def server_of(served: Served, model: StepModel) -> Server:
    """What serves over time: a step model, and how long its steps last.

    Args:
        served: A table or deployment.
        model: Of the same, with any limits of a step.

    Raises:
        InputError: The engine forms static batches, or no prices tell its times.
    """
    scheduler = Server.require_continuous(model)
    if scheduler.times is not None:
        return Server(model, scheduler, scheduler.times)
    if isinstance(served, EnergyTable):
        return Server(model, scheduler, table_times(served, scheduler, model.batches))
    if isinstance(served, Sampled) and served.measured is not None:
        times = table_times(served.measured, scheduler, model.batches)
        return Server(model, scheduler, served.cost.lengthened(times))
    return Server(model, scheduler, served.step_times(scheduler))
