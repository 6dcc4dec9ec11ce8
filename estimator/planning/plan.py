"""What serves a trace in time, and with how little, as programs ask for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack, cast

from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility, Price
from joulecast.estimator.keywords import (
    EstimateKeywords,
    most_lengths,
    serving_wish,
    thinned,
    wants_arrivals,
)
from joulecast.estimator.method import ServingKeywords
from joulecast.estimator.over_time.serving import objectives_of
from joulecast.estimator.planning.fleets import FleetOption, Goal, NotPlanned
from joulecast.estimator.planning.result import GOALS, FleetPlan
from joulecast.estimator.planning.search import Search, candidates_of, require_times
from joulecast.estimator.planning.specs import Choice, choices_of
from joulecast.estimator.planning.terms import Terms
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.serving import MOST_SIMULATED
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.inputs import TraceInput, trace_name
from joulecast.traces.load import LoadedTrace, load_trace
from joulecast.traces.reading.options import ReadingKeywords

DEFAULT_MOST_GPUS = 256


def plan(
    trace: TraceInput,
    on: Iterable[str] = (),
    by: Goal = "gpus",
    *,
    model: str | Path | None = None,
    pue: float | None = None,
    carbon: float | str | CarbonIntensity | None = None,
    price: float | str | Price | None = None,
    server_overhead: str | None = None,
    gpu_prices: Mapping[str, float | str | Price] | None = None,
    embodied: bool = False,
    lifetime_years: float | None = None,
    most_gpus: int = DEFAULT_MOST_GPUS,
    **how: Unpack[EstimateKeywords],
) -> FleetPlan:
    """Find what serves a trace in time with the fewest GPUs, the least energy, the least cost.

    Args:
        trace: As in `load_workload`: a name, a file, a table, or several.
        on: Deployments such as "gpu=h100-sxm,h200-sxm,gpus=1..4,dtype=bfloat16,fp8", of which every
            value is taken with every other, or names of tables; cards that many have if not given.
        by: What to rank by: "gpus" (ties by energy), "energy" or "cost".
        model: Of the deployments that name none; llama-3.1-8b if not given.
        pue: Facility energy over IT energy, 1 or more.
        carbon: Carbon intensity [gCO2e/kWh], or a region such as "FR" or "US-CA".
        price: Price of a kilowatt hour, as a number or with a currency: "0.18 EUR".
        server_overhead: What servers draw beside their GPUs: "150 W/GPU", "30 %", "ecologits".
        gpu_prices: Short name of a GPU -> price of an hour of one, likewise.
        embodied: Whether to tell the part of what making the cards emitted, where that is known.
        lifetime_years: How long a card is used, for that part; 4 if not given.
        most_gpus: A fleet has no more cards than that.
        **how: How to read, as the attributes of `ReadingOptions` say, and how the requests are
            served, as those of `ServingWish` do; `slo` has to be there, or `serving="offline"` for
            a batch job.

    Returns:
        The fleets that serve it in time, with their energies [J], ranked; and what does not.

    Raises:
        InputError: Something given cannot be used; one line says what, where, and what to do.
    """
    if unknown := [name for name in how if name not in EstimateKeywords.__annotations__]:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    if isinstance(on, str):
        raise InputError("plan takes a list of deployments; put the text into one")
    of_serving = ServingKeywords.__annotations__.keys()
    serving = {name: value for name, value in how.items() if name in of_serving}
    reading = {name: value for name, value in how.items() if name not in of_serving}
    facility = Facility.of(pue, carbon, price, server_overhead)
    terms = Terms.of(facility, gpu_prices, embodied, lifetime_years)
    own = None if model is None else str(model)
    asked = Asked(choices_of(on, own), cast("ServingKeywords", serving), terms, by, most_gpus)
    loaded = load_for_plan(trace, asked, **cast("ReadingKeywords", reading))
    return asked.of(loaded, trace_name(trace))


class Asked:
    """What a plan is asked for, checked before a trace is read.

    Args:
        choices: Deployments to plan with.
        serving: How they serve; "replicas" is what a plan finds.
        terms: Prices and carbon.
        by: What to rank by.
        most_gpus: A fleet has no more cards than that.

    Raises:
        InputError: Something of it cannot be used.
    """

    def __init__(
        self,
        choices: Iterable[Choice],
        serving: ServingKeywords,
        terms: Terms,
        by: Goal = "gpus",
        most_gpus: int = DEFAULT_MOST_GPUS,
    ) -> None:
        if by not in GOALS:
            raise InputError(f'by "{by}" is none of: {", ".join(GOALS)}')
        if by == "cost" and not terms.has_prices:
            raise InputError(
                "by cost: takes prices; give --gpu-price, such as h100-sxm=2.5, or "
                "--price, of a kilowatt hour"
            )
        if type(most_gpus) is not int or most_gpus < 1:
            raise InputError(f"at most {most_gpus!r} GPUs: give a whole number of 1 or more")
        if serving.get("replicas") not in (None, 1, "auto"):
            raise InputError(
                "a plan finds the number of replicas; to fix it, name it with a deployment: "
                "gpu=h100-sxm,replicas=2"
            )
        self.objectives = objectives_of(slo) if (slo := serving.get("slo")) else ()
        if not self.objectives and serving.get("serving") != "offline":
            raise InputError(
                "say how long requests may wait, such as --slo ttft_p99=2s,tpot_p99=50ms; or plan "
                "a batch job with --serving offline"
            )
        others: ServingKeywords = {**serving, "replicas": "auto" if self.objectives else 1}
        self.wish = serving_wish("stepwise", others)
        self.choices, self.serving, self.terms = list(choices), serving, terms
        for choice in self.choices:
            choice.require_known()
        _require_one_limit(self.choices, serving)
        self.by: Goal = by
        self.most_gpus = most_gpus

    def of(self, loaded: LoadedTrace, trace: str, progress: Progress | None = None) -> FleetPlan:
        """The plan of a trace.

        Args:
            loaded: The trace.
            trace: What to call it.
            progress: Told what share of the deployments was tried, 0 to 1.

        Raises:
            InputError: It is not known when its requests came, and nothing stands in for it; no
                deployment can be estimated; or none has the cost that was asked for.
        """
        assert self.wish is not None  # noqa: S101 - the step model always has one
        require_times(loaded, self.wish, trace)
        candidates, others = candidates_of(self.choices)
        search = Search(loaded, trace, self.serving, self.objectives, self.most_gpus)
        tried = search.all_of(candidates, progress)
        models = tuple(sorted({candidate.model for candidate in candidates}))
        options = [
            FleetOption(
                each.spec,
                each.estimate.at(self.terms.facility),
                self.terms,
                len(models) > 1,
            )
            for each in tried
            if isinstance(each, FleetOption)
        ]
        others += [each for each in tried if isinstance(each, NotPlanned)]
        _require_estimated(options, others)
        if self.by == "cost":
            _require_costs(options)
        made = FleetPlan(
            trace=trace,
            by=self.by,
            objectives=self.objectives,
            options=tuple(options),
            not_planned=tuple(sorted(others, key=lambda each: (each.lack, each.spec))),
            terms=self.terms,
            reading=loaded.reading,
            thinning=loaded.thinning,
            models=models,
        )
        return replace(made, options=tuple(made.ranked(self.by)))


def _require_one_limit(choices: Sequence[Choice], serving: ServingKeywords) -> None:
    """Refuse a limit of all deployments where each names its own.

    Raises:
        InputError: One is given that would hold for none.
    """
    for name in ("max_num_seqs", "max_num_batched_tokens"):
        limit = serving.get(name)
        if limit is not None and all(name in choice.limits for choice in choices):
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} {limit}: is of deployments that name no {option}, and each one does "
                "with --on; leave one of the two out"
            )


def _require_estimated(options: Sequence[FleetOption], others: Sequence[NotPlanned]) -> None:
    """Refuse to answer where nothing could be estimated.

    Raises:
        InputError: Nothing could; the first reason is told.
    """
    if options or any(other.lack != "not estimated" for other in others):
        return
    first = min(others, key=lambda other: other.spec)
    more = f" (and {len(others) - 1:,} more)" if len(others) > 1 else ""
    raise InputError(
        f"none of these deployments could be estimated: {first.spec}: {first.reason}{more}"
    )


def _require_costs(options: Sequence[FleetOption]) -> None:
    """Refuse to rank by cost what has none.

    Raises:
        InputError: No option has a cost.
    """
    if options and all(option.cost is None for option in options):
        gpus = sorted({option.basis.gpu for option in options})
        raise InputError(
            "by cost: nothing that serves the trace has a cost; give --gpu-price of "
            f"{', '.join(gpus)}"
        )


def load_for_plan(
    trace: TraceInput, asked: Asked, **reading: Unpack[ReadingKeywords]
) -> LoadedTrace:
    """A trace as a plan wants it: read once, for all deployments.

    Raises:
        InputError: As in `load_trace`.
    """
    most = most_lengths(MOST_SIMULATED, asked.wish)
    needs_times = wants_arrivals("stepwise", asked.wish)
    loaded = load_trace(trace, None, most, False, needs_times, **reading)
    return thinned(loaded, asked.serving.get("share", 1.0), trace_name(trace))
