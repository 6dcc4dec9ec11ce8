"""The windows of equal requests that no price was fitted to, as docs/accuracy.md has them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from joulecast import measurements

PAGE = Path(__file__).parents[3] / "docs/accuracy.md"
PROGRAM = Path(measurements.__file__).parent / "campaign-2026-11-26" / "equal_requests.py"


@pytest.fixture(scope="module")
def windows() -> ModuleType:
    spec = importlib.util.spec_from_file_location("equal_requests", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="the campaign of 2026-11-26 does not ship")
def test_the_page_has_what_the_program_prints(windows: ModuleType) -> None:
    lines = set(PAGE.read_text(encoding="utf-8").splitlines())
    assert [line for line in windows.tables() if line and line not in lines] == []
