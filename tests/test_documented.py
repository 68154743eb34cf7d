"""check: what documents the interfaces that a series adds, changes and takes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool import candidate as candidates
from memdesc_tool.declared import Kind, declared, signatures
from memdesc_tool.git import Git
from memdesc_tool.interfaces import check_interfaces
from memdesc_tool.trailers import History
from tests.conftest import GitTree

BEFORE = {
    "mm/old.c": """\
static int old_limit;
module_param(old_limit, int, 0644);
__setup("old_switch=", set_switch);
static const struct ctl_table table[] = {
	{ .procname = "old_knob", },
};
#define OWN_ATTR(_name) static struct kobj_attribute _name##_attr = __ATTR_RW(_name)
OWN_ATTR(old_state);

/**
 * count_pages() - Count pages.
 * @zone: where
 * @order: of what order
 */
int count_pages(struct zone *zone, unsigned int order)
{
	return 0;
}
""",
    "mm/new.c": "int there;\n",
    "Documentation/admin-guide/kernel-parameters.txt":
        "\told_switch=\t[KNL] A switch.\n\n\told.old_limit=\n\t\t\tA limit.\n",
    "Documentation/admin-guide/sysctl/vm.rst": "- old_knob\n\nold_knob\n========\n\nIt turns.\n",
    "Documentation/ABI/testing/sysfs-x": "What:\t\t/sys/kernel/mm/old_state\n",
    "Documentation/mm/count.rst":
        "Call count_pages().\n\n.. c:function:: int count_pages(struct zone *z, unsigned int o)\n",
}  # fmt: skip
NEW = """\
int there;
module_param_named(new_limit, limit, int, 0644);
static int __init \\
early(char *text);
early_param("new_switch",
	early);
