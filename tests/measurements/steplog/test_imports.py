"""Logs can be read where nothing heavy is installed, and the poller starts at once."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # Python starts anew

READERS = ("files", "log", "ticks", "logger", "reader")


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (READERS, {"torch", "vllm", "pandas", "pynvml", "transformers"}),
        (("poller",), {"numpy", "scipy", "pynvml", "click"}),
    ],
)
def test_what_the_room_imports(modules: tuple[str, ...], absent: set[str]) -> None:
    names = ", ".join(f"joulecast.measurements.steplog.{name}" for name in modules)
    program = f"import sys, json; import {names}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) & absent == set()
