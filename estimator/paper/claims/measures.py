"""What of our tables stands beside a claim: changes between two ways of serving, and phases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from joulecast.estimator.paper.claims.deployments import Batches, Change, Quantity, Way
from joulecast.estimator.paper.claims.phases import PhasePoint, Phases
from joulecast.estimator.paper.claims.verdict import Measured

Measure = Mapping[str, Any]

UNLESS_SAID = {"gpus": 1, "decoding": "greedy", "speculation": "", "quantization": ""}


@dataclass(frozen=True)
class Compared:
    """One way of serving over another.

    Attributes:
        way: It.
        over: The other.
        changes: For every batch that both have.
    """

    way: Way
    over: Way
    changes: Sequence[Change]


@dataclass(frozen=True)
class Evidence:
    """What was measured of a claim on one kind of GPU.

    Attributes:
        gpu: Its short name.
        measured: The number that the claim is held against.
        at: What the number is of: batch, lengths, models.
        versions: Engines and their versions.
        invalid_runs: Runs of their tables that failed a gate and were left out.
        compared: The comparisons that it is from; empty for phases.
        phases: The points that it is from; empty for comparisons.
    """

    gpu: str
    measured: Measured
    at: str
    versions: str
    invalid_runs: int
    compared: Sequence[Compared] = ()
    phases: Sequence[PhasePoint] = ()

    @property
    def size(self) -> int:
        """How many batches it rests on."""
        return sum(len(each.changes) for each in self.compared) + len(self.phases)


def evidence_of(measure: Measure | None, batches: Batches, phases: Phases) -> list[Evidence]:
    """What was measured of a claim, that of most batches first; nothing if nothing was.

    Args:
        measure: As claims.json has it: "kind" is change, trend, exponent or share; "also" has other
            ways of serving than "of", which come after it.
        batches: What all tables took.
        phases: What prefill and decoding took of it.
    """
    if measure is None:
        return []
    kind = _KINDS[measure["kind"]]
    gpus = dict.fromkeys(way.gpu for way in batches.tables)
    told: list[Evidence] = []
    for of in (measure["of"], *measure.get("also", ())):
        of_gpus = [kind({**measure, "of": of}, gpu, batches, phases) for gpu in gpus]
        told += sorted(
            (evidence for evidence in of_gpus if evidence is not None),
            key=lambda evidence: -evidence.size,
        )
    return told


def compare_ways(measure: Measure, gpu: str, batches: Batches) -> list[Compared]:
    """All comparisons that a claim is about, on one kind of GPU.

    "of" and "over" say which ways of serving; "same" in what both sides must be alike; "lengths"
    and "batches" restrict what is compared.
    """
    compared = []
    quantity: Quantity = measure.get("quantity", "energy")
    for over in batches.ways(**{**UNLESS_SAID, **measure["over"], "gpu": gpu}):
        alike = {name: getattr(over, name) for name in measure.get("same", ())}
        facts = {**UNLESS_SAID, **measure["of"], "gpu": gpu}
        for way in batches.ways(**facts):
            if way == over or not way.fits(alike):
                continue
            changes = [
                change for change in batches.changes(way, over, quantity) if _is_of(change, measure)
            ]
            if changes:
                compared.append(Compared(way, over, changes))
    return compared


def _is_of(change: Change, measure: Measure) -> bool:
    lengths, sizes = measure.get("lengths"), measure.get("batches")
    if lengths is not None and list(change.batch[:2]) not in lengths:
        return False
    return sizes is None or sizes[0] <= change.batch_size <= sizes[1]


def _change(measure: Measure, gpu: str, batches: Batches, _phases: Phases) -> Evidence | None:
    """The largest rise or fall, the largest of either, or the range of all."""
    compared = compare_ways(measure, gpu, batches)
    changes = _settled(compared)
    most = measure.get("up_to_batch")
    if not changes or (most and min(change.batch_size for change in changes) > most):
        return None
    measured, at = PICKS[measure["pick"]](changes)
    if drafts := sorted({each.way.draft for each in compared if each.way.draft is not None}):
        rates = " and ".join(f"{100 * rate:g} %" for _, rate in drafts)
        at += f"; {' and '.join(dict.fromkeys(name for name, _ in drafts))}, {rates} accepted"
    return Evidence(gpu, measured, at, *_served(compared, batches), compared)


def _settled(compared: Sequence[Compared]) -> list[Change]:
    """The changes that hold no plans for new shapes; all of them where each does."""
    changes = [change for each in compared for change in each.changes]
    return [change for change in changes if not change.has_new_shapes] or changes


def _highest(changes: Sequence[Change]) -> tuple[Measured, str]:
    return _single(max(changes, key=lambda change: change.percent))


def _lowest(changes: Sequence[Change]) -> tuple[Measured, str]:
    return _single(min(changes, key=lambda change: change.percent))


def _largest(changes: Sequence[Change]) -> tuple[Measured, str]:
    largest = max(changes, key=lambda change: abs(change.percent))
    return _single(replace(largest, percent=abs(largest.percent)))


def _range(changes: Sequence[Change]) -> tuple[Measured, str]:
    low, high = (pick(changes, key=lambda change: change.percent) for pick in (min, max))
    runs = min(change.runs for change in changes)
    has_new_shapes = any(change.has_new_shapes for change in changes)
    ends = low.percent, high.percent, low.error
    return Measured(*ends, runs, high.error, has_new_shapes), _batch_text(changes)


def _single(change: Change) -> tuple[Measured, str]:
    ends = change.percent, change.percent, change.error
    measured = Measured(*ends, change.runs, has_new_shapes=change.has_new_shapes)
    return measured, _batch_text([change])


PICKS: Mapping[str, Callable[[Sequence[Change]], tuple[Measured, str]]] = {
    "highest": _highest,
    "lowest": _lowest,
    "largest": _largest,
    "range": _range,
}


def _trend(measure: Measure, gpu: str, batches: Batches, _phases: Phases) -> Evidence | None:
    """How much more the smallest batch changes than the largest [points]."""
    compared = compare_ways(measure, gpu, batches)
    changes = _settled(compared)
    if len({change.batch_size for change in changes}) < 2:
        changes = [change for each in compared for change in each.changes]
    changes = sorted(changes, key=lambda change: change.batch_size)
    if not changes or changes[0].batch_size > measure["up_to_batch"]:
        return None
    first, last = changes[0], changes[-1]
    if first.batch_size == last.batch_size:
        return None
    difference = first.percent - last.percent
    error = (first.error**2 + last.error**2) ** 0.5
    has_new_shapes = first.has_new_shapes or last.has_new_shapes
    measured = Measured(
        difference,
        difference,
        error,
        min(first.runs, last.runs),
        has_new_shapes=has_new_shapes,
    )
    at = f"batch {first.batch_size:,} less batch {last.batch_size:,}"
    return Evidence(gpu, measured, at, *_served(compared, batches), compared)


def _exponent(measure: Measure, gpu: str, batches: Batches, phases: Phases) -> Evidence | None:
    """The x of energy ~ length^x, over a range of inputs or outputs."""
    way = _phase_way(measure, gpu, batches)
    points = [] if way is None else phases.series(way, measure)
    if way is None or not points:
        return None
    lengths = [getattr(point, f"{measure['along']}_tokens") for point in points]
    slope, error = phases.exponent(points, measure["phase"], measure["along"])
    runs = min(point.runs for point in points)
    has_new_shapes = any(point.has_new_shapes for point in points)
    measured = Measured(slope, slope, error, runs, has_new_shapes=has_new_shapes)
    at = f"batch {measure['batch']}, {min(lengths):,} to {max(lengths):,} tokens"
    return Evidence(
        gpu,
        measured,
        at,
        batches_versions(batches, [way]),
        batches.invalid_runs(way),
        phases=points,
    )


def _share(measure: Measure, gpu: str, batches: Batches, phases: Phases) -> Evidence | None:
    """Decoding's share of both phases' energy [%]."""
    way = _phase_way(measure, gpu, batches)
    batch = *measure["lengths"], measure["batch"]
    point = None if way is None else phases.of(way).get(batch)
    if way is None or point is None:
        return None
    share, error = point.decode_share_percent
    at = f"batch {measure['batch']}, ({batch[0]:,}, {batch[1]:,}) tokens"
    measured = Measured(share, share, error, point.runs, has_new_shapes=point.has_new_shapes)
    versions, invalid_runs = batches_versions(batches, [way]), batches.invalid_runs(way)
    return Evidence(gpu, measured, at, versions, invalid_runs, phases=[point])


def _phase_way(measure: Measure, gpu: str, batches: Batches) -> Way | None:
    ways = batches.ways(**{**UNLESS_SAID, **measure["of"], "gpu": gpu})
    return next(iter(ways), None)


_KINDS: Mapping[str, Callable[[Measure, str, Batches, Phases], Evidence | None]] = {
    "change": _change,
    "trend": _trend,
    "exponent": _exponent,
    "share": _share,
}


def _batch_text(changes: Sequence[Change]) -> str:
    """Which batches changes are of."""
    sizes = sorted({change.batch_size for change in changes})
    lengths = sorted({change.batch[:2] for change in changes})
    size = f"batch {sizes[0]:,}" if len(sizes) == 1 else f"batches {sizes[0]:,} to {sizes[-1]:,}"
    if len(lengths) == 1:
        return f"{size}, ({lengths[0][0]:,}, {lengths[0][1]:,}) tokens"
    return f"{size}, {len(lengths)} pairs of lengths"


def _served(compared: Sequence[Compared], batches: Batches) -> tuple[str, int]:
    """The engines of both sides with their versions, and their invalid runs."""
    ways = dict.fromkeys(way for each in compared for way in (each.way, each.over))
    return batches_versions(batches, list(ways)), sum(map(batches.invalid_runs, ways))


def batches_versions(batches: Batches, ways: Sequence[Way]) -> str:
    """The engines of some ways of serving, with their versions."""
    versions: dict[str, set[str]] = {}
    for way in ways:
        for table in batches.tables.get(way, ()):
            versions.setdefault(way.engine, set()).add(str(table.metadata["engine_version"]))
    return ", ".join(f"{engine} {' and '.join(sorted(of))}" for engine, of in versions.items())