core_param(core_switch, core, int, 0644);
static const struct ctl_table table[] = {
	{
		.procname = "new_knob",
	},
};
#define MY_ATTR(_name) static struct kobj_attribute _name##_attr = __ATTR_RO(_name)
MY_ATTR(new_state);
static DEVICE_ATTR_RW(other_state);
/* __setup("comment=", none); */
"""


def found(tree: GitTree, *states: dict[str, str]) -> list[str]:
    """What is said of a series: each state is the files that a patch writes, "" for none."""
    tree.git("init", "-q", "-b", "main")
    write(tree, BEFORE)
    base = tree.commit("start")
    for number, files in enumerate(states, 1):
        write(tree, files)
        tree.commit(f"mm: step {number}\n\nBecause.")
    git, tip = Git(tree.path), tree.git("rev-parse", "HEAD")
    series = candidates.of_commits(git, base, tip, "series")
    candidate = candidates.in_place(git, series, base, tip, History(git, base, frozenset()))
    return [f"{one.patch[:4]} {one}" for one in check_interfaces(candidate)
            if one.check == "documentation"]  # fmt: skip


def write(tree: GitTree, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = tree.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text) if text else path.unlink()


@pytest.fixture
def tree(tmp_path: Path) -> GitTree:
    return GitTree(tmp_path)


def test_what_is_new_and_in_no_document(tree: GitTree) -> None:
    parameters = "Documentation/admin-guide/kernel-parameters.txt"
    assert found(tree, {"mm/old.c": BEFORE["mm/old.c"] + "int more;\n"}, {"mm/new.c": NEW}) == [
        "0002 mm/new.c:2: the module parameter new_limit has no MODULE_PARM_DESC",
        f"0002 mm/new.c:5: the parameter new_switch is not in {parameters}",
        f"0002 mm/new.c:7: the parameter core_switch is not in {parameters}",
        "0002 mm/new.c:10: the sysctl new_knob is not in Documentation/admin-guide/sysctl/",
        "0002 mm/new.c:14: the sysfs attribute new_state is not in Documentation/ABI/",
        "0002 mm/new.c:15: the sysfs attribute other_state is not in Documentation/ABI/",
    ]


def test_a_document_may_come_with_a_later_patch(tree: GitTree) -> None:
    documents = {
        "mm/new.c": NEW + 'MODULE_PARM_DESC(new_limit, "The limit");\n',
        "Documentation/admin-guide/kernel-parameters.txt":
            BEFORE["Documentation/admin-guide/kernel-parameters.txt"]
            + "\tnew-switch\t[KNL]\n\n\tcore_switch=\n",
        "Documentation/admin-guide/sysctl/vm.rst": "- old_knob\n\nold_knob\n===\n\nnew_knob\n===\n",
        "Documentation/ABI/testing/sysfs-y":
            "What:\t\t/sys/kernel/new_state\nWhat:\t\t/sys/kernel/other_state\n",
    }  # fmt: skip
    assert found(tree, {"mm/new.c": NEW}, documents) == []


def test_what_is_gone_and_still_in_a_document(tree: GitTree) -> None:
    rest = BEFORE["mm/old.c"][BEFORE["mm/old.c"].index("#define") :]
    assert found(tree, {"mm/old.c": rest}) == [
        "0001 Documentation/admin-guide/kernel-parameters.txt:3: still has the module parameter"
        " old_limit, which is gone",
        "0001 Documentation/admin-guide/kernel-parameters.txt:1: still has the parameter"
        " old_switch, which is gone",
        "0001 Documentation/admin-guide/sysctl/vm.rst:1: still has the sysctl old_knob,"
        " which is gone",
    ]


def test_what_moves_is_neither_new_nor_gone(tree: GitTree) -> None:
    """Within a patch, and from one file to another by two patches."""
    text = BEFORE["mm/old.c"]
    head, doc = text[: text.index("/**")], text[text.index("/**") :]
    assert found(tree, {"mm/old.c": doc + head}) == []
    (tree.path / "moved").mkdir()
    assert found(GitTree(tree.path / "moved"), {"mm/old.c": doc}, {"mm/new.c": head}) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "unsigned int order)",
            "unsigned int order, bool all)",
            ["mm/old.c:10: the kernel-doc of count_pages() has no @all, which is new",
             "Documentation/mm/count.rst:3: has count_pages() as it was, with other parameters"],
        ),
        (
            "unsigned int order)",
            "unsigned int size)",
            ["mm/old.c:10: the kernel-doc of count_pages() has no @size, which is new",
             "mm/old.c:10: the kernel-doc of count_pages() has @order, which is gone"],
        ),
        (
            "struct zone *zone, unsigned int order)",
            "struct zone *zone)",
            ["mm/old.c:10: the kernel-doc of count_pages() has @order, which is gone",
             "Documentation/mm/count.rst:3: has count_pages() as it was, with other parameters"],
        ),
        ("unsigned int order)", "\n\t\tunsigned int order)", []),
    ],
)  # fmt: skip
def test_a_signature_that_changes(tree: GitTree, before: str, after: str, said: list[str]) -> None:
    text = BEFORE["mm/old.c"]
    assert before in text
    assert found(tree, {"mm/old.c": text.replace(before, after)}) == [f"0001 {s}" for s in said]


def test_a_signature_that_changes_with_its_documents(tree: GitTree) -> None:
    text = BEFORE["mm/old.c"].replace("order)", "order, bool all)")
    text = text.replace(" */\nint", " * @all: everything\n */\nint")
    document = BEFORE["Documentation/mm/count.rst"].replace(" o)", " o, bool a)")
    assert found(tree, {"mm/old.c": text, "Documentation/mm/count.rst": document}) == []


def test_reading_c() -> None:
    text = "static DRIVER_ATTR_RO(a);\n// module_param(no, int, 0)\nMY_ATTR(no);\n"
    assert [(one.kind, one.name, one.line) for one in declared(text)] == [(Kind.SYSFS, "a", 1)]
    text = "/**\n * f - Do it.\n * @a: x\n */\n"
    text += "static inline int\nf(int (*a)(int), char b[4], ...)\n{"
    (one,) = signatures(text)
    assert (one.name, one.parameters, one.documented) == ("f", ("a", "b", "..."), ("a",))
    (one,) = signatures("void g(void) __must_hold(&lock);\n")
    assert (one.name, one.parameters, one.line) == ("g", (), 1)
    (one,) = signatures("int h(struct page *, unsigned long);\n")
    assert one.parameters == ("", "")
    assert not list(signatures("int f(int a)\n{\n\treturn g(a);\n}\n"))[1:]
