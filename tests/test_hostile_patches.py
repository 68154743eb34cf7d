"""Patches are untrusted: each is applied rightly or refused with one clear line."""

from __future__ import annotations

import base64
import os
import quopri
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memdesc_tool.apply import Applied, ConflictError, How, apply_stack
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.mail import LIMIT
from memdesc_tool.patch import parse_patch, read_patch
from memdesc_tool.series import Numbered, read_series
from memdesc_tool.tree import resolve
from memdesc_tool.vetting import bad_name
from memdesc_tool.workspace import open_workspace
from tests.conftest import GitTree, Tool, numbers

HEAD = (
    "From: A. Developer <dev@example.org>\nDate: Fri, 2 Jan 2026 03:04:05 +0100\n"
    "Subject: [PATCH] sub: change\n"
)
HUNK = "@@ -1,2 +1,3 @@\n one\n+new\n two\n"
B = "diff --git a/sub/b.txt b/sub/b.txt\n--- a/sub/b.txt\n+++ b/sub/b.txt\n" + HUNK
"""A good diff."""


def added(name: str, mode: str = "100644", *, header: str = "", quoted: bool = False) -> str:
    """A diff that adds a file of one line."""
    old, new = (f'"{side}/{name}"' if quoted else f"{side}/{name}" for side in "ab")
    return (
        f"diff --git {header or f'{old} {new}'}\nnew file mode {mode}\n--- /dev/null\n"
        f"+++ {new}\n@@ -0,0 +1 @@\n+x\n"
    )


def mail(diff: str, *, headers: str = "", body: str = "Why.\n") -> bytes:
    return f"{HEAD}{headers}\n{body}---\n\n{diff}".encode()


@pytest.fixture
def put(
    cache: Cache, progress: Progress, minitree: GitTree, tmp_path: Path
) -> Callable[..., tuple[Applied, dict[str, bytes], str]]:
    """Applies patches to minitree; the last one's fate, the files after it and its message."""

    def run(*data: bytes) -> tuple[Applied, dict[str, bytes], str]:
        before = minitree.state()
        patches = [
            Numbered(n, "s", parse_patch(tmp_path / f"{n}.patch", one))
            for n, one in enumerate(data, 1)
        ]
        base = resolve(str(minitree.path), cache, progress)
        try:
            with open_workspace(cache, base, progress) as workspace:
                last = apply_stack(workspace, base.commit, patches, progress)[-1]
                git = workspace.scratch
                names = git.run("ls-tree", "-rz", "--name-only", last.commit).split("\0")
                files = {n: git.blob(last.commit, n) or b"" for n in filter(None, names)}
                return last, files, git.run("log", "-1", "--format=%B", last.commit)
        finally:
            assert minitree.state() == before

    return run


Put = Callable[..., tuple[Applied, dict[str, bytes], str]]


def refused(put: Put, problem: str, *data: bytes) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        put(*data)
    assert "\n" not in caught.value.message
    assert f"{len(data)}.patch" in caught.value.message


def test_a_good_patch_goes_in(put: Put) -> None:
    applied, files, message = put(mail(B))
    assert applied.how is How.APPLIED
    assert files["sub/b.txt"] == b"one\nnew\ntwo\n"
    assert message == "sub: change\n\nWhy."


# -- names -----------------------------------------------------------------------------

EVIL = (
    "../escape", "sub/../../x", "/etc/x", "sub//x", "./x", "sub/.", "..",
    ".git/hooks/post-checkout", ".GIT/config", "sub/.Git/config", "git~1/config", "GIT~2/x",
    ".git /config", ".git./config", ".git::$INDEX_ALLOCATION/config", ".git:x",
    ".g\u200cit/config", ".gi\u202et/x", "\ufeff.git/x", "sub\\..\\..\\x", ".git\\config",
    ".gitmodules", "sub/.GITMODULES", "gitmod~1", ".git\u200bmodules\\x",
)  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_names_that_no_tree_may_have(name: str) -> None:
    assert bad_name(name)


