"""Carry a series over to another base, patch by patch.

Handwritten patches are merged (`git am -3`), with the objects of the base that they were
made on at hand; patches with a source are made anew. A conflict stops it in a worktree,
with all that is needed to go on; how it was solved is remembered (git rerere) and used again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import tomlkit

from memdesc_tool.apply import already_there
from memdesc_tool.cache import CARRY_STATE, Cache, write_atomic
from memdesc_tool.carried import write_carried
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.generate import NotNeededError, make_patch
from memdesc_tool.git import SCRATCH_IDENTITY, Git
from memdesc_tool.patch import format_patch
from memdesc_tool.resolutions import RERERE, forget, share
from memdesc_tool.series import SERIES_FILE, Entry, Kind, Series
from memdesc_tool.workspace import Workspace

WORKTREE = "carry"
SKIP_HINT = "memdesc-tool generate --skip leaves the patch out, --abort starts over"
_MARKER = re.compile(r"^\+(?:[<|>]{7} .*|={7})$", re.MULTILINE)
"""What a merge leaves in a file, as a diff adds it."""


@dataclass(frozen=True)
class Errand:
    """What is carried where, in words that survive the call: kept in carry.json.

    project, output: directories; series: its name; tree, rev, home, home_rev: as given on the
    command line; forget: files of patches whose conflicts are not solved as before; start: the
    commit below the first patch; done: (file, commit) of each patch that is through, the commit
    "" where it is not needed any more; stopped: whether the patch after those waits for
    somebody's hands, in the worktree.
    """

    project: str
    series: str
    output: str
    tree: str
    rev: str | None
    home: str | None
    home_rev: str | None
    forget: tuple[str, ...] = ()
    start: str = ""
    done: tuple[tuple[str, str], ...] = ()
    stopped: bool = False

    def continues(self, asked: Errand) -> bool:
        """Whether this is what is asked for, and was killed on the way."""
        return not self.stopped and dataclasses.replace(self, start="", done=()) == asked

    @property
    def tip(self) -> str:
        """The state after the last patch that is through."""
        return next((commit for _, commit in reversed(self.done) if commit), self.start)


class CarryConflictError(FailedError):
    """A patch that needs somebody's hands."""


def under_way(cache: Cache) -> Path | None:
    """The file of the errand that a conflict or a kill has stopped; None for none."""
    return next(iter(sorted(cache.work.glob(f"*/{CARRY_STATE}"))), None)


