"""What `modules build` and `modules bundle` have in common: options, and the kernel source."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from memdesc_tool import kconfig, vm
from memdesc_tool.apply import apply_stack
from memdesc_tool.arch import DATA
from memdesc_tool.commands.common import resolve_base
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.kconfig import Fragment
from memdesc_tool.modulekernel import Source
from memdesc_tool.overlay import overlay
from memdesc_tool.project import Project
from memdesc_tool.series import Stack
from memdesc_tool.suites import Suite
from memdesc_tool.workspace import open_workspace, workspace_key

AnyCommand = Callable[..., Any]


@dataclass(frozen=True)
class TreeOptions:
    """Which kernel source."""

    tree_spec: str | None
    rev: str | None
    series: tuple[str, ...]
    upto: int | None

    @property
    def given(self) -> bool:
        return bool(self.tree_spec or self.rev or self.series or self.upto is not None)


@dataclass(frozen=True)
class CheckedOut:
    """A kernel source, and what a manifest says of it."""

    source: Source
    facts: dict[str, str]


def series_options(command: AnyCommand) -> AnyCommand:
    """--series and --upto, as `vm` has them."""
    command = click.option(
        "--upto", type=int, metavar="N", help="The first N patches of the stack only."
    )(command)
    return click.option(
        "--series", multiple=True, metavar="S", help="Apply this series and what it depends on."
    )(command)


def kdir_option(command: AnyCommand) -> AnyCommand:
    """--kdir."""
    return click.option(
        "--kdir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help="For this build directory (O=) or these headers (/lib/modules/RELEASE/build)"
        " instead of a kernel of the tool's.",
    )(command)


@contextmanager
def checked_out(
    context: Context, project: Project, options: TreeOptions, suites: tuple[Suite, ...] = ()
) -> Iterator[CheckedOut]:
    """The source asked for, with the suites laid over it."""
    wants_stack = bool(options.series) or options.upto is not None
    stack = project.stack(options.series) if wants_stack else Stack(())
    base = resolve_base(context, options.tree_spec, options.rev, stack if wants_stack else None)
    with open_workspace(context.cache, base, context.progress) as workspace:
        commit = base.commit
        if applied := apply_stack(workspace, commit, stack.up_to(options.upto), context.progress):
            commit = applied[-1].commit
        laid = overlay(workspace, commit, suites)
        facts = {
            "base": base.origin,
            "commit": base.commit,
            "tree": workspace.scratch.tree(laid),
            "patches": str(len(applied)),
        }
        label = f"{Path(base.name).name} {commit[:12]}"
        yield CheckedOut(Source(workspace.checkout(laid), workspace.builds, label), facts)


def fragments(names: tuple[str, ...]) -> tuple[Fragment, ...]:
    """The fragments that --config names: files, or the tool's own ("debug"). UserError."""
    found = []
    for name in names:
        own = DATA / "kconfig" / f"vm-{name}.config"
        if not own.is_file() and not Path(name).exists():
            known = sorted(path.stem.removeprefix("vm-") for path in vm.FRAGMENTS.glob("vm-*"))
            raise UserError(f"there is no fragment {name}", f"a file, or {', '.join(known)}")
        found.append(kconfig.read(own if own.is_file() else Path(name)))
    return (kconfig.combine(found),) if found else ()


def log_directory(context: Context, what: str) -> Path:
    """A new directory for the logs of this call."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    return context.cache.logs / "modules" / f"{what}-{stamp}"


@contextmanager
def output_directory(context: Context, kdir: Path) -> Iterator[Path]:
    """Where modules for --kdir are built; nobody else's while the body runs."""
    place = context.cache.build / "modules" / workspace_key(kdir)
    with context.cache.lock(f"modules-{place.name}", on_wait=context.progress.note):
        yield place
