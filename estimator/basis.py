"""What an estimate stands on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from joulecast.measurements.engines.decoding import GREEDY
from joulecast.measurements.identity import kind_of
from joulecast.measurements.table.table import EnergyTable

BasisKind = Literal["measured", "model scaled", "gpu scaled"]


@dataclass(frozen=True)
class Basis:
    """What served, and from what its energy was forecast.

    Attributes:
        kind: "measured" from a table of this very model, GPU, engine, number format and number of
            GPUs; "model scaled" from other models on this GPU; "gpu scaled" from another GPU.
        model: Short name of the model, or its config.
        gpu: Short name of the GPU.
        engine: Of the engine.
        gpus: GPUs that share the model.
        dtype: Number format of the linear layers' weights.
        tables: Names of the tables that it rests on.
        from_gpu: Where the prices are from; None if from the GPU itself.
        is_completed: Whether its table has largest batches alone, and other tables tell the rest.
        is_eager: Whether nothing is compiled, by an engine that compiles by default.
        decoding: How tokens are chosen.
        speculation: The draft, tokens that it proposes and how many are accepted; None without one.
        idle_cards: Cards of this kind that tell what one draws with nothing to do; 0 if none does,
            inf for those that its law's prices are of.
        notes: What else it rests on, each in words.
    """

    kind: BasisKind
    model: str
    gpu: str
    engine: str
    gpus: int
    dtype: str
    tables: tuple[str, ...]
    from_gpu: str | None = None
    is_completed: bool = False
    is_eager: bool = False
    decoding: str = GREEDY.text
    speculation: str | None = None
    idle_cards: float = math.inf
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, table: EnergyTable, notes: tuple[str, ...] = (), idle_cards: float = math.inf
    ) -> "Basis":
        """Of a table alone."""
        return cls(
            kind="measured",
            model=table.model,
            gpu=table.gpu.name,
            engine=table.engine,
            gpus=table.gpu_count,
            dtype=table.quantization or table.dtype,
            tables=(table.name,),
            is_eager=bool(kind_of(table.metadata)["eager"]),
            idle_cards=idle_cards,
            notes=notes,
        )

    def to_dict(self) -> Mapping[str, Any]:
        """As plain JSON values."""
        return {
            "model": self.model,
            "gpu": self.gpu,
            "engine": self.engine,
            "gpus": self.gpus,
            "dtype": self.dtype,
            "basis": self.kind,
            "tables": list(self.tables),
            "eager": self.is_eager,
            "decoding": self.decoding,
            "speculation": self.speculation,
            "basis_notes": "; ".join(self.notes) or None,
        }
