"""What replays that were metered on a card tell of it."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.online.online import Server
from joulecast.estimator.online.validate import model_for, served_for, validate_online
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.own_card.deviation import Prices, Told, deviation_over
from joulecast.estimator.own_card.law import OwnCardLaw, spread_of
from joulecast.estimator.steps.batching import batched
from joulecast.estimator.steps.spending import OwnCard
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.model import Served
from joulecast.estimator.validate import shipped_tables_for
from joulecast.measurements.identity import other_decoding
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload

_MOST_SDS = 4.0
"""So far from its estimate a replay may lie. Chosen after a look at the 96 that ship, of which none
is beyond 2."""

_MOST_IDLE = 0.5
"""How far a card's idle power may lie from its kind's, relative; or so many sds, if that is more.
Those that ship lie within 17 %."""

_SAME_LIMIT = 0.01
_TOLD_TO_S = 1.0
"""What a run's begin is told to [s]."""

_NOT_OF_WORK = ("idle", "card")
"""What is no error of the work that a replay tells of."""


@dataclass(frozen=True)
class CardReplay:
    """A replay on the card, and what to call it.

    Attributes:
        name: Of its file.
        replay: What was metered; each of its valid runs on the same card.
    """

    name: str
    replay: Replay

    @property
    def card(self) -> str:
        """UUID of the GPU; of all, joined by +."""
        return self.replay.valid_runs[0].card

    @property
    def idle_power_w(self) -> float:
        """What the card draws with nothing to do [W]."""
        return statistics.fmean(run.idle_power_w for run in self.replay.valid_runs)

    def require_usable(self) -> None:
        """Refuse what tells of no card, or of several.

        Raises:
            InputError: It does.
        """
        runs = self.replay.valid_runs
        if any(not run.card for run in runs):
            raise InputError(
                f'{self.name}: "card" is empty; take the file as joulecast replay wrote it'
            )
        if not runs:
            raise InputError(
                f"{self.name}: has no valid run: {self.replay.runs[0].reason}; make it again"
            )
        if len({run.card for run in runs}) > 1:
            raise InputError(
                f"{self.name}: was metered on several cards, one after the other, and --card takes "
                "a replay of the one that will serve"
            )
        cards, count = len(self.card.split("+")), self.replay.facts.get("gpu_count", 1)
        if cards != count:
            raise InputError(
                f'{self.name}: "gpu_count" is {count}, and "card" names {_cards(cards)}; take the '
                "file as joulecast replay wrote it"
            )
        if how := other_decoding(self.replay.facts):
            raise InputError(
                f"{self.name}: was metered {how}; --card takes replays of greedy decoding"
            )


Replays = str | Path | Replay | Sequence[str | Path | Replay]
"""A replay or several, each as a file or as it is."""

ServerOn = Callable[[StepModel, Served, int | Literal["auto"]], StepModel]
"""What makes a step model, made of a deployment, with so many replicas, one of the very card."""


def serving_on(replays: Sequence["CardReplay"]) -> ServerOn:
    """What makes a step model one of the card that replays were metered on."""

    def server(model: StepModel, served: Served, replicas: int | Literal["auto"]) -> StepModel:
        if replicas != 1:
            raise InputError(
                f"--card: {replays[0].name} is of one server, and --replicas {replicas} are others "
                "beside it; leave one out"
            )
        return on_card(model, served, replays)

    return server


def card_replays(replays: Replays) -> list[CardReplay]:
    """Replays of one card, from files or as they are.

    Raises:
        InputError: A file is no replay or given twice, or they are of several cards.
    """
    several = replays if isinstance(replays, list | tuple) else [replays]
    told: list[CardReplay] = []
    for each in several:
        if isinstance(each, Replay):
            told.append(CardReplay(f"replay of {each.facts['trace']}", each))
        elif isinstance(each, str | Path):
            told.append(CardReplay(Path(each).name, Replay.load(Path(each))))
        else:
            raise InputError(f"card is {each!r}; give the file of a replay, or a Replay")
        told[-1].require_usable()
        _require_fits(told[-1], told[:-1])
    return told


