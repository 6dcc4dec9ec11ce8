"""What a sitting is made of: the commands of one model, or commands written out.

A job has parts, each with the seconds that it may take at most; with fewer left it is not begun.
"""

# ruff: noqa: D102

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

TRACES = ("azure-2023-conv.csv", "azure-2023-code.csv")
SEED = "7"
"""Of the draws; the same as campaign.py's, which makes the same draws."""


@dataclass(frozen=True)
class Job:
    """One model under one setting.

    Attributes:
        model: As --model has it.
        folder: Of its results.
        options: Of every command.
        requests: Of each trace.
        table: What its tables are called, before the plan.
        parts: Which commands: their order, and the seconds that each may take.
    """

    model: str
    folder: str
    options: Sequence[str] = ()
    requests: int = 400
    table: str = "vllm"
    parts: Sequence[tuple[str, float]] = (("replay", 130), ("quick", 130), ("traffic", 115))

    def command(self, part: str, results: Path) -> list[str]:
        common = ["--engine", "vllm", "--model", self.model, *self.options]
        folder = results / self.folder
        if part == "replay":
            draw = ["--requests", str(self.requests), "--seed", SEED, "--log"]
            return ["replay", *TRACES, *draw, *common, "-o", str(folder / "replays")]
        table = str(folder / f"{self.table}-{part}")
        once = ["--runs", "1"] if part == "full" else []
        return ["measure", "--plan", part, *once, *common, "-o", table]


@dataclass(frozen=True)
class Online:
    """Requests served as they come, with one engine.

    Attributes:
        model: As --model has it.
        folder: Of its results.
        commands: Of each: its name, the seconds it may take at most, and its words.
        options: Of every command.
    """

    model: str
    folder: str
    commands: Sequence[tuple[str, float, str]]
    options: Sequence[str] = ()

    @property
    def parts(self) -> Sequence[tuple[str, float]]:
        return [(name, seconds) for name, seconds, _ in self.commands]

    def command(self, part: str, results: Path) -> list[str]:
        words = next(words for name, _, words in self.commands if name == part).split()
        common = ["--arrivals", "--engine", "vllm", "--model", self.model, *self.options]
        output = results / self.folder / part
        return ["replay", *words, "--seed", SEED, *common, "-o", str(output)]


@dataclass(frozen=True)
class Typed:
    """Commands written out.

    Attributes:
        folder: Of their results.
        commands: Of each: its name, which its output has too, the seconds it may take at most, and
            its words; {results} stands for the folder above.
    """

    folder: str
    commands: Sequence[tuple[str, float, str]]

    @property
    def parts(self) -> Sequence[tuple[str, float]]:
        return [(name, seconds) for name, seconds, _ in self.commands]

    def command(self, part: str, results: Path) -> list[str]:
        words = next(words for name, _, words in self.commands if name == part)
        folder = results / self.folder
        return [*words.format(results=folder).split(), "-o", str(folder / part)]

    def only(self, name: str) -> "Typed":
        return replace(self, commands=[command for command in self.commands if command[0] == name])
