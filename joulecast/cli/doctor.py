"""`joulecast doctor`: what to put into a bug report."""

from typing import Any

from joulecast.cli.options import FORMAT_OPTIONS, command, emit_report, with_options


@command()
@with_options(FORMAT_OPTIONS)
def doctor(**options: Any) -> None:
    """Show what a bug report needs: versions, GPUs, traces, problems.

    Nothing is changed, and nothing secret is shown: of the environment only where JOULECAST_CACHE
    and JOULECAST_CATALOG point, without users and passwords.
    """
    from joulecast.doctor import diagnose
    from joulecast.views.doctor import doctor_report

    emit_report(doctor_report(diagnose()), options)
