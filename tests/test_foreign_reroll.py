"""A series of somebody else's, as a distribution keeps it, from check to its second revision."""

from __future__ import annotations

import mailbox
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.conftest import GitTree, Tool
from tests.mailbox import COVER, give_identity, home
from tests.minikernel import make_foreign

JANE = "Jane Reviewer <jane@example.org>"
OTHERS = "Origin: https://example.net/{}\nBug-Debian: https://bugs.example.net/{}"
SIGNED = "Signed-off-by: Zoë Foreign <zoe@example.net>\n"
NAMES = ("say-of-what.patch", "count-right.patch", "greet.patch")


@pytest.fixture
def tree(tmp_path: Path) -> GitTree:
    """A "kernel" with a suite of its own, and the patches for it in the directory theirs."""
    mini = make_foreign(tmp_path)
    series = tmp_path / "theirs"
    series.mkdir()
    mini.tree.git("format-patch", "-q", "-U1", "-o", str(tmp_path / "made"), "main..work")
    made = sorted((tmp_path / "made").iterdir())
    for number, (name, path) in enumerate(zip(NAMES, made, strict=True), 1):
        (series / name).write_text(foreign(path.read_text(), number))
    (tmp_path / "counting.config").write_text("CONFIG_KUNIT=y\n")
    give_identity(mini.tree)
    return mini.tree


def foreign(text: str, number: int) -> str:
    """A patch with headers, a number, a sign-off and a diff (-U1) as others write them."""
    author = f"From: Zoë Foreign <zoe@example.net>\n{OTHERS.format(number, number)}"
    text = re.sub(r"^From: .*", author, text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^index .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[PATCH[^]]*\]", f"[PATCH stable {number}/9]", text)
    return text.replace("\n---\n", f"\n\n{SIGNED}---\n", 1)


def content(series: Path) -> dict[str, bytes]:
    return {name: (series / name).read_bytes() for name in NAMES}


def test_from_check_to_the_second_revision(tool: Tool, tree: GitTree, tmp_path: Path) -> None:
    series, variables = tmp_path / "theirs", home(tmp_path / "home")
    given = content(series)
    tests = ("--kunitconfig", tmp_path / "counting.config")

    def call(*command: str | Path) -> str:
        words = command[:2] if command[0] == "series" else command[:1]
        ran = tool(*words, series, "--tree", tree.path, *command[len(words) :], **variables)
        assert ran.status == 0 or words == ("check",), ran.out + ran.err
        return ran.out + ran.err

    # In the order of series.toml, as a distribution has one, not in that of the names.
    (series / "series.toml").write_text(
        'title = "numbers that are right"\n'
        + "".join(f'\n[[patch]]\nfile = "{name}"\n' for name in NAMES)
    )
    (series / "cover.md.j2").write_text(COVER)
    assert "3 patches" in call("regress", *tests)
    assert "3 patches on " in call("check", "--no-compile", *tests)
    call("send", *tests, "-o", tmp_path / "v1")
    assert content(series) == given

    box = mailbox.mbox(tmp_path / "thread.mbox")
    mails = [path.read_bytes() for path in sorted((tmp_path / "v1").glob("*.eml"))]
    assert len(mails) == 4
    for mail in mails:
        box.add(mail)
    for number, tag in ((1, "Reviewed-by"), (3, "Acked-by")):
        parent = next(m for m in box if f"{number}/3]" in str(m["Subject"]))
        answer = EmailMessage()
        answer["From"], answer["To"], answer["Subject"] = JANE, str(parent["From"]), "Re: it"
        answer["Date"] = "Fri, 02 Jan 2026 12:00:00 +0000"
        answer["Message-ID"] = f"<{number}@example.org>"
        answer["In-Reply-To"] = answer["References"] = str(parent["Message-ID"])
        answer.set_content(f"Good.\n\n{tag}: {JANE}\n")
        box.add(answer)
    box.flush()

    before = tree.git("rev-parse", "b4/theirs")
    said = call("series", "reroll", "--mbox", tmp_path / "thread.mbox")
    assert f"added    Reviewed-by: {JANE}" in said and f"added    Acked-by: {JANE}" in said, said
    assert "v2" in said and "v1 is kept" in said
    after = content(series)
    assert after["count-right.patch"] == given["count-right.patch"]
    for name, tag in (("say-of-what.patch", "Reviewed-by"), ("greet.patch", "Acked-by")):
        expected = given[name].decode().replace(SIGNED, f"{SIGNED}{tag}: {JANE}\n")
        assert after[name].decode() == expected
    assert len(list((series / "sent" / "v1").glob("*.patch"))) == 3

    assert "3 patches, v2" in call("send", *tests, "-o", tmp_path / "v2")
    assert content(series) == after
    assert "Range-diff against v1:" in call("series", "diff")
    tree.git("checkout", "-q", "-b", "received", "main")
    patches = [str(path) for path in sorted((tmp_path / "v2").glob("*.eml"))][1:]
    tree.git("am", "-q", *patches)
    assert tree.git("rev-parse", "received^{tree}") == tree.git("rev-parse", "work^{tree}")
    assert tree.git("rev-parse", "b4/theirs^{tree}") == tree.git("rev-parse", f"{before}^{{tree}}")
    log = tree.git("log", "--reverse", "--format=%an <%ae>%n%(trailers:only)", "main..received")
    assert log.count("Zoë Foreign <zoe@example.net>") == 6
    assert log.count(JANE) == 2
