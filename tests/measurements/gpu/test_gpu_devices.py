"""NVML as it answers on machines that cannot be measured, played by a stand-in module."""

import sys
from types import SimpleNamespace

import pytest

from joulecast.measurements.gpu.devices import MeterError, choose_gpus, open_gpus
from joulecast.measurements.hardware import find_gpu
from joulecast.traces.errors import InputError


class NvmlError(Exception):
    pass


def refuse(text: str):
    def call(*_: object) -> None:
        raise NvmlError(text)

    return call


def stand_in(**changes: object) -> SimpleNamespace:
    calls = {
        "NVMLError": NvmlError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMigMode": refuse("Not Supported"),
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 5_000,
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetUUID": lambda handle: "GPU-1",
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700_000,
        "nvmlDeviceGetTemperature": lambda handle, sensor: 41,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: 0x4 | 0x20,
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=1)],
    }
    return SimpleNamespace(**(calls | changes))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch):
    def use(**changes: object) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", stand_in(**changes))

    return use


def test_a_card_that_can_be_measured(nvml) -> None:
    nvml()
    (gpu,) = open_gpus()
    assert gpu.energy_j() == 5
    assert gpu.power_limit_w() == 700
    assert gpu.throttle_reasons() == {"power cap", "thermal slowdown"}
    assert gpu.foreign_processes() == [1]
    assert find_gpu(gpu.product).name == "h100-sxm"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nvmlInit": refuse("Driver Not Loaded")}, "no NVIDIA driver answers"),
        ({"nvmlDeviceGetHandleByIndex": refuse("Invalid Argument")}, "GPU 0: is not there"),
        ({"nvmlDeviceGetMigMode": lambda handle: (1, 1)}, "split by MIG"),
        ({"nvmlDeviceGetTotalEnergyConsumption": refuse("Not Supported")}, "cannot be read"),
    ],
)
def test_what_cannot_be_measured_says_why(changes, message: str, nvml) -> None:
    nvml(**changes)
    with pytest.raises(MeterError, match=message):
        open_gpus()


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("nvmlDeviceGetTemperature", lambda gpu: gpu.temperature_c()),
        ("nvmlDeviceGetCurrentClocksEventReasons", lambda gpu: gpu.throttle_reasons()),
        ("nvmlDeviceGetComputeRunningProcesses", lambda gpu: gpu.foreign_processes()),
        ("nvmlDeviceGetEnforcedPowerLimit", lambda gpu: gpu.power_limit_w()),
        ("nvmlDeviceGetTotalEnergyConsumption", lambda gpu: gpu.energy_j()),
    ],
)
def test_a_card_that_is_lost(question: str, asked, nvml) -> None:
    nvml()
    (gpu,) = open_gpus()
    setattr(gpu.nvml, question, refuse("GPU is lost"))
    with pytest.raises(MeterError, match=r"GPU 0: its .* cannot be read \(GPU is lost\)"):
        asked(gpu)


def test_gpus_of_two_kinds_and_one_gpu_twice(nvml) -> None:
    nvml(nvmlDeviceGetName=lambda handle: f"NVIDIA {handle}")
    with pytest.raises(MeterError, match="measure each kind by itself"):
        open_gpus((0, 1))
    with pytest.raises(MeterError, match="twice"):
        choose_gpus((0, 0), {})


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match=r"joulecast\[measure\]"):
        open_gpus()


def test_a_card_without_data_sheet() -> None:
    with pytest.raises(InputError, match="no data sheet"):
        find_gpu("NVIDIA GeForce GTX 970")


@pytest.mark.parametrize(
    ("named", "visible", "chosen"),
    [((), None, (0,)), ((2, 3), None, (2, 3)), ((), "3,1", (3,)), ((1,), "3", (1,))],
)
def test_the_engine_uses_the_gpus_that_are_metered(named, visible, chosen) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert choose_gpus(named, environment) == chosen
    assert environment["CUDA_VISIBLE_DEVICES"] == ",".join(map(str, chosen))
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_gpus_visible_by_name_must_be_given_by_number() -> None:
    with pytest.raises(MeterError, match="--gpu"):
        choose_gpus((), {"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c"})
