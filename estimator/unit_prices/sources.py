"""What prices are fitted to: the batches of tables, and metered replays."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from joulecast.estimator.steps.batching import batched
from joulecast.estimator.steps.continuous_batching import ContinuousBatching, graph_padding
from joulecast.estimator.steps.metered_batches import MeteredBatch, metered_batches
from joulecast.estimator.steps.schedulers import continuous_batching
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.fit import Metered
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.identity import kind_of, other_decoding, require_greedy
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.studies import load_study, study_names
from joulecast.measurements.table.table import EnergyTable, load_table, table_names
from joulecast.measurements.table.traffic_window import TrafficWindow
from joulecast.traces.errors import InputError

FEWEST_BATCHES = 7

_RAW_LOGS = "campaign-2026-11-26"
_RAW_TRAFFIC = frozenset({"h200-sxm"})
"""GPUs whose prices rest on windows of traffic that are not shipped as tables, too: below the power
limit one H200 takes a tenth less than others, and the shipped traffic is of that one."""

_SHORTEST_S = 3.0
"""A stretch of traffic that is shorter tells little: its ticks leave 0.1 s at either end."""

_DRAINED_S = 0.2
"""How long after a stretch has drained the counter shows it."""


def deployment_of(facts: Mapping[str, Any], config: str) -> Deployment:
    """What served in a measurement; `config` is what `load_config` takes for its model.

    Raises:
        InputError: It did not choose tokens greedily, or had a draft.
    """
    kind = kind_of(facts)
    settings = facts["engine_settings"]
    require_greedy(facts, f"a measurement of {kind['model']} on {kind['gpu']}")
    return Deployment(
        model=config,
        gpu=load_gpu(kind["gpu"]),
        engine=kind["engine"],
        gpus=kind["gpu_count"],
        dtype=kind["dtype"],
        quantization=kind["quantization"],
        power_limit_w=float(facts["power_limit_w"]) / kind["gpu_count"],
        is_eager=bool(kind["eager"]),
        max_num_seqs=settings.get("max_num_seqs"),
        max_num_batched_tokens=settings.get("max_num_batched_tokens"),
    )


def _variant(deployment: Deployment) -> tuple[str, ...]:
    """What is measured as one thing: a model in a format on so many GPUs, compiled or not."""
    quantization, is_eager = deployment.quantization, deployment.is_eager
    return deployment.shape.name, f"{deployment.gpus} GPUs", f"{quantization}", f"{is_eager}"


def metered_of_table(
    table: EnergyTable, batches: Sequence[MeteredBatch] | None = None
) -> Iterator[Metered]:
    """The batches of a table, those of each card apart, whose idle power it says.

    Args:
        table: The table.
        batches: What `metered_batches` makes of it, if that is at hand.
    """
    deployment = deployment_of(table.metadata, table.config)
    for batch in metered_batches(table) if batches is None else batches:
        work = deployment.work_of(batch.steps)
        by_card: dict[str | None, list[Run]] = {}
        for run in batch.runs:
            by_card.setdefault(run.gpu, []).append(run)
        for card, runs in by_card.items():
            yield Metered(
                name=f"{table.name} {batch.batch}",
                group=(*_variant(deployment), "batches"),
                deployment=deployment,
                work=work,
                energy_j=float(np.mean([run.batch_energy_j for run in runs])),
                seconds=float(np.mean([run.seconds / run.batches for run in runs])),
                idle_power_w=_idle_power_w(table.metadata, card),
                lengths=batch.batch[:2],
            )


def metered_of_traffic(table: EnergyTable) -> Iterator[Metered]:
    """The stretches of a table's windows of traffic, pauses included."""
    for window in table.valid_windows:
        yield from metered_of_window(window, table.name, table.config)


def metered_of_window(window: TrafficWindow, name: str, config: str) -> Iterator[Metered]:
    """The stretches of a window of traffic, pauses included.

    Args:
        window: The window.
        name: What it is called.
        config: What `load_config` takes for its model.
    """
    deployment = deployment_of(window.facts, config)
    log, settings = window.steps, window.facts["engine_settings"]
    ended = np.fmax.accumulate(log.output_at)
    ticks_s = next(iter(window.ticks.by_gpu.values())).seconds
    for span, first, last in window.spans:
        inside = ticks_s[(ticks_s >= first) & (ticks_s <= last + _DRAINED_S)]
        chosen = (ended >= first) & (ended <= last + _DRAINED_S)
        if len(inside) < 2 or inside[-1] - inside[0] < _SHORTEST_S:
            continue
        begin, end = float(inside[0]), float(inside[-1])
        yield Metered(
            name=f"{name} {span}",
            group=(*_variant(deployment), "traffic"),
            deployment=deployment,
            work=deployment.work_of(steps_of_log(log, chosen, settings)),
            energy_j=float(window.ticks.energies(np.array([begin, end])).sum()),
            seconds=end - begin,
            idle_power_w=float(window.facts["idle_power_w"]),
            lengths=window.longest,
            is_busy=False,
        )


def steps_of_log(log: StepLog, chosen: npt.NDArray[np.bool_], settings: Mapping[str, Any]) -> Steps:
    """Some steps of a log.

    Args:
        log: All of them.
        chosen: Which, shape (steps,).
        settings: Of the engine, as it resolved them.

    Raises:
        InputError: The settings lack something.
    """
    graph_tokens = ContinuousBatching.from_settings(settings, "a log of steps").graph_tokens
    decoding, prompt_tokens, context, pairs, sampled = (
        column[chosen].astype(float)
        for column in (log.decoding, log.prompt_tokens, log.context, log.pairs, log.sampled)
    )
    tokens = decoding + prompt_tokens
    return Steps(
        decoding,
        prompt_tokens,
        context,
        pairs,
        sampled,
        is_launched=tokens > graph_tokens,
        requests=0,
        padding=graph_padding(tokens, graph_tokens),
    )


