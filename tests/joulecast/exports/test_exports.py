"""Exports: valid where a schema is published, true to the JSON, and nothing made up."""

import csv
import json
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from codecarbon.output_methods.boamps.models import BoAmpsReport
from codecarbon.output_methods.emissions_data import EmissionsData
from codecarbon.output_methods.file import FileOutput
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from joulecast.cli.main import main
from joulecast.exports.codecarbon import COLUMNS
from tests.conftest import RunCli
from tests.joulecast.exports.schemas import BOAMPS, SCI

pytestmark = pytest.mark.slow

VLLM = "h100-sxm/llama-3.1-8b/vllm"
ESTIMATE = ("estimate", "azure-2023-code", "--table", VLLM)
FORMATS = {
    "boamps": "report.json", "codecarbon": "emissions.csv", "cyclonedx": "bom.json",
    "sci": "sci.yml",
}  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {
    "in a cloud": (
        "--serving", "offline", "--carbon", "us-east-1", "--pue", "1.2",
        "--server-overhead", "ecologits",
    ),
    "online": ("--serving", "online", "--replicas", "2", "--carbon", "FR"),
    "CO2 alone": ("--serving", "offline", "--carbon", "CN-BJ"),
    "a zone": ("--serving", "offline", "--carbon", "SE4"),
    "a number": ("--serving", "offline", "--carbon", "350"),
}  # fmt: skip


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory):
    """Kind of estimate -> its JSON, and format -> text."""

    @cache
    def of(kind: str) -> tuple[dict[str, Any], dict[str, str]]:
        folder = tmp_path_factory.mktemp("exports")
        words = [*ESTIMATE, *KINDS[kind], "--format", "json"]
        for name, file in FORMATS.items():
            words += ["--export", name, str(folder / file)]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        texts = {name: (folder / file).read_text() for name, file in FORMATS.items()}
        return json.loads(result.stdout), texts

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_cyclonedx_is_valid(kind: str, exported) -> None:
    """By the schemas that cyclonedx-python-lib ships: of 1.6, and of 1.7 under its number."""
    document, texts = exported(kind)
    text = texts["cyclonedx"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    newer = text.replace('"specVersion": "1.6"', '"specVersion": "1.7"')
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(newer) is None
    (model,) = json.loads(text)["components"]
    card = model["modelCard"]
    (use,) = card["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    widest_j = document.get("facility_energy_j", document["energy_j"])
    assert use["activityEnergyCost"]["value"] == pytest.approx(widest_j / 3.6e6)
    if kind == "CO2 alone":
        assert "co2CostEquivalent" not in use
    else:
        assert use["co2CostEquivalent"]["value"] == pytest.approx(document["carbon_g"] / 1e6)
    (metric,) = card["quantitativeAnalysis"]["performanceMetrics"]
    low_j, high_j = (float(end) for end in metric["confidenceInterval"].values())
    ends_j = [end_j / document["requests"]["estimated"] for end_j in document["interval_j"]]
    assert [low_j, high_j] == pytest.approx(ends_j, rel=1e-5)
    properties = {entry["name"]: entry["value"] for entry in use["properties"]}
    assert properties["joulecast:method"].startswith("Forecast")
    assert float(properties["joulecast:interval_low_kwh"]) < use["activityEnergyCost"]["value"]


@pytest.mark.parametrize("kind", KINDS)
def test_codecarbon_takes_the_file_as_its_own(kind: str, exported, tmp_path: Path) -> None:
    """By the class that CodeCarbon writes it from, and its own check of a file's head."""
    document, texts = exported(kind)
    assert list(COLUMNS) == [field.name for field in fields(EmissionsData)]
    (tmp_path / "emissions.csv").write_text(texts["codecarbon"])
    (row,) = csv.DictReader(texts["codecarbon"].splitlines())
    data = EmissionsData(**row)
    assert FileOutput("emissions.csv", str(tmp_path)).has_valid_headers(data)
    assert row["tracking_mode"] == "forecast"
    assert float(row["emissions"]) == pytest.approx(document["carbon_g"] / 1000)
    rate = float(row["emissions_rate"]) * float(row["duration"])
    assert rate == pytest.approx(float(row["emissions"]))
    pue = document.get("pue", 1)
    assert float(row["gpu_energy"]) == pytest.approx(pue * document["energy_kwh"])
    for unknown in ("cpu_energy", "ram_energy", "water_consumed", "longitude", "os", "wue"):
        assert row[unknown] == ""


def test_places_are_told_as_codecarbon_does(exported) -> None:
    places = {}
    for kind in KINDS:
        (row,) = csv.DictReader(exported(kind)[1]["codecarbon"].splitlines())
        places[kind] = (row["country_iso_code"], row["region"], row["cloud_region"])
    assert places == {
        "in a cloud": ("USA", "virginia", "us-east-1"),
        "online": ("FRA", "", ""),
        "CO2 alone": ("CHN", "beijing", ""),
        "a zone": ("SWE", "sweden bidding zone 4 (southern sweden)", ""),
        "a number": ("", "", ""),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_boamps_has_what_its_data_model_asks_for(kind: str, exported) -> None:
    """By CodeCarbon's models of it, which know every field, and by what is written in schemas."""
    document, texts = exported(kind)
    report = json.loads(texts["boamps"])
    jsonschema.validate(report, BOAMPS)
    assert BoAmpsReport.from_dict(report).to_dict() == report
    (measure,) = report["measures"]
    it_j = document.get("it_energy_j", document["energy_j"])
    assert measure["powerConsumption"] == pytest.approx(it_j / 3.6e6)
    assert "forecast" in measure["measurementMethod"]
    assert "95 % interval" in report["task"]["taskDescription"]
    gpus = 2 if kind == "online" else 1
    assert report["infrastructure"]["components"][0]["nbComponent"] == gpus
    assert ("quality" in report) == (kind != "in a cloud")
    assert ("environment" in report) == (kind != "a number")


@pytest.mark.parametrize("kind", KINDS)
def test_sci_is_energy_times_intensity_over_requests(kind: str, exported) -> None:
    document, texts = exported(kind)
    manifest = json.loads(texts["sci"])
    jsonschema.validate(manifest, SCI)
    (output,) = manifest["tree"]["children"]["serving"]["outputs"]
    assert output["sci"] == pytest.approx(
        output["energy"] * output["grid/carbon-intensity"] / output["requests"]
    )
    requests = document["requests"]["estimated"]
    assert output["sci"] == pytest.approx(document["carbon_g"] / requests)
    assert "embodied emissions of the hardware are not known" in manifest["description"]
    assert "Forecast by joulecast" in manifest["description"]
    low_g, high_g = (end_g / requests for end_g in document["carbon_interval_g"])
    assert f"{low_g:.6g} to {high_g:.6g} g per request" in manifest["description"]


def test_a_scaled_forecast_names_no_version_of_the_engine(tmp_path: Path, run_cli: RunCli) -> None:
    file = tmp_path / "report.json"
    words = ("estimate", "azure-2023-code", "--model", "qwen2.5-7b", "--gpu", "l40s")
    result = run_cli(*words, "--serving", "offline", "--export", "boamps", str(file))
    assert result.exit_code == 0, result.output
    (algorithm,) = json.loads(file.read_text())["task"]["algorithms"]
    assert algorithm["foundationModelName"] == "qwen2.5-7b"
    assert "frameworkVersion" not in algorithm


def test_without_an_interval_none_is_written(tmp_path: Path, run_cli: RunCli) -> None:
    files = {name: tmp_path / FORMATS[name] for name in ("boamps", "codecarbon", "cyclonedx")}
    words = [word for name, file in files.items() for word in ("--export", name, str(file))]
    result = run_cli(*ESTIMATE, "--method", "binned", *words)
    assert result.exit_code == 0, result.output
    report = json.loads(files["boamps"].read_text())
    jsonschema.validate(report, BOAMPS)
    assert "quality" not in report
    assert "No interval" in report["task"]["taskDescription"]
    text = files["cyclonedx"].read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert "confidenceInterval" not in text
    assert "interval_low_kwh" not in text
    (row,) = csv.DictReader(files["codecarbon"].read_text().splitlines())
    assert (row["duration"], row["emissions"], row["gpu_power"]) == ("", "", "")
