"""Reading what takes long or comes from far: progress, memory, Ctrl-C, broken files, addresses."""

import contextlib
import gzip
import http.server
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning.trace import watched
from joulecast.traces.errors import InputError
from joulecast.traces.load import load_workload, summarise
from joulecast.traces.reading.remote import fetch_remote
from joulecast.views import progress
from joulecast.views.progress import ReadingBar
from tests.conftest import RunCli

HEAD = "input_tokens,output_tokens\n"
TEXT = HEAD + "".join(f"{k % 9000},{k % 700}\n" for k in range(2_000))


@contextlib.contextmanager
def server(**pages: bytes) -> Iterator[str]:
    """A local web server; "cut" promises more than it sends, "slow" takes its time."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").partition(".")[0]
            if name not in pages:
                self.send_error(404)
                return
            self.send_response(200)
            promised = len(pages[name]) * (2 if name == "cut" else 1)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            if name == "slow":
                time.sleep(0.3)
            self.wfile.write(pages[name])

        def log_message(self, *_: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_trace_behind_an_address(packed: bool, tmp_path: Path, run_cli: RunCli) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    content = gzip.compress(TEXT.encode()) if packed else TEXT.encode()
    with server(trace=content, slow=content) as address:
        for name in ("trace.csv", "slow", "trace.csv?signature=secret", "slow. of all"):
            workload = load_workload(f"{address}/{name}")
            assert workload == load_workload(path)
            assert "secret" not in workload.to_json()
        result = run_cli("trace", "summary", f"{address}/trace.csv", "--format", "json")
    assert json.loads(result.stdout)["requests"] == summarise(path).requests


@pytest.mark.parametrize(
    ("name", "fragment"),
    [("cut.csv", "broke off after"), ("nowhere.csv", "the server answers 404")],
)
def test_an_address_that_gives_no_trace(name: str, fragment: str, run_cli: RunCli) -> None:
    with server(cut=TEXT.encode()) as address:
        result = run_cli("trace", "summary", f"{address}/{name}")
    assert result.exit_code == 1
    assert fragment in result.stderr
    assert result.stderr.count("\n") == 1


def test_nobody_at_the_address(run_cli: RunCli) -> None:
    with server() as address:
        pass
    result = run_cli("trace", "summary", f"{address}/t.csv")
    assert result.exit_code == 1
    assert "cannot be fetched" in result.stderr


def test_files_on_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow's own store of the local disk stands in for its S3 client."""
    from pyarrow import fs

    for k in range(3):
        (tmp_path / f"part-{k}.csv").write_text(f"{HEAD}{k},5\n")
    (tmp_path / "other.txt").write_text("x")

    class Store:
        @staticmethod
        def from_uri(uri: str) -> tuple[fs.FileSystem, str]:
            assert uri == "s3://bucket/logs?region=eu-west-1"
            return fs.LocalFileSystem(), str(tmp_path)

    monkeypatch.setattr("pyarrow.fs.FileSystem", Store)
    target = tmp_path / "fetched"
    target.mkdir()
    files = fetch_remote("s3://bucket/logs/part-*.csv?region=eu-west-1", target)
    assert [path.read_text() for path, _ in files] == [f"{HEAD}{k},5\n" for k in range(3)]
    with pytest.raises(InputError, match="none matches"):
        fetch_remote("s3://bucket/logs/x-*?region=eu-west-1", target)


def test_progress_is_told_and_the_result_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "17,4\n" * 3_000_000)
    shares: list[float] = []
    workload = load_workload(path, watch=shares.append)
    assert workload == load_workload(path)
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_ctrl_c_ends_the_work_and_is_handed_on() -> None:
    stopped = threading.Event()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(lambda: stopped.wait(30), lambda: 0.5, interrupted, stopped.set)
    assert stopped.is_set()


