"""Which of the packages that joulecast names are installed, as its own metadata name them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "joulecast"
CORE = "core"

RequirementState = Literal["ok", "missing", "other version", "unreadable"]


@dataclass(frozen=True)
class RequiredPackage:
    """A package that joulecast needs, and what is there of it.

    Attributes:
        needed_by: "core", or the extra of joulecast that asks for it.
        through: The package whose extra asks for it, such as "ibis-framework[duckdb]"; None if
            joulecast itself does.
        package: Its name.
        specifier: The versions wanted; empty for any.
        installed: The version that is there, None if none is or nothing can be made of it.
        state: Whether that will do.
    """

    needed_by: str
    through: str | None
    package: str
    specifier: str
    installed: str | None
    state: RequirementState


def metadata_version() -> str | None:
    """Version in the installed metadata of joulecast; None in a clone that was not installed.

    Raises:
        ValueError: They have none.
    """
    try:
        # Broken metadata have no version, whatever the annotation says.
        found: object = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    if not isinstance(found, str):
        raise ValueError("the installed ones have no version")  # noqa: TRY004 - not of a type
    return found


def required_packages() -> list[RequiredPackage]:
    """Every requirement of joulecast and its extras that applies to this machine.

    Raises:
        PackageNotFoundError: joulecast has no metadata.
    """
    extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    lines = metadata.requires(PACKAGE) or []
    found = [*_of_group(lines, CORE, "")]
    for extra in sorted(extras):
        found += _of_group(lines, extra, extra)
    return found


def _of_group(lines: Sequence[str], group: str, extra: str) -> Iterator[RequiredPackage]:
    """What one extra asks for and core does not; with no extra, what core asks for."""
    for line in lines:
        requirement = _parse(line)
        if requirement is None:
            # Nobody can tell whose it is; it is told once.
            if not extra:
                yield RequiredPackage(group, None, line, "", None, "unreadable")
        elif _applies(requirement, extra):
            yield from _check(requirement, group, None, {(PACKAGE, extra)})


def _parse(line: str) -> "Requirement | None":
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _applies(requirement: "Requirement", extra: str) -> bool:
    """Whether a requirement is of an extra, or for "" of none, on this machine."""
    marker = requirement.marker
    if marker is None:
        return not extra
    is_core = marker.evaluate({"extra": ""})
    return is_core if not extra else not is_core and marker.evaluate({"extra": extra})


def _check(
    requirement: "Requirement", group: str, through: str | None, seen: set[tuple[str, str]]
) -> Iterator[RequiredPackage]:
    """A requirement, and those of its extras, held against what is installed."""
    from packaging.utils import canonicalize_name

    name, specifier = requirement.name, str(requirement.specifier)
    if canonicalize_name(name) != PACKAGE:
        installed, state = _installed(requirement)
        yield RequiredPackage(group, through, name, specifier, installed, state)
    for extra in sorted(requirement.extras):
        if (name, extra) in seen:
            continue
        try:
            lines = metadata.requires(name) or []
        except (metadata.PackageNotFoundError, OSError, ValueError):
            continue  # its own line says so
        for one in map(_parse, lines):
            if one is not None and _applies(one, extra):
                yield from _check(one, group, f"{name}[{extra}]", seen | {(name, extra)})


def _installed(requirement: "Requirement") -> tuple[str | None, RequirementState]:
    """The version that is there, and whether it will do."""
    from packaging.version import InvalidVersion, Version

    try:
        installed: object = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return None, "missing"
    except (KeyError, OSError, ValueError):
        return None, "unreadable"
    if not isinstance(installed, str):
        return None, "unreadable"
    try:
        fits = requirement.specifier.contains(Version(installed), prereleases=True)
    except InvalidVersion:
        return installed, "unreadable"
    return installed, "ok" if fits else "other version"
