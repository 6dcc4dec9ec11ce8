"""The catalogue, and fetching from a server that does all that servers do."""

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from joulecast.traces.errors import InputError
from joulecast.traces.load import load_workload
from joulecast.traces.public.catalog import CACHE_VARIABLE, CATALOG_VARIABLE, catalog, find_entry
from joulecast.traces.public.fetch import fetch
from joulecast.traces.reading.formats import FORMATS
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

ROWS = "".join(f"{k},{100 + k % 700},{1 + k % 90}\n" for k in range(4000))
FILE = ("TIMESTAMP,ContextTokens,GeneratedTokens\n" + ROWS).encode()


@dataclass
class Server:
    """What the server does with the next requests, and what it was asked."""

    address: str = ""
    content: bytes = FILE
    status: int = 200
    cut_after: int | None = None
    takes_ranges: bool = True
    tag: str | None = '"one"'
    tells_length: bool = True
    says_range: bool = True
    sends_whole: bool = False
    pause_s: float = 0.0
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(dict(self.headers))
            if state.status != 200:
                self.send_error(state.status)
                return
            start = 0
            asked_range = self.headers.get("Range")
            is_same = self.headers.get("If-Range") in (None, state.tag)
            if asked_range and state.takes_ranges and is_same:
                start = int(asked_range.removeprefix("bytes=").removesuffix("-"))
                if start >= len(state.content):
                    self.send_error(416)
                    return
                self.send_response(206)
                if state.says_range:
                    begin = 0 if state.sends_whole else start
                    last = len(state.content) - 1
                    self.send_header("Content-Range", f"bytes {begin}-{last}/{last + 1}")
                    start = begin
            else:
                self.send_response(200)
            if state.tag is not None:
                self.send_header("ETag", state.tag)
            rest = state.content[start:]
            if state.tells_length:
                self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            time.sleep(state.pause_s)
            self.wfile.write(rest if state.cut_after is None else rest[: state.cut_after])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        state.address = f"http://127.0.0.1:{running.server_address[1]}"
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
        yield state
        running.shutdown()


@pytest.fixture
def listed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalogue of our own with one trace that the server has."""
    add_entry(server, tmp_path, monkeypatch)
    return "local-trace"


def add_entry(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: object
) -> None:
    row = {
        "name": "local-trace",
        "title": "A trace",
        "url": f"{server.address}/files/trace.csv?version=1",
        "format": "Azure LLM inference",
        "licence": "CC0",
        "citation": "Nobody, 2026",
        "bytes": len(FILE),
        "sha256": hashlib.sha256(FILE).hexdigest(),
        "stand_in": "azure-2023-conv",
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"traces": [row | changes]}))
    monkeypatch.setenv(CATALOG_VARIABLE, str(path))


def test_what_was_fetched_goes_by_its_name(
    server: Server, listed: str, run_cli: RunCli, tmp_path: Path
) -> None:
    missing = run_cli("trace", "summary", listed)
    assert missing.exit_code == 1
    assert "run: joulecast trace fetch local-trace, or take its stand-in: azure-2023-conv" in (
        missing.stderr
    )
    result = run_cli("trace", "fetch", listed)
    assert result.exit_code == 0, result.output
    assert "4,000 requests, 0 failed" in result.stdout
    assert "cite: Nobody, 2026 (CC0)" in result.stdout
    folder = tmp_path / "cache/traces/local-trace"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "trace.csv", "workload.json"]
    workload = load_workload(listed)
    assert workload == load_workload(folder / "trace.csv")
    (source,) = workload.sources
    assert source["sha256"] == hashlib.sha256(FILE).hexdigest()
    assert (source["licence"], source["citation"]) == ("CC0", "Nobody, 2026")
    rows = json.loads(run_cli("trace", "list", "--format", "json").stdout)["traces"]
    assert {row["name"]: row["here"] for row in rows}[listed] == "fetched"
    assert run_cli("estimate", listed, "--table", "h100-sxm/llama-3.1-8b/vllm").exit_code == 0
    assert run_cli("trace", "fetch", listed).exit_code == 0
    assert len(server.asked) == 1  # what is here is not fetched again
    assert run_cli("trace", "fetch", listed, "--again").exit_code == 0
    assert len(server.asked) == 2


def test_a_download_that_broke_off_goes_on(server: Server, listed: str) -> None:
    told: list[tuple[int, int | None]] = []
    server.cut_after = 10_000
    with pytest.raises(InputError, match="broke off after 10,000 of"):
        fetch(find_entry(listed), lambda *seen: told.append(seen))
    assert told[-1] == (10_000, len(FILE))
    server.cut_after = None
    assert fetch(find_entry(listed)).total.requests == 4000
    assert server.asked[1]["Range"] == "bytes=10000-"


@pytest.mark.parametrize(
    "how", ["no ranges", "another version", "no tag", "another piece", "a piece of no place"]
)
def test_where_it_cannot_go_on_it_begins_again(
    how: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checksum tells of a file that is put together from two versions."""
    add_entry(server, tmp_path, monkeypatch, sha256=None)
    server.cut_after = 10_000
    if how in ("another version", "no tag"):
        server.content = FILE.replace(b",1", b",2")
        assert len(server.content) == len(FILE)
        assert server.content[:10_000] != FILE[:10_000]
    if how == "no tag":
        server.tag = None
    with pytest.raises(InputError):
        fetch(find_entry("local-trace"))
    server.content, server.cut_after = FILE, None
    server.takes_ranges = how != "no ranges"
    server.sends_whole = how == "another piece"
    server.says_range = how != "a piece of no place"
    if how == "another version":
        server.tag = '"two"'
    assert fetch(find_entry("local-trace")).total.requests == 4000
    assert find_entry("local-trace").file.read_bytes() == FILE


