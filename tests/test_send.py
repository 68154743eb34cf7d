"""send, with real b4, real git and a real SMTP server on this machine."""

from __future__ import annotations

import email.header
import mailbox
import subprocess
from pathlib import Path

import pytest

from tests.conftest import GitTree, Tool
from tests.mailbox import (
    B4,
    MAIL,
    NAME,
    describe,
    give_identity,
    header,
    home,
    make_long,
    run_b4,
    show_info,
    smtp_sink,
    without_git,
)

TO = 'to = ["Linux MM <linux-mm@example.org>"]\ncc = ["José Ñandú <jose@example.org>"]\n'


@pytest.fixture
def sender(minitree: GitTree, project: Path) -> Path:
    give_identity(minitree)
    return describe(project, TO)


def test_mails_of_a_series_make_the_same_patches(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    """patches -> branch -> mail -> git am -> patches: nothing but the directory's bytes."""
    project = sender.parent.parent
    export = ("series", "export", "first", "--tree", minitree.path, "--project", project)
    assert tool(*export, "main..work").status == 0
    before = {path.name: path.read_bytes() for path in sender.iterdir()}
    state = minitree.state()
    out = tmp_path / "out"
    ran = tool("send", "first", "--tree", minitree.path, "--project", project, "-o", out,
               **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    assert "branch b4/first is made: 2 patches, v1" in ran.out
    assert "b4 send" in ran.out.splitlines()[-1]
    changed = {key for key, value in minitree.state().items() if state.get(key) != value}
    assert not [key for key in changed if key.startswith("tree/") or key in ("HEAD", "index")]
    minitree.git("checkout", "-q", "-b", "received", "main")
    mails = [path for path in sorted(out.glob("*.eml")) if b"\ndiff --git " in path.read_bytes()]
    assert len(mails) == 2
    minitree.git("am", "-q", *map(str, mails))
    ran = tool(*export, "main..received")
    assert "2 patches, nothing changed" in ran.out
    assert {path.name: path.read_bytes() for path in sender.iterdir()} == before


def test_headers_threading_and_encodings(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = tool("send", "first", "--tree", minitree.path, "--project", sender.parent.parent,
               "-o", out, "--signoff", **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    mails = [email.message_from_bytes(path.read_bytes()) for path in sorted(out.glob("*.eml"))]
    cover, *patches = mails
    assert header(cover, "Subject") == "[PATCH 0/2] words instead of figures"
    for mail in mails:
        sender_name = str(email.header.make_header(email.header.decode_header(mail["From"])))
        assert sender_name == f"{NAME} <{MAIL}>"
        assert "linux-mm@example.org" in header(mail, "To")
        assert "jose@example.org" in header(mail, "Cc")
        assert header(mail, "From").isascii() and header(mail, "Cc").isascii()
    for mail in patches:
        assert mail["In-Reply-To"] == cover["Message-ID"]
        text = mail.get_payload(decode=True).decode()  # type: ignore[union-attr]
        assert f"\nSigned-off-by: {NAME} <{MAIL}>\n" in text
        assert 'From: "A. Developer" <dev@example.org>\n' in text
    text = cover.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert f"base-commit: {minitree.git('rev-parse', 'main')}" in text
    assert "\n# A heading that is no comment\n" in text
    assert "To: Linux MM" not in text


def test_a_long_series_reflected_over_smtp(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    make_long(minitree, sender, 23)
    with smtp_sink() as sink:
        give_identity(minitree, sink.port)
        ran = tool("send", "first", "--tree", minitree.path, "--project",
                   sender.parent.parent, "--reflect", **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    assert "24 mails were sent to you alone" in ran.out
    assert len(sink.mails) == 24
    assert {tuple(to) for to, _ in sink.mails} == {(MAIL,)}
    cover = sink.mails[0][1]
    assert header(cover, "Subject") == "[PATCH 00/23] words instead of figures"
    assert all(mail["In-Reply-To"] == cover["Message-ID"] for _, mail in sink.mails[1:])
    assert all(len(line) <= 998 for _, mail in sink.mails for line in mail.as_bytes().split(b"\n"))
    box = mailbox.mbox(tmp_path / "thread.mbox")
    for _, mail in sink.mails:
        box.add(mail)
    box.flush()
    minitree.git("checkout", "-q", "-b", "received", "main")
    done = subprocess.run(
        [B4, "--offline-mode", "-n", "shazam", "-m", str(tmp_path / "thread.mbox"),],
        cwd=minitree.path, env=without_git(home(tmp_path / "home")), check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert minitree.git("rev-parse", "received^{tree}") == minitree.git("rev-parse", "long^{tree}")


def test_the_branch_is_b4s_own_and_is_brought_up_to_date(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    variables = home(tmp_path / "home")
    args = ("send", "first", "--tree", minitree.path, "--project", sender.parent.parent)
    assert tool(*args, **variables).status == 0

    first = show_info(minitree, variables)
    assert first["revision"] == "1"
    assert first["base-commit"] == minitree.git("rev-parse", "main")
    assert first["cover-subject"] == "words instead of figures"
    assert first["needs-editing"] == "False"
    toml = sender / "series.toml"
    patch = next(line for line in toml.read_text().splitlines() if "0002-" in line)
    text = toml.read_text().replace(patch, f'{patch}\nnotes = {{ v2 = "Say why (Jane)." }}')
    toml.write_text(
        f'revision = 2\nprefix = "RFC PATCH"\nchanges = {{ v2 = "- Clearer." }}\n{text}'
    )
    out = tmp_path / "out"
    ran = tool(*args, "-o", out, **variables)
    assert ran.status == 0, ran.out + ran.err
    assert "b4/first is brought up to date: 2 patches, v2" in ran.out
    second = show_info(minitree, variables)
    assert second["change-id"] == first["change-id"]
    assert second["revision"] == "2"
    cover, _, last = [path.read_text() for path in sorted(out.glob("*.eml"))]
    assert "Subject: [PATCH RFC v2 0/2] words" in cover
    assert "---\nChanges in v2:\n- Clearer.\n" in cover
    message, _, below = last.partition("\n---\n")
    assert "Say why" not in message
    assert "v2: Say why (Jane)." in below.partition("diff --git")[0]


def test_a_branch_with_changes_of_yours_is_left_alone(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    variables = home(tmp_path / "home")
    args = ("send", "first", "--tree", minitree.path, "--project", sender.parent.parent)
    assert tool(*args, **variables).status == 0
    made = minitree.git("rev-parse", "b4/first")
    minitree.git("checkout", "-q", "b4/first")
    (minitree.path / "a.txt").write_text("mine\n")
    mine = minitree.commit("a: mine")
    minitree.git("checkout", "-q", "main")
    ran = tool(*args, **variables)
    assert ran.status == 2 and "has commits or a cover that no send of ours has made" in ran.err
    assert minitree.git("rev-parse", "b4/first") == mine
    ran = tool(*args, "--replace", **variables)
    assert ran.status == 0 and f"it was at {mine}" in ran.out, ran.err
    minitree.git("checkout", "-q", "b4/first")
    (tmp_path / "cover").write_text("My own subject\n\nMy own text.\n")
    run_b4(minitree, variables, "prep", "--edit-cover", GIT_EDITOR=f"cp '{tmp_path / 'cover'}'")
    minitree.git("checkout", "-q", "main")
    edited = minitree.git("rev-parse", "b4/first")
    assert edited not in (made, mine)
    ran = tool(*args, **variables)
    assert ran.status == 2 and "no send of ours has made" in ran.err
    assert minitree.git("rev-parse", "b4/first") == edited


def test_the_command_that_is_printed_passes_b4s_own_checks(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    """And the recipients that b4 adds to the cover stay, without being a change of yours."""
    variables = home(tmp_path / "home")
    args = ("send", "first", "--tree", minitree.path, "--project", sender.parent.parent)
    minitree.git("config", "b4.send-auto-cc-cmd", "echo Added <added@example.org>")
    minitree.git("config", "b4.prep-perpatch-check-cmd", "true")
    ran = tool(*args, **variables)
    assert ran.status == 0, ran.err
    _, switch, *steps, last = ran.out.splitlines()[-1].split(" && ")
    assert (switch, last) == ("git switch b4/first", "b4 send")
    minitree.git("checkout", "-q", "b4/first")
    assert show_info(minitree, variables)["preflight-checks-failing"] == "True"
    for step in steps:
        run_b4(minitree, variables, *step.split()[1:])
    assert show_info(minitree, variables)["preflight-checks-failing"] == "False"
    minitree.git("checkout", "-q", "main")
    for _ in range(2):
        ran = tool(*args, "--range-diff", **variables)
        assert ran.status == 0 and "no revision of first is kept" in ran.err, ran.err
        assert "its cover keeps Cc: added@example.org" in ran.out.replace("Added <", "")
    cover = minitree.git("log", "--format=%B", "main..b4/first")
    assert cover.count("jose@example.org") == 1 and cover.count("added@example.org") == 1


def test_after_b4_has_sent_it(tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path) -> None:
    """b4's revision does not go back, and the next one is sent from what b4 has left."""
    variables = home(tmp_path / "home")
    project = sender.parent.parent
    args = ("first", "--tree", minitree.path, "--project", project)
    with smtp_sink() as sink:
        give_identity(minitree, sink.port)
        assert tool("send", *args, **variables).status == 0
        minitree.git("checkout", "-q", "b4/first")
        run_b4(minitree, variables, "send", "--no-sign")
        minitree.git("checkout", "-q", "main")
    assert len(sink.mails) == 3
    after = minitree.git("rev-parse", "b4/first")
    assert minitree.git("tag", "--list", "sent/*-first-*-v1")
    ran = tool("send", *args, **variables)
    assert ran.status == 2 and "b4/first is at v2 for b4, the series at v1" in ran.err
    assert minitree.git("rev-parse", "b4/first") == after
    (first, _) = sorted(sender.glob("*.patch"))
    first.write_text(first.read_text().replace("+line three", "+line THREE"))
    ran = tool("series", "reroll", *args, **variables)
    assert ran.status == 0 and "as b4's tag in" in ran.out, ran.out + ran.err
    (kept, _) = sorted((sender / "sent" / "v1").iterdir())
    assert "+line three" in kept.read_text()
    ran = tool("send", *args, **variables)
    assert ran.status == 0, ran.err
    assert "b4/first is brought up to date: 2 patches, v2" in ran.out
    assert "EDITME" not in minitree.git("log", "--format=%B", "main..b4/first")


def test_a_series_that_depends_on_another_names_it(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    minitree.git("checkout", "-q", "-b", "more", "work")
    (minitree.path / "sub" / "b.txt").write_text("one\ntwo\nthree\n")
    minitree.commit("b: add three\n\nThree is missing.")
    minitree.git("checkout", "-q", "main")
    second = sender.parent / "second"
    second.mkdir()
    minitree.git("format-patch", "-q", "-o", str(second), "work..more")
    (second / "cover.md.j2").write_text("{{ series.title }}\n\nMore.\n")
    (second / "series.toml").write_text(
        'title = "more"\ndepends = ["first"]\n[[patch]]\nfile = "0001-b-add-three.patch"\n'
    )
    out = tmp_path / "out"
    ran = tool("send", "second", "--tree", minitree.path, "--project", sender.parent.parent,
               "-o", out, **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    (mail,) = (path.read_text() for path in out.glob("*.eml"))
    assert f"base-commit: {minitree.git('rev-parse', 'main')}" in mail
    assert mail.count("prerequisite-patch-id: ") == 2
    assert "b4 prep --check && b4 prep --check-deps && b4 send" in ran.out
    assert minitree.git("rev-parse", "b4/second^{tree}") == minitree.git("rev-parse", "more^{tree}")
    minitree.git("fsck", "--connectivity-only")


def test_a_branch_without_a_project(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path
) -> None:
    """The series in git alone: --branch names a prep branch that b4 has made."""
    variables = home(tmp_path / "home")
    made = tool("send", "first", "--tree", minitree.path, "--project", sender.parent.parent,
                "--name", "mine", **variables)  # fmt: skip
    assert made.status == 0, made.err
    before = minitree.state()
    out = tmp_path / "out"
    ran = tool("send", "--branch", "b4/mine", "--tree", minitree.path, "-o", out, **variables)
    assert ran.status == 0, ran.out + ran.err
    assert len(list(out.glob("*.eml"))) == 3
    assert minitree.state() == before
    assert "2 of the patches are not signed off" in ran.err
    args = ("send", "--branch", "b4/mine", "--tree", minitree.path)
    for option in (["--signoff"], ["--name", "x"], ["--range-diff"], ["--replace"],
                   ["--describe", sender / "series.toml"], ["--kunitconfig", sender]):  # fmt: skip
        ran = tool(*args, *option, **variables)
        assert ran.status == 2 and f"{option[0]} is not for --branch" in ran.err
    ran = tool("send", "--branch", "main..work", "--tree", minitree.path, **variables)
    assert ran.status == 2 and "git switch -c b4/NAME work && b4 prep -e main" in ran.err


@pytest.mark.parametrize("bad", ["not an address", "", "A <a@example.org>\\nBcc: b@example.org"])
def test_a_recipient_that_is_none(
    tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path, bad: str
) -> None:
    toml = sender / "series.toml"
    toml.write_text(toml.read_text().replace("cc = [", f'cc = ["{bad}", '))
    ran = tool("send", "first", "--tree", minitree.path, "--project", sender.parent.parent,
               **home(tmp_path / "home"))  # fmt: skip
    assert ran.status == 2 and "is no mail address" in ran.err
    assert not minitree.git("branch", "--list", "b4/*")


def test_what_cannot_be_sent(tool: Tool, minitree: GitTree, sender: Path, tmp_path: Path) -> None:
    variables = home(tmp_path / "home")
    project = sender.parent.parent
    args = ("send", "first", "--tree", minitree.path, "--project", project)
    assert tool(*args, **variables).status == 0
    minitree.git("checkout", "-q", "b4/first")
    ran = tool(*args, **variables)
    assert ran.status == 2 and "every patch of first is in" in ran.err
    ran = tool(*args, "--rev", "main", **variables)
    assert ran.status == 2 and "b4/first is checked out" in ran.err
    minitree.git("checkout", "-q", "main")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mail").write_text("x")
    ran = tool(*args, "-o", tmp_path / "full", **variables)
    assert ran.status == 2 and "is not empty" in ran.err
    ran = tool("send", "--branch", "main", "--tree", minitree.path, **variables)
    assert ran.status == 2 and "main is no prep branch of b4" in ran.err
    make_long(minitree, sender, 1, words=60)
    ran = tool(*args, "-o", tmp_path / "long", **variables)
    assert ran.status == 0 and "lines of more than 998 bytes" in ran.err
    (sender / "cover.md.j2").unlink()
    ran = tool(*args, **variables)
    assert ran.status == 2 and "has no cover.md.j2" in ran.err
    minitree.git("config", "--unset", "user.email")
    ran = tool(*args, **variables)
    assert ran.status == 2
