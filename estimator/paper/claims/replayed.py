"""What the same requests took, handed over or served otherwise: claims that rest on replays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

from joulecast.estimator.paper.claims.deployments import (
    Change,
    Quantity,
    Way,
    change_between,
)
from joulecast.estimator.paper.claims.measures import PICKS, UNLESS_SAID, Compared, Evidence
from joulecast.measurements.batching import Batching
from joulecast.measurements.replay import Replay, ReplayRun

Measure = Mapping[str, Any]


@dataclass(frozen=True)
class Handing:
    """Requests, how they were served, and how they were handed over.

    Attributes:
        way: How they were served.
        batching: How they were handed over.
        trace: What they were drawn from.
        lengths: (i, o) of each, in their order [tokens].
    """

    way: Way
    batching: Batching
    trace: str
    lengths: tuple[tuple[int, int], ...] = field(repr=False)

    @classmethod
    def of(cls, replay: Replay) -> "Handing":
        """Of a replay."""
        trace = PurePath(str(replay.facts["trace"])).stem
        return cls(Way.of_facts(replay.facts), replay.batching, trace, tuple(replay.lengths))

    @property
    def number(self) -> int:
        """How many were in flight or in a batch."""
        return self.batching.in_flight or self.batching.static or 0

    @property
    def text(self) -> str:
        """How they were handed over, in words."""
        if self.batching.in_flight is not None:
            return "in flight"
        return "padded batches" if self.batching.is_padded else "static batches"

    def over(self, other: "Handing") -> str:
        """Both in words."""
        texts = [self.text, other.text]
        if self.way.engine != other.way.engine:
            texts = [f"{self.way.engine} {self.text}", f"{other.way.engine} {other.text}"]
        return " over ".join(texts)

    def fits(self, measure: Measure) -> bool:
        """Whether it is handed over and served so."""
        how = {
            "batching": "static" if self.batching.in_flight is None else "in flight",
            "padded": self.batching.is_padded,
        }
        if any(how[key] != measure[key] for key in how if key in measure):
            return False
        of_way = {key: value for key, value in measure.items() if key not in how}
        return self.way.fits({**UNLESS_SAID, **of_way})


@dataclass(frozen=True)
class ReplayedBatch:
    """The valid runs of one handing.

    Attributes:
        runs: They.
        engine: What served them.
        has_new_shapes: No: requests of many lengths meet new ones in service, too.
    """

    runs: Sequence[ReplayRun]
    engine: str
    has_new_shapes: bool = False

    @property
    def cards(self) -> set[str]:
        """The cards that they ran on."""
        return {card for run in self.runs for card in run.card.split("+")}

    @property
    def all_cards(self) -> set[str]:
        """The same: all of them count."""
        return self.cards

    def on(self, cards: set[str]) -> "ReplayedBatch":
        """Those runs that took one of some cards."""
        runs = [run for run in self.runs if cards & set(run.card.split("+"))]
        return ReplayedBatch(runs, self.engine)

    def values(self, quantity: Quantity) -> list[float]:
        """What all requests took in each run [J or s]."""
        return [run.round_j if quantity == "energy" else run.round_seconds for run in self.runs]


class Replays:
    """Replays whose requests were limited in flight or run in batches of a given size.

    Args:
        replays: They; all others are left out.
    """

    def __init__(self, replays: Iterable[Replay]) -> None:
        self.of: dict[Handing, list[Replay]] = {}
        for replay in replays:
            if replay.batching.is_limited and replay.facts["dtype"] == "bfloat16":
                self.of.setdefault(Handing.of(replay), []).append(replay)

    def batch(self, handing: Handing) -> ReplayedBatch:
        """All valid runs of a handing, each once, however many files hold it."""
        runs = list(dict.fromkeys(run for each in self.of[handing] for run in each.valid_runs))
        return ReplayedBatch(runs, handing.way.engine)

    def invalid_runs(self, handing: Handing) -> int:
        """Runs that failed a gate, and count for nothing."""
        return sum(run.reason is not None for each in self.of[handing] for run in each.runs)

    def versions(self, handings: Iterable[Handing]) -> str:
        """The engines, with their versions."""
        versions: dict[str, set[str]] = {}
        for handing in handings:
            for replay in self.of[handing]:
                of_engine = versions.setdefault(handing.way.engine, set())
                of_engine.add(str(replay.facts["engine_version"]))
        return ", ".join(f"{name} {' and '.join(sorted(of))}" for name, of in versions.items())


@dataclass(frozen=True)
class ReplayedComparison(Compared):
    """The same requests one way over the other, at one number after the other.

    Attributes:
        trace: What the requests were drawn from.
        ways: How they were handed over, in words.
        handings: All that it is from.
    """

    trace: str = ""
    ways: str = ""
    handings: Sequence[Handing] = ()

    @property
    def name(self) -> str:
        """Trace and ways in words."""
        return f"{self.trace}, {self.ways}"


def compare_replays(measure: Measure, gpu: str, replays: Replays) -> list[ReplayedComparison]:
    """All comparisons of the same requests, at the same number, on one kind of GPU.

    "of" and "over" say which ways; "traces" and "numbers" restrict what is compared.
    """
    pairs: dict[tuple[Way, Way, str, str], list[tuple[Handing, Handing]]] = {}
    for over in replays.of:
        if over.way.gpu != gpu or not over.fits(measure["over"]) or not _is_in(over, measure):
            continue
        for handing in replays.of:
            is_same = handing.lengths == over.lengths and handing.number == over.number
            if is_same and handing != over and handing.fits({**measure["of"], "gpu": gpu}):
                key = handing.way, over.way, over.trace, handing.over(over)
                pairs.setdefault(key, []).append((handing, over))
    compared = []
    for (way, other, trace, ways), handed in pairs.items():
        both = [handing for pair in handed for handing in pair]
        changes = _changes(handed, replays, measure.get("quantity", "energy"))
        if changes:
            compared.append(ReplayedComparison(way, other, changes, trace, ways, both))
    return compared


def _is_in(handing: Handing, measure: Measure) -> bool:
    traces, numbers = measure.get("traces"), measure.get("numbers")
    if traces is not None and not any(fnmatchcase(handing.trace, each) for each in traces):
        return False
    return numbers is None or numbers[0] <= handing.number <= numbers[1]


def _changes(
    handed: Sequence[tuple[Handing, Handing]], replays: Replays, quantity: Quantity
) -> list[Change]:
    """A change for each number of which both sides have a valid run, smallest first."""
    changes = []
    for handing, over in sorted(handed, key=lambda pair: pair[0].number):
        ours, theirs = replays.batch(handing), replays.batch(over)
        if ours.runs and theirs.runs:
            count = len(over.lengths)
            batch = (
                round(sum(i for i, _ in over.lengths) / count),
                round(sum(o for _, o in over.lengths) / count),
                over.number,
            )
            changes.append(change_between(batch, ours, theirs, quantity))
    return changes


def replayed_evidence(measure: Measure | None, replays: Replays) -> list[Evidence]:
    """What replays tell of a claim, by kind of GPU, that of most batches first.

    Args:
        measure: As claims.json has it at "replays"; None where no replay could tell.
        replays: All there are.
    """
    if measure is None:
        return []
    evidence = []
    for gpu in dict.fromkeys(handing.way.gpu for handing in replays.of):
        compared = compare_replays(measure, gpu, replays)
        if not compared:
            continue
        changes = [change for each in compared for change in each.changes]
        measured, _ = PICKS[measure["pick"]](changes)
        of_it = [
            (each, change)
            for each in compared
            for change in each.changes
            if measured.low <= change.percent <= measured.high
        ]
        sizes = sorted({change.batch_size for _, change in of_it})
        size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        names = dict.fromkeys(each.name for each, _ in of_it)
        at = f"{size} at once, {next(iter(names)) if len(names) == 1 else f'{len(names)} replays'}"
        handings = list(dict.fromkeys(handing for each in compared for handing in each.handings))
        invalid_runs = sum(map(replays.invalid_runs, handings))
        versions = replays.versions(handings)
        evidence.append(Evidence(gpu, measured, at, versions, invalid_runs, compared))
    return sorted(evidence, key=lambda each: -each.size)
