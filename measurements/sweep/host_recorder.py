"""What the host did while a window was metered: a GPU that waits for its host costs energy too."""

from dataclasses import astuple, fields

from joulecast.measurements.gpu.window import Window
from joulecast.measurements.host import HostUse, HostWatch
from joulecast.measurements.sweep.recorder_log import RecorderLog
from joulecast.measurements.table.runs import Run


class HostRecorder(RecorderLog):
    """Keeps, per window, what this process got of the host's processors, in host.csv.

    Equal work with more of any of these was done by a slower or busier host.

    Raises:
        MeterError: psutil is not installed.
    """

    def __init__(self) -> None:
        self._watch = HostWatch()
        super().__init__("host.csv", ("seconds", *(column.name for column in fields(HostUse))))

    def start(self) -> None:
        """Before a window."""
        self._watch.start()

    def stop(self) -> None:
        """After it."""
        self._watch.stop()

    def record(self, run: Run, window: Window) -> None:  # noqa: ARG002 - others take its times
        """Keep the difference beside a run that is on disk."""
        self.append(run, [run.seconds, *astuple(self._watch.use)])
