"""The campaign's programs, which lie beside what they measured and are run in their folder."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "measurements/campaign-2026-11-26"
PROGRAM = """
from jobs import Job, Online, Typed
from sittings import SITTINGS
for jobs in SITTINGS.values():
    for job in jobs:
        assert isinstance(job, Job | Online | Typed)
        for part, _ in job.parts:
            print(*job.command(part, FOLDER))
"""


def test_every_job_of_a_sitting_has_commands() -> None:
    program = f"from pathlib import Path\nFOLDER = Path('results')\n{PROGRAM}"
    words = [sys.executable, "-B", "-c", program]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=True)
    commands = done.stdout.splitlines()
    assert len(commands) > 100
    assert {command.split()[0] for command in commands} == {"measure", "replay"}
    assert all(" -o results/" in command for command in commands)
