"""The folder that a sweep fills: every run is on disk the moment it is measured."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

from joulecast.measurements.table.interpolation import CellKey
from joulecast.measurements.table.metadata import check_metadata
from joulecast.measurements.table.runs import COLUMNS, Run, read_runs
from joulecast.measurements.table.table import check_runs
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists, read_json, write_text

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

_IDENTITY = (
    "gpu", "gpu_product", "gpu_count", "power_limit_w", "model", "engine", "engine_version",
    "dtype", "weights", "grid", "measured_by", "meter",
)  # fmt: skip
_BY_GPU_COLUMNS = ("input_tokens", "output_tokens", "batch_size", "run", "gpu", "energy_j")
_FROM_FREE_MEMORY = "kv_cache_tokens"
_SETTINGS_BEFORE = {"decoding_strategy": "greedy"}
"""What tables do not tell that were begun before it was a setting."""
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
    _log: "CsvLog"
    _log_by_gpu: "CsvLog | None" = None

    @classmethod
    def create(cls, path: Path, metadata: Mapping[str, Any]) -> "SweepFolder":
        """Begin a table.

        Raises:
            InputError: There is one already, or the folder cannot be written.
        """
        require_new(path)
        log = CsvLog(path / "runs.csv", COLUMNS)
        if log.has_rows:
            log.close()
            require_new(path)
        folder = cls(path, dict(metadata), [], log)
        folder.save(status="measuring")
        return folder

    @classmethod
    def resume(cls, path: Path, metadata: Mapping[str, Any]) -> "SweepFolder":
        """Go on with a table; a line that was cut off while it was written is taken away.

        Raises:
            InputError: No table there, one that was measured under other conditions, or another
                process is at it.
        """
        earlier, _ = read_unfinished(path)
        require_same(path, earlier, metadata)
        log = CsvLog(path / "runs.csv", COLUMNS)
        _, runs = read_unfinished(path)
        cards = {**earlier.get("cards", {}), **metadata.get("cards", {})}
        capacity = _merged(earlier.get("capacity"), metadata.get("capacity"))
        folder = cls(path, {**earlier, "cards": cards} | capacity, runs, log)
        folder.save(status="measuring")
        return folder

    def append(self, run: Run, energy_by_gpu_j: Mapping[str, float] | None = None) -> None:
        """Put a run on disk; it is there when this returns.

        Args:
            run: What was measured.
            energy_by_gpu_j: Card -> its share of the energy [J]; where there are several, it goes
                into by_gpu.csv.
        """
        self._log.append(astuple(run))
        self.runs.append(run)
        if energy_by_gpu_j is not None and len(energy_by_gpu_j) > 1:
            if self._log_by_gpu is None:
                self._log_by_gpu = CsvLog(self.path / "by_gpu.csv", _BY_GPU_COLUMNS)
            for gpu, energy_j in energy_by_gpu_j.items():
                self._log_by_gpu.append([*run.key, gpu, round(energy_j, 3)])

    def shrink(self, cell: CellKey, batch_size: int, first_failed: int) -> None:
        """Keep that B(I, O) of a cell is smaller than was found, for this sweep and the next."""
        capacity = self.metadata.setdefault("capacity", {"how": "as runs showed"})
        rows = [row for row in capacity.get("found", []) if tuple(row[:2]) != cell]
        capacity["found"] = sorted([*rows, [*cell, batch_size, first_failed]], key=lambda r: r[:2])
        self.save(status="measuring")

    def save(self, status: str) -> None:
        """Bring table.json up to date with the runs."""
        cells = {run.cell for run in self.runs if run.at_capacity and run.valid}
        grid = self.metadata["grid"]
        self.metadata["status"] = status
        self.metadata["measured_cells"] = len(cells)
        whole = len(grid["input_edges"]) * len(grid["output_edges"])
        self.metadata["complete"] = len(cells) == whole
        write_metadata(self.path, self.metadata)

    def close(self) -> None:
        """Let other processes have the folder."""
        self._log.close()
        if self._log_by_gpu is not None:
            self._log_by_gpu.close()


class CsvLog:
    """A CSV file that grows by whole lines, one process at a time.

    Args:
        path: The file; it and its folder are made if they are not there. A line that was cut off
            while it was written is taken away.
        columns: Its header.

    Raises:
        InputError: It cannot be written, has another header, or another process has it.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._file = path.open("r+", encoding="utf-8", newline="")
            _lock(self._file, path.parent)
            content = path.read_bytes()
        except OSError as error:
            raise self._refusal(error) from error
        expected = ",".join(columns)
        first, *rows = content.splitlines() or [b""]
        header = first.decode("utf-8", "replace").strip()
        is_torn = not content.endswith(b"\n")
        if header != expected and not (is_torn and not rows and expected.startswith(header)):
            self._file.close()
            raise InputError(f"{path}:1: its columns must be {expected}")
        if is_torn:
            header = header if rows else ""
            _drop_torn_line(path)
            rows = rows[:-1]
        self.has_rows = bool(rows)
        self._file.seek(0, os.SEEK_END)
        if not header:
            self.append(columns)

    def append(self, values: Sequence[object]) -> None:
        """Write one line in one piece and have it on the disk."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([_text(value) for value in values])
        try:
            self._file.write(line.getvalue())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """Let other processes have the file."""
        # What a full disk did not take is reported by append, and close tries it again.
        with contextlib.suppress(OSError):
            self._file.close()

    def _refusal(self, error: OSError) -> InputError:
        return InputError(f"{self._path}: cannot be written ({error.strerror})")


def require_new(path: Path) -> None:
    """Refuse a folder that already holds a table, or cannot."""
    try:
        for name in ("table.json", "runs.csv", "traffic-1.steps.csv.gz"):
            # A sweep that was stopped before its first run leaves a header alone.
            if (path / name).exists() and not (name == "runs.csv" and _is_bare(path / name)):
                raise InputError(
                    f"{path}: already holds {name}; pass --resume to go on with it, or give "
                    "another folder"
                )
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"{path}: cannot be written ({there} is no folder to write into)")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def read_unfinished(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """What a folder to go on with holds, read as strictly as a table, but for its number of runs.

    Raises:
        InputError: There is no table, or something in it cannot be true.
    """
    if not exists(path / "table.json"):
        raise InputError(f"{path}: has no table to go on with; leave out --resume")
    metadata = read_json(path / "table.json", "measure into a new folder")
    check_metadata(metadata, path / "table.json")
    file = path / "runs.csv"
    try:
        is_bare = not file.exists() or _is_bare(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    runs = [] if is_bare else read_runs(file, torn=True)
    check_runs(metadata, runs, path)
    return metadata, runs


def _is_bare(path: Path) -> bool:
    """Whether a runs.csv has its header at most."""
    content, header = path.read_bytes(), (",".join(COLUMNS) + "\n").encode()
    one_line = content.count(b"\n") <= 1
    return one_line and (header.startswith(content) or content.startswith(header))


def _merged(
    earlier: Mapping[str, Any] | None, current: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """How B(I, O) was found before, and now of cells that were not asked for then."""
    if not earlier or not current or "found" not in current:
        return {}
    cells = {tuple(row[:2]): row for row in [*current["found"], *earlier.get("found", [])]}
    sums = {
        key: round(earlier.get(key, 0) + current.get(key, 0), 1) for key in ("gpu_seconds", "tries")
    }
    return {"capacity": {**earlier, **sums, "found": [cells[cell] for cell in sorted(cells)]}}


def write_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Write the table.json of a folder, a line per key.

    Raises:
        InputError: It cannot be written.
    """
    lines = ",\n".join(
        f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in metadata.items()
    )
    write_text(path / "table.json", f"{{\n{lines}\n}}\n")


