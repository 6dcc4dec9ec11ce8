"""The pages in docs/ as a site: built strictly, every page reached, every link followed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import click
import pytest

import joulecast as jc
from joulecast.cli.main import main

pytestmark = pytest.mark.slow  # the site is built

DOCS = Path(__file__).parent.parent / "docs"
KINDS = ("Tutorial", "How to", "Explanation", "Reference", "Working on joulecast")


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does."""
    options = ["-q", "-n", "-W", "--keep-going", "-c", str(DOCS), "-d", str(target / "trees")]
    words = [sys.executable, "-m", "sphinx", *options, str(source), str(target / "html")]
    return subprocess.run(words, capture_output=True, text=True, cwd=DOCS.parent, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = build(DOCS, target)
    assert built.returncode == 0, built.stderr
    assert built.stderr.strip() == ""
    return target / "html"


class Page(HTMLParser):
    """What a page can be linked by, and what it links to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif value and (tag, name) in (("a", "href"), ("img", "src"), ("link", "href")):
                self.targets.add(value)


def commands(
    group: click.Group = main, path: str = "joulecast"
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def words(text: str) -> str:
    return " ".join(text.split())


def test_no_link_of_the_site_leads_nowhere(site: Path) -> None:
    pages = {file: Page(file) for file in site.glob("*.html")}
    followed = 0
    for file, page in pages.items():
        for link in page.targets:
            target, anchor = urldefrag(unquote(link))
            target = target.partition("?")[0]
            if "://" in target or target.startswith(("data:", "mailto:")):
                continue
            linked = (file.parent / target).resolve() if target else file
            assert linked.exists(), f"{file.name} links to {link}"
            if anchor and linked in pages:
                assert anchor in pages[linked].ids, f"{file.name} links to {link}"
            followed += 1
    assert followed > 500


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    links = ("nowhere.md", "other.md#gone", "#lost", "../absent.md", "../absent.ipynb")
    (source / "index.md").write_text(
        "# One\n\n"
        + " ".join(f"[x]({link})" for link in links)
        + " ![y](missing.png) [z](other.md#two-three) [self](#one)\n\n```{toctree}\nother\n```\n"
    )
    (source / "other.md").write_text("# Other\n\n## Two: three\n")
    (source / "stray.md").write_text("# In no table of contents\n")
    built = build(source, tmp_path / "built")
    assert built.returncode != 0
    for fault in ("nowhere.md", "gone", "lost", "absent.md", "absent.ipynb", "missing.png"):
        assert re.search(rf"index\.md:3: WARNING: .*{fault}", built.stderr), fault
    assert "stray.md: WARNING: document isn't included in any toctree" in built.stderr
    assert built.stderr.count("WARNING") == len(links) + 2, built.stderr


def test_every_page_is_of_one_kind_and_the_index_leads_to_it(site: Path) -> None:
    index = (DOCS / "index.md").read_text()
    listed: list[str] = []
    for kind in KINDS:
        section = index.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        tree = re.search(r"```\{toctree\}\n:caption: (.+)\n:hidden:\n\n([\w\-\n]+)```", section)
        assert tree is not None, kind
        assert tree[1] == kind
        names = tree[2].split()
        # What the site has in its margin, a code host shows as a list.
        assert re.findall(r"^- \[.+?\]\(([\w-]+)\.md\)", section, re.MULTILINE) == names
        listed += names
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")
    links = Page(site / "index.html").targets
    assert {f"{name}.html" for name in listed} <= links


def test_the_reference_has_every_command_and_option_with_its_help(site: Path) -> None:
    html = (site / "commands.html").read_text(encoding="utf-8")
    sections = dict(
        re.findall(r'<section id="([\w-]+)">(.*?)(?=<section id="|\Z)', html, re.DOTALL)
    )
    paths = []
    for path, command in commands():
        paths.append(path)
        section = sections[path.replace(" ", "-")]
        text = words(unescape(re.sub(r"<[^>]+>", "", section)))
        assert text.startswith(path), path
        assert command.help, path
        for paragraph in command.help.split("\n\n"):
            assert words(paragraph).replace("`", "") in text, f"{path}: {paragraph}"
        for parameter in command.params:
            if not isinstance(parameter, click.Option) or parameter.hidden:
                continue
            assert all(name in text for name in parameter.opts), f"{path} {parameter.name}"
            assert parameter.help, f"{path} {parameter.name}"
            assert words(parameter.help).replace("`", "") in text, f"{path} {parameter.name}"
    assert {"joulecast measure", "joulecast validate", "joulecast trace bin"} <= set(paths)


def test_the_reference_has_every_public_name(site: Path) -> None:
    ids = Page(site / "python.html").ids
    assert {f"joulecast.{name}" for name in jc.__all__} <= ids
