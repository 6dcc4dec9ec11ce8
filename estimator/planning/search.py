"""Trying every deployment of a plan: each with the fewest replicas that serve the trace in time."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import cast

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.forecast import estimation_method
from joulecast.estimator.method import ServingKeywords
from joulecast.estimator.online.fewest import ObjectivesNotMetError
from joulecast.estimator.online.online import Plan
from joulecast.estimator.online.wish import ServingWish
from joulecast.estimator.over_time.serving import Objective
from joulecast.estimator.planning.fleets import FleetOption, NotPlanned
from joulecast.estimator.planning.specs import Choice
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.unit_prices.model import Served
from joulecast.estimator.variants.wish import as_of_specs, choose_served
from joulecast.measurements.engines.decoding import GREEDY, Decoding, Speculation
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.inputs import some_of
from joulecast.traces.load import LoadedTrace

Tried = FleetOption | NotPlanned


@dataclass(frozen=True)
class _FleetWish(ServingWish):
    """A wish for no more than so many replicas, where the fewest are sought."""

    most_replicas: int | None = None

    def plan(self, how: str, loaded: LoadedTrace) -> Plan:
        """The same as a simulation takes it."""
        return replace(super().plan(how, loaded), most_replicas=self.most_replicas)


@dataclass(frozen=True)
class Candidate:
    """A deployment that can be tried.

    Attributes:
        choice: As the user named it.
        served: What an estimate is made of.
    """

    choice: Choice
    served: Served

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another one, however it was named."""
        served, choice = self.served, self.choice
        limits = choice.replicas, choice.max_num_seqs, choice.max_num_batched_tokens
        if isinstance(served, EnergyTable):
            return (served.name, *limits)
        wish = choice.wish
        decoding = GREEDY if wish.decoding is None else Decoding.of(wish.decoding)
        speculation = None if wish.speculate is None else Speculation.of(wish.speculate)
        return (*served.deployment.identity, decoding, speculation, *limits)

    @property
    def model(self) -> str:
        """Short name of what is served, or its config."""
        if isinstance(self.served, EnergyTable):
            return self.served.model
        return self.served.deployment.model

    @property
    def gpus(self) -> int:
        """GPUs that share the model."""
        if isinstance(self.served, EnergyTable):
            return self.served.gpu_count
        return self.served.deployment.gpus


def candidates_of(choices: Iterable[Choice]) -> tuple[list[Candidate], list[NotPlanned]]:
    """What can be tried, each once, and what cannot be."""
    candidates: dict[tuple[object, ...], Candidate] = {}
    others = []
    for choice in sorted(choices, key=lambda each: each.text):
        try:
            table = None if choice.table is None else load_table(choice.table)
            candidate = Candidate(choice, choose_served(table, choice.wish))
        except InputError as error:
            if choice.table is not None:
                raise  # a name that is none is a slip, and no option
            others.append(_not_estimated(choice.text, error))
            continue
        candidates.setdefault(candidate.identity, candidate)
    return list(candidates.values()), others


def require_times(loaded: LoadedTrace, wish: ServingWish, trace: str) -> None:
    """Refuse a trace whose requests cannot be served as they came.

    Raises:
        InputError: It is not known when they came, and nothing stands in for it.
    """
    if wish.serving == "offline" or wish.rate is not None:
        return
    if loaded.timed is None and loaded.workload.arrivals is None:
        whose = f" of {some_of(loaded.timeless)}" if loaded.timeless else ""
        raise InputError(
            f"{trace}: it is not known when its requests{whose} came; give --rate, requests a "
            "second, a column of times with --arrival-column, or --serving offline for a batch job"
        )


