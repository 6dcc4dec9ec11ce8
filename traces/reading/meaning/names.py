"""Names of columns that say the same; capitals, blanks, hyphens and underscores do not count.

Sources of the names: the API references of OpenAI, Anthropic, Google (Gemini, Vertex), Amazon
(Bedrock), DeepSeek, OpenRouter, Ollama and llama.cpp; the tables of LiteLLM, Langfuse, Helicone and
Phoenix; OpenTelemetry's conventions for generative AI; the traces of Vidur and LLMServingSim.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

INPUTS = (
    "prompt tokens", "input tokens", "prompt token count", "input token count", "context tokens",
    "num prefill tokens", "num prompt tokens", "input toks", "prompt len", "input len",
    "prompt eval count", "tokens evaluated", "tokens prompt", "request tokens",
)  # fmt: skip
OUTPUTS = (
    "completion tokens", "output tokens", "candidates token count", "output token count",
    "completion token count", "generated tokens", "num decode tokens", "num generated tokens",
    "num output tokens", "output toks", "output len", "eval count", "tokens predicted",
    "tokens completion", "response tokens",
)  # fmt: skip
ARRIVALS = (
    "arrival s", "timestamp", "arrival time", "arrived at", "arrival", "arrival time ns",
    "arrival time ms", "created", "created at", "start time", "started at", "request time",
    "request created at", "time generated", "start time unix nano", "request start time",
    "start timestamp", "datetime", "ts", "time",
)  # fmt: skip

_CACHED_WITHIN = (
    "cached tokens", "prompt tokens details.cached tokens", "input tokens details.cached tokens",
    "input cached tokens", "cached input tokens", "cached prompt tokens", "num cached tokens",
    "prompt cache hit tokens", "cached content token count", "native tokens cached",
    "tokens cached",
    "cache read.input tokens", "prompt details.cache read", "input token details.cache read",
)  # fmt: skip
_CACHE_READS = (
    "cache read input tokens", "cache read input token count", "cache read tokens",
    "cache read input",
)  # fmt: skip
_CACHE_WRITES = (
    "cache creation input tokens", "cache write input tokens", "cache write input token count",
    "cache creation tokens", "cache write tokens", "cache creation input",
)  # fmt: skip
_THOUGHTS = "thoughts tokens", "thoughts token count", "thought tokens", "thinking tokens"
_REASONING = (
    "reasoning tokens", "completion tokens details.reasoning tokens", "native tokens reasoning",
    "output tokens details.reasoning tokens", "reasoning output tokens",
    "tokens reasoning",
)  # fmt: skip
_TOTALS = "total tokens", "total token count"
_COUNTS = (
    "num model requests", "successful requests", "num requests", "n requests", "requests",
    "request count", "number of requests", "total requests", "api requests", "num calls", "n calls",
    "calls",
)  # fmt: skip
_PERHAPS_COUNTS = "count", "frequency", "occurrences"
_IDS = (
    "id", "message.id", "message id", "request id", "response id", "generation id", "call id",
    "custom id", "response.id", "response.body.id",
)  # fmt: skip
_MODELS = (
    "model", "model name", "model id", "message.model", "gen ai.request.model", "request model",
    "gen ai.response.model", "model group", "response.body.model",
    "attributes.gen ai.request.model",
)  # fmt: skip
_CALLS = (
    "call type", "object", "operation", "operation name", "request type", "endpoint", "api type",
    "url", "gen ai.operation.name",
)  # fmt: skip
USERS = (
    "user", "user id", "end user", "user name", "user email", "customer", "api key",
    "api key alias", "team", "session id",
)  # fmt: skip
_HITS = "cache hit", "from cache", "is cache hit", "response cached"

BESIDE_CACHE = {"input tokens", "input token count", "uncached input tokens", "input"}
"""Names of inputs that leave out what a cache of prefixes gave or took (Anthropic, Bedrock)."""


class Companions(NamedTuple):
    """Columns beside those of the lengths that say what a row or a length means; None if not there.

    Attributes:
        cached: Tokens of the input that came from a cache of prefixes.
        cache_reads: The same where names tell that inputs may leave them out.
        cache_writes: Tokens of the input that were put into such a cache, likewise.
        thoughts: Output tokens that the output leaves out.
        reasoning: Output tokens that the output should have within.
        total: Input and output together.
        requests: How many requests a row sums.
        perhaps_requests: A column that may be such a count, or something else.
        id: Name of a request.
        model: Name of a model.
        call: What kind of call it was.
        hit: Whether the answer came from a cache of answers.
    """

    cached: str | None
    cache_reads: str | None
    cache_writes: str | None
    thoughts: str | None
    reasoning: str | None
    total: str | None
    requests: str | None
    perhaps_requests: str | None
    id: str | None
    model: str | None
    call: str | None
    hit: str | None


_OF_TOKENS = (_CACHED_WITHIN, _CACHE_READS, _CACHE_WRITES, _THOUGHTS, _REASONING, _TOTALS)
_OF_ROWS = _COUNTS, _PERHAPS_COUNTS, _IDS, _MODELS, _CALLS, _HITS


def normalised(name: str) -> str:
    """A name as it is compared: small letters and digits alone, and the dots between keys."""
    return re.sub(r"[^a-z0-9.]", "", name.lower())


class Names:
    """The columns of a file, to be found by what they are called.

    Args:
        columns: As the file spells them.
    """

    def __init__(self, columns: Iterable[str]) -> None:
        self._spelled: dict[str, str] = {}
        self._exact = set()
        for column in columns:
            self._spelled.setdefault(normalised(column), column)
            self._exact.add(column)

    def find(self, name: str) -> str | None:
        """The column of that name as it is spelled; None if there is none."""
        return name if name in self._exact else self._spelled.get(normalised(name))

    def first(self, names: Iterable[str], prefix: str = "") -> str | None:
        """The first of several that is there, below a prefix such as "usage."."""
        columns = (self.find(prefix + name) for name in names)
        return next((column for column in columns if column is not None), None)

    def pair(self) -> tuple[str, str] | None:
        """The columns of input and output, by their names alone; the least nested of several."""
        prefixes = {prefix_of(column) for column in self._spelled.values()}
        for prefix in sorted(prefixes, key=lambda prefix: (prefix.count("."), prefix)):
            lengths = self.first(INPUTS, prefix), self.first(OUTPUTS, prefix)
            if lengths[0] is not None and lengths[1] is not None:
                return lengths[0], lengths[1]
        return None

    def companions(self, input_column: str) -> Companions:
        """What lies beside the lengths; of tokens in the same object, of rows anywhere above."""
        prefix = prefix_of(input_column)
        above = [prefix]
        while above[-1]:
            above.append(prefix_of(above[-1][:-1]))
        of_rows = (
            next((column for at in above if (column := self.first(names, at))), None)
            for names in _OF_ROWS
        )
        return Companions(*(self.first(names, prefix) for names in _OF_TOKENS), *of_rows)


def prefix_of(column: str) -> str:
    """The keys above a column, with the dot behind them; empty for a column of the row itself."""
    return column[: column.rfind(".") + 1]


def is_beside_cache(input_column: str) -> bool:
    """Whether an input of that name leaves out what a cache of prefixes gave or took."""
    prefix = prefix_of(input_column)
    if normalised(prefix).endswith("genai.usage."):
        return False  # by OpenTelemetry's convention
    own = normalised(input_column[len(prefix) :])
    return own in {normalised(name) for name in BESIDE_CACHE}


def by_relevance(columns: Iterable[str]) -> list[str]:
    """Columns for a list in a message: those first that may be lengths by their names."""
    telling: Mapping[bool, list[str]] = {True: [], False: []}
    for column in columns:
        own = column.lower()
        telling[any(word in own for word in ("token", "length", "count"))].append(column)
    return telling[True] + telling[False]
