"""memdesc-tool parse: what it prints, what it writes, how it exits."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from memdesc_tool import consolelog
from memdesc_tool.cache import open_cache
from memdesc_tool.commands.parse import parse
from memdesc_tool.console import Progress
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.junit import EXCERPT, as_json, junit, xml_text

ALL = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: s
    1..9
    ok 1 passed
    # why it failed
    not ok 2 failed
    ok 3 skipped # SKIP no device
    ok 4 xfail # XFAIL
    ok 5 xpass # XPASS
    not ok 6 timeout # TIMEOUT 45 seconds
    not ok 7 error # ERROR broken
    # gone: begin
WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: a/1
"""


def run(*args: str, log: str | bytes, tmp_path: Path) -> Result:
    data = log.encode() if isinstance(log, str) else log
    context = Context(open_cache(tmp_path / "cache"), Progress())
    return CliRunner().invoke(parse, ["-", *args], input=data, obj=context)


def test_what_people_read(tmp_path: Path) -> None:
    done = run(log=ALL, tmp_path=tmp_path)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == "failed: s.failed, line 8"
    assert "timeout: s.timeout, line 12: TIMEOUT 45 seconds" in lines
    assert "splat: WARNING: mm/x.c at f, line 15, during s.gone [warning:f]" in lines
    assert any(line.startswith("odd: results missing, line ") for line in lines)
    assert lines[-1] == (
        "FAILED: 1 passed, 1 failed, 1 skipped, 1 xfail, 1 xpass, 1 timeout, 1 error, 3 missing, "
        "1 splats"
    )


@pytest.mark.parametrize(
    ("log", "status", "verdict"),
    [
        ("KTAP version 1\n1..1\nok 1 a\n", 0, "passed: 1 passed"),
        ("KTAP version 1\n1..1\nok 1 a # SKIP\n", 0, "nothing ran: 1 skipped"),
        ("KTAP version 1\n1..1\nok 1 a # XFAIL\n", 0, "passed: 1 xfail"),
        ("KTAP version 1\n1..1\nok 1 a # XPASS\n", 1, "FAILED: 1 xpass"),
        ("KTAP version 1\n1..1\nnot ok 1 a # TIMEOUT\n", 1, "FAILED: 1 timeout"),
        ("KTAP version 1\n1..1\n", 1, "FAILED: 1 missing"),
        ("KTAP version 1\n1..0\n", 1, "FAILED: no test results found"),
        ("", 1, "FAILED: no test results found"),
        ("Linux version 7.3\n", 1, "FAILED: the kernel booted, no test results found"),
        ("Bail out! x\n", 1, "FAILED: 1 error, bailed out"),
        ("KTAP version 1\n1..1\nok 1 a\nBUG: Bad page state in process x\n", 1,
         "FAILED: 1 passed, 1 splats"),
    ],
)  # fmt: skip
def test_exit_status_and_verdict(log: str, status: int, verdict: str, tmp_path: Path) -> None:
    done = run(log=log, tmp_path=tmp_path)
    assert done.exit_code == status
    assert done.output.splitlines()[-1] == verdict


