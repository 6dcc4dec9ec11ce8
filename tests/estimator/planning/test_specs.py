"""What --on says: products, doublings, tables, and what is refused."""

import pytest

from joulecast.estimator.planning.specs import DEFAULT_SPECS, Choice, choices_of
from joulecast.estimator.variants.wish import Wish
from joulecast.measurements.hardware import gpu_names
from joulecast.traces.errors import InputError


def texts(*specs: str) -> list[str]:
    return [choice.text for choice in choices_of(specs)]


def test_every_value_is_taken_with_every_other() -> None:
    assert texts("gpu=h100-sxm,l40s,gpus=1,2,dtype=fp8") == [
        "gpu=h100-sxm,dtype=fp8,gpus=1",
        "gpu=h100-sxm,dtype=fp8,gpus=2",
        "gpu=l40s,dtype=fp8,gpus=1",
        "gpu=l40s,dtype=fp8,gpus=2",
    ]


def test_ranges_double() -> None:
    assert texts("gpus=1..8") == ["gpus=1", "gpus=2", "gpus=4", "gpus=8"]
    assert texts("max-num-seqs=48..96,7") == [f"max-num-seqs={n}" for n in (48, 96, 7)]
    assert texts("gpus=3..3") == ["gpus=3"]


def test_what_compare_takes_means_the_same() -> None:
    text = "model=qwen2.5-7b,gpu=l40s,gpus=2,dtype=fp8"
    assert [choice.wish for choice in choices_of([text])] == [Wish.of_text(text)]
    (table,) = choices_of(["h100-sxm/llama-3.1-8b/vllm"])
    assert table == Choice("h100-sxm/llama-3.1-8b/vllm", table="h100-sxm/llama-3.1-8b/vllm")


def test_a_model_is_of_those_that_name_none() -> None:
    choices = choices_of(["gpu=l40s", "model=qwen2.5-7b", "some/table"], "llama-3.2-1b")
    assert [choice.wish.model for choice in choices] == ["llama-3.2-1b", "qwen2.5-7b", None]


def test_how_tokens_are_chosen_multiplies_like_the_rest() -> None:
    specs = "gpu=l40s,eager=yes,no,decoding=greedy,top-p:0.9", "speculate=llama-3.2-1b:4:0.7"
    choices = choices_of(specs)
    assert [choice.text for choice in choices] == [
        "gpu=l40s,eager=yes,decoding=greedy",
        "gpu=l40s,eager=yes,decoding=top-p:0.9",
        "gpu=l40s,eager=no,decoding=greedy",
        "gpu=l40s,eager=no,decoding=top-p:0.9",
        "speculate=llama-3.2-1b:4:0.7",
    ]
    assert [choice.wish for choice in choices] == [Wish.of_text(choice.text) for choice in choices]
    assert choices[1].wish == Wish(gpu="l40s", eager=True, decoding="top-p:0.9")
    assert choices[-1].wish.speculate == "llama-3.2-1b,4,0.7"


def test_each_is_there_once_and_underscores_are_dashes() -> None:
    assert texts("gpus=1,2", "gpus=2,4") == ["gpus=1", "gpus=2", "gpus=4"]
    (choice,) = choices_of(["max_num_seqs=64,max-num-batched-tokens=4096,replicas=3"])
    limits = choice.max_num_seqs, choice.max_num_batched_tokens, choice.replicas
    assert limits == (64, 4096, 3)


def test_what_is_planned_over_by_default_ships() -> None:
    choices = choices_of([])
    assert choices == choices_of(DEFAULT_SPECS)
    assert {choice.wish.gpu for choice in choices} <= set(gpu_names())


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "give a list such as"),
        ("gpu", None),
        ("gpu=", "a part without a value"),
        ("gpu=l40s,", "a part without a value"),
        (",gpu=l40s", "a part without a value"),
        ("=l40s", '"" is not one of model'),
        ("card=l40s", '"card" is not one of model'),
        ("gpu=l40s,gpu=l4", '"gpu" is not one of'),
        ("eager=perhaps", "eager=perhaps is neither yes nor no"),
        ("gpus=two", "gpus=two is no number"),
        ("gpus=0", "gpus=0 is no number"),
        ("gpus=1..", "is no number"),
        ("gpus=1..6", "does not come to 6; list the numbers that are meant"),
        ("gpus=4..1", "does not come to 1"),
        ("gpus=2048", "gpus is 1,024 at most"),
        (f"max-num-seqs={','.join(map(str, range(1, 1003)))}", "1,002 deployments"),
    ],
)
def test_what_says_no_deployment(text: str, fragment: str | None) -> None:
    if fragment is None:
        assert choices_of([text])[0].table == text  # `load_table` says that it is none
        return
    with pytest.raises(InputError, match=r"^[^\n]+$") as caught:
        choices_of([text])
    assert fragment in str(caught.value)
