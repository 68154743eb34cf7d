"""series reroll and diff: what was sent is kept, b4 finds the trailers in a real mbox."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage, Message
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
    box = mailbox.mbox(tmp_path / "thread.mbox")
    send(tool, minitree, series, tmp_path, box)
    return series, box


def send(tool: Tool, tree: GitTree, series: Path, tmp_path: Path, box: mailbox.mbox) -> None:
    """Send the series as it is; its mails go to the mbox."""
    out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
    ran = tool("send", "first", "--tree", tree.path, "--project", series.parent.parent, "-o", out,
               **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.err
    for path in sorted(out.glob("*.eml")):
        box.add(path.read_bytes())
    box.flush()


def reply(
    box: mailbox.mbox, number: int, *trailers: str, author: str = JANE, revision: str = ""
) -> None:
    """Answer the mail of patch number with trailers; revision: "v2 ", say."""
    answer(box, next(m for m in box if f"[PATCH {revision}{number}/2]" in str(m["Subject"])),
           *trailers, author=author)  # fmt: skip


def answer(box: mailbox.mbox, parent: Message, *trailers: str, author: str = JANE) -> None:
    mail = EmailMessage()
    mail["From"] = author
    mail["To"] = str(parent["From"])
    mail["Subject"] = "Re: what was sent"
    mail["Date"] = "Fri, 02 Jan 2026 12:00:00 +0000"
    mail["Message-ID"] = f"<answer-{len(box)}@example.org>"
    mail["In-Reply-To"] = mail["References"] = str(parent["Message-ID"])
    mail.set_content("On Friday, Anna wrote:\n> text\n\nGood.\n\n" + "\n".join(trailers) + "\n")
    box.add(mail)
    box.flush()


def rewrite(
    tool: Tool, tree: GitTree, series: Path, *steps: tuple[str, str], name: str = "a.txt"
) -> None:
    """Make the series anew: each step is a message and the file of that name after it."""
    tree.git("checkout", "-q", "-B", "next", "main")
    for message, text in steps:
        (tree.path / name).write_text(text)
        tree.commit(message)
    tree.git("checkout", "-q", "main")
    ran = tool("series", "export", "first", "main..next", "--tree", tree.path,
               "--project", series.parent.parent)  # fmt: skip
    assert ran.status == 0, ran.err


def reroll(
    tool: Tool, tree: GitTree, series: Path, tmp_path: Path, *more: str, mbox: str = "thread.mbox"
) -> str:
    """Reroll; mbox: the thread's file, "" for none."""
    thread = ["--mbox", tmp_path / mbox] if mbox else []
    ran = tool("series", "reroll", "first", "--tree", tree.path, "--project",
               series.parent.parent, *thread, *more, **home(tmp_path / "home"))  # fmt: skip
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
    assert f"dropped  Reviewed-by: {JANE}  (the patch has changed since v1)" in said
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


def test_a_review_that_was_dropped_does_not_come_back(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    """It was given for v1; that v2 has the patch as it is now does not make it one of v2."""
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}")
    rewrite(tool, minitree, series,
            ("a: write three as a word\n\nBecause words are nicer.", numbers((3, "line THREE"))),
            ("a: write twenty as a word\n\nFor the same reason.",
             numbers((3, "line THREE"), (20, "line twenty"))))  # fmt: skip
    dropped = f"dropped  Reviewed-by: {JANE}  (the patch has changed since v1)"
    assert dropped in reroll(tool, minitree, series, tmp_path)
    send(tool, minitree, series, tmp_path, box)
    said = reroll(tool, minitree, series, tmp_path, "--dry-run")
    assert dropped in said and "added" not in said
    reply(box, 1, f"Reviewed-by: {JANE}", revision="v2 ")
    assert f"added    Reviewed-by: {JANE}" in reroll(tool, minitree, series, tmp_path)


