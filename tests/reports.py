"""A project of which there is something to report, and what a hostile test prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.apply import apply_stack
from memdesc_tool.cache import open_cache
from memdesc_tool.cells import Row
from memdesc_tool.console import Progress
from memdesc_tool.fates import Came, Fate, Fates, Trial, keep_fates
from memdesc_tool.measured import (
    Figure,
    PatchShare,
    keep_coverage,
    keep_figures,
    span_inputs,
)
from memdesc_tool.project import Project
from memdesc_tool.readsuite import find_suite
from memdesc_tool.results import open_store
from memdesc_tool.suitestate import state_of
from memdesc_tool.tree import resolve
from memdesc_tool.workspace import open_workspace
from tests.conftest import Ran, Tool, run_here
from tests.minikernel import FIXED, STEPS, MiniKernel

SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "<img src=x onerror=\"document.title='owned'\">"
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x1b[0m \x9b31m \u202egnp.exe \x00 \x08\x08"
HOSTILE_CASE = f"greets{SCRIPT}|`x`| @everyone"
SPLAT = f"""\
[    1.000000] ------------[ cut here ]------------
[    1.000001] WARNING: CPU: 0 PID: 1 at lib/count.c:3 count+0x1/0x2
[    1.000002] Modules linked in: {SCRIPT}{IMAGE}
[    1.000003] CPU: 0 PID: 1 Comm: {ESCAPES} Not tainted 7.3.0
[    1.000004] Call Trace:
[    1.000005]  count+0x1/0x2
[    1.000006] ---[ end trace 0000000000000000 ]---
"""

REQUIREMENTS = """\
[[requirement]]
id = "R1"
text = "The count is right."
patches = ["numbers/0002-*"]
tests = ["counting.right_number"]

[[requirement]]
id = "R2"
text = "Everybody is greeted."
patches = ["numbers/0003-*"]
tests = ["counting.greets*"]

[[requirement]]
id = "R3"
text = "<b>Nobody</b> has looked | yet."
patches = ["numbers/*"]
tests = ["counting.nothing*"]
"""


@dataclass(frozen=True)
class Reported:
    """A project with results, and how to report on it."""

    mini: MiniKernel
    tool: Tool
    cache: Path

    def run(self, command: str, *args: str | Path, **env: str) -> Ran:
        where = ("--project", self.mini.project, "--tree", self.mini.tree.path)
        return self.tool(command, *where, *args, **env)

    def measure(self) -> None:
        """Store coverage, mutants and figures of the whole stack."""
        progress, cache = Progress(), open_cache(self.cache)
        base = resolve(str(self.mini.tree.path), cache, progress)
        with open_workspace(cache, base, progress) as workspace, open_store(cache.results) as store:
            patches = Project(self.mini.project).stack().patches
            applied = apply_stack(workspace, base.commit, patches, progress)
            ends = [Row(0, "base", base.commit), Row(3, "tip", applied[-1].commit)]
            span = span_inputs(workspace, ends)
            label, slow = patches[1].label, patches[2].label
            missed = (f"lib/count.sh:4: echo {SCRIPT}",)
            keep_coverage(store, span, 0.0, [PatchShare(label, (3, 4), (1, 2), missed)])
            keep_fates(store, span, 0.0, self.mutants(label, slow))
            keep_figures(store, span, 0.0, [
                Figure("count one page", "instructions", "base", 40.0, 41.0, 42.0, 5),
                Figure("count one page", "instructions", label, 30.5, 31.0, 33.0, 5),
                Figure("count one page", "instructions", slow, 36.0, 37.2, 38.0, 5),
            ], "benchmark", ["base", label, slow])  # fmt: skip

    def mutants(self, second: str, third: str) -> Fates:
        """Nine mutants of two patches, six of them asked for; four were run, on um and in a guest,
        and one more with a suite that has changed since.
        """
        root = self.mini.project
        state = state_of(find_suite(root, "counting"), root)
        um, smp, guest, old = (f"counting/{arch}" for arch in ("um", "um-smp", "x86_64", "i386"))
        silent = Trial(um, Came.SILENT)

        def fate(patch: str, number: int, operator: str, line: str, became: str,
                 *trials: Trial, asked: bool = False) -> Fate:  # fmt: skip
            return Fate(patch, "lib/count.sh", number, operator, line, became, "", asked, trials)

        line = "count() {"
        every = (
            fate(third, 2, "no call", line, ";", silent, Trial(guest, Came.IDLE)),
            fate(second, 2, "bound", line, f"echo {SCRIPT}", silent, Trial(smp, Came.SILENT)),
            fate(second, 2, "flag", line, "echo same", silent),
            fate(second, 3, "negated", "x", "!x", silent, Trial(guest, Came.NOTICED, "a.b")),
            fate(second, 4, "no lock", "y", "older", Trial(old, Came.SILENT)),
            *(fate(third, n, "error code", "z", "w", asked=n < 11) for n in range(10, 14)),
        )
        suites = dict.fromkeys((um, smp, guest), ("counting", state))
        return Fates(every, {**suites, old: ("counting", "another")}, seeds=(7,))


def break_greeting(mini: MiniKernel, *, hostile: bool) -> None:
    """Make the third patch a bad one; hostile: with a suite whose output is an attack, too."""
    mini.make_series(
        *STEPS[:2], ("be short <b>& rude</b>", FIXED.replace("echo hello", "echo bye"))
    )
    if hostile:
        suite = mini.project / "kernel-test-modules" / "counting" / "counting.sh"
        text = suite.read_text().replace("2 greets", f"2 {HOSTILE_CASE}".replace("`", "\\`"))
        (suite.parent / "splat").write_text(SPLAT)
        noise = "\n".join(f"echo '{line}'" for line in SPLAT.replace("'", '"').splitlines())
        suite.write_text(text.replace('test "$(greet)"', f'{noise}\ntest "$(greet)"', 1))


def cached_tool(cache: Path) -> Tool:
    """Runs the tool with a cache that tests share."""

    def run(*args: str | Path) -> Ran:
        return run_here("--cache", cache, *args)

    return run
