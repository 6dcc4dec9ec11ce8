"""The house stays one to find through by its folders: small rooms, modules and functions."""

import ast
import os
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = "joulecast", "traces", "measurements", "estimator", "tests", "benchmarks"
MOST_MODULES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 16, 400, 60


def code_of(room: str) -> list[Path]:
    """Modules of a room; raw measurements keep the programs that made them as they were."""
    return [
        Path(folder) / name
        for folder, _, names in os.walk(ROOT / room)  # which follows no links
        if not Path(folder).name.startswith("campaign-")
        for name in names
        if name.endswith(".py")
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_modules_and_functions_are_small(room: str) -> None:
    files = code_of(room)
    assert files
    doors = Counter(path.parent for path in files if path.name != "__init__.py")
    assert {folder: count for folder, count in doors.items() if count > MOST_MODULES} == {}
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    assert [path for path, text in texts.items() if text.count("\n") > MOST_LINES] == []
    functions = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name for name, lines in functions.items() if lines > MOST_LINES_OF_A_FUNCTION} == set()
