"""What NVML says of every GPU, for a bug report: each is asked, none is changed.

Measuring needs a card in order and refuses others (`open_gpus`); this tells what is out of order.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from joulecast.measurements.gpu.devices import MeterError, NvmlGpu
from joulecast.measurements.gpu.meter import FREEZE_SECONDS
from joulecast.measurements.hardware import find_gpu
from joulecast.traces.errors import InputError

CounterState = Literal["moves", "frozen", "went back", "unreadable"]
Answer = TypeVar("Answer")

_POLL_SECONDS = 0.01
_NEEDLESS = "estimating needs no GPU"


@dataclass(frozen=True)
class SurveyedGpu:
    """What one GPU answered; None is what it did not.

    Attributes:
        index: As nvidia-smi numbers it.
        product: The maker's name.
        memory_bytes: All of its memory [B].
        power_limit_w: Enforced power limit [W].
        energy_j: What the energy counter showed last [J].
        counter: Whether the counter can be believed.
        mig: "on", "off", or how NVML refuses the question.
        processes: Numbers of the processes on it, as the host counts.
        data_sheet: Short name of its data sheet.
        problems: What is out of order, a sentence each.
    """

    index: int
    product: str | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    counter: CounterState = "unreadable"
    mig: str | None = None
    processes: tuple[int, ...] | None = None
    data_sheet: str | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class GpuSurvey:
    """All GPUs of the machine.

    Attributes:
        driver: Version of the driver, None if none answers.
        note: Why there are none, None if there are some.
        cards: The GPUs.
    """

    driver: str | None
    note: str | None
    cards: tuple[SurveyedGpu, ...] = ()


def survey_gpus(
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> GpuSurvey:
    """Ask every GPU; takes a tick of their counters, or `FREEZE_SECONDS` if one does not move."""
    try:
        import pynvml as nvml
    except ImportError as error:
        if error.name not in (None, "pynvml"):
            return GpuSurvey(None, f"nvidia-ml-py cannot be imported ({error}); {_NEEDLESS}")
        return GpuSurvey(
            None,
            f"nvidia-ml-py is not installed, so no GPU was looked for; {_NEEDLESS}, measuring "
            "takes: pip install 'joulecast[measure]'",
        )
    try:
        nvml.nvmlInit()
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        return GpuSurvey(None, f"no NVIDIA driver answers ({error}); {_NEEDLESS}")
    try:
        driver = str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        driver = None
    if count == 0:
        return GpuSurvey(driver, f"the NVIDIA driver knows no GPU; {_NEEDLESS}")
    opened: list[NvmlGpu] = []
    cards: list[SurveyedGpu] = []
    for index in range(count):
        try:
            gpu = NvmlGpu(index, nvml, nvml.nvmlDeviceGetHandleByIndex(index))
        except nvml.NVMLError as error:
            cards.append(SurveyedGpu(index, problems=(f"cannot be opened ({error})",)))
            continue
        opened.append(gpu)
        cards.append(_ask_all(gpu))
    watched = _watch_counters(opened, cards, clock, sleep)
    return GpuSurvey(driver, None, tuple(watched))


def _ask_all(gpu: NvmlGpu) -> SurveyedGpu:
    """Everything but the counter."""
    nvml, problems = gpu.nvml, []

    def ask(quantity: str, question: Callable[[], Answer]) -> Answer | None:
        try:
            return question()
        except MeterError as error:
            problems.append(str(error).removeprefix(f"GPU {gpu.index}: "))
        except (nvml.NVMLError, AttributeError) as error:
            problems.append(f"its {quantity} cannot be read ({error})")
        return None

    product = ask("name", lambda: gpu.product)
    sheet = None
    if product is not None:
        try:
            sheet = find_gpu(product).name
        except InputError as error:
            problems.append(str(error))
    try:
        memory_bytes = int(nvml.nvmlDeviceGetMemoryInfo(gpu.handle).total)
    except (nvml.NVMLError, AttributeError):
        memory_bytes = None  # cards that share the host's memory have no answer
    running = ask("processes", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(gpu.handle))
    mig = _mig(gpu)
    if mig == "on":
        problems.append("is split by MIG, and its counter counts the whole card")
    return SurveyedGpu(
        gpu.index,
        product,
        memory_bytes,
        ask("power limit", gpu.power_limit_w),
        mig=mig,
        processes=None if running is None else tuple(sorted(process.pid for process in running)),
        data_sheet=sheet,
        problems=tuple(problems),
    )


def _mig(gpu: NvmlGpu) -> str:
    try:
        current, _ = gpu.nvml.nvmlDeviceGetMigMode(gpu.handle)
    except (gpu.nvml.NVMLError, AttributeError) as error:
        return str(error)
    return "on" if current else "off"


def _watch_counters(
    opened: Sequence[NvmlGpu],
    cards: Sequence[SurveyedGpu],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[SurveyedGpu]:
    """The cards with what their counters do; all are watched at once."""
    by_index = {card.index: card for card in cards}
    waiting, began = list(opened), clock()
    while waiting:
        for gpu in list(waiting):
            by_index[gpu.index] = _look(gpu, by_index[gpu.index])
            if by_index[gpu.index].counter != "frozen":
                waiting.remove(gpu)
        if clock() - began > FREEZE_SECONDS:
            break
        sleep(_POLL_SECONDS)
    for gpu in waiting:
        problem = f"its energy counter did not move for {FREEZE_SECONDS:g} s"
        by_index[gpu.index] = _with_problem(by_index[gpu.index], problem)
    return list(by_index.values())


def _look(gpu: NvmlGpu, card: SurveyedGpu) -> SurveyedGpu:
    """A card after one more look at its counter; "frozen" stands until it is seen to move."""
    try:
        energy_j = gpu.energy_j()
    except (MeterError, AttributeError) as error:
        problem = str(error).removeprefix(f"GPU {gpu.index}: ")
        return _with_problem(replace(card, counter="unreadable"), problem)
    before_j = energy_j if card.energy_j is None else card.energy_j
    if energy_j < before_j:
        problem = f"its energy counter went back, from {before_j:.1f} to {energy_j:.1f} J"
        return _with_problem(replace(card, energy_j=energy_j, counter="went back"), problem)
    return replace(card, energy_j=energy_j, counter="moves" if energy_j > before_j else "frozen")


def _with_problem(card: SurveyedGpu, problem: str) -> SurveyedGpu:
    return replace(card, problems=(*card.problems, problem))
