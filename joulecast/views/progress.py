"""How far long work is, on a terminal; nothing where standard error is none."""

import glob
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from joulecast.traces.printable import printable

_PATIENCE_S = 1.0
_HEAD_BYTES = 1 << 16
_LEAST_SHARE = 0.002


class DownloadBar:
    """A bar with bytes, speed and the time left.

    Args:
        name: What is downloaded.
    """

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(printable(name), total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, there: int, whole: int | None) -> None:
        """So many bytes are there, of so many if that is known."""
        self._progress.update(self._task, completed=there, total=whole)


class _PatientBar(ABC):
    """A bar that is told a share, and is not shown for work of less than a second."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._progress: Any = None
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    @property
    def watch(self) -> Callable[[float], None] | None:
        """What to tell of progress; None where nobody could see it."""
        return self._show if sys.stderr.isatty() else None

    @abstractmethod
    def _show(self, share: float) -> None:
        """Such a share is done, 0 to 1."""


class ReadingBar(_PatientBar):
    """A bar with bytes and, where the rows are lines, rows per second.

    Args:
        sources: The trace, as the user gave it.
    """

    def __init__(self, *sources: str) -> None:
        super().__init__()
        self._sources = sources

    def _show(self, share: float) -> None:
        if share < self._last:  # another look at the same files
            self._began = time.monotonic()
        self._last = share
        seconds = time.monotonic() - self._began
        if seconds < _PATIENCE_S:
            return
        if self._progress is None:
            self._start()
        done = share * self._total_bytes
        rates = f"{_amount(done / seconds)}B/s"
        if self._row_bytes:
            rates = f"about {_amount(done / self._row_bytes / seconds)}rows/s, {rates}"
        self._progress.update(self._task, completed=share, rates=rates)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        names = [
            name
            for source in self._sources
            for name in ([source] if Path(source).exists() else glob.glob(source, recursive=True))
        ]
        paths = [path for path in map(Path, names) if path.is_file()]
        self._total_bytes = sum(path.stat().st_size for path in paths)
        self._row_bytes = _row_bytes(paths[0]) if paths else 0.0
        self._progress = Progress(
            TextColumn("reading"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rates]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=1.0, rates="")
        self._progress.start()


class SimulationBar(_PatientBar):
    """A bar with the time left, while an engine is followed step by step."""

    def _show(self, share: float) -> None:
        if 0 < self._last <= share < min(1.0, self._last + _LEAST_SHARE):
            return  # it is told of every request
        if self._last == 0:  # a trace may have been read before
            self._began = time.monotonic()
        self._last = share
        if time.monotonic() - self._began < _PATIENCE_S:
            return
        if self._progress is None:
            self._start()
        self._progress.update(self._task, completed=share)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("serving"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("serving", total=1.0)
        self._progress.start()


def _row_bytes(path: Path) -> float:
    """Mean length of the first lines [bytes]; 0 where rows are no lines of text."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    lines = head.count(b"\n")
    if lines == 0 or b"\0" in head or head.startswith((b"PAR1", b"\x1f\x8b", b"\x28\xb5")):
        return 0.0
    return (head.rfind(b"\n") + 1) / lines


def _amount(value: float) -> str:
    for unit in ("", "k", "M"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} G"
