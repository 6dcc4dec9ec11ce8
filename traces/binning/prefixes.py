"""Which prompt tokens a cache of prefixes holds, where a trace tells its blocks apart (hash_ids).

A block's name stands for itself and all before it, so that a prompt has in the cache what its first
blocks have there, up to the first that is not. The block that is not read for the longest time
makes room.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from joulecast.traces.errors import InputError
from joulecast.traces.files import parse_json
from joulecast.traces.reading.formats import TraceFormat

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt


def cached_prefixes(
    blocks: Iterable[str | None],
    inputs: Iterable[float],
    block_tokens: int,
    cache_tokens: int,
) -> "npt.NDArray[np.int64]":
    """Tokens of each prompt that are in the cache when it comes [tokens], shape (n,).

    Args:
        blocks: Names of each prompt's blocks, a JSON array each, in the order in which prompts
            come; None for a prompt without any.
        inputs: How long each is [tokens].
        block_tokens: Of a block [tokens].
        cache_tokens: Size of the cache [tokens].

    Raises:
        InputError: What stands there is no array.
    """
    import numpy as np

    most = cache_tokens // block_tokens
    cache: OrderedDict[object, None] = OrderedDict()
    cached = []
    for number, (text, length) in enumerate(zip(blocks, inputs, strict=True), start=1):
        names = _names(text, number)
        held = sum(1 for _ in takewhile(cache.__contains__, names))
        cached.append(int(min(held * block_tokens, length)))
        for name in reversed(names[:most]):  # the first blocks are what others share: they go last
            cache[name] = None
            cache.move_to_end(name)
        while len(cache) > most:
            cache.popitem(last=False)
    return np.array(cached, dtype=np.int64)


def with_prefix_cache(
    database: "duckdb.DuckDBPyConnection",
    name: str,
    trace_format: TraceFormat,
    table: str,
    cache_tokens: int,
) -> TraceFormat:
    """Give a table of rows a column `cached`, where they name blocks; the format that says so.

    Args:
        database: Where the table is.
        name: What to call the trace in messages.
        trace_format: The format.
        table: The table; its rows are in the order in which prompts come.
        cache_tokens: Size of the cache [tokens].

    Raises:
        InputError: As in `cached_prefixes`.
    """
    roles = trace_format.roles
    if roles.blocks is None:
        return trace_format
    import numpy as np

    rows = database.execute(
        f"SELECT blocks, COALESCE(TRY_CAST(input AS DOUBLE), 0) AS input FROM {table} "
        "ORDER BY rowid"
    ).fetchnumpy()
    blocks = np.ma.filled(rows["blocks"], None)
    try:
        cached = cached_prefixes(
            blocks, rows["input"], trace_format.block_tokens or 1, cache_tokens
        )
    except InputError as error:
        raise InputError(f"{name}: {error}; leave out --prefix-cache") from error
    database.register("joulecast_cached", {"cached": cached.astype(float)})
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * EXCLUDE (blocks) FROM {table} "
        "POSITIONAL JOIN joulecast_cached"
    )
    return replace(trace_format, roles=roles._replace(cached=roles.blocks, blocks=None))


def _names(text: str | None, number: int) -> list[object]:
    if text is None:
        return []
    try:
        names = parse_json(text)
    except ValueError:
        names = None
    if not isinstance(names, list):
        raise InputError(f"row {number}: hash_ids is {text[:40]!r}, not an array of blocks")
    return names
