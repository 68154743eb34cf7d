"""Bases: a git tree of the user's, or a release that is obtained once into the cache.

A user's tree is only read. A release is a bare git repository `trees/<release>/` of the
cache, with the one commit refs/heads/base and tree.json that says what it is; it is built
beside its place and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO

from memdesc_tool import aptsource, distribution, release
from memdesc_tool.cache import Cache, write_atomic
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.git import Git, find_repository, is_partial
from memdesc_tool.tarball import import_tar
from memdesc_tool.workspace import workspace_key

RELEASE = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)$")
# The repository of a tarball of 166 MB is 360 MB (7.3.4); half as much again to be safe.
REPOSITORY_PER_ARCHIVE = 3.3
LISTS_BYTES = 300_000_000


class Source(StrEnum):
    """Where a release comes from."""

    AUTO = "auto"
    APT = "apt"
    KERNEL_ORG = "kernel.org"


@dataclass(frozen=True)
class Sourcing:
    """How releases are obtained. distro: None on a machine without apt."""

    source: Source = Source.AUTO
    kernel_org: release.KernelOrg = field(default_factory=release.KernelOrg)


@dataclass(frozen=True)
class Base:
    """A kernel to stand on.

    name: "7.3", or the path that the user gave. origin: one line for people: exactly what
    it is and where it came from. repository: the git common directory that holds it.
    commit: its full object id. users: a tree of the user's, so that base-commit may name
    the commit; False for an obtained release.
    """

    name: str
    origin: str
    repository: Path
    commit: str
    users: bool

    def key(self) -> str:
        """Stable name of the base's repository for directories."""
        return workspace_key(self.repository)


@dataclass(frozen=True)
class Obtained:
    """A release in the cache; the content of its tree.json.

    version: exactly which ("7.3.4-1~bpo13+1"); sha256: of the archive it was made from;
    obtained: when, ISO 8601.
    """

    name: str
    origin: str
    version: str
    source: str
    commit: str
    sha256: str
    obtained: str


def settings(
    source: str = Source.AUTO,
    url: str | None = None,
    keyring: Path | None = None,
    verify_signature: bool = True,
) -> Sourcing:
    """How releases are obtained: what is given, else what the environment says.

    MEMDESC_TOOL_KERNEL_URL and MEMDESC_TOOL_KERNEL_KEYRING stand for url and keyring.
    """
    environment_keyring = os.environ.get("MEMDESC_TOOL_KERNEL_KEYRING")
    return Sourcing(
        Source(source),
        release.KernelOrg(
            url or os.environ.get("MEMDESC_TOOL_KERNEL_URL") or release.DEFAULT_URL,
            keyring or (Path(environment_keyring) if environment_keyring else None),
            verify_signature,
        ),
    )


def resolve(
    spec: str,
    cache: Cache,
    progress: Progress,
    *,
    revision: str | None = None,
    sourcing: Sourcing | None = None,
) -> Base:
    """The base that spec names: a release ("7.3", "v7.3.4") or the path of a git tree.

    A directory called like a release is ./7.3. revision is a commit of a git tree (default
    HEAD). A release that is not in the cache is
    obtained as sourcing (default: settings()) says. Raises UserError, InfraError.
    """
    match = RELEASE.fullmatch(spec)
    if not match:
        return _users_tree(spec, revision)
    if revision:
        raise UserError(f"{spec} is a release and has one commit only", "--rev needs a git tree")
    name = match[1]
    found = find(name, cache) or _obtain(name, cache, progress, sourcing or settings())
    if sourcing and sourcing.source not in (Source.AUTO, found.source):
        raise UserError(
            f"{name} is in the cache already, from {found.source}",
            f"memdesc-tool tree remove {name} makes room for another",
        )
    return Base(name, found.origin, cache.trees / name, found.commit, users=False)


# -- a tree of the user's --------------------------------------------------------------


def _users_tree(spec: str, revision: str | None) -> Base:
    path = Path(spec).expanduser()
    repository = find_repository(path)
    git = Git(path)
    if revision is None and git.attempt("rev-parse", "--verify", "--quiet", "HEAD")[0]:
        raise UserError(f"{spec} has no commit yet", "commit something, or name a revision")
    commit = git.commit(revision or "HEAD")
    if not is_partial(repository) and not git.has(commit):
        raise UserError(f"{spec}: the tree of commit {commit[:12]} is not in the repository")
    parts = [f"{path.absolute()}, {revision or 'HEAD'} {commit[:12]} ({git.subject(commit)})"]
    if (repository / "shallow").exists():
        parts.append("shallow")
    if uncommitted(git):
        parts.append("its uncommitted changes are not included")
    return Base(spec, "; ".join(parts), repository, commit, users=True)


def uncommitted(git: Git) -> int:
    """How many tracked files have changes; 0 in a bare repository.

    The index is not refreshed on disk, and nothing is read of files that a partial clone has
    not got (renames would have to be).
    """
    status, out, _ = git.attempt(
        "status", "--porcelain", "--no-renames", "--untracked-files=no",
        "--ignore-submodules=all",
    )  # fmt: skip
    return 0 if status else len(out.splitlines())


# -- a release -------------------------------------------------------------------------


