"""series reroll and diff: what was sent is kept, b4 finds the trailers in a real mbox."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.conftest import GitTree, Tool, numbers
from tests.mailbox import describe, give_identity, home

JANE = "Jane Reviewer <jane@example.org>"


@pytest.fixture
def sent(tool: Tool, minitree: GitTree, project: Path, tmp_path: Path) -> tuple[Path, mailbox.mbox]:
    """The series, and an mbox with it as it was sent."""
    give_identity(minitree)
    series = describe(project)
    tool("series", "export", "first", "main..work", "--tree", minitree.path, "--project", project)
    out = tmp_path / "out"
    ran = tool("send", "first", "--tree", minitree.path, "--project", project, "-o", out,
               **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.err
    box = mailbox.mbox(tmp_path / "thread.mbox")
    for path in sorted(out.glob("*.eml")):
        box.add(path.read_bytes())
    box.flush()
    return series, box


def reply(box: mailbox.mbox, number: int, *trailers: str, author: str = JANE) -> None:
    """Answer the mail of patch number with trailers."""
    parent = next(m for m in box if f"{number}/2]" in str(m["Subject"]))
    mail = EmailMessage()
    mail["From"] = author
    mail["To"] = str(parent["From"])
    mail["Subject"] = f"Re: {parent['Subject']}"
    mail["Date"] = "Fri, 02 Jan 2026 12:00:00 +0000"
    mail["Message-ID"] = f"<answer-{number}-{len(box)}@example.org>"
    mail["In-Reply-To"] = mail["References"] = str(parent["Message-ID"])
    mail.set_content("On Friday, Anna wrote:\n> text\n\nGood.\n\n" + "\n".join(trailers) + "\n")
    box.add(mail)
    box.flush()


def rewrite(tool: Tool, tree: GitTree, series: Path, *steps: tuple[str, str]) -> None:
    """Make the series anew: each step is a message and a.txt after it."""
    tree.git("checkout", "-q", "-B", "next", "main")
    for message, text in steps:
        (tree.path / "a.txt").write_text(text)
        tree.commit(message)
    tree.git("checkout", "-q", "main")
    ran = tool("series", "export", "first", "main..next", "--tree", tree.path,
               "--project", series.parent.parent)  # fmt: skip
    assert ran.status == 0, ran.err


def reroll(tool: Tool, tree: GitTree, series: Path, tmp_path: Path, *more: str) -> str:
    ran = tool("series", "reroll", "first", "--tree", tree.path, "--project",
               series.parent.parent, "--mbox", tmp_path / "thread.mbox", *more,
               **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    return ran.out + ran.err


ONE, BOTH = numbers((3, "line three")), numbers((3, "line three"), (20, "line twenty"))


def test_trailers_follow_a_patch_whose_subject_changed(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}")
    reply(box, 2, f"Acked-by: {JANE}")
    rewrite(tool, minitree, series,
            ("a: spell three out\n\nBecause words are nicer.", ONE),
            ("a: write twenty as a word\n\nFor the same reason.", BOTH))  # fmt: skip
    said = reroll(tool, minitree, series, tmp_path)
    assert "1. a: spell three out" in said
    first, second = sorted(series.glob("*.patch"))
    assert f"\nReviewed-by: {JANE}\n---\n" in first.read_text()
    assert f"\nAcked-by: {JANE}\n---\n" in second.read_text()
    assert "revision = 2" in (series / "series.toml").read_text()
    kept = sorted(path.name for path in (series / "sent" / "v1").iterdir())
    assert kept == ["0001-a-write-three-as-a-word.patch", "0002-a-write-twenty-as-a-word.patch"]
    ran = tool("series", "diff", "first", "--tree", minitree.path, "--project",
               series.parent.parent)  # fmt: skip
    assert ran.status == 0, ran.err
    assert "Range-diff against v1:" in ran.out
    assert "a: spell three out" in ran.out and "+    Acked-by" in ran.out.replace("    +", "+")


def test_trailers_of_a_patch_that_changed_are_dropped_with_a_word(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}")
    reply(box, 2, f"Reviewed-by: {JANE}", f"Reported-by: {JANE}")
    three = numbers((3, "line THREE"))
    rewrite(tool, minitree, series,
            ("a: write three as a word\n\nBecause words are nicer.", three),
            ("a: write twenty as a word\n\nFor the same reason.",
             numbers((3, "line THREE"), (20, "line twenty"))))  # fmt: skip
    said = reroll(tool, minitree, series, tmp_path)
    assert f"dropped  Reviewed-by: {JANE}  (the patch has changed since)" in said
    first, second = sorted(series.glob("*.patch"))
    assert "Reviewed-by" not in first.read_text()
    assert f"Reviewed-by: {JANE}" in second.read_text()
    # The next revision: what the second one has is lost when the patch changes again.
    rewrite(tool, minitree, series,
            ("a: write three as a word\n\nBecause words are nicer.", three),
            (f"a: write twenty as a word\n\nFor the same reason.\n\nReviewed-by: {JANE}",
             numbers((3, "line THREE"), (20, "line XX"))))  # fmt: skip
    toml = series / "series.toml"
    assert "revision = 2" in toml.read_text()


def test_a_comment_alone_is_no_material_change(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}")
    commented = numbers((3, "line three\n/* a comment */"))
    rewrite(tool, minitree, series,
            ("a: write three as a word\n\nBecause words are nicer.", commented))  # fmt: skip
    said = reroll(tool, minitree, series, tmp_path)
    assert f"added    Reviewed-by: {JANE}" in said


def test_what_belongs_to_no_patch_any_more_is_named(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    series, box = sent
    reply(box, 2, f"Reviewed-by: {JANE}")
    rewrite(tool, minitree, series,
            ("a: write three as a word\n\nBecause words are nicer.", ONE))  # fmt: skip
    before = {path: path.read_bytes() for path in series.rglob("*") if path.is_file()}
    said = reroll(tool, minitree, series, tmp_path, "--dry-run")
    assert f"Reviewed-by: {JANE}: belongs to no patch of first as it is now" in said
    assert before == {path: path.read_bytes() for path in series.rglob("*") if path.is_file()}


def test_a_trailer_of_somebody_else_is_not_taken(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    """b4's rule: a tag counts from the address that it names."""
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}", author="Mallory <mallory@example.org>")
    said = reroll(tool, minitree, series, tmp_path)
    assert "added" not in said


def test_what_cannot_be_rerolled(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    describe(project)
    (tmp_path / "no.mbox").write_text("nothing")
    args = ("first", "--tree", minitree.path, "--project", project)
    ran = tool("series", "reroll", *args, "--mbox", tmp_path / "no.mbox")
    assert ran.status == 2 and "is no mbox" in ran.err
    ran = tool("series", "diff", *args)
    assert ran.status == 2 and "no revision of first is kept" in ran.err
    ran = tool("series", "reroll", "--branch", "main..work", "--tree", minitree.path)
    assert ran.status == 2 and "rerolled by b4" in ran.err
