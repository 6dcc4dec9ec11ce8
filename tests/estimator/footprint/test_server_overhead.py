"""GPU, IT and facility energy told apart, and clouds' regions."""

import csv
import json
import re
from importlib.metadata import files
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.estimator.footprint.cloud_regions import cloud_regions
from joulecast.estimator.footprint.server import ServerOverhead, server_overhead_names
from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"
ESTIMATE = ("estimate", "azure-2023-conv", "--table", VLLM)


@pytest.mark.parametrize(
    ("text", "overhead"),
    [
        ("150 W", ServerOverhead(watts_per_gpu=150)),
        ("150W/GPU", ServerOverhead(watts_per_gpu=150)),
        ("150 watts per GPU", ServerOverhead(watts_per_gpu=150)),
        ("1200 W/server", ServerOverhead(watts_per_server=1200)),
        ("30 %", ServerOverhead(share=0.3)),
        ("30%, rack meter of 2026", ServerOverhead(share=0.3, source="rack meter of 2026")),
    ],
)
def test_overheads(text: str, overhead: ServerOverhead) -> None:
    assert ServerOverhead.of(text) == overhead


@pytest.mark.parametrize("text", ["", "30", "30 kW", "-5 W", "30 %/GPU", "1200 W/rack", "nan %"])
def test_no_overhead(text: str, run_cli: RunCli) -> None:
    result = run_cli(*ESTIMATE, "--server-overhead", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "give watts" in result.stderr


@pytest.mark.parametrize("text", ["1001 %", "100001 W"])
def test_an_overhead_that_no_server_has(text: str) -> None:
    with pytest.raises(jc.InputError, match="it is from 0 to"):
        ServerOverhead.of(text)


def test_published_overheads_name_their_source() -> None:
    assert set(server_overhead_names()) == {"ecologits", "google-2025"}
    for name in server_overhead_names():
        assert ServerOverhead.of(name).name == name
        assert ServerOverhead.of(name).source != "given"


def test_three_energies(run_cli: RunCli) -> None:
    """A share of the GPU energy, then the PUE on both, then carbon and cost of all."""
    costs = ("--server-overhead", "30 %, rack meter", "--pue", "1.2", "--carbon", "100")
    words = (*ESTIMATE, "--method", "binned", *costs)
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    energy_j = document["energy_j"]
    assert document["it_energy_j"] == pytest.approx(1.3 * energy_j)
    assert document["facility_energy_j"] == pytest.approx(1.2 * 1.3 * energy_j)
    assert document["carbon_g"] == pytest.approx(100 * 1.2 * 1.3 * energy_j / 3.6e6)
    assert document["boundary"] == "facility"
    assert document["server_overhead"]["source"] == "rack meter"
    text = run_cli(*words).stdout
    for words_shown in ("GPU energy", "IT energy", "facility energy", "PUE 1.2 on the IT energy"):
        assert words_shown in text


def test_without_an_overhead_that_is_said(run_cli: RunCli) -> None:
    words = (*ESTIMATE, "--method", "binned")
    document = json.loads(run_cli(*words, "--pue", "1.2", "--format", "json").stdout)
    assert document["server_overhead"] is None
    assert "it_energy_j" not in document
    text = " ".join(run_cli(*words, "--pue", "1.2").stdout.split())
    assert "PUE 1.2 on the GPU energy alone" in text
    assert "No server overhead is taken" in text
    text = " ".join(run_cli(*words, "--carbon", "FR").stdout.split())
    assert "Carbon and cost are of the GPU energy alone" in text


@pytest.mark.slow
def test_watts_are_drawn_all_the_time_by_every_gpu() -> None:
    log = [(500, 50)] * 40
    for servers, figure in (("150 W/GPU", 300.0), ("1200 W/server", 1200.0)):
        estimate = jc.estimate(
            log, model="llama-3.1-8b", gpus=2, server_overhead=servers, serving="offline"
        )
        assert estimate.seconds is not None
        document = estimate.to_dict()
        rest_j = document["it_energy_j"] - document["energy_j"]
        assert rest_j == pytest.approx(figure * estimate.seconds)


@pytest.mark.slow
def test_watts_of_replicas_last_as_long_as_they_serve() -> None:
    estimate = jc.estimate(
        "azure-2023-code", VLLM, server_overhead="150 W", serving="online", replicas=2
    )
    assert estimate.serving is not None
    document = estimate.to_dict()
    rest_j = document["it_energy_j"] - document["energy_j"]
    assert rest_j == pytest.approx(150 * 2 * estimate.serving.span_s)


def test_watts_need_a_time(run_cli: RunCli) -> None:
    words = (*ESTIMATE, "--method", "binned", "--server-overhead", "150 W")
    result = run_cli(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "give a share" in result.stderr


def test_clouds_regions_have_an_intensity() -> None:
    for name, cloud in cloud_regions().items():
        intensity = jc.find_region(name)
        assert intensity.cloud == cloud
        assert intensity.region == cloud.carbon_region
        assert cloud.source


def test_googles_regions_lie_where_codecarbon_has_them() -> None:
    """The countries of CodeCarbon 3.3.2; Hong Kong is a region of its own, and one name a slip."""
    (path,) = (file for file in files("codecarbon") or () if file.name == "impact.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) >= 40
    for row in rows:
        name = row["region"].replace("cenrtal", "central")
        code = cloud_regions()[name].carbon_region
        of_country = {"US": "USA", "SE": "SWE", "HKG": "CHN"}
        country = of_country.get(code[:2] if "-" in code else code, code)
        assert country == row["countryIsoCode"], name


def test_the_scope_and_the_year_are_in_every_output(run_cli: RunCli) -> None:
    words = (*ESTIMATE, "--method", "binned", "--carbon", "SE4")
    text = " ".join(run_cli(*words).stdout.split())
    assert "24.7 gCO2e/kWh or more, Sweden Bidding Zone 4 (Southern Sweden) 2025" in text
    assert "life-cycle, CO2e" in text
    assert "14.95 % of the generation there is of unknown kind and counts as 0" in text
    intensity = json.loads(run_cli(*words, "--format", "json").stdout)["carbon_intensity"]
    assert (intensity["scope"], intensity["unknown_share"]) == ("life-cycle", 0.1495)
    text = run_cli(*ESTIMATE, "--method", "binned", "--carbon", "CN-BJ").stdout
    assert "gCO2/kWh, Beijing, China 2023, combustion" in " ".join(text.split())


def test_a_clouds_region_is_said_with_what_it_is_taken_as(run_cli: RunCli) -> None:
    words = (*ESTIMATE, "--method", "binned", "--carbon", "us-east-1")
    text = " ".join(run_cli(*words).stdout.split())
    assert "AWS us-east-1, US East (N. Virginia)" in text
    assert "taken as Virginia, United States (US-VA)" in text
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert document["carbon_intensity"]["cloud"]["provider"] == "aws"
    assert "us-east-1" in run_cli("regions", "us-east-1").stdout


def test_a_page_tells_the_three_apart(run_cli: RunCli, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    costs = ("--server-overhead", "30 %", "--pue", "1.2", "--carbon", "CN-BJ")
    result = run_cli(*ESTIMATE, "--method", "binned", *costs, "--html", str(page))
    assert result.exit_code == 0, result.output
    text = page.read_text()
    for key in ("energy_kwh", "it_energy_kwh", "facility_energy_kwh"):
        assert f'data-key="{key}"' in text
    assert "PUE" in text
    assert "on the IT energy" in text
    assert re.search(r'data-key="carbon_g">[\d.,]+ gCO2<', text)
    assert "Beijing, China 2023, combustion" in text
