"""Footprint and bill of an estimate, and the regions whose carbon intensity is known."""

import json
import re
from collections.abc import Callable
from importlib.metadata import version

import pytest

import joulecast as jc
from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"
ESTIMATE = ("estimate", "azure-2023-conv", "--table", VLLM, "--method", "binned")


@pytest.mark.parametrize(
    ("name", "code", "g_per_kwh"),
    [
        ("FR", "FRA", 56.039),
        ("fra", "FRA", 56.039),
        ("France", "FRA", 56.039),
        (" united states ", "USA", 369.473),
        ("US-CA", "US-CA", 394.769 * 453.59237 / 1000),
        ("California, United States", "US-CA", 394.769 * 453.59237 / 1000),
        ("california", "US-CA", 394.769 * 453.59237 / 1000),
        ("Beijing", "CN-BJ", 555.4),
        ("UK", "GBR", None),
        ("Georgia", "GEO", None),
        ("New York", "US-NY", None),
        ("Türkiye", "TUR", None),
        ("Côte d'Ivoire", "CIV", None),
        ("se3", "SE3", 27.0),
        ("CN-BJ", "CN-BJ", 555.4),
        ("FI", "FIN", None),
        ("us-east-1", "US-VA", 539.599 * 453.59237 / 1000),
        ("US-EAST-1", "US-VA", None),
        ("us-east1", "US-SC", None),
        ("East US", "US-VA", None),
        ("westeurope", "NLD", None),
        ("europe-west9", "FRA", 56.039),
        ("eu-north-1", "SE3", 27.0),
    ],
)
def test_regions(name: str, code: str, g_per_kwh: float | None) -> None:
    """Against CodeCarbon 3.3.2's files, read by hand."""
    region = jc.find_region(name)
    assert region.region == code
    if version("codecarbon") == "3.3.2" and g_per_kwh is not None:
        assert region.g_per_kwh == pytest.approx(g_per_kwh)


def test_every_region_is_dated_and_plausible() -> None:
    regions = jc.regions()
    assert len(regions) > 250
    for code, intensity in regions.items():
        assert intensity.region == code
        assert 0 < intensity.g_per_kwh < 1500
        assert intensity.name
        assert intensity.year is not None
        assert 2000 <= intensity.year <= 2026
        assert intensity.source.startswith("CodeCarbon ")
        assert intensity.scope is not None


def test_what_each_kind_of_region_counts() -> None:
    """As CodeCarbon's files say of themselves."""
    kinds = {
        name: (region.scope, region.gas, region.unknown_share)
        for name, region in jc.regions().items()
    }
    assert kinds["FRA"] == ("life-cycle", "CO2e", 0)
    assert kinds["US-CA"] == ("output rate", "CO2e", 0)
    assert kinds["CN-BJ"] == ("combustion", "CO2", 0)
    assert kinds["SE4"] == ("life-cycle", "CO2e", 0.1495)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("Frnce", 'did you mean "France"?'),
        ("England", "joulecast regions lists them"),
        ("Europe", "joulecast regions lists them"),
        ("0,35", "joulecast regions lists them"),
        ("US-XX", "unknown region"),
        ("CAF", "has no carbon intensity of Central African Republic"),
        ("", "unknown region"),
        ("-5", "a number from 0 to"),
        ("nan", "a number from 0 to"),
        ("inf", "a number from 0 to"),
    ],
)
def test_no_such_region(name: str, fragment: str, run_cli: RunCli) -> None:
    result = run_cli(*ESTIMATE, "--carbon", name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert fragment in result.stderr


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.18", jc.Price(0.18)),
        (0.18, jc.Price(0.18)),
        ("0.18 EUR", jc.Price(0.18, "EUR")),
        ("0.18eur", jc.Price(0.18, "EUR")),
        ("USD 1e-1", jc.Price(0.1, "USD")),
        (1e-5, jc.Price(1e-5)),
        ("0,18", jc.Price(0.18)),
        ("0,18 EUR", jc.Price(0.18, "EUR")),
        ("$0.12", jc.Price(0.12, "USD")),
        ("$ 0.12", jc.Price(0.12, "USD")),
        ("0.18 €/kWh", jc.Price(0.18, "EUR")),
        ("0.18 EUR per kWh", jc.Price(0.18, "EUR")),
        ("0,18€", jc.Price(0.18, "EUR")),
        ("£0.25/kWh", jc.Price(0.25, "GBP")),
        ("1.234,56 HUF", jc.Price(1234.56, "HUF")),
        ("1,234.56 HUF", jc.Price(1234.56, "HUF")),
        ("0,180", jc.Price(0.18)),
        ("12,5", jc.Price(12.5)),
        (jc.Price(2.0, "JPY"), jc.Price(2.0, "JPY")),
    ],
)
def test_prices(text: float | str | jc.Price, price: jc.Price) -> None:
    assert jc.Price.of(text) == price