def read_errand(path: Path) -> Errand:
    """The errand that a file of under_way() has. Raises UserError where it is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        done = tuple((str(name), str(commit)) for name, commit in values.pop("done"))
        forget = tuple(map(str, values.pop("forget", ())))
        if not all(isinstance(value, str | bool | None) for value in values.values()):
            raise TypeError
        return Errand(**values, forget=forget, done=done)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path} is damaged", "memdesc-tool generate --abort forgets it") from None


@dataclass(frozen=True)
class Carrier:
    """Does an errand in a workspace. lender: a repository with the objects that the patches
    were made on, None for none; author: of patches that are new.
    """

    workspace: Workspace
    root: Path
    series: Series
    lender: Path | None
    author: tuple[str, str]
    progress: Progress

    @property
    def state(self) -> Path:
        return self.workspace.root / CARRY_STATE

    @property
    def place(self) -> Path:
        return self.workspace.root / WORKTREE

    def carry(self, errand: Errand) -> Errand:
        """Take every patch that is left over. Raises CarryConflictError, UserError."""
        files = {file for entry in self.series.entries for file in entry.patch.files}
        around = {f"{PurePosixPath(file).parent}/" for file in files} - {"./"}
        git = self.workspace.am_worktree(errand.tip, sorted(files | around), WORKTREE)
        share(self.workspace.cache, self.workspace.scratch)
        through = {name for name, _ in errand.done}
        with self.progress.step("carrying over") as tell:
            for number, entry in enumerate(self.series.entries, 1):
                if entry.patch.path.name not in through:
                    tell(f"{number}. {entry.patch.subject}")
                    errand = self._take(git, errand, entry, number)
                    write_atomic(self.state, _dump(errand))
        return errand

    def _take(self, git: Git, errand: Errand, entry: Entry, number: int) -> Errand:
        if entry.kind is Kind.DIFF or not self._make(git, errand, entry):
            self._merge(git, errand, entry, number)
        return self._through(git, errand, entry)

    def _make(self, git: Git, errand: Errand, entry: Entry) -> bool:
        """Make a patch anew, where it is needed; False where its source does not fit."""
        try:
            data = make_patch(self.workspace, self.root, errand.tip, entry, self.author)
        except NotNeededError:
            return True
        except FailedError as error:
            name = entry.patch.path.name
            self.progress.note(f"{name}: {error.message}; it is merged as it is in patches/")
            return False
        git.run("am", "--keep-cr", stdin=data, env=SCRATCH_IDENTITY)
        return True

    def _through(self, git: Git, errand: Errand, entry: Entry) -> Errand:
        """The errand with what HEAD is as the state after a patch."""
        commit, parent = git.run("rev-parse", "HEAD"), errand.tip
        if commit == parent:
            commit = ""
        else:
            self._borrow(f"{commit}\n^{parent}", "--revs")
        done = (*errand.done, (entry.patch.path.name, commit))
        return dataclasses.replace(errand, done=done, stopped=False)

    def _merge(self, git: Git, errand: Errand, entry: Entry, number: int) -> None:
        assert entry.patch.mail
        name = entry.patch.path.name
        asks = name in errand.forget
        status, out, err = git.attempt(
            *(() if asks else RERERE), "am", "--3way", "--keep-cr", "--no-gpg-sign",
            "--patch-format=mbox", *entry.patch.mail.options,
            stdin=entry.patch.mail.data, env=self._env(),
        )  # fmt: skip
        if status == 0:
            return
        if already_there(git, entry.patch):
            git.run("am", "--abort", env=self._env())
            return
        if asks:
            forget(git, self._env())
        unmerged = _unmerged(git)
        solved = not unmerged and git.attempt("diff", "--cached", "--quiet")[0]
        # Then rerere has solved and staged all of it.
        if solved and git.attempt(*RERERE, "am", "--continue", env=self._env())[0] == 0:
            self.progress.note(f"{name}: solved as before (--forget {name} asks again)")
            return
        self._borrow("\n".join(blob for stages in unmerged.values() for blob in stages.values()))
        write_atomic(self.state, _dump(dataclasses.replace(errand, stopped=True)))
        raise self._conflict(git, entry, number, f"{out}\n{err}")

    def _env(self) -> dict[str, str]:
        env = dict(SCRATCH_IDENTITY)
        if self.lender:
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(self.lender / "objects")
        return env

    def _borrow(self, wanted: str, *options: str) -> None:
        """Copy objects that only the lender has: git writes none that it sees there.

        wanted: what pack-objects reads, with options.
        """
        scratch = self.workspace.scratch
        if self.lender and wanted:
            args = ("pack-objects", *options, "--stdout", "-q")
            _, pack, _ = scratch.attempt_bytes(*args, stdin=f"{wanted}\n".encode(), env=self._env())
            scratch.run("unpack-objects", "-q", stdin=pack)

    def _conflict(self, git: Git, entry: Entry, number: int, said: str) -> CarryConflictError:
        unmerged = _unmerged(git)
        gone = [name for name, stages in unmerged.items() if "2" not in stages]
        files = [name for name in unmerged if name not in gone]
        parts = [f"conflicts in {', '.join(files)}"] if files else []
        parts += [f"{name} is changed, and is not in the new base" for name in gone]
        what = "; ".join(parts)
        if not what:
            reasons = re.findall(r"^error: (.+)$", said, re.MULTILINE)
            what = "; ".join(dict.fromkeys(reasons)) or "git am says nothing"
        return CarryConflictError(
            f"patch {number} ({entry.patch.path.name}) needs a hand: {what}",
            f"cd '{git.path}', solve it and git add -u; then memdesc-tool generate --continue"
            " (or --skip, or --abort)",
        )

    def go_on(self, errand: Errand, *, leave_out: bool = False) -> Errand:
        """Take the patch over that somebody has solved, then the rest.

        leave_out: that patch is not needed on the new base. Raises UserError where it is not
        solved.
        """
        if not errand.stopped:
            if leave_out:
                raise UserError("no patch waits for somebody's hands", "generate --continue")
            return self.carry(errand)
        through = {name for name, _ in errand.done}
        entry = next(e for e in self.series.entries if e.patch.path.name not in through)
        if leave_out:
            done = (*errand.done, (entry.patch.path.name, ""))
            errand = dataclasses.replace(errand, done=done, stopped=False)
        else:
            git = Git(self.place, fetches=True)
            self._finish_am(git, entry)
            self._refuse_other(git, errand, entry)
            errand = self._through(git, errand, entry)
        write_atomic(self.state, _dump(errand))
        return self.carry(errand)

    def _finish_am(self, git: Git, entry: Entry) -> None:
        """Commit what somebody has solved, where that is not done yet."""
        if not (Path(git.run("rev-parse", "--absolute-git-dir")) / "rebase-apply").exists():
            return
        if files := _names(git, "--"):
            raise UserError(f"not solved, or not added: {', '.join(files)}",
                            f"git add -u in {git.path}")  # fmt: skip
        _refuse_markers(git, entry, "git add -u", "--cached")
        status, out, err = git.attempt(*RERERE, "am", "--continue", env=self._env())
        if status:
            said = [line for line in f"{err}\n{out}".splitlines() if line.strip()]
            reason = next((line for line in said if not line.startswith("Applying: ")), "no reason")
            raise UserError(f"git am --continue: {reason}", f"in {git.path}; {SKIP_HINT}")

    def _refuse_other(self, git: Git, errand: Errand, entry: Entry) -> None:
        """Raise UserError unless HEAD is the patch on what precedes it, or does not need it."""
        name = entry.patch.path.name
        commit = git.run("rev-parse", "HEAD")
        if commit == errand.tip:
            if not already_there(git, entry.patch):
                raise UserError(f"{name} is not applied in {git.path}", SKIP_HINT)
        elif git.attempt("rev-parse", "HEAD^")[1].strip() != errand.tip:
            raise UserError(f"{git.path} is not one commit after {errand.tip[:12]}",
                            "memdesc-tool generate --abort starts over")  # fmt: skip
        amend = "git commit -a --amend --no-edit"
        if files := _names(git, "HEAD", "--"):
            raise UserError(f"not committed: {', '.join(files)}", f"{amend} in {git.path}")
        _refuse_markers(git, entry, amend, errand.tip, "HEAD")

    def write(self, errand: Errand, base: str) -> Path:
        """Write the series for its new base, whole; base: what series.toml calls it."""
        files = {
            name: format_patch(self.workspace.scratch, commit)
            for name, commit in errand.done if commit
        }  # fmt: skip
        text = (self.series.directory / SERIES_FILE).read_text(encoding="utf-8")
        document = tomlkit.parse(text)
        document["base"] = base
        tables = document.get("patch", [])
        for number in reversed(range(len(tables))):
            if tables[number]["file"] not in files:
                del tables[number]
        files[SERIES_FILE] = tomlkit.dumps(document).encode()
        for path in self.series.directory.glob("*.j2"):
            files[path.name] = path.read_bytes()
        target = Path(errand.output) / self.series.name
        write_carried(target, files)
        self.state.unlink(missing_ok=True)
        return target


def abort(path: Path) -> None:
    """Forget an errand; its worktree is cleaned by the next one."""
    path.unlink(missing_ok=True)


def _names(git: Git, *span: str) -> list[str]:
    """The files that differ, as git diff takes span."""
    return sorted(filter(None, git.run("diff", "--name-only", "-z", *span).split("\0")))


def _refuse_markers(git: Git, entry: Entry, mend: str, *span: str) -> None:
    """Raise UserError where git diff of span adds conflict markers that the patch has not."""
    own = _MARKER.findall(entry.patch.diff.decode(errors="surrogateescape"))
    for name in _names(git, *span, "--"):
        diff = git.run("diff", "--no-ext-diff", *span, "--", f":(top,literal){name}")
        if any(marker not in own for marker in _MARKER.findall(diff)):
            path = git.path / name
            raise UserError(f"{path} still has conflict markers", f"edit it, then {mend}")


def _unmerged(git: Git) -> dict[str, dict[str, str]]:
    """The unmerged files, and of each the stages that are there ("2": our side) and their blobs."""
    found: dict[str, dict[str, str]] = {}
    for record in filter(None, git.run("ls-files", "--unmerged", "-z").split("\0")):
        place, name = record.split("\t", 1)
        _, blob, stage = place.split()
        found.setdefault(name, {})[stage] = blob
    return found


def _dump(errand: Errand) -> bytes:
    return json.dumps(dataclasses.asdict(errand), indent=2).encode() + os.linesep.encode()
