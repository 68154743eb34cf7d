"""The command line: registers the commands, turns errors into one line and an exit status."""

from __future__ import annotations

import errno
import importlib
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import click
from click.shell_completion import CompletionItem

from memdesc_tool import __version__
from memdesc_tool.cache import NO_SPACE_HINT, Cache, default_root, open_cache
from memdesc_tool.console import Progress, err
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, ToolError


class Lazy(NamedTuple):
    """Where a command is: module in memdesc_tool.commands and object in it; and the line that
    `--help` has of it, so that nothing is imported for that.
    """

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "apply": Lazy("apply", "apply", "Apply the stack, or series, to a base."),
    "bench": Lazy("bench", "bench", "Measure what a series costs, and the tool itself."),
    "bisect": Lazy("bisect", "bisect_command", "Find the first bad commit or patch."),
    "check": Lazy("check", "check_command", "Check a series patch by patch, as linux-mm would."),
    "cover": Lazy("cover", "cover_command", "Print the cover letter of a series."),
    "doctor": Lazy("doctor", "doctor", "Say what this machine can do, and what is missing."),
    "gc": Lazy("gc", "gc", "Give disk space back."),
    "generate": Lazy("generate", "generate_command", "Make the patches that come from sources."),
    "kselftest": Lazy(
        "kselftest", "kselftest_command", "Build one revision, run kselftest suites on it."
    ),
    "kunit": Lazy("kunit", "kunit", "Build one revision, run KUnit suites on it."),
    "modules": Lazy("modules", "modules_group", "Out-of-tree modules; tests for other machines."),
    "parse": Lazy("parse", "parse", "Say what a console log says."),
    "regress": Lazy("regress", "regress_command", "Test the base and every patch of the stack."),
    "report": Lazy("report", "report_command", "Show what is stored, as HTML, Markdown or JUnit."),
    "send": Lazy("send", "send_command", "Make a prep branch of b4, and mail of it."),
    "series": Lazy("series", "series", "The series in patches/."),
    "tree": Lazy("tree", "tree", "Releases in the cache."),
    "vm": Lazy("vm", "vm_command", "Boot one revision in QEMU."),
}
"""Every command by its name."""


MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENFILE, errno.EMFILE)
"""Errors of the machine that can come up wherever a file is written."""


class LazyGroup(click.Group):
    """Imports the module of a command only when that command is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        lazy = COMMANDS[name]
        loaded = importlib.import_module(f"memdesc_tool.commands.{lazy.module}")
        command: click.Command = getattr(loaded, lazy.attribute)
        command.short_help = lazy.summary
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=lazy.summary)
            for name, lazy in sorted(COMMANDS.items())
            if name.startswith(incomplete)
        ]


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="memdesc-tool")
@click.option(
    "--cache",
    "cache_root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The tool's own directory [default: $MEMDESC_TOOL_CACHE, else ~/.cache/memdesc-tool].",
)
@click.option("-v", "--verbose", count=True, help="Say what is done; twice: every command run.")
@click.pass_context
def cli(ctx: click.Context, cache_root: Path | None, verbose: int) -> None:
    """Generate, apply and regression-test a Linux kernel patch series, patch by patch.

    Without a command: where you are, and what comes next.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    logging.getLogger("git").setLevel(logging.WARNING)
    if ctx.invoked_subcommand is None:
        # Writes nothing, so no cache is made.
        here = importlib.import_module("memdesc_tool.commands.here")
        ctx.exit(here.print_here(Cache(cache_root or default_root())))
    ctx.obj = Context(open_cache(cache_root), Progress(verbose=verbose > 0), verbose)


def main() -> NoReturn:
    """The console script: runs the command line, never shows a traceback for expected errors."""
    signal.signal(signal.SIGTERM, _terminated)
    bisecting = "--bisect" in sys.argv[1:]
    try:
        result: Any = cli.main(standalone_mode=False)
        status = result if isinstance(result, int) else ExitStatus.OK
    except click.exceptions.Exit as leaving:
        status = leaving.exit_code
    except click.ClickException as error:
        error.show()
        status = ExitStatus.USAGE
    except (KeyboardInterrupt, click.Abort):
        err.print("memdesc-tool: interrupted; the same command goes on where it stopped")
        status = ExitStatus.INTERRUPTED
    except ToolError as error:
        err.print(f"memdesc-tool: {error.message}", markup=False, soft_wrap=True)
        if error.hint:
            err.print(f"  {error.hint}", markup=False, soft_wrap=True)
        status = error.exit_status
    except BrokenPipeError:
        sys.stderr.close()
        status = ExitStatus.FAILED
    except OSError as error:
        misused = error.errno == errno.ENAMETOOLONG or _no_directory()
        if not misused and error.errno not in MACHINE:
            raise
        name = str(error.filename or ("the working directory" if misused else "a file"))
        err.print(f"memdesc-tool: {name[:200]}: {error.strerror}", markup=False, soft_wrap=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            err.print(f"  {NO_SPACE_HINT}", markup=False, soft_wrap=True)
        status = ExitStatus.USAGE if misused else ExitStatus.INFRA
    if bisecting and status in (ExitStatus.USAGE, ExitStatus.INFRA, ExitStatus.INTERRUPTED):
        status = ExitStatus.BISECT_ABORT
    sys.exit(int(status))


def _no_directory() -> bool:
    """Whether the working directory was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
