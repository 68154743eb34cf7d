"""Make the patches that come from sources in this project.

A `files` patch brings a suite of kernel-test-modules/ into the kernel, on top of the
patches before it; a `cocci` patch is what a semantic patch makes of the tree there. Their
messages come from templates/. Trailers of reviewers stay while the change does.
"""

from __future__ import annotations

import email
import email.utils
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.apply import apply_stack
from memdesc_tool.cache import write_atomic
from memdesc_tool.cocci import converted
from memdesc_tool.console import Progress
from memdesc_tool.errors import UserError
from memdesc_tool.git import SCRATCH_IDENTITY, Git
from memdesc_tool.overlay import overlaid_files
from memdesc_tool.patch import Patch, format_patch, parse_patch, patch_id
from memdesc_tool.readsuite import find_suite
from memdesc_tool.series import Entry, Kind, Numbered, Series
from memdesc_tool.tags import is_given
from memdesc_tool.template import render
from memdesc_tool.workspace import Workspace


class NotNeededError(UserError):
    """A patch's source changes nothing: what it would bring is there."""


@dataclass(frozen=True)
class Generated:
    """A patch as its sources give it; changed where the file in patches/ is another."""

    entry: Entry
    data: bytes

    @property
    def changed(self) -> bool:
        return self.entry.patch.data != self.data


def generate(
    workspace: Workspace,
    root: Path,
    base: str,
    before: tuple[Numbered, ...],
    series: Series,
    author: tuple[str, str],
    progress: Progress,
) -> tuple[Generated, ...]:
    """Make the `files` and `cocci` patches of a series anew, each on top of what precedes it.

    root: the project; before: the patches of earlier series; author: name and mail address
    for a patch that is new. Writes nothing in patches/ (write() does). Raises UserError,
    ConflictError, FailedError.
    """
    stack = list(before)
    results: list[Generated] = []
    for entry in series.entries:
        patch = entry.patch
        if entry.kind is not Kind.DIFF:
            applied = apply_stack(workspace, base, stack, progress)
            parent = applied[-1].commit if applied else base
            data = make_patch(workspace, root, parent, entry, author)
            results.append(Generated(entry, data))
            patch = parse_patch(patch.path, data)
        stack.append(Numbered(len(stack) + 1, series.name, patch))
    return tuple(results)


def write(results: tuple[Generated, ...]) -> None:
    """Bring patches/ up to date, file by file, each atomically."""
    for result in results:
        if result.changed:
            write_atomic(result.entry.patch.path, result.data)


def make_patch(
    workspace: Workspace, root: Path, parent: str, entry: Entry, author: tuple[str, str]
) -> bytes:
    """The patch file of an entry that has a source, on top of parent.

    Raises NotNeededError where the source changes nothing there, FailedError where it does not
    fit, UserError.
    """
    git = workspace.scratch
    if entry.kind is Kind.COCCI:
        script = root / "templates" / entry.script
        files = converted(git, parent, script, entry.paths)
        if not files:
            raise NotNeededError(f"{script.name} changes nothing below {', '.join(entry.paths)}")
        message = _message(root, entry, script=_text(script), files=files)
        tree = git.tree(workspace.write_tree(parent, files))
    else:
        suite = find_suite(root, entry.suite)
        files = overlaid_files(git, parent, suite)
        if not files:
            raise NotNeededError(
                f"{entry.patch.path.name}: the suite {suite.name} is in the tree before this patch"
            )
        message = _message(root, entry, suite=suite)
        tree = git.tree(workspace.write_tree(parent, files, suite.modes))
    env = {**SCRATCH_IDENTITY, **_authorship(entry.patch, author)}

    def commit(text: str) -> bytes:
        made = git.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=text.encode(), env=env)
        return format_patch(git, made)

    data = commit(message)
    reviews = _reviews(git, entry.patch, parse_patch(entry.patch.path, data))
    return commit(f"{message.rstrip()}\n{reviews}") if reviews else data


def _reviews(git: Git, old: Patch, new: Patch) -> str:
    """Trailers that reviewers gave to the patch that is there; none where it changes."""
    missing = [pair for pair in old.trailers if pair not in new.trailers and is_given(pair[0])]
    if not missing or patch_id(git, old) != patch_id(git, new):
        return ""
    lines = "".join(f"{name}: {value}\n" for name, value in missing)
    return lines if new.trailers else f"\n{lines}"


def _message(root: Path, entry: Entry, **values: object) -> str:
    text = render(root / "templates", entry.message, **values)
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[1]:
        raise UserError(
            f"{root / 'templates' / entry.message}: not a commit message",
            "it needs a subject, an empty line and a body",
        )
    return "\n".join(lines) + "\n"


def _text(script: Path) -> str:
    try:
        return script.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{script}: not UTF-8 at byte {error.start}") from None


def _authorship(patch: Patch, author: tuple[str, str]) -> dict[str, str]:
    """Author and date: of the patch that is there, so that nothing changes without need."""
    headers = email.message_from_bytes(patch.data.partition(b"\n")[2])
    unfolded = " ".join(str(headers.get("From", "")).split())
    name, mail = email.utils.parseaddr(unfolded) if unfolded else author
    if not mail:
        raise UserError(f"{patch.path}: cannot read its From: line")
    env = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail}
    if "Date" in headers:
        env["GIT_AUTHOR_DATE"] = str(headers["Date"])
    return env
