"""Model architectures by name: Hugging Face config files, and what follows from their shapes."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from joulecast.measurements.shapes.architectures import shape_of
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists, read_json

_SUFFIX = ".json"


def model_names() -> list[str]:
    """Short names of the models whose configs ship."""
    return sorted(
        path.name.removesuffix(_SUFFIX) for path in _folder().iterdir() if path.suffix == _SUFFIX
    )


def load_config(model: str) -> dict[str, Any]:
    """The config of a model by its short name, or from a config.json or a folder that holds one.

    Raises:
        InputError: No such name or file; the nearest name is suggested.
    """
    if not model:
        raise unknown_name("model", model, model_names())
    if model in model_names():
        path = _folder() / f"{model}{_SUFFIX}"
    elif exists(model):
        path = Path(model) / "config.json" if Path(model).is_dir() else Path(model)
    elif model.endswith(_SUFFIX):
        path = Path(model)  # which read_json says is not there
    else:
        raise unknown_name("model", model, model_names())
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
        return shape_of(model, config)
    except KeyError as error:
        raise InputError(f"{model}: its config lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{model}: its config has {error}") from error


def _folder() -> Path:
    return Path(str(files("joulecast.measurements") / "model_configs"))
