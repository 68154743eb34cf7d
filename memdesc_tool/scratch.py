"""Scratch repositories: where the tool writes, and what a killed git has left there.

A repository of the user's is only ever read. What the tool has to write (commits, a source
worktree) goes into a *scratch* repository in the cache, which borrows the user's objects
(objects/info/alternates). So a user's tree can be shallow, dirty, in the middle of a
rebase or on a read-only mount, and a kill at any moment leaves nothing behind in it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from memdesc_tool.git import Git, GitError

# No attribute of the tree says how files are written, merged or compared (gitattributes(5):
# info/attributes comes before every .gitattributes).
ATTRIBUTES = (
    "* !text !eol !crlf !ident !filter !working-tree-encoding !merge !diff !whitespace"
    " !conflict-marker-size !delta !encoding\n"
)


def scratch_repository(path: Path, lender: Path) -> Git:
    """A bare repository at path that borrows the objects of the repository lender.

    Made if need be; what a killed call left half made is replaced. The caller holds the
    lock of path.
    """
    ready = path / "memdesc-ready"
    if not ready.exists():
        path.mkdir(parents=True, exist_ok=True)
        git = Git(path)
        git.run("init", "--quiet", "--bare", f"--object-format={_object_format(lender)}", ".")
        # What `git sparse-checkout` would do in its worktree, but not at once: a kill between
        # its steps leaves worktrees that git takes for bare repositories.
        git.run("config", "--file", "config.worktree", "core.bare", "true")
        git.run("config", "--file", "config", "extensions.worktreeConfig", "true")
        git.run("config", "--file", "config", "--unset", "core.bare")
    alternates = path / "objects" / "info" / "alternates"
    alternates.parent.mkdir(parents=True, exist_ok=True)
    quoted = _quote_alternate(lender / "objects")
    if not alternates.exists() or alternates.read_bytes() != quoted:
        alternates.write_bytes(quoted)
    # A shallow lender has commits without parents; what it grafted must be known here too.
    shallow = path / "shallow"
    if (lender / "shallow").exists():
        shallow.write_bytes((lender / "shallow").read_bytes())
    else:
        shallow.unlink(missing_ok=True)
    (path / "info").mkdir(exist_ok=True)
    (path / "info" / "attributes").write_text(ATTRIBUTES)
    _borrow_promisor(path, lender)
    ready.touch()
    return Git(path, fetches=True)


def _object_format(repository: Path) -> str:
    return Git(repository).run("rev-parse", "--show-object-format")


def _quote_alternate(objects: Path) -> bytes:
    """A line of objects/info/alternates; git reads a line that begins with " as a C string."""
    raw = os.fsencode(objects)
    if b"\n" in raw or raw.startswith(b'"'):
        escaped = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
        return b'"' + escaped + b'"\n'
    return raw + b"\n"


def _borrow_promisor(path: Path, lender: Path) -> None:
    """Let the scratch repository of a partial clone fetch missing objects as the clone does."""
    status, out, _ = Git(lender).attempt(
        "config", "--local", "--get-regexp", r"^(remote\..*|extensions\.partialclone)$"
    )
    if status or "promisor" not in out:
        return
    for line in out.splitlines():
        key, _, value = line.partition(" ")
        with suppress(GitError):
            Git(path).run("config", "--local", "--replace-all", key, value)


def borrow_refs(scratch: Git, lender: Git) -> bool:
    """Give a scratch repository the branches and tags of another one; whether that was done.

    Only what differs is written, so that thousands of them take no time.
    """
    theirs, ours = _refs(lender), _refs(scratch)
    gone = "".join(f"delete {name}\n" for name in ours.keys() - theirs.keys())
    new = "".join(f"update {name} {oid}\n" for name, oid in theirs.items() - ours.items())
    return not any(
        scratch.attempt("update-ref", "--stdin", stdin=lines.encode(errors="surrogateescape"))[0]
        for lines in (gone, new)
    )


def _refs(git: Git) -> dict[str, str]:
    """The branches and tags of a repository, and those of its remotes: their object ids."""
    _, out, _ = git.attempt("for-each-ref", "--format=%(refname) %(objectname)",
                            "refs/heads", "refs/tags", "refs/remotes")  # fmt: skip
    return {name: oid for name, _, oid in (line.partition(" ") for line in out.split("\n")) if oid}


def remove_stale_locks(git_dir: Path) -> None:
    """Remove lock files that a killed git left in a repository or worktree of the tool's.

    Only for directories of ours, by whoever holds their lock.
    """
    for lock in (*git_dir.glob("*.lock"), *git_dir.glob("refs/**/*.lock")):
        lock.unlink(missing_ok=True)
