"""What the data sheet of a GPU says. Figures and their sources are in gpus.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import read_json

Peak = Literal["dense", "sparse"]

_OPTIONAL = ("idle_power_w", "shown_memory_bytes")
_HALF = ("bfloat16", "float16")
_BELIEVABLE = {
    "tdp_w": (10, 5000),
    "idle_power_w": (0.1, 2000),
    "memory_bytes": (1e9, 1e13),
    "shown_memory_bytes": (1e9, 1e13),
    "memory_bytes_per_s": (1e10, 1e14),
    "peak": (1e11, 1e17),
}
"""Figure -> what it may be, in its unit: figures in GB or TFLOP/s are not taken for bytes."""

PEAK_DTYPES = {*_HALF, "float8"}


@dataclass(frozen=True)
class Gpu:
    """Data sheet of one GPU.

    Attributes:
        name: Short name, as in table paths.
        product: The maker's name.
        tdp_w: Rated power [W].
        memory_bytes: Memory [B].
        memory_bytes_per_s: Peak memory bandwidth [B/s].
        peak_flops: dtype -> "dense" or "sparse" -> peak rate [FLOP/s].
        sources: Figure -> where it comes from.
        idle_power_w: With a model loaded and nothing to do [W], where someone read it off; no data
            sheet has it.
        shown_memory_bytes: What its driver shows of the memory [B], where that is known.
        plans_attention: Whether PyTorch's attention goes through cuDNN there, which makes a plan
            for every shape that it has not seen (docs/engines.md).
    """

    name: str
    product: str
    tdp_w: float
    memory_bytes: float
    memory_bytes_per_s: float
    peak_flops: Mapping[str, Mapping[Peak, float]]
    sources: Mapping[str, str]
    idle_power_w: float | None = None
    shown_memory_bytes: float | None = None
    plans_attention: bool = False

    @property
    def half_dtype(self) -> str:
        """Its number format of 16 bits, which is bfloat16 but for older ones."""
        return "bfloat16" if "bfloat16" in self.peak_flops else "float16"

    def peak(self, dtype: str, peak: Peak = "dense") -> float:
        """Peak rate [FLOP/s].

        Args:
            dtype: "bfloat16", "float16" or "float8".
            peak: "dense", or "sparse" for 2:4 structured sparsity, twice as much.

        Raises:
            InputError: The data sheet has no figure for that dtype.
        """
        if dtype not in self.peak_flops:
            raise InputError(
                f"{self.product}: no peak is known for {dtype}; known are: "
                + ", ".join(sorted(self.peak_flops))
            )
        if peak not in self.peak_flops[dtype]:
            raise InputError(f"{self.product}: its data sheet has no {peak} peak for {dtype}")
        return self.peak_flops[dtype][peak]

    def peaks(self, dtype: str) -> Mapping[Peak, float]:
        """Dense, and sparse where the data sheet has it -> rate [FLOP/s]; errors as `peak`."""
        self.peak(dtype)
        return self.peak_flops[dtype]


def gpu_names() -> list[str]:
    """Short names of the GPUs whose data sheets ship."""
    return sorted(_data_sheets())


def load_gpu(name: str) -> Gpu:
    """The data sheet of a GPU by its short name, or from a file of the user's own.

    Args:
        name: One of `gpu_names`, such as "h100-sxm", or the path of a JSON file that has what an
            entry of gpus.json has (docs/gpus.md).

    Returns:
        Power [W], memory [B], bandwidth [B/s] and peak rates [FLOP/s], each with its source.

    Raises:
        InputError: No such name, and the nearest is suggested; or no data sheet in the file.
    """
    sheets = _data_sheets()
    if name in sheets:
        return _gpu_of(name, sheets[name])
    if not name.endswith(".json"):
        raise unknown_name("GPU", name, sheets)
    sheet = read_json(Path(name), "give a data sheet")
    try:
        return _gpu_of(Path(name).name, sheet)
    except KeyError as error:
        raise InputError(f"{name}: is no data sheet: it lacks {error}") from error
    except AttributeError as error:
        raise InputError(
            f'{name}: is no data sheet: its "peak_flops" must be like '
            '{"bfloat16": {"dense": 362e12}}'
        ) from error
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{name}: is no data sheet: {error}") from error


def _gpu_of(name: str, sheet: Mapping[str, Any]) -> Gpu:
    """A GPU from what a data sheet says.

    Raises:
        KeyError: A figure lacks.
        TypeError, ValueError: A figure is none.
    """
    sources: dict[str, str] = {}

    def flag(key: str, entry: Mapping[str, Any] | bool) -> bool:
        value = entry["value"] if isinstance(entry, Mapping) else entry
        sources[key] = str(entry["source"]) if isinstance(entry, Mapping) else "not told"
        if not isinstance(value, bool):
            raise TypeError(f'"{key}" is {value!r}, and not true or false')
        return value

    def figure(key: str, entry: Mapping[str, Any] | float) -> float:
        value = entry["value"] if isinstance(entry, Mapping) else entry
        sources[key] = str(entry["source"]) if isinstance(entry, Mapping) else "not told"
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f'"{key}" is {value!r}, and not a number above 0')
        low, high = _BELIEVABLE[key if key in _BELIEVABLE else "peak"]
        if not low <= value <= high:
            raise ValueError(f'"{key}" is {value:g}, and not from {low:g} to {high:g}')
        return float(value)

    gpu = Gpu(
        name=name,
        product=str(sheet["product"]),
        tdp_w=figure("tdp_w", sheet["tdp_w"]),
        memory_bytes=figure("memory_bytes", sheet["memory_bytes"]),
        memory_bytes_per_s=figure("memory_bytes_per_s", sheet["memory_bytes_per_s"]),
        peak_flops={
            dtype: {peak: figure(f"{dtype} {peak}", entry) for peak, entry in peaks.items()}
            for dtype, peaks in sheet["peak_flops"].items()
        },
        sources=sources,
        plans_attention="plans_attention" in sheet
        and flag("plans_attention", sheet["plans_attention"]),
        **{key: figure(key, sheet[key]) for key in _OPTIONAL if key in sheet},
    )
    unknown = set(gpu.peak_flops) - PEAK_DTYPES
    if unknown or not any("dense" in gpu.peak_flops.get(dtype, ()) for dtype in _HALF):
        raise ValueError(
            'its "peak_flops" must have a "dense" peak of bfloat16 or float16, and beside these '
            "float8 alone"
        )
    if gpu.idle_power_w is not None and gpu.idle_power_w >= gpu.tdp_w:
        raise ValueError('its "idle_power_w" is not below its "tdp_w"')
    return gpu


def find_gpu(product: str) -> Gpu:
    """The data sheet of the GPU that NVML calls `product`.

    Raises:
        InputError: No data sheet for it.
    """
    for name, sheet in _data_sheets().items():
        if product in sheet["nvml_names"]:
            return load_gpu(name)
    raise InputError(f'no data sheet for "{product}" ships; ask for its figures to be added')


def gpus_in_words(product: str, count: int) -> str:
    """So many GPUs of a kind: "2 x NVIDIA H100 80GB HBM3"; of one, its name alone."""
    return product if count == 1 else f"{count} x {product}"


@cache
def _data_sheets() -> dict[str, Any]:
    text = (files("joulecast.measurements") / "gpus.json").read_text(encoding="utf-8")
    sheets: dict[str, Any] = json.loads(text)
    return sheets
