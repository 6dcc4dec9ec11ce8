"""One expectation held against a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One expectation held against a table.

    Attributes:
        name: What is expected.
        passed: Whether it holds.
        found: What was found.
        reason: Why it matters.
    """

    name: str
    passed: bool
    found: str
    reason: str
