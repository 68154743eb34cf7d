"""`series export` and `generate`: patches/ is what its sources give, byte for byte."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import GitTree, Tool, numbers


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def export(tool: Tool, project: Path, tree: GitTree, span: str, *args: str) -> str:
    ran = tool("series", "export", "first", span, "--tree", tree.path, "--project", project, *args)
    assert ran.status == 0, ran.err
    return ran.out


def test_an_unchanged_series_exports_byte_for_byte(
    tool: Tool, minitree: GitTree, project: Path
) -> None:
    directory = project / "patches" / "first"
    export(tool, project, minitree, "main..work")
    first = contents(directory)
    text = first["0001-a-write-three-as-a-word.patch"].decode()
    assert text.startswith("From " + "0" * 40 + " Mon Sep 17 00:00:00 2001\n")
    assert "Date: Fri, 2 Jan 2026 03:04:05 +0100\n" in text
    assert "Subject: [PATCH] a: write three as a word\n" in text
    index = next(line for line in text.splitlines() if line.startswith("index "))
    assert len(index.split()[1]) == 82
    assert not text.rstrip().endswith("2.39.5")
    assert "nothing changed" in export(tool, project, minitree, "main..work")
    assert contents(directory) == first


def test_applying_and_exporting_is_a_round_trip(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    """Also with a git that is configured otherwise."""
    export(tool, project, minitree, "main..work")
    before = contents(project / "patches" / "first")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = M\n\temail = m@example.org\n[diff]\n\tnoprefix = true\n"
        "\talgorithm = patience\n[format]\n\tsignature = me\n\tattach = x\n\tthread = deep\n"
        "\tsubjectPrefix = WIP\n\tsignoff = true\n\tuseAutoBase = true\n"
        "\tencodeEmailHeaders = true\n"
    )
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--branch", "copy",
               HOME=str(home))  # fmt: skip
    assert ran.status == 0, ran.err
    ran = tool("series", "export", "first", "main..copy", "--tree", minitree.path,
               "--project", project, HOME=str(home))  # fmt: skip
    assert "nothing changed" in ran.out, ran.err
    assert contents(project / "patches" / "first") == before


def test_a_new_patch_stands_apart_in_series_toml(
    tool: Tool, minitree: GitTree, project: Path
) -> None:
    export(tool, project, minitree, "main..work~1")
    path = project / "patches" / "first" / "series.toml"
    silence = '[[silence]]\ncheck = "x"\nreason = "y"\n'
    path.write_text(f"{path.read_text()}\n{silence}")
    export(tool, project, minitree, "main..work")
    text = path.read_text()
    assert text.endswith(f'.patch"\n\n{silence}')
    assert "\n\n\n" not in text
    assert text.count("\n\n[[patch]]\n") == text.count("[[patch]]")


def test_what_changed_is_said_and_written(tool: Tool, minitree: GitTree, project: Path) -> None:
    directory = project / "patches" / "first"
    export(tool, project, minitree, "main..work")
    (directory / "series.toml").write_text(
        "# why this series\n" + (directory / "series.toml").read_text()
    )
    minitree.git("checkout", "-q", "work")
    (minitree.path / "a.txt").write_text(numbers((3, "drei"), (20, "zwanzig")))
    minitree.commit("a: in German")
    before = contents(directory)
    out = export(tool, project, minitree, "main..work", "--dry-run")
    assert contents(directory) == before
    assert "new      0003-a-in-German.patch" in out
    assert "changed  series.toml" in out
    export(tool, project, minitree, "main..work")
    after = contents(directory)
    assert {name: after[name] for name in before if name != "series.toml"} == {
        name: data for name, data in before.items() if name != "series.toml"
    }
    assert after["series.toml"].startswith(b"# why this series\n")
    out = export(tool, project, minitree, "main..work~2")
    assert "removed  0003-a-in-German.patch" in out
    assert "removed  0002-a-write-twenty-as-a-word.patch" in out
    assert tool("series", "show", "--project", project).out.count("a: ") == 1


def test_bad_ranges_are_refused(tool: Tool, minitree: GitTree, project: Path) -> None:
    for span, problem in (
        ("main", "is no range"),
        ("main..main", "there is no commit after"),
        ("main..nothing", "has no commit nothing"),
        ("nothing..work", "has no commit nothing"),
    ):
        ran = tool("series", "export", "first", span, "--tree", minitree.path,
                   "--project", project)  # fmt: skip
        assert (ran.status, problem in ran.err) == (2, True), ran.err


def test_a_merge_is_refused(tool: Tool, minitree: GitTree, project: Path) -> None:
    minitree.git("checkout", "-q", "-b", "other", "main")
    (minitree.path / "sub" / "b.txt").write_text("other\n")
    minitree.commit("b: other")
    minitree.git("merge", "-q", "--no-edit", "work")
    ran = tool("series", "export", "first", "main..other", "--tree", minitree.path,
               "--project", project)  # fmt: skip
    assert ran.status == 2
    assert "is a merge" in ran.err


MESSAGE = "tests: add {{ suite.title }}\n\nIt finds what is wrong.\n"


def with_suite(project: Path) -> None:
    """Give the project a suite and a patch that brings it in."""
    suite = project / "kernel-test-modules" / "words"
    suite.mkdir(parents=True)
    (suite / "suite.toml").write_text(
        '[suite]\nname = "words"\ntitle = "a suite of words"\nfilter = "words"\n'
        '[[file]]\nsource = "words.c"\npath = "tests/words.c"\n'
        '[[edit]]\npath = "Makefile"\nlines = ["obj-y += tests/words.o"]\nafter = "a.o$"\n'
    )
    (suite / "words.c").write_text("int words;\n")
    (suite / ".kunitconfig").write_text("CONFIG_KUNIT=y\n")
    templates = project / "templates"
    templates.mkdir()
    (templates / "words.msg.j2").write_text(MESSAGE)
    with (project / "patches" / "first" / "series.toml").open("a") as stream:
        stream.write(
            '\n[[patch]]\nfile = "0003-tests-add-a-suite-of-words.patch"\nkind = "files"\n'
            'suite = "words"\nmessage = "words.msg.j2"\n'
        )


def generate(tool: Tool, project: Path, tree: GitTree, *args: str) -> tuple[int, str]:
    home = project.parent / "home"
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = G\n\temail = g@example.org\n")
    ran = tool("generate", "first", "--project", project, "--tree", tree.path, *args,
               HOME=str(home))  # fmt: skip
    return ran.status, ran.out + ran.err


def test_a_files_patch_is_made_from_its_suite(tool: Tool, minitree: GitTree, project: Path) -> None:
    with_suite(project)
    path = project / "patches" / "first" / "0003-tests-add-a-suite-of-words.patch"
    status, _ = generate(tool, project, minitree, "--check")
    assert status == 1
    assert not path.exists()
    assert generate(tool, project, minitree) == (0, f"first/{path.name}: written\n")
    text = path.read_text()
    assert "Subject: [PATCH] tests: add a suite of words\n" in text
    assert "+int words;\n" in text
    assert "+obj-y += tests/words.o\n" in text
    assert generate(tool, project, minitree, "--check") == (0, f"first/{path.name}: unchanged\n")
    ran = tool("apply", "--project", project, "--tree", minitree.path)
    assert "3 patches apply" in ran.out, ran.err

    (project / "kernel-test-modules" / "words" / "words.c").write_text("int words = 2;\n")
    assert generate(tool, project, minitree, "--check")[0] == 1
    generate(tool, project, minitree)
    new = path.read_text()
    dates = [[line for line in t.splitlines() if line.startswith("Date:")] for t in (text, new)]
    assert dates[0] == dates[1]
    assert "+int words = 2;\n" in new


def test_a_name_that_the_template_does_not_know_is_an_error(
    tool: Tool, minitree: GitTree, project: Path
) -> None:
    with_suite(project)
    (project / "templates" / "words.msg.j2").write_text("x\n\n{{ nobody }}\n")
    status, out = generate(tool, project, minitree)
    assert status == 2
    assert "'nobody' is undefined" in out


def test_an_edit_without_a_place_fails(tool: Tool, minitree: GitTree, project: Path) -> None:
    with_suite(project)
    path = project / "kernel-test-modules" / "words" / "suite.toml"
    path.write_text(path.read_text().replace('"a.o$"', '"zzz"'))
    status, out = generate(tool, project, minitree)
    assert status == 1
    assert "suite words does not fit this revision: no line of Makefile matches 'zzz'" in out
