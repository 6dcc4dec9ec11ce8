"""What `joulecast doctor` shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType

from joulecast.doctor.diagnosis import Diagnosis, without_secrets
from joulecast.doctor.installed import CORE, PACKAGE
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report

_GB, _MB = 1e9, 1e6
_NO_PROBLEM = "nothing that joulecast looks at is out of order"

Document = Mapping[str, Any]


def doctor_report(diagnosis: Diagnosis) -> Report:
    """`joulecast doctor`; what it shows can be pasted into a public bug report."""
    document = _clean(asdict(diagnosis))
    return Report(document, list(_rows(document)), _view(document))


def _clean(value: Any) -> Any:
    """The document with every text in it free of secrets."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: _clean(one) for key, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, (list, tuple)) else value


def _rows(document: Document) -> Iterator[dict[str, Any]]:
    """A row per fact."""

    def row(part: str, name: str, value: object, state: str = "") -> dict[str, Any]:
        return {"part": part, "name": name, "value": value, "state": state}

    for part in ("software", "machine"):
        yield from (row(part, name, value) for name, value in document[part].items())
    for package in document["requirements"]:
        name = f"{package['needed_by']}: {package['package']}{package['specifier']}"
        yield row("requirements", name, package["installed"], package["state"])
    gpus = document["gpus"] or {"driver": None, "note": None, "cards": []}
    yield row("gpus", "driver", gpus["driver"], gpus["note"] or "")
    for card in gpus["cards"]:
        yield row("gpus", str(card["index"]), _card_text(card), "; ".join(card["problems"]))
    if (cache := document["cache"]) is not None:
        yield row("cache", "folder", cache["folder"], cache["problem"] or "")
        yield from (row("cache", name, value) for name, value in cache["variables"].items())
        for trace in cache["traces"]:
            yield row("cache", trace["name"], trace["requests"], trace["problem"] or "")
    for part in ("tables", "traces"):
        yield from (row(part, name, "ships") for name in document[part])
    yield from (row("problems", "", problem) for problem in document["problems"])


def _view(document: Document) -> RenderableType:
    facts = [*_software_facts(document), *_gpu_facts(document["gpus"]), *_cache_facts(document)]
    for part in ("tables", "traces"):
        names = document[part]
        facts.append((f"shipped {part}", f"{len(names)}: {', '.join(names)}"))
    problems = document["problems"] or [_NO_PROBLEM]
    shown: list[RenderableType] = [facts_table(facts), ""]
    if document["requirements"]:
        shown.append(_requirements_view(document["requirements"]))
    return Group(*shown, "problems", notes_text(problems))


def _software_facts(document: Document) -> Iterator[tuple[str, str]]:
    software, machine = document["software"], document["machine"]
    metadata = software["metadata"] or "none"
    yield (
        "joulecast",
        f"{software['joulecast']} (installed metadata: {metadata}), in {software['folder']}",
    )
    yield "python", f"{software['python']}, {software['implementation']}"
    yield "system", f"{machine['system']}, {machine['machine']}"
    yield "processor", machine["processor"] or "not known"
    usable = machine["usable_cores"]
    cores = "" if usable is None else f", {usable} of them usable here"
    yield "cores", f"{machine['cores'] or 'not known'}{cores}"
    memory = machine["memory_bytes"]
    yield "memory", "not known" if memory is None else f"{memory / _GB:.1f} GB"


def _gpu_facts(gpus: Document | None) -> Iterator[tuple[str, str]]:
    if gpus is None:
        yield "GPUs", "could not be asked"
        return
    if gpus["note"] is not None:
        yield "GPUs", gpus["note"]
    if gpus["driver"] is not None:
        yield "NVIDIA driver", gpus["driver"]
    for card in gpus["cards"]:
        yield f"GPU {card['index']}", _card_text(card)


def _card_text(card: Document) -> str:
    memory, limit, energy_j = card["memory_bytes"], card["power_limit_w"], card["energy_j"]
    pids = card["processes"]
    processes = "processes not known" if pids is None else f"processes: {len(pids)}"
    shown_pids = f" ({', '.join(map(str, pids))})" if pids else ""
    return ", ".join(
        [
            card["product"] or "name not known",
            "memory not known" if memory is None else f"{memory / _GB:.1f} GB",
            "power limit not known" if limit is None else f"limit {limit:g} W",
            f"energy counter {card['counter']}"
            + ("" if energy_j is None else f" at {energy_j:.1f} J"),
            f"MIG {card['mig'] or 'not known'}",
            processes + shown_pids,
            f"data sheet {card['data_sheet'] or 'none'}",
        ]
    )


def _cache_facts(document: Document) -> Iterator[tuple[str, str]]:
    if (cache := document["cache"]) is None:
        yield "cache", "could not be looked at"
        return
    yield "cache", cache["folder"]
    for name, value in cache["variables"].items():
        if value is not None:
            yield name, value
    for trace in cache["traces"]:
        size, requests = trace["bytes"], trace["requests"]
        parts = [
            "size not known" if size is None else f"{size / _MB:.1f} MB",
            "does not load" if requests is None else f"{requests:,} requests",
        ]
        if trace["is_known"] is False:
            parts.append("not in the catalogue")
        yield f"cached {trace['name']}", ", ".join(parts)
    if not cache["traces"]:
        yield "cached traces", "none"


def _requirements_view(packages: Sequence[Document]) -> RenderableType:
    """A line per package, since several extras ask for the same ones."""
    view = grid_table()
    view.add_column("package", no_wrap=True)
    view.add_column("installed", overflow="fold")
    view.add_column("for", overflow="fold")
    by_name: dict[str, list[Document]] = {}
    for package in packages:
        by_name.setdefault(package["package"], []).append(package)
    for name, asked in by_name.items():
        there = asked[0]["installed"] or asked[0]["state"]
        wants: dict[str, None] = {}
        for one in asked:
            bad = " (NOT MET)" if one["state"] == "other version" else ""
            through = one["through"]
            is_own = through is None or through.startswith(f"{PACKAGE}[")
            who = one["needed_by"] if is_own else through
            wants[f"{who} {one['specifier']}".strip() + bad] = None
        is_lacking = asked[0]["state"] == "missing" and any(
            one["needed_by"] == CORE for one in asked
        )
        add_row(view, name, f"{there} (NEEDED)" if is_lacking else there, ", ".join(wants))
    return view
