"""Every key of table.json and of a replay, spoilt: one line that names file and key, or it serves.

What a file serves for is all that reads it: estimates and their page, `table show` and `check`, a
notebook's view; of a replay, `validate`.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from rich.console import Console

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.stepwise import estimate_stepwise
from joulecast.estimator.validate import shipped_tables_for, validate
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.table.checks import check_table
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.measurements.table.table import table_folder as shipped_folder
from joulecast.pages.estimate import estimate_page
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.load import LoadedTrace
from joulecast.traces.workload import Workload
from joulecast.views.report import Report
from joulecast.views.table import table_check_report, table_list_report, table_show_report
from joulecast.views.validate import validation_report

NUMBER_BEYOND = "a number beyond all numbers"
SPOILT = ([1], {}, "x", None, -1, True, NUMBER_BEYOND)
TABLE = "h100-sxm/llama-3.1-8b"
RUNS = 8
BELOW_CAPACITY = "256,8,2,false,18,560.1,1.9,,294.8,,,1,,,true,"
"""One more run, without which none would tell what a step costs."""

pytestmark = pytest.mark.slow
STEPS = {"steps": 3, "tokens": 2501, "preempted": 0}
LENGTHS = np.array([[100, 20], [3000, 200]] * 4)


def write(path: Path, document: Any) -> None:
    text = json.dumps(document)
    path.write_text(text.replace(json.dumps(NUMBER_BEYOND), "1e400"))


def spoilings(document: Any, deep: bool = True) -> Iterator[tuple[str, str, Any]]:
    """A key, where in it, and the document with a value replaced there, objects' values too."""
    for key, value in document.items():
        for bad in SPOILT:
            yield key, f"{key}={bad!r}", {**document, key: bad}
        if deep and isinstance(value, dict):
            for _, inner, spoilt in spoilings(value, deep=key == "cards"):
                yield key, f"{key}.{inner}", {**document, key: spoilt}


@cache
def workload() -> Workload:
    return Workload.of_lengths(PAPER_GRID, LENGTHS)


class Noted(Mapping):
    """Notes which keys are read."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts, self.read = facts, set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return self.facts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)


def show(report: Report) -> None:
    json.dumps(report.document, allow_nan=False)
    Console(file=io.StringIO()).print(report.view)


def estimate_and_page(table: EnergyTable) -> None:
    estimate = estimate_stepwise(workload(), table, "t", LENGTHS)
    page = estimate_page(estimate, table, LoadedTrace(workload(), LENGTHS), table, "joulecast")
    assert "</html>" in page


READERS: dict[str, Callable[[EnergyTable], object]] = {
    "binned": lambda table: estimate_binned(workload(), table, "t"),
    "stepwise, and its page": estimate_and_page,
    "notebook": lambda table: table._repr_html_(),
    "check": lambda table: show(table_check_report(table, check_table(table))),
    "show": lambda table: show(table_show_report(table, "request-energy", None)),
    "list": lambda table: show(table_list_report([table])),
}


def keys_read(table: EnergyTable) -> dict[str, set[str]]:
    """Reader -> the keys of table.json that it reads."""
    keys = {}
    for name, reader in READERS.items():
        metadata = Noted(table.metadata)
        reader(replace(table, metadata=metadata))
        keys[name] = metadata.read
    return keys


def validated(replay: Replay, table: EnergyTable) -> set[str]:
    """Do all that is done with a replay; the facts that were read."""
    facts = Noted(replay.facts)
    replay = replace(replay, facts=facts)
    shipped_tables_for(replay)
    show(validation_report([validate("r", replay, [table])], []))
    return facts.read


def complaint(work: Callable[[], object], where: str) -> str | None:
    """What the error says that input leads to; any other error fails the test."""
    try:
        work()
    except InputError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(where) from error
    return None


def int_at(line: str, column: int) -> int:
    value = line.split(",")[column]
    return int(value) if value.isdigit() else 2**31


@pytest.fixture
def whole_table(table_folder: Path) -> Path:
    """A shipped table, cut to eight quick runs, whose table.json has every key that any has."""
    runs = table_folder / "runs.csv"
    lines = runs.read_text().splitlines()
    quick = [line for line in lines if int_at(line, 1) <= 32][:RUNS]
    runs.write_text("\n".join([lines[0], *quick, BELOW_CAPACITY]) + "\n")
    path = table_folder / "table.json"
    document = {**json.loads(path.read_text()), "measured_cells": RUNS}
    for name in ("pytorch-compiled", "vllm-quick"):
        shipped = json.loads((shipped_folder(f"{TABLE}/{name}") / "table.json").read_text())
        document = {**shipped, **document}
    measured = {(int_at(line, 0), int_at(line, 1)) for line in quick}
    rows = document["capacity"]["found"]
    document["capacity"]["found"] = [row for row in rows if (row[0], row[1]) not in measured]
    assert {"cards", "capacity", "left_out", "status", "made_by", "gpu_count"} < set(document)
    path.write_text(json.dumps(document))
    return table_folder


def test_a_table_with_any_value_spoilt(whole_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_read(load_table(whole_table))
    # Figures show the estimate's numbers alone, and take most of the time.
    for figure in ("energy_bars", "length_curve"):
        monkeypatch.setattr(f"joulecast.pages.estimate.{figure}", lambda *_: Markup("<svg></svg>"))
    path = whole_table / "table.json"
    served = 0
    for key, where, spoilt in spoilings(json.loads(path.read_text())):
        write(path, spoilt)

        def read(key: str = key) -> None:
            table = load_table(whole_table)
            for reader in (reader for name, reader in READERS.items() if key in keys[name]):
                reader(table)

        said = complaint(read, where)
        served += said is None
        assert said is None or said.startswith(str(whole_table)), where
        assert "\n" not in (said or "")
    assert served > 30


def test_a_replay_with_any_value_spoilt(whole_table: Path, tmp_path: Path) -> None:
    path, table = tmp_path / "r.json", load_table(whole_table)
    document = json.loads((SHIPPED / "vllm" / "short-replies.json").read_text())
    document = {**document, "lengths": document["lengths"][:40], "engine_steps": STEPS}
    write(path, document)
    replay = Replay.load(path)
    unread = set(replay.facts) - validated(replay, table)
    for key, where, spoilt in spoilings(document, deep=False):
        write(path, spoilt)

        def read(key: str = key) -> None:
            replay = Replay.load(path)
            replay.save(path)
            if key not in unread:
                validated(replay, table)

        said = complaint(read, where)
        assert said is None or said.startswith((str(path), "r: ")), where
        assert "\n" not in (said or "")
