"""Every claim of the paper beside what was measured here, with a verdict by one rule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from joulecast.estimator.paper.claims.claim import Claim, PaperFigure
from joulecast.estimator.paper.claims.deployments import Batches
from joulecast.estimator.paper.claims.measures import Evidence, evidence_of
from joulecast.estimator.paper.claims.phases import Phases
from joulecast.estimator.paper.claims.replayed import Replays, replayed_evidence
from joulecast.estimator.paper.claims.verdict import Ruling, Verdict, rule
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.studies import load_study, study_names
from joulecast.measurements.table.table import EnergyTable, load_table, table_names


@dataclass(frozen=True)
class Finding:
    """A claim, what was measured of it, and what can be said.

    Attributes:
        claim: It.
        evidence: By way of serving and kind of GPU, that of most batches first of the way that the
            claim is of, which the verdict rests on.
        about: What it is of, where it is not quite of the same.
    """

    claim: Claim
    evidence: Sequence[Evidence]
    about: str = ""

    @property
    def ruling(self) -> Ruling:
        """The verdict."""
        return self.ruling_on(self.evidence[0] if self.evidence else None)

    def ruling_on(self, evidence: Evidence | None) -> Ruling:
        """What one kind of GPU would say alone."""
        return rule(self.claim.published, None if evidence is None else evidence.measured)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        published, ruling = self.claim.published, self.ruling
        return {
            "claim": self.claim.name,
            "figure": self.claim.figure,
            "statement": self.claim.statement,
            "published": {**vars(published)},
            "measured": [self._measured_dict(evidence) for evidence in self.evidence],
            "verdict": ruling.verdict.value,
            "gap": ruling.gap,
            "reason": ruling.reason,
            "about": self.about,
            "cause": self.claim.cause if ruling.verdict is Verdict.DIFFERS else "",
            "needs": self.claim.needs if ruling.verdict is Verdict.UNKNOWN else "",
        }

    def _measured_dict(self, evidence: Evidence) -> dict[str, Any]:
        return {
            "gpu": evidence.gpu,
            "engines": evidence.versions,
            "at": evidence.at,
            **vars(evidence.measured),
            "batches": evidence.size,
            "invalid_runs": evidence.invalid_runs,
            "verdict": self.ruling_on(evidence).verdict.value,
        }


@dataclass(frozen=True)
class PaperComparison:
    """The claims of some figures.

    Attributes:
        figures: They.
        findings: One for each claim of theirs.
        batches: What all tables took, by how requests were served.
        phases: What prefill and decoding took of it.
        replays: What the same requests took, handed over otherwise.
    """

    figures: Sequence[PaperFigure]
    findings: Sequence[Finding]
    batches: Batches
    phases: Phases
    replays: Replays

    def of(self, figure: PaperFigure) -> list[Finding]:
        """The claims of one figure."""
        return [finding for finding in self.findings if finding.claim.figure == figure.name]


def shipped_tables() -> list[EnergyTable]:
    """All tables of batches that ship, studies first; none that was made by hand."""
    tables = [load_study(name) for name in study_names()]
    tables += [load_table(name) for name in table_names()]
    return [table for table in tables if table.metadata["measured_by"] != "hand"]


def compare_paper(
    figures: Sequence[PaperFigure],
    tables: Iterable[EnergyTable],
    replays: Iterable[Replay] = (),
) -> PaperComparison:
    """Hold the claims of some figures against some tables and replays."""
    tables, handed = list(tables), Replays(replays)
    batches, phases = Batches(tables), Phases(tables)
    findings = [
        _finding(claim, batches, phases, handed) for figure in figures for claim in figure.claims
    ]
    return PaperComparison(figures, findings, batches, phases, handed)


def _finding(claim: Claim, batches: Batches, phases: Phases, replays: Replays) -> Finding:
    """What replays tell of a claim; what tables do, where none does."""
    if claim.replays is not None and (evidence := replayed_evidence(claim.replays, replays)):
        return Finding(claim, evidence, claim.replays["about"])
    return Finding(claim, evidence_of(claim.measure, batches, phases), claim.about)
