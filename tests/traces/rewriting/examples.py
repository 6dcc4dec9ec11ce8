"""An example of every form that is written anew, made up after the form's public documentation.

Each holds `REQUESTS`, some with the times at which they came.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

REQUESTS = [(100, 10), (32, 8), (33, 9), (9000, 5), (10, 600), (0, 1), (8192, 512)]
SPAN_S = 18.0
"""They came every three seconds."""

EPOCH_S = 1_740_000_000


@dataclass(frozen=True)
class Example:
    """One file.

    Attributes:
        form: The form's name.
        make: Its bytes, from the requests.
        format: The format that its columns are recognised as.
        span_s: From the first arrival to the last [s]; None without arrival times.
    """

    form: str
    make: Callable[[list[tuple[int, int]]], bytes]
    format: str = "joulecast"
    span_s: float | None = None


def plain(requests: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [{"input_tokens": i, "output_tokens": o} for i, o in requests]


def timed(requests: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    rows = enumerate(plain(requests))
    return [row | {"arrival_s": 3 * k, "said": 'a "b"\n[{é'} for k, row in rows]


def csv_text(requests: list[tuple[Any, Any]], line_end: str = "\n") -> str:
    rows = [f'{i},{o},{3 * k},"é, ""x"""' for k, (i, o) in enumerate(requests)]
    return line_end.join(["input_tokens,output_tokens,arrival_s,said", *rows, ""])


def mixed(requests: list[tuple[Any, Any]]) -> bytes:
    """A line feed within quotes, and rows that end in each of three ways."""
    first, *rows = csv_text(requests).replace("é, ", "é\n").splitlines(keepends=True)
    text = first + "".join(rows)
    parts = text.split("\n")
    ends = ("\r\n", "\r\n", "\n", "\r\n", "\r")
    return "".join(part + ends[k % 5] for k, part in enumerate(parts[:-1])).encode()


def dumped(value: object, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


def lines(*values: object) -> bytes:
    return b"".join(dumped(value) + b"\n" for value in values)


def workbook(requests: list[tuple[Any, Any]]) -> bytes:
    """A sheet of notes first, then a title above the header, a blank row, times as dates."""
    import datetime

    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Exported by hand"])
    sheet = book.create_sheet("log")
    sheet.append(["Requests of March"])
    sheet.append(["input_tokens", "output_tokens", "arrival_s"])
    start = datetime.datetime(2025, 3, 1, 9)
    for k, (i, o) in enumerate(requests):
        sheet.append(
            [
                i,
                float(o) if isinstance(o, int) else o,
                start + 3 * k * datetime.timedelta(seconds=1),
            ]
        )
        if k == 2:
            sheet.append([])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def vllm_run(requests: list[tuple[Any, Any]], times: bool = True) -> dict[str, Any]:
    """What `vllm bench serve --save-result --save-detailed` writes."""
    start = {"start_times": [5000.25 + 3 * k for k in range(len(requests))]} if times else {}
    return {
        "date": "20250301-090000",
        "endpoint_type": "vllm",
        "model_id": "meta-llama/Llama-3.1-8B-Instruct",
        "request_rate": "inf",
        "completed": len(requests),
        "total_input_tokens": 7,
        "total_output_tokens": 7,
        "input_lens": [i for i, _ in requests],
        "output_lens": [o for _, o in requests],
        "ttfts": [0.25 for _ in requests],
        "itls": [[0.01] * 3 for _ in requests],
        **start,
        "generated_texts": ['said "NaN", [1, 2] and }{' for _ in requests],
        "errors": ["" for _ in requests],
        "mean_ttft_ms": 250.0,
    }


def sglang_run(requests: list[tuple[Any, Any]]) -> dict[str, Any]:
    """What `sglang.bench_serving --output-details` appends; Python writes Infinity."""
    return {
        "tag": None,
        "backend": "sglang",
        "request_rate": float("inf"),
        "mean_itl_ms": float("nan"),
        "total_input_tokens": 7,
        "total_output_tokens": 7,
        "input_lens": [i for i, _ in requests],
        "output_lens": [o for _, o in requests],
        "itls": [[] for _ in requests],
        "generated_texts": ["-Infinity \\" for _ in requests],
    }


def sglang(requests: list[tuple[Any, Any]]) -> bytes:
    return lines(sglang_run(requests[:3]), sglang_run(requests[3:]))


def guidellm(requests: list[tuple[Any, Any]]) -> bytes:
    def served(part: list[tuple[Any, Any]], start: int) -> list[dict[str, Any]]:
        return [
            {
                "type_": "generative_request_stats",
                "request_id": f"r{k}",
                "output": "text",
                "prompt_tokens": i,
                "output_tokens": o,
                "request_start_time": EPOCH_S + 3.0 * k,
            }
            for k, (i, o) in enumerate(part, start=start)
        ]

    def benchmark(part: list[tuple[Any, Any]], start: int) -> dict[str, Any]:
        lists = {
            "successful": served(part, start),
            "incomplete": served([(5, 5)], 0),
            "errored": [],
        }
        totals = {"successful": len(part), "incomplete": 1, "errored": 0, "total": len(part) + 1}
        return {"config": {}, "metrics": {"request_totals": totals}, "requests": lists}

    report = {
        "metadata": {"version": 1},
        "benchmarks": [benchmark(requests[:4], 0), benchmark(requests[4:], 4)],
    }
    return dumped(report, indent=1)


def attribute(key: str, value: object) -> dict[str, Any]:
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    kind = "doubleValue" if isinstance(value, float) else "stringValue"
    return {"key": key, "value": {kind: value}}


def span(
    k: int,
    i: Any,
    o: Any,
    prefix: str = "gen_ai.usage",
    names: tuple[str, str] = ("input_tokens", "output_tokens"),
) -> dict[str, Any]:
    begun = (EPOCH_S + 3 * k) * 10**9
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": f"{k:016x}",
        "name": "chat llama",
        "kind": 3,
        "startTimeUnixNano": str(begun),
        "endTimeUnixNano": str(begun + 10**9),
        "attributes": [
            attribute("gen_ai.operation.name", "chat"),
            attribute("gen_ai.request.model", "llama-3.1-8b"),
            attribute("gen_ai.request.temperature", 0.5),
            attribute(f"{prefix}.{names[0]}", i),
            attribute(f"{prefix}.{names[1]}", o),
        ],
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [attribute("service.name", "proxy")]}
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}
        ]
    }


