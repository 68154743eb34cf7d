"""ktap: what each form of line means, and that nothing that failed or vanished is lost."""

from __future__ import annotations

import io
from textwrap import dedent

import pytest

from memdesc_tool.ktap import Case, Document, OddityKind, Status, parse


def doc(text: str | bytes) -> Document:
    data = dedent(text).encode() if isinstance(text, str) else text
    return parse(io.BytesIO(data))


def results(document: Document) -> dict[str, str]:
    return {case.id: case.status.value for case in document.cases}


def only(document: Document) -> Case:
    (case,) = document.cases
    return case


def kinds(document: Document) -> set[OddityKind]:
    return set(document.oddity_count)


KUNIT = """\
    KTAP version 1
    1..2
        KTAP version 1
        # Subtest: alpha
        # module: alpha
        1..2
        ok 1 one
            KTAP version 1
            # Subtest: two
            ok 1 p0
            not ok 2 p1
            # two: pass:1 fail:1 skip:0 total:2
        not ok 2 two
    # alpha: pass:1 fail:1 skip:0 total:2
    not ok 1 alpha
        KTAP version 1
        # Subtest: beta
        1..1
        ok 1 one # SKIP not here
    ok 2 beta # SKIP
"""


def test_nested_kunit_output_gives_leaf_cases_with_their_path() -> None:
    document = doc(KUNIT)
    assert results(document) == {
        "alpha.one": "passed",
        "alpha.two.p0": "passed",
        "alpha.two.p1": "failed",
        "beta.one": "skipped",
    }
    assert [suite.id for suite in document.suites] == ["alpha.two", "alpha", "beta"]
    assert document.cases[2].path == ("alpha", "two")
    assert not document.oddities
    assert not document.incomplete


@pytest.mark.parametrize(
    ("line", "status", "name", "text"),
    [
        ("ok 1 x", Status.PASSED, "x", ""),
        ("ok 1 - x", Status.PASSED, "x", ""),
        ("not ok 1 x", Status.FAILED, "x", ""),
        ("not ok 1 - x y", Status.FAILED, "x y", ""),
        ("ok 1 x # SKIP no device", Status.SKIPPED, "x", "SKIP no device"),
        ("ok 1 x # skip", Status.SKIPPED, "x", "SKIP"),
        ("not ok 1 x # SKIP", Status.SKIPPED, "x", "SKIP"),
        ("not ok 1 x # TIMEOUT 45 seconds", Status.TIMEOUT, "x", "TIMEOUT 45 seconds"),
        ("ok 1 x # TIMEOUT", Status.TIMEOUT, "x", "TIMEOUT"),
        ("ok 1 # XFAIL x", Status.XFAIL, "x", "XFAIL"),
        ("not ok 1 x # XFAIL known", Status.XFAIL, "x", "XFAIL known"),
        ("not ok 1 x # TODO", Status.XFAIL, "x", "TODO"),
        ("ok 1 x # TODO", Status.PASSED, "x", "TODO"),
        ("ok 1 # XPASS x", Status.XPASS, "x", "XPASS"),
        ("not ok 1 # error x", Status.ERROR, "x", "ERROR"),
        ("not ok 1 x # ERROR: bad", Status.ERROR, "x", "ERROR bad"),
        ("not ok 1 x # exit=1", Status.FAILED, "x", "exit=1"),
        ("not ok 1 # exit=1", Status.FAILED, "(test 1)", "exit=1"),
        ("ok 1 check return code # rcode=0", Status.PASSED, "check return code", "rcode=0"),
        ("ok 1 issue#3", Status.PASSED, "issue#3", ""),
        ("ok 1 a #b c", Status.PASSED, "a #b c", ""),
        ("ok 1 a # b # SKIP c", Status.SKIPPED, "a # b", "SKIP c"),
        ("not ok 1 a # SKIPPED check", Status.FAILED, "a", "SKIPPED check"),
        ("not ok 1 a \\# SKIP b", Status.FAILED, "a # SKIP b", ""),
        ("not ok 1 a # TIMEOUT 3 # SKIP", Status.TIMEOUT, "a", "TIMEOUT 3 # SKIP"),
        ("not ok 1 a # SKIP x # TIMEOUT", Status.TIMEOUT, "a # SKIP x", "TIMEOUT"),
        ("not ok 1", Status.FAILED, "(test 1)", ""),
        ("ok 1 - ", Status.PASSED, "(test 1)", ""),
    ],
)
def test_result_lines(line: str, status: Status, name: str, text: str) -> None:
    case = only(doc(f"TAP version 13\n1..1\n{line}\n"))
    assert (case.status, case.name, case.text) == (status, name, text)
    assert case.line == 3


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_good_bad_or_not_run(status: Status) -> None:
    bad = {"failed", "xpass", "timeout", "error", "crashed", "missing"}
    assert status.failed == (status.value in bad)
    assert status.error == (status.value in {"error", "crashed", "missing"})
    assert status.skipped == (status.value == "skipped")
    assert status.ran == (status.value not in {"skipped", "missing"})