def test_a_whole_part_that_was_not_put_in_place(server: Server, listed: str) -> None:
    entry = find_entry(listed)
    entry.folder.mkdir(parents=True)
    (entry.folder / "trace.csv.part").write_bytes(FILE)
    (entry.folder / "trace.csv.part.version").write_text('"one"')
    assert fetch(entry).total.requests == 4000


def test_what_is_not_as_promised_is_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entry(server, tmp_path, monkeypatch)
    server.content = FILE.replace(b"ContextTokens", b"contextTokens")
    with pytest.raises(InputError, match="its checksum is"):
        fetch(find_entry("local-trace"))
    server.content = FILE[:-20]
    with pytest.raises(InputError, match="bytes came, the catalogue knows"):
        fetch(find_entry("local-trace"))
    assert not list(find_entry("local-trace").folder.glob("*.csv*"))
    # Without a checksum, a file that cannot be read is said to be that.
    add_entry(server, tmp_path, monkeypatch, bytes=None, sha256=None)
    server.content = b"<html>try again later</html>\n"
    with pytest.raises(InputError, match="fetch local-trace --again"):
        fetch(find_entry("local-trace"))


@pytest.mark.parametrize(
    ("status", "said"), [(404, "answers 404"), (403, "answers 403"), (500, "answers 500")]
)
def test_a_server_that_refuses(status: int, said: str, server: Server, listed: str) -> None:
    server.status = status
    with pytest.raises(InputError, match=said):
        fetch(find_entry(listed))
    assert not find_entry(listed).file.exists()


def test_a_slow_server_and_one_that_does_not_tell_the_length(server: Server, listed: str) -> None:
    server.pause_s, server.tells_length = 0.3, False
    assert fetch(find_entry(listed)).total.requests == 4000


