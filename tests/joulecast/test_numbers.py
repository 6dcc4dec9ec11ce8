"""How numbers are written."""

import pytest

from joulecast.views.numbers import compact, grams, joules, kwh, money, percent, three_digits


@pytest.mark.parametrize(
    ("energy_j", "text"),
    [
        (0, "0 J"),
        (0.0123456, "12.35 mJ"),
        (0.99999, "1.000 J"),
        (638_512.3, "638.5 kJ"),
        (999_960, "1.000 MJ"),
        (1e15, "1,000 TJ"),
        (-5.5326, "-5.533 J"),
    ],
)
def test_energies_have_four_digits_and_a_prefix(energy_j: float, text: str) -> None:
    assert joules(energy_j) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"), (1, "100.0 %"), (0.12345, "12.3 %"), (0.0004, "< 0.1 %"),
        (-0.00001, "> -0.1 %"), (-0.5, "-50.0 %"),
    ],
)  # fmt: skip
def test_a_trace_of_something_is_not_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_other_units() -> None:
    assert kwh(0.177361) == "0.1774 kWh"
    assert [grams(mass_g) for mass_g in (0, 11.932, 1234, 5.6e6)] == [
        "0 gCO2e", "11.93 gCO2e", "1.234 kg CO2e", "5.600 t CO2e"
    ]  # fmt: skip
    assert money(0.0383123, "EUR") == "0.03831 EUR"
    assert money(1234.567, None) == "1,234.57"


def test_numbers_in_narrow_cells() -> None:
    assert [three_digits(number) for number in (7, 0.70512, 12.34, 512, 1234.5)] == [
        "7", "0.705", "12.3", "512", "1,234"
    ]  # fmt: skip
    assert [compact(number) for number in (0, 7, 7.25, 999.9, 1234, 2.5e7, 0.012)] == [
        "0", "7", "7.2", "1.0k", "1.2k", "25M", "0.01"
    ]  # fmt: skip
