"""A release from the distribution's linux-source package, through apt with private state.

The machine's own configuration says which mirror; apt checks the signatures. Asked for are
the suites that the machine names and the other releases of the same distribution on that
mirror: a kernel is often only in the backports of a newer release. apt's lists, caches and
sources are in the tool's cache, so that the system's stay as they are, and root is not
needed.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from memdesc_tool.console import Progress
from memdesc_tool.distribution import Distribution, Suite, family
from memdesc_tool.download import sha256_of
from memdesc_tool.errors import CommandError, CommandTimeout, InfraError
from memdesc_tool.process import Finished, capture, reading, run_logged, tail_of
from memdesc_tool.tarball import decompressed

SOURCE_TARBALL = re.compile(r"usr/src/.*linux-.*source-[^/]*\.tar(\.[a-z0-9]+)?$")
UPDATE_SECONDS = 600
DOWNLOAD_SECONDS = 3600

# The machine's hooks are about the machine's own lists and packages (one of Docker's images
# removes downloaded packages, say); the rest of its configuration holds: proxies, retries.
CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "false";
"""


@dataclass(frozen=True)
class Package:
    """A source package that a mirror has. size in bytes; suite is where it is."""

    distribution: str
    name: str
    version: str
    size: int
    sha256: str
    suite: str

    @property
    def upstream(self) -> str:
        """The version of Linux it is made from, "7.3.4"."""
        return self.version.split(":")[-1].split("-")[0].split("~")[0]

    @property
    def origin(self) -> str:
        """One line for people: exactly what it is."""
        return (
            f"{self.distribution} package {self.name} {self.version} ({self.suite}): "
            f"Linux {self.upstream} with {self.distribution}'s patches"
        )