def _require_fits(last: CardReplay, others: Sequence[CardReplay]) -> None:
    """Refuse a replay that does not go with others.

    Raises:
        InputError: It is of another card, or one of them again.
    """
    for other in others:
        if last.replay.valid_runs[0] == other.replay.valid_runs[0]:
            raise InputError(f"{last.name}: is the same replay as {other.name}; give it once")
        if last.card == other.card and _overlap(last, other):
            raise InputError(
                f"{last.name}: was metered while {other.name} was, on the same card; give either"
            )
        if last.card != other.card:
            raise InputError(
                f"{last.name}: was metered on {last.card}, and {other.name} on {other.card}; give "
                "replays of the card that will serve alone"
            )


def _overlap(last: CardReplay, other: CardReplay) -> bool:
    """Whether windows of both say that they were metered at the same time."""
    (begins_s, seconds), (later_s, _) = sorted([_span(last), _span(other)])
    return later_s + _TOLD_TO_S < begins_s + seconds


def _span(replay: CardReplay) -> tuple[float, float]:
    """When its first valid run began [s since 1970], and how long it lasted [s]."""
    run = replay.replay.valid_runs[0]
    try:
        return datetime.fromisoformat(run.started_at).timestamp(), run.seconds
    except ValueError:
        raise InputError(
            f'{replay.name}: "started_at" is "{run.started_at}", not an ISO 8601 time; take the '
            "file as joulecast replay wrote it"
        ) from None


Tell = Callable[["CardReplay", Served], Told]
"""What a replay tells of its card, if such a deployment is to serve."""


def on_card(
    model: StepModel, served: Served, replays: Sequence[CardReplay], tell: Tell | None = None
) -> StepModel:
    """A step model that serves on the very card that replays were metered on.

    Args:
        model: Of any card of the kind.
        served: What it is made of.
        replays: As `card_replays` has them; none leaves the model as it is.
        tell: What each tells; None for `told_by`.

    Raises:
        InputError: They are of another kind or number of GPUs, or none can be estimated.
    """
    if not replays:
        return model
    for replay in replays:
        _require_of_kind(model, served, replay)
    prices = prices_of(model)
    tell = told_by if tell is None else tell
    told = [tell(replay, served) for replay in replays]
    for replay, each in zip(replays, told, strict=True):
        _require_believable(replay, each)
    deviation, sd = deviation_over(prices, told)
    card = OwnCard(
        card=replays[0].card,
        replays=tuple(replay.name for replay in replays),
        idle_power_w=statistics.fmean(replay.idle_power_w for replay in replays),
        deviation=deviation,
        deviation_sd=sd,
    )
    return replace(model, law=OwnCardLaw(model.law, card))


def _require_believable(replay: CardReplay, told: Told) -> None:
    """Refuse a replay that lies further from its estimate than cards and errors explain.

    Raises:
        InputError: It does.
    """
    sds = told.deviation / math.sqrt(1 + told.prices.own_variance + told.sd**2)
    if abs(sds) > _MOST_SDS:
        raise InputError(
            f"{replay.name}: took so much {'more' if sds > 0 else 'less'} than its estimate "
            f"({abs(sds):.1f} standard deviations) that the card alone cannot be why; see: "
            "joulecast validate"
        )


def prices_of(model: StepModel) -> Prices:
    """What a model's estimates rest on."""
    return Prices(model.basis.tables, model.law.cards)


