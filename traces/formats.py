"""The trace formats that are recognised by their columns, one entry each.

Sources: Azure/AzurePublicDataset (AzureLLMInferenceDataset2023.md, ...2024.md), HPMLL/BurstGPT
(README of releases 1.1 and 1.2), kvcache-ai/Mooncake (trace files).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ArrivalUnit = Literal["timestamp", "seconds", "milliseconds"]


@dataclass(frozen=True)
class TraceFormat:
    """Which columns of a known format hold what.

    Attributes:
        name: What people call the format.
        input_column: Column of the input length [tokens].
        output_column: Column of the output length [tokens].
        arrival_column: Column of the arrival time, if the format has one.
        arrival_unit: How that column is written.
    """

    name: str
    input_column: str
    output_column: str
    arrival_column: str | None = None
    arrival_unit: ArrivalUnit = "seconds"


FORMATS = (
    TraceFormat("joulecast", "input_tokens", "output_tokens", "arrival_s", "seconds"),
    TraceFormat(
        "Azure LLM inference", "ContextTokens", "GeneratedTokens", "TIMESTAMP", "timestamp"
    ),
    TraceFormat("BurstGPT", "Request tokens", "Response tokens", "Timestamp", "seconds"),
    TraceFormat("Mooncake", "input_length", "output_length", "timestamp", "milliseconds"),
)


def recognise(columns: Iterable[str]) -> TraceFormat | None:
    """The known format whose length columns are all there, or None."""
    present = set(columns)
    for known in FORMATS:
        if {known.input_column, known.output_column} <= present:
            return known
    return None
