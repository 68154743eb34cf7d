"""The whole way to a machine and back, on a machine that may crash: opt in.

MEMDESC_TOOL_TEST_MACHINE names it as for ssh, options first ("-p 2222 root@localhost");
MEMDESC_TOOL_TEST_KDIR has the headers of the kernel that it runs. It must reboot by itself
after a panic. Tried on a plain Debian guest in QEMU.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.conftest import Tool
from tests.fakekdir import make_project
from tests.test_modules import REAL

MACHINE = os.environ.get("MEMDESC_TOOL_TEST_MACHINE", "")
KDIR = os.environ.get("MEMDESC_TOOL_TEST_KDIR", "")

pytestmark = [
    pytest.mark.skipif(not (MACHINE and KDIR), reason="no machine is given that may crash"),
    pytest.mark.timeout(1800),
]

TESTS = {
    "first": "printf 'TAP version 13\\n1..2\\nok 1 one\\nok 2 two # SKIP none\\n'",
    "crash": "echo c >/proc/sysrq-trigger",
    "last": "test -e a.ko",
}


def test_a_crash_in_the_middle(tool: Tool, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", a=REAL)
    installed = tmp_path / "installed"
    (installed / "demo").mkdir(parents=True)
    (installed / "kselftest-list.txt").write_text("".join(f"demo:{name}\n" for name in TESTS))
    for name, command in TESTS.items():
        (installed / "demo" / name).write_text(f"#!/bin/sh\n{command}\n")
        (installed / "demo" / name).chmod(0o755)
    archive = tmp_path / "x.tar.gz"
    ran = tool("modules", "bundle", archive, "--project", project, "--kdir", KDIR,
               "--modules-only", "--selftests", installed)  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    *options, host = shlex.split(MACHINE)
    ran = tool("modules", "run", archive, host, "--timeout", "900", "--", *options)
    assert ran.status == 1, ran.out + ran.err
    assert "3 passed, 1 skipped, 1 error" in ran.out
    assert "the machine went down in demo.crash" in ran.out
    table = tool("modules", "ingest")
    assert (table.status, "died" in table.out) == (1, True)
