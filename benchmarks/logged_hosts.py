"""What a host's pace in one minute tells of the next; docs/online.md.

    python benchmarks/logged_hosts.py

By the logs of the online replays on one GPU: how long launching a step that feeds prompts took,
over what a simulation in time has for it. A host fetches a step's output when it has launched the
next, so that the output tells when that was. Then every replay as it is simulated, with the usual
host and with the one that its own log tells, that of the other replays of the same process, and
that of other processes on the same card; how many are within the bounds on steps and waits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from logged_steps import logged_replays

from joulecast.estimator.online.online import Server
from joulecast.estimator.online.validate import HELD, server_for, validate_online
from joulecast.estimator.validate import shipped_tables_for
from joulecast.measurements.models import load_shape
from joulecast.measurements.replay import Replay
from joulecast.measurements.steplog.log import StepLog

BOUNDS_PERCENT = (3.0, 10.0, 20.0, 5.0, 5.0)
"""On steps, and on what is `HELD`."""
STEP_SD = 0.25
"""Of the logarithm of a launch, from step to step: 0.10 to 0.36 in the logs."""
MINUTE_SD, PROCESS_SD = 0.14, 0.13
"""Of that of a host's pace, from minute to minute, as `main` prints, and from process to process,
rather more than that leaves of the whole (0.1). 0.08 to 0.3 were tried, and tell the same."""
FEWEST = 10
"""So many steps, or more, tell a minute's pace."""
SMALL = 5e9
"""Parameters of a model below which a host decides how long steps take."""


@dataclass(frozen=True)
class Logged:
    """A replay, what serves it, and what its log tells of the host."""

    name: str
    replay: Replay
    server: Server
    launches: tuple[tuple[int, float], ...]
    """Of pieces and of whole launches: how many, and the logarithm of their mean over the law's."""

    @classmethod
    def read(cls, name: str, replay: Replay, log: StepLog) -> "Logged":
        """Of the campaign."""
        server = server_for(replay, shipped_tables_for(replay))
        law, graph = server.times, server.scheduler.graph_tokens
        launch_s = np.asarray(law.launch)[log.tokens] + law.launch_output * log.sampled
        before = np.concatenate([[np.nan], log.output_at[:-1]])
        ratio = (before - log.schedule_end) / np.where(log.tokens > graph, launch_s, law.pieces)
        after_decoding = np.concatenate([[False], log.prompt_tokens[:-1] == 0]) & (ratio > 0)
        kinds = (log.tokens <= graph) & (log.prompt_tokens > 0), log.tokens > graph
        each = [ratio[kind & after_decoding] for kind in kinds]
        launches = tuple((len(of), math.log(of.mean()) if len(of) else 0.0) for of in each)
        return cls(name, replay, server, launches)

    @property
    def card(self) -> str:
        """Its UUID."""
        return self.replay.valid_runs[0].card

    @property
    def model(self) -> str:
        """What was served."""
        return str(self.replay.facts["model"])

    def pace(self, usual: Sequence[float]) -> tuple[float, float]:
        """The logarithm of its host's pace over the usual one, and the variance of that."""
        variances = [0.05**2 + STEP_SD**2 / max(1e-9, count) for count, _ in self.launches]
        weights = 1 / np.array(variances)
        paces = [pace - mean for (_, pace), mean in zip(self.launches, usual, strict=True)]
        return float(weights @ paces / weights.sum()), MINUTE_SD**2 + 1 / weights.sum()

    def errors(self, pace: float) -> list[float]:
        """How far steps and waits come out off with a host of so many times the list's time [%]."""
        law = self.server.times
        times = law._replace(
            launch=(pace * np.asarray(law.launch)).tolist(),
            launch_output=pace * law.launch_output,
            pieces=pace * law.pieces,
        )
        told = validate_online(self.name, self.replay, (), replace(self.server, times=times))
        waits = [told.latency_percent(*held) or 0.0 for held in HELD]
        return [told.steps_percent or 0.0, *waits]

    @property
    def kind(self) -> str:
        """Of its model."""
        shape = load_shape(self.server.model.basis.model)
        if shape.is_mixture:
            return "mixture"
        return "small" if shape.parameters < SMALL else "larger"


def told_by(logs: Sequence[Logged], usual: Sequence[float]) -> float:
    """How many times as long as usual the host takes, by what some logs tell of it."""
    paces = [log.pace(usual) for log in logs]
    told = sum(pace / variance for pace, variance in paces)
    return math.exp(told / (1 / PROCESS_SD**2 + sum(1 / variance for _, variance in paces)))


def print_spread(logs: Sequence[Logged]) -> list[float]:
    """Print what paces differ by, within processes and over all; what is usual of either kind."""
    usual = []
    for kind, what in enumerate(("pieces", "launches")):
        told = [log for log in logs if log.launches[kind][0] >= FEWEST]
        paces = np.array([log.launches[kind][1] for log in told])
        processes = [(log.card, log.model) for log in told]
        groups = [paces[[p == each for p in processes]] for each in set(processes)]
        within = sum(len(group) * group.var() for group in groups) / (len(told) - len(groups))
        usual.append(float(paces.mean()))
        print(
            f"{what}: {math.exp(usual[-1]):.2f} of the law's; sd {paces.std():.2f} over "
            f"{len(told)} minutes, {math.sqrt(within):.2f} within {len(groups)} processes"
        )
    return usual


def main() -> None:
    """Print it all."""
    logs = [
        Logged.read(name, replay, log)
        for name, replay, log in logged_replays()
        if replay.facts["gpu_count"] == 1
    ]
    usual = print_spread([log for log in logs if log.kind != "mixture"])

    def others(log: Logged, is_same: bool) -> list[Logged]:
        beside = [other for other in logs if other is not log and other.card == log.card]
        return [other for other in beside if (other.model == log.model) == is_same]

    ways: dict[str, Callable[[Logged], list[Logged]]] = {
        "its own log": lambda log: [log],
        "others of the same process": lambda log: others(log, True),
        "other processes on the card": lambda log: others(log, False),
    }
    errors = cache(lambda k, pace: logs[k].errors(pace))
    for way, tellers in ways.items():
        for kind in ("small", "larger", "mixture"):
            chosen = [k for k, log in enumerate(logs) if log.kind == kind and tellers(log)]
            for host in ("usual host", "told"):
                paces = [
                    1.0 if host != "told" else told_by(tellers(logs[k]), usual) for k in chosen
                ]
                off = np.abs([errors(k, pace) for k, pace in zip(chosen, paces, strict=True)])
                within = off <= BOUNDS_PERCENT
                print(
                    f"{way}: {kind}, {host}: of {len(chosen)} within "
                    f"{', '.join(map(str, within.sum(axis=0)))}, all {within.all(axis=1).sum()}; "
                    f"median {', '.join(f'{each:.1f}' for each in np.median(off, axis=0))} %"
                )


if __name__ == "__main__":
    main()
