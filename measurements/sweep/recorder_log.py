"""What every recorder around the windows of a sweep shares: a CSV file with a line for each run."""

from collections.abc import Sequence
from pathlib import Path

from joulecast.measurements.sweep.folder import CsvLog
from joulecast.measurements.table.runs import Run

RUN_COLUMNS = ("input_tokens", "output_tokens", "batch_size", "run")
"""What names a run in such a file."""


class RecorderLog:
    """A file that is opened once the folder of a table is there.

    Args:
        name: Of the file.
        columns: Those after `RUN_COLUMNS`.
    """

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self._name, self._columns = name, columns
        self._log: CsvLog | None = None

    def open(self, folder: Path) -> None:
        """Keep the readings in this folder."""
        self._log = CsvLog(folder / self._name, (*RUN_COLUMNS, *self._columns))

    def close(self) -> None:
        """Let other processes have the file."""
        if self._log is not None:
            self._log.close()

    def append(self, run: Run, values: Sequence[object]) -> None:
        """Keep what was read beside a run that is on disk."""
        if self._log is None:
            raise RuntimeError("open() comes before append()")
        self._log.append([*run.key, *values])
