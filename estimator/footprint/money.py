"""Amounts of money as people write them: "$0.12", "0,18 EUR", "0.18 €/kWh"."""

import math
import re

from joulecast.traces.errors import InputError

SYMBOLS = {
    "$": "USD", "US$": "USD", "A$": "AUD", "C$": "CAD", "HK$": "HKD", "NZ$": "NZD", "R$": "BRL",
    "S$": "SGD", "€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₪": "ILS", "₺": "TRY", "₽": "RUB",
    "zł": "PLN", "Kč": "CZK", "฿": "THB",
}  # fmt: skip
"""Signs that mean one currency, or one before all others -> its code in ISO 4217."""

SHARED_SYMBOLS = {"¥": "JPY or CNY", "kr": "DKK, NOK or SEK"}
"""Signs of several currencies, none before the others -> which to name instead."""

_AMOUNT = re.compile(
    r"(?P<before>[^\d\s.,+-]+)?\s*(?P<number>[\d.,]+(?:[eE][+-]?\d+)?)\s*(?P<after>[^\d\s.,/]+)?"
    r"\s*(?:(?:/|per)\s*kWh)?",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"\d{1,3}(?:(?P<group>[.,])\d{3})(?:(?P=group)\d{3})*(?P<rest>[.,]\d+)?")


def read_price(text: str) -> tuple[float, str | None]:
    """A price of a kilowatt hour and its currency, if it names one.

    Args:
        text: Such as "0.18", "0,18 EUR", "EUR 0.18", "$0.12" or "0.18 €/kWh". Of a point and a
            comma, the last is the decimal sign: "1.234,56" is 1234.56. A comma before three digits
            alone, as in "1,234", could be either and is refused.

    Returns:
        The amount, and the code of ISO 4217 or None.

    Raises:
        InputError: It is no such price, could be two, or is in a currency that ISO 4217 lacks.
    """
    words = _AMOUNT.fullmatch(text.strip())
    if words is None or (words["before"] and words["after"]):
        raise _no_price(text)
    number = _number(words["number"], text)
    sign = words["before"] or words["after"]
    return number, None if sign is None else _currency_of(sign)


def currency_code(code: str) -> str:
    """A code of ISO 4217 in capitals.

    Raises:
        InputError: There is no such currency.
    """
    import pycountry

    if pycountry.currencies.get(alpha_3=code.upper()) is None:
        raise InputError(f'"{code}" is no currency of ISO 4217, such as EUR or USD')
    return code.upper()


def _currency_of(sign: str) -> str:
    """The currency of a code or a sign."""
    for shared, codes in SHARED_SYMBOLS.items():
        if sign.casefold() == shared.casefold():
            raise InputError(f'"{sign}" is the sign of several currencies; write {codes}')
    symbols = {symbol.casefold(): code for symbol, code in SYMBOLS.items()}
    return symbols.get(sign.casefold()) or currency_code(sign)


def _number(digits: str, text: str) -> float:
    """A number with a point or a comma as its decimal sign."""
    if "," in digits:
        digits = _with_point(digits, text)
    try:
        number = float(digits)
    except ValueError:
        raise _no_price(text) from None
    if not math.isfinite(number):
        raise _no_price(text)
    return number


def _with_point(digits: str, text: str) -> str:
    """Digits with commas as digits with a decimal point alone."""
    grouped = _GROUPED.fullmatch(digits)
    if grouped is None:
        is_decimal = digits.count(",") == 1 and "." not in digits
        if not is_decimal:
            raise _no_price(text)
        return digits.replace(",", ".")
    group, rest = grouped["group"], grouped["rest"] or ""
    if rest.startswith(group):
        raise _no_price(text)
    if rest or digits.count(group) > 1:
        whole = digits.removesuffix(rest).replace(group, "")
        return whole + rest.replace(",", ".")
    whole, _, thousandths = digits.partition(",")
    if int(whole) == 0:
        return f"{whole}.{thousandths}"
    raise InputError(
        f'price "{text}" could be {whole}{thousandths} or {whole}.{thousandths}; write the one '
        "that is meant, with a point"
    )


def _no_price(text: str) -> InputError:
    return InputError(
        f'price "{text}" is no price of a kilowatt hour, such as 0.18, "0.18 EUR" or "0,18 €"'
    )
