"""The host: its processor, and what it gives to this process while a window is metered."""

from dataclasses import dataclass
from pathlib import Path

from joulecast.measurements.gpu.devices import MeterError


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


def host_cpu() -> str | None:
    """The host's processor, which sets the pace where the GPU waits for it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0]}, {len(names)} threads" if names else None