def otlp(requests: list[tuple[Any, Any]]) -> bytes:
    """Spans of other work between, an agent's sums, an earlier convention, and other signals."""
    spans = [span(k, i, o) for k, (i, o) in enumerate(requests)]
    if len(requests) > 2:
        spans[1] = span(1, *requests[1], names=("prompt_tokens", "completion_tokens"))
        spans[2] = span(2, *requests[2], "llm.token_count", ("prompt", "completion"))
    http = {
        "name": "POST",
        "startTimeUnixNano": "1",
        "attributes": [attribute("http.method", "POST")],
    }
    agent = span(0, 777, 777)
    agent["attributes"][0] = attribute("gen_ai.operation.name", "invoke_agent")
    return lines(export(*spans[:2], http), {"resourceMetrics": []}, export(agent, *spans[2:]))


def usage_pages(requests: list[tuple[Any, Any]]) -> bytes:
    """Each request in a bucket of its own."""

    def result(row: dict[str, Any]) -> dict[str, Any]:
        return {"object": "organization.usage.completions.result", **row, "model": None}

    def page(rows: list[dict[str, Any]]) -> dict[str, Any]:
        buckets = [
            {"object": "bucket", "start_time": 1, "end_time": 2, "results": [result(row)]}
            for row in rows
        ]
        empty = {"object": "bucket", "start_time": 2, "end_time": 3, "results": []}
        return {"object": "page", "data": [*buckets, empty], "has_more": False, "next_page": None}

    rows = plain(requests)
    return dumped(page(rows[:2]), 2) + dumped(page(rows[2:]), 2)


def pretty(requests: list[tuple[Any, Any]]) -> bytes:
    return b"\n".join(dumped(row, 2) for row in timed(requests))


