"""Logs of the runs of a table, in its folder's `logs`: I-O-B-run.steps.csv.gz and the others."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from joulecast.measurements.engines import EngineSteps, count_steps
from joulecast.measurements.facts import MEASURED, MEASURED_TOO
from joulecast.measurements.gpu.window import Window
from joulecast.measurements.steplog.files import SUFFIX
from joulecast.measurements.steplog.logger import WindowLogger
from joulecast.measurements.sweep.sweep import Sweep
from joulecast.measurements.table.runs import Run
from joulecast.traces.errors import InputError

FOLDER = "logs"
"""Name of the folder of the logs within that of a table."""


class RunLogs:
    """A recorder around the windows of a sweep, while its context lasts.

    A window holds several batches.

    Args:
        sweep: That makes them.

    Raises:
        InputError: The folder of the logs cannot be made.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._table, self._note = sweep.folder, sweep.observer.note
        self._logger = WindowLogger(sweep.engine, [gpu.index for gpu in sweep.gpus], self._note)
        self._folder = self._table.path / FOLDER
        self._engine_steps: EngineSteps | None = None
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be made ({error.strerror})") from error

    def __enter__(self) -> Self:
        """Have the energy counters read from now on."""
        self._logger.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Have them read no more."""
        self._logger.__exit__()

    def start(self) -> None:
        """Before a window."""
        # Why they cannot be counted is said once, by the log of the steps.
        self._engine_steps = count_steps(self._logger.engine, lambda _: None)
        self._logger.start()

    def stop(self) -> None:
        """After it."""
        self._logger.stop()

    def record(self, run: Run, window: Window) -> None:
        """Write the logs of a run that is on disk."""
        reading = window.reading
        log = self._logger.collect(reading.begin_s, reading.end_s, self._engine_steps)
        name = "-".join(map(str, run.key))
        try:
            log.save(self._folder, name, self._about(run))
        except InputError as error:  # the run is kept all the same
            self._note(str(error))

    def _about(self, run: Run) -> dict[str, Any]:
        """What the meter read, on what it ran."""
        metadata = self._table.metadata
        values = asdict(run)
        card = values.pop("gpu")
        return {
            **values,
            "card": card,
            "idle_power_w": metadata["cards"][card]["idle_power_w"],
            **{key: metadata[key] for key in (*MEASURED, *MEASURED_TOO) if key in metadata},
            "host_cpu": metadata["cards"][card].get("host_cpu"),
        }


def require_no_run_logs(table: Path) -> None:
    """Refuse to begin a table in a folder that has logs of another.

    Raises:
        InputError: There are some.
    """
    if paths := sorted((table / FOLDER).glob(f"*{SUFFIX}")):
        raise InputError(
            f"{paths[0]}: is there already; a measurement is not overwritten, give another folder"
        )