def find(name: str, cache: Cache) -> Obtained | None:
    """The release called name ("7.3"), if it is in the cache and whole."""
    path = cache.trees / name
    try:
        values = json.loads((path / "tree.json").read_text())
        found = Obtained(
            **{one.name: str(values[one.name]) for one in dataclasses.fields(Obtained)}
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # A pack that is cut short is noticed by git when it opens it.
    return found if found.name == name and Git(path).has(found.commit) else None


def releases(cache: Cache) -> list[Obtained]:
    """The releases in the cache, by name."""
    names = sorted(path.name for path in cache.trees.glob("[0-9]*"))
    return [found for name in names if (found := find(name, cache))]


def remove(name: str, cache: Cache, progress: Progress) -> int:
    """Remove a release from the cache; returns the bytes freed. Raises UserError.

    Waits for whoever obtains it, and for whoever works with it.
    """
    path = cache.trees / name
    if not RELEASE.fullmatch(name) or not path.exists():
        known = ", ".join(found.name for found in releases(cache)) or "none"
        raise UserError(f"there is no tree {name} in the cache", f"there are: {known}")
    with (
        cache.lock(f"tree-{name}", on_wait=progress.note),
        cache.lock(f"work-{workspace_key(path)}", on_wait=progress.note),
    ):
        size = disk_size(path)
        _discard(path)
        return size


def disk_size(path: Path) -> int:
    """What a file or directory takes on disk, in bytes; links are not followed."""
    total = 0
    for top, directories, files in os.walk(path):
        for name in (*directories, *files):
            try:
                total += os.lstat(os.path.join(top, name)).st_blocks * 512  # noqa: PTH118
            except FileNotFoundError:
                continue
    return total or (path.lstat().st_blocks * 512 if path.is_file() else 0)


@dataclass(frozen=True)
class _Archive:
    """What has been obtained and can be imported."""

    source: Source
    version: str
    origin: str
    message: str
    sha256: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def _obtain(name: str, cache: Cache, progress: Progress, sourcing: Sourcing) -> Obtained:
    with cache.lock(f"tree-{name}", on_wait=progress.note):
        if found := find(name, cache):
            return found
        downloads = cache.downloads / name
        archive = _archive(name, cache, downloads, progress, sourcing)
        found = _import(name, cache, archive, progress)
        shutil.rmtree(downloads, ignore_errors=True)
        return found


def _archive(
    name: str, cache: Cache, downloads: Path, progress: Progress, sourcing: Sourcing
) -> _Archive:
    reason = "this machine has no apt that is known"
    distro = distribution.this_distribution()
    if distro and sourcing.source != Source.KERNEL_ORG:
        apt = aptsource.Apt(cache.apt, distro)
        try:
            if archive := _from_apt(name, cache, apt, downloads, progress):
                return archive
            reason = f"the {distro.name} mirror of this machine has no linux-source for {name}"
        except InfraError as error:
            if sourcing.source == Source.APT:
                raise
            reason = error.message
    if sourcing.source == Source.APT:
        raise UserError(f"cannot obtain {name} through apt: {reason}", "try --from kernel.org")
    try:
        return _from_kernel_org(name, cache, downloads, progress, sourcing.kernel_org)
    except (UserError, InfraError) as error:
        if sourcing.source == Source.AUTO:
            raise type(error)(f"{error.message}; and {reason}", error.hint) from None
        raise


def _from_apt(
    name: str, cache: Cache, apt: aptsource.Apt, downloads: Path, progress: Progress
) -> _Archive | None:
    cache.need_space(LISTS_BYTES, "apt's lists")
    with cache.lock("apt", on_wait=progress.note):
        package = apt.find(name, progress)
        if package is None:
            return None
        cache.need_space(int(package.size * (1 + REPOSITORY_PER_ARCHIVE)), f"obtaining {name}")
        deb = apt.download(package, downloads, progress)
    message = (
        f"{package.name} {package.version} ({package.distribution})\n\n"
        f"The source in {package.distribution}'s package {package.name}, version\n"
        f"{package.version}: Linux {package.upstream} with {package.distribution}'s patches.\n"
        f"It is not v{name}, nor any other commit of Linux.\n"
    )
    return _Archive(Source.APT, package.version, package.origin, message, package.sha256,
                    package.size, lambda: aptsource.source_tar(deb))  # fmt: skip


def _from_kernel_org(
    name: str, cache: Cache, downloads: Path, progress: Progress, site: release.KernelOrg
) -> _Archive:
    def need_space(size: int) -> None:
        cache.need_space(int(size * (1 + REPOSITORY_PER_ARCHIVE)), f"obtaining {name}")

    tarball = release.obtain(site, name, downloads, need_space, progress)
    message = (
        f"Linux {name}\n\nThe files of linux-{name}.tar.xz. This is not the commit that\n"
        f"v{name} names: a tarball has no history.\n"
    )
    return _Archive(Source.KERNEL_ORG, name, tarball.origin, message, tarball.sha256,
                    tarball.path.stat().st_size, lambda: release.source_tar(tarball))  # fmt: skip


def _import(name: str, cache: Cache, archive: _Archive, progress: Progress) -> Obtained:
    """Make the cached repository from an archive. The caller holds the tree's lock."""
    place = cache.trees / name
    new = cache.trees / f".{name}.new"
    _discard(new)
    cache.need_space(int(archive.size * REPOSITORY_PER_ARCHIVE), f"importing {name}")
    with progress.step(f"importing {name} into git") as tell, archive.open() as stream:
        commit = import_tar(stream, new, archive.message, tell)
    found = Obtained(
        name=name,
        origin=archive.origin,
        version=archive.version,
        source=archive.source,
        commit=commit,
        sha256=archive.sha256,
        obtained=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_atomic(new / "tree.json", json.dumps(dataclasses.asdict(found), indent=2).encode())
    _discard(place)
    new.replace(place)
    return found


def _discard(path: Path) -> None:
    """Remove a repository; what is half removed no longer counts as one."""
    (path / "tree.json").unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)
