"""Fuzz driver for the trace reader: files from seeds, against sums that their maker worked out.

    python benchmarks/logs/fuzz_reader.py [--seconds 60] [--seed N] [--files K]

Each seed makes one file, or a few behind one glob, read with on_invalid="error" and "skip". Of
mutated files the truth is only that nothing crashes and that "skip" agrees where "error" finds no
fault. A hang or a dying interpreter ends the run with a traceback; the one folder without a failure
that is left has its seed's name.
"""

import argparse
import faulthandler
import itertools
import re
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from odd_traces import INPUT_EDGES, OUTPUT_EDGES, File, Outcome, generate

from joulecast.traces.errors import InputError
from joulecast.traces.load import load_workload

LIMIT_S = 20
# Six sums per cell, failed requests and their tokens, invalid rows by reason.
Sums = tuple[dict[tuple[int, int], tuple[int, ...]], tuple[int, int], dict[str, int]]


def tally(outcomes: Iterable[Outcome]) -> Sums:
    """The sums of these rows, in Python integers."""
    cells: dict[tuple[int, int], tuple[int, ...]] = {}
    failed: list[int] = []
    invalid: Counter[str] = Counter()
    for outcome in outcomes:
        if isinstance(outcome, str):
            invalid[outcome] += 1
        elif outcome is not None and outcome[1] == 0:
            failed.append(outcome[0])
        elif outcome is not None:
            i, o = outcome
            cell = bisect_left(INPUT_EDGES, i), bisect_left(OUTPUT_EDGES, o)
            terms = (1, i, i * i, o, o * o, i * o)
            cells[cell] = tuple(map(sum, zip(cells.get(cell, (0,) * 6), terms, strict=True)))
    return cells, (len(failed), sum(failed)), dict(invalid)


def read(source: str, mode: Any) -> Sums | InputError | str:
    """What the reader makes of a source; text tells of a crash."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    try:
        workload = load_workload(source, on_invalid=mode)
    except InputError as error:
        return error
    except Exception:  # noqa: BLE001
        return traceback.format_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
    cells = {cell: tuple(sums) for cell, sums in workload.cells.items()}
    return cells, (*workload.failed,), dict(workload.invalid)


def fault_of(files: dict[str, File], mode: str, result: Sums | InputError | str) -> str:
    """What is wrong with a reading, or nothing; files go by their paths."""
    if isinstance(result, str):
        return result
    if isinstance(result, InputError):
        return fault_of_refusal(files, mode, str(result))
    if mode == "error" and result[2]:
        return f"invalid rows were let pass: {result[2]}"
    if any(file.refusal == "must" for file in files.values()):
        return "a broken file was read"
    if any(file.rows is None for file in files.values()):
        return ""
    known = (row.outcomes for file in files.values() for row in file.rows or ())
    truths = [tally(outcomes) for outcomes in itertools.product(*known)]
    return "" if result in truths else difference(result, truths[0])


def difference(result: Sums, truth: Sums) -> str:
    """Where a reading departs from the truth."""
    cells = {
        cell: (result[0].get(cell), truth[0].get(cell))
        for cell in sorted({*result[0], *truth[0]})
        if result[0].get(cell) != truth[0].get(cell)
    }
    return f"read {result[1:]} instead of {truth[1:]}, and in cells {cells}"


def fault_of_refusal(files: dict[str, File], mode: str, message: str) -> str:
    """What is wrong with an error message, or nothing."""
    if "\n" in message:
        return f"a message of several lines: {message!r}"
    known = all(file.rows is not None for file in files.values())
    if known and not any(any(r.outcomes) for file in files.values() for r in file.rows or ()):
        return ""  # no rows at all: nothing to estimate
    for path, file in files.items():
        odd = (r for r in file.rows or () if any(isinstance(o, str) for o in r.outcomes))
        lines = {row.line for row in odd} if mode == "error" else set()
        found = re.search(re.escape(path) + r":(\d+): ", message)
        at_fault = lines == {0} or (found is not None and int(found[1]) in lines)
        if path in message and (file.rows is None or file.refusal != "never" or at_fault):
            return ""
    return f"a wrong file or line is refused: {message}"


def faults_of(seed: int, folder: Path, done: Counter[str]) -> list[str]:
    """Write, read and judge the files of one seed."""
    folder.mkdir()
    files = {str(folder / f"part-{k}"): file for k, file in enumerate(generate(seed))}
    for path, file in files.items():
        Path(path).write_bytes(file.content)
        done[f"{file.kind} files"] += 1
        done[f"{file.kind} rows"] += len(file.rows or ())
    source = str(folder / "part-*") if len(files) > 1 else next(iter(files))
    strict, lenient = read(source, "error"), read(source, "skip")
    faults = [fault_of(files, "error", strict), fault_of(files, "skip", lenient)]
    if isinstance(strict, tuple) and strict != lenient:
        faults.append(f"{lenient} when skipping, although no row is invalid: {strict}")
    return [fault for fault in faults if fault]


def main() -> int:
    """Fuzz until the time or the files are over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--files", type=int, default=sys.maxsize)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="fuzz-reader-"))
    print(f"files are written below {root}", file=sys.stderr)
    faulthandler.enable()
    done: Counter[str] = Counter()
    failures, seed, end = 0, options.seed, time.monotonic() + options.seconds
    while seed < options.seed + options.files and time.monotonic() < end:
        folder = root / str(seed)
        if faults := faults_of(seed, folder, done):
            failures += 1
            print(f"{folder} failed; again: python {sys.argv[0]} --seed {seed} --files 1")
            print(*(f"  {fault}" for fault in faults), sep="\n", flush=True)
        else:
            shutil.rmtree(folder)
        seed += 1
    if not failures:
        root.rmdir()
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(done.items()))
    print(f"seeds {options.seed} to {seed - 1}, {failures} failed; {counts}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
