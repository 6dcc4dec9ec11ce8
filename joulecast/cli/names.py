"""What a shell offers in the place of a TABLE, TRACE, MODEL or other name.

Click asks a parameter's type. Parameters get these types only while a shell asks, by what help
calls them; so a command has nothing to do with it, and a new one with a TABLE completes tables.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from click.shell_completion import CompletionItem

from joulecast.traces.files import exists
from joulecast.traces.public.catalog import catalog, embedded_names, is_embedded

VARIABLE = "_JOULECAST_COMPLETE"
"""Environment variable through which a shell asks."""

Names = Mapping[str, str | None]
"""Name -> what it is, for shells that show it."""


@dataclass(frozen=True)
class _Kind:
    """What may stand somewhere.

    Attributes:
        names: The known names.
        paths: Which paths may stand there too, None for none.
    """

    names: Callable[[], Names]
    paths: Literal["file", "dir"] | None = None


class _Completed(click.types.StringParamType):
    """A text that a shell can complete."""

    def __init__(self, kind: _Kind) -> None:
        self._kind = kind

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click passes all three
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The names that begin so, and paths."""
        try:
            known = self._kind.names()
        except (ImportError, OSError, ValueError):
            known = {}  # whoever presses a key is in no need of an error; the command will tell
        items = [
            CompletionItem(name, help=text)
            for name, text in known.items()
            if name.startswith(incomplete)
        ]
        paths = self._kind.paths
        if paths is None:
            return items
        if items and os.environ.get(VARIABLE) == "bash_complete":
            # bash looks for paths by itself only where nothing else fits.
            return [*items, *map(CompletionItem, _paths(incomplete, paths))]
        return [CompletionItem(incomplete, type=paths), *items]


def add_completions(command: click.Command, ctx: click.Context) -> None:
    """Give those parameters of a command their types that a shell can complete by name."""
    for param in command.params:
        if not isinstance(param.type, click.types.StringParamType):
            continue  # choices and paths complete themselves
        shown = param.make_metavar(ctx).strip("[].")
        kind = _BY_PARAMETER.get((command.name, param.name)) or _BY_METAVAR.get(shown)
        if kind is not None:
            param.type = _Completed(kind)


def _paths(incomplete: str, kind: Literal["file", "dir"]) -> list[str]:
    """Paths that begin so, folders with a slash at their ends."""
    folder, slash, begin = incomplete.rpartition("/")
    found = []
    try:
        for path in Path(folder + slash or ".").iterdir():
            is_hidden = path.name.startswith(".") and not begin
            if is_hidden or not path.name.startswith(begin) or not path.name.isprintable():
                continue
            if path.is_dir():
                found.append(f"{folder}{slash}{path.name}/")
            elif kind == "file":
                found.append(f"{folder}{slash}{path.name}")
    except (OSError, ValueError):
        return []
    return sorted(found)


def _tables() -> Names:
    from joulecast.measurements.table.table import table_names

    return dict.fromkeys(table_names())


def _public_traces() -> Names:
    entries = catalog()
    return {
        name: f"{entry.title} ({_where(name, exists(entry.workload_file))})"
        for name, entry in entries.items()
    }


def _where(name: str, is_cached: bool) -> str:
    return "ships" if is_embedded(name) else "fetched" if is_cached else "to be fetched"


def _traces() -> Names:
    shipped = dict.fromkeys(embedded_names(), "ships")
    try:
        return dict(sorted({**shipped, **_public_traces()}.items()))
    except ValueError:
        return shipped  # a catalogue of the user's own that cannot be read


def _tasks() -> Names:
    from joulecast.traces.public.tasks import task_names

    return dict.fromkeys(task_names())


def _models() -> Names:
    from joulecast.measurements.models import model_names

    return dict.fromkeys(model_names())


def _gpus() -> Names:
    from joulecast.measurements.hardware import gpu_names, load_gpu

    return {name: load_gpu(name).product for name in gpu_names()}


_BY_METAVAR: Mapping[str, _Kind] = {
    "TABLE": _Kind(_tables, "dir"),
    "TRACE": _Kind(_traces, "file"),
    "MODEL": _Kind(_models, "file"),
}
_BY_PARAMETER: Mapping[tuple[str | None, str | None], _Kind] = {
    ("fetch", "name"): _Kind(_public_traces),
    ("task", "name"): _Kind(_tasks),
    ("table4", "gpu"): _Kind(_gpus),
    ("measure", "gpu_type"): _Kind(_gpus),
    ("measure", "model"): _Kind(_models, "file"),
    ("replay", "model"): _Kind(_models, "file"),
}
"""Command and parameter -> what is called NAME or TEXT in help."""
