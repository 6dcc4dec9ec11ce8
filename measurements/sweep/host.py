"""What the host did while a window was metered: a GPU that waits for its host costs energy too."""

from dataclasses import astuple, dataclass, fields
from pathlib import Path

from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.gpu.window import Window
from joulecast.measurements.sweep.recorder_log import RecorderLog
from joulecast.measurements.table.runs import Run


@dataclass(frozen=True)
class HostUse:
    """What this process got of the host between two moments.

    Attributes:
        cpu_seconds: Processor time of this process, all its threads together [s].
        stolen_seconds: What the hypervisor gave to other machines, over all processors [s]; None
            where the system does not say.
        preemptions: How often its main thread, which launches the kernels, had to make way.
    """

    cpu_seconds: float
    stolen_seconds: float | None
    preemptions: int

    def since(self, before: "HostUse") -> "HostUse":
        """What came since an earlier count."""
        stolen = None
        if self.stolen_seconds is not None and before.stolen_seconds is not None:
            stolen = round(self.stolen_seconds - before.stolen_seconds, 2)
        return HostUse(
            round(self.cpu_seconds - before.cpu_seconds, 2),
            stolen,
            self.preemptions - before.preemptions,
        )


class HostWatch:
    """Counts what this process gets of the host, between `start` and `stop`.

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
        self._psutil, self._process = psutil, psutil.Process()
        self._before = self._after = self._count()

    def start(self) -> None:
        """Count from now on."""
        self._before = self._count()

    def stop(self) -> None:
        """Count no more."""
        self._after = self._count()

    @property
    def use(self) -> HostUse:
        """What was counted."""
        return self._after.since(self._before)

    def _count(self) -> HostUse:
        own = self._process.cpu_times()
        return HostUse(
            own.user + own.system,
            getattr(self._psutil.cpu_times(), "steal", None),
            self._process.num_ctx_switches().involuntary,
        )


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


def host_cpu() -> str | None:
    """The host's processor, which sets the pace where the GPU waits for it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0]}, {len(names)} threads" if names else None