@dataclass(frozen=True)
class Search:
    """How every deployment is tried.

    Attributes:
        loaded: The trace.
        trace: What to call it.
        serving: How all are to serve, but for the number of replicas.
        objectives: Bounds on how long requests wait.
        most_gpus: A fleet has no more cards than that.
    """

    loaded: LoadedTrace
    trace: str
    serving: ServingKeywords
    objectives: tuple[Objective, ...]
    most_gpus: int

    def all_of(
        self, candidates: Sequence[Candidate], progress: Progress | None = None
    ) -> list[Tried]:
        """What comes of each, in their order; as many at a time as there are cores.

        Args:
            candidates: What to try.
            progress: Told what share of them is done, 0 to 1.
        """
        pool = ThreadPoolExecutor(_cores())
        try:
            futures = [pool.submit(self.one, candidate) for candidate in candidates]
            for done, _ in enumerate(as_completed(futures), 1):
                if progress is not None:
                    progress(done / len(futures))
            return _that_serve_all([future.result() for future in futures])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def one(self, candidate: Candidate) -> Tried:
        """What comes of one."""
        spec = candidate.choice.text
        gpus = candidate.gpus * (candidate.choice.replicas or 1)
        if gpus > self.most_gpus:
            reason = f"has {_gpus(gpus)}, and --most-gpus {self.most_gpus} allows no more"
            return NotPlanned(spec, "too many GPUs", reason)
        try:
            estimate = self._estimate(candidate)
        except ObjectivesNotMetError as error:
            return self._not_met(candidate, error)
        except InputError as error:
            return _not_estimated(spec, error)
        serving = estimate.serving
        latencies = {} if serving is None else serving.latencies
        missed = [each for each in self.objectives if not each.is_met(latencies)]
        if missed:
            texts = ", ".join(each.missed_text(latencies) for each in missed)
            return NotPlanned(spec, "too slow", f"with so many replicas: {texts}")
        return FleetOption(spec, estimate)

    def _not_met(self, candidate: Candidate, error: ObjectivesNotMetError) -> NotPlanned:
        """Why no number of replicas meets the bounds, and whether more GPUs might."""
        spec, reason, tried = candidate.choice.text, as_of_specs(error.reason), error.tried_replicas
        if tried is None:
            return NotPlanned(spec, "too slow", reason)
        reason += f" ({_gpus(candidate.gpus * tried)})"
        if tried < self._most_replicas(candidate):
            return NotPlanned(spec, "too slow", reason)
        allowed = f"and --most-gpus {self.most_gpus} allows no more"
        return NotPlanned(spec, "too many GPUs", f"{reason}, {allowed}")

    def _most_replicas(self, candidate: Candidate) -> int:
        return max(1, self.most_gpus // candidate.gpus)

    def _estimate(self, candidate: Candidate) -> Estimate:
        choice = candidate.choice
        keywords = dict(self.serving)
        keywords |= {
            **choice.limits,
            "replicas": choice.replicas or ("auto" if self.objectives else 1),
        }
        if choice.replicas is not None:
            keywords["slo"] = None
        wish = _FleetWish(
            **cast("ServingKeywords", keywords), most_replicas=self._most_replicas(candidate)
        )
        make: Callable[..., Estimate] = estimation_method("stepwise", self.loaded, wish=wish)
        return make(self.loaded.workload, candidate.served, self.trace)


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count:,} GPUs"


def _not_estimated(spec: str, error: InputError) -> NotPlanned:
    """A deployment that cannot be estimated, with advice in the terms of a plan."""
    reason = as_of_specs(str(error))
    for option, instead in (
        ("a --table", "a table"),
        ("--method binned", "joulecast estimate --method binned"),
    ):
        reason = reason.replace(option, instead)
    return NotPlanned(spec, "not estimated", reason)


def _that_serve_all(tried: Sequence[Tried]) -> list[Tried]:
    """The same, where those are no options that leave out requests which others serve."""
    served = [
        each.estimate.requests["estimated"] for each in tried if isinstance(each, FleetOption)
    ]
    most = max(served, default=0)

    def checked(each: Tried) -> Tried:
        if isinstance(each, NotPlanned) or each.estimate.requests["estimated"] == most:
            return each
        requests = each.estimate.requests
        reason = (
            f"serves {requests['estimated']:,} of {most:,} requests: "
            f"{requests['beyond_memory']:,} are longer than its memory holds, "
            f"{requests['beyond_positions']:,} than its model has positions for"
        )
        return NotPlanned(each.spec, "not all requests", reason)

    return [checked(each) for each in tried]


def _cores() -> int:
    """Processors that this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