@pytest.mark.parametrize(
    "name",
    ["mm/x.c", ".gitignore", ".gitattributes", ".github/x", "git/x", "x.git", "a b/ü.c", "...",
     "x~1", "git~x", "drivers/gpu/aux.c", ".gitlab:x/..y"],
)  # fmt: skip
def test_names_that_are_fine(name: str) -> None:
    assert not bad_name(name)


@pytest.mark.parametrize("name", [".git/hooks/x", "sub/../../x", ".gitmodules"])
def test_evil_names_are_refused_wherever_they_stand(put: Put, name: str) -> None:
    refused(put, "touches ", mail(added(name)))
    for words in ("rename", "copy"):
        diff = (
            f"diff --git a/a.txt b/{name}\nsimilarity index 100%\n"
            f"{words} from a.txt\n{words} to {name}\n"
        )
        refused(put, "touches ", mail(diff))
        diff = (
            f"diff --git a/{name} b/c.txt\nsimilarity index 100%\n"
            f"{words} from {name}\n{words} to c.txt\n"
        )
        refused(put, "touches ", mail(diff))


@pytest.mark.parametrize(
    "name", ["..\\057x", "\\056git/config", ".g\\342\\200\\214it/config", "sub/\\056\\056/x"]
)
def test_quoted_names_are_read_as_git_reads_them(put: Put, name: str) -> None:
    refused(put, "outside of the tree; refused", mail(added(name, quoted=True)))


@pytest.mark.parametrize(
    ("name", "problem"),
    [("sub/\\377", "not UTF-8"), ("sub/a\\nb", "control char"), ("sub/\\q", "broken quoted name")],
)
def test_odd_quoted_names(put: Put, name: str, problem: str) -> None:
    refused(put, problem, mail(added(name, quoted=True)))


def test_good_names_of_every_kind_go_in(put: Put) -> None:
    names = ("sub/with space.c", "sub/\u00fc.c", 'sub/quo"te.c')
    diff = added(names[0]).replace("+++ b/sub/with space.c", "+++ b/sub/with space.c\t")
    diff += added("sub/\\303\\274.c", quoted=True) + added('sub/quo\\"te.c', quoted=True)
    _, files, _ = put(mail(diff))
    assert all(files[name] == b"x\n" for name in names)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("--- a/sub/b.txt", "--- a/../x", "another name follows"),
        ("+++ b/sub/b.txt", "+++ b/.git/config", "another name follows"),
        ("diff --git a/sub/b.txt", "diff --git a/other", "neither a/NAME b/NAME nor a rename"),
        ("+++ b/sub/b.txt", "+++ /dev/null", "/dev/null is for files"),
        ("--- a/sub/b.txt", "rename from x\nrename to y\n--- a/sub/b.txt", "names another file"),
        ("--- a/sub/b.txt\n+++ b/sub/b.txt\n", "rename from x\nrename to y\n", "other files than"),
        ("--- a/sub/b.txt\n+++ b/sub/b.txt\n", "rename from x\n", "half a rename"),
        ("diff --git a/sub/b.txt b/sub/b.txt\n", "", "without a `diff --git` line"),
        ("+++ b/sub/b.txt\n", "", "without a \\+\\+\\+ line"),
        ("--- a/sub/b.txt\n+++ b/sub/b.txt\n", "x\n", "belongs to no file"),
        (" two\n", "", "not complete"),
        (" two\n", "*two\n", "not a line of a diff"),
        (" two\n", " two\n+more\n", "goes on after"),
        (" two\n", " two\n more\n", "goes on after"),
        ("-1,2 +1,3", "-1,2 +1,1", "not those that its header counts"),
        ("-1,2 +1,3", "-x", "broken hunk header"),
    ],
)
def test_headers_that_disagree_are_refused(old: str, new: str, problem: str) -> None:
    assert old in B
    with pytest.raises(UserError, match=problem):
        parse_patch(Path("x.patch"), mail(B.replace(old, new, 1)))


def test_names_without_prefix_are_refused() -> None:
    """git would cut "sub/" off and change another file."""
    with pytest.raises(UserError, match=r"without a/ (and|or) b/"):
        parse_patch(Path("x.patch"), mail(B.replace("a/sub", "sub").replace("b/sub", "sub")))


