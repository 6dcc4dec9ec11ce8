"""What the paper published: Table 4's excesses, and the peaks of the chip that they stand on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from joulecast.estimator.compare import saving_from_excess
from joulecast.estimator.ideal import PEAKS
from joulecast.measurements.hardware import Peak, load_gpu

Engine = Literal["pytorch", "vllm"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


@dataclass(frozen=True)
class Excesses:
    """One row's three figures.

    Attributes:
        pytorch_excess_percent: PyTorch above the ideal [%].
        vllm_excess_percent: vLLM above the ideal [%].
        saving_percent: What vLLM saves over PyTorch [%].
    """

    pytorch_excess_percent: float
    vllm_excess_percent: float
    saving_percent: float

    @classmethod
    def of(cls, pytorch_excess: float, vllm_excess: float) -> "Excesses":
        """Both excesses over one ideal, and the saving that follows [%]."""
        saving = saving_from_excess(vllm_excess, pytorch_excess)
        return cls(pytorch_excess, vllm_excess, saving)

    def over(self, ratio: float) -> "Excesses":
        """The same energies over an ideal that is so many times this one.

        E = (1 + x) E_ideal = (1 + x') r E_ideal, so x' = x / r + 1 / r - 1.
        """
        shift = 100 * (1 / ratio - 1)
        return Excesses.of(
            self.pytorch_excess_percent / ratio + shift, self.vllm_excess_percent / ratio + shift
        )

    def percent(self, engine: Engine) -> float:
        """The excess of an engine [%]."""
        return self.pytorch_excess_percent if engine == "pytorch" else self.vllm_excess_percent

    def to_dict(self) -> dict[str, float]:
        """As plain JSON values [%]."""
        return dict(vars(self))


def published_rows() -> dict[str, tuple[str, Excesses]]:
    """Key -> dataset and the paper's figures for it, over the ideal that the paper takes."""
    return {
        row["key"]: (
            row["dataset"],
            Excesses.of(row["pytorch_excess_percent"], row["vllm_excess_percent"]),
        )
        for row in _published()["rows"]
    }


def embedded_rows() -> dict[str, str]:
    """Key -> dataset, for the traces that ship."""
    return {row["key"]: row["dataset"] for row in _published()["embedded"]}


def is_of_the_paper(gpu: str, model: str) -> bool:
    """Whether GPU and model, by their short names, are the paper's own."""
    paper = _published()
    return (gpu, model) == (paper["gpu"], str(paper["model"]).lower())


def published_peak() -> Peak:
    """The peak that the paper's ideal takes."""
    peak: Peak = _published()["peak"]
    return peak


def published_peaks_flops_per_s() -> Mapping[Peak, float]:
    """What the paper's GPU can do [FLOP/s]."""
    paper = _published()
    gpu = load_gpu(paper["gpu"])
    return {peak: gpu.peak(paper["dtype"], peak) for peak in PEAKS}


def published_over(excesses: Excesses, peak: Peak) -> Excesses:
    """The paper's excesses over the ideal of any peak of its GPU.

    An ideal is TDP x FLOPs / peak, so the two differ by the ratio of the peaks.
    """
    peaks = published_peaks_flops_per_s()
    return excesses.over(peaks[published_peak()] / peaks[peak])


def published_implied_flops_per_s() -> dict[str, dict[Engine, float]]:
    """Rate that the paper's figures imply on its own GPU, by key and engine [FLOP/s]."""
    peak = published_peaks_flops_per_s()[published_peak()]
    return {
        key: {engine: peak / (1 + excesses.percent(engine) / 100) for engine in ENGINES}
        for key, (_, excesses) in published_rows().items()
    }


@cache
def _published() -> dict[str, Any]:
    text = (files("joulecast.estimator.paper") / "published.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
