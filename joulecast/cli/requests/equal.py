"""Requests that are all alike, in place of TRACE: `--requests 1000 --input 1000 --output 200`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from joulecast.cli.options import FORMAT_OPTIONS, Option, output_option
from joulecast.traces.inputs.equal import equal_requests
from joulecast.traces.inputs.inputs import TraceInput

EQUAL_OPTIONS: list[Option] = [
    click.option(
        "--requests",
        "equal_requests",
        type=click.IntRange(1, 2**31 - 1),
        metavar="N",
        help="In place of TRACE: so many requests of --input and --output tokens each.",
    ),
    click.option(
        "--input",
        "equal_input",
        type=click.IntRange(1, 2**31 - 1),
        metavar="TOKENS",
        help="Prompt of each of these requests.",
    ),
    click.option(
        "--cached",
        "equal_cached",
        type=click.IntRange(0, 2**31 - 1),
        metavar="TOKENS",
        help="What of each of these prompts is in a prefix cache.",
    ),
]

LENGTH_FORMAT_OPTIONS: list[Option] = [
    FORMAT_OPTIONS[0],
    output_option("-o"),
    click.option(
        "--output",
        "file_or_tokens",
        type=click.Path(allow_dash=True),
        metavar="FILE|TOKENS",
        help="The same as -o; with --input, the output of each of these requests.",
    ),
]
"""`FORMAT_OPTIONS` of a command that takes `EQUAL_OPTIONS`, where --output may be a length."""


@dataclass(frozen=True)
class EqualRequests:
    """What the user says of requests that are all alike.

    Attributes:
        requests: How many; None to leave that to the command.
        input_tokens: Prompt of each [tokens].
        output_tokens: Output of each [tokens].
        cached_tokens: What of each prompt is in a prefix cache [tokens]; None if not said.
    """

    requests: int | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None

    def workload(self, requests: int | None = None) -> TraceInput:
        """The requests; so many, unless the user says how many."""
        count = self.requests or requests or 1
        return equal_requests(count, self.input_tokens, self.output_tokens, self.cached_tokens)


def take_equal(options: dict[str, Any], *, needs_count: bool = True) -> EqualRequests | None:
    """What the values of `EQUAL_OPTIONS` say; None if nothing. Sets `output` to a file or None.

    Args:
        options: Of the command; those of `EQUAL_OPTIONS` and --output are taken out.
        needs_count: Whether --requests has to be there, too.

    Raises:
        UsageError: Something is missing, or is no length.
    """
    count, i, cached = (options.pop(f"equal_{name}") for name in ("requests", "input", "cached"))
    text: str | None = options.pop("file_or_tokens")
    if count is None and i is None and cached is None:
        if text is not None and options["output"] is not None:
            raise click.UsageError("--output is given twice (-o is the same); give it once")
        if text is not None and text.isdecimal():
            raise click.UsageError(
                f"--output {text}: a length needs --input beside it; to write a file of that name, "
                f"give -o {text}"
            )
        if text not in (None, "-"):
            options["output"] = Path(text)
        return None
    missing = [
        name
        for name, value in (("--requests", count), ("--input", i), ("--output", text))
        if value is None and (needs_count or name != "--requests")
    ]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise click.UsageError(
            f"{' and '.join(missing)} {verb} missing: equal requests are told by --requests N "
            "--input TOKENS --output TOKENS"
        )
    o = _tokens(str(text))
    if cached is not None and cached > i:
        raise click.UsageError(f"--cached {cached} is more than the {i} tokens of --input")
    return EqualRequests(count, i, o, cached)


def trace_of(traces: tuple[str, ...], equal: EqualRequests | None) -> TraceInput:
    """What is estimated: TRACE, or requests that are all alike.

    Raises:
        UsageError: Neither is given, or both.
    """
    if equal is not None and traces:
        raise click.UsageError(
            f"TRACE ({traces[0]}) and --requests are two workloads; give one of them"
        )
    if equal is not None:
        return equal.workload()
    if not traces:
        raise click.UsageError("Missing argument 'TRACE...'; or give --requests, --input, --output")
    return traces


def _tokens(text: str) -> int:
    try:
        return int(click.IntRange(1, 2**31 - 1)(text))
    except click.BadParameter as error:
        raise click.UsageError(
            f"--output {text}: beside --input it is the output of each request, 1 token or more; "
            "name a file with -o"
        ) from error


def with_equal(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that gives a command these options."""
    for option in reversed([*EQUAL_OPTIONS, *LENGTH_FORMAT_OPTIONS]):
        function = option(function)
    return function
