"""memdesc-tool doctor: what this machine can do."""

from __future__ import annotations

import shlex

import click

from memdesc_tool import doctor as doctors
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what this machine can do, and which package to install for what it cannot.

    Exit status 0 where the main job (KUnit on um) can run, 3 where it cannot.
    """
    context: Context = ctx.obj
    with context.progress.step("looking at this machine") as tell:
        findings = doctors.examine(context.cache, tell)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        status = finding.status.value + ("!" if _stops(finding) else "")
        detail = finding.detail or (f"apt install {finding.package}" if finding.package else "")
        line = f"{status:<8} {finding.name:<{width}}  {detail}"
        out.print(f"{line}  [{finding.purpose}]" if finding.purpose else line, markup=False)
    if missing := doctors.packages(findings):
        out.print(f"apt-get install --no-install-recommends {shlex.join(missing)}", markup=False)
    if not doctors.can_do_main_job(findings):
        out.print(f"{doctors.MAIN_JOB} cannot run here: see what is marked with !", markup=False)
        ctx.exit(ExitStatus.INFRA)


def _stops(finding: doctors.Finding) -> bool:
    return finding.required and finding.status is doctors.Status.MISSING
