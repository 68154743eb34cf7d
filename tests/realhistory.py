"""Sixty commits on a real kernel: the series of patches/fixes among harmless changes, three faults.

Two faults always show in a case each, the third in about every other boot. The harmless
commits are those of any history: most touch what a KUnit kernel is not built from, some are
comments, some change code, and two touch a header that nearly everything includes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, GitTree

COMMITS, GOOD = 60, 5
SERIES_AT = range(4, 40, 4)
"""Where the patches of the series come; the one with the suite is the first."""


@dataclass(frozen=True)
class Fault:
    """A planted fault: the number of its commit, its edits and the case that turns red."""

    number: int
    case: str
    edits: tuple[tuple[str, str], ...]
    always: bool = True


FAULTY = "mm/balloon.c"
FAULTS = (
    Fault(
        18,
        "movable_ops_balloon.list_dequeue_stops",
        (("\t\tif (n_pages == n_req_pages)\n", "\t\tif (n_pages)\n"),),
    ),
    Fault(
        33,
        "movable_ops_balloon.events_inflate_deflate",
        (("\t__count_vm_event(BALLOON_INFLATE);\n", "\t__count_vm_events(BALLOON_INFLATE, 2);\n"),),
    ),
    Fault(
        46,
        "movable_ops_balloon.managed_pages_inflate_deflate",
        (
            ("#include <linux/slab.h>\n", "#include <linux/slab.h>\n#include <linux/random.h>\n"),
            (
                "\tif (b_dev_info->adjust_managed_page_count)\n"
                "\t\tadjust_managed_page_count(page, -1);\n",
                "\tif (b_dev_info->adjust_managed_page_count && get_random_u32() % 2)\n"
                "\t\tadjust_managed_page_count(page, -1);\n",
            ),
        ),
        always=False,
    ),
)

ELSEWHERE = (
    "Documentation/mm/balance.rst",
    "drivers/net/loopback.c",
    "arch/x86/mm/init.c",
    "fs/ext4/super.c",
    "sound/core/init.c",
    "drivers/gpu/drm/drm_file.c",
)
BUILT = ("mm/mmap.c", "kernel/fork.c", "fs/namei.c", "lib/string.c", "mm/vmscan.c")
HEADER = "include/linux/mm.h"


def make_history(tree: GitTree, base: str, patches: Path = ROOT / "patches" / "fixes") -> list[str]:
    """The commits, oldest first; checks out in tree what they touch and nothing else."""
    series = sorted(patches.glob("*.patch"), key=lambda path: ("KUnit" not in path.name, path))
    touched = {*ELSEWHERE, *BUILT, HEADER, FAULTY}
    for patch in series:
        touched |= {
            line.split()[3].removeprefix("b/")
            for line in patch.read_text().splitlines()
            if line.startswith("diff --git ")
        }
    tree.git("sparse-checkout", "set", "--no-cone", *(f"/{path}" for path in sorted(touched)))
    tree.git("checkout", "-q", "--force", "--detach", base)
    faults = {fault.number: fault for fault in FAULTS}
    commits = []
    for number in range(1, COMMITS + 1):
        if number in SERIES_AT:
            tree.git("am", "-q", str(series[SERIES_AT.index(number)]))
        elif number in faults:
            fault = faults[number]
            file = tree.path / FAULTY
            text = file.read_text()
            for old, new in fault.edits:
                assert text.count(old) == 1, fault
                text = text.replace(old, new)
            file.write_text(text)
            tree.git("commit", "-q", "-a", "-m", f"mm/balloon: rework part {number}\n\nTidier.")
        else:
            _harmless(tree, number)
        commits.append(tree.git("rev-parse", "HEAD"))
    return commits


def _harmless(tree: GitTree, number: int) -> None:
    """A commit that changes nothing that a case could see."""
    if number in (10, 50):
        path, text = HEADER, ""
    elif number % 5 == 0:
        path, text = BUILT[number % len(BUILT)], f"/* Note {number}. */\n"
    elif number % 5 == 1:
        path = BUILT[number // 5 % len(BUILT)]
        text = f'static const char note_{number}[] __used = "{number}";\n'
    else:
        path, text = ELSEWHERE[number % len(ELSEWHERE)], f"/* Note {number}. */\n"
    file = tree.path / path
    if text:
        file.write_text(file.read_text() + text)
    else:
        file.write_text(f"/* Note {number}. */\n" + file.read_text())
    tree.git("commit", "-q", "-a", "-m", f"{path.partition('/')[0]}: note {number}\n\nTo read.")
