"""Exports say how requests were served and what was asked "what if", in the texts they have."""

import csv
import json
from collections.abc import Mapping
from functools import cache

import jsonschema
import pytest
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from joulecast.cli.main import main
from tests.joulecast.exports.schemas import BOAMPS, SCI

pytestmark = pytest.mark.slow

FILES = {
    "boamps": "report.json", "codecarbon": "emissions.csv", "cyclonedx": "bom.json",
    "sci": "sci.yml",
}  # fmt: skip
PROPERTIES = "serving", "variant", "what_if", "requests_of_trace"
WHAT_IFS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "as they came": (
        (),
        (
            "served online, requests as in the trace: over ", "; 1 replica, ",
            "idle power in between is included", "all 360 requests",
        ),
    ),
    "all at once": (
        ("--serving", "offline"),
        ("served offline, all requests at once", "no idle power in between"),
    ),
    "share": (
        ("--share", "0.5"),
        ("what if: a share of 0.5 of the requests", "of 360 requests (left out: ", "by the share"),
    ),
    "rate": (
        ("--rate", "1/s", "--replicas", "2"),
        ("served online, requests at random, 1 a second: ", "2 replicas (round-robin)"),
    ),
    "speed": (("--speed", "10"), ("as in the trace, 10 times as fast: ",)),
    "filter": (
        ("--where", "model ~ Llama and user = 'the 7th'"),
        ('what if: only requests of the trace with model ~ Llama and user = "the 7th"',),
    ),
    "limits": (
        ("--max-num-seqs", "4", "--serving", "offline"),
        ("what if: requests that run at once: at most 4",),
    ),
    "variant": (
        ("--serving", "offline", "--eager", "--decoding", "sampling"),
        ("eager, nothing compiled, decoding sampling",),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory):
    """Name of a what-if -> format -> text."""

    @cache
    def of(name: str) -> Mapping[str, str]:
        folder = tmp_path_factory.mktemp("what-if")
        called, users = ("Llama-3.1-8B", "other"), ("the 7th", "eve")
        rows = [
            f"{3 * k},{40 + 31 * k % 900},{1 + k % 90},{called[k % 2]},{users[k // 2 % 2]}"
            for k in range(360)
        ]
        head = "timestamp,input_tokens,output_tokens,model,user\n"
        (folder / "log.csv").write_text(head + "\n".join(rows) + "\n")
        table = ("--model", "llama-3.1-8b", "--gpu", "h100-sxm")
        words = ["estimate", str(folder / "log.csv"), *table, "--carbon", "FR"]
        for form, file in FILES.items():
            words += ["--export", form, str(folder / file)]
        result = CliRunner().invoke(main, [*words, *WHAT_IFS[name][0]])
        assert result.exit_code == 0, result.output
        return {form: (folder / file).read_text() for form, file in FILES.items()}

    return of


def free_text(form: str, text: str) -> str:
    """What a format has room for in words; the file is valid."""
    if form == "codecarbon":
        (row,) = csv.DictReader(text.splitlines())
        return row["project_name"]
    document = json.loads(text)
    if form == "boamps":
        jsonschema.validate(document, BOAMPS)
        return document["task"]["taskDescription"]
    if form == "sci":
        jsonschema.validate(document, SCI)
        return document["description"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    (model,) = document["components"]
    considerations = model["modelCard"]["considerations"]["environmentalConsiderations"]
    (use,) = considerations["energyConsumptions"]
    told = {entry["name"]: entry["value"] for entry in use["properties"]}
    return "; ".join(told.get(f"joulecast:{key}", "") for key in PROPERTIES)


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("name", WHAT_IFS)
def test_each_file_says_so(name: str, form: str, exported) -> None:
    said = free_text(form, exported(name)[form])
    for words in WHAT_IFS[name][1]:
        assert words in said
    has_what_if = name in ("share", "filter", "limits")
    assert ("what if: " in said) == has_what_if
