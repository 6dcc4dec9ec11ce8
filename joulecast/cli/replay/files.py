"""Where `joulecast replay` writes: a file, or a folder of several; nothing is overwritten."""

from collections.abc import Sequence
from pathlib import Path

from joulecast.measurements.steplog.logger import require_no_logs
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists


def log_name(output: Path, number: int) -> str:
    """What the logs of a run are called: NAME as the replay file, NAME-2 those of its second."""
    name = output.name.removesuffix(".json")
    return name if number == 1 else f"{name}-{number}"


def require_no_logs_of(outputs: Sequence[Path], runs: int) -> None:
    """Refuse to write over logs, be they there or another replay's."""
    names = [(path.parent, log_name(path, k)) for path in outputs for k in range(1, runs + 1)]
    if twice := [name for folder, name in names if names.count((folder, name)) > 1]:
        raise InputError(f"{twice[0]}: two runs have logs of that name; give a trace another")
    for folder, name in names:
        require_no_logs(folder, name)


def replay_files(names: Sequence[str], output: Path) -> list[Path]:
    """The replay file of each name; none is there yet."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: its folder is not there; make it first")
    if len(names) == 1:
        if output.is_dir():
            raise InputError(f"{output}: is a folder; name the file to write")
        paths = [output]
    else:
        if exists(output) and not output.is_dir():
            raise InputError(f"{output}: is a file; replays of several traces go into a folder")
        paths = [output / f"{name}.json" for name in names]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise InputError(f"{twice[0]}: two traces of that name; give one of them another")
    for path in paths:
        if exists(path):
            raise InputError(f"{path}: is there already; a measurement is not overwritten")
    return paths


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        InputError: It cannot be made.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror})") from error
