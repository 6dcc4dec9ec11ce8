"""Writes long-outputs.csv: requests that ask for long answers, as reasoning models give them.

    python long_outputs.py FOLDER

No public trace of such requests is at hand, so their lengths are made up: log-normal, prompts of
400 tokens in the median, answers of 1,200 and at most 4,000. They have no times of their own.
"""

# mypy: ignore-errors
# ruff: noqa: D103, S311

import math
import random
import sys
from pathlib import Path

SEED = 7
REQUESTS = 5000


def main(folder: Path) -> None:
    generator = random.Random(SEED)
    rows = ["input_tokens,output_tokens"]
    for _ in range(REQUESTS):
        prompt = int(generator.lognormvariate(math.log(400), 0.8))
        answer = int(generator.lognormvariate(math.log(1200), 0.7))
        rows.append(f"{min(max(prompt, 16), 6000)},{min(max(answer, 64), 4000)}")
    (folder / "long-outputs.csv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
