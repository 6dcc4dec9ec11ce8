"""Small tables that results show of themselves in a notebook."""

from collections.abc import Sequence
from functools import singledispatch

from markupsafe import Markup


@singledispatch
def html_of(result: object) -> str | None:  # noqa: ARG001 - for results that nobody registered
    """What a notebook shows of a result; None for its `repr`.

    Results of the estimator know no views: whoever shows them registers how.
    """
    return None


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; what they hold is never taken for markup."""
    lines = [Markup("<tr>{}</tr>").format(_cells("th", head))] if any(head) else []
    lines += [Markup("<tr>{}</tr>").format(_cells("td", row)) for row in rows]
    return str(Markup("<table>{}</table>").format(Markup("").join(lines)))


def _cells(tag: str, texts: Sequence[str]) -> Markup:
    element = Markup(f'<{tag} style="text-align: left">{{}}</{tag}>')  # noqa: S704 - th or td
    return Markup("").join(element.format(text) for text in texts)
