"""Fragments, what a .config lacks of them, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool import kconfig, kconfig_expr, kconfig_why
from memdesc_tool.errors import UserError
from memdesc_tool.kconfig import Fragment, Option
from tests.fakelinux import make_fake


def fragment(*lines: str, origin: str = "f") -> Fragment:
    return kconfig.parse("\n".join(lines), origin)


def test_parse_all_forms() -> None:
    text = '# a comment\n\nCONFIG_A=y\n # CONFIG_B is not set \nCONFIG_C="a b"\nCONFIG_D=0x1F\n'
    assert fragment(*text.splitlines()).options == (
        Option("A", "y"), Option("B", "n"), Option("C", '"a b"'), Option("D", "0x1F"),
    )  # fmt: skip


def test_text_is_a_dotconfig_and_parses_back() -> None:
    one = fragment("CONFIG_A=y", "CONFIG_B=n", 'CONFIG_C="x"')
    assert one.text == 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n'
    assert kconfig.parse(one.text, "again") == one


@pytest.mark.parametrize("line", ["CONFIG_A", "A=y", "CONFIG_A=", "CONFIG_A=a b", "config A"])
def test_bad_line_is_named(line: str) -> None:
    with pytest.raises(UserError, match=r"^dir/x\.config:2: .*" + line):
        kconfig.parse(f"CONFIG_OK=y\n{line}\n", "dir/x.config")


def test_read_directory_and_missing_file(tmp_path: Path) -> None:
    (tmp_path / ".kunitconfig").write_text("CONFIG_A=y\n")
    assert kconfig.read(tmp_path).get("A") == "y"
    with pytest.raises(UserError, match="nowhere"):
        kconfig.read(tmp_path / "nowhere")


def test_merge_later_wins_and_keeps_order() -> None:
    merged = fragment("CONFIG_A=y", "CONFIG_B=1").merge(fragment("CONFIG_A=n", "CONFIG_C=y"))
    assert [str(o) for o in merged.options] == [
        "# CONFIG_A is not set", "CONFIG_B=1", "CONFIG_C=y",
    ]  # fmt: skip


def test_combine_refuses_contradiction_with_both_places() -> None:
    with pytest.raises(UserError, match=r"b:1: CONFIG_A=n contradicts a:2: CONFIG_A=y"):
        kconfig.combine([fragment("#", "CONFIG_A=y", origin="a"),
                         fragment("CONFIG_A=n", origin="b")])  # fmt: skip


def test_combine_accepts_agreement() -> None:
    assert kconfig.combine([fragment("CONFIG_A=y"), fragment("CONFIG_A=y")]).get("A") == "y"


def test_key_is_of_content_not_order() -> None:
    assert fragment("CONFIG_A=y", "CONFIG_B=y").key == fragment("CONFIG_B=y", "CONFIG_A=y").key
    assert fragment("CONFIG_A=y").key != fragment("CONFIG_A=m").key


def test_missing() -> None:
    final = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=2\nCONFIG_X=0x1f\n"
    asked = fragment("CONFIG_A=y", "CONFIG_B=y", "CONFIG_C=m", "CONFIG_D=n", "CONFIG_N=4",
                     "CONFIG_X=0x1F", "CONFIG_A2=n")  # fmt: skip
    assert [(m.option.name, m.value) for m in kconfig.missing(asked, final)] == [
        ("B", "n"), ("C", "n"), ("N", "2"),
    ]  # fmt: skip
    assert kconfig.missing(fragment("CONFIG_A=n"), final)[0].value == "y"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A", 2), ("M", 1), ("!M", 1), ("N", 0), ("NOT_THERE", 0), ("A && M", 1), ("N || M", 1),
        ("!(A && N)", 2), ('S = "x"', 2), ("S != x", 0), ("NUM >= 4", 2), ("NUM < 4", 0),
        ("A=y && M=m", 2), ("N || A && N", 0), ("$(cc-option,-f(x)) && A", 2), ("y", 2),
    ],
)  # fmt: skip
def test_expression(text: str, value: int) -> None:
    config = {"A": "y", "M": "m", "N": "n", "S": '"x"', "NUM": "8"}
    assert kconfig_expr.parse(text).value(config) == value


@pytest.mark.parametrize("text", ["", "A &&", "(A", "A B", "&& A", "A = "])
def test_bad_expression(text: str) -> None:
    with pytest.raises(kconfig_expr.BadExpressionError):
        kconfig_expr.parse(text)


def why(tmp_path: Path, asked: str, *final: str) -> str:
    """The reasons for one option that the fake tree's .config does not have."""
    text = "\n".join(final) + "\n"
    tree = make_fake(tmp_path / "fake")
    (item,) = kconfig_why.explain(kconfig.missing(fragment(asked), text), tree.path, "um", text)
    return "; ".join(item.reasons)


@pytest.mark.parametrize(
    ("asked", "final", "reason"),
    [
        ("CONFIG_NOSUCH=y", (), "this kernel has no option NOSUCH"),
        ("CONFIG_HELPED=y", (), "this kernel has no option HELPED"),
        ("CONFIG_NUMA=y", (), "there is no NUMA on um; it is defined in arch/x86/Kconfig:1"),
        ("CONFIG_SECOND=y", ("CONFIG_MMU=y", "CONFIG_EXPERT=y"),
         'mm/Kconfig:12: depends on NEEDED || (OTHER = "x"), and NEEDED is n (not there on um), '
         "OTHER is n (not there on um); mm/Kconfig:12: depends on FIRST, and FIRST is n"),
        ("CONFIG_SECOND=n", ("CONFIG_SECOND=y", "CONFIG_MMU=y"),
         "mm/Kconfig:12: it needs EXPERT to be set, and its default is y"),
        ("CONFIG_FORCED=n", ("CONFIG_FORCED=y", "CONFIG_FORCER=y", "CONFIG_ALWAYS=y"),
         "mm/Kconfig:23: FORCER selects it"),
        ("CONFIG_HIDDEN=y", (), "mm/Kconfig:27: it has no prompt, and nothing selects it"),
        ("CONFIG_SOMETIMES=y", ("CONFIG_ALWAYS=y",),
         "mm/Kconfig:30: depends on NEEDED || !ALWAYS, and NEEDED is n (not there on um), "
         "ALWAYS is y"),
        ("CONFIG_NUMBER=99", ("CONFIG_NUMBER=64",), "mm/Kconfig:34: its range is 1 64"),
        ("CONFIG_RIGHT=y", ("CONFIG_LEFT=y",),
         "mm/Kconfig:44: it is one of a choice, in which another was chosen"),
        ("CONFIG_FIRST=m", (), "mm/Kconfig:4: it is a bool, which cannot be m"),
    ],
)  # fmt: skip
def test_reason(tmp_path: Path, asked: str, final: tuple[str, ...], reason: str) -> None:
    assert why(tmp_path, asked, *final) == reason.replace('(OTHER = "x")', 'OTHER = "x"')