def test_what_a_plan_announces_and_never_comes_is_missing() -> None:
    document = doc("KTAP version 1\n1..4\nok 1 a\nok 3 c\n")
    assert results(document) == {
        "a": "passed",
        "c": "passed",
        "(test 2)": "missing",
        "(test 4)": "missing",
    }
    assert document.incomplete
    assert {OddityKind.WRONG_NUMBER, OddityKind.INCOMPLETE} <= kinds(document)


def test_a_huge_plan_does_not_cost_memory() -> None:
    document = doc("KTAP version 1\n1..999999999999999\nok 1 a\n")
    assert len(document.cases) < 200
    assert document.cases[-1].name == "(tests 102-1000000000)"


def test_gaps_without_a_plan_are_missing() -> None:
    document = doc("TAP version 13\nok 1 a\nnot ok 4 d\n")
    assert results(document) == {
        "a": "passed",
        "d": "failed",
        "(test 2)": "missing",
        "(test 3)": "missing",
    }
    assert OddityKind.NO_PLAN in kinds(document)


def test_results_beyond_the_plan_count() -> None:
    document = doc("KTAP version 1\n1..1\nok 1 a\nnot ok 2 b\n")
    assert results(document) == {"a": "passed", "b": "failed"}
    assert OddityKind.BEYOND_PLAN in kinds(document)


def test_wrong_numbers_lose_nothing_and_invent_nothing() -> None:
    document = doc("KTAP version 1\n1..3\nok 1 a\nok 1 b\nnot ok 9 c\n")
    assert results(document) == {"a": "passed", "b": "passed", "c": "failed"}
    assert OddityKind.WRONG_NUMBER in kinds(document)
    assert not document.incomplete


def test_duplicate_names_get_their_own_ids() -> None:
    document = doc("KTAP version 1\n1..4\nok 1 a\nnot ok 2 a\nok 3 a#2\nok 4 a\n")
    assert [case.id for case in document.cases] == ["a", "a#2", "a#2#2", "a#3"]
    assert [case.name for case in document.cases] == ["a", "a", "a#2", "a"]
    assert document.oddity_count[OddityKind.DUPLICATE_NAME] == 3


def test_parent_ok_with_a_failed_child_fails() -> None:
    document = doc("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 a\nok 1 s\n")
    assert results(document) == {"s.a": "failed"}
    assert document.suites[0].status is Status.FAILED
    assert OddityKind.PARENT_OK in kinds(document)


def test_parent_not_ok_with_good_children_is_a_failure_of_its_own() -> None:
    document = doc("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 s\n")
    assert results(document) == {"s.a": "passed", "s": "failed"}
    assert OddityKind.PARENT_NOT_OK in kinds(document)


def test_a_program_that_times_out_reports_that_and_what_it_lacks() -> None:
    document = doc("""\
        TAP version 13
        1..1
        # selftests: mm: foo
        # TAP version 13
        # 1..3
        # ok 1 a
        # not ok 2 b
        not ok 1 selftests: mm: foo # TIMEOUT 45 seconds
        """)
    assert results(document) == {
        "selftests: mm: foo.a": "passed",
        "selftests: mm: foo.b": "failed",
        "selftests: mm: foo.(test 3)": "missing",
        "selftests: mm: foo": "timeout",
    }


def test_a_program_that_skips_in_the_middle_lacks_nothing() -> None:
    document = doc("""\
        TAP version 13
        1..1
        # TAP version 13
        # 1..3
        # ok 1 # SKIP no huge pages
        ok 1 selftests: mm: foo # SKIP
        """)
    assert set(results(document).values()) == {"skipped"}
    assert len(document.cases) == 3
    assert not document.incomplete


