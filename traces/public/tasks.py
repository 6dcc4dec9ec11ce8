"""The paper's four NLP tasks as workloads: texts of a data set, in tokens of a model's tokenizer.

Texts come through the `datasets` library, from the hub or from a folder of the same schema. The
first 1,024 that are not blank are taken, and padded to the longest, as in one static batch. Where
neither is at hand, lengths are made that have the figures of the paper's Table 3.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulecast.traces.binning.trace import first_line
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.reconstruct import most_even, published
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SEED = 20_250_427


def task_names() -> list[str]:
    """Names of the tasks."""
    return [task["name"] for task in published()["tasks"]]


def load_task(name: str, tokenizer: str, data: Path | None = None, padded: bool = True) -> Workload:
    """A task as a workload.

    Args:
        name: One of `task_names`.
        tokenizer: Folder of a tokenizer, or its name on the hub.
        data: Folder with the data set in files that `datasets` knows (JSON lines, Parquet, CSV);
            None to get it from the hub.
        padded: Whether every text counts as long as the longest.

    Returns:
        One request per text; its sources say how long the texts are without padding.

    Raises:
        InputError: No such task, or the texts or the tokenizer cannot be loaded.
    """
    import numpy as np

    task = _task(name)
    lengths = _text_lengths(_texts(task, data), tokenizer)
    if len(lengths) < task["examples"]:
        raise InputError(
            f"{data or task['hub']['repo']}: has {len(lengths)} texts that are not blank; {name} "
            f"takes {task['examples']}"
        )
    inputs = np.full(len(lengths), lengths.max()) if padded else lengths
    outputs = np.full(len(lengths), task["output_tokens"])
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, np.stack([inputs, outputs], axis=1))
    source = {
        "name": name,
        "kind": "datasets",
        "from": str(task["hub"]["repo"] if data is None else data.name),
        "tokenizer": Path(tokenizer).name,
        "padded": "to the longest" if padded else "no",
        "mean_input_tokens": f"{lengths.mean():.2f}",
        "sd_input_tokens": f"{lengths.std(ddof=1):.2f}",
        "longest_input_tokens": str(int(lengths.max())),
    }
    return Workload(workload.grid, workload.cells, sources=(source,))


def reconstruct_task(name: str, padded: bool = True) -> "npt.NDArray[np.int64]":
    """Requests with the figures of a task in the paper's Table 3.

    One input is as long as the longest; the others have the distribution of maximum entropy up to
    there with which all together have the mean and the sd, and come in random order.

    Args:
        name: One of `task_names`.
        padded: Whether every input counts as long as the longest.

    Returns:
        (i, o) per text [tokens], shape (examples, 2).

    Raises:
        InputError: No such task.
    """
    import numpy as np

    task = _task(name)
    count, figures, outputs = task["examples"], task["input"], task["output_tokens"]
    longest, others = figures["maximum"], count - 1
    if padded:
        return np.full((count, 2), [longest, outputs], dtype=np.int64)
    mean = (count * figures["mean"] - longest) / others
    squared = (count * (figures["sd"] ** 2 + figures["mean"] ** 2) - longest**2) / others
    p = most_even(mean, float(np.sqrt(squared - mean**2)), longest)
    shares = (np.arange(others) + 0.5) / others
    inputs = 1 + np.searchsorted(np.cumsum(p), shares * p.sum())
    inputs = np.random.default_rng(_SEED).permutation([*inputs, longest])
    return np.stack([inputs, np.full(count, outputs)], axis=1).astype(np.int64)


def _task(name: str) -> Mapping[str, Any]:
    for task in published()["tasks"]:
        if task["name"] == name:
            return dict(task)
    raise unknown_name("task", name, task_names())


def _texts(task: Mapping[str, Any], data: Path | None) -> list[str]:
    """The first texts that are not blank."""
    datasets = library("datasets")
    library("huggingface_hub").logging.set_verbosity_error()
    hub = task["hub"]
    where = str(data) if data is not None else hub["repo"]
    try:
        config = hub["config"] if data is None else None
        rows = datasets.load_dataset(where, config, split=hub["split"], streaming=data is None)
        texts = []
        for row in rows:
            text: Any = row
            for key in hub["field"]:
                text = text[key]
            if text.strip():
                texts.append(text)
            if len(texts) == task["examples"]:
                break
    except (KeyError, TypeError, AttributeError) as error:
        field = ".".join(hub["field"])
        raise InputError(f'{where}: its rows have no text "{field}" ({error})') from error
    except Exception as error:
        raise InputError(
            f"{where}: cannot be loaded ({first_line(error)}); give its files with --data"
        ) from error
    return texts


def _text_lengths(texts: list[str], tokenizer: str) -> "npt.NDArray[np.int64]":
    """Tokens of each text."""
    import numpy as np

    transformers = library("transformers")
    transformers.logging.set_verbosity_error()
    try:
        loaded = transformers.AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
        encoded = loaded(texts)["input_ids"]
    except Exception as error:
        raise InputError(
            f"{tokenizer}: cannot be loaded as a tokenizer ({first_line(error)})"
        ) from error
    return np.array([len(tokens) for tokens in encoded], dtype=np.int64)


def library(name: str) -> Any:
    """A module of the extra `hub`.

    Raises:
        InputError: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"this needs {error.name}; install it with: pip install 'joulecast[hub]'"
        ) from error
