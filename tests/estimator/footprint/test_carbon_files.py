"""CodeCarbon's data lies here as its release has it."""

from importlib.metadata import files, version
from pathlib import Path

import pytest

from joulecast.estimator.footprint import carbon

FOLDER = Path(carbon.__file__).parent / "codecarbon"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_codecarbons_files_are_those_of_the_release_that_is_named(name: str) -> None:
    """With another release in constraints.txt: copy them anew, and name it."""
    assert f"CodeCarbon {version('codecarbon')}" == carbon.RELEASE
    (shipped,) = (path for path in files("codecarbon") or () if path.name == name)
    assert (FOLDER / name).read_bytes() == Path(str(shipped.locate())).read_bytes()
