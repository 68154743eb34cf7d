"""consolelog: results and splats of one log, attributed to each other."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from memdesc_tool import consolelog
from memdesc_tool.allow import default_allowed, load_allowed, unused
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import UserError
from memdesc_tool.splat import Kind

LOGS = Path(__file__).parent / "data" / "logs"
WARNING = "WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: a/1\n---[ end trace 0 ]---\n"


def read(text: str) -> ConsoleReport:
    return consolelog.read(io.BytesIO(text.encode()))


def test_a_splat_belongs_to_the_case_that_was_running() -> None:
    report = consolelog.read(LOGS / "x86-oops.log")
    (splat,) = report.splats
    assert splat.case == "pages.isolate_case"
    assert report.failed
    assert not report.panicked


@pytest.mark.parametrize(
    ("at", "case"),
    [
        (0, ""), (2, "s"), (3, "s"), (5, "s.a"), (6, "s.p"), (8, "s.p.p0"), (9, "s.p.p1"),
        (10, "s.p"), (11, "s"), (12, ""),
    ],
)  # fmt: skip
def test_attribution_at_every_place(at: int, case: str) -> None:
    lines = [
        "KTAP version 1\n", "1..1\n", "    KTAP version 1\n", "    # Subtest: s\n", "    1..2\n",
        "    ok 1 a\n", "        KTAP version 1\n", "        # Subtest: p\n",
        "        ok 1 p0\n", "        ok 2 p1\n", "    ok 2 p\n", "ok 1 s\n",
    ]  # fmt: skip
    log = "".join([*lines[:at], WARNING, *lines[at:]])
    (splat,) = read(log).splats
    assert splat.case == case


def test_a_splat_fails_a_run_whose_cases_passed() -> None:
    report = read(f"KTAP version 1\n1..1\n{WARNING}ok 1 a\n")
    assert not report.document.failed
    assert report.failed
    assert not report.good


def test_a_panic_in_the_middle_names_the_case() -> None:
    report = read(
        "Linux version 7.3.0\n[    1.000000] KTAP version 1\n[    1.000000] 1..1\n"
        "[    1.000000]     KTAP version 1\n[    1.000000]     # Subtest: s\n"
        "[    1.000000]     1..2\n[    1.000000]     # b: begin\n"
        "[    1.000000] Kernel panic - not syncing: Fatal exception\n[    1.000000] CPU: 0\n"
    )
    assert [case.status.value for case in report.document.cases] == ["crashed", "missing"]
    assert report.splats[0].case == "s.b"
    assert report.panicked
    assert report.truncated
    assert report.booted


def test_an_oops_makes_a_case_that_never_reports_crashed() -> None:
    report = read("KTAP version 1\n1..1\nBUG: kernel NULL pointer dereference, address: 00\n")
    assert [case.status.value for case in report.document.cases] == ["crashed"]
    report = read("KTAP version 1\n1..1\n" + WARNING)
    assert [case.status.value for case in report.document.cases] == ["missing"]


def test_the_deliberate_fault_of_kunit_is_allowed() -> None:
    report = read(
        "KTAP version 1\n1..1\nBUG: kernel NULL pointer dereference, address: 0000000000000000\n"
        "Oops: Oops: 0002 [#1] SMP\nRIP: 0010:kunit_test_null_dereference+0x1/0x2\n"
        "---[ end trace 0 ]---\nok 1 kunit_test_fault_null_dereference\n"
    )
    assert report.good
    assert [splat.kind for splat in report.allowed] == [Kind.OOPS]


def test_reports_that_a_suite_provokes_are_allowed_in_that_suite_only() -> None:
    log = (
        "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: {0}\n    1..1\n"
        "BUG: KASAN: use-after-free in f+0x1/0x2\n    ok 1 a\nok 1 {0}\n"
    )
    assert read(log.format("kasan")).good
    assert not read(log.format("mm_kasan")).good


def test_no_root_file_system_after_the_tests_is_allowed_but_hides_nothing() -> None:
    panic = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(98,0)\n"
    assert read("KTAP version 1\n1..1\nok 1 a\n" + panic).good
    assert not read("KTAP version 1\n1..2\nok 1 a\n" + panic).good


def test_um_without_a_device_id_for_pci_is_allowed() -> None:
    """Kernels as old as 6.1 warn by themselves, with the options that they ask for KUnit."""
    log = (
        "WARNING: CPU: 0 PID: 1 at arch/um/drivers/virt-pci.c:{0} um_pci_init+0x99/0xa2\n"
        "---[ end trace 0 ]---\nKTAP version 1\n1..1\nok 1 a\n"
    )
    assert read(log.format(886)).good
    assert not read(log.replace("um_pci_init", "um_pci_probe").format(886)).good


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


ENTRY = 'reason = "r"\nremove_when = "w"\n'


def test_the_users_list_and_what_it_no_longer_needs(tmp_path: Path) -> None:
    path = write(
        tmp_path / "known.toml",
        f'[[allow]]\nfingerprint = "warning:f"\n{ENTRY}'
        f'[[allow]]\ntitle = "never seen"\n{ENTRY}'
        f'[[allow]]\ntitle = "mm/x.c"\ncase = "other"\n{ENTRY}'
        f'[[allow]]\ntitle = "mm/x.c"\nkind = "oops"\n{ENTRY}',
    )
    entries = load_allowed(path)
    log = f"KTAP version 1\n1..1\n{WARNING}ok 1 a\n".encode()
    report = consolelog.read(io.BytesIO(log), entries)
    assert report.good
    assert [splat.fingerprint for splat in report.allowed] == ["warning:f"]
    assert [entry.number for entry in report.unused] == [2, 3, 4]
    assert report.unused[0].what == "never seen"
    assert unused(entries, []) == entries


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[allow]]\ntitle = 'x'\nremove_when = 'w'\n", "entry 1: field reason is missing"),
        ("[[allow]]\ntitle = 'x'\nreason = 'w'\n", "entry 1: field remove_when is missing"),
        (f"[[allow]]\n{ENTRY}", "entry 1: field fingerprint or title is missing"),
        (f"[[allow]]\ntitle = 'x'\n{ENTRY}[[allow]]\nwhy = 'x'\n", "entry 2: unknown field why"),
        (f"[[allow]]\ntitle = 3\n{ENTRY}", "entry 1: field title is no text"),
        ("[[allow]]\ntitle = 'x'\nreason = ' '\n", "entry 1: field reason is no text"),
        (f"[[allow]]\ntitle = '('\n{ENTRY}", "entry 1: field title is no regular expression"),
        (f"[[allow]]\ntitle = 'x'\nkind = 'k'\n{ENTRY}", "entry 1: field kind: unknown kind k"),
        ("allow = 3\n", "allow is no list of tables"),
        ("other = 3\n", "unknown key other"),
        ("[[allow\n", "line 1"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_bad_list_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "known.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as error:
        load_allowed(path)
    assert str(path) in error.value.message
    assert words in error.value.message


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"known\.toml: No such file"):
        load_allowed(tmp_path / "known.toml")


def test_the_tools_own_list_has_reasons() -> None:
    assert len(default_allowed()) >= 6
    assert all(entry.reason and entry.remove_when for entry in default_allowed())


@pytest.mark.parametrize("name", ["", "missing.log"])
def test_a_log_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot read"):
        consolelog.read(tmp_path / name)


def test_memory_does_not_grow_with_the_bytes(tmp_path: Path) -> None:
    """20 MB of noise, one long line and 200 cases: the process stays far below that."""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        stream.write(b"KTAP version 1\n1..200\n")
        for number in range(1, 201):
            stream.write(b"[    1.000000] usb 1-1: new device, ok then, # and so on\n" * 1700)
            stream.write(b"ok %d case_%d\n" % (number, number))
        stream.write(b"x" * 5_000_000)
    program = (
        "import resource, sys; from pathlib import Path; from memdesc_tool import consolelog\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "report = consolelog.read(Path(sys.argv[1])); assert len(report.document.cases) == 200\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    assert resource.getpagesize()
    done = subprocess.run(
        [sys.executable, "-c", program, str(log)], check=True, capture_output=True, text=True
    )
    assert log.stat().st_size > 20_000_000
    assert int(done.stdout) < 8_000, "kB more than before"


def test_a_recorded_run_of_um() -> None:
    """Suites example, example_init and example_skip_suite of 7.3.4."""
    report = consolelog.read(LOGS / "um-kunit-example.log")
    counts = {status.value: count for status, count in report.document.counts().items()}
    assert counts == {"passed": 19, "skipped": 5}
    assert report.good
    assert report.booted
    assert not report.truncated
    ids = {case.id for case in report.document.cases}
    assert "example.example_params_test.example value 3" in ids
    assert "example.example_params_test_with_init_dynamic_arr.fibonacci param: 1#2" in ids
    assert {odd.kind.name for odd in report.oddities} == {"DUPLICATE_NAME"}


def test_a_recorded_run_cut_at_any_line_is_never_good() -> None:
    lines = (LOGS / "um-kunit-example.log").read_bytes().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if line.startswith(b"ok "))
    for end in range(last + 1):
        assert not consolelog.read(io.BytesIO(b"".join(lines[:end]))).good
    assert consolelog.read(io.BytesIO(b"".join(lines[: last + 1]))).good
