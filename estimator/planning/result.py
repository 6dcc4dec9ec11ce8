"""A plan: the fleets that serve a trace in time, ranked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from joulecast.estimator.over_time.serving import Objective
from joulecast.estimator.planning.fleets import FleetOption, Goal, NotPlanned
from joulecast.estimator.planning.terms import Terms
from joulecast.traces.errors import InputError
from joulecast.traces.frame import frame_of
from joulecast.traces.html import html_of
from joulecast.traces.inputs.thinning import Thinning
from joulecast.traces.reading.rows.reading import TraceReading

if TYPE_CHECKING:
    import pandas as pd

GOALS: tuple[Goal, ...] = get_args(Goal)
SCOPE = "all GPUs of the fleet, from the first arrival to the last token"
OFFLINE_SCOPE = "all GPUs of one server, from the first step to the last token"


@dataclass(frozen=True)
class FleetPlan:
    """What serves a trace in time, by what it takes.

    Attributes:
        trace: What the user called the trace.
        by: What the options are ranked by: "gpus", "energy" or "cost".
        objectives: Bounds on how long requests wait; none for a batch job.
        options: Fleets that serve the trace in time, the best first.
        not_planned: Deployments that do not, each with the reason.
        terms: Prices and carbon.
        reading: What was read of the log; None where the requests come from a workload.
        models: What was tried: short names of models, or their configs.
        thinning: What was left out of the requests on purpose; None for nothing.
    """

    trace: str
    by: Goal
    objectives: tuple[Objective, ...]
    options: tuple[FleetOption, ...]
    not_planned: tuple[NotPlanned, ...]
    terms: Terms
    reading: TraceReading | None = None
    models: tuple[str, ...] = ()
    thinning: Thinning | None = None

    @property
    def goals(self) -> tuple[Goal, ...]:
        """What fleets can be ranked by; by cost where some have one."""
        has_costs = any(option.cost is not None for option in self.options)
        return GOALS if has_costs else GOALS[:2]

    @property
    def scope(self) -> str:
        """Whose energy it is."""
        is_online = any(option.estimate.serving for option in self.options)
        return SCOPE if is_online or self.objectives else OFFLINE_SCOPE

    def ranked(self, by: Goal) -> list[FleetOption]:
        """The options, those with the least first.

        Args:
            by: "gpus" (ties by energy), "energy" (ties by GPUs) or "cost" (ties by energy).
        """
        if by not in GOALS:
            raise InputError(f'by "{by}" is none of: {", ".join(GOALS)}')
        return sorted(self.options, key=lambda option: option.place(by))

    def best(self, by: Goal) -> FleetOption | None:
        """The option with the least; None if there is none, or by cost without prices.

        Args:
            by: As in `ranked`.
        """
        ranked = self.ranked(by)
        if not ranked or (by == "cost" and ranked[0].cost is None):
            return None
        return ranked[0]

    def rivals(self, by: Goal) -> list[FleetOption]:
        """Options that the intervals leave open to be the best in its place.

        Args:
            by: As in `ranked`.
        """
        best = self.best(by)
        if best is None:
            return []
        return [each for each in self.ranked(by)[1:] if best.might_change_places(each, by)]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        rows: list[dict[str, Any]] = []
        for place, option in enumerate(self.options):
            above = self.options[place - 1] if place else None
            is_open = above is not None and option.might_change_places(above, self.by)
            row = {"place": place + 1, "may_precede_the_one_above": is_open, **option.to_dict()}
            row["headroom_percent"] = option.headroom_percent(self.objectives)
            rows.append(row)
        return {
            "trace": self.trace,
            "reading": None if self.reading is None else self.reading.to_dict(),
            "models": list(self.models),
            "scope": self.scope,
            "by": self.by,
            "slo": [objective.text for objective in self.objectives],
            **({} if self.thinning is None else {"thinning": self.thinning.to_dict()}),
            **self.terms.to_dict(),
            "best": {
                goal: None
                if (best := self.best(goal)) is None
                else {"spec": best.spec, "rivals": [each.spec for each in self.rivals(goal)]}
                for goal in GOALS
            },
            "options": rows,
            "not_planned": [each.to_dict() for each in self.not_planned],
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each option, and for each deployment that is none; nothing of it nested."""
        rows = []
        for row in self.to_dict()["options"]:
            low_j, high_j = row["interval_j"]
            flat = {key: v for key, v in row.items() if not isinstance(v, dict | list)}
            flat |= {"interval_low_j": low_j, "interval_high_j": high_j}
            for latency in ("ttft_s", "tpot_s", "e2e_s"):
                quantiles = row.get(latency) or {}
                flat |= {f"{latency[:-2]}_{name}_s": v for name, v in quantiles.items()}
            rows.append({**flat, "lack": None, "reason": None})
        empty = dict.fromkeys(rows[0] if rows else ("spec", "lack", "reason"))
        return [*rows, *({**empty, **each.to_dict()} for each in self.not_planned)]

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row for each deployment, the best first.

        Raises:
            InputError: There is no pandas.
        """
        return frame_of(self.rows())

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return html_of(self)
