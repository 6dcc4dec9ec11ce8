"""What the data sheet of a GPU says. Figures and their sources are in gpus.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from joulecast.traces.errors import InputError, unknown_name

Peak = Literal["dense", "sparse"]


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
    """

    name: str
    product: str
    tdp_w: float
    memory_bytes: float
    memory_bytes_per_s: float
    peak_flops: Mapping[str, Mapping[str, float]]
    sources: Mapping[str, str]

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
        return self.peak_flops[dtype][peak]


def gpu_names() -> list[str]:
    """Short names of the GPUs whose data sheets ship."""
    return sorted(_data_sheets())


def load_gpu(name: str) -> Gpu:
    """The data sheet of a GPU by its short name.

    Args:
        name: One of `gpu_names`, such as "h100-sxm".

    Returns:
        Power [W], memory [B], bandwidth [B/s] and peak rates [FLOP/s], each with its source.

    Raises:
        InputError: No such name; the nearest is suggested.
    """
    sheets = _data_sheets()
    if name not in sheets:
        raise unknown_name("GPU", name, sheets)
    sheet = sheets[name]
    sources: dict[str, str] = {}

    def figure(key: str, entry: Mapping[str, Any]) -> float:
        sources[key] = entry["source"]
        return float(entry["value"])

    return Gpu(
        name=name,
        product=sheet["product"],
        tdp_w=figure("tdp_w", sheet["tdp_w"]),
        memory_bytes=figure("memory_bytes", sheet["memory_bytes"]),
        memory_bytes_per_s=figure("memory_bytes_per_s", sheet["memory_bytes_per_s"]),
        peak_flops={
            dtype: {peak: figure(f"{dtype} {peak}", entry) for peak, entry in peaks.items()}
            for dtype, peaks in sheet["peak_flops"].items()
        },
        sources=sources,
    )


def find_gpu(product: str) -> Gpu:
    """The data sheet of the GPU that NVML calls `product`.

    Raises:
        InputError: No data sheet for it.
    """
    for name, sheet in _data_sheets().items():
        if product in sheet["nvml_names"]:
            return load_gpu(name)
    raise InputError(f'no data sheet for "{product}"; add its figures to measurements/gpus.json')


def gpus_in_words(product: str, count: int) -> str:
    """So many GPUs of a kind: "2 x NVIDIA H100 80GB HBM3"; of one, its name alone."""
    return product if count == 1 else f"{count} x {product}"


@cache
def _data_sheets() -> dict[str, Any]:
    text = (files("joulecast.measurements") / "gpus.json").read_text(encoding="utf-8")
    sheets: dict[str, Any] = json.loads(text)
    return sheets
