"""The answer for requests that are all alike: how many they are is said once."""

import re
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.views.answers import plain
from joulecast.views.answers.estimate import estimate_answer
from tests.conftest import RunCli

pytestmark = pytest.mark.slow

ON = ("--model", "llama-3.1-8b", "--gpu", "h100-sxm")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--requests", "1000", "--input", "1000", "--output", "200", "--rate", "2/s"),
            "to serve the 1,000 requests of 1,000 + 200 tokens with",
        ),
        (("--requests", "1", "--input", "1", "--output", "1"), "the 1 request of 1 + 1 tokens"),
    ],
)
def test_the_count_is_said_once(
    words: tuple[str, ...], said: str, run_cli: RunCli, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    result = run_cli("estimate", *words, *ON, "--html", str(page))
    assert result.exit_code == 0, result.output
    assert said in " ".join(result.stdout.split())
    heading = re.search("<h1>(.*?)</h1>", page.read_text(), re.DOTALL)
    assert heading is not None
    assert said in " ".join(re.sub("<[^>]*>", "", heading[1]).split())


def test_of_a_share_the_count_of_all_is_said_once() -> None:
    trace = jc.equal_requests(1000, 100, 20)
    made = jc.estimate(trace, model="llama-3.1-8b", gpu="h100-sxm", share=0.5)
    count = made.requests["estimated"]
    said = f"to serve {count} of the 1,000 requests of 100 + 20 tokens with"
    assert said in plain(estimate_answer(made, made.trace))
