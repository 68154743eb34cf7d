"""The command line: registers the commands, turns errors into one line and an exit status."""

from __future__ import annotations

import errno
import importlib
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from memdesc_tool import __version__
from memdesc_tool.cache import NO_SPACE_HINT, open_cache
from memdesc_tool.console import Progress, err
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, ToolError

COMMANDS = {
    "apply": ("apply", "apply"),
    "bench": ("bench", "bench"),
    "bisect": ("bisect", "bisect_command"),
    "check": ("check", "check_command"),
    "cover": ("cover", "cover_command"),
    "doctor": ("doctor", "doctor"),
    "gc": ("gc", "gc"),
    "generate": ("generate", "generate_command"),
    "kselftest": ("kselftest", "kselftest_command"),
    "kunit": ("kunit", "kunit"),
    "modules": ("modules", "modules_group"),
    "parse": ("parse", "parse"),
    "regress": ("regress", "regress_command"),
    "report": ("report", "report_command"),
    "send": ("send", "send_command"),
    "series": ("series", "series"),
    "tree": ("tree", "tree"),
    "vm": ("vm", "vm_command"),
}
"""Name of each command: (module in memdesc_tool.commands, object in it)."""


MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENFILE, errno.EMFILE)
"""Errors of the machine that can come up wherever a file is written."""


class LazyGroup(click.Group):
    """Imports the module of a command only when that command is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name]
        loaded = importlib.import_module(f"memdesc_tool.commands.{module}")
        command: click.Command = getattr(loaded, attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
    """Generate, apply and regression-test a Linux kernel patch series, patch by patch."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    logging.getLogger("git").setLevel(logging.WARNING)
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
        if error.errno not in (*MACHINE, errno.ENAMETOOLONG):
            raise
        name = str(error.filename or "a file")
        err.print(f"memdesc-tool: {name[:200]}: {error.strerror}", markup=False, soft_wrap=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            err.print(f"  {NO_SPACE_HINT}", markup=False, soft_wrap=True)
        too_long = error.errno == errno.ENAMETOOLONG
        status = ExitStatus.USAGE if too_long else ExitStatus.INFRA
    if bisecting and status in (ExitStatus.USAGE, ExitStatus.INFRA, ExitStatus.INTERRUPTED):
        status = ExitStatus.BISECT_ABORT
    sys.exit(int(status))


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
