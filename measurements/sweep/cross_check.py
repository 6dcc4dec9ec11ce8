"""CodeCarbon, the paper's meter, around the same windows as ours."""

from typing import Any

from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.gpu.window import Window
from joulecast.measurements.sweep.recorder_log import RecorderLog
from joulecast.measurements.table.runs import Run


class CodeCarbonRecorder(RecorderLog):
    """Runs CodeCarbon beside our meter and keeps both readings in cross_check.csv.

    CodeCarbon polls in a thread of its own while the work runs, which ours does not; so its windows
    are not free of cost, and tables are better measured without it.

    Raises:
        MeterError: CodeCarbon is not installed.
    """

    def __init__(self) -> None:
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError as error:
            raise MeterError(
                f"this cross-check needs {error.name}; install it with: pip install "
                "'joulecast[cross-check]'"
            ) from error
        super().__init__("cross_check.csv", ("energy_j", "codecarbon_energy_j"))
        self._tracker: Any = OfflineEmissionsTracker(
            country_iso_code="USA",  # asked for, though only joules are read
            save_to_file=False,
            allow_multiple_runs=True,
            log_level="error",
        )
        self._tasks = 0
        self._energy_j = 0.0

    def start(self) -> None:
        """Before a window."""
        self._tasks += 1
        self._tracker.start_task(f"window {self._tasks}")

    def stop(self) -> None:
        """After a window."""
        self._energy_j = float(self._tracker.stop_task().gpu_energy) * JOULES_PER_KWH

    def record(self, run: Run, window: Window) -> None:  # noqa: ARG002 - others take its times
        """Keep what CodeCarbon read beside a run that is on disk; empty if it read nothing."""
        codecarbon_j = round(self._energy_j, 3) if self._energy_j > 0 else None
        self.append(run, [run.energy_j, codecarbon_j])