def _require_of_kind(model: StepModel, served: Served, replay: CardReplay) -> None:
    """Refuse a replay that was metered on other GPUs than those that will serve, or otherwise.

    Raises:
        InputError: It was.
    """
    facts = replay.replay.facts
    if facts["gpu"] != model.gpu.name:
        raise InputError(
            f"{model.name}: {replay.name} was metered on {facts['gpu']}, and {model.gpu.name} is "
            f"to serve; give a replay of the card that will, or --gpu {facts['gpu']}"
        )
    gpus = len(replay.card.split("+"))
    if gpus != model.basis.gpus:
        raise InputError(
            f"{model.name}: {replay.name} was metered on {_cards(gpus)}, and "
            f"{_cards(model.basis.gpus)} will serve; give a replay of those, or --gpus {gpus}"
        )
    limit_w, serving_w = float(facts["power_limit_w"]) / gpus, _power_limit_w(served)
    if abs(limit_w / serving_w - 1) > _SAME_LIMIT:
        raise InputError(
            f"{model.name}: {replay.name} was metered at a power limit of {limit_w:g} W a card, "
            f"and at {serving_w:g} W it is to serve; give a replay at that limit"
        )
    idle_w, usual_w = replay.idle_power_w, model.law.idle_power_w
    if abs(idle_w - usual_w) > max(_MOST_IDLE * usual_w, _MOST_SDS * model.law.idle_sd_w):
        raise InputError(
            f"{replay.name}: says that with nothing to do it draws {idle_w:.0f} W, where others of "
            f"the kind draw {usual_w:.0f} W; meter it again"
        )


def _power_limit_w(served: Served) -> float:
    """Of each card that is to serve [W]."""
    if isinstance(served, EnergyTable):
        return float(served.metadata["power_limit_w"]) / served.gpu_count
    return served.deployment.power_limit_w


def _cards(count: int) -> str:
    return "1 card" if count == 1 else f"{count} cards"


def told_by(replay: CardReplay, served: Served) -> Told:
    """What a replay tells of its card, by the estimate of it.

    Args:
        replay: Metered on the card.
        served: What will serve, taken for the replay as well where it is what served that.

    Raises:
        InputError: It cannot be estimated.
    """
    own = [served] if isinstance(served, EnergyTable) else []
    server = served_for(replay.replay, [*own, *shipped_tables_for(replay.replay)])
    try:
        model = model_for(server, replay.replay)
        prices, usual = prices_of(model), model.law
        unknown = OwnCard(
            replay.card, (), replay.idle_power_w, *deviation_over(prices, ())
        )  # as any of its kind, but for idle power
        model = replace(model, law=OwnCardLaw(usual, unknown))
        if replay.replay.served is None:
            above, sds = _told_offline(model, replay)
        else:
            above, sds = _told_online(server_of(server, model), replay)
    except InputError as error:
        raise InputError(f"{replay.name}: tells nothing of its card: {error}") from error
    spread = spread_of(usual, sds)
    others = [sd for cause, sd in sds.items() if cause not in _NOT_OF_WORK]
    return Told(above / spread, math.hypot(*others) / spread, prices)


_Above = tuple[float, Mapping[str, float]]
"""How far what work took lies above its estimate, relative; what that may be off by."""


def _told_online(server: Server, replay: CardReplay) -> _Above:
    """Of a replay whose requests came over time: the card's own idle power is known."""
    validation = validate_online(replay.name, replay.replay, (), server)
    estimate = validation.estimate
    serving, sds = estimate.serving, estimate.relative_sds
    if serving is None or sds is None:
        raise InputError("its estimate has no interval")
    share = serving.work_j / estimate.energy_j
    work_j = validation.metered_j - serving.idle_j
    of_work = {cause: sd / share for cause, sd in sds.items()}
    # What waiting took, which is taken off, is as uncertain.
    of_work["waiting"] = of_work["idle"]
    return work_j / serving.work_j - 1, of_work


def _told_offline(model: StepModel, replay: CardReplay) -> _Above:
    """Of a replay whose requests were all there at once."""
    lengths = np.array(replay.replay.lengths, dtype=np.int64)
    model = replace(model, scheduler=batched(model.scheduler, replay.replay.batching))
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    estimate: Estimate = model.estimate(workload, replay.name, lengths)
    metered_j = statistics.fmean(run.round_j for run in replay.replay.valid_runs)
    return metered_j / estimate.energy_j - 1, estimate.relative_sds or {}