@pytest.mark.parametrize("header", ["# TAP version 13\n# 1..1\n", "# 1..1\n", ""])
def test_kselftest_programs_nest_with_and_without_a_header(header: str) -> None:
    body = (
        f"TAP version 13\n1..1\n# selftests: mm: x\n{header}# not ok 1 a b\nnot ok 1 x # exit=1\n"
    )
    assert results(doc(body)) == {"x.a b": "failed"}


def test_a_comment_that_mentions_ok_is_no_result() -> None:
    document = doc("KTAP version 1\n1..1\n# ok 12 pages moved\n# nothing not ok here\nok 1 a\n")
    assert results(document) == {"a": "passed"}


def test_harness_output_names_the_test_that_ran() -> None:
    document = doc("TAP version 13\n1..2\n#  RUN           global.a ...\n"
                   "#            OK  global.a\nok 1 global.a\n"
                   "#  RUN           global.b ...\n")  # fmt: skip
    assert results(document) == {"global.a": "passed", "global.b": "missing"}


@pytest.mark.parametrize(
    "ended", ["", "Kernel panic - not syncing: a b\n", "[    1.5] Kernel panic - not syncing: x\n"]
)  # fmt: skip
def test_a_case_that_was_running_at_the_end(ended: str) -> None:
    log = (
        "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: s\n    1..3\n    ok 1 a\n"
        "    # b: initializing\n" + ended
    )
    document = doc(log)
    assert results(document) == {
        "s.a": "passed",
        "s.b": "crashed" if ended else "missing",
        "s.(test 3)": "missing",
        "(test 2)": "missing",
    }
    assert document.incomplete


def test_a_suite_whose_result_line_never_came() -> None:
    suite = "    KTAP version 1\n    # Subtest: {0}\n    1..1\n    ok 1 a\n"
    document = doc("KTAP version 1\n1..2\n" + suite.format("s") + suite.format("t") + "ok 2 t\n")
    assert results(document) == {"s.a": "passed", "s": "missing", "t.a": "passed"}


def test_a_leaf_result_does_not_end_somebody_elses_subtest() -> None:
    document = doc("KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: s\n    1..1\n"
                   "    ok 1 a\nok 2 t # SKIP\n")  # fmt: skip
    assert results(document) == {"s.a": "passed", "s": "missing", "t": "skipped"}


def test_a_renamed_suite_is_odd_only() -> None:
    document = doc("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n"
                   "    ok 1 a\nok 1 other\n")  # fmt: skip
    assert results(document) == {"other.a": "passed"}
    assert kinds(document) == {OddityKind.NAME_MISMATCH}


def test_bail_out_is_a_failure() -> None:
    document = doc("TAP version 13\n1..2\nok 1 a\nBail out! no memory\n")
    assert document.bailed_out
    assert document.failed
    assert results(document) == {"a": "passed", "Bail out!": "error", "(test 2)": "missing"}


def test_bail_out_of_a_program_and_of_nothing() -> None:
    document = doc("TAP version 13\n1..1\n# TAP version 13\n# Bail out! x\nok 1 p\n")
    assert results(document) == {"p.Bail out!": "error"}
    assert doc("Bail out! early\n").failed


@pytest.mark.parametrize(
    "prefix",
    [
        "[    0.{0:06}] ",
        "[   {0}.123456][    T1] ",
        "[{0:5}.123456] [ T{0}] ",
        "<6>[   {0}.000001] ",
        "<14>",
        "[    T{0}] ",
        "Nov 23 02:20:{0:02} host kernel: [{0:5}.000000] ",
        "2026-11-23T02:20:{0:02}.123+00:00 host kernel: ",
        "console-{0}> ",
        "board {0} | ",
    ],
)
def test_prefixes_that_grow_are_no_part_of_the_results(prefix: str) -> None:
    lines = dedent(KUNIT).splitlines()
    log = "".join(prefix.format(n**3) + line + "\n" for n, line in enumerate(lines, 1))
    assert results(doc(log)) == results(doc(KUNIT))


def test_time_stamps_that_begin_after_the_version_line() -> None:
    first, *lines = dedent(KUNIT).splitlines()
    log = f"{first}\n" + "".join(f"[    0.000001] {line}\n" for line in lines)
    assert results(doc(log)) == results(doc(KUNIT))


