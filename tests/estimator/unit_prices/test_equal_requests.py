"""The windows of equal requests that no price was fitted to, as docs/accuracy.md has them."""

from pathlib import Path
from types import ModuleType

import pytest

from joulecast import measurements
from tests.conftest import load_program

PAGE = Path(__file__).parents[3] / "docs/accuracy.md"
PROGRAM = Path(measurements.__file__).parent / "campaign-2026-11-26" / "equal_requests.py"


@pytest.fixture(scope="module")
def windows() -> ModuleType:
    return load_program(PROGRAM)


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="the campaign of 2026-11-26 does not ship")
def test_the_page_has_what_the_program_prints(windows: ModuleType) -> None:
    lines = set(PAGE.read_text(encoding="utf-8").splitlines())
    assert [line for line in windows.tables() if line and line not in lines] == []