@dataclass(frozen=True)
class Apt:
    """apt with its state in a directory of the tool's. The caller holds the directory's lock.

    architecture: of the packages, in Debian's words; "" for the machine's own.
    """

    directory: Path
    distro: Distribution
    architecture: str = ""

    def find(self, release: str, progress: Progress) -> Package | None:
        """The newest source package of release ("7.3"; "7.3.4" for that one only).

        None where the mirror has none. Raises InfraError where no suite can be read.
        """
        with progress.step(f"looking for linux-source-{release} on the machine's mirror") as tell:
            self._prepare()
            tell("suites")
            suites = self._suites()
            log = self.directory / "update.log"
            if not suites:
                raise InfraError(
                    f"apt has no suite of {self.distro.name} that it can read", f"its output: {log}"
                )
            self._write_sources(suites)
            tell(f"packages of {len(suites)} suites")
            done = self._apt_logged("update", log=log, timeout=UPDATE_SECONDS)
            if done.status and not any((self.directory / "lists").glob("*_Packages*")):
                raise CommandError(["apt-get", "update"], done.status, tail=tail_of(log), log=log)
            return self._candidate(release)

    def download(self, package: Package, target: Path, progress: Progress) -> Path:
        """The package's file in the directory target, unless it is there already.

        Raises InfraError.
        """
        target.mkdir(parents=True, exist_ok=True)
        with progress.step(f"downloading {package.name} {package.version}") as tell:
            for path in target.glob("*.deb"):
                if path.stat().st_size == package.size and sha256_of(path) == package.sha256:
                    return path
                path.unlink()
            total = package.size / 1e6

            def on_tick() -> None:
                partial = (self.directory / "archives" / "partial").glob("*.deb")
                here = sum(_size(path) for path in (*partial, *target.glob("*.deb")))
                tell(f"{here / 1e6:.0f} of {total:.0f} MB")

            log = self.directory / "download.log"
            done = self._apt_logged("download", f"{package.name}={package.version}", cwd=target,
                                    log=log, timeout=DOWNLOAD_SECONDS, on_tick=on_tick)  # fmt: skip
            found = list(target.glob("*.deb"))
            if done.status or len(found) != 1 or sha256_of(found[0]) != package.sha256:
                raise CommandError(["apt-get", "download"], done.status, tail=tail_of(log), log=log)
        for index in self.directory.glob("*pkgcache.bin"):
            index.unlink()  # 200 MB that apt makes again when it needs them
        return found[0]

    def binary(self, name: str, target: Path, progress: Progress) -> Path:
        """The file of the package called name, in the empty directory target.

        Only the suites that the machine names are asked. Raises InfraError.
        """
        self._prepare()
        with progress.step(f"downloading {name} for {self.architecture or 'here'}") as tell:
            tell("package lists")
            stems = {self.distro.codename, *self.distro.aliases}
            configured = _configured(self.directory)
            self._write_sources([suite for suite in configured if suite.stem in stems])
            log = self.directory / "update.log"
            self._apt_logged("update", log=log, timeout=UPDATE_SECONDS)
            tell("package")
            log = self.directory / "download.log"
            done = self._apt_logged("download", name, cwd=target, log=log, timeout=DOWNLOAD_SECONDS)
        found = list(target.glob("*.deb"))
        if done.status or len(found) != 1:
            raise CommandError(["apt-get", "download", name], done.status, tail=tail_of(log),
                               log=log)  # fmt: skip
        return found[0]

    # -- private -----------------------------------------------------------------------

    def _prepare(self) -> None:
        for name in ("lists/partial", "archives/partial", "state", "sources.list.d"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        (self.directory / "apt.conf").write_text(CONFIGURATION)

    def _command(self, program: str, *args: str) -> list[str]:
        """The command line of a program of apt's with the private state."""
        here = self.directory
        settings = {
            "Dir::State": here / "state",
            "Dir::State::lists": here / "lists",
            "Dir::State::status": here / "status",
            "Dir::Cache": here,
            # Without these files (some images turn them off) each question reads all lists.
            "Dir::Cache::pkgcache": here / "pkgcache.bin",
            "Dir::Cache::srcpkgcache": here / "srcpkgcache.bin",
            "Dir::Etc::SourceList": os.devnull,
            "Dir::Etc::SourceParts": here / "sources.list.d",
        }
        options = [f"--option={name}={value}" for name, value in settings.items()]
        if self.architecture:
            options.append(f"--option=APT::Architecture={self.architecture}")
            options.append(f"--option=APT::Architectures={self.architecture}")
        if os.geteuid() == 0 and not _reachable(here):
            # apt's own user cannot get at a directory below root's home.
            options.append("--option=APT::Sandbox::User=root")
        return [program, f"--config-file={here / 'apt.conf'}", *options, *args]

    def _apt(self, program: str, *args: str, check: bool = True) -> str:
        """Run a short question to apt; return its output."""
        return capture(self._command(program, *args), cwd=self.directory, check=check).output

    def _apt_logged(
        self,
        *args: str,
        log: Path,
        timeout: float,
        cwd: Path | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Finished:
        """Run apt-get, its output in a log; it does not outlive the tool."""
        command = self._command("apt-get", *args)
        done = run_logged(
            command, cwd=cwd or self.directory, log_file=log, timeout=timeout, on_tick=on_tick
        )
        if done.timed_out:
            raise CommandTimeout(["apt-get", *args], timeout, tail=tail_of(log), log=log)
        return done

    def _suites(self) -> list[Suite]:
        """The suites that the mirror has, each release by its codename.

        A release's alias ("stable") says its codename; mirrors and caches may keep an alias's
        files longer than those of the release itself, so that the codename is preferred.
        """
        wanted = family(_configured(self.directory), self.distro, ())
        there = self._there(wanted)
        stems = dict.fromkeys(codename.split("-")[0] for codename in there.values())
        stems.pop("", None)
        more = [suite for suite in family(wanted, self.distro, stems) if suite not in there]
        there |= self._there([suite for suite in more if suite not in wanted])
        return [
            suite
            for suite, codename in there.items()
            if (by_codename := suite.of(codename)) == suite or by_codename not in there
        ]

    def _there(self, suites: list[Suite]) -> dict[Suite, str]:
        """Those of the suites that the mirror has, with their codenames."""
        if not suites:
            return {}
        self._write_sources(suites, targets="none")  # the signed Release files only
        keep = "--option=APT::Get::List-Cleanup=false"  # the package lists of an earlier call
        self._apt_logged(keep, "update", log=self.directory / "update.log", timeout=UPDATE_SECONDS)
        codenames = {suite: self._codename(suite) for suite in suites}
        return {suite: codename for suite, codename in codenames.items() if codename}

    def _codename(self, suite: Suite) -> str:
        """The codename in a suite's Release file that apt has taken; "" where it has none."""
        name = suite.name.replace("/", "_")
        for path in (self.directory / "lists").glob(f"*_dists_{name}_*Release"):
            match = re.search(r"^Codename: (\S+)$", path.read_text(errors="replace"), re.MULTILINE)
            return match[1] if match else suite.name
        return ""

    def _write_sources(self, suites: Iterable[Suite], targets: str = "Packages") -> None:
        architecture = self.architecture
        if not architecture:
            shown = capture(["dpkg", "--print-architecture"], cwd=self.directory)
            architecture = shown.output.strip()
        signed = f"Signed-By: {self.distro.keyring}\n" if self.distro.keyring else ""
        by_site: dict[str, list[str]] = {}
        for suite in suites:
            by_site.setdefault(suite.uri, []).append(suite.name)
        stanzas = [
            f"Types: deb\nURIs: {uri}\nSuites: {' '.join(names)}\nComponents: main\n"
            f"Architectures: {architecture}\nTargets: {targets}\n{signed}"
            for uri, names in by_site.items()
        ]
        path = self.directory / "sources.list.d" / "mirror.sources"
        path.write_text("\n".join(stanzas))

    def _candidate(self, release: str) -> Package | None:
        major_minor = ".".join(release.split(".")[:2])
        for pattern in self.distro.packages:
            name = pattern.format(release=major_minor)
            shown = self._apt("apt-cache", "show", name, check=False)
            for fields in _stanzas(shown):
                package = self._package(name, fields)
                if package and release in (major_minor, package.upstream):
                    return package
        return None

    def _package(self, name: str, fields: dict[str, str]) -> Package | None:
        version = fields.get("Version", "")
        # apt-cache takes a name that it does not know for a pattern.
        if fields.get("Package") != name or not version or "SHA256" not in fields:
            return None
        table = self._apt("apt-cache", "madison", name)
        rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]
        where = next((row[2].split() for row in rows if len(row) == 3 and row[1] == version), [])
        suite = where[1].split("/")[0] if len(where) > 1 else "?"
        size = int(fields.get("Size", "0"))
        return Package(self.distro.name, name, version, size, fields["SHA256"], suite)


def _configured(cwd: Path) -> list[Suite]:
    """The suites in the machine's own configuration, whether their lists are there or not."""
    argv = ["apt-get", "indextargets", "--no-release-info", "--format",
            "$(REPO_URI)\t$(RELEASE)", "Created-By: Packages"]  # fmt: skip
    rows = [line.split("\t") for line in capture(argv, cwd=cwd).output.splitlines()]
    return list(dict.fromkeys(Suite(row[0], row[1].rstrip("/")) for row in rows if len(row) == 2))


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """The stanzas of a control file, without continuation lines."""
    for stanza in text.split("\n\n"):
        lines = [line for line in stanza.splitlines() if ":" in line and line[:1] != " "]
        if lines:
            yield {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _reachable(directory: Path) -> bool:
    """Whether every user may enter the directory."""
    return all(path.stat().st_mode & 0o001 for path in (directory, *directory.resolve().parents))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # moved to its place in the meantime
        return 0


@contextmanager
def source_tar(deb: Path) -> Iterator[IO[bytes]]:
    """The decompressed source tar inside a linux-source package, as a stream.

    Raises InfraError where there is none or it is damaged.
    """
    try:
        with (
            reading(["dpkg-deb", "--fsys-tarfile", str(deb)], cwd=deb.parent) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as package,
        ):
            for member in package:
                if member.isfile() and SOURCE_TARBALL.search(member.name):
                    content = package.extractfile(member)
                    assert content
                    yield decompressed(content, member.name)
                    return
    except tarfile.TarError as error:
        raise InfraError(f"{deb.name} is damaged: {error}") from None
    raise InfraError(f"{deb.name} has no kernel source in usr/src")
