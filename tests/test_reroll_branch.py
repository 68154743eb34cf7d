"""series reroll and diff of a series that is in git alone: --branch."""

from __future__ import annotations

import mailbox
import re
from pathlib import Path

import pytest

from tests.conftest import GitTree, Tool, numbers
from tests.mailbox import (
    MAIL,
    NAME,
    begin_prep,
    describe,
    give_identity,
    home,
    run_b4,
    show_info,
    smtp_sink,
)
from tests.test_reroll import JANE, answer

COVER = "words instead of figures\n\nFigures are short.\n\nTo: linux-mm@example.org\n"
ONE, TWO = "a: write three as a word", "a: write twenty as a word"
NOTE = "v2: say why (Jane)."


@pytest.fixture
def mine(minitree: GitTree, project: Path) -> GitTree:
    """A tree with a series on branch work, and an identity."""
    assert project.exists()
    give_identity(minitree)
    return minitree


def post(tree: GitTree, path: Path, span: str, *args: str) -> mailbox.mbox:
    """An mbox with the mails of commits, as git sends them."""
    path.write_text(
        tree.git("format-patch", "--stdout", "--thread=shallow", "--base=main",
                 "--cover-letter", *args, span) + "\n"
    )  # fmt: skip
    return mailbox.mbox(path)


def reply(box: mailbox.mbox, subject: str, *trailers: str) -> None:
    """Answer the patch with this subject."""
    parent = next(one for one in box if str(one["Subject"]).endswith(f"] {subject}"))
    answer(box, parent, *trailers)


def redo(tree: GitTree, *steps: tuple[str, str], base: str = "main") -> None:
    """Make branch work anew: each step is a message and a.txt after it."""
    tree.git("checkout", "-q", "-B", "work", base)
    for message, text in steps:
        (tree.path / "a.txt").write_text(text)
        tree.commit(message)
    tree.git("checkout", "-q", "main")


def message(tree: GitTree, revision: str) -> str:
    return tree.git("log", "-1", "--format=%B", revision)


