"""A sweep in fake time, and the campaign's program that ships studies."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from joulecast.measurements.sweep.sweep import Sweep, SweepSettings
from tests.measurements.fakes import FakeEngine, FakeGpu, FakeTime, make_sweep


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., tuple[Sweep, FakeGpu]]]:
    """Make a sweep in fake time on a GPU that draws 600 W while a batch runs, 100 W else.

    Changes named as fields of `FakeEngine`, `FakeGpu` or `SweepSettings` go there.
    """
    folders = []

    def make(resume: bool = False, **changes: object) -> tuple[Sweep, FakeGpu]:
        fake_time = FakeTime()
        busy = {"until": -1.0}

        def work(seconds: float) -> None:
            busy["until"] = fake_time.now + seconds
            fake_time.sleep(seconds)

        def taken(kind: type) -> dict[str, object]:
            names = {field.name for field in fields(kind)} & set(changes)
            return {name: changes.pop(name) for name in names}

        engine = FakeEngine(sleep=work, **taken(FakeEngine))
        settings = taken(SweepSettings)
        gpu = FakeGpu(
            clock=fake_time.clock,
            **{"power_w": lambda now: 600.0 if now < busy["until"] else 100.0, **changes},
        )
        sweep = make_sweep(tmp_path / "t", engine, [gpu], fake_time, resume, **settings)
        folders.append(sweep.folder)
        return sweep, gpu

    yield make
    for folder in folders:
        folder.close()
