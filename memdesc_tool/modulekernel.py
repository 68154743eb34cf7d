"""The kernels that modules are built for: configured with what the modules need, and built.

`prepared` only makes what compiling a module needs (a minute); its symbols are not known
then. `whole` builds image and modules. The lock of
the workspace that the source belongs to is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import build as building
from memdesc_tool import kconfig, kunit
from memdesc_tool.arch import DATA, Arch
from memdesc_tool.build import Build, BuildRequest, usable_cpus
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError
from memdesc_tool.kconfig import Fragment
from memdesc_tool.modules import ModuleSource, with_modules
from memdesc_tool.readsuite import read_suite
from memdesc_tool.suites import SUITE_FILE, Kind, Suite

TEST_OPTION = "_KUNIT_TEST"
"""How the option of a KUnit suite ends (Documentation/dev-tools/kunit/style.rst)."""
PREPARED_BYTES = 200_000_000


@dataclass(frozen=True)
class Source:
    """A checked-out kernel tree. builds: where build directories go; label: for people."""

    path: Path
    builds: Path
    label: str


@dataclass(frozen=True)
class Wanted:
    """What a kernel is configured with.

    needed: every option must be had; liked: of suites, what can be had.
    """

    needed: Fragment
    liked: Fragment = field(default_factory=Fragment)

    @property
    def fragment(self) -> Fragment:
        return self.liked.merge(self.needed)

    def without(self, missing: Iterable[str]) -> Wanted:
        """This without the liked options of these names."""
        left_out = set(missing)
        return replace(
            self,
            liked=Fragment(tuple(one for one in self.liked if one.name not in left_out)),
        )


def wanted(
    sources: Iterable[ModuleSource],
    fragments: Iterable[Fragment] = (),
    base: Fragment | None = None,
    suites: Iterable[Suite] = (),
) -> Wanted:
    """Modules, what the module directories and the fragments name, and suites as modules.

    base: what to start from; like the suites' options, what of it cannot be had is left out.
    """
    own = kconfig.read(DATA / "kconfig" / "modules.config")
    needed = own.merge(*(source.fragment for source in sources), *fragments)
    liked = base or Fragment()
    for suite in suites:
        for path in suite.configs:
            liked = liked.merge(as_module(kconfig.read(path)))
    return Wanted(needed, liked)


def project_suites(root: Path, kind: Kind) -> tuple[Suite, ...]:
    """The suites of a kind in kernel-test-modules/ of a project, by name of the directory."""
    paths = sorted((root / "kernel-test-modules").glob(f"*/{SUITE_FILE}"))
    return tuple(suite for path in paths if (suite := read_suite(path.parent)).kind is kind)


def as_module(fragment: Fragment) -> Fragment:
    """A suite's kunitconfig with its tests as modules."""
    return Fragment(
        tuple(
            replace(one, value="m") if one.name.endswith(TEST_OPTION) and one.value == "y" else one
            for one in fragment
        )
    )


def available() -> tuple[Arch, ...]:
    """The architectures that a compiler is installed for; variants of a kernel count."""
    found = []
    for name in architectures.names():
        arch = architectures.load(name)
        try:
            architectures.toolchain(arch)
        except InfraError:
            continue
        found.append(arch)
    return tuple(found)


@dataclass(frozen=True)
class ModuleKernel:
    """A kernel in its build directory. left_out: liked options that could not be had."""

    build: Build
    build_dir: Path
    left_out: tuple[str, ...] = ()


def prepared(
    source: Source, arch: Arch, wanted: Wanted, log_dir: Path, jobs: int | None,
    cache: Cache, progress: Progress,
) -> ModuleKernel:  # fmt: skip
    """A build directory in which modules can be compiled, not linked against symbols."""
    only = replace(arch, targets=("modules_prepare",), image="include/config/auto.conf")
    place = kunit.build_directory(source.builds, arch, wanted.fragment, ("modules_prepare",))
    if not place.exists():
        cache.need_space(PREPARED_BYTES, "a build directory")
    return _built(source, only, wanted, place, log_dir, jobs, progress, "prepare")


def whole(
    source: Source, arch: Arch, wanted: Wanted, log_dir: Path, jobs: int | None,
    cache: Cache, progress: Progress,
) -> ModuleKernel:  # fmt: skip
    """Image, modules and symbols."""
    place = kunit.build_directory(source.builds, arch, wanted.fragment, ("modules",))
    if not place.exists():
        cache.need_space(kunit.BUILD_BYTES, "a build directory")
    return _built(source, with_modules(arch), wanted, place, log_dir, jobs, progress, "build")


def _built(
    source: Source, arch: Arch, wanted: Wanted, place: Path, log_dir: Path, jobs: int | None,
    progress: Progress, verb: str,
) -> ModuleKernel:  # fmt: skip
    """Configured without what cannot be had of what is liked, and built.

    What the tree has for KUnit on the architecture is liked, too: no module needs it.
    """
    liked = replace(arch, kconfig=Fragment()).base_fragment(source.path)
    wanted = replace(wanted, liked=liked.merge(wanted.liked))
    arch = replace(arch, tree_kconfig="")
    left_out: tuple[str, ...] = ()
    with progress.step(f"{source.label}: {verb} {arch.name}") as tell:
        while True:
            request = BuildRequest(
                source.path, place, arch, wanted.fragment, log_dir / "build.log",
                jobs=jobs or usable_cpus(), explain=False,
            )  # fmt: skip
            tell("configuration")
            missing = {one.option.name for one in building.configure(request).missing}
            dropped = [
                one.name for one in wanted.liked
                if one.name in missing and wanted.needed.get(one.name) is None
            ]  # fmt: skip
            if not dropped:
                build = building.build(replace(request, explain=True), tell)
                return ModuleKernel(build, place, left_out)
            left_out = (*left_out, *dropped)
            wanted = wanted.without(dropped)
