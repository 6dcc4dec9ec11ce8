"""No result replaces what it is made from, and nothing secret in an address is shown."""

import base64
import io
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.measurements.table.table import table_folder
from joulecast.traces.files import shown_address, without_secrets_of
from tests.conftest import RunCli

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
JOULECAST = [sys.executable, "-m", "joulecast"]


@pytest.mark.parametrize(
    ("name", "option"),
    [("table.json", "--output"), ("runs.csv", "--output"), ("my-picture.png", "--plot")],
)
def test_no_command_writes_over_a_table(
    name: str, option: str, run_cli: RunCli, tmp_path: Path
) -> None:
    table = Path(shutil.copytree(table_folder(VLLM), tmp_path / "table"))
    (table / "my-picture.png").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in table.iterdir()}
    commands = [
        ("table", "show", table),
        ("table", "show", VLLM, "--over", table),
        ("table4", "--table", table, "--table", PYTORCH),
        *([("table", "check", table)] if option == "--output" else []),
    ]
    for words in commands:
        result = run_cli(*words, option, table / name)
        assert result.exit_code == 1, result.output
        assert "is a file of a table that was given" in result.stderr
    assert {path.name: path.read_bytes() for path in table.iterdir()} == before


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_nor_over_a_shipped_one_that_is_named(option: str, run_cli: RunCli) -> None:
    file = table_folder(VLLM) / "runs.csv"
    before = file.read_bytes()
    result = run_cli("estimate", "azure-2023-code", "--table", VLLM, option, file)
    assert result.exit_code == 1
    assert "is a file of a table that was given" in result.stderr
    assert file.read_bytes() == before


