"""What `import joulecast` offers is described: docstrings, types, arguments, units."""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack, get_type_hints

import pytest

import joulecast as jc
from joulecast.estimator.by_model import ModelsKeywords
from joulecast.estimator.keywords import EstimateKeywords, SingleKeywords
from joulecast.estimator.method import ServingKeywords
from joulecast.estimator.online.wish import ServingWish
from joulecast.traces.reading.options import ReadingKeywords, ReadingOptions

PAGE = (Path(__file__).parent.parent / "docs/python.md").read_text()
PUBLIC = {name: getattr(jc, name) for name in jc.__all__}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
UNITS = {
    r"(?<!per)_j": r"\[J\]",
    r"(?<!per)_kwh": r"\[kWh\]",
    r"_w": r"\[W\]",
    r"(?<!per)_s|seconds": r"\[s\]",
    r"per_s": r"/s\]",
    r"_c": r"\[deg C\]",
    r"_percent": r"\[%\]",
    r"g_per_kwh": r"\[gCO2e/kWh\]",
    r"(?<!per_)(?<!per_output_)(?<!1000_)tokens": r"\[tokens\]",
    r"joules_per_\w+": r"\[J\]",
    r"(?<!per_)bytes": r"\[B\]",
}
"""How a name ends, and the unit that its description then has."""


def described(docstring: str, section: str) -> dict[str, str]:
    """Name -> description, of a section of a Google docstring."""
    body = re.search(rf"^{section}:\n((?:    .*\n|\n)+)", docstring + "\n", re.MULTILINE)
    if body is None:
        return {}
    entries = re.findall(r"^    \*{0,2}(\w+): (.*(?:\n {8}.*)*)", body[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def doc(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def lacks_unit(name: str, text: str) -> bool:
    return any(
        re.search(rf"(?:{ending})$", name) and not re.search(unit, text)
        for ending, unit in UNITS.items()
    )


def public_members(kind: type) -> dict[str, Any]:
    """Methods and properties that a class of ours defines."""
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_")
        and isinstance(value, (property, cached_property, classmethod)) | inspect.isfunction(value)
    }


def test_names_are_described_on_the_page() -> None:
    assert len(set(jc.__all__)) == len(jc.__all__)
    assert set(jc.__all__) <= set(dir(jc)) | {"__version__"}
    for name in jc.__all__:
        assert re.search(rf"^\.\. [\w:]+:: joulecast\.{name}$", PAGE, re.MULTILINE), name


def test_the_stub_and_the_package_name_the_same() -> None:
    # What a type checker sees is written down apart from what a program gets.
    stub = ast.parse((Path(jc.__file__).parent / "__init__.pyi").read_text())
    named = {
        alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    (listed,) = (ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign))
    assert named | {"__version__"} == set(listed) == set(jc.__all__)
    for name in jc.__all__:
        assert getattr(jc, name) is not None


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *CLASSES}))
def test_functions_and_classes_have_a_docstring(name: str) -> None:
    own = PUBLIC[name].__doc__
    assert own
    assert own.strip()[-1] in ".]:)", "a sentence"
    assert not own.startswith(f"{name}("), "not the one that dataclasses make up"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_tell_types_arguments_and_units(name: str) -> None:
    check_callable(FUNCTIONS[name], needs_args=True)


READERS = {
    name: function
    for name, function in FUNCTIONS.items()
    if {"reading", "how"} & inspect.signature(function).parameters.keys()
}


def test_how_a_trace_is_read_is_told_once_for_all_that_read_one() -> None:
    assert set(READERS) == {
        *("estimate", "estimate_models", "compare", "plan", "rate_card", "summarise"),
        "load_workload",
        "load_with_lengths",
        *("load_from_spark", "load_from_table"),
    }
    for name, function in READERS.items():
        *_, parameter = inspect.signature(function).parameters.values()
        assert parameter.kind is inspect.Parameter.VAR_KEYWORD, name
        own = {
            "estimate": SingleKeywords,
            **dict.fromkeys(("compare", "plan"), EstimateKeywords),
            "estimate_models": ModelsKeywords,
        }
        keywords = own.get(name, ReadingKeywords)
        assert parameter.annotation in (Unpack[keywords], f"Unpack[{keywords.__name__}]"), name
        told = described(doc(function), "Args")[parameter.name]
        assert "the attributes of `ReadingOptions`" in told
    assert f".. autoclass:: {ReadingOptions.__module__}.ReadingOptions\n" in PAGE


def test_the_keywords_of_serving_are_the_attributes_of_a_wish() -> None:
    types = get_type_hints(ServingKeywords)
    assert types == get_type_hints(ServingWish)
    assert list(types) == [field.name for field in fields(ServingWish)]
    assert get_type_hints(EstimateKeywords) == {**get_type_hints(ReadingKeywords), **types}
    assert f".. autoclass:: {ServingWish.__module__}.ServingWish\n" in PAGE


def test_the_keywords_of_reading_are_the_attributes_of_its_options() -> None:
    types = get_type_hints(ReadingKeywords)
    assert types == get_type_hints(ReadingOptions)
    assert not ReadingKeywords.__required_keys__
    assert list(types) == [field.name for field in fields(ReadingOptions)]
    with pytest.raises(TypeError, match="colum"):
        jc.load_workload("azure-2023-code", colum="a")
    with pytest.raises(jc.InputError, match='on_invalid is "error" or "skip", not'):
        jc.load_workload("azure-2023-code", on_invalid="ignore")


@pytest.mark.parametrize(
    "kind", [*CLASSES.values(), ReadingOptions], ids=lambda kind: kind.__name__
)
def test_classes_tell_types_attributes_and_units(kind: type) -> None:
    attributes = described(doc(kind), "Attributes")
    annotated = [field for field in inspect.get_annotations(kind) if not field.startswith("_")]
    assert list(attributes) == annotated
    for field, text in attributes.items():
        assert not lacks_unit(field, text), f"{field}: {text}"
    for member, value in public_members(kind).items():
        assert doc(value), member
        if isinstance(value, (property, cached_property)):
            getter = value.fget if isinstance(value, property) else value.func
            check_callable(getter, needs_args=False)
            assert not lacks_unit(member, doc(value)), f"{member}: {doc(value)}"
        else:
            inner = value.__func__ if isinstance(value, classmethod) else value
            check_callable(inner, needs_args=False)
            assert not lacks_unit(member, doc(value)), f"{member}: {doc(value)}"


def check_callable(function: Callable[..., Any], needs_args: bool) -> None:
    signature, text = inspect.signature(function), doc(function)
    parameters = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    }
    assert signature.return_annotation is not inspect.Signature.empty
    for name, parameter in parameters.items():
        assert parameter.annotation is not inspect.Parameter.empty, name
    arguments = described(text, "Args")
    if needs_args or arguments:
        assert list(arguments) == list(parameters)
    for name, about in arguments.items():
        assert not lacks_unit(name, about), f"{name}: {about}"
    if needs_args and parameters:
        assert "\nReturns:\n" in text
        assert re.search(r"\[\w|InputError|shape", text)


def test_lengths_and_energies_without_a_unit_are_found() -> None:
    assert lacks_unit("energy_j", "Energy.")
    assert lacks_unit("input_tokens", "Lengths.")
    assert lacks_unit("seconds", "How long.")
    assert not lacks_unit("energy_j", "Energy [J].")
    assert not lacks_unit("implied_flops_per_s", "Rate [FLOP/s].")
