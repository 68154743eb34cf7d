"""memdesc-tool generate: make patches from their sources, and series for other bases."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

from memdesc_tool.apply import ConflictError, apply_stack
from memdesc_tool.carried import refuse_foreign
from memdesc_tool.carry import WORKTREE, Carrier, Errand, abort, read_errand, under_way
from memdesc_tool.commands.common import project_option, resolve_base, tree_options
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, UserError
from memdesc_tool.generate import Generated, generate, write
from memdesc_tool.git import Git, identity
from memdesc_tool.project import Project, around, find_project, refuse_shipped
from memdesc_tool.series import Kind, Numbered, Series, Stack, read_series, stack_order
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace, open_free_workspace, open_workspace


@click.command("generate")
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@tree_options
@click.option("--check", is_flag=True, help="Change nothing; status 1 where patches/ is stale.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Carry one SERIES over to the base of --tree, into DIR/SERIES.",
)
@click.option("--from", "home", metavar="T", help="With --output: the tree that the patches were"
              " made on [default: the release that the series names].")  # fmt: skip
@click.option("--from-rev", "home_rev", metavar="REV", help="The commit of it.")
@click.option(
    "--forget",
    multiple=True,
    metavar="PATCH",
    help="With --output: ask again how to solve the conflicts of this patch file; repeatable.",
)
@click.option("--continue", "go_on", is_flag=True, help="Go on after a conflict was solved.")
@click.option("--skip", "leave_out", is_flag=True, help="Go on without the patch of the conflict.")
@click.option("--abort", "give_up", is_flag=True, help="Forget the conflict.")
@project_option
@click.pass_context
def generate_command(
    click_context: click.Context,
    /,
    names: tuple[str, ...],
    tree_spec: str | None,
    rev: str | None,
    check: bool,
    output: Path | None,
    home: str | None,
    home_rev: str | None,
    forget: tuple[str, ...],
    go_on: bool,
    leave_out: bool,
    give_up: bool,
    project: Path | None,
) -> None:
    """Make the patches that come from sources: suites of kernel-test-modules/, semantic
    patches. Handwritten patches stay as they are.

    With --output, carry a SERIES over to another base: handwritten patches are merged, the
    others made anew. A conflict stops it, and says where to solve it.
    """
    context: Context = click_context.obj
    if go_on + leave_out + give_up > 1:
        raise UserError("--continue, --skip and --abort exclude each other")
    if go_on or leave_out or give_up:
        _resume(context, leave_out=leave_out, give_up=give_up)
        return
    found = find_project(project)
    if output:
        if len(names) != 1 or not tree_spec or check:
            raise UserError("--output takes one SERIES and --tree, and no --check")
        errand = Errand(str(found.root), names[0], str(output.absolute()), tree_spec, rev, home,
                        home_rev, forget)  # fmt: skip
        before = _interrupted(context, errand)
        _carry(context, before or errand, resumed=bool(before))
        return
    if forget:
        raise UserError("--forget takes --output", "what is remembered is used there")
    if not check:
        refuse_shipped(found.root)
    stale = 0
    for name in names or stack_order(found.patches):
        series = read_series(found.patches / name)
        for result in _generate(context, found, series, tree_spec, rev, check):
            stale += result.changed
            state = "unchanged" if not result.changed else "stale" if check else "written"
            out.print(f"{name}/{result.entry.patch.path.name}: {state}", markup=False)
    if check and stale:
        click_context.exit(ExitStatus.FAILED)


def _generate(
    context: Context,
    project: Project,
    series: Series,
    tree_spec: str | None,
    rev: str | None,
    check: bool,
) -> tuple[Generated, ...]:
    if not any(entry.kind is not Kind.DIFF for entry in series.entries):
        return ()
    before: tuple[Numbered, ...] = project.stack(series.depends).patches if series.depends else ()
    base = resolve_base(context, tree_spec or series.base or None, rev)
    with open_free_workspace(context.cache, base, context.progress) as workspace:
        results = generate(
            workspace, project.root, base.commit, before, series, _author(project),
            context.progress,
        )  # fmt: skip
        if not check:
            write(results)
    return results


def _author(project: Project) -> tuple[str, str]:
    """Who writes a new patch; only asked for when there is one."""
    try:
        return identity(Git(project.root))
    except UserError:
        return "", ""


# -- to another base ------------------------------------------------------------------


def _interrupted(context: Context, errand: Errand) -> Errand | None:
    """The errand as a kill has left it, None where none is under way. Raises UserError."""
    if not (path := under_way(context.cache)):
        return None
    before = read_errand(path)
    if before.continues(errand):
        return before
    if before.stopped:
        why = f"waits for a conflict to be solved in {path.with_name(WORKTREE)}"
    else:
        why = "was not carried over to its end"
    raise UserError(f"{before.series} {why}", "generate --continue, --skip or --abort")


def _resume(context: Context, *, leave_out: bool, give_up: bool) -> None:
    path = under_way(context.cache)
    if not path:
        raise UserError("nothing waits for a conflict to be solved")
    if give_up:
        abort(path)
        out.print("forgotten; nothing was written", markup=False)
        return
    _carry(context, read_errand(path), resumed=True, leave_out=leave_out)


def _carry(context: Context, errand: Errand, *, resumed: bool, leave_out: bool = False) -> None:
    project = Project(Path(errand.project))
    series = read_series(project.patches / errand.series)
    refuse_foreign(Path(errand.output) / series.name, series.directory)
    files = [patch.path.name for patch in series.patches]
    if unknown := [name for name in errand.forget if name not in files]:
        raise UserError(f"--forget: {series.name} has no patch {', '.join(unknown)}",
                        "it is the name of a file")  # fmt: skip
    base = resolve_base(context, errand.tree, errand.rev)
    lender = _lender(context, project, series, errand)
    with open_workspace(context.cache, base, context.progress, reading=True) as workspace:
        carrier = Carrier(
            workspace, project.root, series, lender, _author(project), context.progress
        )
        if resumed:
            errand = carrier.go_on(errand, leave_out=leave_out)
        else:
            start = _before(context, project, errand, base, workspace)
            errand = carrier.carry(replace(errand, start=start))
        target = carrier.write(errand, base.name if not base.users else "")
    for name, commit in errand.done:
        out.print(f"{commit[:12] or 'not needed':12}  {name}", markup=False)
    out.print(f"{series.name} is carried over to {base.origin}: {target}", markup=False)


def _lender(context: Context, project: Project, series: Series, errand: Errand) -> Path | None:
    """A repository that has what the patches were made on, themselves included."""
    base = resolve_base(context, errand.home or series.base or None, errand.home_rev)
    stack = project.stack((series.name,))
    with open_free_workspace(context.cache, base, context.progress) as workspace:
        apply_stack(workspace, base.commit, stack.patches, context.progress)
        return workspace.scratch.path


def _before(
    context: Context, project: Project, errand: Errand, base: Base, workspace: Workspace
) -> str:
    """The state below the series: with what it depends on, as carried over where it was.

    Raises FailedError where a series has to be carried over first.
    """
    found = []
    for series in project.stack((errand.series,)).series:
        carried = Path(errand.output) / series.name
        if series.name != Path(errand.series).name:
            found.append(read_series(carried) if carried.is_dir() else series)
    stack = Stack(tuple(found))
    try:
        applied = apply_stack(workspace, base.commit, stack.patches, context.progress)
    except ConflictError as error:
        name = error.numbered.series
        if (Path(errand.output) / name).is_dir():
            raise
        raise FailedError(f"{name} has to be carried over before {errand.series}: its patch"
                          f" {error.numbered.patch.path.name} does not apply there",
                          _command(replace(errand, series=name))) from None  # fmt: skip
    return applied[-1].commit if applied else base.commit


def _command(errand: Errand) -> str:
    """The command line that begins an errand."""
    here = around(Path.cwd())
    named = "" if here and str(here.root) == errand.project else errand.project
    options = {
        "--tree": errand.tree, "--rev": errand.rev, "--from": errand.home,
        "--from-rev": errand.home_rev, "--output": errand.output, "--project": named,
    }  # fmt: skip
    words = [word for name, value in options.items() if value for word in (name, value)]
    return shlex.join(["memdesc-tool", "generate", errand.series, *words])
