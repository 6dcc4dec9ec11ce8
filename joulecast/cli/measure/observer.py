"""What `joulecast measure` shows while it measures."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from joulecast.cli.options import say
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.table.runs import Run
from joulecast.traces.printable import printable


class Observer:
    """Shows progress: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, on_terminal: bool) -> None:
        self._progress = None
        if on_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[watts]}"),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
            )
            self._task = self._progress.add_task("measuring", total=None, watts="", left="")
        self._done = self._total = 0
        self._left = ""

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def started(self, spec: RunSpec, done: int, total: int, seconds_left: float) -> None:
        """A run begins."""
        self._done, self._total = done, total
        self._left = f"{seconds_left / 60:.0f} min left"
        if self._progress:
            self._progress.update(
                self._task,
                completed=done,
                total=total,
                description=batch_text(spec),
                left=self._left,
            )

    def finished(self, spec: RunSpec, run: Run) -> None:
        """A run is on disk."""
        if self._progress:
            self._progress.update(
                self._task, completed=self._done + 1, watts=f"{run.power_w:.0f} W"
            )
        mark = "" if run.valid else f"  INVALID: {run.reason}"
        line = (
            f"{self._done + 1}/{self._total}  {batch_text(spec)} run {run.run}: "
            f"{run.batch_energy_j:.1f} J per batch, "
            f"{run.power_w:.0f} W, {run.seconds:.1f} s, {run.temperature_end_c:.0f} deg C, "
            f"{self._left}{mark}"
        )
        self.note(line)

    def note(self, text: str) -> None:
        """Anything worth a line."""
        if self._progress and self._progress.live.is_started:
            self._progress.console.print(printable(text), highlight=False, markup=False)
        else:
            say(text)


def batch_text(run: RunSpec | Run) -> str:
    """A batch in a few words."""
    return f"I={run.input_tokens} O={run.output_tokens} B={run.batch_size}"