def test_a_subject_does_not_pass_for_an_error_of_the_machine(put: Put) -> None:
    data = mail(B.replace(" two", " three")).replace(
        b"sub: change", b"fatal: No space left on device"
    )
    with pytest.raises(ConflictError):
        put(data)


def test_a_diff_of_another_kind_is_refused(put: Put) -> None:
    """Traditional diffs, which git apply takes as well, before and behind git's."""
    other = "--- a/.git/config\n+++ b/.git/config\n@@ -0,0 +1 @@\n+x\n"
    for diff in (other, B + other, other + B, B + "Index: x\n" + other):
        with pytest.raises(UserError, match="without a `diff --git` line"):
            parse_patch(Path("x.patch"), mail(diff))
    # The message ends where git thinks that a diff begins.
    data = f"{HEAD}\nWhy.\n{other}---\n\n{B}".encode()
    with pytest.raises(UserError, match="without a `diff --git` line"):
        put(data)


def test_what_git_reads_otherwise_is_refused(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second line of defence: git's own list of the files must be ours."""
    monkeypatch.setattr("memdesc_tool.patch.parse_diff", lambda _diff: ())
    refused(put, r"git reads its diff otherwise \('sub/b.txt'\)", mail(B))


# -- links, submodules, modes ----------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "problem"),
    [("120000", "adds a symbolic link"), ("160000", "adds a submodule"),
     ("100600", "adds a file of mode 100600"), ("104755", "adds a file of mode 104755"),
     ("040000", "adds a file of mode 040000")],
)  # fmt: skip
def test_new_files_are_644_or_755(put: Put, mode: str, problem: str) -> None:
    refused(put, problem, mail(added("sub/x", mode)))


@pytest.mark.parametrize("mode", ["120000", "160000", "100777"])
def test_mode_changes_other_than_644_and_755(put: Put, mode: str) -> None:
    for lines in (f"old mode 100644\nnew mode {mode}\n", f"index 1111111..2222222 {mode}\n"):
        refused(put, "changes a ", mail(B.replace("--- a", f"{lines}--- a")))


def test_a_mode_change_goes_in_and_is_said(
    put: Put, tool: Tool, minitree: GitTree, tmp_path: Path
) -> None:
    diff = "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100755\n"
    applied, _, _ = put(mail(diff))
    words = "a.txt: mode 100644 becomes 100755"
    assert applied.numbered.patch.mode_changes == (words,)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "1.patch").write_bytes(mail(diff))
    (tmp_path / "patches").mkdir()
    ran = tool("apply", tmp_path / "p", "--project", tmp_path, "--tree", minitree.path)
    assert (ran.status, words in ran.out) == (0, True), ran.err


def test_a_directory_that_becomes_a_link_is_refused(put: Put) -> None:
    gone = (
        "diff --git a/sub/b.txt b/sub/b.txt\ndeleted file mode 100644\n--- a/sub/b.txt\n"
        "+++ /dev/null\n@@ -1,2 +0,0 @@\n-one\n-two\n"
    )
    link = added("sub", "120000").replace("+x\n", "+/tmp\n\\ No newline at end of file\n")
    refused(put, "adds a symbolic link, sub", mail(gone + link + added("sub/pwned")))
    refused(put, "adds a symbolic link, sub", mail(gone), mail(link))


def test_links_of_the_tree_are_left_alone(put: Put, minitree: GitTree) -> None:
    (minitree.path / "link").symlink_to("/tmp")
    (minitree.path / "deep").symlink_to("sub")
    minitree.commit("links")
    refused(put, "reaches through a symbolic link of the tree, link", mail(added("link/pwned")))
    refused(
        put, "reaches through a symbolic link of the tree, deep", mail(B.replace("sub", "deep"))
    )
    for words in ("rename", "copy"):
        moved = (
            f"diff --git a/link b/sub/link\nsimilarity index 100%\n"
            f"{words} from link\n{words} to sub/link\n"
        )
        refused(put, "changes a symbolic link of the tree, link", mail(moved))
    onto = (
        "diff --git a/link b/link\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n"
        "-/tmp\n\\ No newline at end of file\n+/etc\n\\ No newline at end of file\n"
    )
    refused(put, "changes a symbolic link of the tree, link", mail(onto))
    gone = (
        "diff --git a/link b/link\ndeleted file mode 120000\n--- a/link\n+++ /dev/null\n"
        "@@ -1 +0,0 @@\n-/tmp\n\\ No newline at end of file\n"
    )
    _, files, _ = put(mail(gone))
    assert "link" not in files
    assert "deep" in files