def test_a_range_of_commits(tool: Tool, mine: GitTree, tmp_path: Path) -> None:
    """On a base that has moved on: what was sent is compared on its own."""
    box = post(mine, tmp_path / "thread.mbox", "main..work")
    reply(box, ONE, f"Reviewed-by: {JANE}")
    reply(box, TWO, f"Reviewed-by: {JANE}", f"Reported-by: {JANE}")
    (mine.path / "a.txt").write_text("first\n" + numbers((2, "line II"), (21, "line XXI")))
    mine.commit("a: change what is around")
    after = [(2, "line II"), (3, "line three"), (21, "line XXI")]
    redo(mine, (f"a: spell three out\n\nText.\n\nAcked-by: A <a@example.org>\n---\n{NOTE}",
                "first\n" + numbers(*after)),
         ("a: write thirty as a word\n\nText.",
          "first\n" + numbers(*after, (30, "line thirty"))),
         (f"{TWO}\n\nText.",
          "first\n" + numbers(*after, (30, "line thirty"), (20, "line 020"))))  # fmt: skip
    before = mine.state()
    args = ("--branch", "main..work", "--tree", mine.path, "--mbox", tmp_path / "thread.mbox")
    ran = tool("series", "reroll", *args, "--dry-run")
    assert ran.status == 0, ran.err
    assert "main..work would be at v2" in ran.out
    assert mine.state() == before
    ran = tool("series", "reroll", *args, "--new-branch", "work-v2")
    assert ran.status == 0, ran.err
    assert "branch work-v2 is main..work at v2" in ran.out
    assert "git switch work && git reset --keep work-v2" in ran.out
    assert f"dropped  Reviewed-by: {JANE}  (the patch has changed since v1)" in ran.out
    assert f"added    Reported-by: {JANE}" in ran.out
    changed = {key for key, value in mine.state().items() if before.get(key) != value}
    made = {"refs", "git/refs/heads", "git/refs/heads/work-v2", "git/logs/refs/heads",
            "git/logs/refs/heads/work-v2"}  # fmt: skip
    assert {key for key in changed if not key.startswith("git/objects")} == made
    assert mine.git("rev-parse", "work-v2^{tree}") == mine.git("rev-parse", "work^{tree}")
    assert mine.git("rev-list", "--count", "main..work-v2") == "3"
    mine.git("fsck", "--connectivity-only")
    assert message(mine, "work-v2") == f"{TWO}\n\nText.\n\nReported-by: {JANE}"
    assert mine.git("log", "-1", "--format=%an %ae %aI %cn %ce", "work-v2") == (
        f"A. Developer dev@example.org 2026-01-02T03:04:05+01:00 {NAME} {MAIL}"
    )
    assert "Text." in message(mine, "work-v2~1") and "-by:" not in message(mine, "work-v2~1")
    range_diff = ran.out.partition("Range-diff against v1:\n")[2]
    assert re.search(r"^1:  \w+ [!<] .*three", range_diff, re.MULTILINE), range_diff
    assert re.search(r"^-:  -+ > 2:  \w+ a: write thirty", range_diff, re.MULTILINE)
    assert "around" not in re.sub(r"^ .*\n?", "", range_diff, flags=re.MULTILINE)
    ran = tool("series", "diff", *args)
    assert ran.status == 0 and "Range-diff against v1:\n" in ran.out
    mine.git("config", "branch.work.description", "words\n\nFigures are short.")
    compared = ran.out.strip()
    ran = tool("cover", *args, "--range-diff")
    assert ran.status == 0, ran.err
    assert len(re.findall(r"^[-\d]+: .*$", compared, re.MULTILINE)) == 3
    for line in re.findall(r"^[-\d]+: .*$", compared, re.MULTILINE):
        assert line.rpartition(" a: ")[2] in ran.out.partition("Range-diff against v1:\n")[2]
    ran = tool("cover", "--branch", "main..work", "--tree", mine.path, "--range-diff")
    assert ran.status == 0 and "no revision of work is known to have been sent" in ran.err
    ran = tool("cover", *args)
    assert ran.status == 2 and "are for --range-diff" in ran.err


def test_trailers_stand_above_the_notes_of_a_commit(
    tool: Tool, mine: GitTree, tmp_path: Path
) -> None:
    box = post(mine, tmp_path / "thread.mbox", "main..work", "-v3")
    reply(box, ONE, f"Reviewed-by: {JANE}")
    redo(mine, (f"a: spell three out\n\nText.\n---\n{NOTE}\n\nReviewed-by: {JANE}",
                numbers((3, "line three"))))  # fmt: skip
    ran = tool("series", "reroll", "--branch", "main..work", "--tree", mine.path,
               "--mbox", tmp_path / "thread.mbox", "--new-branch", "work-v4")  # fmt: skip
    assert ran.status == 0, ran.err
    assert "branch work-v4 is main..work at v4; v3 is what" in ran.out
    assert message(mine, "work-v4") == (
        f"a: spell three out\n\nText.\n\nReviewed-by: {JANE}\n---\n{NOTE}\n\nReviewed-by: {JANE}"
    )


def test_what_does_not_change_stays_the_same_commit(
    tool: Tool, mine: GitTree, tmp_path: Path
) -> None:
    box = post(mine, tmp_path / "thread.mbox", "main..work")
    reply(box, TWO, f"Reviewed-by: {JANE}")
    ran = tool("series", "reroll", "--branch", "main..work", "--tree", mine.path,
               "--mbox", tmp_path / "thread.mbox", "--new-branch", "work-v2")  # fmt: skip
    assert ran.status == 0, ran.err
    assert mine.git("rev-parse", "work-v2~1") == mine.git("rev-parse", "work~1")
    assert f"Reviewed-by: {JANE}" in message(mine, "work-v2")