EXAMPLES = {
    "xlsx": Example("xlsx", workbook, span_s=SPAN_S),
    "vLLM": Example(
        "benchmark with arrays of lengths",
        lambda r: dumped(vllm_run(r)),
        "serving benchmark",
        SPAN_S,
    ),
    "vLLM, pretty": Example(
        "benchmark with arrays of lengths",
        lambda r: dumped(vllm_run(r), 4),
        "serving benchmark",
        SPAN_S,
    ),
    "vLLM, runs in an array": Example(
        "benchmark with arrays of lengths",
        lambda r: dumped([vllm_run(r[:1], False), vllm_run(r[1:], False)]),
        "serving benchmark",
    ),
    "SGLang": Example("benchmark with arrays of lengths", sglang, "serving benchmark"),
    "guidellm": Example("guidellm report", guidellm, "columns by their names", SPAN_S),
    "OTLP": Example("OTLP spans", otlp, "OpenTelemetry", SPAN_S),
    "OTLP, pretty": Example(
        "OTLP spans",
        lambda r: dumped(export(*(span(k, i, o) for k, (i, o) in enumerate(r))), 2),
        "OpenTelemetry",
        SPAN_S,
    ),
    "OpenAI usage": Example("OpenAI usage pages", usage_pages),
    "data": Example(
        "JSON rows within an object",
        lambda r: dumped({"data": timed(r), "meta": {"page": 1}}),
        span_s=SPAN_S,
    ),
    "requests, pretty": Example(
        "JSON rows within an object",
        lambda r: dumped({"count": 7, "requests": timed(r)}, 2),
        span_s=SPAN_S,
    ),
    "pages on lines": Example(
        "JSON rows within an object",
        lambda r: lines({"data": plain(r[:2])}, {"data": []}, {"data": plain(r[2:])}),
    ),
    "pages in an array": Example(
        "JSON rows within an object",
        lambda r: dumped([{"data": plain(r[:2])}, {"data": plain(r[2:])}], 1),
    ),
    "an array of another name": Example(
        "JSON rows within an object",
        lambda r: dumped({"tags": [{"a": 1}], "calls of March": plain(r)}),
    ),
    "pretty objects": Example("JSON objects over several lines", pretty, span_s=SPAN_S),
    "objects on one line": Example(
        "JSON objects over several lines",
        lambda r: b" ".join(dumped(row) for row in timed(r)),
        span_s=SPAN_S,
    ),
    "UTF-16 LE": Example(
        "UTF-16 text", lambda r: b"\xff\xfe" + csv_text(r).encode("utf-16-le"), span_s=SPAN_S
    ),
    "UTF-16 BE": Example(
        "UTF-16 text",
        lambda r: b"\xfe\xff" + csv_text(r, "\r\n").encode("utf-16-be"),
        span_s=SPAN_S,
    ),
    "UTF-16 without a mark": Example(
        "UTF-16 text", lambda r: csv_text(r).encode("utf-16-le"), span_s=SPAN_S
    ),
    "JSON lines in UTF-16": Example(
        "UTF-16 text", lambda r: lines(*timed(r)).decode().encode("utf-16"), span_s=SPAN_S
    ),
    "pretty objects in UTF-16": Example(
        "JSON objects over several lines",
        lambda r: pretty(r).decode().encode("utf-16"),
        span_s=SPAN_S,
    ),
    "JSON lines with a mark": Example(
        "JSON with a byte order mark", lambda r: b"\xef\xbb\xbf" + lines(*timed(r)), span_s=SPAN_S
    ),
    "JSON array with a mark": Example(
        "JSON with a byte order mark",
        lambda r: b"\xef\xbb\xbf" + dumped(timed(r), 1),
        span_s=SPAN_S,
    ),
    "wrapped, with a mark": Example(
        "JSON rows within an object",
        lambda r: b"\xef\xbb\xbf" + dumped({"data": timed(r)}),
        span_s=SPAN_S,
    ),
    "mixed line ends": Example("CSV with mixed line ends", mixed, span_s=SPAN_S),
}

AS_THEY_ARE: dict[str, Callable[[list[tuple[int, int]]], bytes]] = {
    "CSV": lambda r: csv_text(r).encode(),
    "CSV with a mark": lambda r: csv_text(r).encode("utf-8-sig"),
    "CSV with line ends of old Macs": lambda r: csv_text(r, "\r").encode(),
    "CSV with line feeds in quotes": lambda r: csv_text(r, "\r\n").replace("é, ", "é\n").encode(),
    "JSON lines": lambda r: lines(*timed(r)),
    "JSON lines that have arrays of objects": lambda r: lines(
        *(row | {"data": plain([(1, 1)])} for row in timed(r))
    ),
    "JSON array": lambda r: dumped(timed(r)),
    "pretty JSON array": lambda r: dumped(timed(r), 4),
    "long JSON lines": lambda r: lines(*(row | {"prompt": "x" * 200_000} for row in timed(r))),
}
"""What is read without being written anew."""


def cut(content: bytes) -> Iterator[bytes]:
    """A file that breaks off, at several places."""
    for share in (0.3, 0.6, 0.9):
        yield content[: int(len(content) * share)]
    yield content.rstrip()[:-1]