def test_a_link_beside_what_a_patch_changes_is_no_matter(put: Put, minitree: GitTree) -> None:
    """Documentation/Changes of the kernel is one."""
    (minitree.path / "sub" / "link").symlink_to("b.txt")
    (minitree.path / "sub" / "deeper").mkdir()
    (minitree.path / "sub" / "deeper" / "c.txt").write_text("one\ntwo\n")
    minitree.commit("a link beside files")
    _, files, _ = put(mail(B), mail(B.replace("sub/b.txt", "sub/deeper/c.txt")))
    assert "sub/link" in files


def test_a_submodule_of_the_tree_is_left_alone(put: Put, minitree: GitTree) -> None:
    commit = minitree.git("rev-parse", "HEAD")
    minitree.git("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    minitree.git("commit", "-q", "-m", "a submodule")
    refused(put, "reaches through a submodule of the tree", mail(added("module/x")))


def test_attributes_and_hooks_do_nothing(
    cache: Cache, progress: Progress, minitree: GitTree, tmp_path: Path
) -> None:
    """Not those of the patch, not those of the tree, not the drivers that its config knows."""
    (minitree.path / ".gitattributes").write_text(
        "* text eol=crlf ident filter=evil diff=evil merge=union\nsub/** -diff binary\n"
    )
    (minitree.path / "id").write_text("$Id$\n")
    minitree.commit("attributes")
    base = resolve(str(minitree.path), cache, progress)
    for kind in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.command",
                 "diff.evil.textconv", "merge.evil.driver"):  # fmt: skip
        minitree.git("config", kind, f"touch {tmp_path}/ran; cat")
    for hook in ("post-checkout", "pre-applypatch", "post-index-change", "reference-transaction"):
        path = minitree.path / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        path.chmod(0o755)
    attributes = added("sub/.gitattributes").replace("+x\n", "+* eol=crlf filter=evil\n")
    blob = minitree.git("rev-parse", "HEAD:sub/b.txt")
    other = B.replace("--- a", f"index {blob}..{'1' * 40} 100644\n--- a").replace("new", "other")
    one, two, three = (
        Numbered(n, "s", parse_patch(tmp_path / f"{n}.patch", mail(diff)))
        for n, diff in enumerate((B, attributes, other), 1)
    )
    with open_workspace(cache, base, progress) as workspace:
        commit = apply_stack(workspace, base.commit, (one, two), progress)[-1].commit
        assert workspace.scratch.blob(commit, "sub/b.txt") == b"one\nnew\ntwo\n"
        source = workspace.checkout(commit)
        assert (source / "a.txt").read_bytes() == numbers().encode()
        assert (source / "id").read_bytes() == b"$Id$\n"
        # merge=union would take both sides.
        with pytest.raises(FailedError, match=r"3\.patch\) does not apply: sub/b\.txt: conflict"):
            apply_stack(workspace, base.commit, (one, two, three), progress)
    assert not (tmp_path / "ran").exists()


# -- size and bytes --------------------------------------------------------------------


def test_binary_patches_are_refused(put: Put, minitree: GitTree) -> None:
    (minitree.path / "blob").write_bytes(b"\0\1\2")
    minitree.commit("binary")
    for option in ("--binary", "--no-binary"):
        args = [
            "git",
            "format-patch",
            "--stdout",
            "-1",
            *([option] if option == "--binary" else []),
        ]
        data = subprocess.run(args, cwd=minitree.path, capture_output=True, check=True).stdout
        refused(put, "changes the binary file blob", data)


