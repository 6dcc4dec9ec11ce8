"""The trace formats that are recognised by their columns, one entry each.

Sources: Azure/AzurePublicDataset (AzureLLMInferenceDataset2023.md, ...2024.md), HPMLL/BurstGPT
(README of releases 1.1 and 1.2), kvcache-ai/Mooncake (trace files),
alibaba-edu/qwen-bailian-usagetraces-anon (trace files), OpenAI's API reference (chat
completions, responses, batch), BerriAI/litellm (schema.prisma, StandardLoggingPayload).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import ArrivalUnit
from joulecast.traces.reading.options import NO_ARRIVALS, ReadingOptions


@dataclass(frozen=True)
class TraceFormat:
    """Which columns of a known format hold what; dots lead into the objects of JSON rows.

    Attributes:
        name: What people call the format.
        input_column: Column of the input length [tokens].
        output_column: Column of the output length [tokens].
        arrival_column: Column of the arrival time, if the format has one.
        arrival_unit: Unit of numbers in that column.
        marks: Further columns by which the format is told from others.
        is_arrival_named: Whether the user named the column of the arrival time.
    """

    name: str
    input_column: str
    output_column: str
    arrival_column: str | None = None
    arrival_unit: ArrivalUnit = "seconds"
    marks: tuple[str, ...] = ()
    is_arrival_named: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the lengths, and of the arrival time where there is one."""
        lengths = self.input_column, self.output_column
        return lengths if self.arrival_column is None else (*lengths, self.arrival_column)


FORMATS = (
    TraceFormat("joulecast", "input_tokens", "output_tokens", "arrival_s", "seconds"),
    TraceFormat("Azure LLM inference", "ContextTokens", "GeneratedTokens", "TIMESTAMP"),
    TraceFormat("BurstGPT", "Request tokens", "Response tokens", "Timestamp", "seconds"),
    TraceFormat(
        "Qwen-Bailian", "input_length", "output_length", "timestamp", marks=("parent_chat_id",)
    ),
    TraceFormat("Mooncake", "input_length", "output_length", "timestamp", "milliseconds"),
    TraceFormat("OpenAI usage", "prompt_tokens", "completion_tokens", "startTime"),
    TraceFormat(
        "OpenAI completions", "usage.prompt_tokens", "usage.completion_tokens", "created", "seconds"
    ),
    TraceFormat(
        "OpenAI responses", "usage.input_tokens", "usage.output_tokens", "created_at", "seconds"
    ),
    TraceFormat(
        "OpenAI batch of completions",
        "response.body.usage.prompt_tokens",
        "response.body.usage.completion_tokens",
        "response.body.created",
        "seconds",
    ),
    TraceFormat(
        "OpenAI batch of responses",
        "response.body.usage.input_tokens",
        "response.body.usage.output_tokens",
        "response.body.created_at",
        "seconds",
    ),
    TraceFormat("serving benchmark", "input_lens", "output_lens", "start_times", "seconds"),
    TraceFormat("guidellm", "prompt_tokens", "output_tokens", "start_time", "seconds"),
    TraceFormat(
        "aiperf",
        "metrics.input_sequence_length.value",
        "metrics.output_sequence_length.value",
        "metadata.request_start_ns",
        "nanoseconds",
    ),
    TraceFormat(
        "OpenTelemetry",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "startTimeUnixNano",
        "nanoseconds",
    ),
)
"""Of several that fit, the first counts: what a row says itself comes before what lies within it.

`startTime` is that of LiteLLM: a timestamp in its database, seconds in its JSON logs.
"""

_BENCHMARK_COLUMNS = {"input_lens", "output_lens"}
"""Arrays in the results of `vllm bench serve --save-detailed` and its like."""


def recognise(columns: Iterable[str]) -> TraceFormat | None:
    """The first known format whose length columns and marks are all there, or None."""
    present = set(columns)
    for candidate in FORMATS:
        if {candidate.input_column, candidate.output_column, *candidate.marks} <= present:
            return candidate
    return None


def choose_columns(name: str, columns: Sequence[str], options: ReadingOptions) -> TraceFormat:
    """Which columns of a source hold the lengths.

    Args:
        name: What to call the source in messages.
        columns: Those that it has, nested ones with dots between their keys.
        options: Which columns the user named, if any.

    Raises:
        InputError: They are not there, or not to be told apart.
    """
    trace_format = recognise(columns) or FORMATS[0]
    if options.names_lengths:
        trace_format = TraceFormat(
            "named columns",
            trace_format.input_column if options.input_column is None else options.input_column,
            trace_format.output_column if options.output_column is None else options.output_column,
        )
    lengths = trace_format.input_column, trace_format.output_column
    if lengths[0] == lengths[1]:
        raise InputError(
            f'"{lengths[0]}" is named as both the input and the output column; name two columns'
        )
    for column in lengths:
        _require_column(name, columns, column)
    if options.arrival_column == NO_ARRIVALS:
        return replace(trace_format, arrival_column=None)
    if options.arrival_column is not None:
        return _with_arrivals(name, columns, trace_format, options.arrival_column)
    arrival = trace_format.arrival_column
    if arrival is not None and columns.count(arrival) != 1:
        trace_format = replace(trace_format, arrival_column=None)
    return trace_format


def _with_arrivals(
    name: str, columns: Sequence[str], trace_format: TraceFormat, column: str
) -> TraceFormat:
    """The same, its arrival times in a column that the user names."""
    for side, length in (
        ("input", trace_format.input_column),
        ("output", trace_format.output_column),
    ):
        if column == length:
            raise InputError(
                f'"{column}" is named as the arrival column and holds the {side} length; '
                "name two columns"
            )
    _require_column(name, columns, column, "--arrival-column")
    is_usual = column == trace_format.arrival_column
    return replace(
        trace_format,
        arrival_column=column,
        arrival_unit=trace_format.arrival_unit if is_usual else "seconds",
        is_arrival_named=True,
    )


def _require_column(
    name: str,
    columns: Sequence[str],
    column: str,
    options: str = "--input-column and --output-column",
) -> None:
    count = columns.count(column)
    if count == 0 and set(columns) >= _BENCHMARK_COLUMNS:
        raise InputError(
            f"{name}: is the result of a benchmark, whose lengths are two arrays; write a CSV "
            "file with a row for each pair of input_lens and output_lens"
        )
    if count == 0:
        listed = ", ".join(shorten(present, 100) for present in columns[:12])
        raise InputError(
            f'{name}: has no column "{column}", it has: {listed}; name the columns with {options}'
        )
    if count > 1:
        raise InputError(f'{name}: has {count} columns "{column}"; rename all but one')


def shorten(text: str, limit: int = 40) -> str:
    """Text for a message, cut if it is long."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
