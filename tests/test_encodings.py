"""Files that are no UTF-8, lines that no mail server takes, subjects that lose something: through
patches, apply and mail.
"""

from __future__ import annotations

import mailbox
import subprocess
from email.message import EmailMessage, Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.conftest import GitTree, Tool
from tests.mailbox import describe, give_identity, home, smtp_sink

LATIN = "Größe\n".encode("latin-1")
LONG = b"x" * 1500 + b"\n"


def content(tree: GitTree, commit: str, name: str) -> bytes:
    return subprocess.run(["git", "-C", str(tree.path), "cat-file", "blob", f"{commit}:{name}"],
                          check=True, capture_output=True).stdout  # fmt: skip


def make(tool: Tool, tree: GitTree, project: Path, *steps: tuple[str, bytes]) -> Path:
    """The series "first" made of commits of branch odd: a file and its new content each."""
    series = describe(project)
    give_identity(tree)
    tree.git("checkout", "-q", "-b", "odd", "main")
    for name, data in steps:
        (tree.path / name).write_bytes(data)
        tree.commit(f"{name}: change it\n\nIt is für später.")
    tree.git("checkout", "-q", "main")
    ran = export(tool, tree, project, "main..odd")
    assert f"first: {len(steps)} patches written" in ran, ran
    return series


def export(tool: Tool, tree: GitTree, project: Path, span: str) -> str:
    ran = tool("series", "export", "first", span, "--tree", tree.path, "--project", project)
    assert ran.status == 0, ran.err
    return ran.out


@pytest.fixture
def odd(minitree: GitTree) -> GitTree:
    """A tree that has such files already."""
    (minitree.path / "latin.txt").write_bytes(b"one\n" + LATIN + b"three\n")
    (minitree.path / "long.txt").write_bytes(b"one\n" + LONG + b"three\n")
    minitree.commit("odd: add files")
    return minitree


STEPS = (
    ("latin.txt", b"one\n" + LATIN + b"three\n" + LATIN * 2),
    ("long.txt", b"one\n" + LONG + b"three, for\n" + b"=y " * 600 + b"\n"),
    ("latin.txt", "one\nGröße\nthree\n".encode()),
)


def test_they_go_through_export_and_apply(tool: Tool, odd: GitTree, project: Path) -> None:
    make(tool, odd, project, *STEPS, ("dos.txt", b"a\r\nb\n"))
    ran = tool("apply", "first", "--tree", odd.path, "--project", project, "--branch", "applied")
    assert ran.status == 0, ran.err
    assert odd.git("rev-parse", "applied^{tree}") == odd.git("rev-parse", "odd^{tree}")
    assert "nothing changed" in export(tool, odd, project, "main..applied")


def received(tree: GitTree, directory: Path) -> list[Message]:
    """The patches among the mails of a directory, applied by git am to branch received."""
    tree.git("checkout", "-q", "-b", "received", "main")
    paths = sorted(directory.glob("*.eml"))
    mails = [BytesParser().parsebytes(path.read_bytes()) for path in paths]
    patches = [
        (path, mail)
        for path, mail in zip(paths, mails, strict=True)
        if b"\ndiff --git " in mail.get_payload(decode=True)
    ]  # type: ignore[operator]
    tree.git("am", "-q", *(str(path) for path, _ in patches))
    tree.git("checkout", "-q", "main")
    return [mail for _, mail in patches]


def send(tool: Tool, tree: GitTree, project: Path, tmp_path: Path, *more: str | Path) -> str:
    ran = tool("send", "first", "--tree", tree.path, "--project", project, *more,
               **home(tmp_path / "home"))  # fmt: skip
    return f"{ran.status} {ran.out}{ran.err}"


def test_mails_have_no_long_line_and_make_the_same_tree(
    tool: Tool, odd: GitTree, project: Path, tmp_path: Path
) -> None:
    short = ("a.txt", "=3D Größe\n".encode() * 9)
    make(tool, odd, project, STEPS[1], ("b.txt", LONG + b"From =3D \t\n"), short)
    said = send(tool, odd, project, tmp_path, "-o", tmp_path / "out")
    assert said.startswith("0 "), said
    assert f"mail it: git send-email {tmp_path}/out/*.eml" in said
    for path in (tmp_path / "out").iterdir():
        assert all(len(line) <= 998 for line in path.read_bytes().split(b"\n"))
    mails = received(odd, tmp_path / "out")
    assert [mail["Content-Transfer-Encoding"] for mail in mails] == [
        "quoted-printable",
        "quoted-printable",
        "8bit",
    ]
    assert odd.git("rev-parse", "received^{tree}") == odd.git("rev-parse", "odd^{tree}")
    assert "nothing changed" in export(tool, odd, project, "main..received")