def test_a_huge_patch_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.patch"
    with path.open("wb") as stream:
        stream.truncate(LIMIT * 1000)
    with pytest.raises(UserError, match=r"huge\.patch: is larger than 16 MB; refused"):
        read_patch(path)
    with pytest.raises(UserError, match="larger than 16 MB"):
        parse_patch(path, mail(B + "#" * LIMIT))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (mail(B).decode().encode("utf-16"), "NUL byte"),
        (mail(B.replace("+new", "+n\0w")), "NUL byte"),
        (mail(B, body="caf\u00e9\n").decode().encode("latin-1"), "message is not UTF-8, and it"),
        (mail(B, body="caf\u00e9\n", headers="Content-Type: text/plain; charset=utf-8\n")
         .decode().encode("latin-1"), "message is not UTF-8, though it declares utf-8"),
        (mail(B, headers="X-Who: caf\u00e9\n").decode().encode("latin-1"), "X-Who: line is not"),
        (mail(B, headers="Content-Type: text/plain; charset=klingon\n", body="caf\u00e9\n"),
         "cannot convert from klingon"),
        (mail(B.replace("new", "n\u00e9w"), headers="Content-Type: text/plain; charset=latin1\n"),
         "declares charset latin1 and its diff is not ASCII"),
        (mail(B, headers="Content-Type: text/plain; format=flowed\n"), "format=flowed"),
        (mail(B, headers="Content-Type: text/html\n"), "a part of type text/html"),
        (mail(B, headers="Content-Transfer-Encoding: x-uuencode\n"), "transfer encoding x-uue"),
        (mail(B).replace(b"\n", b"\r\n", 4), r"end with CRLF, line 5 does not"),
        (mail(B) + b"From x Mon Sep 17 00:00:00 2001\n" + mail(B), "holds 2 patches, not one"),
        (b"Subject: x\n\nx\n---\n" + B.encode(), "no From: line"),
    ],
)  # fmt: skip
def test_texts_that_cannot_be_trusted(data: bytes, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_patch(Path("x.patch"), data)


def test_declared_charsets_become_utf8(put: Put) -> None:
    data = mail(B, body="caf\u00e9\n", headers="Content-Type: text/plain; charset=iso-8859-1\n")
    _, files, message = put(data.decode().encode("latin-1"))
    assert message == "sub: change\n\ncaf\u00e9"
    assert files["sub/b.txt"] == b"one\nnew\ntwo\n"


def test_bytes_of_the_files_stay(put: Put) -> None:
    """A file that is not UTF-8 is changed byte for byte."""
    _, files, _ = put(mail(B.replace("+new", "+n\u00e9w")).decode().encode("latin-1"))
    assert files["sub/b.txt"] == b"one\nn\xe9w\ntwo\n"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "base64 CRLF"])
def test_transfer_encodings_are_undone(put: Put, encoding: str) -> None:
    name, _, crlf = encoding.partition(" ")
    _, _, text = mail(B.replace("new", "n\u00e9w = 1"), body="Caf\u00e9.\n").partition(b"\n\n")
    text = text.replace(b"\n", b"\r\n") if crlf else text
    coded = base64.encodebytes(text) if name == "base64" else quopri.encodestring(text)
    headers = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {name}\n"
    data = f"{HEAD}{headers}\n".encode() + coded
    assert parse_patch(Path("x"), data).body == "Caf\u00e9."
    _, files, message = put(data)
    assert files["sub/b.txt"] == "one\nn\u00e9w = 1\ntwo\n".encode()
    assert message == "sub: change\n\nCaf\u00e9."


@pytest.mark.parametrize("name", [".git/hooks/x", "../x"])
def test_an_encoded_mail_hides_nothing(put: Put, name: str) -> None:
    """The evil diff is encoded; a harmless one stands in clear where only people read it."""
    headers = "Content-Transfer-Encoding: base64\n"
    coded = base64.encodebytes(b"Why.\n---\n\n" + added(name).encode())
    data = f"{HEAD}{headers}\n".encode() + coded
    refused(put, "outside of the tree; refused", data)
    in_header = f"{HEAD}X-Note: harmless\n diff --git a/a.txt b/a.txt\n{headers}\n".encode()
    refused(put, "outside of the tree; refused", in_header + coded)


def attached(*parts: tuple[str, str]) -> bytes:
    text = "".join(f"--B\nContent-Type: {kind}\n\n{content}\n" for kind, content in parts)
    headers = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n'
    return f"{HEAD}{headers}\n{text}--B--\n".encode()


