"""What must hold for every log: used by the property tests and, for minutes, by `make fuzz`."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from memdesc_tool import consolelog, ktap
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.ktap import Document
from tests.fuzz.logs import Node, Style, expected, render

SPLAT = (
    b"==================================================================\n"
    b"BUG: KASAN: slab-use-after-free in injected_function+0x10/0x20\n"
    b"Read of size 8 at addr ffff888100000000 by task injected/1\n\n"
    b"Call Trace:\n <TASK>\n injected_function+0x10/0x20\n injected_caller+0x1/0x2\n </TASK>\n"
    b"==================================================================\n"
)


def read(log: bytes) -> ConsoleReport:
    return consolelog.read(io.BytesIO(log))


def failing(document: Document) -> Counter[str]:
    """How often each name fails, of cases and of suites that fail by themselves."""
    return Counter(case.name for case in document.failures)


def log_of(tree: list[Node], style: Style, noise: list[str]) -> bytes:
    return "".join(render(tree, style, noise)).encode()


def injected_failure_is_kept(lines: list[bytes], where: int, number: int, indent: int) -> None:
    """A whole line `not ok` at a random place, with any number and any indentation."""
    at = where % (len(lines) + 1)
    like = lines[at - 1] if at else b""
    stamp = re.match(rb"(?:<\d>)?(?:\[ *\d+\.\d+\](?:\[ *T\d+\])? )?", like)
    line = (stamp[0] if stamp else b"") + b" " * indent + b"not ok %d injected\n" % number
    document = read(b"".join([*lines[:at], line, *lines[at:]])).document
    names = {name for case in document.failures for name in (*case.path, case.name)}
    assert "injected" in names, line
    before = failing(read(b"".join(lines)).document)
    lost = {name for name, count in before.items() if count and name not in names}
    assert not {name for name in lost if not name.startswith("(")}, lost


def truncated_is_never_good(tree: list[Node], style: Style, noise: list[str], cut: int) -> None:
    """A log with a plan, cut at any byte: good only if every case that it was to have passed."""
    log = log_of(tree, style, noise)
    log = log[: cut % (len(log) + 1)]
    report = read(log)
    if not report.good:
        return
    wanted = expected(tree)
    found = [((*case.path, case.name), case.status) for case in report.document.cases]
    # The last line may have been cut behind its number: its name then lacks an end.
    assert len(found) == len(wanted), (len(found), len(wanted))
    assert found[:-1] == wanted[:-1]
    assert not any(node.bad for node in tree[:-1])


def concatenated_keeps_both(one: bytes, other: bytes) -> None:
    """Two logs in one file: what fails in either fails in it, and no splat is lost."""
    one = one if one.endswith(b"\n") else one + b"\n"
    both, parts = read(one + other), (read(one), read(other))
    lost = sum((failing(part.document) for part in parts), Counter()) - failing(both.document)
    assert not lost, lost
    assert both.failed or not any(part.failed for part in parts)


def injected_splat_is_found(lines: list[bytes], where: int) -> None:
    at = where % (len(lines) + 1)
    before, after = read(b"".join(lines)), read(b"".join([*lines[:at], SPLAT, *lines[at:]]))
    prints = [splat.fingerprint for splat in after.splats]
    # In the middle of a report of the same crash it may be part of that one.
    assert any("injected_function" in one for one in prints), prints
    assert len(after.document.cases) >= len(before.document.cases)


def shortcut_changes_nothing(log: bytes) -> None:
    """Plain results are taken by a shorter way (ktapline.PLAIN): what is read is the same."""
    with _no_shortcut():
        slow = read(log)
    fast = read(log)
    assert fast.document == slow.document
    assert fast.splats == slow.splats


@contextmanager
def _no_shortcut() -> Iterator[None]:
    never = re.compile(rb"(?!)").match
    with mock.patch.object(ktap, "_PLAIN", never):
        yield