def test_junit_maps_every_status(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.xml"
    run("--junit", str(path), log=ALL, tmp_path=tmp_path)
    root = ElementTree.fromstring(path.read_bytes())
    found = {}
    for case in root.iter("testcase"):
        (*_, child) = [None, *case]
        kind = (child.tag, child.get("type")) if child is not None else None
        found[f"{case.get('classname')}.{case.get('name')}"] = kind
    assert found == {
        "s.passed": None,
        "s.failed": ("failure", "failed"),
        "s.skipped": ("skipped", None),
        "s.xfail": ("skipped", "xfail"),
        "s.xpass": ("failure", "xpass"),
        "s.timeout": ("failure", "timeout"),
        "s.error": ("error", "error"),
        "s.gone": ("error", "missing"),
        "s.(test 9)": ("error", "missing"),
        ".(test 2)": ("error", "missing"),
        "s.gone.WARNING: mm/x.c at f": ("error", "warning"),
    }
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert list(suites) == ["s", "(results)", "splats"]
    counts = {key: suites["s"].get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "9", "failures": "3", "errors": "3", "skipped": "2"}
    assert "why it failed" in (root.findtext(".//failure") or "")


def test_junit_is_xml_whatever_the_names_are(tmp_path: Path) -> None:
    name = bytes(range(1, 256)).replace(b"\n", b"").replace(b"\r", b"").replace(b"#", b"")
    log = b"KTAP version 1\n1..1\nnot ok 1 a]]>&<" + name + "\U0001f427\ufffe".encode() + b"\n"
    report = consolelog.read(io.BytesIO(log))
    root = ElementTree.fromstring(junit(report))
    (case,) = root.iter("testcase")
    assert "\\x01" in (case.get("name") or "")
    assert "\\ufffe" in (case.get("name") or "")
    assert "\U0001f427" in (case.get("name") or "")
    assert xml_text("a\x00b") == "a\\x00b"
    done = run(log=log, tmp_path=tmp_path)
    assert "\x01" not in done.output
    assert json.loads(as_json(report))["cases"][0]["status"] == "failed"


def test_what_a_terminal_obeys_is_harmless_and_bounded_in_junit() -> None:
    noise = "\x1b[2J \x9b31m \u202egnp \r \x7f" + "y" * 1000
    splat = "\n".join(f"# {n} {noise}" for n in range(EXCERPT + 7))
    log = f"KTAP version 1\n1..1\n{splat}\nnot ok 1 a\x9b31m\n".encode()
    written = junit(consolelog.read(io.BytesIO(log)), seconds=1.5)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written.decode())
    root = ElementTree.fromstring(written)
    text = root.findtext(".//failure") or ""
    assert len(text) < (EXCERPT + 1) * 500
    assert "\\x9b31m \\u202egnp" in text
    assert root.get("time") == "1.5"


def test_cases_of_one_name_stay_apart_in_junit() -> None:
    log = b"KTAP version 1\n1..2\nok 1 a\nnot ok 2 a\n"
    root = ElementTree.fromstring(junit(consolelog.read(io.BytesIO(log))))
    assert [case.get("name") for case in root.iter("testcase")] == ["a", "a#2"]


def test_json_has_everything(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    run("--json", str(path), log=ALL, tmp_path=tmp_path)
    data = json.loads(path.read_text())
    assert data["good"] is False
    assert data["truncated"] is True
    assert data["counts"]["missing"] == 3
    assert data["cases"][1]["id"] == "s.failed"
    assert data["cases"][1]["diagnostics"] == ["    # why it failed"]
    assert data["suites"][0]["id"] == "s"
    assert data["splats"][0]["fingerprint"] == "warning:f"
    assert data["splats"][0]["allowed"] is False
    assert {odd["kind"] for odd in data["oddities"]} == set(data["oddity_counts"])


def test_an_allow_list(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    entry = '[[allow]]\nfingerprint = "{0}"\nreason = "r"\nremove_when = "w"\n'
    path.write_text(entry.format("warning:f") + entry.format("bug:g"))
    log = "KTAP version 1\n1..1\nWARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: a/1\nok 1 a\n"
    done = run("--allow", str(path), log=log, tmp_path=tmp_path)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "allowed splat: WARNING: mm/x.c at f, line 3, during a",
        "allowance 2 matches nothing, remove it: bug:g",
        "passed: 1 passed",
    ]


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    context = Context(open_cache(tmp_path / "cache"), Progress())
    done = CliRunner().invoke(parse, [str(tmp_path / "none.log")], obj=context)
    assert isinstance(done.exception, UserError)
    (tmp_path / "file").write_text("")
    done = run("--json", str(tmp_path / "file" / "x"), log=ALL, tmp_path=tmp_path)
    assert isinstance(done.exception, UserError)
    assert "cannot write" in done.exception.message


def test_many_failures_are_cut_on_the_screen_only(tmp_path: Path) -> None:
    log = "KTAP version 1\n1..100\n" + "".join(f"not ok {n} c{n}\n" for n in range(1, 101))
    done = run("--json", str(tmp_path / "o"), log=log, tmp_path=tmp_path)
    assert "... and 70 more failures" in done.output
    assert len(json.loads((tmp_path / "o").read_text())["cases"]) == 100