def test_an_attachment_is_read_as_git_reads_it(put: Put) -> None:
    plain = ("text/plain; charset=utf-8", "Why.\n---\n")
    _, files, message = put(attached(plain, ("text/x-patch; name=x.patch", B)))
    assert files["sub/b.txt"] == b"one\nnew\ntwo\n"
    assert message == "sub: change\n\nWhy."
    refused(put, "outside of the tree", attached(plain, ("text/x-patch", added("../x"))))
    refused(put, "several attachments", attached(plain, ("text/x-diff", B), ("text/x-diff", B)))
    refused(put, "type application/octet-stream", attached(plain, ("application/octet-stream", B)))


def test_mails_that_break_a_parser_are_refused() -> None:
    nested = "".join(
        f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(2000)
    )
    with pytest.raises(UserError, match="broken mail"):
        parse_patch(Path("x.patch"), f"{HEAD}MIME-Version: 1.0\n{nested}".encode())
    with pytest.raises(UserError, match="broken hunk header"):
        parse_patch(Path("x.patch"), mail(B.replace("-1,2", f"-1,{'9' * 5000}")))


def test_a_signed_mail_goes_in(put: Put) -> None:
    signature = "-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n"
    data = attached(("text/plain", f"Why.\n---\n\n{B}"), ("application/pgp-signature", signature))
    _, files, _ = put(data.replace(b"multipart/mixed", b"multipart/signed"))
    assert files["sub/b.txt"] == b"one\nnew\ntwo\n"


def test_crlf_of_the_mail_goes_and_crlf_of_a_file_stays(put: Put, minitree: GitTree) -> None:
    _, files, _ = put(mail(B).replace(b"\n", b"\r\n"))
    assert files["sub/b.txt"] == b"one\nnew\ntwo\n"
    separator = b"From x Mon Sep 17 00:00:00 2001\n"
    _, again, _ = put(separator + mail(B, body="Again.\n").replace(b"\n", b"\r\n"))
    assert again == files
    (minitree.path / "sub" / "b.txt").write_bytes(b"one\r\ntwo\r\n")
    minitree.commit("a file of another system")
    dos = B.replace(HUNK, HUNK.replace("one\n", "one\r\n").replace("two\n", "two\r\n"))
    _, files, _ = put(mail(dos.replace("+new\n", "+new\r\n"), body="Third.\n"))
    assert files["sub/b.txt"] == b"one\r\nnew\r\ntwo\r\n"
    whole = mail(dos.replace("+new\n", "+new\r\n"), body="Fourth.\n").replace(b"\n", b"\r\n")
    _, files, _ = put(whole)
    assert files["sub/b.txt"] == b"one\r\nnew\r\ntwo\r\n"


def test_mboxrd_is_undone_where_it_is_one(put: Put) -> None:
    body = ">From here on.\n>>From there.\n"
    _, _, message = put(b"From mboxrd@z Thu Jan  1 00:00:00 1970\n" + mail(B, body=body))
    assert message == "sub: change\n\nFrom here on.\n>From there."
    zero = b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n"
    _, _, message = put(zero + mail(B, body=body))
    assert message == f"sub: change\n\n{body}".rstrip()


def test_scissors_and_from_lines_in_the_message_change_nothing(put: Put) -> None:
    body = "Before.\n\n-- >8 --\n\nFrom the log at 12:30 on:\nafter.\n"
    _, _, message = put(mail(B, body=body))
    assert message == f"sub: change\n\n{body}".rstrip()


def test_a_patch_without_date_has_a_fixed_commit(
    progress: Progress, minitree: GitTree, tmp_path: Path
) -> None:
    data = "\n".join(line for line in mail(B).decode().split("\n") if line[:5] != "Date:")
    for prefix in ("", "From x Mon Sep 17 00:00:00 2001\n"):
        patch = parse_patch(tmp_path / "x.patch", (prefix + data).encode())
        cache = Cache(tmp_path / f"cache{len(prefix)}")
        base = resolve(str(minitree.path), cache, progress)
        with open_workspace(cache, base, progress) as workspace:
            one = apply_stack(workspace, base.commit, [Numbered(1, "s", patch)], progress)[0]
            assert workspace.scratch.run("log", "-1", "--format=%at", one.commit) == "1700000000"


