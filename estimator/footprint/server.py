"""What the rest of a server draws beside its GPUs: processors, memory, fans, network, storage.

joulecast meters GPUs alone, so this comes from a source that is named: a published figure of
`server_overheads.json`, or what a user knows of a server of theirs.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from joulecast.traces.errors import InputError

_MOST_SHARE = 10
_MOST_W = 100_000
_TEXT = re.compile(
    r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>%|W|watts?)?\s*(?:(?:/|per)\s*(?P<per>GPU|server))?"
    r"\s*(?:,\s*(?P<source>.+))?",
    re.IGNORECASE | re.DOTALL,
)


class ServedTime(NamedTuple):
    """How long servers and their GPUs were there.

    Attributes:
        gpu_s: Of all GPUs, added up [s].
        server_s: Of all servers, added up [s].
    """

    gpu_s: float
    server_s: float


@dataclass(frozen=True)
class ServerOverhead:
    """What a server draws beside its GPUs; one of the three figures is given.

    Attributes:
        share: Of the GPUs' energy.
        watts_per_gpu: For each GPU, all the time [W].
        watts_per_server: For each replica of the model, all the time [W].
        source: Where the figure is from.
        name: Key in `server_overheads.json`; None of a figure that the user gave.
    """

    share: float | None = None
    watts_per_gpu: float | None = None
    watts_per_server: float | None = None
    source: str = "given"
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no server has, and what is not one figure."""
        figures = [self.share, self.watts_per_gpu, self.watts_per_server]
        if sum(figure is not None for figure in figures) != 1:
            raise InputError("a server overhead is a share, or watts per GPU, or watts per server")
        if self.share is not None and not 0 <= self.share <= _MOST_SHARE:
            raise InputError(
                f"a server overhead of {100 * self.share:,.7g} % of the GPUs' energy: it is from 0 "
                f"to {100 * _MOST_SHARE:,} %"
            )
        watts = self.watts_per_gpu or self.watts_per_server or 0.0
        if not 0 <= watts <= _MOST_W:
            raise InputError(f"a server overhead of {watts:,.7g} W: it is from 0 to {_MOST_W:,} W")

    @classmethod
    def of(cls, overhead: "str | ServerOverhead") -> "ServerOverhead":
        """From a name of `server_overhead_names`, or from a text.

        Args:
            overhead: Such as "ecologits", "150 W/GPU", "1200 W/server" or "30 %", behind a comma
                where it is from: "30 %, own meter".

        Raises:
            InputError: It is none of these, or out of its range.
        """
        if isinstance(overhead, ServerOverhead):
            return overhead
        text = overhead.strip()
        if text.casefold() in server_overhead_names():
            figure = _published()[text.casefold()]
            return cls(**figure, name=text.casefold())
        words = _TEXT.fullmatch(text)
        unit = None if words is None else (words["unit"] or "").casefold()
        if words is None or not unit or (unit == "%" and words["per"]):
            raise InputError(
                f'server overhead "{overhead}": give watts ("150 W/GPU", "1200 W/server"), a share '
                f'of the GPU energy ("30 %"), or a published one: {", ".join(_published())}'
            )
        number, source = float(words["number"]), words["source"] or "given"
        if unit == "%":
            return cls(share=number / 100, source=source)
        if (words["per"] or "gpu").casefold() == "gpu":
            return cls(watts_per_gpu=number, source=source)
        return cls(watts_per_server=number, source=source)

    @property
    def text(self) -> str:
        """The figure in words."""
        if self.share is not None:
            return f"{100 * self.share:.4g} % of the GPU energy"
        if self.watts_per_gpu is not None:
            return f"{self.watts_per_gpu:,.7g} W per GPU"
        return f"{self.watts_per_server:,.7g} W per server"

    def energy_j(self, gpu_energy_j: float, time: ServedTime | None) -> float:
        """Energy of what is beside the GPUs [J].

        Args:
            gpu_energy_j: Of the GPUs [J].
            time: How long they were there; a share does without.

        Raises:
            InputError: Watts, where the time is not known.
        """
        if self.share is not None:
            return self.share * gpu_energy_j
        if time is None:
            raise InputError(
                "a server overhead in watts needs the time that serving takes, which the method "
                'binned does not tell; give a share of the GPU energy, such as "30 %"'
            )
        if self.watts_per_gpu is not None:
            return self.watts_per_gpu * time.gpu_s
        return (self.watts_per_server or 0.0) * time.server_s

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "share": self.share,
            "watts_per_gpu": self.watts_per_gpu,
            "watts_per_server": self.watts_per_server,
            "source": self.source,
            "name": self.name,
        }


def server_overhead_names() -> tuple[str, ...]:
    """Names of the published figures."""
    return tuple(_published())


@cache
def _published() -> dict[str, dict[str, Any]]:
    path = files("joulecast.estimator.footprint") / "server_overheads.json"
    content: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return content