def test_a_prep_branch_that_b4_has_sent(tool: Tool, mine: GitTree, tmp_path: Path) -> None:
    """b4 has raised the revision; its tag tells what was sent, without a thread."""
    variables = home(tmp_path / "home")
    begin_prep(mine, variables, COVER)
    with smtp_sink() as sink:
        give_identity(mine, sink.port)
        mine.git("checkout", "-q", "b4/mine")
        run_b4(mine, variables, "send", "--no-sign")
        mine.git("checkout", "-q", "main")
    box = mailbox.mbox(tmp_path / "thread.mbox")
    for _, mail in sink.mails:
        box.add(mail)
    box.flush()
    reply(box, ONE, f"Reviewed-by: {JANE}")
    args = ("--branch", "b4/mine", "--tree", mine.path)
    before = mine.state()
    ran = tool("series", "diff", *args, **variables)
    assert ran.status == 0, ran.err
    assert "Range-diff against v1:" in ran.out and "words instead" not in ran.out
    assert len(re.findall(r"^\d:  \w+ = \d:", ran.out, re.MULTILINE)) == 2
    ran = tool("cover", *args, "--range-diff", **variables)
    assert ran.status == 0 and "Range-diff against v1:" in ran.out.partition("\n---\n")[2]
    assert mine.state() == before
    ran = tool("series", "reroll", *args, "--mbox", tmp_path / "thread.mbox",
               "--new-branch", "b4/mine-v2", **variables)  # fmt: skip
    assert ran.status == 0, ran.err
    assert "branch b4/mine-v2 is b4/mine at v2" in ran.out
    assert f"+    Reviewed-by: {JANE}" in ran.out.replace("    +", "+")
    old, new = (show_info(mine, variables, name) for name in ("b4/mine", "b4/mine-v2"))
    assert new["revision"] == old["revision"] == "2"
    assert new["change-id"] == old["change-id"]
    assert new["series-v1"] == old["series-v1"]
    assert f"Reviewed-by: {JANE}" in message(mine, "b4/mine-v2~1")
    after = mine.state()
    assert {key: after[key] for key in before if key.endswith("b4/mine")} == {
        key: value for key, value in before.items() if key.endswith("b4/mine")
    }
    ran = tool("series", "diff", "--branch", "main..work", "--tree", mine.path, "--name", "mine",
               **variables)  # fmt: skip
    assert ran.status == 0 and "Range-diff against v1:" in ran.out


def test_a_prep_branch_that_was_sent_without_b4_is_renumbered(
    tool: Tool, mine: GitTree, tmp_path: Path
) -> None:
    variables = home(tmp_path / "home")
    begin_prep(mine, variables, COVER)
    post(mine, tmp_path / "thread.mbox", "main..work")
    args = ("--branch", "b4/mine", "--tree", mine.path, "--mbox", tmp_path / "thread.mbox")
    ran = tool("series", "reroll", *args, "--new-branch", "b4/mine-v2", **variables)
    assert ran.status == 0, ran.err
    old, new = (show_info(mine, variables, name) for name in ("b4/mine", "b4/mine-v2"))
    assert (old["revision"], new["revision"]) == ("1", "2")
    assert new["change-id"] == old["change-id"]
    assert new["cover-subject"] == "words instead of figures"
    assert mine.git("rev-parse", "b4/mine-v2^{tree}") == mine.git("rev-parse", "work^{tree}")
    out = tmp_path / "out"
    ran = tool("send", "--branch", "b4/mine-v2", "--tree", mine.path, "-o", out, **variables)
    assert ran.status == 0, ran.err
    assert "Subject: [PATCH v2 0/2] words" in min(out.glob("*.eml")).read_text()