def test_kernel_and_program_results_interleave() -> None:
    document = doc("""\
        TAP version 13
        1..2
        ok 1 first
        [    1.000000] KTAP version 1
        [    1.000000] 1..1
        ok 2 second
        [    1.000001]     KTAP version 1
        [    1.000001]     # Subtest: s
        [    1.000001]     1..1
        [    1.000001]     not ok 1 a
        [    1.000001] not ok 1 s
        """)
    assert results(document) == {"first": "passed", "second": "passed", "s.a": "failed"}
    assert document.documents == 2
    assert not document.incomplete


def test_messages_that_run_into_results() -> None:
    document = doc(
        "[    1.000000] KTAP version 1\n[    1.000000] 1..3\n"
        "[    1.000000] ok 1 a[    1.000001] usb: hello\n"
        "starting[    1.000002] not ok 2 b\n"
        "[    1.000003] half a messagenot ok 3 c\n[    1.000003] noise not ok 3 d\n"
    )
    assert results(document) == {"a": "passed", "b": "failed", "d": "failed"}
    assert document.oddity_count[OddityKind.GLUED] == 3


def test_documents_one_after_another() -> None:
    one = "KTAP version 1\n1..1\nnot ok 1 a\n"
    document = doc(one + "[ 1.0] reboot\n" + one)
    assert results(document) == {"a": "failed", "a#2": "failed"}
    assert [case.document for case in document.cases] == [1, 2]
    assert document.documents == 2


def test_a_document_cut_off_by_the_next() -> None:
    document = doc("KTAP version 1\n1..2\nok 1 a\nKTAP version 1\n1..1\nok 1 a\n")
    assert results(document) == {"a": "passed", "(test 2)": "missing", "a#2": "passed"}


def test_a_log_whose_head_is_lost() -> None:
    document = doc("        not ok 2 b\n    not ok 1 s\n    ok 2 t\nnot ok 1 u\n")
    assert results(document) == {"u.s.b": "failed", "u.s.(test 1)": "missing", "u.t": "passed"}
    assert OddityKind.NO_VERSION in kinds(document)


@pytest.mark.parametrize("version", ["KTAP version 1", "KTAP version 2"])
def test_draft_v2_lines(version: str) -> None:
    document = doc(f"""\
        {version}
        #:ktap_arch: um
        1..1
          {version}
          #:ktap_test: suite
          #:ktap_speed: slow
          1..1
          not ok 1 a
        not ok 1 suite
        """)
    assert results(document) == {"suite.a": "failed"}
    assert not document.oddities


def test_tap_without_numbers_and_with_the_plan_at_the_end() -> None:
    document = doc("TAP version 14\nok - a\nnot ok - b\nnot ok\nok # SKIP c\n1..5\n")
    assert list(results(document).values()) == ["passed", "failed", "failed", "skipped", "missing"]
    assert {OddityKind.NO_NUMBER, OddityKind.LATE_PLAN} <= kinds(document)


def test_ok_without_a_number_cannot_hide_a_missing_result() -> None:
    document = doc("KTAP version 1\n1..1\nok\nok - a\n")
    assert list(results(document).values()) == ["missing"]
    assert list(results(doc("KTAP version 1\n1..1\nnot ok\n")).values()) == ["failed"]


def test_tap14_subtests_without_indentation() -> None:
    document = doc("TAP version 14\n1..2\n# Subtest: s\n1..2\nok 1 s\nnot ok 2 b\nnot ok 1 s\n"
                   "ok 2 t\n")  # fmt: skip
    assert results(document) == {"s.s": "passed", "s.b": "failed", "t": "passed"}
    assert OddityKind.FLAT in kinds(document)


def test_a_case_may_have_the_name_of_its_suite() -> None:
    document = doc("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n"
                   "    ok 1 s\n    not ok 2 t\nnot ok 1 s\n")  # fmt: skip
    assert results(document) == {"s.s": "passed", "s.t": "failed"}


def test_nothing_but_a_version_line_is_an_error() -> None:
    assert list(results(doc("KTAP version 1\n")).values()) == ["missing"]
    assert list(results(doc("noise\n")).values()) == []
    assert not doc("").found


