"""check --b4: the plug-ins of b4, given a patch or a cover letter on standard input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from memdesc_tool.review import Announced, read_announced
from tests.conftest import GitTree, Ran, Tool
from tests.mailbox import describe, give_identity, home, without_git

CHECKPATCH = """\
#!/usr/bin/perl
# Finds fault with every word that says "twenty" or is signed by nobody.
open(my $in, '<', $ARGV[-1]); my $signed = 0;
while (<$in>) {
	print "a.txt:20: WARNING:TWENTY: twenty\\n" if /^\\+.*twenty/;
	$signed = 1 if /^Signed-off-by:/;
}
print "a.txt:0: ERROR:MISSING_SIGN_OFF: missing\\n" unless $signed;
"""


def plug_in(tree: GitTree, kind: str, mail: bytes, *args: str | Path, **env: str) -> Ran:
    """The plug-in as b4 calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "memdesc_tool.cli", "check", "--b4", kind, *map(str, args)],
        cwd=tree.path, input=mail, capture_output=True, check=False,
        env=without_git({"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **env}),
    )  # fmt: skip
    err = done.stderr.decode()
    assert "Traceback" not in err, err
    return Ran(done.returncode, done.stdout.decode(), err)


@pytest.fixture
def scripted(minitree: GitTree, project: Path) -> Path:
    """The project, on a tree with a script that checks patches."""
    (minitree.path / "scripts").mkdir()
    (minitree.path / "scripts" / "checkpatch.pl").write_text(CHECKPATCH)
    minitree.commit("scripts: add")
    return project


def silences(path: Path, *every: tuple[str, str]) -> Path:
    """A description that silences (check, patch) pairs."""
    text = "".join(
        f'[[silence]]\ncheck = "{check}"\npatch = "{patch}"\nreason = "a test"\n'
        for check, patch in every
    )
    path.write_text(f'title = "mine"\n{text}')
    return path


def mail_of(tree: GitTree, tags: str) -> bytes:
    """The second patch as a mail with these words for [PATCH]."""
    text = tree.git("format-patch", "--stdout", "-1", "work")
    assert "[PATCH]" in text
    return text.replace("[PATCH]", tags).encode() + b"\n"


@pytest.mark.usefixtures("scripted")
def test_a_silence_knows_a_patch_by_its_place(minitree: GitTree, tmp_path: Path) -> None:
    mail = mail_of(minitree, "[PATCH mm-new v2 03/12]")
    known = silences(tmp_path / "known.toml", ("checkpatch:TWENTY", "0003-a-write-twenty-*"))
    assert "TWENTY" not in plug_in(minitree, "patch", mail, "--describe", known).out
    other = silences(tmp_path / "other.toml", ("checkpatch:TWENTY", "0002-*"))
    assert "WARNING: checkpatch:TWENTY" in plug_in(
        minitree, "patch", mail, "--describe", other
    ).out  # fmt: skip
    first = silences(tmp_path / "first.toml", ("checkpatch:TWENTY", "0001-*"))
    alone = plug_in(minitree, "patch", mail_of(minitree, "[PATCH]"), "--describe", first)
    assert "TWENTY" not in alone.out


@pytest.mark.usefixtures("scripted")
def test_a_silence_that_is_for_another_patch_or_check_says_nothing(
    minitree: GitTree, tmp_path: Path
) -> None:
    meant = silences(
        tmp_path / "meant.toml", ("checkpatch:OTHER", "0001-*"), ("checkpatch:NEXT", "*"),
        ("coccicheck*", "0003-*"), ("compile:x86_64", "*"), ("spdx", "0003-*"),
    )  # fmt: skip
    ran = plug_in(minitree, "patch", mail_of(minitree, "[PATCH 3/3]"), "--describe", meant)
    assert "TWENTY" in ran.out
    assert "silence" not in ran.out


def test_only_what_send_signs_may_be_unsigned(
    tool: Tool, minitree: GitTree, scripted: Path
) -> None:
    missing = "checkpatch:MISSING_SIGN_OFF"
    mail = mail_of(minitree, "[PATCH]")
    assert f"ERROR: {missing}" in plug_in(minitree, "patch", mail).out
    signed = mail.replace(b"\n---\n", b"\nSigned-off-by: A. Developer <dev@example.org>\n---\n", 1)
    assert missing not in plug_in(minitree, "patch", signed).out
    tree = ("--tree", minitree.path)
    minitree.git("rebase", "-q", "main", "work")
    minitree.git("checkout", "-q", "main")
    assert missing in tool("check", "--branch", "main..work", *tree).out
    own = tool("check", "first", "--project", scripted, *tree).out
    assert "checkpatch:TWENTY" in own and missing not in own
    series = scripted / "patches" / "first"
    (series / "series.toml").unlink()
    assert missing in tool("check", series, *tree).out


def test_what_a_mail_says_of_its_series() -> None:
    text = "x\n\nbase-commit: 0123456789ab\nchange-id: 20260101-my-pages-0123456789ab\n"
    head = b"Subject: =?utf-8?q?=5BPATCH_mm_v3_0/7=5D_mm=3A_Gr=C3=B6=C3=9Fe?=\n"
    head += b"Content-Type: text/plain; charset=no-such\nContent-Transfer-Encoding: 8bit\n\n"
    change_id = "20260101-my-pages-0123456789ab"
    assert read_announced(head + text.encode()) == Announced(0, 3, change_id, "0123456789ab")
    assert read_announced(b"Subject: [PATCH] mm: 4/5\n\nText.\n") == Announced(1, 1, "", "")


def test_the_series_of_the_mail_is_checked_wherever_the_tree_stands(
    tool: Tool, minitree: GitTree, scripted: Path, tmp_path: Path
) -> None:
    variables = home(tmp_path / "home")
    give_identity(minitree)
    describe(scripted)
    args = ("send", "first", "--tree", minitree.path, "--project", scripted)
    assert tool(*args, "-o", tmp_path / "out", **variables).status == 0
    cover = min((tmp_path / "out").glob("*.eml")).read_bytes()
    base, prepared = (minitree.git("rev-parse", name) for name in ("main", "b4/first"))

    def of_series(mail: bytes, *more: str | Path, **env: str) -> dict[str, dict[str, str]]:
        ran = plug_in(minitree, "series", mail, *more, **variables, **env)
        assert ran.status == 0, ran.err
        return {one["tool"].removeprefix("memdesc-tool "): one for one in json.loads(ran.out)}

    (minitree.path / "b.txt").write_text("this has nothing to do with the series\n")
    minitree.commit("b: something else\n\nIt is not to be checked.")
    assert "2: a.txt:20: twenty" in of_series(cover)["checkpatch"]["details"]

    unneeded = silences(tmp_path / "unneeded.toml", ("coccicheck*", "0001-*"), ("compile:um", "*"),
                        ("kernel-doc", "*"), ("subject", "0002-*"))  # fmt: skip
    details = of_series(cover, "--describe", unneeded)["silence"]["details"]
    assert details == "series: subject on 0002-* silences nothing, it can go"

    unknown = re.sub(rb"change-id: \S+", b"change-id: 20200101-first-000000000000", cover)
    for mail in (unknown, cover.replace(b"[PATCH 0/2]", b"[PATCH v2 0/2]")):
        ran = plug_in(minitree, "series", mail, **variables)
        assert ran.status == 2 and ran.out == ""
        assert "commits of this mail's series are not known" in ran.err

    # As b4 send tags what it has sent: the commits without the cover letter.
    change_id = re.search(r"change-id: (\S+)", cover.decode())
    assert change_id
    minitree.git("branch", "-q", "-D", "b4/first")
    minitree.git("tag", "-a", "-m", "sent", f"sent/{change_id[1]}-v1", prepared)
    assert "2: a.txt:20: twenty" in of_series(cover)["checkpatch"]["details"]

    # As b4 review has it: the first patch, and a branch.
    minitree.git("branch", "b4/review/theirs", "work")
    tracking = tmp_path / "tracking.json"
    series = {"change-id": "theirs", "first-patch-commit": minitree.git("rev-parse", "work^")}
    tracking.write_text(json.dumps({"series": series}))
    tracked = of_series(unknown, B4_TRACKING_FILE=str(tracking))
    assert "2: a.txt:20: twenty" in tracked["checkpatch"]["details"]
    assert base != minitree.git("rev-parse", "main")


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"series": []}', '{"series": {"first-patch-commit": "main"}}', "\xff"]
)
def test_a_damaged_tracking_file_is_one_line(
    minitree: GitTree, tmp_path: Path, text: str | None
) -> None:
    tracking = tmp_path / "tracking.json"
    if text is not None:
        tracking.write_text(text, encoding="latin-1")
    mail = mail_of(minitree, "[PATCH]")
    ran = plug_in(minitree, "series", mail, B4_TRACKING_FILE=str(tracking))
    assert ran.status == 2
    assert "B4_TRACKING_FILE" in ran.err and len(ran.err.splitlines()) == 1
