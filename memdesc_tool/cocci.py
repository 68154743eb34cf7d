"""Semantic patches: the files of a revision after spatch, read and given back as contents."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.errors import FailedError, InfraError, UserError
from memdesc_tool.git import Git, GitError

SECONDS = 1800.0


def converted(git: Git, revision: str, script: Path, paths: Sequence[str]) -> dict[str, bytes]:
    """What a semantic patch changes in C files below paths of a revision: path -> content.

    Raises UserError for a script that spatch refuses, FailedError where none of paths is
    there, InfraError without spatch.
    """
    if not shutil.which("spatch"):
        raise InfraError("spatch is not installed", "apt install coccinelle")
    if not script.is_file():
        raise UserError(f"there is no semantic patch {script}")
    there = [path for path in paths if git.run("ls-tree", revision, "--", path.rstrip("/"))]
    if not there:
        raise FailedError(f"{script.name}: the tree has none of {', '.join(paths)}")
    status, archive, err = git.attempt_bytes("archive", "--format=tar", revision, "--", *there)
    if status:
        raise GitError(["archive"], status, err)
    with tempfile.TemporaryDirectory(prefix="memdesc-cocci.") as directory:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(directory, filter="data")
        top = Path(directory)
        names = sorted(
            str(path.relative_to(top))
            for path in top.rglob("*.[ch]") if path.is_file() and not path.is_symlink()
        )  # fmt: skip
        done = process.capture(
            ["spatch", "--very-quiet", "--no-includes", "--include-headers", "--in-place",
             "--sp-file", str(script.absolute()), "--dir", "."],
            cwd=top, check=False, timeout=SECONDS,
        )  # fmt: skip
        if done.status:
            last = (done.output.strip().splitlines() or ["no output"])[-1]
            raise UserError(f"{script}: spatch fails: {last}")
        after = {name: (top / name).read_bytes() for name in names}
    return {name: data for name, data in after.items() if git.blob(revision, name) != data}
