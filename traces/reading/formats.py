"""The trace formats that are recognised by their columns, one entry each.

Sources: Azure/AzurePublicDataset (AzureLLMInferenceDataset2023.md, ...2024.md), HPMLL/BurstGPT
(README of releases 1.1 and 1.2), kvcache-ai/Mooncake (trace files),
alibaba-edu/qwen-bailian-usagetraces-anon, microsoft/vidur and casys-kaist/LLMServingSim (trace
files), OpenAI's API reference (chat completions, responses, batch), BerriAI/litellm (schema.prisma,
StandardLoggingPayload), the API references of Amazon, Anthropic and Google, the export formats of
Langfuse and Phoenix, session files of Claude Code and Codex.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import ArrivalUnit
from joulecast.traces.reading.meaning.names import (
    ARRIVALS,
    USERS,
    Companions,
    Names,
    by_relevance,
    is_beside_cache,
)
from joulecast.traces.reading.meaning.roles import NO_ROLES, Roles
from joulecast.traces.reading.options import NO_COLUMN, ReadingOptions


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
        block_tokens: Of a block of the cache of prefixes that `hash_ids` names [tokens].
        id_column: Column that rows of one request share, where it is none that is called so.
        is_sparse: Whether rows without lengths are expected, and no requests.
        is_arrival_named: Whether the user named the column of the arrival time.
        roles: Further columns that say what a row or a length means.
        unregarded: Such columns that the engine at hand does not look at.
    """

    name: str
    input_column: str
    output_column: str
    arrival_column: str | None = None
    arrival_unit: ArrivalUnit = "seconds"
    marks: tuple[str, ...] = ()
    block_tokens: int | None = None
    id_column: str | None = None
    is_sparse: bool = False
    is_arrival_named: bool = False
    roles: Roles = NO_ROLES
    unregarded: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the lengths, and of the arrival time where there is one."""
        lengths = self.input_column, self.output_column
        return lengths if self.arrival_column is None else (*lengths, self.arrival_column)

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        return tuple(dict.fromkeys((*self.columns, *self.roles.columns)))

    @property
    def is_plain(self) -> bool:
        """Whether every row is a request whose lengths its two columns hold."""
        return self.roles == NO_ROLES and not self.is_sparse


FORMATS = (
    TraceFormat("joulecast", "input_tokens", "output_tokens", "arrival_s", "seconds"),
    TraceFormat("Azure LLM inference", "ContextTokens", "GeneratedTokens", "TIMESTAMP"),
    TraceFormat("BurstGPT", "Request tokens", "Response tokens", "Timestamp", "seconds"),
    TraceFormat(
        "Qwen-Bailian",
        "input_length",
        "output_length",
        "timestamp",
        marks=("parent_chat_id",),
        block_tokens=16,
    ),
    TraceFormat(
        "Mooncake", "input_length", "output_length", "timestamp", "milliseconds", ("hash_ids",), 512
    ),
    TraceFormat("Vidur", "num_prefill_tokens", "num_decode_tokens", "arrived_at"),
    TraceFormat("LLMServingSim", "input_toks", "output_toks", "arrival_time_ns", "nanoseconds"),
    TraceFormat("OpenAI usage", "prompt_tokens", "completion_tokens", "startTime"),
    TraceFormat("Ollama", "prompt_eval_count", "eval_count", "created_at"),
    TraceFormat("llama.cpp", "tokens_evaluated", "tokens_predicted"),
    TraceFormat("OpenRouter", "tokens_prompt", "tokens_completion", "created_at"),
    TraceFormat(
        "OpenAI completions", "usage.prompt_tokens", "usage.completion_tokens", "created", "seconds"
    ),
    TraceFormat(
        "Anthropic messages",
        "usage.input_tokens",
        "usage.output_tokens",
        marks=("usage.cache_read_input_tokens",),
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
    TraceFormat(
        "Claude Code session",
        "message.usage.input_tokens",
        "message.usage.output_tokens",
        "timestamp",
        marks=("sessionId",),
        is_sparse=True,
    ),
    TraceFormat(
        "Codex session",
        "payload.info.last_token_usage.input_tokens",
        "payload.info.last_token_usage.output_tokens",
        "timestamp",
        id_column="payload.info.total_token_usage.total_tokens",
        is_sparse=True,
    ),
    TraceFormat(
        "Gemini",
        "usageMetadata.promptTokenCount",
        "usageMetadata.candidatesTokenCount",
        "createTime",
    ),
    TraceFormat(
        "Bedrock invocations", "input.inputTokenCount", "output.outputTokenCount", "timestamp"
    ),
    TraceFormat("Langfuse", "usageDetails.input", "usageDetails.output", "startTime"),
    TraceFormat("Langfuse", "usage.input", "usage.output", "startTime"),
    TraceFormat(
        "Phoenix",
        "attributes.llm.token_count.prompt",
        "attributes.llm.token_count.completion",
        "start_time",
    ),
    TraceFormat("Phoenix", "llm.token_count.prompt", "llm.token_count.completion", "start_time"),
    TraceFormat("serving benchmark", "input_lens", "output_lens", "start_times", "seconds"),
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

BY_NAME = "columns by their names"
"""In the place of a format's name: none is known, but the columns say what they are."""