def _idle_power_w(metadata: Mapping[str, Any], card: str | None) -> float:
    """Of the card, or the cards, that a run says; of the table if it does not."""
    cards = metadata.get("cards", {})
    powers = [cards.get(name, {}).get("idle_power_w") for name in (card or "").split("+")]
    if None not in powers:
        return float(sum(powers))
    return float(metadata["idle_power_w"])


def metered_of_replay(replay: Replay, name: str) -> Iterator[Metered]:
    """The valid runs of a replay."""
    deployment = deployment_of(replay.facts, replay.facts["model"])
    scheduler = continuous_batching(replay.facts["engine_settings"], deployment.shape, name)
    lengths = np.array(replay.lengths)
    work = deployment.work_of(batched(scheduler, replay.batching).schedule(lengths))
    for run in replay.valid_runs:
        if run.idle_power_w is not None:
            yield Metered(
                name=name,
                group=(*_variant(deployment), "replays"),
                deployment=deployment,
                work=work,
                energy_j=run.round_j,
                seconds=run.round_seconds,
                idle_power_w=run.idle_power_w,
                lengths=(int(lengths[:, 0].max()), int(lengths[:, 1].max())),
            )


def is_usable(table: EnergyTable, gpu: str, engine: str) -> bool:
    """Whether a table tells prices of a GPU and engine: batches or traffic, not made by hand."""
    batches = {run.batch for run in table.runs if run.valid}
    return (
        table.metadata["gpu"] == gpu
        and table.engine == engine
        and table.metadata["measured_by"] != "hand"
        and other_decoding(table.metadata) is None
        and table.metadata.get("idle_power_w") is not None
        and (bool(table.valid_windows) or len(batches) >= FEWEST_BATCHES)
    )


def metered_of(table: EnergyTable) -> list[Metered]:
    """Everything in a table."""
    return list(metered_of_traffic(table) if table.is_of_traffic else metered_of_table(table))


def idle_powers_w(tables: Iterable[EnergyTable]) -> list[float]:
    """Idle power of each card of some tables, once [W]."""
    cards: dict[str, float] = {}
    for table in tables:
        for card, facts in table.metadata.get("cards", {}).items():
            if facts.get("idle_power_w") is not None:
                cards[card] = float(facts["idle_power_w"]) / (1 + card.count("+"))
    return list(cards.values())


def measured_kinds() -> list[tuple[str, str]]:
    """GPU and engine of the tables that ship, each once; of engines whose scheduler is known."""
    tables = [load_table(name) for name in table_names()]
    return sorted({(t.metadata["gpu"], t.engine) for t in tables if t.engine == "vllm"})


def shipped_tables(gpu: str, engine: str) -> list[EnergyTable]:
    """The tables that ship and tell prices of a GPU and engine."""
    tables = [load_table(name) for name in table_names() if name.startswith(f"{gpu}/")]
    return [table for table in tables if is_usable(table, gpu, engine)]


def shared_studies(gpu: str, engine: str) -> list[EnergyTable]:
    """Studies that ship, of several GPUs that share a model.

    The same model split in two and four tells apart what every GPU does for itself from what is
    divided among them, which batches on one do not: a token sampled from reading its cache.
    """
    names = [name for name in study_names() if name.startswith(f"{gpu}/")]
    studies = [load_study(name) for name in names]
    return [study for study in studies if study.gpu_count > 1 and is_usable(study, gpu, engine)]


def shipped_measurements(tables: Iterable[EnergyTable]) -> list[Metered]:
    """Everything in some tables."""
    return [each for table in tables for each in metered_of(table)]


def shipped_replays(gpu: str, engine: str) -> list[Metered]:
    """The replays of a GPU and engine that ship."""
    metered: list[Metered] = []
    for path in sorted(SHIPPED.rglob("*.json")):
        replay = Replay.load(path)
        if (replay.facts["gpu"], replay.facts["engine"]) == (gpu, engine):
            name = path.relative_to(SHIPPED).with_suffix("").as_posix()
            metered += metered_of_replay(replay, f"replay {name}")
    return metered


def raw_traffic(gpu: str, tables: Iterable[EnergyTable]) -> list[Metered]:
    """Windows of traffic, on one GPU each, of which no table ships.

    Args:
        gpu: Short name.
        tables: Those that ship, whose windows are left out here.

    Raises:
        InputError: The raw logs are not there; only a checkout has them.
    """
    if gpu not in _RAW_TRAFFIC:
        return []
    folder = Path(str(files("joulecast.measurements"))) / _RAW_LOGS / gpu
    if not folder.is_dir():
        raise InputError(f"{folder}: the raw logs of traffic are not there; work from a checkout")
    shipped = {(window.card, window.begin_s) for table in tables for window in table.valid_windows}
    metered: list[Metered] = []
    for path in sorted(folder.glob("*/*/traffic*.steps.csv.gz")):
        window = TrafficWindow.read(path)
        is_new = window.facts["gpu_count"] == 1 and (window.card, window.begin_s) not in shipped
        if is_new and window.is_valid:
            name = f"traffic {path.parent.relative_to(folder.parent).as_posix()}"
            metered += metered_of_window(window, name, str(window.facts["model"]))
    return metered