def require_same(path: Path, earlier: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse to go on with a table of another kind of GPU, engine, version or settings.

    Args:
        path: Of its folder.
        earlier: Its table.json.
        current: What table.json would say now.

    Raises:
        InputError: They differ; the key is named.
    """
    for key in _IDENTITY:
        if earlier.get(key) != current.get(key):
            raise InputError(
                f"{path}: was measured with {key} {json.dumps(earlier.get(key))}, now it is "
                f"{json.dumps(current.get(key))}; one table cannot mix them, give another folder"
            )
    before = _SETTINGS_BEFORE | earlier.get("engine_settings", {})
    after = _SETTINGS_BEFORE | current["engine_settings"]
    for key in sorted({*before, *after}):
        was, is_now = before.get(key), after.get(key)
        # How much memory is free differs a little from card to card.
        if key == _FROM_FREE_MEMORY and _nearly_equal(was, is_now):
            continue
        if was != is_now:
            raise InputError(
                f"{path}: was measured with the engine setting {key}={json.dumps(was)}, now it is "
                f"{json.dumps(is_now)}; one table cannot mix them, give another folder"
            )


def _nearly_equal(a: object, b: object) -> bool:
    if not isinstance(a, int) or not isinstance(b, int) or 0 in (a, b):
        return False
    return abs(a / b - 1) <= _TOLERANCE


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _lock(file: IO[str], path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(f"{path}: another process is measuring into it") from error


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