def test_a_review_in_a_patch_that_changed_is_dropped_without_an_mbox(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    """Also where nobody knows of it: what it could have been given for is what was sent."""
    series, _ = sent
    rewrite(tool, minitree, series,
            (f"a: write three as a word\n\nText.\n\nReviewed-by: {JANE}", ONE),
            (f"a: write twenty as a word\n\nText.\n\nAcked-and-tested-by: {JANE}\n"
             f"Suggested-by: {JANE}", numbers((3, "line three"), (20, "line XX"))))  # fmt: skip
    said = reroll(tool, minitree, series, tmp_path, mbox="")
    assert f"dropped  Acked-and-tested-by: {JANE}  (the patch has changed since v1)" in said
    first, second = sorted(series.glob("*.patch"))
    assert f"Reviewed-by: {JANE}" in first.read_text()
    assert "Acked" not in second.read_text() and "Suggested-by" in second.read_text()


def test_a_subject_outside_ascii(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    series, box = sent
    three = "a: schreibe Größe und Länge der Zeile drei als Wörter\n\nText."
    rewrite(tool, minitree, series, (three, ONE), ("a: write twenty as a word\n\nText.", BOTH))
    box.clear()
    send(tool, minitree, series, tmp_path, box)
    _, parent, _ = box
    assert "=?utf-8?" in str(parent["Subject"])
    answer(box, parent, f"Reviewed-by: {JANE}")
    rewrite(tool, minitree, series, (three, numbers((3, "line THREE"))))
    said = reroll(tool, minitree, series, tmp_path)
    assert f"dropped  Reviewed-by: {JANE}  (the patch has changed since v1)" in said
    kept = sorted(path.name for path in (series / "sent" / "v1").iterdir())
    assert [name[:18] for name in kept] == ["0001-a-schreibe-Gr", "0002-a-write-twent"]


def test_a_link_does_not_make_a_review_count(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}")
    identity = next(m for m in box if "1/2]" in str(m["Subject"]))["Message-ID"].strip("<>")
    rewrite(tool, minitree, series,
            (f"a: shout three\n\nText.\n\nLink: https://lore.kernel.org/r/{identity}",
             numbers((3, "line THREE"))))  # fmt: skip
    said = reroll(tool, minitree, series, tmp_path)
    assert f"dropped  Reviewed-by: {JANE}  (the patch has changed since v1)" in said
    assert "added" not in said


def test_a_comment_alone_is_no_material_change(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    """In a mail of its own, which has b4's footer below the diff."""
    series, box = sent
    code = "int a(void)\n{\n\treturn 1;\n}\n"
    rewrite(tool, minitree, series, ("a: add a\n\nText.", code), name="a.c")
    box.clear()
    send(tool, minitree, series, tmp_path, box)
    (parent,) = box
    answer(box, parent, f"Reviewed-by: {JANE}")
    commented = code.replace("return", "/* As a rule. */\n\treturn")
    rewrite(tool, minitree, series, ("a: add a\n\nText.", commented), name="a.c")
    said = reroll(tool, minitree, series, tmp_path)
    assert f"added    Reviewed-by: {JANE}" in said
    (kept,) = (series / "sent" / "v1").iterdir()
    assert kept.name == "0001-a-add-a.patch" and "base-commit" not in kept.read_text()


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
    ran = tool("series", "reroll", *args, "--new-branch", "next")
    assert ran.status == 2 and "--new-branch needs --branch" in ran.err
    ran = tool("series", "diff", *args, "--mbox", tmp_path / "no.mbox")
    assert ran.status == 2 and "--mbox needs --branch" in ran.err


def test_what_was_sent_is_known_from_the_last_send(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    """Not from the patches as they are by now; and v2 was never sent."""
    series, _ = sent
    before = [
        path.read_text().partition("diff --git")[2] for path in sorted(series.glob("*.patch"))
    ]
    rewrite(tool, minitree, series, ("a: shout three\n\nText.", numbers((3, "line THREE"))))
    said = reroll(tool, minitree, series, tmp_path, mbox="")
    assert "v1 is kept" in said and "as the last send to b4/first has it" in said
    kept = sorted((series / "sent" / "v1").iterdir())
    assert [path.read_text().partition("diff --git")[2] for path in kept] == before
    said = reroll(tool, minitree, series, tmp_path, mbox="")
    assert "what was sent as v2 is not known" in said
    assert [path.name for path in (series / "sent").iterdir()] == ["v1"]
    ran = tool("series", "diff", "first", "--tree", minitree.path, "--project",
               series.parent.parent)  # fmt: skip
    assert "Range-diff against v1:" in ran.out


def test_what_was_sent_is_not_known(
    tool: Tool, minitree: GitTree, sent: tuple[Path, mailbox.mbox], tmp_path: Path
) -> None:
    """An mbox of replies alone, or with a patch missing, does not tell."""
    series, box = sent
    reply(box, 1, f"Reviewed-by: {JANE}")
    minitree.git("update-ref", "-d", "refs/memdesc/b4/first/v1")
    partial = mailbox.mbox(tmp_path / "partial.mbox")
    for mail in box:
        if "2/2]" not in str(mail["Subject"]):
            partial.add(mail)
    partial.flush()
    said = reroll(tool, minitree, series, tmp_path, mbox="partial.mbox")
    assert f"added    Reviewed-by: {JANE}" in said
    assert "what was sent as v1 is not known" in said and "is kept" not in said
    assert not (series / "sent").exists()
