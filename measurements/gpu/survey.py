"""What NVML says of every GPU, for a bug report: each is asked, none is changed.

Measuring needs a card in order and refuses others (`open_gpus`); this tells what is out of order.
Keys and their units are those of the document of `joulecast doctor` (docs/files.md).
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from joulecast.measurements.gpu.devices import MeterError, NvmlGpu
from joulecast.measurements.gpu.meter import FREEZE_SECONDS
from joulecast.measurements.hardware import find_gpu
from joulecast.traces.errors import InputError

_POLL_SECONDS = 0.01
_NO_ANSWERS = {
    "product": None,
    "memory_bytes": None,
    "power_limit_w": None,
    "energy_j": None,
    "counter": "unreadable",
    "mig": None,
    "processes": None,
    "data_sheet": None,
}
_NEEDLESS = "estimating needs no GPU"


def survey_gpus(
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Ask every GPU; takes a tick of their counters, or `FREEZE_SECONDS` if some do not move.

    Returns:
        `driver`, its version; `note`, why there is no GPU; `cards`, with what each answered, None
        where it did not.
    """
    try:
        import pynvml as nvml
    except ImportError as error:
        reason = (
            f"nvidia-ml-py cannot be imported ({error}), so no GPU was looked for; {_NEEDLESS}, "
            "measuring takes: pip install 'joulecast[measure]'"
        )
        return {"driver": None, "note": reason, "cards": []}
    try:
        nvml.nvmlInit()
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        reason = f"no NVIDIA driver answers ({error}); {_NEEDLESS}"
        return {"driver": None, "note": reason, "cards": []}
    driver = None
    with contextlib.suppress(nvml.NVMLError):
        driver = str(nvml.nvmlSystemGetDriverVersion())
    cards, gpus = [], []
    for index in range(count):
        card: dict[str, Any] = {"index": index, **_NO_ANSWERS, "problems": []}
        cards.append(card)
        try:
            gpu = NvmlGpu(index, nvml, nvml.nvmlDeviceGetHandleByIndex(index))
        except nvml.NVMLError as error:
            card["problems"].append(f"cannot be opened ({error})")
            continue
        _ask_all(gpu, card)
        gpus.append((gpu, card))
    end_s = clock() + FREEZE_SECONDS
    for gpu, card in gpus:
        _watch_counter(gpu, card, lambda: clock() > end_s, sleep)
    note = None if cards else f"the NVIDIA driver knows no GPU; {_NEEDLESS}"
    return {"driver": driver, "note": note, "cards": cards}


def _ask_all(gpu: NvmlGpu, card: dict[str, Any]) -> None:
    """Everything that takes one question."""
    nvml, handle = gpu.nvml, gpu.handle
    card["product"] = _ask(gpu, card, "name", lambda: gpu.product)
    card["power_limit_w"] = _ask(gpu, card, "power limit", gpu.power_limit_w)
    card["energy_j"] = _ask(gpu, card, "energy counter", gpu.energy_j)
    running = _ask(
        gpu, card, "processes", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    )
    card["processes"] = None if running is None else sorted(process.pid for process in running)
    # Cards that share the host's memory have no answer.
    with contextlib.suppress(nvml.NVMLError, AttributeError):
        card["memory_bytes"] = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    try:
        card["mig"] = "on" if nvml.nvmlDeviceGetMigMode(handle)[0] else "off"
    except (nvml.NVMLError, AttributeError) as error:
        card["mig"] = str(error)
    if card["mig"] == "on":
        card["problems"].append("is split by MIG, and its counter counts the whole card")
    if card["product"] is not None:
        try:
            card["data_sheet"] = find_gpu(card["product"]).name
        except InputError as error:
            card["problems"].append(str(error))


def _ask(gpu: NvmlGpu, card: dict[str, Any], quantity: str, question: Callable[[], Any]) -> Any:
    """An answer; a refusal becomes a problem of the card."""
    try:
        return question()
    except MeterError as error:
        card["problems"].append(str(error).removeprefix(f"GPU {gpu.index}: "))
    except (gpu.nvml.NVMLError, AttributeError) as error:
        card["problems"].append(f"its {quantity} cannot be read ({error})")
    return None


def _watch_counter(
    gpu: NvmlGpu,
    card: dict[str, Any],
    is_over: Callable[[], bool],
    sleep: Callable[[float], None],
) -> None:
    """Look at the energy counter until it is seen to move, or time is over."""
    before_j = energy_j = card["energy_j"]
    while energy_j is not None and energy_j == before_j:
        is_last = is_over()
        energy_j = _ask(gpu, card, "energy counter", gpu.energy_j)
        if is_last:
            break
        sleep(_POLL_SECONDS)
    if energy_j is None:
        return
    card["energy_j"] = energy_j
    card["counter"] = "moves"
    if energy_j == before_j:
        card["counter"] = "frozen"
        card["problems"].append(f"its energy counter did not move for {FREEZE_SECONDS:g} s")
    elif energy_j < before_j:
        card["counter"] = "went back"
        card["problems"].append(
            f"its energy counter went back, from {before_j:.1f} to {energy_j:.1f} J"
        )
