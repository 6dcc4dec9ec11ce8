"""Results of serving benchmarks, whose requests are arrays side by side or lists of objects.

Sources: vLLM's documentation of `vllm bench serve` (--save-result, --save-detailed), SGLang's of
`sglang.bench_serving` (--output-file, --output-details), guidellm's of its outputs, aiperf's of its
exports.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

from joulecast.traces.reading.rewriting.events import Event, text_of
from joulecast.traces.reading.rewriting.faults import Fault

LENGTHS = "input_lens", "output_lens"
_TIMES = "start_times", "start_timestamps"
_MODEL = "model_id"
_SUMMED = {"total_input_tokens", "total_output_tokens"}
_GUIDELLM = "benchmarks.item.requests.successful.item"
_GUIDELLM_TOTALS = (
    "benchmarks.item.request_totals.successful",
    "benchmarks.item.metrics.request_totals.successful",
)


def is_run(record: Mapping[str, Any]) -> bool:
    """Whether an object is a run of a benchmark with an array for each quantity."""
    return any(isinstance(record.get(key), list) for key in LENGTHS)


def is_guidellm(record: Mapping[str, Any]) -> bool:
    """Whether an object is a report of guidellm."""
    runs = record.get("benchmarks")
    return isinstance(runs, list) and any(isinstance(run, dict) and _KEYS & {*run} for run in runs)


_KEYS = {"requests", "request_totals", "run_stats", "metrics", "args", "config", "type_"}


def require_requests(record: Mapping[str, Any]) -> None:
    """Refuse a benchmark's summary.

    Raises:
        Fault: It has sums and averages alone.
    """
    if {*record} >= _SUMMED and not any(key in record for key in LENGTHS):
        raise Fault(
            "is the summary of a benchmark, without its requests; run it with --save-detailed "
            "(vLLM) or --output-details (SGLang)"
        )
    lengths = record.get("input_sequence_length")
    if isinstance(lengths, dict) and "avg" in lengths:
        raise Fault(
            "is the summary of aiperf or genai-perf; give profile_export.jsonl of aiperf, which "
            "has a line for each request"
        )
    experiments = record.get("experiments")
    if isinstance(experiments, list) and any("requests" in run for run in experiments):
        raise Fault(
            "is a profile of genai-perf, which has texts and times but no lengths; measure with "
            "aiperf and give its profile_export.jsonl"
        )


class _Run:
    """One run: its arrays, each kept on disk until all are there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.model = ""
        self.columns: dict[str, IO[str]] = {}
        self.sizes: dict[str, int] = {}

    def take(self, name: str, events: Iterator[Event]) -> None:
        """Keep an array whose beginning was just read."""
        if name in self.columns:
            raise Fault(f'has "{name}" twice in run {self.number}; mend it')
        column = self.columns[name] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.sizes[name] = 0
        for prefix, event, value in events:
            if prefix == name:
                break
            column.write(text_of(events, event, value) + "\n")
            self.sizes[name] += 1

    def rows(self) -> Iterator[str]:
        """A row for each request."""
        for name in LENGTHS:
            if name not in self.columns:
                raise Fault(
                    f'has no "{name}" in run {self.number}; run the benchmark with '
                    "--save-detailed (vLLM) or --output-details (SGLang)"
                )
        if len(set(self.sizes.values())) > 1:
            sizes = ", ".join(f"{size} of {name}" for name, size in self.sizes.items())
            raise Fault(f"has arrays of different lengths in run {self.number}: {sizes}; mend it")
        for column in self.columns.values():
            column.seek(0)
        names = [json.dumps(_TIMES[0] if name in _TIMES else name) for name in self.columns]
        for values in zip(*self.columns.values(), strict=True):
            pairs = (f"{name}: {value[:-1]}" for name, value in zip(names, values, strict=True))
            yield f"{{{self.model}{', '.join(pairs)}}}"

    def close(self) -> None:
        """Give the disk back."""
        for column in self.columns.values():
            column.close()


def run_rows(events: Iterator[Event]) -> Iterator[str]:
    """A row for each request of each run, with the columns of its arrays.

    Raises:
        Fault: A run lacks an array, or its arrays are of different lengths.
    """
    run = _Run(0)
    try:
        for prefix, event, value in events:
            if event == "start_array" and (prefix in LENGTHS or prefix in _TIMES):
                run.take(prefix, events)
            elif prefix == _MODEL and event == "string":
                run.model = f'"{_MODEL}": {json.dumps(value)}, '
            elif prefix == "" and event != "map_key":
                if event == "start_map":
                    run = _Run(run.number + 1)
                elif event == "end_map":
                    yield from run.rows()
                    run.close()
                else:
                    raise Fault(f"has something after run {run.number} that is no object; mend it")
    finally:
        run.close()


def guidellm_rows(events: Iterator[Event]) -> Iterator[str]:
    """A row for each request that was served, of all benchmarks of a report.

    Raises:
        Fault: Only a sample of the requests was written.
    """
    rows, total = 0, None
    for prefix, event, value in events:
        if prefix == _GUIDELLM:
            yield _guidellm_row(json.loads(text_of(events, event, value)))
            rows += 1
        elif prefix in _GUIDELLM_TOTALS and event == "number":
            total = value
        elif prefix == "benchmarks.item" and event == "end_map":
            if total is not None and total > rows:
                raise Fault(
                    f"has {rows} of the {total} requests of a benchmark; have guidellm write all "
                    "of them, not a sample"
                )
            rows, total = 0, None


def _guidellm_row(request: object) -> str:
    """What its request says of lengths and times; how it names them went through versions."""
    if not isinstance(request, dict):
        return json.dumps(request)
    row = {key: request.get(key) for key in ("request_id", "prompt_tokens", "output_tokens")}
    for key, metrics in (("prompt_tokens", "input_metrics"), ("output_tokens", "output_metrics")):
        counts = request.get(metrics)
        if row[key] is None and isinstance(counts, dict):
            row[key] = counts.get("text_tokens")
    start = request.get("start_time", request.get("request_start_time"))
    return json.dumps(row | {"start_time": start})
