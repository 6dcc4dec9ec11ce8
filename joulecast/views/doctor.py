"""What `joulecast doctor` shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group

from joulecast.views.parts import facts_table, notes_text
from joulecast.views.report import Report

Document = Mapping[str, Any]


def doctor_report(document: Document) -> Report:
    """`joulecast doctor`: a line per fact, and problems last."""
    rows = list(_rows(document))
    facts = [
        (
            row["name"] if row["part"] == "requirements" else f"{row['part']}: {row['name']}",
            f"{'-' if row['value'] is None else row['value']} {row['state']}",
        )
        for row in rows
        if row["part"] not in {"tables", "traces", "problems"}
    ]
    facts += [(f"shipped {part}", ", ".join(document[part])) for part in ("tables", "traces")]
    problems = document["problems"] or ["nothing that joulecast looks at is out of order"]
    return Report(document, rows, Group(facts_table(facts), "", "problems", notes_text(problems)))


def _rows(document: Document) -> Iterator[dict[str, Any]]:
    def row(part: str, name: str, value: object, state: str | None = None) -> dict[str, Any]:
        return {"part": part, "name": name, "value": value, "state": state or ""}

    for part in ("software", "machine"):
        yield from (row(part, name, value) for name, value in document[part].items())
    for package in document["requirements"]:
        name = f"{package['needed_by']}: {package['package']}{package['specifier']}"
        yield row("requirements", name, package["installed"], package["state"])
    gpus = document["gpus"] or {"driver": None, "note": "could not be asked", "cards": []}
    yield row("gpus", "driver", gpus["driver"], gpus["note"])
    for card in gpus["cards"]:
        yield from (row("gpus", f"{card['index']} {key}", card[key]) for key in list(card)[1:-1])
    cache = document["cache"]
    if cache is None:
        yield row("cache", "folder", None, "could not be looked at")
    else:
        yield row("cache", "folder", cache["folder"], cache["problem"])
        yield from (row("cache", name, value) for name, value in cache["variables"].items())
        for trace in cache["traces"]:
            yield from (
                row("cache", f"{trace['name']} {key}", trace[key])
                for key in ("bytes", "is_known", "requests", "problem")
            )
    for part in ("tables", "traces"):
        yield from (row(part, name, "ships") for name in document[part])
    yield from (row("problems", "", problem) for problem in document["problems"])