@pytest.mark.slow
def test_ctrl_c_during_a_read_is_one_word(tmp_path: Path) -> None:
    """As in a pipe, where nobody watches."""
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "17,4\n" * 30_000_000)
    words = [sys.executable, "-m", "joulecast", "trace", "bin", path, "-o", tmp_path / "w.json"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode:  # it was not over already
        assert errors.strip() == "Aborted!"
        assert not (tmp_path / "w.json").exists()


def test_ctrl_c_leaves_nothing_half_written(
    tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text(TEXT)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("joulecast.traces.binning.cells.bin_groups", interrupt)
    result = run_cli("trace", "bin", tmp_path / "t.csv", "-o", tmp_path / "w.json")
    assert result.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_errors_of_watched_work_are_those_of_the_work() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        watched(fail, lambda: -1.0, lambda _: None, lambda: None)


def test_the_bar_says_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    with ReadingBar(str(path)) as bar:
        assert bar.watch is not None
        for share in (0.1, 0.5, 0.9):
            time.sleep(0.02)
            bar.watch(share)
            bar._progress.refresh()
    shown = terminal.getvalue()
    assert "rows/s" in shown
    assert "B/s" in shown
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert ReadingBar(str(path)).watch is None


def test_memory_limit(tmp_path: Path, run_cli: RunCli) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    assert load_workload(path, memory_limit="200MB") == load_workload(path)
    for words, fragment in (("much", "is no size of memory"), ("10kB", "raise --memory-limit")):
        result = run_cli("trace", "bin", path, "--memory-limit", words)
        assert result.exit_code == 1
        assert fragment in result.stderr


def test_a_bad_row_far_down(tmp_path: Path) -> None:
    rows = ["100,10\n"] * 200_000
    rows[150_000] = "100,ten\n"  # row 150,001
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "".join(rows))
    with pytest.raises(InputError, match=r't.csv:150002: output_tokens is "ten"'):
        load_workload(path)
    skipped = load_workload(path, on_invalid="skip")
    assert skipped.total.requests == 199_999
    assert skipped.invalid == {"not a number": 1}
    path.write_text(HEAD + "".join(rows[:150_000]) + "100\n" + "".join(rows[150_001:]))
    with pytest.raises(InputError, match=r"t.csv:150002: the row has 1 fields"):
        load_workload(path)
    assert load_workload(path, on_invalid="skip").invalid == {"malformed row": 1}


@pytest.mark.parametrize("mode", ["error", "skip"])
def test_zstd_that_breaks_off(mode, tmp_path: Path) -> None:
    packed = pa.compress(TEXT.encode() * 50, codec="zstd", asbytes=True)
    path = tmp_path / "t.csv.zst"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"t.csv.zst: the zstd data is truncated"):
        load_workload(path, on_invalid=mode)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"input_tokens,output_tokens\r\n1,2\r\n7\r\n3,4\r\n", {"malformed row": 1}),
        (b"input_tokens,output_tokens\n1,2,,,,\n3,4\n", {}),
        (
            b'{"input_tokens": 1, "output_tokens": 2}\n{"input_tokens": "", "output_tokens": 2}\n',
            {"missing": 1},
        ),
        (b"note,input_tokens,output_tokens\ncaf\xe9,1,2\nx,3\ny,5,6\n", {"malformed row": 1}),
    ],
)
def test_what_fuzzing_found_and_skip_counts(content: bytes, expected, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(content)
    assert load_workload(path, on_invalid="skip").invalid == expected


def test_what_fuzzing_found_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"note,input_tokens,output_tokens\ncaf\xe9,1,2\nx,3\ny,5,6\n")
    with pytest.raises(InputError, match=":3: the row has 2 fields"):
        load_workload(path)
    path.write_bytes(b"input_tokens,output_tokens\n1,\xff7\n2,3\n4,inf\n")
    with pytest.raises(InputError, match=":2: the row is not UTF-8"):
        load_workload(path)


@pytest.mark.parametrize("end", [b",", b",\n  ", b""])
def test_a_json_array_that_breaks_off(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b'[{"input_tokens": 1, "output_tokens": 2}' + end)
    for mode in ("error", "skip"):
        with pytest.raises(InputError, match="breaks off"):
            load_workload(path, on_invalid=mode)


def test_rows_around_one_that_is_far_too_long(tmp_path: Path) -> None:
    """DuckDB loses its place there, so nobody could say what was left out."""
    path = tmp_path / "t"
    path.write_text(f"{HEAD}1,2\n{' ' * 2_200_000}3,4\n5,6\n")
    for mode in ("error", "skip"):
        with pytest.raises(InputError, match=r"over 2 MB|Maximum line size"):
            load_workload(path, on_invalid=mode)


def test_lengths_of_32_bit_floats_are_exact(tmp_path: Path) -> None:
    table = pa.table({"input_tokens": pa.array([123456792.0], pa.float32()), "output_tokens": [7]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text(f"{HEAD}1,1\n")
    for source, expected in (("a.parquet", 123456792), ("*", 123456793)):
        assert load_workload(f"{tmp_path}/{source}").total.input_tokens == expected
