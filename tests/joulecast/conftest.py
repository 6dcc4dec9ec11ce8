"""What tests of views share: the reports that commands make, each made once."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from joulecast.cli import options
from joulecast.cli.main import main
from joulecast.views.report import Report

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
COMMANDS: dict[str, tuple[str, ...]] = {
    "estimate": (
        "estimate", "azure-2023-conv", "--table", VLLM, "--method", "stepwise", "--explain",
        "--pue", "1.2", "--carbon", "FR", "--price", "0.18 EUR",
    ),
    "estimate binned": ("estimate", "azure-2023-code", "--table", VLLM, "--method", "binned"),
    "compare": (
        "compare", "azure-2023-code", "--table", PYTORCH, "--table", VLLM, "--method", "stepwise",
        "--pue", "1.2",
    ),
    "flops": ("flops", "llama-3.1-8b"),
    "flops of a request": ("flops", "llama-3.1-8b", "--input", "512", "--output", "64"),
    "regions": ("regions", "no"),
    "table check": ("table", "check", PYTORCH),
    "table list": ("table", "list"),
    "table show": ("table", "show", VLLM),
    "table over table": ("table", "show", PYTORCH, "--over", VLLM, "--quantity", "batch-size"),
    "table4": ("table4",),
    "tables": ("tables",),
    "trace list": ("trace", "list"),
    "trace summary": ("trace", "summary", "azure-2023-code"),
    "validate": ("validate",),
}  # fmt: skip
"""Every command that makes a report, but `doctor`, which tells of the machine."""


@pytest.fixture(scope="session")
def report_of() -> Callable[[str], Report]:
    """The report of a command in `COMMANDS`."""
    made: dict[str, Report] = {}

    def report_of(name: str) -> Report:
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(options, "emit", lambda report, *_: made.update({name: report}))
                result = CliRunner().invoke(main, list(COMMANDS[name]))
            assert result.exit_code == 0, result.output
        return made[name]

    return report_of