def recognise(columns: Iterable[str]) -> TraceFormat | None:
    """The first known format whose length columns and marks are all there, else one by names.

    Returns:
        The format with its columns as they are spelled here; None if the names tell of no lengths.
    """
    names = Names(columns)
    for candidate in FORMATS:
        lengths = names.find(candidate.input_column), names.find(candidate.output_column)
        has_marks = all(names.find(mark) is not None for mark in candidate.marks)
        if lengths[0] is not None and lengths[1] is not None and has_marks:
            return _with_usual_arrivals(_with_lengths(candidate, lengths[0], lengths[1]), names)
    pair = names.pair()
    if pair is None:
        return None
    return _with_usual_arrivals(TraceFormat(BY_NAME, *pair), names)


def _with_lengths(candidate: TraceFormat, input_column: str, output_column: str) -> TraceFormat:
    return replace(candidate, input_column=input_column, output_column=output_column)


def _with_usual_arrivals(trace_format: TraceFormat, names: Names) -> TraceFormat:
    """Its arrival times where the format has them, else in a column that is called so."""
    usual = trace_format.arrival_column
    own = None if usual is None else names.find(usual)
    if own is not None:
        return replace(trace_format, arrival_column=own)
    return replace(trace_format, arrival_column=names.first(ARRIVALS), arrival_unit="seconds")


def choose_columns(name: str, columns: Sequence[str], options: ReadingOptions) -> TraceFormat:
    """Which columns of a source hold the lengths, and what else is to be read.

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
    names = Names(columns)
    for option, column in options.named_roles:
        if names.find(column) is None:
            _require_column(name, columns, column, option)
    blocks = None if options.prefix_cache is None else _blocks(name, names, trace_format)
    roles = _roles(names, trace_format, blocks, options)
    if options.group_column is not None and roles.group is None:
        _require_column(name, columns, options.group_column, "--group-by COLUMN")
    trace_format = replace(trace_format, roles=roles)
    if options.arrival_column == NO_COLUMN:
        return replace(trace_format, arrival_column=None)
    if options.arrival_column is not None:
        return _with_arrivals(name, columns, trace_format, options.arrival_column)
    arrival = trace_format.arrival_column
    if arrival is not None and columns.count(arrival) != 1:
        trace_format = replace(trace_format, arrival_column=None)
    return trace_format


def _roles(
    names: Names, trace_format: TraceFormat, blocks: str | None, options: ReadingOptions
) -> Roles:
    """The roles of the columns of a source, by their names and what the user says.

    Args:
        names: Of its columns.
        trace_format: Its format.
        blocks: Column of the blocks of prompts, if they are held against a cache of prefixes.
        options: Which columns the user named; they are there.
    """
    beside = names.companions(trace_format.input_column)
    own_id = None if trace_format.id_column is None else names.find(trace_format.id_column)
    also_input: tuple[str, ...] = ()
    if options.cached_column in (None, NO_COLUMN):  # who names it says that it is within
        also_input = _left_out_of_inputs(beside, trace_format.input_column)
    count = _chosen(names, options.count_column, beside.requests)
    return Roles(
        also_input,
        () if beside.thoughts is None else (beside.thoughts,),
        None
        if blocks
        else _chosen(names, options.cached_column, beside.cached or beside.cache_reads),
        beside.reasoning,
        beside.total,
        count,
        beside.perhaps_requests if options.count_column is None and count is None else None,
        _chosen(names, options.id_column, own_id or beside.id),
        beside.model,
        beside.call,
        beside.hit,
        _group(names, beside, options.group_column),
        blocks,
        tuple(str(names.find(condition.column)) for condition in options.conditions),
        options.conditions,
    )


def _chosen(names: Names, stated: str | None, by_name: str | None) -> str | None:
    """The column that the user names, none at all, or the one that is called so."""
    if stated == NO_COLUMN:
        return None
    return by_name if stated is None else names.find(stated)


def _group(names: Names, beside: Companions, wanted: str | None) -> str | None:
    """The column that requests are grouped by: as it is called, or what it is of."""
    if wanted is None:
        return None
    kinds = {"model": beside.model, "user": names.first(USERS)}
    return names.find(wanted) or kinds.get(wanted)


def _blocks(name: str, names: Names, trace_format: TraceFormat) -> str:
    """The column that names the blocks of a prompt.

    Raises:
        InputError: There is none whose blocks are known.
    """
    column = names.find("hash_ids")
    if column is None or trace_format.block_tokens is None:
        raise InputError(
            f"{name}: names no blocks of prompts (hash_ids of Mooncake or Qwen-Bailian), which "
            "--prefix-cache needs; leave it out"
        )
    return column


def _left_out_of_inputs(beside: Companions, input_column: str) -> tuple[str, ...]:
    """Tokens that a cache of prefixes gave or took, where the input leaves them out."""
    if beside.cached is not None or not is_beside_cache(input_column):
        return ()
    columns = beside.cache_reads, beside.cache_writes
    return tuple(column for column in columns if column is not None)


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
    if count == 0:
        listed = ", ".join(shorten(present, 100) for present in by_relevance(columns)[:12])
        raise InputError(
            f'{name}: has no column "{column}", it has: {listed}; name the columns with {options}'
        )
    if count > 1:
        raise InputError(f'{name}: has {count} columns "{column}"; rename all but one')


def shorten(text: str, limit: int = 40) -> str:
    """Text for a message, cut if it is long."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
