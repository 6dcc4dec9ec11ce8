"""Batches of equal requests by how they were served: all tables of one deployment together."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain
from typing import Any, Literal, Protocol

from scipy import stats

from joulecast.estimator.paper.claims.claim import card_spread, repeatability
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.table.interpolation import BatchKey
from joulecast.measurements.table.new_shapes import new_shapes
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable

Quantity = Literal["energy", "seconds"]

_NORMAL_95 = 1.96
_LEAST_ERROR = 1e-6
"""Of a ratio, relative: three runs may have read the very same."""
_FEW = 3


@dataclass(frozen=True)
class Way:
    """How requests were served; two tables of one way are pooled.

    Attributes:
        gpu: Short name.
        model: Short name.
        engine: Its name.
        gpus: GPUs that share the model.
        compiled: Whether steps are compiled or recorded as CUDA graphs.
        decoding: How tokens are chosen, as table.json has it.
        speculation: Draft, look-ahead and acceptance likewise; "" for no draft.
        quantization: Of the weights; "" for none.
    """

    gpu: str
    model: str
    engine: str
    gpus: int = 1
    compiled: bool = False
    decoding: str = "greedy"
    speculation: str = ""
    quantization: str = ""

    @classmethod
    def of(cls, table: EnergyTable) -> "Way":
        """How the requests of a table were served."""
        return cls.of_facts(table.metadata)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Way":
        """The same of what a table or a replay says of itself."""
        settings, engine = facts["engine_settings"], facts["engine"]
        is_eager = bool(settings.get("eager"))
        return cls(
            gpu=facts["gpu"],
            model=facts["model"],
            engine=engine,
            gpus=facts.get("gpu_count", 1),
            compiled=not is_eager if engine == "vllm" else bool(settings.get("compiled")),
            decoding=settings.get("decoding_strategy") or "greedy",
            speculation=settings.get("speculation") or "",
            quantization=settings.get("quantization") or "",
        )

    @property
    def draft(self) -> tuple[str, float] | None:
        """Draft and look-ahead in words, and the share of tokens accepted; None for no draft."""
        if not self.speculation:
            return None
        draft, lookahead, acceptance = self.speculation.split(",")
        return f"{draft} {lookahead} tokens ahead", float(acceptance)

    def fits(self, wanted: Mapping[str, Any]) -> bool:
        """Whether it is served so; * in a text stands for anything."""
        return all(_fits(getattr(self, key), value) for key, value in wanted.items())


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_fits(value, one_of) for one_of in wanted)
    if isinstance(wanted, str) and "*" in wanted:
        return fnmatchcase(str(value), wanted)
    return bool(value == wanted)


def _cards(run: Run) -> set[str]:
    """The cards that a run took; none if it does not say."""
    return set(run.gpu.split("+")) if run.gpu else set()


@dataclass(frozen=True)
class Batch:
    """All valid runs of one batch, served one way.

    Attributes:
        valid_runs: They, each with whether PyTorch made plans for new shapes in it.
        engine: What served them.
    """

    valid_runs: Sequence[tuple[Run, bool]]
    engine: str

    @cached_property
    def runs(self) -> Sequence[Run]:
        """Those that count: the ones without plans for new shapes, where there are any."""
        settled = [run for run, has_new_shapes in self.valid_runs if not has_new_shapes]
        return settled or [run for run, _ in self.valid_runs]

    @property
    def has_new_shapes(self) -> bool:
        """Whether PyTorch made plans for new shapes in all of them."""
        return all(has_new_shapes for _, has_new_shapes in self.valid_runs)

    @cached_property
    def cards(self) -> set[str]:
        """The cards of those that count."""
        return set().union(*map(_cards, self.runs))

    @cached_property
    def all_cards(self) -> set[str]:
        """The cards of all of them."""
        return set().union(*(_cards(run) for run, _ in self.valid_runs))

    def on(self, cards: set[str]) -> "Batch":
        """Those runs that took one of some cards."""
        valid_runs = [(run, new) for run, new in self.valid_runs if _cards(run) & cards]
        return replace(self, valid_runs=valid_runs)

    def values(self, quantity: Quantity) -> list[float]:
        """What each run took for one batch [J or s]."""
        if quantity == "energy":
            return [run.batch_energy_j for run in self.runs]
        return [run.seconds / run.batches for run in self.runs]

    def mean(self, quantity: Quantity) -> float:
        """What one batch took [J or s]."""
        return statistics.fmean(self.values(quantity))

    def relative_error(self, quantity: Quantity) -> float:
        """Half the width of its 95 % interval, relative."""
        return relative_error(self.values(quantity), self.engine)


def relative_error(values: Sequence[float], engine: str) -> float:
    """Half the width of the 95 % interval of a mean over equal runs, relative.

    From their own spread where there are three; else from that of equal runs under the engine.
    """
    count = len(values)
    if count >= _FEW:
        sd = statistics.stdev(values) / statistics.fmean(values)
        return float(stats.t.ppf(0.975, count - 1)) * sd / math.sqrt(count)
    return _NORMAL_95 * repeatability(engine) / math.sqrt(count)


class Metered(Protocol):
    """Valid runs of the same work."""

    @property
    def runs(self) -> Sequence[Any]:
        """They."""

    @property
    def engine(self) -> str:
        """What served them."""

    @property
    def cards(self) -> set[str]:
        """The cards that they ran on."""

    @property
    def all_cards(self) -> set[str]:
        """The same and those of runs that count only where there are no others."""

    @property
    def has_new_shapes(self) -> bool:
        """Whether plans for new shapes were made in them that others would not need."""

    def on(self, cards: set[str]) -> "Metered":
        """Those that took one of some cards."""

    def values(self, quantity: Quantity) -> list[float]:
        """What the work took in each [J or s]."""


@dataclass(frozen=True)
class Change:
    """What one way of serving takes over another, for equal batches.

    Attributes:
        batch: (I, O, batch size).
        percent: How much more [%]; less, if negative.
        error: Half the width of its 95 % interval [points].
        runs: The fewer runs of the two sides.
        has_new_shapes: Whether a side made plans for new shapes within its windows.
    """

    batch: BatchKey
    percent: float
    error: float
    runs: int
    has_new_shapes: bool = False

    @property
    def batch_size(self) -> int:
        """Requests in the batch."""
        return self.batch[2]


class Batches:
    """The batches of some tables, pooled by how they were served.

    Args:
        tables: They; invalid runs are left out.
    """

    def __init__(self, tables: Iterable[EnergyTable]) -> None:
        self.tables: dict[Way, list[EnergyTable]] = {}
        for table in tables:
            if not table.is_of_traffic and table.dtype == "bfloat16":
                self.tables.setdefault(Way.of(table), []).append(table)

    def ways(self, **wanted: Any) -> list[Way]:
        """The ways of serving that fit."""
        return [way for way in self.tables if way.fits(wanted)]

    def of(self, way: Way) -> dict[BatchKey, Batch]:
        """Its batches, those of fewer requests first.

        Plain PyTorch makes plans for shapes that it has not seen, where it asks cuDNN for its
        attention: where a batch has runs without new ones, these alone count.
        """
        runs: dict[BatchKey, list[tuple[Run, bool]]] = {}
        tables = self.tables.get(way, ())
        for run, has_new_shapes in each_once(chain(*map(runs_with_plans, tables))):
            if run.valid:
                runs.setdefault(run.batch, []).append((run, has_new_shapes))
        return {batch: Batch(runs[batch], way.engine) for batch in sorted(runs, key=_by_size)}

    def invalid_runs(self, way: Way) -> int:
        """Runs that failed a gate, and count for nothing."""
        return sum(not run.valid for table in self.tables.get(way, ()) for run in table.runs)

    def changes(self, way: Way, over: Way, quantity: Quantity) -> list[Change]:
        """What one way takes over another, for every batch that both have."""
        ours, theirs = self.of(way), self.of(over)
        return [
            change_between(batch, ours[batch], theirs[batch], quantity)
            for batch in ours
            if batch in theirs
        ]


def each_once(runs: Iterable[tuple[Run, bool]]) -> list[tuple[Run, bool]]:
    """Runs of several tables, one that more than one table holds once.

    Those that do not say when they began are all taken.
    """
    by_run = {run if run.started_at else id(run): (run, new) for run, new in runs}
    return list(by_run.values())


def runs_with_plans(table: EnergyTable) -> Iterator[tuple[Run, bool]]:
    """A table's runs, invalid ones too, each with whether PyTorch made plans for new shapes in it.

    Compiled, it made them before the window.
    """
    way = Way.of(table)
    if way.engine == "pytorch" and not way.compiled and load_gpu(way.gpu).plans_attention:
        yield from ((run, new > 0) for run, new in new_shapes(table.runs))
    else:
        yield from ((run, False) for run in table.runs)


def _by_size(batch: BatchKey) -> BatchKey:
    return batch[2], batch[0], batch[1]


def change_between(batch: BatchKey, ours: Metered, theirs: Metered, quantity: Quantity) -> Change:
    """What some work takes more than other work [%], with the error of both.

    Card by card on those that both sides ran on, those without plans for new shapes before others,
    and the mean of the cards by their errors; across cards only if they share none.
    """
    shared = ours.cards & theirs.cards or ours.all_cards & theirs.all_cards
    if shared:
        ours, theirs = ours.on(shared), theirs.on(shared)
    sides = [(ours.on({card}), theirs.on({card})) for card in shared] or [(ours, theirs)]
    # Cards that share a model have the same runs, which count once.
    pairs = {(*map(id, a.runs), *map(id, b.runs)): (a, b) for a, b in sides}.values()
    spread = 0.0 if shared else card_spread()
    ratio, error = _mean_ratio(
        [
            _ratio(a.values(quantity), b.values(quantity), a.engine, b.engine, spread)
            for a, b in pairs
        ]
    )
    return Change(
        batch=batch,
        percent=100 * (ratio - 1),
        error=100 * ratio * error,
        runs=min(len(ours.runs), len(theirs.runs)),
        has_new_shapes=any(a.has_new_shapes or b.has_new_shapes for a, b in pairs),
    )


def _ratio(
    values: Sequence[float], over: Sequence[float], engine: str, over_engine: str, spread: float
) -> tuple[float, float]:
    """A mean over another, and half the width of its 95 % interval, relative."""
    errors = relative_error(values, engine), relative_error(over, over_engine)
    return statistics.fmean(values) / statistics.fmean(over), math.hypot(*errors, spread)


def _mean_ratio(ratios: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean of some ratios by their relative errors, and its own, which grows if they differ."""
    weights = [max(error, _LEAST_ERROR) ** -2 for _, error in ratios]
    logs = [math.log(ratio) for ratio, _ in ratios]
    mean = math.fsum(map(math.prod, zip(weights, logs, strict=True))) / sum(weights)
    residuals = [weight * (log - mean) ** 2 for weight, log in zip(weights, logs, strict=True)]
    excess = _NORMAL_95**2 * sum(residuals) / max(1, len(ratios) - 1)
    return math.exp(mean), math.sqrt(max(1.0, excess) / sum(weights))
