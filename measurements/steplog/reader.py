"""The process that reads the energy counters, as the process that wants to know sees it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.gpu.meter import FREEZE_SECONDS
from joulecast.measurements.steplog.columns import STATE_COLUMNS, TICK_COLUMNS

MARGIN_SECONDS = 3.0
"""Of so much time before a window, ticks and states are kept with it."""

START_SECONDS = 20.0
"""Longest that the process may take until every counter has ticked."""

_POLLER = "joulecast.measurements.steplog.poller"
_WAIT_SECONDS = 0.02
_END_SECONDS = 5.0


@dataclass(frozen=True)
class CounterRows:
    """What was read around a window.

    Attributes:
        ticks: Rows of `TICK_COLUMNS`, as texts.
        states: Rows of `STATE_COLUMNS`, as texts.
        problem: Why they are not complete, in words; None if they are.
    """

    ticks: Sequence[Sequence[str]]
    states: Sequence[Sequence[str]]
    problem: str | None


@dataclass
class CounterReader:
    """Has the energy counters read by a process of its own, while the context lasts.

    Attributes:
        gpus: NVML indices.
        clock: Monotonic time [s].
        sleep: Waits [s].
    """

    gpus: Sequence[int]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __enter__(self) -> Self:
        """Start it, and wait until every counter has ticked.

        Raises:
            MeterError: It does not start, or a counter does not tick.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="joulecast-counters-")
        folder = Path(self._folder.name)
        self._ticks = _Tail(folder / "ticks", len(TICK_COLUMNS))
        self._states = _Tail(folder / "states", len(STATE_COLUMNS))
        self._words = folder / "words"
        try:
            self._process = self._start()
            self._wait_for_ticks()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> subprocess.Popen[bytes]:
        # The same joulecast as here, wherever this one was imported from.
        root = str(Path(__file__).parents[3])
        paths = [root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        words = [sys.executable, "-P", "-m", _POLLER, str(self._ticks.path)]
        with self._words.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [*words, str(self._states.path), str(os.getpid()), *map(str, self.gpus)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )

    def _wait_for_ticks(self) -> None:
        began = self.clock()
        while not self._have_ticked_after(float("-inf")):
            if problem := self.problem:
                raise MeterError(f"{problem}; ticks cannot be logged")
            if self.clock() - began > START_SECONDS:
                raise MeterError(
                    f"not every energy counter ticked within {START_SECONDS:g} s; ticks cannot be "
                    "logged"
                )
            self.sleep(_WAIT_SECONDS)

    def __exit__(self, *_: object) -> None:
        """End it."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    @property
    def problem(self) -> str | None:
        """How the process ended, though nobody asked it to; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        words = self._words.read_text(errors="replace").strip().splitlines()
        said = f": {words[-1][:200]}" if words else ""
        return f"the process that reads the energy counters ended with status {code}{said}"

    def collect(self, begin: float, end: float) -> CounterRows:
        """What was read around a window; waits for the first tick of every counter after its end.

        Args:
            begin: When the window began [s, monotonic clock].
            end: When it ended [s, monotonic clock].
        """
        began = self.clock()
        while not self._have_ticked_after(end):
            if self.problem is not None or self.clock() - began > FREEZE_SECONDS:
                break
            self.sleep(_WAIT_SECONDS)
        first = begin - MARGIN_SECONDS
        return CounterRows(
            self._ticks.rows_since(first, 3), self._states.rows_since(first, 1), self.problem
        )

    def _have_ticked_after(self, moment: float) -> bool:
        """Whether every counter has ticked after a moment [s, monotonic clock]."""
        self._ticks.read_on()
        late = {int(row[0]) for row in self._ticks.rows if float(row[1]) >= moment}
        return late >= set(self.gpus)


@dataclass
class _Tail:
    """A file that another process writes line by line, read as far as its lines are whole.

    Attributes:
        path: The file.
        width: Values in a line; what has others is passed over.
        rows: What was read and is not forgotten yet.
    """

    path: Path
    width: int
    rows: list[list[str]] = field(default_factory=list)
    _offset: int = 0

    def read_on(self) -> None:
        """Read what came since; a line that is not whole yet stays for the next time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        rows = [line.split(",") for line in whole.decode("ascii", "replace").splitlines()]
        self.rows += [row for row in rows if len(row) == self.width]

    def rows_since(self, moment: float, column: int) -> list[list[str]]:
        """Rows whose time in this column is not before a moment; earlier ones are forgotten."""
        self.read_on()
        self.rows = [row for row in self.rows if float(row[column]) >= moment]
        return list(self.rows)
