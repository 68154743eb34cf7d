"""Files that people write, at random: whatever is in them, it is read or refused in one line."""

from __future__ import annotations

import random
from pathlib import Path

from memdesc_tool.allow import load_allowed
from memdesc_tool.baseline import read_known
from memdesc_tool.errors import ToolError
from memdesc_tool.readsuite import read_suite
from memdesc_tool.series import read_series, read_stack
from tests.fuzz.ktap import mutate

PATCH = b"""\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A. Developer <dev@example.org>
Date: Fri, 2 Jan 2026 03:04:05 +0100
Subject: [PATCH] mm: say what it is

Nobody knew.

Fixes: 0123456789ab ("mm: be silent")
---
 a.txt | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/a.txt b/a.txt
index 1111111111111111111111111111111111111111..2222222222222222222222222222222222222222 100644
--- a/a.txt
+++ b/a.txt
@@ -1,3 +1,3 @@
 one
-two
+three
 four
--\x20
2.39.5

"""
FILES = {
    "patches/stack.toml": b'series = ["first"]\n',
    "patches/known-failures.toml": (
        b'[[failure]]\ncase = "a.*"\nwhere = "s/um"\nreason = "r"\nremove_when = "w"\n'
    ),
    "patches/first/series.toml": (
        b'title = "words"\nprefix = "PATCH"\nrevision = 2\nbase = "7.3"\nsuites = ["counting"]\n'
        b'to = ["linux-mm@kvack.org"]\n\n[[patch]]\nfile = "0001-a.patch"\n'
    ),
    "patches/first/0001-a.patch": PATCH,
    "suite/suite.toml": (
        b'[suite]\nname = "s"\ntitle = "t"\nfilter = "f*"\ntimeout = 5\nattempts = 2\n'
        b'kernel_args = ["a=b"]\n\n[[file]]\nsource = "s.c"\npath = "lib/s.c"\n\n'
        b'[[edit]]\npath = "lib/Makefile"\nlines = ["obj-y += s.o"]\nafter = "^obj"\n'
    ),
    "suite/s.c": b"int s;\n",
    "suite/.kunitconfig": b"CONFIG_KUNIT=y\n",
    "allowed.toml": (
        b'[[allow]]\nkind = "warning"\ntitle = "x"\nreason = "r"\nremove_when = "w"\n'
    ),
}
FUZZED = [name for name in FILES if name.endswith((".toml", ".patch"))]
WORDS = (b"[", b"]", b"[[", b'"', b"'''", b"=", b"\n", b"../", b"/etc/x", b"\0", b"\xff", b"{}",
         b"true", b"-1", b"1979-05-27", b"1e400", b"(", b".git/", b"diff --git ", b"@@ -0,0 +1 @@",
         b"=?utf-8?q?=00?=", b"Content-Type: multipart/mixed; boundary=x\n", b"\r\n",
         b"GIT binary patch\n", b"rename from a\n", b"new mode 120000\n")  # fmt: skip


def write(directory: Path) -> None:
    """A project, a suite and a list of allowed splats below directory, all of them good."""
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_all(directory: Path) -> list[str]:
    """Read everything; the messages of what was refused. Raises what is no ToolError."""
    refused = []
    for reader, path in (
        (read_series, "patches/first"), (read_stack, "patches"), (read_known, "patches"),
        (read_suite, "suite"), (load_allowed, "allowed.toml"),
    ):  # fmt: skip
        try:
            reader(directory / path)
        except ToolError as error:
            assert error.message.strip(), "a refusal without words"
            assert "\n" not in error.message, error.message
            refused.append(error.message)
    return refused


def check(directory: Path, chance: random.Random) -> bytes:
    """Change one of the files, read all, put it back; the content that was read."""
    name = chance.choice(FUZZED)
    content = FILES[name]
    if chance.random() < 0.5:
        content = mutate(content, chance)
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(content))
        end = min(len(content), at + chance.choice((0, 0, 1, 8)))
        content = content[:at] + chance.choice(WORDS) + content[end:]
    path = directory / name
    path.write_bytes(content)
    try:
        read_all(directory)
    except BaseException as error:
        error.add_note(f"{name}: {content!r}")
        raise
    finally:
        path.write_bytes(FILES[name])
    return content