@pytest.mark.parametrize(
    "text",
    [
        "", "EUR", "0.18 XYZ", "EUR 0.18 EUR", "-1", "-1 EUR", "nan", "1 2", "1,234", "12,345 EUR",
        "1.2.3", "1,23,456", "1,234,56", "1.234.567,8,9", "¥20", "0.5 kr", "$0.12 EUR", ".", ",",
        "1,234.5.6", "0.18 EUR/MWh",
    ],
)  # fmt: skip
def test_no_price(text: str, run_cli: RunCli) -> None:
    with pytest.raises(jc.InputError):
        jc.Price.of(text)
    result = run_cli(*ESTIMATE, "--price", text)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_comma_that_could_be_either_is_asked_about() -> None:
    with pytest.raises(jc.InputError, match=r"could be 1234 or 1\.234"):
        jc.Price.of("1,234 EUR")


@pytest.mark.parametrize("pue", [0.9, float("nan"), float("inf")])
def test_no_pue(pue: float) -> None:
    with pytest.raises(jc.InputError, match="PUE"):
        jc.Facility.of(pue=pue)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jc.Price(-1.0),
        lambda: jc.Price(0.1, "FOO"),
        lambda: jc.Price(0.1, "eur"),
        lambda: jc.Facility(0.5),
        lambda: jc.Facility(1e300),
        lambda: jc.CarbonIntensity(-1.0),
        lambda: jc.CarbonIntensity(float("nan")),
    ],
)
def test_what_no_facility_has_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(jc.InputError):
        make()


def test_intervals_are_carried_along(run_cli: RunCli) -> None:
    costs = ("--pue", "1.5", "--carbon", "US-CA", "--price", "0.25 USD")
    words = ("estimate", "azure-2023-code", "--table", VLLM, "--format", "json", *costs)
    document = json.loads(run_cli(*words).stdout)
    g_per_kwh = jc.find_region("US-CA").g_per_kwh
    for ends, per_kwh in (("carbon_interval_g", g_per_kwh), ("cost_interval", 0.25)):
        expected = [per_kwh * 1.5 * kwh for kwh in document["interval_kwh"]]
        assert document[ends] == pytest.approx(expected)
    assert document["facility_interval_j"] == pytest.approx(
        [1.5 * end for end in document["interval_j"]]
    )
    assert document["facility_energy_kwh"] == pytest.approx(1.5 * document["energy_kwh"])
    assert document["carbon_intensity"]["region"] == "US-CA"
    assert document["carbon_intensity"]["year"] == 2023
    assert (document["pue"], document["currency"], document["price_per_kwh"]) == (1.5, "USD", 0.25)


def test_what_was_not_asked_for_is_not_there(run_cli: RunCli) -> None:
    document = json.loads(run_cli(*ESTIMATE, "--format", "json", "--carbon", "0").stdout)
    assert document["carbon_g"] == 0
    assert document["carbon_intensity"]["source"] == "given"
    assert not {"pue", "cost", "facility_energy_j", "currency"} & set(document)


def test_the_terminal_says_whose_intensity_and_of_when(run_cli: RunCli) -> None:
    text = run_cli(*ESTIMATE, "--carbon", "SE3", "--price", "0.1 SEK").stdout
    assert re.search(r"carbon +7\.030 gCO2e \(at 27 gCO2e/kWh or more, Sweden Bidding Zone 3", text)
    assert f"CodeCarbon {version('codecarbon')}, nordic_emissions.json" in text
    assert "SEK per kWh" in text


def test_regions_are_listed(run_cli: RunCli) -> None:
    text = run_cli("regions", "california").stdout
    assert "US-CA" in text
    rows = json.loads(run_cli("regions", "--format", "json").stdout)["regions"]
    codes = [row["region"] for row in rows if row["cloud"] is None]
    assert codes == list(jc.regions())
    assert {row["cloud"]["provider"] for row in rows if row["cloud"]} == {"aws", "azure", "gcp"}
    result = run_cli("regions", "atlantis")
    assert result.exit_code == 1
    assert "no region" in result.stderr