def test_an_empty_plan() -> None:
    assert not doc("KTAP version 1\n1..0\n").found
    document = doc("TAP version 13\n1..0 # SKIP needs root\n")
    assert only(document).status is Status.SKIPPED
    assert not document.ran


def test_plans_that_contradict() -> None:
    document = doc("KTAP version 1\n1..1\n1..3\nok 1 a\n")
    assert len(document.cases) == 3
    assert OddityKind.DUPLICATE_PLAN in kinds(document)
    document = doc("KTAP version 1\n1..1\nok 1 a\n1..1\nnot ok 1 b\n")
    assert results(document) == {"a": "passed", "b": "failed"}


def test_versions_nobody_knows_are_odd() -> None:
    assert OddityKind.UNKNOWN_VERSION in kinds(doc("KTAP version 7\n1..1\nok 1 a\n"))
    assert OddityKind.UNKNOWN_VERSION in kinds(doc("TAP version 1\n1..1\nok 1 a\n"))


def test_bytes_that_are_no_text() -> None:
    log = dedent(KUNIT).encode().replace(b"\n", b"\r\n")
    assert results(doc(log)) == results(doc(KUNIT))
    assert results(doc(log.replace(b"o", b"\0o\0"))) == results(doc(KUNIT))
    assert results(doc(log.replace(b"not", b"\x1b[31mnot\x1b[0m"))) == results(doc(KUNIT))
    document = doc(b"KTAP version 1\n1..2\nok 1 a\xff\nnot ok 2 a\xfe\n")
    assert results(document) == {"a\\xff": "passed", "a\\xfe": "failed"}


def test_lines_of_megabytes() -> None:
    huge = b"x" * 3_000_000
    document = doc(b"KTAP version 1\n1..3\nok 1 a\n" + huge + b"\nnot ok 2 b" + huge + b"\n"
                   + huge + b"[    1.000000] not ok 3 c\n")  # fmt: skip
    assert [case.status.value for case in document.cases] == ["passed", "failed", "failed"]
    assert len(document.cases[1].name) <= 8192
    assert all(len(note) <= 500 for note in document.cases[2].diagnostics)


def test_many_messages_in_one_line() -> None:
    line = b"".join(b"[    1.%06d] x" % n for n in range(100_000))
    document = doc(b"[    1.000000] KTAP version 1\n[    1.000000] 1..1\n" + line
                   + b"[    2.000000] not ok 1 a\n")  # fmt: skip
    assert results(document) == {"a": "failed"}


def test_a_progress_bar_before_a_result() -> None:
    assert results(doc(b"TAP version 13\n1..1\n 10%\r 100%\rnot ok 1 a\n")) == {"a": "failed"}


def test_diagnostics_are_kept_for_failures_only_and_bounded() -> None:
    notes = "".join(f"    # n{n}\n" for n in range(500))
    document = doc(f"KTAP version 1\n1..2\n{notes}ok 1 a\n    # why\nunknown\nnot ok 2 b\n")
    assert document.cases[0].diagnostics == ()
    assert document.cases[1].diagnostics == ("    # why", "unknown")
    document = doc(f"KTAP version 1\n1..1\n{notes}not ok 1 a\n")
    kept = document.cases[0].diagnostics
    assert (kept[0], kept[-1], len(kept)) == ("    # n0", "    # n499", 50)


def test_a_log_that_ends_inside_of_a_line() -> None:
    document = doc("KTAP version 1\n1..2\nok 1 a\nnot ok 2 b")
    assert results(document) == {"a": "passed", "b": "failed"}
    assert OddityKind.TRUNCATED in kinds(document)


def test_counts_and_verdict() -> None:
    document = doc(KUNIT)
    assert document.counts() == {Status.PASSED: 2, Status.FAILED: 1, Status.SKIPPED: 1}
    assert document.failed
    assert [case.id for case in document.failures] == ["alpha.two.p1"]
    assert document.ran
    assert not doc("KTAP version 1\n1..1\nok 1 a # SKIP\n").ran


def test_oddities_are_counted_all_and_kept_up_to_a_bound() -> None:
    document = doc("KTAP version 1\n" + "ok 7 a\n" * 3000)
    assert len(document.oddities) == 1000
    assert document.oddity_count[OddityKind.WRONG_NUMBER] == 3000
