"""What can be wrong with the rows of a trace."""

MAX_TOKENS = 2**31 - 1
"""Longest believable length [tokens]; its square fits 64 bits."""

MALFORMED = "malformed row"
"""A CSV row that has too many or too few fields."""

PROBLEMS = {
    1: "missing",
    2: "not a number",
    3: "negative",
    4: "fractional",
    5: "2^31 or more",
    6: MALFORMED,
}
"""What can be wrong with a length, by the codes of `traces.reading.lengths.with_problems`."""
