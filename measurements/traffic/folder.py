"""The folder of a table of traffic: table.json, and the logs of every window that was metered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulecast.measurements.steplog.files import log_path
from joulecast.measurements.sweep.folder import require_new, require_same, write_metadata
from joulecast.measurements.table.metadata import check_metadata
from joulecast.measurements.table.traffic_window import PLAN, PREFIX, TrafficWindow, windows_in
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists, read_json


@dataclass
class TrafficFolder:
    """A table of traffic in the making.

    Attributes:
        path: The folder.
        metadata: What table.json holds.
        windows: Every window so far, valid or not.
    """

    path: Path
    metadata: dict[str, Any]
    windows: list[TrafficWindow]

    @classmethod
    def create(cls, path: Path, metadata: Mapping[str, Any]) -> "TrafficFolder":
        """Begin a table.

        Raises:
            InputError: There is one already, or the folder cannot be written.
        """
        require_new(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be made ({error.strerror})") from error
        folder = cls(path, {**metadata, "plan": PLAN}, [])
        folder.save()
        return folder

    @classmethod
    def resume(cls, path: Path, metadata: Mapping[str, Any]) -> "TrafficFolder":
        """Go on with a table.

        Raises:
            InputError: No table of traffic there, or one measured under other conditions.
        """
        earlier, windows = read_begun(path)
        require_same(path, earlier, metadata)
        cards = {**earlier.get("cards", {}), **metadata.get("cards", {})}
        return cls(path, {**earlier, "cards": cards}, windows)

    @property
    def is_done(self) -> bool:
        """Whether it has a valid window."""
        return any(window.is_valid for window in self.windows)

    def next_name(self) -> str:
        """What the logs of the next window are called."""
        return f"{PREFIX}{len(self.windows) + 1}"

    def add(self, name: str) -> TrafficWindow:
        """Take in the window whose logs have been written."""
        window = TrafficWindow.read(log_path(self.path, name, "steps"))
        self.windows.append(window)
        self.save()
        return window

    def save(self) -> None:
        """Bring table.json up to date."""
        self.metadata["status"] = "done" if self.is_done else "measuring"
        write_metadata(self.path, self.metadata)


def read_begun(path: Path) -> tuple[dict[str, Any], list[TrafficWindow]]:
    """table.json and the windows of a folder to go on with.

    Raises:
        InputError: There is no table of traffic, or something in it cannot be true.
    """
    file = path / "table.json"
    if not exists(file):
        raise InputError(f"{path}: has no table to go on with; leave out --resume")
    metadata = read_json(file, "measure into a new folder")
    check_metadata(metadata, file)
    if metadata.get("plan") != PLAN:
        raise InputError(
            f"{path}: is a table of runs, not of traffic; give another folder or another --plan"
        )
    return metadata, windows_in(path)
