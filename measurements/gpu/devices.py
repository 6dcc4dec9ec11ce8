"""A GPU as the measurement needs it: an energy counter, and what could spoil a run.

NVML through nvidia-ml-py. The counter (mJ since the driver loaded) ticks every 0.1 s on an H100.
"""

import os
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from joulecast.traces.errors import InputError


class MeterError(InputError):
    """The energy counter cannot be believed, or is not there."""


class GpuDevice(Protocol):
    """What the meter and the validity gates ask of a GPU."""

    @property
    def index(self) -> int:
        """Its number, as NVML counts."""

    @property
    def uuid(self) -> str:
        """Identity of the card."""

    @property
    def product(self) -> str:
        """The maker's name."""

    def energy_j(self) -> float:
        """Value of the energy counter [J]; it moves in ticks."""

    def power_limit_w(self) -> float:
        """Enforced power limit [W]."""

    def temperature_c(self) -> float:
        """GPU temperature [deg C]."""

    def throttle_reasons(self) -> frozenset[str]:
        """Why the clock is lower than it could be, now."""

    def foreign_processes(self) -> list[int]:
        """Processes on the GPU that are neither this one nor its children."""

    def details(self) -> dict[str, Any]:
        """Driver and clocks, for table.json."""


def card_name(gpus: Sequence[GpuDevice]) -> str:
    """UUID of the GPU; of all, joined by +, where there are several."""
    return "+".join(gpu.uuid for gpu in gpus)


THROTTLE_BITS = {
    "gpu idle": 0x1,
    "application clocks": 0x2,
    "power cap": 0x4,
    "hardware slowdown": 0x8,
    "sync boost": 0x10,
    "thermal slowdown": 0x20,
    "hardware thermal slowdown": 0x40,
    "power brake": 0x80,
    "display clocks": 0x100,
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h)."""


@dataclass(frozen=True)
class NvmlGpu:
    """One NVIDIA GPU through NVML.

    Attributes:
        index: Its number, as NVML counts.
        nvml: The module that asks.
        handle: NVML's own name of it.
    """

    index: int
    nvml: Any
    handle: Any

    @property
    def uuid(self) -> str:
        """Identity of the card."""
        return str(self.nvml.nvmlDeviceGetUUID(self.handle))

    @property
    def product(self) -> str:
        """The maker's name."""
        return str(self.nvml.nvmlDeviceGetName(self.handle))

    def energy_j(self) -> float:
        """Value of the energy counter [J]."""
        ask = self.nvml.nvmlDeviceGetTotalEnergyConsumption
        return float(self._ask("energy counter", ask)) / 1000

    def _ask(self, quantity: str, ask: Callable[..., Any], *args: Any) -> Any:
        """One question to NVML; its refusal as our error."""
        try:
            return ask(self.handle, *args)
        except self.nvml.NVMLError as error:
            raise MeterError(
                f"GPU {self.index}: its {quantity} cannot be read ({error})"
            ) from error

    def power_limit_w(self) -> float:
        """Enforced power limit [W]."""
        return float(self._ask("power limit", self.nvml.nvmlDeviceGetEnforcedPowerLimit)) / 1000

    def temperature_c(self) -> float:
        """GPU temperature [deg C]."""
        sensor = self.nvml.NVML_TEMPERATURE_GPU
        return float(self._ask("temperature", self.nvml.nvmlDeviceGetTemperature, sensor))

    def throttle_reasons(self) -> frozenset[str]:
        """Why the clock is lower than it could be, now."""
        ask = self.nvml.nvmlDeviceGetCurrentClocksEventReasons
        bits = int(self._ask("throttle reasons", ask))
        return frozenset(name for name, bit in THROTTLE_BITS.items() if bits & bit)

    def foreign_processes(self) -> list[int]:
        """Processes on the GPU that are neither this one nor its children."""
        running = self._ask("processes", self.nvml.nvmlDeviceGetComputeRunningProcesses)
        ours = _own_processes()
        return sorted(process.pid for process in running if process.pid not in ours)

    def details(self) -> dict[str, Any]:
        """Driver and clocks, for table.json."""
        clocks = {
            name: int(self._ask("clocks", self.nvml.nvmlDeviceGetMaxClockInfo, kind))
            for name, kind in (
                ("max_sm_mhz", self.nvml.NVML_CLOCK_SM),
                ("max_memory_mhz", self.nvml.NVML_CLOCK_MEM),
            )
        }
        driver = self._ask("driver", lambda _: self.nvml.nvmlSystemGetDriverVersion())
        return {"driver": str(driver), "clocks": clocks}


def choose_gpus(named: Sequence[int], environment: MutableMapping[str, str]) -> tuple[int, ...]:
    """Indices of the GPUs to measure, and the environment set so that engines use these.

    Args:
        named: NVML indices that the user gave; if none, the first that CUDA_VISIBLE_DEVICES
            leaves, else GPU 0.
        environment: Such as os.environ; must be set before torch looks for GPUs.

    Raises:
        MeterError: CUDA_VISIBLE_DEVICES names its GPUs otherwise than by number, or a GPU is named
            twice.
    """
    indices = tuple(named)
    require_each_once(indices)
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    if not indices and visible:
        first = visible.split(",")[0].strip()
        if not first.isdigit():
            raise MeterError(
                f"CUDA_VISIBLE_DEVICES is {visible}; name the GPU to measure by number with --gpu"
            )
        indices = (int(first),)
    indices = indices or (0,)
    # NVML numbers GPUs by their place on the bus; CUDA would put the fastest first.
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, indices))
    return indices


def require_each_once(indices: Sequence[int]) -> None:
    """Refuse GPUs of which one is named twice."""
    if len(set(indices)) < len(indices):
        raise MeterError(f"--gpu names a GPU twice: {', '.join(map(str, indices))}")


def open_gpus(indices: Sequence[int] = (0,)) -> list[NvmlGpu]:
    """The GPUs to measure.

    Raises:
        MeterError: No NVML, no such GPU, a MIG slice, or a card without an energy counter.
    """
    try:
        import pynvml as nvml
    except ImportError as error:
        raise MeterError(
            "measuring needs nvidia-ml-py; install it with: pip install 'joulecast[measure]'"
        ) from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeterError(
            f"no NVIDIA driver answers ({error}); measure on a machine with an NVIDIA GPU, or see "
            "what a plan would take with --dry-run"
        ) from error
    gpus = [_open_gpu(nvml, index) for index in indices]
    products = sorted({gpu.product for gpu in gpus})
    if len(products) > 1:
        raise MeterError(f"the GPUs differ ({', '.join(products)}); measure each kind by itself")
    return gpus


def _open_gpu(nvml: Any, index: int) -> NvmlGpu:
    try:
        gpu = NvmlGpu(index, nvml, nvml.nvmlDeviceGetHandleByIndex(index))
    except nvml.NVMLError as error:
        raise MeterError(f"GPU {index}: is not there ({error})") from error
    try:
        mig_mode, _ = nvml.nvmlDeviceGetMigMode(gpu.handle)
    except nvml.NVMLError:
        mig_mode = 0  # cards without MIG do not support the question
    if mig_mode:
        raise MeterError(
            f"GPU {index}: is split by MIG, and its counter counts the whole card; measure on a "
            "card that is not split"
        )
    gpu.energy_j()
    return gpu


def _own_processes() -> set[int]:
    """This process and all below it; NVML may number them as the host does, inside a container."""
    import psutil

    this = psutil.Process(os.getpid())
    return {this.pid, *(child.pid for child in this.children(recursive=True))}
