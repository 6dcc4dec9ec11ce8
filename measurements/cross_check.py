"""CodeCarbon, the paper's meter, around the same windows as ours."""

import csv
from pathlib import Path
from typing import Any

from measurements.gpu_devices import MeterError
from measurements.meter import JOULES_PER_KWH, Reading
from measurements.plans import RunSpec

_COLUMNS = ("input_tokens", "output_tokens", "batch_size", "run", "energy_j", "codecarbon_energy_j")


class CodeCarbonCheck:
    """Runs CodeCarbon beside our meter and keeps both readings in cross_check.csv.

    CodeCarbon polls in a thread of its own while the work runs, which ours does not; so its windows
    are not free of cost, and tables are better measured without it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError as error:
            raise MeterError(
                f"this cross-check needs {error.name}; install it with: "
                "pip install 'joulecast[codecarbon]'"
            ) from error
        self._tracker: Any = OfflineEmissionsTracker(
            country_iso_code="USA",  # asked for, though only joules are read
            save_to_file=False,
            allow_multiple_runs=True,
            log_level="error",
        )
        self._path = folder / "cross_check.csv"
        self._tasks = 0
        if not self._path.exists():
            self._append(_COLUMNS)

    def start(self) -> None:
        """Before a window."""
        self._tasks += 1
        self._tracker.start_task(f"window {self._tasks}")

    def stop(self, spec: RunSpec, reading: Reading) -> None:
        """After a window; a reading of 0 J is an error, not a figure."""
        data = self._tracker.stop_task()
        energy_j = float(data.gpu_energy) * JOULES_PER_KWH
        if energy_j <= 0:
            raise MeterError("CodeCarbon read no GPU energy; leave out --cross-check")
        lengths = (spec.input_tokens, spec.output_tokens, spec.batch_size, spec.run)
        self._append([*lengths, round(reading.energy_j, 3), round(energy_j, 3)])

    def _append(self, values: Any) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(values)