def test_a_length_that_nobody_knows_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off, such a file could not be told from a whole one."""
    add_entry(server, tmp_path, monkeypatch, bytes=None, sha256=None)
    server.tells_length, server.cut_after = False, 20_000
    with pytest.raises(InputError, match="nobody could tell whether it is whole"):
        fetch(find_entry("local-trace"))


@pytest.mark.slow
def test_two_at_once_do_not_share_a_file(server: Server, listed: str) -> None:
    server.pause_s = 1.0
    first = threading.Thread(target=fetch, args=(find_entry(listed),))
    first.start()
    time.sleep(0.4)
    with pytest.raises(InputError, match="another process is fetching it"):
        fetch(find_entry(listed))
    first.join()
    assert find_entry(listed).file.read_bytes() == FILE


def test_a_damaged_workload_is_made_again(server: Server, listed: str, run_cli: RunCli) -> None:
    whole = fetch(find_entry(listed))
    find_entry(listed).workload_file.write_text("{")
    said = run_cli("trace", "summary", listed).stderr
    assert "to mend it, run: joulecast trace fetch local-trace" in said
    assert fetch(find_entry(listed)) == whole
    assert len(server.asked) == 1


def test_no_server_at_all(
    server: Server, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entry(server, tmp_path, monkeypatch, url="http://127.0.0.1:9/trace.csv")
    result = run_cli("trace", "fetch", "local-trace")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be fetched from http://127.0.0.1:9/trace.csv" in result.stderr
    assert "its stand-in azure-2023-conv needs no network" in result.stderr
    assert run_cli("trace", "fetch", "locl-trace").stderr.endswith('"local-trace"?\n')


def test_a_cache_that_cannot_be_written(
    server: Server, listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be used as a cache"):
        fetch(find_entry(listed))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "file:///etc/passwd"}, "no http address of a file"),
        ({"url": "http://host/"}, "no http address of a file"),
        ({"url": "http://host/a/.."}, "no http address of a file"),
        ({"url": "http://host/workload.json"}, "no http address of a file"),
        ({"name": "../up"}, "is no name"),
        ({"title": None}, "are texts"),
        ({"rows": "many"}, "are numbers or null"),
        ({"colour": "red"}, "is not a catalogue"),
    ],
)
def test_a_catalogue_of_ones_own_is_read_strictly(
    changes: dict, said: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entry(server, tmp_path, monkeypatch, **changes)
    with pytest.raises(InputError, match=said):
        catalog()


def test_the_catalogue_that_ships() -> None:
    entries = catalog()
    assert len(entries) == 17
    for entry in entries.values():
        assert entry.url.startswith("https://")
        assert entry.format in {recognised.name for recognised in FORMATS}
        assert entry.licence in ("CC-BY-4.0", "Apache-2.0")
        assert "20" in entry.citation


def test_a_published_workload_gives_the_same_estimate_anywhere(
    server: Server, listed: str, run_cli: RunCli, tmp_path: Path
) -> None:
    """Another user loads the file on another machine: the same to the last digit."""
    run_cli("trace", "fetch", listed)
    other = tmp_path / "handed-over.json"
    other.write_bytes(find_entry(listed).workload_file.read_bytes())
    words = "--table", "h100-sxm/llama-3.1-8b/vllm", "--format", "json"
    for method in ("binned", "stepwise"):
        own, theirs = (
            json.loads(run_cli("estimate", name, *words, "--method", method).stdout)
            for name in (listed, other)
        )
        assert own | {"trace": None} == theirs | {"trace": None}
    assert Workload.load(other) == load_workload(listed)


def test_through_the_hub_come_the_same_rows(
    server: Server, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`datasets` itself, on a folder in the place of a repository."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    repository = tmp_path / "repository"
    (repository / "data").mkdir(parents=True)
    (repository / "data/trace.csv").write_bytes(FILE)
    hub = {"repo": str(repository), "file": "data/trace.csv"}
    add_entry(server, tmp_path, monkeypatch, hub=hub)
    result = run_cli("trace", "fetch", "local-trace", "--from-hub")
    assert result.exit_code == 0, result.output
    assert load_workload("local-trace") == load_workload(repository / "data/trace.csv")
    assert server.asked == []
    add_entry(server, tmp_path, monkeypatch, hub=hub | {"file": "data/none.csv"})
    again = run_cli("trace", "fetch", "local-trace", "--from-hub", "--again")
    assert again.exit_code == 1
    assert load_workload("local-trace").total.requests == 4000  # what was there still is
    assert "on the hub (" in again.stderr
    add_entry(server, tmp_path, monkeypatch)
    refused = run_cli("trace", "fetch", "local-trace", "--from-hub", "--again")
    assert "is not on the Hugging Face hub; leave out --from-hub" in refused.stderr
