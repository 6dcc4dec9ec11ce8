"""A machine for `joulecast measure`, and a browser for pages."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from joulecast import measuring
from joulecast.cli import measure as cli_measure
from tests.measurements.fakes import FakeEngine, FakeTime, working_gpu


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the command finds; tests may change it before they call."""
    fake_time = FakeTime()
    gpu, work = working_gpu(fake_time, working_w=600.0, idle_w=100.0)
    stage = {"gpu": gpu, "engine": FakeEngine(sleep=work, name="vllm")}
    real = cli_measure.Sweep

    def in_fake_time(*parts: object) -> object:
        return real(*parts, clock=fake_time.clock, sleep=fake_time.sleep)

    monkeypatch.setattr(cli_measure, "choose_gpus", lambda named, environment: named or (0,))
    monkeypatch.setattr(cli_measure, "open_gpus", lambda indices: [stage["gpu"]] * len(indices))
    monkeypatch.setattr(measuring, "load_engine", lambda name, request: stage["engine"])
    monkeypatch.setattr(cli_measure, "Sweep", in_fake_time)
    return stage


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium: that of JOULECAST_CHROMIUM, else any that is there."""
    path = os.environ.get("JOULECAST_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium; install it, or name it with JOULECAST_CHROMIUM")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()