def test_a_branch_that_send_has_made_and_its_owner_has_changed(
    tool: Tool, mine: GitTree, project: Path, tmp_path: Path
) -> None:
    """What was sent is what the last send has left, not what the branch is by now."""
    variables = home(tmp_path / "home")
    describe(project)
    ran = tool("send", "first", "--tree", mine.path, "--project", project, "--name", "mine",
               **variables)  # fmt: skip
    assert ran.status == 0, ran.err
    mine.git("checkout", "-q", "b4/mine")
    (mine.path / "a.txt").write_text(numbers((3, "line three"), (20, "line XX")))
    mine.git("commit", "-q", "-a", "--amend", "-m", f"{TWO}\n\nText.\n\nReviewed-by: {JANE}")
    before = mine.state()
    args = ("--branch", "b4/mine", "--tree", mine.path)
    ran = tool("series", "diff", *args, **variables)
    assert ran.status == 0 and re.search(r"^2:  \w+ ! 2: ", ran.out, re.MULTILINE), ran.out
    assert mine.state() == before
    ran = tool("series", "reroll", *args, "--new-branch", "b4/next", **variables)
    assert ran.status == 0, ran.err
    after = mine.state()
    changed = {key for key in before if before[key] != after[key] and "git/objects" not in key}
    assert changed == {"refs", "git/refs/heads/b4", "git/logs/refs/heads/b4"}
    assert "branch b4/next is b4/mine at v2; v1 is what the last send to b4/mine has" in ran.out
    assert f"dropped  Reviewed-by: {JANE}  (the patch has changed since v1)" in ran.out
    assert message(mine, "b4/next") == f"{TWO}\n\nText."
    assert show_info(mine, variables, "b4/next")["revision"] == "2"


@pytest.mark.parametrize("command", ["reroll", "diff"])
def test_what_cannot_be_taken_for_a_series_of_git(
    tool: Tool, mine: GitTree, tmp_path: Path, command: str
) -> None:
    post(mine, tmp_path / "thread.mbox", "main..work")
    mine.git("checkout", "-q", "--orphan", "alone")
    mine.commit("alone")
    mine.git("checkout", "-q", "-b", "merged", "work~1")
    mine.git("commit", "-q", "--allow-empty", "-m", "aside")
    mine.git("merge", "-q", "--no-edit", "work")
    mine.git("checkout", "-q", "main")
    (mine.path / "Makefile").write_text("obj-y += b.o\n")
    mine.commit("main goes on")
    run_b4(mine, home(tmp_path / "home"), "prep", "--new", "none", "--fork-point", "main")
    mine.git("checkout", "-q", "main")
    before = mine.state()
    new = ["--new-branch", "next"] if command == "reroll" else []
    fork = mine.git("rev-parse", "--short=12", "main~1")
    thread = ["--mbox", tmp_path / "thread.mbox"]
    for branch, said, more in (
        ("main~1..work", "nothing is known to have been sent of main~1..work", []),
        ("main..work", f"work does not stand on main: it does on {fork}: {fork}..work", thread),
        ("main..alone", "main and alone have no commit in common", thread),
        ("main~1..merged", "is a merge; a series has none", thread),
        ("main..main", "there is no commit after", thread),
        ("b4/none", "there is no commit on b4/none but b4's cover", thread),
        ("main..nowhere", "has no commit nowhere", thread),
        ("nowhere", "has no branch nowhere", thread),
        ("work", "work is no prep branch of b4", thread),
        ("..work", "..work is no range of commits", thread),
        ("main...work", "main...work is no range of commits", thread),
    ):
        ran = tool("series", command, "--branch", branch, "--tree", mine.path, *more, *new,
                   **home(tmp_path / "home"))  # fmt: skip
        assert ran.status == 2, (branch, ran.out, ran.err)
        assert said in ran.err.replace("\n  ", ": ").replace(": hint: ", ": "), ran.err
        assert len(ran.err.strip().splitlines()) <= 2
    assert mine.state() == before


def test_a_branch_that_cannot_be_made(tool: Tool, mine: GitTree, tmp_path: Path) -> None:
    post(mine, tmp_path / "thread.mbox", "main..work")
    before = mine.state()
    args = ("series", "reroll", "--branch", "main..work", "--tree", mine.path,
            "--mbox", tmp_path / "thread.mbox")  # fmt: skip
    for new, said in (
        ([], "needs --new-branch NAME"),
        (["--new-branch", "work"], "branch work exists already"),
        (["--new-branch", "a..b"], "a..b is no valid branch name"),
        (["--new-branch", "work/v2"], "cannot make refs/heads/work/v2"),
    ):
        ran = tool(*args, *new)
        assert ran.status == 2 and said in ran.err, ran.err
    assert mine.state()["refs"] == before["refs"]
