"""Forms of logs are read as what they are; what an odd row or column means never goes unsaid."""

import json
from pathlib import Path

import pytest

from joulecast.traces.errors import InputError
from joulecast.traces.load import LoadedTrace, load_trace
from tests.traces.meaning.forms import FORMS, Form, Row, beside_lengths, path_of

LENGTHS = [(1000, 200), (50, 7), (812, 164), (33, 9)]
INPUT, OUTPUT = (sum(lengths) for lengths in zip(*LENGTHS, strict=True))

every_form = pytest.mark.parametrize(("name", "form"), FORMS.values(), ids=FORMS)


def rows_of(form: Form) -> list[Row]:
    return [form(i, o, k) for k, (i, o) in enumerate(LENGTHS)]


def read(rows: list[Row], folder: Path, **options) -> LoadedTrace:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_trace(path, most_lengths=100, **options)


def sums(loaded: LoadedTrace) -> tuple[int, int, int]:
    total = loaded.workload.total
    return total.requests, total.input_tokens, total.output_tokens


@every_form
def test_every_form_is_read_as_what_it_is(name: str, form: Form, tmp_path: Path) -> None:
    loaded = read(rows_of(form), tmp_path, with_arrivals=True)
    assert sums(loaded) == (len(LENGTHS), INPUT, OUTPUT)
    assert loaded.lengths is not None
    assert loaded.lengths.tolist() == [list(lengths) for lengths in LENGTHS]
    assert loaded.reading is not None
    assert loaded.reading.format == name
    assert not loaded.reading.notes
    if "arrival" in loaded.reading.columns:
        assert loaded.timed is not None
        assert loaded.timed.arrival_s[1] > 0


@every_form
def test_doubled_rows_never_go_unsaid(name: str, form: Form, tmp_path: Path) -> None:
    rows = rows_of(form)
    loaded = read([*rows, rows[0], rows[0]], tmp_path)
    assert loaded.reading is not None
    if "id" in loaded.reading.columns:
        assert sums(loaded) == (len(LENGTHS), INPUT, OUTPUT)
        assert loaded.reading.left_out == {"repeated": 2}
        assert "2 rows repeat a name" in loaded.reading.notes[0]
    else:  # two equal requests are no mistake
        assert sums(loaded)[0] == len(LENGTHS) + 2


@every_form
@pytest.mark.parametrize("label", ["Total", ""])
def test_totals_never_go_unsaid(name: str, form: Form, label: str, tmp_path: Path) -> None:
    total = form(INPUT, OUTPUT, 9)
    if label:
        total = {"label": label, **total}
    loaded = read([*rows_of(form), total], tmp_path)
    assert loaded.reading is not None
    if label:
        assert sums(loaded) == (len(LENGTHS), INPUT, OUTPUT)
        assert loaded.reading.left_out["totals"] == 1
    else:
        assert "row 5 has as many tokens as all others together" in loaded.reading.notes[-1]


@every_form
def test_cached_tokens_never_go_unsaid(name: str, form: Form, tmp_path: Path) -> None:
    rows = [beside_lengths(row, form, {"cached_tokens": 20}) for row in rows_of(form)]
    loaded = read(rows, tmp_path)
    assert sums(loaded) == (len(LENGTHS), INPUT, OUTPUT)
    assert loaded.reading is not None
    assert loaded.reading.columns["cached"][0].endswith("cached_tokens")


@every_form
def test_counts_never_go_unsaid(name: str, form: Form, tmp_path: Path) -> None:
    rows = [form(3 * i, 3 * o, k) | {"num_requests": 3} for k, (i, o) in enumerate(LENGTHS)]
    loaded = read(rows, tmp_path)
    assert sums(loaded) == (3 * len(LENGTHS), 3 * INPUT, 3 * OUTPUT)
    assert loaded.reading is not None
    assert loaded.reading.columns["count"] == ("num_requests",)
    perhaps = [row | {"frequency": 3} for row in rows_of(form)]
    with pytest.raises(InputError, match="--count-column frequency, or that it does not with"):
        read(perhaps, tmp_path)


@every_form
def test_headers_in_other_spellings(name: str, form: Form, tmp_path: Path) -> None:
    """Capitals, blanks and underscores do not matter."""
    paths = path_of(form, 1), path_of(form, 2)
    if any(len(path) > 1 or "." in path[0] for path in paths):
        pytest.skip("the spelling of nested keys is not the user's")
    for respell in (str.upper, str.title, lambda key: key.replace("_", " ")):
        rows = [{respell(key): value for key, value in row.items()} for row in rows_of(form)]
        assert sums(read(rows, tmp_path)) == (len(LENGTHS), INPUT, OUTPUT)