def test_what_was_read_is_applied_not_what_is_there_now(
    cache: Cache, progress: Progress, minitree: GitTree, tmp_path: Path
) -> None:
    path = tmp_path / "x.patch"
    path.write_bytes(mail(B))
    numbered = Numbered(1, "s", read_patch(path))
    path.write_bytes(mail(added("../evil")))
    base = resolve(str(minitree.path), cache, progress)
    with open_workspace(cache, base, progress) as workspace:
        one = apply_stack(workspace, base.commit, [numbered], progress)[0]
        assert workspace.scratch.blob(one.commit, "sub/b.txt") == b"one\nnew\ntwo\n"


# -- files of a series -----------------------------------------------------------------


def test_files_that_are_no_patch_files(project: Path, tmp_path: Path) -> None:
    """None of them hangs; series.toml or not, the error is the same one line."""
    directory = project / "patches" / "first"
    (directory / "series.toml").unlink()
    outside = tmp_path / "outside.patch"
    outside.write_bytes(mail(B))
    odd = directory / "0003-odd.patch"

    def problem() -> str:
        with pytest.raises(UserError) as caught:
            read_series(directory)
        odd.rmdir() if odd.is_dir() and not odd.is_symlink() else odd.unlink()
        return caught.value.message

    os.mkfifo(odd)
    assert problem().endswith("0003-odd.patch: is no regular file")
    odd.mkdir()
    assert problem().endswith("0003-odd.patch: is a directory")
    odd.symlink_to(outside)
    assert "0003-odd.patch: a symbolic link that leads out of" in problem()
    odd.symlink_to("/dev/zero")
    assert "a symbolic link that leads out of" in problem()
    odd.symlink_to("nowhere")
    assert "0003-odd.patch: there is no such file" in problem()
    odd.symlink_to(min(directory.glob("0001-*")).name)
    assert len(read_series(directory).patches) == 3


@pytest.mark.parametrize("name", ["../../../outside.patch", "/etc/passwd", "link.patch", "fifo"])
def test_series_toml_leads_nowhere_else(project: Path, tmp_path: Path, name: str) -> None:
    directory = project / "patches" / "first"
    (tmp_path / "outside.patch").write_bytes(mail(B))
    (directory / "link.patch").symlink_to(tmp_path / "outside.patch")
    os.mkfifo(directory / "fifo")
    (directory / "series.toml").write_text(f'title = "x"\n[[patch]]\nfile = "{name}"\n')
    with pytest.raises(UserError, match=r"series\.toml:3: patch\[1\]\.file: "):
        read_series(directory)


@pytest.mark.parametrize("file", ["first/series.toml", "stack.toml"])
def test_toml_that_is_no_file(project: Path, tool: Tool, file: str) -> None:
    path = project / "patches" / file
    path.unlink()
    os.mkfifo(path)
    ran = tool("series", "show", "first", "--project", project)
    assert ran.status == 2
    assert f"{path.name}: is no regular file" in ran.err
    path.unlink()
    path.symlink_to("/dev/zero")
    assert tool("series", "show", "first", "--project", project).status == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(project: Path) -> None:
    path = min((project / "patches" / "first").glob("*.patch"))
    path.chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        read_series(path.parent)


# -- what leaves the tree --------------------------------------------------------------


def test_export_refuses_what_apply_would(tool: Tool, minitree: GitTree, project: Path) -> None:
    minitree.git("checkout", "-q", "work")
    (minitree.path / "blob").write_bytes(b"\0\1\2")
    minitree.commit("binary")
    ran = tool("series", "export", "first", "main..work", "--tree", minitree.path,
               "--project", project)  # fmt: skip
    assert (ran.status, "changes the binary file blob; refused" in ran.err) == (2, True), ran.err


def test_export_does_not_wait_for_a_fifo(tool: Tool, minitree: GitTree, project: Path) -> None:
    os.mkfifo(project / "patches" / "first" / "0009-x.patch")
    ran = tool("series", "export", "first", "main..work", "--tree", minitree.path,
               "--project", project)  # fmt: skip
    assert (ran.status, "0009-x.patch: is no regular file" in ran.err) == (2, True), ran.err
