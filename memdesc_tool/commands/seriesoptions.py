"""Options of the commands that prepare a series, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from memdesc_tool import candidate as candidates
from memdesc_tool.apply import apply_stack
from memdesc_tool.branchrevision import read_sendings, sent_of
from memdesc_tool.candidate import Candidate
from memdesc_tool.commands.common import project_option, resolve_base, tree_options
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.console import Progress
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.project import Project, around, find_project
from memdesc_tool.readsuite import find_suite
from memdesc_tool.revision import Sent, sent_span
from memdesc_tool.series import Entry, Series, Stack, read_description
from memdesc_tool.suites import Suite, tree_suite
from memdesc_tool.topic import Topic, own_cover, prep_topic, range_topic, refuse_elsewhere
from memdesc_tool.trailers import History, addresses
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace, open_free_workspace, open_workspace

AnyCommand = Callable[..., Any]


def suite_options(command: AnyCommand) -> AnyCommand:
    """--kunitconfig and --filter: what has tested a series, as regress takes them."""
    command = click.option(
        "--filter", "filter_glob", metavar="GLOB", help="KUnit suites, with --kunitconfig."
    )(command)
    return click.option(
        "--kunitconfig",
        "kunitconfigs",
        multiple=True,
        type=click.Path(path_type=Path, exists=True),
        help="The series is tested by KUnit suites of the tree, as regress was told; repeatable.",
    )(command)


def series_options(command: AnyCommand) -> AnyCommand:
    """SERIES, or --branch with --describe; --tree, --rev and --project."""
    for option in (
        click.argument("name", metavar="[SERIES]", required=False, shell_complete=complete_series),
        tree_options,
        click.option(
            "--branch",
            "branch",
            metavar="B",
            help="Commits in place of SERIES: a b4 prep branch of the tree, or BASE..TIP.",
        ),
        click.option(
            "--describe",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="With --branch: a series.toml without patches (title, to, cc, silence, ...).",
        ),
        project_option,
    ):
        command = option(command)
    return command


def sent_options(command: AnyCommand) -> AnyCommand:
    """--mbox and --name: where it is known what was sent."""
    command = click.option(
        "--name", "prep_name", metavar="NAME", help="It was sent from b4/NAME [SERIES]."
    )(command)
    return click.option(
        "--mbox",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="The thread of the last revision (b4 mbox MESSAGE-ID): what was sent, and the"
        " replies.",
    )(command)


@dataclass(frozen=True)
class Chosen:
    """What the options of a command name, ready to work on; before: the patches that the
    series depends on; topic: what --branch names.
    """

    candidate: Candidate
    base: Base
    workspace: Workspace
    suites: tuple[Suite, ...]
    project: Project | None
    before: tuple[Entry, ...] = ()
    topic: Topic | None = None

    def last_sent(
        self, progress: Progress, prep_name: str | None = None, mbox: Path | None = None
    ) -> Sent | None:
        """The last revision that was sent; None where none is known. prep_name, mbox: as
        sent_options() has them, for a topic. Raises UserError, FailedError.
        """
        if self.topic:
            sendings = read_sendings(self.workspace.scratch, self.topic, prep_name, mbox)
            return sent_of(self.workspace, sendings.last, progress) if sendings.every else None
        if given := "name" if prep_name else "mbox" if mbox else "":
            raise UserError(f"--{given} needs --branch", "series reroll keeps what was sent")
        base, series = self.base.commit, self.candidate.series
        return sent_span(self.workspace, base, self.before, series, progress)


@dataclass(frozen=True)
class SeriesOptions:
    """The options of series_options() and suite_options(); the fields are named as there.

    builds: whether the command builds anything, and so waits for others that do; in_place:
    whether the commits of --branch are taken as they are, not applied anew.
    """

    name: str | None
    tree_spec: str | None
    rev: str | None
    branch: str | None
    describe: Path | None
    project: Path | None
    kunitconfigs: tuple[Path, ...] = ()
    filter_glob: str | None = None
    builds: bool = False
    in_place: bool = False

    @contextmanager
    def open(self, context: Context) -> Iterator[Chosen]:
        """The series on its base, in a workspace that is ours meanwhile.

        Raises UserError, ConflictError.
        """
        if bool(self.name) == bool(self.branch):
            raise UserError("name a SERIES of patches/, or commits with --branch")
        if self.describe and not self.branch:
            raise UserError("--describe needs --branch", "SERIES has a series.toml of its own")
        if self.filter_glob and not self.kunitconfigs:
            raise UserError("--filter needs --kunitconfig", "a suite has a filter of its own")
        with self._of_branch(context) if self.branch else self._of_patches(context) as chosen:
            if not chosen.candidate.steps:
                raise UserError(
                    f"every patch of {chosen.candidate.series.name} is in {chosen.base.name}"
                    f" {chosen.base.commit[:12]} already", "--rev names the commit below them"
                )  # fmt: skip
            yield chosen

    @contextmanager
    def _of_patches(self, context: Context) -> Iterator[Chosen]:
        project = self._project()
        stack = self._stack(project)
        series = stack.series[-1]
        base = resolve_base(context, self.tree_spec, self.rev, stack)
        with self._workspace(context, base) as workspace:
            applied = apply_stack(workspace, base.commit, stack.patches, context.progress)
            candidate = candidates.of_applied(
                series, applied, base.commit, workspace.scratch, _history(series, base)
            )
            before = tuple(entry for one in stack.series[:-1] for entry in one.entries)
            yield Chosen(candidate, base, workspace, self._suites(project, series), project, before)

    def _workspace(self, context: Context, base: Base) -> AbstractContextManager[Workspace]:
        open_it = open_workspace if self.builds else open_free_workspace
        return open_it(context.cache, base, context.progress)

    def _suites(self, project: Project | None, series: Series) -> tuple[Suite, ...]:
        own: list[Suite] = []
        if series.suites:
            root = (project or find_project()).root
            own += [find_suite(root, name) for name in series.suites]
        if self.kunitconfigs:
            own.append(tree_suite(self.kunitconfigs, self.filter_glob or ""))
        return tuple(own)

    def _project(self) -> Project | None:
        """The project; of a series named by its path the one around it, if there is one."""
        if self.project or not _is_directory(self.name):
            return find_project(self.project)
        return around(Path(str(self.name)).absolute())

    def _stack(self, project: Project | None) -> Stack:
        names = (str(self.name),)
        stack = project.stack(names) if project else Project(Path.cwd()).stack(names)
        wanted = Path(str(self.name)).name
        # What it depends on comes first, whatever the order of the stack has behind it.
        last = next(one for one in stack.series if one.name == wanted)
        return Stack((*(one for one in stack.series if one is not last), last))

    @contextmanager
    def _of_branch(self, context: Context) -> Iterator[Chosen]:
        if not self.tree_spec or self.rev:
            raise UserError("--branch takes --tree PATH, the tree that it is in, and no --rev")
        tree, spelled = Git(Path(self.tree_spec)), str(self.branch)
        topic = (range_topic if ".." in spelled else prep_topic)(tree, spelled)
        if self.in_place:
            refuse_elsewhere(topic)
        described = read_description(self.describe) if self.describe else None
        base = resolve_base(context, self.tree_spec, topic.base)
        project = find_project(self.project) if described and described.suites else None
        with self._workspace(context, base) as workspace:
            git = workspace.scratch
            series = candidates.of_commits(git, topic.base, topic.tip, topic.name, described)
            series = replace(
                series, revision=topic.revision or series.revision, cover=own_cover(topic)
            )
            history = _history(series, base)
            if self.in_place:
                candidate = candidates.in_place(git, series, topic.base, topic.tip, history)
            else:
                stack = Stack((series,))
                applied = apply_stack(workspace, base.commit, stack.patches, context.progress)
                candidate = candidates.of_applied(series, applied, base.commit, git, history)
            suites = self._suites(project, series)
            yield Chosen(candidate, base, workspace, suites, project, topic=topic)


def _is_directory(name: str | None) -> bool:
    """Whether a series is named by its path, which needs no project unless it names suites."""
    return bool(name) and "/" in str(name) and Path(str(name)).is_dir()


def _history(series: Series, base: Base) -> History:
    return History(Git(base.repository), base.commit, addresses((*series.to, *series.cc)))
