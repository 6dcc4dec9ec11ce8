"""Which times are read from a column, which unit is taken, and that it is said."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning.file_trace import open_trace
from joulecast.traces.errors import InputError
from joulecast.traces.load import load_trace, summarise
from joulecast.traces.reading.arrivals import ArrivalReading
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

MAY_12 = 1_715_472_000  # 2024-05-12 00:00:00 UTC
OWN = "input_tokens", "output_tokens"


def csv_of(path: Path, column: str, times: list[object], lengths: tuple[str, str] = OWN) -> Path:
    rows = "".join(f"{time},{10 + k},5\n" for k, time in enumerate(times))
    path.write_text(f"{column},{','.join(lengths)}\n{rows}")
    return path


def reading_of(path: Path, **options) -> ArrivalReading:
    with open_trace(str(path), ReadingOptions(**options)) as trace:
        assert trace.arrivals is not None
        return trace.arrivals


def arrivals_of(path: Path, **options) -> list[float]:
    timed = load_trace(path, with_arrivals=True, **options).timed
    assert timed is not None
    return timed.arrival_s.tolist()


def test_a_mooncake_like_trace_in_seconds(tmp_path: Path, run_cli: RunCli) -> None:
    """Qwen-Bailian has Mooncake's columns and times in seconds."""
    rows = [(0.05, 521, 132), (61.114, 2048, 10), (7199.55, 800, 300)]
    bailian = [
        {"chat_id": k, "parent_chat_id": -1, "timestamp": at, "input_length": i}
        | {"output_length": o, "type": "text", "turn": 1, "hash_ids": [k]}
        for k, (at, i, o) in enumerate(rows)
    ]
    path = tmp_path / "qwen.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in bailian))
    with open_trace(str(path)) as trace:
        assert trace.format.name == "Qwen-Bailian"
    document = json.loads(run_cli("trace", "summary", path, "--format", "json").stdout)
    assert document["span_s"] == 7199.5
    assert document["arrivals"]["unit"] == "seconds"
    whole = [{**row, "timestamp": round(row["timestamp"])} for row in bailian]
    path.write_text("".join(json.dumps(row) + "\n" for row in whole))
    assert reading_of(path).span_s == 7200
    for row in bailian:  # not to be told from Mooncake's by columns, but by fractions
        del row["chat_id"], row["parent_chat_id"]
    path.write_text("".join(json.dumps(row) + "\n" for row in bailian))
    assert reading_of(path).span_s == 7199.5


def test_dates_where_seconds_are_usual(tmp_path: Path, run_cli: RunCli) -> None:
    path = csv_of(tmp_path / "t.csv", "arrival_s", ["2024-01-01 00:00:00", "2024-01-01 00:01:00"])
    result = run_cli("trace", "summary", path)
    assert result.exit_code == 0, result.output
    assert "60.0 s" in result.stdout
    assert '"arrival_s": dates and times without a zone, taken as UTC' in result.stdout


PARTLY_PARSED = [
    *("2024-05-12 00:00:00.001163+00:00", "2024-05-12T00:00:10Z", "12/05/2024 00:00:20"),
    *(MAY_12 + 30, ""),
]


