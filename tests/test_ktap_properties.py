"""ktap, for any results in any log: the tree comes back, and no failure is lost."""

from __future__ import annotations

import io

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from memdesc_tool import consolelog
from memdesc_tool.junit import as_json, junit
from memdesc_tool.ktap import Document, Status, parse
from tests.fuzz.logs import NOISE, Node, Style, documents, expected, render, styles

noise = st.lists(st.sampled_from(NOISE), max_size=5)
many = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def doc(lines: list[str]) -> Document:
    return parse(io.BytesIO("".join(lines).encode()))


@many
@given(documents, styles, noise)
def test_the_tree_comes_back(tree: list[Node], style: Style, between: list[str]) -> None:
    document = doc(render(tree, style, between))
    found = [((*case.path, case.name), case.status) for case in document.cases]
    assert found == expected(tree)
    assert not document.incomplete


@many
@given(documents, styles, noise, st.data())
def test_a_lost_line_never_makes_a_bad_log_good(
    tree: list[Node], style: Style, between: list[str], data: st.DataObject
) -> None:
    assume(any(node.bad for node in tree))
    lines = render(tree, style, between)
    bad = [n for n, line in enumerate(lines) if any(
        word in line for word in ("not ok ", "XPASS")) and "XFAIL" not in line]  # fmt: skip
    kept = data.draw(st.sampled_from(bad))
    lost = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=len(lines)))
    assert doc([line for n, line in enumerate(lines) if n == kept or n not in lost]).failed


@many
@given(documents, styles, noise, st.data())
def test_a_lost_result_is_missed(
    tree: list[Node], style: Style, between: list[str], data: st.DataObject
) -> None:
    assume(style.plan)
    lines = render(tree, style, between)
    results = [n for n, line in enumerate(lines) if "ok " in line and "plan" not in line
               and any(f" {word}" in f" {line.lstrip(' #<>[]0123456789.T').lstrip()}"
                       for word in ("ok ", "not ok "))
               and not any(text and text in line for text in NOISE)]  # fmt: skip
    gone = data.draw(st.sampled_from(results))
    document = doc([line for n, line in enumerate(lines) if n != gone])
    assert document.failed


@many
@given(documents, styles, st.data())
def test_a_log_cut_anywhere_is_not_complete(
    tree: list[Node], style: Style, data: st.DataObject
) -> None:
    assume(style.plan)
    lines = render(tree, style, [])
    cut = data.draw(st.integers(1, len(lines) - 1))
    document = doc(lines[:cut])
    assert document.failed
    assert document.incomplete


@many
@given(documents, styles, noise, st.binary(max_size=40), st.integers(0, 10_000))
def test_bytes_in_the_log_never_raise(
    tree: list[Node], style: Style, between: list[str], junk: bytes, where: int
) -> None:
    log = "".join(render(tree, style, between)).encode()
    at = where % (len(log) + 1)
    report = consolelog.read(io.BytesIO(log[:at] + junk + log[at:]))
    ids = [case.id for case in report.document.cases]
    assert len(ids) == len(set(ids))
    assert junit(report)
    assert as_json(report)


@many
@given(st.binary(max_size=400))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    consolelog.read(io.BytesIO(data))


fragments = st.sampled_from(
    ["KTAP version 1", "TAP version 13", "1..2", "1..0 # SKIP", "ok 1 a", "ok 2", "not ok 2 b",
     "not ok", "# ", "    ", "\t", "\n", "\n", "\n", "[    1.000000] ", "# Subtest: a",
     "Bail out!", "#:ktap_test: b", "\r", "\0", " # SKIP", " # TIMEOUT", "ok 99999999999999999999",
     "Kernel panic - not syncing: x", "------------[ cut here ]------------", " f+0x1/0x2",
     "WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: a/1", "BUG: KASAN: x in f+0x1/0x2", "=====",
     "Call Trace:", "---[ end trace 0 ]---", "Oops: 0002 [#1]"]
)  # fmt: skip


@many
@given(st.lists(fragments, max_size=40))
def test_any_order_of_what_we_know_never_raises(parts: list[str]) -> None:
    log = "".join(parts).encode()
    report = consolelog.read(io.BytesIO(log))
    ids = [case.id for case in report.document.cases]
    assert len(ids) == len(set(ids))
    statuses = {case.status for case in report.document.cases}
    if report.document.bailed_out or Status.MISSING in statuses:
        assert report.failed
