"""What others call a model that ships: Hugging Face, Bedrock, Fireworks, routers and logs."""

import difflib
import re
from collections.abc import Iterator
from functools import cache

_ROUTERS = re.compile(r"^(?:[a-z][a-z_-]*:)+")
"""Such as "bedrock:" or "groq:", letters alone, which no model's name ends its first word with."""

_VENDORS = re.compile(r"^((?:[a-z][a-z-]*\.)+)")
"""Region and vendor, such as "us.meta.": letters up to a dot, which no version is."""

_REVISION = re.compile(r"-v?[1-9]\d*:\d+(?::\w+)?$")
"""Bedrock's revision of its own serving, "-v1:0" or "-1:0"; "-v0:2" is a release of the maker."""

_MAKERS = re.compile(r"^(?:databricks-|meta-(?=llama))+")
_TUNED = "instruct|chat|it|hf|base|turbo|latest|free|instant|versatile"
"""Words after the name of an architecture that say nothing of its shape."""

_TAIL = rf"(?:[-.](?:{_TUNED})\b.*|-v\d+[.-]\d+)?"
_OTHER_SIZE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?[bkm](?!\w)")
"""In a tail: of another model, or of another longest request."""

_RELEASE = re.compile(r"-v(\d+)[.-](\d+)(?!\w)")
_RELEASES = {
    "mistral-7b": {"0.1": "mistral-7b-v0.1", "0.3": "mistral-7b"},
    "mixtral-8x7b": {"0.1": "mixtral-8x7b"},
    "mixtral-8x22b": {"0.1": "mixtral-8x22b"},
}
"""Releases of a model whose names differ in that alone, by Hugging Face's names of mistralai."""


def spelled(name: str, models: tuple[str, ...]) -> str | None:
    """The model that a name stands for; None where it is of another, or of none.

    Args:
        name: Such as "us.meta.llama3-3-70b-instruct-v1:0", "meta-llama/Llama-3.3-70B-Instruct" or
            "accounts/fireworks/models/llama-v3p3-70b-instruct", which are all llama-3.3-70b: case,
            makers, routers, regions and words of tuning are left aside. Another size or version
            is another model.
        models: Names of those that there are.
    """
    for spelling in _spellings(name):
        if spelling in models:
            return spelling
        for model, pattern in _patterns(models):
            match = pattern.fullmatch(spelling)
            if match and (release := _release_of(model, match["tail"])):
                return release
    return None


def nearest(name: str, models: tuple[str, ...]) -> str | None:
    """The model whose name is most like one that is none; None if none is like it."""
    by_words = {_words(model): model for model in models}
    for spelling in _spellings(name):
        bare = _words(re.split(rf"[-.](?:{_TUNED})\b", spelling)[0])
        if alike := difflib.get_close_matches(bare, by_words, n=1, cutoff=0.3):
            return by_words[alike[0]]
    return None


def _words(name: str) -> str:
    """A name with a dash between letters, numbers and numbers: "llama-3-3-70b"."""
    return re.sub(r"(?<=[a-z])-?(?=\d)", "-", name).replace(".", "-")


def _release_of(model: str, tail: str) -> str | None:
    """The model that a name of this one with such a tail is; None if it is none that ships."""
    if _OTHER_SIZE.search(tail):
        return None
    told = _RELEASE.search(tail)
    if told is not None and model in _RELEASES:
        return _RELEASES[model].get(f"{told[1]}.{told[2]}")
    is_release_alone = told is not None and told.start() == 0
    return None if is_release_alone else model


def _spellings(name: str) -> Iterator[str]:
    """A name in the ways that shipped names are written, the most literal first."""
    last = name.rsplit("/", 1)[-1].lower()
    for text in dict.fromkeys((last, _ROUTERS.sub("", last))):
        whole = re.sub(r"(?<=\d)p(?=\d)", ".", _REVISION.sub("", text))
        vendors = _VENDORS.match(whole)
        model = whole if vendors is None else whole[vendors.end() :]
        maker = "" if vendors is None else vendors[1].rstrip(".").rsplit(".", 1)[-1]
        for candidate in (whole, model, f"{maker}-{model}"):
            dashed = _MAKERS.sub("", re.sub(r"[_ :]", "-", candidate))
            yield dashed
            yield re.sub(r"^([a-z]+)-v(?=\d)", r"\1-", dashed)


@cache
def _patterns(models: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    """Each model and the spellings of its name."""
    return [(model, re.compile(f"{_pattern_of(model)}(?P<tail>{_TAIL})")) for model in models]


def _pattern_of(model: str) -> str:
    """A name whose letters and digits need no dash between, and whose version may have dashes.

    The dot of a size stays one: "qwen3-1-7b" is not Qwen3's 1.7b.
    """
    text = re.sub(r"\.(?=\d)(?!\d+b)", "<dot>", model)
    text = re.sub(r"(?<=[a-z])-?(?=\d)", "<dash>", text)
    return re.escape(text).replace("<dot>", "[.-]").replace("<dash>", "-?")