def test_nor_over_the_file_that_standard_input_is(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("input_tokens,output_tokens\n100,20\n")
    command = [*JOULECAST, "estimate", "-", "--table", VLLM, "-o", str(trace)]
    with trace.open() as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is what standard input is" in done.stderr
    assert trace.read_text().endswith("100,20\n")


@pytest.mark.slow
def test_a_pipe_is_written_through() -> None:
    command = [*JOULECAST, "estimate", "azure-2023-code", "--table", VLLM, "--format", "json"]
    done = subprocess.run(
        [*command, "-o", "/dev/stdout"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["trace"] == "azure-2023-code"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://bob:pw@h/a.csv?sig=1#x", "http://h/a.csv"),
        ("http://bob:p?w@h/a.csv", "http://h/a.csv"),
        ("http://bob:p/w@h/a.csv", "http://h/a.csv"),
        ("http:/bob:pw@h/a.csv", "http:/h/a.csv"),
        ("https//bob:pw@h/a.csv", "https//h/a.csv"),
        ("http://127.0.0.1:80/@v1/a.csv", "http://127.0.0.1:80/@v1/a.csv"),
        ("s3://KEY:SE/CRET@bucket/*.csv?region=x", "s3://bucket/*.csv"),
        ("logs//me@home.csv", "logs//me@home.csv"),
        ("what?.csv", "what?.csv"),
        ("azure-2023-code", "azure-2023-code"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert shown_address(address) == shown


def test_what_others_say_of_an_address_is_shown_without_them() -> None:
    address = "s3://KEY:SE/CRET@bucket/a.csv?access_key=ABCD&secret_key=WXYZ"
    said = without_secrets_of(address, "no port 'SE/CRET' at KEY: ABCD, WXYZ, CRET")
    assert not any(secret in said for secret in ("KEY", "SE/CRET", "CRET", "ABCD", "WXYZ"))
    assert said.startswith("no port")


@pytest.mark.parametrize(
    "words",
    [
        ("trace", "summary", "http://bob:S3CRET@127.0.0.1:9/t.csv?sig=S3CRET"),
        ("trace", "summary", "s3://KEY:S3CRET@bucket/t.csv?secret_key=S3CRET"),
        ("trace", "summary", "http:/bob:S3CRET@h/t.csv?sig=S3CRET"),
        ("trace", "bin", "--connect", "duckdb://bob:S3CRET@h/x.db?sig=S3CRET", "--table-name", "r"),
        ("estimate", "azure-2023-code", "--table", VLLM, "--html", "http://b:S3CRET@h/p?S3CRET"),
    ],
)
def test_errors_hold_no_secret(words: tuple[str, ...], run_cli: RunCli) -> None:
    result = run_cli(*words)
    assert result.exit_code != 0
    assert "S3CRET" not in result.output


def test_a_summary_names_an_address_without_its_secrets(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = io.BytesIO(b"input_tokens,output_tokens\n100,20\n")
    answer.headers = {}  # type: ignore[attr-defined]
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: answer)
    result = run_cli("trace", "summary", "http://bob:S3CRET@h/t.csv?sig=S3CRET")
    assert result.exit_code == 0, result.output
    assert "http://h/t.csv" in result.stdout
    assert "S3CRET" not in result.output


def test_a_workload_is_summarised_as_its_file_is() -> None:
    workload = jc.load_workload("azure-2023-code")
    assert jc.summarise(workload) == jc.summarise("azure-2023-code")
    assert "<table>" in jc.summarise(workload)._repr_html_()


class _Guarded(BaseHTTPRequestHandler):
    """Serves a trace to whoever knows the password."""

    def do_GET(self) -> None:
        login = "Basic " + base64.b64encode(b"bob:S3CR?T").decode()
        is_bob = self.headers.get("Authorization") == login
        content = b"input_tokens,output_tokens\n100,20\n" if is_bob else b""
        self.send_response(200 if is_bob else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.slow
def test_secrets_in_an_address_are_used_and_never_shown(run_cli: RunCli, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, page = f"127.0.0.1:{server.server_port}", tmp_path / "p.html"
    try:
        for login, status in (("bob:S3CR?T@", 0), ("bob:S3CR?T2@", 1)):
            address = f"http://{login}{host}/@v1/t.csv?sig=S3CRET#S3CRET"
            words = ("estimate", address, "--table", VLLM, "--format", "json", "--html", page)
            result = run_cli(*words)
            assert result.exit_code == status, result.output
            assert f"http://{host}/@v1/t.csv" in result.output
            assert "S3CR" not in result.output
        assert f"http://{host}/@v1/t.csv" in page.read_text("utf-8")
        assert "S3CR" not in page.read_text("utf-8")
    finally:
        server.shutdown()
        server.server_close()
    for address in ("ftp://bob:S3CRET@h/t.csv", "http:/bob:S3CRET@h/t.csv"):
        assert "S3CR" not in run_cli("estimate", address, "--table", VLLM).output
    table = "https://bob:S3CRET@h/t"
    assert "S3CR" not in run_cli("estimate", "azure-2023-code", "--table", table).output


@pytest.mark.parametrize("output", ["--html", "--output"])
def test_files_that_cannot_be_written_are_refused_before_any_reading(
    output: str, run_cli: RunCli, tmp_path: Path
) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("input_tokens,output_tokens\n1,x\n")
    words = ("estimate", trace, "--table", VLLM)
    result = run_cli(*words, output, tmp_path / "none" / "p.html")
    assert result.exit_code == 1
    assert "its folder does not exist" in result.stderr
    result = run_cli(*words, output, trace)
    assert result.exit_code == 1
    assert "is a trace that was given" in result.stderr
    assert trace.read_text().endswith("1,x\n")


@pytest.mark.parametrize("output", ["--html", "--output"])
def test_a_measured_table_is_never_written_over(
    output: str, run_cli: RunCli, table_folder: Path
) -> None:
    before = {path.name: path.read_bytes() for path in table_folder.iterdir()}
    for words in (
        ("estimate", "azure-2023-code", "--table", table_folder),
        ("estimate", "azure-2023-code", "--table", VLLM, "--method", "stepwise",
         "--host", table_folder),
        ("compare", "azure-2023-code", "--table", VLLM, "--table", table_folder),
    ):  # fmt: skip
        result = run_cli(*words, output, table_folder / "runs.csv")
        assert result.exit_code == 1, result.output
        assert "is a file of a table that was given" in result.stderr
    assert {path.name: path.read_bytes() for path in table_folder.iterdir()} == before


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_a_page_is_a_file_of_its_own(name: str, run_cli: RunCli) -> None:
    result = run_cli("estimate", "azure-2023-code", "--table", VLLM, "--html", name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "a file of its own" in result.stderr


def test_page_and_output_are_two_files(run_cli: RunCli, tmp_path: Path) -> None:
    same = tmp_path / "p"
    result = run_cli("estimate", "azure-2023-code", "--table", VLLM, "--html", same, "-o", same)
    assert result.exit_code == 2
    assert not same.exists()
