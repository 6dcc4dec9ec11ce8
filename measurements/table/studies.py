"""The studies that ship: one property varied at a time, of equal requests or in replays.

A study is a table like any other, with its folder at studies/GPU/MODEL/NAME, or such a folder of
replays; one that is put there is found by that alone.
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from joulecast.measurements.replay import Replay
from joulecast.measurements.table.phases import PHASES_FILE, PhaseSplit, read_phases
from joulecast.measurements.table.table import EnergyTable, load_table


def study_names() -> list[str]:
    """Names of the studies that ship, as GPU/MODEL/NAME."""
    folder = _folder()
    return sorted(
        path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/*/table.json")
    )


@cache
def load_study(name: str) -> EnergyTable:
    """A study that ships, as a table of that name.

    Raises:
        InputError: Something in it cannot be true; file and line are named.
    """
    return replace(load_table(_folder() / name), name=name)


def study_phases(name: str) -> list[PhaseSplit]:
    """What prefill and decoding took in the runs of a study; nothing if that was not derived.

    Args:
        name: Of a study that ships, or the folder of a table.

    Raises:
        InputError: Something in it cannot be true; file and line are named.
    """
    folder = _folder() / name if name in study_names() else Path(name)
    path = folder / PHASES_FILE
    return read_phases(path) if path.is_file() else []


@cache
def study_replays() -> list[Replay]:
    """The replays that ship as studies: of the same requests, handed over or served otherwise.

    Raises:
        InputError: Something in one cannot be true; the file is named.
    """
    return [
        Replay.load(path)
        for path in sorted(_folder().glob("*/*/*/*.json"))
        if not (path.parent / "table.json").exists()
    ]


def _folder() -> Path:
    return Path(str(files("joulecast.measurements") / "studies"))
