"""The options of `memdesc-tool kunit`: those of the kernel's `kunit.py run`, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from memdesc_tool.commands.common import project_option, tree_options
from memdesc_tool.commands.completion import complete_arch, complete_suite

# As kunit.py: these options may stand without a value, and never take the next word.
BARE = {"--json": "stdout", "--junit": "stdout", "--raw_output": "kunit"}


@dataclass(frozen=True)
class Options:
    """What the command line asks for; names as its options'."""

    filter_glob: str | None
    tree_spec: str | None
    rev: str | None
    series: tuple[str, ...]
    upto: int | None
    suite: tuple[str, ...]
    overlay: bool
    arch: str
    kunitconfig: tuple[Path, ...]
    alltests: bool
    kconfig_add: tuple[str, ...]
    filter_option: str | None
    filter_attr: str | None
    filter_action: str | None
    kernel_args: tuple[str, ...]
    qemu_args: tuple[str, ...]
    qemu_config: Path | None
    make_options: tuple[str, ...]
    cross_compile: str | None
    jobs: int | None
    timeout: int | None
    build_dir: Path | None
    run_isolated: str | None
    list_tests: bool
    list_tests_attr: bool
    list_suites: bool
    raw_output: str | None
    json: str | None
    junit: str | None
    summary: bool
    failed: bool
    bisect: bool
    project: Path | None


class KunitCommand(click.Command):
    """Takes --json, --junit and --raw_output without a value, as kunit.py does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"{a}={BARE[a]}" if a in BARE else a for a in args])


def _option(name: str, *more: Any, **settings: Any) -> Any:
    """An option of kunit.py's, also in the spelling with dashes."""
    both = [name] if "_" not in name else [name, name.replace("_", "-")]
    return click.option(*both, *more, **settings)


_OPTIONS = (
    click.argument("filter_glob", required=False),
    tree_options,
    click.option(
        "--series",
        multiple=True,
        metavar="S",
        help="Apply this series and what it depends on; repeatable.",
    ),
    click.option(
        "--upto", type=int, metavar="N", help="Apply the first N patches of the stack only."
    ),
    click.option(
        "--suite",
        shell_complete=complete_suite,
        multiple=True,
        metavar="NAME",
        help="A suite of kernel-test-modules/ or a path; repeatable.",
    ),
    click.option(
        "--overlay/--no-overlay",
        default=True,
        help="Lay the suites over the revision where it lacks them [default: yes].",
    ),
    click.option(
        "--arch",
        shell_complete=complete_arch,
        default="um",
        metavar="ARCH",
        help="um, um-smp, x86_64, ... or one that the tree's kunit.py knows; "
        "all but um run in QEMU.",
    ),
    click.option(
        "--kunitconfig",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Kconfig fragment, or directory with a .kunitconfig; looked for in the tree, too; "
        "repeatable.",
    ),
    click.option("--alltests", is_flag=True, help="Use the tree's all_tests.config."),
    _option(
        "--kconfig_add",
        multiple=True,
        metavar="CONFIG_X=Y",
        help="One more option; overrides the fragments; repeatable.",
    ),
    click.option(
        "--filter",
        "filter_option",
        metavar="GLOB",
        help="Suites and cases to run, as FILTER_GLOB. A value with <, > or = is taken as "
        "kunit.py's --filter, which is --filter_attr here.",
    ),
    _option("--filter_attr", metavar="EXPR", help="Filter by attributes, such as speed>slow."),
    _option(
        "--filter_action",
        type=click.Choice(["skip"]),
        help="Report as skipped what the attribute filter leaves out.",
    ),
    _option(
        "--kernel_args",
        multiple=True,
        metavar="ARG",
        help="For the kernel command line; repeatable.",
    ),
    _option(
        "--qemu_args", multiple=True, metavar="ARGS", help='For QEMU, such as "-smp 8"; repeatable.'
    ),
    _option(
        "--qemu_config",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="A file such as qemu_configs/*.py of kunit.py; it is executed.",
    ),
    _option(
        "--make_options", multiple=True, metavar="X=Y", help="For make, such as LLVM=1; repeatable."
    ),
    _option("--cross_compile", metavar="PREFIX", help="make's CROSS_COMPILE."),
    click.option(
        "--jobs",
        type=click.IntRange(1),
        metavar="N",
        help="Jobs of make [default: all processors].",
    ),
    click.option(
        "--timeout",
        type=click.IntRange(1),
        metavar="SECONDS",
        help="For each run, without the build [default: the suites', else 300].",
    ),
    _option(
        "--build_dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="[default: one in the cache for each configuration]",
    ),
    _option(
        "--run_isolated", type=click.Choice(["suite", "test"]), help="Boot for each suite or test."
    ),
    _option("--list_tests", is_flag=True, help="List the tests instead."),
    _option(
        "--list_tests_attr", is_flag=True, help="List the tests with their attributes instead."
    ),
    _option("--list_suites", is_flag=True, help="List the suites instead."),
    _option(
        "--raw_output",
        type=click.Choice(["all", "full", "kunit"]),
        help="Print the console: KUnit's part, or all of it.",
    ),
    click.option(
        "--json",
        metavar="FILE",
        help="Results as JSON, to standard output without a FILE (--json=FILE).",
    ),
    click.option("--junit", metavar="FILE", help="Results as JUnit XML, likewise."),
    click.option("--summary", is_flag=True, help="Print the verdict only."),
    click.option(
        "--failed",
        is_flag=True,
        help="Print failures only (they always are; for kunit.py's users).",
    ),
    click.option(
        "--bisect",
        is_flag=True,
        help="Exit status for git bisect run: 125 for what cannot be built or applied, 128 for "
        "wrong use or trouble of the machine.",
    ),
    project_option,
)


def kunit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options and the argument of the command, in the order of its help."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
