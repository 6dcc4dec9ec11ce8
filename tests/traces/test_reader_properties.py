"""Generated files against a reader written out by hand."""

import json
import math
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.load import load_workload
from joulecast.traces.reading.options import OnInvalid
from tests.conftest import workload_of

pytestmark = pytest.mark.slow  # hundreds of files

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

good = st.integers(0, 2**31 - 1).map(str) | st.integers(0, 600).map(lambda n: f"{n}.0")
odd = st.sampled_from(
    [
        "",
        "-1",
        "1.5",
        "x",
        "nan",
        "inf",
        "1e3",
        "1e400",
        "-0",
        "+7",
        " 9 ",
        "2147483649",
        "1,0",
        "0x10",
    ]
) | st.text(st.characters(codec="ascii", exclude_characters='",\n\r\0|;\t\\'), max_size=6)
lengths = st.tuples(good, good) | st.tuples(good | odd, good | odd)


def problem_of(text: str) -> str | None:
    """What is wrong with a length, by the words of the documentation."""
    if text == "":
        return "missing"
    try:
        number = float(text)
    except ValueError:
        return "not a number"
    if math.isnan(number):
        return "not a number"
    if number < 0:
        return "negative"
    if number >= 2**31:
        return "2^31 or more"
    return None if number == int(number) else "fractional"


def expected_of(rows: list[tuple[str, str]]):
    requests, failed, invalid = [], [], {}
    for i, o in rows:
        if problem := problem_of(i) or problem_of(o):
            invalid[problem] = invalid.get(problem, 0) + 1
        elif float(o) == 0:
            failed.append(int(float(i)))
        else:
            requests.append((int(float(i)), int(float(o))))
    return workload_of(PAPER_GRID, requests), failed, invalid


def write_csv(path: Path, rows: list[tuple[str, str]]) -> None:
    fields = [",".join(f'"{value}"' if "," in value else value for value in row) for row in rows]
    path.write_text("input_tokens,output_tokens\n" + "".join(f"{line}\n" for line in fields))


def write_json_lines(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = [
        {"input_tokens": None if i == "" else i, "output_tokens": None if o == "" else o}
        for i, o in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@QUICK
@given(st.lists(lengths, min_size=1, max_size=30), st.sampled_from([write_csv, write_json_lines]))
def test_every_row_is_counted_right(rows, write) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace"
        write(path, rows)
        expected, failed, invalid = expected_of(rows)
        workload = load_workload(str(path), PAPER_GRID, on_invalid="skip")
        assert dict(workload.cells) == dict(expected.cells)
        assert workload.failed == (len(failed), sum(failed))
        assert dict(workload.invalid) == invalid
        if invalid:
            first = next(k for k, (i, o) in enumerate(rows) if problem_of(i) or problem_of(o))
            line = first + (2 if write is write_csv else 1)
            with pytest.raises(InputError, match=f"^{re.escape(str(path))}:{line}: "):
                load_workload(str(path), PAPER_GRID)


fragments = st.sampled_from(
    [
        b"input_tokens,output_tokens", b"\n", b"\r", b"\r\n", b'"', b'""', b",", b";", b"1,2\n",
        b"-1", b"3.5", b"\xef\xbb\xbf", b"\xff", b"\0", b"{", b"[", b"]", b"PAR1", b"\x1f\x8b",
        b'{"input_tokens": 1, "output_tokens": 2}', b'"format": "joulecast workload"', b" ", b"#",
        b"'", b"\\",
    ]
)  # fmt: skip


@settings(QUICK, max_examples=300)
@given(
    st.lists(fragments, max_size=12).map(b"".join) | st.binary(max_size=60),
    st.sampled_from(["error", "skip"]),
)
def test_any_bytes_give_a_workload_or_one_line(content: bytes, on_invalid: OnInvalid) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace"
        path.write_bytes(content)
        try:
            message = ""
            load_workload(path, PAPER_GRID, on_invalid=on_invalid)
        except InputError as error:
            message = str(error)
        assert "\n" not in message


@settings(QUICK, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 700)), min_size=2, max_size=40),
    st.data(),
)
def test_merging_any_split_equals_the_whole_in_any_order(requests, data) -> None:
    cut = data.draw(st.integers(1, len(requests) - 1))
    shuffled = data.draw(st.permutations(requests))
    with tempfile.TemporaryDirectory() as folder:

        def binned(name: str, rows: list[tuple[int, int]]):
            path = Path(folder) / name
            write_csv(path, [(str(i), str(o)) for i, o in rows])
            return load_workload(str(path), PAPER_GRID)

        whole = binned("whole", requests)
        assert binned("a", shuffled[:cut]) + binned("b", shuffled[cut:]) == whole
        assert whole == workload_of(PAPER_GRID, requests)
