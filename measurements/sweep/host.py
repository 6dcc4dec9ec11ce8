"""What the host did while a window was metered: a GPU that waits for its host costs energy too."""

from dataclasses import dataclass
from pathlib import Path

from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.sweep.recorder_log import RecorderLog
from joulecast.measurements.table.runs import Run


@dataclass(frozen=True)
class _Counters:
    """What has been counted up to a moment."""

    cpu_seconds: float
    stolen_seconds: float | None
    preemptions: int


class HostRecorder(RecorderLog):
    """Keeps, per window, what this process got of the host's processors, in host.csv.

    `cpu_seconds` is the processor time of this process, all its threads together;
    `stolen_seconds` what the hypervisor gave to other machines, over all processors (empty where
    the system does not say); `preemptions` how often its main thread, which launches the kernels,
    had to make way. Equal work with more of any of these was done by a slower or busier host.

    Raises:
        MeterError: psutil is not installed.
    """

    def __init__(self) -> None:
        try:
            import psutil
        except ImportError as error:
            raise MeterError(
                "measuring needs psutil; install it with: pip install 'joulecast[measure]'"
            ) from error
        super().__init__("host.csv", ("seconds", "cpu_seconds", "stolen_seconds", "preemptions"))
        self._psutil, self._process = psutil, psutil.Process()
        self._before = self._after = self._count()

    def start(self) -> None:
        """Before a window."""
        self._before = self._count()

    def stop(self) -> None:
        """After it."""
        self._after = self._count()

    def record(self, run: Run) -> None:
        """Keep the difference beside a run that is on disk."""
        before, after = self._before, self._after
        stolen = (
            None
            if before.stolen_seconds is None or after.stolen_seconds is None
            else round(after.stolen_seconds - before.stolen_seconds, 2)
        )
        self.append(
            run,
            [
                run.seconds,
                round(after.cpu_seconds - before.cpu_seconds, 2),
                stolen,
                after.preemptions - before.preemptions,
            ],
        )

    def _count(self) -> _Counters:
        own = self._process.cpu_times()
        return _Counters(
            own.user + own.system,
            getattr(self._psutil.cpu_times(), "steal", None),
            self._process.num_ctx_switches().involuntary,
        )


def host_cpu() -> str | None:
    """The host's processor, which sets the pace where the GPU waits for it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0]}, {len(names)} threads" if names else None
