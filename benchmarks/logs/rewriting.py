"""How long files take that are written anew as rows before they are read, and how much memory.

    python benchmarks/logs/rewriting.py [--megabytes 50] [--folder FOLDER]

Makes a file of each of several forms, then writes each anew in a process of its own, and prints the
wall time and by how much the peak of memory grew, which must not depend on the file's size. What is
read as it is stands below: what a look at its head costs.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from joulecast.traces.reading.rewriting.forms import find_form
from joulecast.traces.reading.rewriting.text import Peek
from joulecast.traces.reading.sniff import look_at


def row(number: int) -> dict[str, object]:
    """A request with some text."""
    usage = {"prompt_tokens": number % 5000, "completion_tokens": number % 700}
    return {"id": f"r{number}", "created": 1_740_000_000 + number, "usage": usage, "t": "x" * 200}


def wrapped(rows: int) -> Iterator[str]:
    """One object around all rows."""
    yield '{"data": [\n'
    for k in range(rows):
        yield json.dumps(row(k), indent=1) + (",\n" if k < rows - 1 else "\n")
    yield '], "meta": {}}\n'


def pretty(rows: int) -> Iterator[str]:
    """Objects over several lines."""
    for k in range(rows):
        yield json.dumps(row(k), indent=1) + "\n"


def benchmark(rows: int) -> Iterator[str]:
    """One run of a benchmark, its arrays side by side."""
    columns: dict[str, Callable[[int], object]] = {
        "input_lens": lambda k: k % 5000,
        "output_lens": lambda k: k % 700,
        "itls": lambda k: [0.0125] * (k % 20),
        "start_times": lambda k: 0.25 * k,
        "generated_texts": lambda _: "x" * 200,
    }
    yield '{"model_id": "m"'
    for name, value in columns.items():
        yield f', "{name}": ['
        for k in range(rows):
            yield json.dumps(value(k)) + (",\n" if k < rows - 1 else "]")
    yield "}"


def lines(rows: int) -> Iterator[str]:
    """JSON lines, which are read as they are."""
    for k in range(rows):
        yield json.dumps(row(k)) + "\n"


def table(rows: int) -> Iterator[str]:
    """CSV."""
    yield "input_tokens,output_tokens,text\n"
    for k in range(rows):
        yield f"{k % 5000},{k % 700},{'x' * 200}\n"


FILES: dict[str, tuple[Callable[[int], Iterator[str]], str]] = {
    "rows within an object": (wrapped, "utf-8"),
    "objects over several lines": (pretty, "utf-8"),
    "arrays of lengths": (benchmark, "utf-8"),
    "UTF-16": (table, "utf-16"),
    "JSON lines, as they are": (lines, "utf-8"),
    "CSV, as it is": (table, "utf-8"),
}


def rewrite(source: Path, target: Path) -> None:
    """Write one file anew, and print what that took."""
    find_form(Peek(look_at(source, source.name)), frozenset())  # what is imported is not counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    peek = Peek(look_at(source, source.name))
    if found := find_form(peek, frozenset()):
        found[1](peek, target)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    size = source.stat().st_size / 2**20
    print(f"{source.name:28} {size:6.0f} MB {seconds:9.4f} s {grown:6.1f} MB of memory more")


def main() -> None:
    """Make, rewrite, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, (make, encoding) in FILES.items():
            source = Path(folder) / name
            with source.open("w", encoding=encoding, newline="") as file:
                file.writelines(make(options.megabytes * 2**20 // 300))
            process = processes.Process(target=rewrite, args=(source, Path(folder) / "rows"))
            process.start()
            process.join()
            source.unlink()


if __name__ == "__main__":
    main()