def test_times_of_which_some_cannot_be_read(tmp_path: Path, run_cli: RunCli) -> None:
    lengths = "ContextTokens", "GeneratedTokens"
    path = csv_of(tmp_path / "t.csv", "TIMESTAMP", PARTLY_PARSED, lengths)
    document = json.loads(run_cli("trace", "summary", path, "--format", "json").stdout)
    assert document["span_s"] == pytest.approx(29.998837, abs=1e-6)
    assert document["without_time"] == document["arrivals"]["missing"] == 2
    assert "2 of 5 requests have no time" in run_cli("trace", "summary", path).stdout.replace(
        "\n                ", ""
    )
    with pytest.raises(InputError, match=r't\.csv:4: TIMESTAMP is "12/05/2024 00:00:20", which is'):
        load_trace(path, with_arrivals=True)
    loaded = load_trace(path, with_arrivals=True, on_invalid="skip")
    assert loaded.timed is not None
    assert loaded.timed.lengths.tolist() == [[10, 5], [11, 5], [13, 5]]
    assert loaded.arrivals is not None
    assert loaded.arrivals.missing == loaded.workload.untimed == 2
    assert loaded.workload.total.requests == 5
    missing_first = csv_of(tmp_path / "m.csv", "TIMESTAMP", ["", *PARTLY_PARSED[:2]], lengths)
    with pytest.raises(InputError, match=r"m\.csv:2: TIMESTAMP is missing; 1 of 3 requests .*skip"):
        load_trace(missing_first, with_arrivals=True)


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([0, 2.5, 4], "seconds"),
        ([MAY_12, MAY_12 + 2.5, MAY_12 + 4], "seconds since 1970"),
        ([MAY_12 * 1000 + k for k in (0, 2500, 4000)], "milliseconds since 1970"),
        ([MAY_12 * 10**6 + k for k in (0, 2_500_000, 4_000_000)], "microseconds since 1970"),
        ([MAY_12 * 10**9 + k * 10**9 // 2 for k in (0, 5, 8)], "nanoseconds since 1970"),
        (
            [f"2024-05-12T00:00:0{x}+00:00" for x in ("0", "2.5", "4")],
            "dates and times",
        ),
        (["2024-05-12 02:00:00 +0200", "2024-05-12 00:00:02,5", MAY_12 + 4], None),
        (["2024-05-11T18:30:00-05:30", "2024-05-12T00:00:02.500000Z", MAY_12 * 1000 + 4000], None),
    ],
)
def test_units_by_what_the_times_look_like(
    times: list[object], unit: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    names = ("at", *OWN)
    rows = [dict(zip(names, (time, 10, 5), strict=True)) for time in times]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert arrivals_of(path, arrival_column="at") == pytest.approx([0, 2.5, 4], abs=1e-6)
    reading = reading_of(path, arrival_column="at")
    assert unit in (None, reading.unit)
    assert reading.missing == 0


@pytest.mark.parametrize(
    ("column", "times", "unit"),
    [
        ("timestamp_ms", [0, 2500, 4000], "milliseconds"),
        ("createdMs", [100, 2600, 4100], "milliseconds"),
        ("start [ms]", [100, 2600, 4100], "milliseconds"),
        ("params", [100, 102.5, 104], "seconds"),
        ("latency_us", [0, 2_500_000, 4_000_000], "microseconds"),
        ("start_ns", [10**15, 10**15 + 2_500_000_000, 10**15 + 4 * 10**9], "nanoseconds"),
        ("perf_ns", [x + 2 * 10**15 for x in (0, 2_500_000_000, 4 * 10**9)], "nanoseconds"),
        # What cannot be in the unit that the name says.
        ("arrival_s", [MAY_12 * 1000 + k for k in (0, 2500, 4000)], "milliseconds since 1970"),
        ("startTimeUnixNano", [MAY_12 * 10**9 + k * 10**9 // 2 for k in (0, 5, 8)], None),
    ],
)
def test_units_by_the_name_of_the_column(
    column: str, times: list[object], unit: str | None, tmp_path: Path
) -> None:
    path = csv_of(tmp_path / "t.csv", column, times)
    assert arrivals_of(path, arrival_column=column) == pytest.approx([0, 2.5, 4], abs=1e-6)
    assert unit in (None, reading_of(path, arrival_column=column).unit)


def test_a_unit_that_is_stated(tmp_path: Path, run_cli: RunCli) -> None:
    path = csv_of(tmp_path / "t.csv", "at", [0, 2500, 4000])
    words = "trace", "summary", path, "--arrival-column", "at", "--format", "json"
    assert json.loads(run_cli(*words).stdout)["span_s"] == 4000
    stated = json.loads(run_cli(*words, "--arrival-unit", "milliseconds").stdout)
    assert stated["span_s"] == 4
    with pytest.raises(InputError, match="arrival_unit is one of seconds, milliseconds"):
        ReadingOptions(arrival_unit="hours")  # type: ignore[arg-type]


MOMENTS = [MAY_12 * 10**6 + k * 500_000 for k in (0, 5, 8)]


@pytest.mark.parametrize(
    "times",
    [
        pa.array(MOMENTS, pa.timestamp("us")),
        pa.array(MOMENTS, pa.timestamp("us", tz="Europe/Paris")),
        pa.array([moment * 1000 for moment in MOMENTS], pa.timestamp("ns")),
        pa.array([moment // 1000 for moment in MOMENTS], pa.timestamp("ms")),
        pa.array(MOMENTS, pa.int64()),
        pa.array([moment / 1e6 for moment in MOMENTS], pa.float64()),
        pa.array([datetime.fromtimestamp(m / 1e6, UTC).isoformat() for m in MOMENTS]),
    ],
    ids=lambda times: str(times.type),
)
def test_types_of_parquet(times: pa.Array, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"at": times, OWN[0]: [1, 2, 3], OWN[1]: [4, 5, 6]}), path)
    assert arrivals_of(path, arrival_column="at") == pytest.approx([0, 2.5, 4], abs=1e-5)


def test_days_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    days = pa.array([19_000, 19_002], pa.date32())
    pq.write_table(pa.table({"day": days, OWN[0]: [1, 2], OWN[1]: [4, 5]}), path)
    assert arrivals_of(path, arrival_column="day") == [0, 2 * 86_400]


def test_columns_within_objects_and_beside_named_lengths(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text(
        "".join(
            json.dumps({"span": {"in": 10, "out": 5, "start": {"ms": 1000 * k}}}) + "\n"
            for k in range(3)
        )
    )
    columns = {"input_column": "span.in", "output_column": "span.out"}
    assert load_trace(path, with_arrivals=True, **columns).timed is None
    assert arrivals_of(path, **columns, arrival_column="span.start.ms") == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arrival_column": "when"}, r'no column "when", it has: .*with --arrival-column'),
        ({"arrival_column": "input_tokens"}, "holds the input length; name two columns"),
        ({"arrival_column": "note"}, r't\.csv:2: note is "a", which is no time, and no other row'),
    ],
)
def test_columns_that_hold_no_times(options, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("note,input_tokens,output_tokens\na,1,2\nb,3,4\n")
    with pytest.raises(InputError, match=message):
        load_trace(path, **options)


def test_a_unit_of_no_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input_tokens,output_tokens\n1,2\n")
    with pytest.raises(InputError, match=r"no column of arrival times; name one with --arrival-c"):
        load_trace(path, arrival_unit="seconds")
    with pytest.raises(InputError, match="is a workload and has no columns to name"):
        load_trace("azure-2023-code", arrival_unit="seconds")


@pytest.mark.parametrize("times", [[0, 1e18], [9e18, 9e18], [-1e18, 5], ["294247-01-01", 0]])
def test_times_beyond_all_clocks(times: list[object], tmp_path: Path) -> None:
    path = csv_of(tmp_path / "t.csv", "at", times)
    workload = load_trace(path, arrival_column="at").workload
    assert workload.untimed == 0
    workload.save(tmp_path / "w.json")
    assert Workload.load(tmp_path / "w.json") == workload
    assert reading_of(csv_of(path, "arrival_s", [1e19, "1e400", 5])).missing == 2


def test_times_in_another_encoding_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"arrival_s,input_tokens,output_tokens\n1,2,3\n\xe9,2,3\n")
    with pytest.raises(InputError, match=r"t\.csv:3: the row is not UTF-8 text"):
        load_trace(path)


def test_times_that_are_not_to_be_read(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "t.csv", "arrival_s", [1, "soon", 3])
    loaded = load_trace(path, with_arrivals=True, arrival_column="none")
    assert (loaded.timed, loaded.arrivals, loaded.workload.arrivals) == (None, None, None)
    assert load_trace("azure-2023-code", arrival_column="none").workload.untimed == 8819


def test_times_that_go_back_and_repeat_are_sorted_and_counted(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "t.csv", "arrival_s", [5, 1, 1, 3, 2])
    loaded = load_trace(path, with_arrivals=True)
    assert loaded.timed is not None
    assert loaded.timed.arrival_s.tolist() == [0, 0, 1, 2, 4]
    assert loaded.timed.lengths[:, 0].tolist() == [11, 12, 14, 13, 10]
    assert loaded.arrivals is not None
    assert loaded.arrivals.out_of_order == 2
    assert "2 earlier than the row above them, so sorted" in loaded.arrivals.text
    assert summarise(path).arrivals == loaded.arrivals


def test_zones_are_said(tmp_path: Path) -> None:
    zoned, bare = "2024-05-12T00:00:00Z", "2024-05-12 00:00:07"
    assert reading_of(csv_of(tmp_path / "z.csv", "arrival_s", [zoned] * 2)).unzoned == 0
    mixed = reading_of(
        csv_of(tmp_path / "m.csv", "arrival_s", [zoned, bare, "2024-05-12 02:00-05"])
    )
    assert (mixed.zoned, mixed.unzoned) == (2, 1)
    assert "1 of them without a zone, taken as UTC" in mixed.text
    blank = reading_of(csv_of(tmp_path / "b.csv", "arrival_s", ["2024-05-12 02:00:00 +0200", bare]))
    assert (blank.zoned, blank.unzoned, blank.span_s) == (1, 1, 7)


@pytest.mark.parametrize("offset", ["-99:99", "+25:00", "+02:75", " +1500"])
def test_offsets_that_no_place_has_are_no_times(offset: str, tmp_path: Path) -> None:
    rows = [f"2025-03-01T09:00:00{offset}", "2025-03-01T09:00:01+14:00"]
    path = csv_of(tmp_path / "o.csv", "arrival_s", rows)
    assert (reading_of(path).requests, reading_of(path).missing) == (1, 1)
    with pytest.raises(InputError, match=r"o\.csv:2: arrival_s is .*, which is no time"):
        load_trace(path, with_arrivals=True)


def test_rows_at_the_epoch_among_dates_have_no_time(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "t.csv", "arrival_s", [MAY_12, MAY_12 + 9, 0, "1970-01-01 00:00:00"])
    reading = reading_of(path)
    assert (reading.span_s, reading.missing) == (9, 2)
    said = r't\.csv:4: arrival_s is "0", which is not on the clock .*last is of 2024-05-12\)'
    with pytest.raises(InputError, match=said):
        load_trace(path, with_arrivals=True)
    assert arrivals_of(path, on_invalid="skip") == [0, 9]


def test_spans_of_years_are_said_and_of_decades_refused(tmp_path: Path) -> None:
    years = csv_of(tmp_path / "y.csv", "arrival_s", ["2021-01-01", "2024-01-01"])
    assert "they span 3.0 years" in reading_of(years).text
    assert len(arrivals_of(years)) == 2
    decades = csv_of(tmp_path / "d.csv", "arrival_s", [0, 5, 9e8, 7])
    with pytest.raises(InputError, match=r'd\.csv:4: arrival_s is "9.*29 years after the earliest'):
        load_trace(decades, with_arrivals=True)


def test_failed_and_invalid_requests_have_no_arrivals(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n0,5,0\n10,x,3\n20,5,3\n,5,0\n26,5,4\n")
    reading = reading_of(path, on_invalid="skip")
    assert (reading.requests, reading.missing, reading.span_s) == (2, 0, 6)


def test_a_column_of_nothing_is_said(tmp_path: Path, run_cli: RunCli) -> None:
    path = csv_of(tmp_path / "t.csv", "arrival_s", ["", "nan", "soon"])
    loaded = load_trace(path, with_arrivals=True)
    assert loaded.timed is None
    assert loaded.workload.arrivals is None
    said = " ".join(run_cli("trace", "summary", path).stdout.split())
    assert '"arrival_s": none of 3 requests has a time that can be read' in said


def test_many_files_of_several_kinds(tmp_path: Path) -> None:
    csv_of(tmp_path / "1.csv", "arrival_s", [MAY_12, MAY_12 + 3])
    rows = [{"arrival_s": "2024-05-12T00:00:05Z", OWN[0]: 1, OWN[1]: 2}]
    (tmp_path / "2.jsonl").write_text(json.dumps(rows[0]) + "\n")
    times = pa.array([(MAY_12 + 8) * 1000], pa.timestamp("ms"))
    pq.write_table(pa.table({OWN[0]: [1], OWN[1]: [2], "arrival_s": times}), tmp_path / "3.parquet")
    assert arrivals_of(tmp_path / "*") == [0, 3, 5, 8]


def test_times_of_parquet_in_nanoseconds_with_a_zone(tmp_path: Path) -> None:
    """What pandas writes of times that know their zone."""
    moments = [MAY_12 * 10**9, MAY_12 * 10**9 + 2_500_000_000, None]
    times = pa.array(moments, pa.timestamp("ns", "Europe/Paris"))
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({OWN[0]: [1, 2, 3], OWN[1]: [2, 2, 2], "arrival_s": times}), path)
    reading = reading_of(path)
    assert (reading.requests, reading.missing, reading.span_s) == (2, 1, 2.5)
    assert (reading.zoned, reading.unzoned) == (2, 0)


def test_databases_have_no_arrivals(tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "log.db").touch()
    words = "--connect", f"duckdb://{tmp_path}/log.db", "--table-name", "t"
    result = run_cli("trace", "bin", *words, "--arrival-column", "arrival_s")
    assert result.exit_code == 1
    assert "are read from files, and not from databases" in result.stderr
