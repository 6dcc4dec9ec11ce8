"""Model architectures by name: Hugging Face config files, and what follows from their shapes."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from joulecast.measurements.model_spellings import nearest, spelled
from joulecast.measurements.shapes.architectures import shape_of
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists, read_json

_SUFFIX = ".json"

_OF_PATHS = (".", "/", "~")
"""What names of folders begin with: one that is not there is no other spelling of a model."""


def model_names() -> list[str]:
    """Short names of the models whose configs ship."""
    return sorted(
        path.name.removesuffix(_SUFFIX) for path in _folder().iterdir() if path.suffix == _SUFFIX
    )


@cache
def known_model(name: str) -> str | None:
    """The shipped model that a name such as "meta-llama/Llama-3.1-8B-Instruct" stands for."""
    return spelled(name, tuple(model_names()))


def model_called(name: str) -> str:
    """A name of a model as the rest takes it: a file or folder itself, else the shipped model.

    Raises:
        InputError: No such name or file; the nearest name is suggested.
    """
    if name in model_names() or (name and (exists(name) or name.endswith(_SUFFIX))):
        return name
    model = None if name.startswith(_OF_PATHS) else known_model(name)
    if model is None:
        raise unknown_model(name)
    return model


def unknown_model(name: str) -> InputError:
    """An `InputError` for a name that no model has, with the nearest that one has."""
    alike = nearest(name, tuple(model_names()))
    advice = (
        "name a shipped one, such as llama-3.1-8b, or give a Hugging Face config.json"
        if alike is None
        else f'did you mean "{alike}"?'
    )
    return InputError(f'unknown model "{name}"; {advice}')


def read_models(path: Path) -> dict[str, str]:
    """The models that names in a log stand for: a JSON object of names.

    Raises:
        InputError: The file is none, or names a model that there is not.
    """
    models = read_json(path, "write an object of names")
    if not isinstance(models, dict) or not all(isinstance(value, str) for value in models.values()):
        raise InputError(
            f'{path}: is not an object of names; write such as {{"my-model": "llama-3.1-8b"}}'
        )
    try:
        return models_called(models)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def models_called(models: Mapping[str, str]) -> dict[str, str]:
    """Names in a log and what they stand for, each as `model_called` has it.

    Raises:
        InputError: There is no such model.
    """
    called = {}
    for name, model in models.items():
        try:
            called[name] = model_called(model)
        except InputError as error:
            raise InputError(f'"{name}" cannot be that: {error}') from error
    return called


def load_config(model: str) -> dict[str, Any]:
    """The config of a model by its name, or from a config.json or a folder that holds one.

    Args:
        model: Such, as `model_called` takes it.

    Raises:
        InputError: No such name or file; the nearest name is suggested.
    """
    called = model_called(model)
    if called in model_names():
        path = _folder() / f"{called}{_SUFFIX}"
    else:
        path = Path(called) / "config.json" if Path(called).is_dir() else Path(called)
    config = read_json(path, "give a Hugging Face config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{path}: is not a Hugging Face config: it has no model_type")
    return config


def load_shape(model: str) -> ModelShape:
    """The sizes of a model, from its config.

    Raises:
        InputError: No such model, its architecture is not known, or its config lacks a size.
    """
    config = load_config(model)
    try:
        return shape_of(model_called(model), config)
    except KeyError as error:
        raise InputError(f"{model}: its config lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{model}: its config has {error}") from error


def _folder() -> Path:
    return Path(str(files("joulecast.measurements") / "model_configs"))
