"""A `pynvml` for other processes, written where PYTHONPATH leads: 400 W, ticks every 0.1 s."""

from pathlib import Path

import pytest

WATTS = 400

_MODULE = f"""
import os, time

NVML_TEMPERATURE_GPU, NVML_CLOCK_SM, NVML_CLOCK_MEM = 0, 1, 2
BEGAN = time.monotonic()


class NVMLError(Exception):
    pass


def nvmlInit():
    if "FAKE_NO_DRIVER" in os.environ:
        raise NVMLError("Driver Not Loaded")


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetTotalEnergyConsumption(handle):
    now = time.monotonic()
    now = min(now, BEGAN + float(os.environ.get("FAKE_FREEZE_AFTER", "inf")))
    if now > BEGAN + float(os.environ.get("FAKE_LOST_AFTER", "inf")):
        raise NVMLError("GPU is lost")
    return int(now * 10) * {WATTS * 100}


def nvmlDeviceGetTemperature(handle, sensor):
    return 50


def nvmlDeviceGetClockInfo(handle, clock):
    if clock == NVML_CLOCK_MEM:
        raise NVMLError("Not Supported")
    return 1980


def nvmlDeviceGetCurrentClocksEventReasons(handle):
    return 4
"""


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Processes that are started from now on find it; its faults are set as variables."""
    folder = tmp_path / "fake-nvml"
    folder.mkdir()
    (folder / "pynvml.py").write_text(_MODULE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return monkeypatch
