"""The folder that a sweep fills: every run is on disk the moment it is measured."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

from measurements.runs import COLUMNS, Run, read_runs
from traces.errors import InputError
from traces.files import exists, read_json, write_text

_IDENTITY = (
    "gpu", "gpu_product", "gpu_count", "power_limit_w", "model", "engine", "engine_version",
    "dtype", "weights", "grid",
)  # fmt: skip
_FROM_FREE_MEMORY = "kv_cache_tokens"
_TOLERANCE = 0.01


@dataclass
class SweepFolder:
    """table.json and runs.csv of a table in the making.

    Attributes:
        path: The folder.
        metadata: What table.json holds.
        runs: What runs.csv holds.
    """

    path: Path
    metadata: dict[str, Any]
    runs: list[Run]
    _file: IO[str]

    @classmethod
    def create(cls, path: Path, metadata: Mapping[str, Any]) -> "SweepFolder":
        """Begin a table.

        Raises:
            InputError: There is one already, or the folder cannot be written.
        """
        require_new(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = (path / "runs.csv").open("x", encoding="utf-8", newline="")
            _lock(file, path)
            _append(file, COLUMNS)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from error
        folder = cls(path, dict(metadata), [], file)
        folder.save(status="measuring")
        return folder

    @classmethod
    def resume(cls, path: Path, metadata: Mapping[str, Any]) -> "SweepFolder":
        """Go on with a table; a line that was cut off while it was written is taken away.

        Raises:
            InputError: No table there, one that was measured under other conditions, or another
                process is at it.
        """
        known = read_metadata(path)
        _require_same(path, known, metadata)
        try:
            file = (path / "runs.csv").open("r+", encoding="utf-8", newline="")
        except OSError as error:
            raise InputError(f"{path}/runs.csv: cannot be opened ({error.strerror})") from error
        _lock(file, path)
        _drop_torn_line(path / "runs.csv")
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            _append(file, COLUMNS)
        cards = {**known.get("cards", {}), **metadata.get("cards", {})}
        folder = cls(path, {**known, "cards": cards}, _runs_of(path / "runs.csv"), file)
        folder.save(status="measuring")
        return folder

    def append(self, run: Run) -> None:
        """Put a run on disk; it is there when this returns."""
        _append(self._file, [_text(value) for value in astuple(run)])
        self.runs.append(run)

    def save(self, status: str) -> None:
        """Bring table.json up to date with the runs."""
        cells = {run.cell for run in self.runs if run.at_capacity and run.valid}
        grid = self.metadata["grid"]
        self.metadata["status"] = status
        self.metadata["measured_cells"] = len(cells)
        whole = len(grid["input_edges"]) * len(grid["output_edges"])
        self.metadata["complete"] = len(cells) == whole
        lines = ",\n".join(
            f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.metadata.items()
        )
        write_text(self.path / "table.json", f"{{\n{lines}\n}}\n")

    def close(self) -> None:
        """Let other processes have the folder."""
        self._file.close()


def require_new(path: Path) -> None:
    """Refuse a folder that already holds a table."""
    for name in ("table.json", "runs.csv"):
        if (path / name).exists():
            raise InputError(
                f"{path}: already holds {name}; pass --resume to go on with it, or another folder"
            )


def read_metadata(path: Path) -> dict[str, Any]:
    """table.json of a folder to go on with."""
    if not exists(path / "table.json"):
        raise InputError(f"{path}: has no table to go on with; leave out --resume")
    known = read_json(path / "table.json", "measure into a new folder")
    if not isinstance(known, dict) or not isinstance(known.get("engine_settings"), dict):
        raise InputError(f"{path}/table.json: is not the head of a table")
    cards = known.get("cards", {})
    if not isinstance(cards, dict) or not all(
        isinstance(card, dict) and isinstance(card.get("idle_power_w"), (int, float))
        for card in cards.values()
    ):
        raise InputError(f'{path}/table.json: "cards" is not what joulecast measure wrote')
    return known


def _require_same(path: Path, known: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """One table, one kind of GPU, engine, version and settings."""
    for key in _IDENTITY:
        if known.get(key) != now.get(key):
            raise InputError(
                f"{path}: was measured with {key} {json.dumps(known.get(key))}, now it is "
                f"{json.dumps(now.get(key))}; one table cannot mix them, give another folder"
            )
    before, after = known.get("engine_settings", {}), now["engine_settings"]
    for key in sorted({*before, *after}):
        one, other = before.get(key), after.get(key)
        # How much memory is free differs a little from card to card.
        if key == _FROM_FREE_MEMORY and one and other and abs(one / other - 1) <= _TOLERANCE:
            continue
        if one != other:
            raise InputError(
                f"{path}: was measured with the engine setting {key}={json.dumps(one)}, now it is "
                f"{json.dumps(other)}; one table cannot mix them, give another folder"
            )


def _runs_of(path: Path) -> list[Run]:
    with path.open(encoding="utf-8") as file:
        if sum(1 for _ in file) <= 1:
            return []
    return read_runs(path)


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _lock(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise InputError(f"{path}: another process is measuring into it") from error


def _append(file: IO[str], values: Any) -> None:
    """Write one line in one piece and have it on the disk."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    file.write(line.getvalue())
    file.flush()
    os.fsync(file.fileno())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