def test_mails_have_the_bytes_of_files_that_are_no_utf8(
    tool: Tool, odd: GitTree, project: Path, tmp_path: Path
) -> None:
    """Also where the tree says how a file is shown; and again, from the branch that is there."""
    (odd.path / ".gitattributes").write_text("*.c diff=cpp\n")
    (odd.path / "latin one.c").write_bytes(b"int a;\n" + LATIN)
    odd.commit("odd: add more")
    steps = (*STEPS, ("latin one.c", LATIN + b"int b; /* \xff\xfe */"),
             ("dos.txt", b"a \r\nb\r\r\nc = \t\n\r\n"), ("dos.txt", b"a\nb\r\n"))  # fmt: skip
    make(tool, odd, project, *steps)
    for number in (1, 2):
        out = tmp_path / f"out{number}"
        said = send(tool, odd, project, tmp_path, "-o", out)
        assert said.startswith("0 "), said
        assert f"mail it: git send-email {out}/*.eml" in said
        for path in out.iterdir():
            assert path.read_bytes().decode()
        received(odd, out)
        assert odd.git("rev-parse", "received^{tree}") == odd.git("rev-parse", "odd^{tree}")
        for back, (name, data) in enumerate(reversed(steps)):
            assert content(odd, f"received~{back}", name) == data
        assert "nothing changed" in export(tool, odd, project, "main..received")
        odd.git("branch", "-q", "-D", "received")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("latin.txt", STEPS[0][1], "its diff of latin.txt has bytes that are not UTF-8"),
        ("latin.txt", STEPS[2][1], "its diff of latin.txt has bytes that are not UTF-8"),
        ("dos.txt", b"a\r\n", "its diff of dos.txt has lines that end with CR"),
    ],
)
def test_what_b4_cannot_reflect_is_refused_before_anything_is_written(
    tool: Tool, odd: GitTree, project: Path, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    make(tool, odd, project, ("a.txt", b"a\n"), (name, data))
    before = odd.state()
    text = send(tool, odd, project, tmp_path, "-o", tmp_path / "out", "--reflect")
    assert text.startswith("2 memdesc-tool: 0002-") and said in text, text
    assert odd.state() == before and not (tmp_path / "out").exists()


def test_long_lines_are_not_mailed_by_b4(
    tool: Tool, odd: GitTree, project: Path, tmp_path: Path
) -> None:
    make(tool, odd, project, STEPS[1])
    with smtp_sink() as sink:
        give_identity(odd, sink.port)
        before = odd.state()
        text = send(tool, odd, project, tmp_path, "--reflect")
    assert text.startswith("2 ") and "b4 mails its line of 1801 bytes as it is" in text, text
    assert not sink.mails and odd.state() == before


def test_brackets_of_a_subject_are_kept_or_named(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    """apply keeps them; in a mail they are lost for whoever takes it, and send says so."""
    series = describe(project)
    give_identity(minitree)
    minitree.git("checkout", "-q", "-b", "odd", "main")
    (minitree.path / "a.txt").write_text("a\n")
    minitree.commit("[media] a: write less\n\nMore is not better.")
    minitree.git("checkout", "-q", "main")
    export(tool, minitree, project, "main..odd")
    (patch,) = series.glob("*.patch")
    assert "Subject: [PATCH] [media] a: write less\n" in patch.read_text()
    ran = tool("apply", "first", "--tree", minitree.path, "--project", project, "--branch", "done")
    assert ran.status == 0, ran.err
    assert minitree.git("log", "-1", "--format=%s", "done") == "[media] a: write less"
    assert "nothing changed" in export(tool, minitree, project, "main..done")
    said = send(tool, minitree, project, tmp_path, "-o", tmp_path / "out")
    assert said.startswith("0 ") and f"{patch.name}: b4 mails [media] as part of [PATCH" in said
    assert minitree.git("log", "-1", "--format=%s", "b4/first") == "[media] a: write less"
    (mail,) = received(minitree, tmp_path / "out")
    assert mail["Subject"] == "[PATCH media] a: write less"
    assert minitree.git("log", "-1", "--format=%s", "received") == "a: write less"


def test_reviews_of_them_are_taken_over(
    tool: Tool, odd: GitTree, project: Path, tmp_path: Path
) -> None:
    series = make(tool, odd, project, *STEPS[:2])
    assert send(tool, odd, project, tmp_path, "-o", tmp_path / "out").startswith("0 ")
    box = mailbox.mbox(tmp_path / "thread.mbox")
    for path in sorted((tmp_path / "out").iterdir()):
        box.add(path.read_bytes())
    parent = next(mail for mail in box if "1/2]" in str(mail["Subject"]))
    answer = EmailMessage()
    answer["From"], answer["Subject"] = "Jane <jane@example.org>", "Re: it"
    answer["Date"], answer["Message-ID"] = "Fri, 02 Jan 2026 12:00:00 +0000", "<a@example.org>"
    answer["In-Reply-To"] = answer["References"] = str(parent["Message-ID"])
    answer.set_content("Good.\n\nAcked-by: Jane <jane@example.org>\n")
    box.add(answer)
    box.flush()
    before = [path.read_bytes().partition(b"\ndiff ")[2] for path in sorted(series.glob("*.patch"))]
    ran = tool("series", "reroll", "first", "--tree", odd.path, "--project", project, "--mbox",
               tmp_path / "thread.mbox", **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0 and "added    Acked-by: Jane" in ran.out, ran.out + ran.err
    after = [path.read_bytes().partition(b"\ndiff ")[2] for path in sorted(series.glob("*.patch"))]
    assert after == before
    kept = sorted((series / "sent" / "v1").iterdir())
    assert [LATIN in path.read_bytes() for path in kept] == [True, False]
    assert send(tool, odd, project, tmp_path, "-o", tmp_path / "v2").startswith("0 ")


def test_a_prep_branch_that_b4_cannot_read_is_named(
    tool: Tool, odd: GitTree, project: Path, tmp_path: Path
) -> None:
    make(tool, odd, project, ("a.txt", b"a\n"))
    assert send(tool, odd, project, tmp_path).startswith("0 ")
    odd.git("checkout", "-q", "b4/first")
    (odd.path / "latin.txt").write_bytes(STEPS[0][1])
    odd.commit("latin: add more\n\nMore.")
    odd.git("checkout", "-q", "main")
    ran = tool("send", "--branch", "b4/first", "--tree", odd.path, "-o", tmp_path / "out",
               **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 2 and "b4 cannot read b4/first: its patches are not all UTF-8" in ran.err
    assert not (tmp_path / "out").exists()
