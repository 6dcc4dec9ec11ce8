"""What `joulecast estimate --group-by model` shows: each model of a log, served by itself."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from joulecast.estimator.by_model import ModelEstimates
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.over_time.durations import duration
from joulecast.views.answers import plain
from joulecast.views.answers.estimate import scope_text
from joulecast.views.answers.models import models_answer
from joulecast.views.estimate import basis_text, csv_row, rate_note
from joulecast.views.footprint import (
    facility_facts,
    facility_figures,
    facility_notes,
    facility_text,
)
from joulecast.views.numbers import (
    energy_ends,
    joules,
    kwh,
    left_out_texts,
    percent,
    reading_facts,
)
from joulecast.views.online.serving import (
    OFFLINE_TEXT,
    cached_notes,
    limits_facts,
    serving_notes,
    serving_text,
)
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text, title_text
from joulecast.views.report import Report

_OWN_GPUS = "GPUs of its own"
APART_NOTE = "Each model is served by GPUs of its own; ends of intervals are added up."
_LACK = "reason", "input_tokens", "output_tokens"
"""What a CSV row tells of a model that is not estimated; empty for the others."""
_NO_INTERVAL = "none, which the binned method cannot tell"


def models_report(made: ModelEstimates) -> Report:
    """`joulecast estimate --group-by model`."""
    document = made.to_dict()
    lack: dict[str, Any] = {"not_estimated": dict.fromkeys(_LACK)}
    rows = [{**csv_row(row), "names": " ".join(row["names"]), **lack} for row in document["models"]]
    rows += [_not_estimated_row(made.trace, row) for row in document["not_estimated"]]
    tables = [_energies_view(made), _servings_view(made), *_footprints_view(made)]
    answer = title_text(plain(models_answer(made)))
    facts, notes = facts_table(list(_facts(made))), notes_text(list(_notes(made)))
    return Report(document, rows, Group(answer, "", facts, *tables, notes))


def _not_estimated_row(trace: str, other: Mapping[str, Any]) -> dict[str, Any]:
    """A CSV row of a model that is not estimated, without an energy."""
    return {
        "names": " ".join(other["names"]),
        "trace": trace,
        "requests": {"total": other["requests"], "estimated": 0},
        "not_estimated": {key: other[key] for key in _LACK},
    }


def _facts(made: ModelEstimates) -> Iterator[tuple[str, str]]:
    """What all have in common, and their sums."""
    yield from _alike(made, "scope", scope_text)
    yield ("trace", made.trace)
    yield from reading_facts(made.reading)
    yield from standing_facts(made)
    yield from _alike(made, "serving", serving_text)
    yield from limits_facts(next(iter(made.estimates.values())))
    yield ("requests", requests_text(made))
    yield ("", "")
    yield ("GPU energy", f"{joules(made.energy_j)} = {kwh(made.energy_kwh)}")
    interval_j = made.interval_j
    yield ("95 % interval", _NO_INTERVAL if interval_j is None else _ends_text(interval_j))
    serving = made.serving
    if "idle_j" in serving:
        share = percent(serving["idle_j"] / made.energy_j)
        text = f"{joules(serving['work_j'])} and {joules(serving['idle_j'])} ({share})"
        whose = "" if serving["mode"] == "online" else ", of those served online"
        yield ("working, waiting", text + whose)
    yield from facility_facts(made)


def page_facts(made: ModelEstimates) -> Iterator[tuple[str, str]]:
    """What stands below the answer on a page, whose tables tell how each is served."""
    yield from _alike(made, "scope", scope_text)
    yield from standing_facts(made)
    yield ("trace", made.trace)
    modes = Counter(each.serving is None for each in made.estimates.values())
    if not modes[False]:
        yield ("serving", OFFLINE_TEXT)
    elif not modes[True]:
        yield ("serving", f"online, each model as its requests came, on {_OWN_GPUS}")
    else:
        text = f"{modes[False]:,} models online, {modes[True]:,} all at once, on {_OWN_GPUS}"
        yield ("serving", text)
    yield from limits_facts(next(iter(made.estimates.values())))
    yield ("requests", requests_text(made))
    if made.facility is not None:
        yield ("facility", facility_text(made.facility))


def standing_facts(made: ModelEstimates) -> Iterator[tuple[str, str]]:
    """What the estimates stand on, and how they are made."""
    yield from _alike(made, "basis", basis_text)
    yield from _alike(made, "method", lambda each: each.method_text)


def _alike(
    made: ModelEstimates, name: str, text_of: Callable[[Estimate], str]
) -> Iterator[tuple[str, str]]:
    """A line of all, or one of those that are alike."""
    models: dict[str, list[str]] = {}
    for model, estimate in made.estimates.items():
        models.setdefault(text_of(estimate), []).append(model)
    for text, called in models.items():
        yield (name, text if len(models) == 1 else f"{', '.join(called)}: {text}")


def _ends_text(interval_j: tuple[float, float]) -> str:
    return " to ".join(map(joules, interval_j))


def requests_text(made: ModelEstimates) -> str:
    """How many requests the estimates cover, and what they leave out."""
    few, many = made.requests["estimated"], made.requests["total"]
    left_out = left_out_texts(made.requests)
    if others := made.requests["other_models"]:
        left_out.append(f"{others:,} of models that are not estimated")
    return f"{few:,} of {many:,} estimated; left out: {', '.join(left_out) or 'none'}"


def _energies_view(made: ModelEstimates) -> Table:
    """What each model takes, and what no estimate is made of."""
    view = grid_table()
    view.add_column("model")
    view.add_column("in the log")
    view.add_column("requests", justify="right")
    view.add_column("left out")
    for heading in ("GPU energy", "95 % interval"):
        view.add_column(heading, justify="right")
    for model, each in made.estimates.items():
        ends = "none" if each.interval_j is None else " to ".join(energy_ends(*each.interval_j))
        called, requests = ", ".join(made.names[model]), f"{each.requests['estimated']:,}"
        left_out = ", ".join(left_out_texts(each.requests)) or "none"
        add_row(view, model, called, requests, left_out, joules(each.energy_j), ends)
    for other in made.not_estimated:
        called = f"{', '.join(other.names)} ({other.reason})"
        add_row(view, "not estimated", called, "0", f"{other.requests:,}")
    return view


def _servings_view(made: ModelEstimates) -> Table:
    """What each estimate stands on, and where the energy goes of those served over time."""
    view = grid_table()
    view.add_column("model")
    view.add_column("basis")
    view.add_column("GPUs", justify="right")
    is_online = "idle_j" in made.serving
    for heading in ("replicas", "over", "busy", "working", "waiting") if is_online else ():
        view.add_column(heading, justify="right")
    for model, each in made.estimates.items():
        kind = "not told" if each.basis is None else each.basis.kind
        gpus = "1" if each.basis is None else f"{each.basis.gpus:,}"
        serving = each.serving
        if serving is None:
            add_row(view, model, kind, gpus)
            continue
        span, busy = duration(serving.span_s), percent(serving.busy_share)
        energies = joules(serving.work_j), joules(serving.idle_j)
        add_row(view, model, kind, gpus, f"{serving.replicas:,}", span, busy, *energies)
    return view


def _footprints_view(made: ModelEstimates) -> list[Table]:
    """IT and facility energy, carbon and cost of each model, where they were asked for."""
    names = facility_figures(made)
    if not names:
        return []
    view = grid_table()
    view.add_column("model")
    for name in names:
        view.add_column(name, justify="right")
    for model, each in made.estimates.items():
        add_row(view, model, *facility_figures(each).values())
    return [view]


def _notes(made: ModelEstimates) -> Iterator[str]:
    """Remarks on the models, and on all of them."""
    yield APART_NOTE
    yield from made.notes
    yield from model_warnings(made)
    yield from facility_notes(made.facility)


def model_warnings(made: ModelEstimates) -> Iterator[str]:
    """What a reader must know of single models."""
    for model, each in made.estimates.items():
        if each.implied_flops_per_s > each.dense_peak_flops_per_s:
            yield rate_note(each, f"{model}: ")
        yield from (f"{model}: {note}" for note in (*cached_notes(each), *serving_notes(each)))
