"""Spans of OpenTelemetry as JSON, and pages of OpenAI's usage API.

Sources: OpenTelemetry's protocol (OTLP/JSON) and its semantic conventions for generative AI;
OpenInference's for language models; OpenAI's reference of its usage API.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from joulecast.traces.reading.rewriting.events import Event, rows_in
from joulecast.traces.reading.rewriting.faults import Fault

_SIGNALS = frozenset({"resourceSpans", "resourceLogs", "resourceMetrics", "resourceProfiles"})
_SPANS = "resourceSpans.item.scopeSpans.item.spans"
_INPUT, _OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
_MODEL = "gen_ai.request.model"
_OTHER_NAMES = {
    "gen_ai.usage.prompt_tokens": _INPUT,
    "gen_ai.usage.completion_tokens": _OUTPUT,
    "llm.token_count.prompt": _INPUT,
    "llm.token_count.completion": _OUTPUT,
    "llm.model_name": _MODEL,
}
"""What earlier conventions and OpenInference call the same."""

_OPERATIONS = {"chat", "text_completion", "generate_content", None}
"""Those of a model that answers; an agent's span has the sums of the spans below it."""

_KEPT = "traceId", "spanId", "parentSpanId", "name", "startTimeUnixNano", "endTimeUnixNano"


def is_otlp(record: Mapping[str, Any]) -> bool:
    """Whether an object is an export of OpenTelemetry."""
    return any(isinstance(record.get(signal), list) for signal in _SIGNALS)


def span_rows(events: Iterator[Event]) -> Iterator[str]:
    """A row for each span that used tokens of a model, with the attributes as columns."""
    for text in rows_in(events, _SPANS, _SIGNALS):
        span = json.loads(text)
        if not isinstance(span, dict):
            raise Fault("has a span that is no object; mend it")
        attributes = dict(_attributes(span.get("attributes")))
        for other, name in _OTHER_NAMES.items():
            if other in attributes:
                attributes.setdefault(name, attributes.pop(other))
        operation = attributes.get("gen_ai.operation.name")
        if (_INPUT in attributes or _OUTPUT in attributes) and operation in _OPERATIONS:
            yield json.dumps({key: span[key] for key in _KEPT if key in span} | attributes)


def _attributes(pairs: object) -> Iterator[tuple[str, Any]]:
    """Attributes that hold one value each."""
    for pair in pairs if isinstance(pairs, list) else ():
        value = pair.get("value") if isinstance(pair, dict) else None
        if isinstance(value, dict) and isinstance(pair.get("key"), str):
            for kind in ("intValue", "doubleValue", "stringValue", "boolValue"):
                if kind in value:
                    yield pair["key"], value[kind]


def is_usage_page(record: Mapping[str, Any]) -> bool:
    """Whether an object is a page of OpenAI's usage API."""
    buckets = record.get("data")
    first = buckets[0] if isinstance(buckets, list) and buckets else None
    return isinstance(first, dict) and ("results" in first or first.get("object") == "bucket")


def usage_rows(events: Iterator[Event]) -> Iterator[str]:
    """A row for each result of each bucket, with the bucket's times.

    Raises:
        Fault: A bucket has no list of results.
    """
    for text in rows_in(events, "data"):
        bucket = json.loads(text)
        results = bucket.get("results") if isinstance(bucket, dict) else None
        if not isinstance(results, list):
            raise Fault("has a bucket without results; get the page again")
        times = {key: bucket[key] for key in ("start_time", "end_time") if key in bucket}
        for result in results:
            yield json.dumps(times | result if isinstance(result, dict) else result)
