"""Times that Spark reads: the same moments, units, slices and complaints as without it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning import cluster as clusters
from joulecast.traces.binning.cluster import Cluster
from joulecast.traces.errors import InputError
from joulecast.traces.load import LoadedTrace, load_from_spark, load_trace, load_workload
from tests.conftest import RunCli

pytestmark = pytest.mark.slow  # Spark starts a Java machine

OWN = "input_tokens", "output_tokens"
DATES = [
    *("2024-05-12 00:00:00", "2024-05-12T00:00:01Z", "2024-05-12T00:00:02.5+02:00", "2024-05-12"),
    *("2024-05-12 00:00:03.1234567", "2024-05-12 00:00:03,25", "2024/05/12 01:00:00"),
    *("2024-05-12 10:00:00 +0200", "2024-05-12 10:00:00 Europe/Berlin", "12/05/2024 00:00"),
]
NUMBERS = [
    *("1715472000", "1715472000.5", "1715472000123", " 1715472001 ", "1_715_472_002", "1e400"),
    *("1715472003s", "nan", "inf", "", "soon", "0", "-1", "17d", "0x11", "1.7154720e9", "9.3e18"),
    *("T10:00", "10:00", "2024-05", "now", "epoch", "infinity", "2024-05-12T24:00:00"),
]


def loaded_twice(path: object, spark: str, **options) -> tuple[LoadedTrace, LoadedTrace]:
    """A trace as it is read here and there."""
    here = load_trace(str(path), most_lengths=10**6, with_arrivals=True, **options)
    there = load_trace(
        *(str(path), None, 10**6, False, True, Cluster(spark)),
        **options,
    )
    return here, there


def assert_equal(here: LoadedTrace, there: LoadedTrace) -> None:
    """To the last digit, and row by row in the same order."""
    assert there.workload == here.workload
    assert there.workload.to_json() == here.workload.to_json()
    assert there.arrivals == here.arrivals
    assert here.lengths is not None
    assert there.lengths is not None
    assert there.lengths.tolist() == here.lengths.tolist()
    if here.timed is None or there.timed is None:
        assert here.timed is there.timed
        return
    assert there.timed.arrival_s.tolist() == here.timed.arrival_s.tolist()
    assert there.timed.lengths.tolist() == here.timed.lengths.tolist()


def csv_of(path: Path, times: list[str]) -> Path:
    rows = "".join(f'"{time}",{10 + k},{5 + k}\n' for k, time in enumerate(times))
    path.write_text(f"arrival_s,{','.join(OWN)}\n{rows}")
    return path


@pytest.mark.parametrize("times", [DATES, NUMBERS, DATES + NUMBERS])
def test_every_kind_of_text(times: list[str], tmp_path: Path, spark: str) -> None:
    path = csv_of(tmp_path / "t.csv", times)
    here, there = loaded_twice(path, spark, on_invalid="skip")
    assert_equal(here, there)
    assert here.arrivals is not None
    assert here.arrivals.missing > 0
    assert here.timed is not None
    rows = [{"arrival_s": t, OWN[0]: k, OWN[1]: 1} for k, t in enumerate([*times, None, 17.25])]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_equal(*loaded_twice(path, spark, on_invalid="skip"))


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.timestamp("us"), pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("ms"), pa.int64()),
        *(pa.timestamp("ns"), pa.timestamp("ns", "Asia/Tokyo"), pa.float64(), pa.string()),
    ],
    ids=str,
)
def test_every_type_of_parquet(kind: pa.DataType, tmp_path: Path, spark: str) -> None:
    moments = [
        1_715_472_000_123_456_789,
        1_715_472_000_123_456_500,
        None,
        1_715_472_009_999_999_999,
    ]
    divisors = {"us": 1000, "ms": 10**6}
    divisor = next((k for unit, k in divisors.items() if unit in str(kind)), 1)
    values = [None if at is None else at // divisor for at in moments]
    times = pa.array(values).cast(kind, safe=False)
    table = pa.table({OWN[0]: [10, 11, 12, 13], OWN[1]: [5, 6, 7, 8], "arrival_s": times})
    pq.write_table(table, tmp_path / "t.parquet")
    here, there = loaded_twice(tmp_path / "t.parquet", spark, on_invalid="skip")
    assert_equal(here, there)
    assert here.arrivals is not None
    assert here.arrivals.missing == 1


def test_requests_that_come_at_once_keep_the_order_of_files_and_rows(
    tmp_path: Path, spark: str
) -> None:
    """So that they are dealt to the same replicas; names sort as texts, and links stay links."""
    folder = tmp_path / "a+b %20 c"
    folder.mkdir()
    for k, name in enumerate(["10.csv", "9.csv", "a b.csv", "a%20b.csv", "a+b.csv", "ä.csv"]):
        rows = "".join(f"{n // 50},{100 * k + n % 97 + 1},{n + 1}\n" for n in range(700 - 100 * k))
        (folder / name).write_text(f"arrival_s,{','.join(OWN)}\n{rows}")
    times = [n // 50 for n in range(500)]
    table = pa.table({OWN[0]: range(500), OWN[1]: [3] * 500, "arrival_s": times})
    pq.write_table(table, folder / "5.parquet", row_group_size=20)
    (tmp_path / "elsewhere.csv").write_text(f"arrival_s,{','.join(OWN)}\n3,7,7\n3,8,8\n")
    (folder / "0.csv").symlink_to(tmp_path / "elsewhere.csv")
    here, there = loaded_twice(f"{folder}/*", spark)
    assert_equal(here, there)
    assert here.arrivals is not None
    assert here.arrivals.out_of_order


def test_a_long_file_that_several_workers_read_keeps_its_order(tmp_path: Path, spark: str) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{n // 1000},{n % 7919 + 1},{n % 331}\n" for n in range(100_000))
    path.write_text(f"arrival_s,{','.join(OWN)}\n{rows}")
    cluster = Cluster(spark)
    cluster.session.conf.set("spark.sql.files.maxPartitionBytes", "100k")
    here = load_trace(path, None, 10**6, False, True)
    for name in (str(path), f"file://{path}"):
        assert_equal(here, load_trace(name, None, 10**6, False, True, cluster))


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (["1", "soon", "3", ""], {}),
        (["", "soon"], {"arrival_column": "arrival_s"}),
        (["2024-05-12 00:00:00", "2024-05-12 00:00:05", "1970-01-01 00:00:00"], {}),
        (["1", "2", "3e9"], {}),
        (["1", "2"], {"arrival_column": "input_tokens"}),
        (["1", "2"], {"arrival_column": "nowhere"}),
        (["1", "2"], {"arrival_column": "none", "arrival_unit": "seconds"}),
    ],
)
def test_what_is_refused_here_is_refused_there(
    times: list[str], options: dict, tmp_path: Path, spark: str
) -> None:
    """With the same words, but that Spark knows no lines."""
    path = csv_of(tmp_path / "t.csv", times)
    with pytest.raises(InputError) as here:
        load_trace(path, with_arrivals=True, **options)
    with pytest.raises(InputError) as there:
        load_trace(path, None, 0, False, True, Cluster(spark), **options)
    lines = [f"{path}:{line}:" for line in range(1, 6)]
    text = str(here.value)
    for line in lines:
        text = text.replace(line, f"{path}:")
    assert str(there.value) == text


def test_binning_on_spark_says_which_unit_was_taken(
    tmp_path: Path, spark: str, run_cli: RunCli
) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{1_715_472_000_000 + 250 * k},{k + 1},7\n" for k in range(40))
    path.write_text(f"created_ms,{','.join(OWN)}\n{rows}")
    words = "--arrival-column", "created_ms", "-o"
    here = run_cli("trace", "bin", path, *words, tmp_path / "here.json")
    master = "--engine", "spark", "--master", spark
    there = run_cli("trace", "bin", path, *master, *words, tmp_path / "there.json")
    assert '("created_ms": milliseconds since 1970)' in there.stderr
    assert here.stderr.splitlines()[-1].replace("here", "there") in there.stderr
    assert (tmp_path / "here.json").read_text() == (tmp_path / "there.json").read_text()
    workload = load_from_spark(str(path), spark, arrival_column="none")
    assert workload == load_workload(path)


def lacks_a_package(_: int) -> int:
    raise ModuleNotFoundError("No module named 'joulecast.estimator'", name="joulecast")


def fails(number: int) -> int:
    raise ValueError(f"{number} is no number")


def test_workers_that_cannot_work_say_so_in_a_line(
    spark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(spark)
    assert cluster.map(abs, [-1, -2, 3]) == [1, 2, 3]
    with pytest.raises(
        InputError, match=r"has no joulecast; install joulecast\[spark\] .* PYSPARK"
    ):
        cluster.map(lacks_a_package, [1])
    with pytest.raises(InputError, match=r"^Spark at local\[2\]: ValueError: 7 is no number$"):
        cluster.map(fails, [7])
    monkeypatch.setattr(clusters, "VERSION", "99.9")
    with pytest.raises(InputError, match=r"workers have joulecast 0\..*; install 99.9 there, too"):
        cluster.map(abs, [1])
