"""Test results as a tree, and that tree as the log of a kernel or of kselftest."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from memdesc_tool.ktap import Status

LINES = {
    Status.PASSED: "ok {0} {1}",
    Status.FAILED: "not ok {0} {1}",
    Status.SKIPPED: "ok {0} {1} # SKIP no device",
    Status.XFAIL: "not ok {0} {1} # XFAIL known",
    Status.XPASS: "ok {0} {1} # XPASS",
    Status.TIMEOUT: "not ok {0} {1} # TIMEOUT 45 seconds",
    Status.ERROR: "not ok {0} {1} # ERROR no memory",
}
NOISE = [
    "usb 1-1: new high-speed USB device number 2", "", "    indented message", "ok, going on",
    "1.. 2.. 3..", "# a comment", "    # s: initializing", "not okay", "token 3 ok 4 all",
    "Expected a == b, but", "a # b", "TAP versions", "WARNING: nothing", "[ 12 ] weird",
]  # fmt: skip
PREFIXES = ["", "[{0:5}.{1:06}] ", "[{0:5}.{1:06}][{2:>6}] ", "<6>[{0:5}.{1:06}] "]


@dataclass(frozen=True)
class Node:
    """A case, or a suite of nodes."""

    name: str
    status: Status
    children: tuple[Node, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether a failure is in it."""
        return self.status.failed or any(child.bad for child in self.children)


@dataclass(frozen=True)
class Style:
    """How a log looks. indent: of each level. dash: ` - ` before names, as in TAP."""

    prefix: str
    indent: str
    dash: bool
    subtest: bool
    plan: bool
    end: str


names = st.text("abcxyz_0189-.:()#", min_size=1, max_size=8).filter(lambda name: name.strip("#-"))
leaves = st.builds(Node, names, st.sampled_from(list(LINES)))


def suites(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Suites of up to four children with names of their own; a suite fails as they do."""
    several = st.lists(children, min_size=1, max_size=4, unique_by=lambda node: node.name)
    return st.builds(
        lambda name, below: Node(
            name,
            Status.FAILED if any(node.bad for node in below) else Status.PASSED,
            tuple(below),
        ),
        names,
        several,
    )


nodes = st.recursive(leaves, suites, max_leaves=12)
documents = st.lists(nodes, min_size=1, max_size=4, unique_by=lambda node: node.name)
styles = st.builds(
    Style,
    st.sampled_from(PREFIXES),
    st.sampled_from(["  ", "    ", "\t", "# "]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)


def render(tree: list[Node], style: Style, noise: list[str]) -> list[str]:
    """The lines of the log of tree, with noise between them."""
    lines: list[str] = []
    _document(lines, tree, style, 0, "")
    out = []
    for number, line in enumerate(lines):
        if noise and number:
            out.append(noise[number % len(noise)])
        out.append(line)
    stamp = style.prefix
    return [
        stamp.format(number**3, number, f"T{number % 700}") + line + style.end
        for number, line in enumerate(out)
    ]


def _document(lines: list[str], tree: list[Node], style: Style, depth: int, name: str) -> None:
    lead = style.indent * depth
    lines.append(f"{lead}KTAP version 1")
    if name and style.subtest:
        lines.append(f"{lead}# Subtest: {name}")
    if style.plan:
        lines.append(f"{lead}1..{len(tree)}")
    for number, node in enumerate(tree, 1):
        if node.children:
            _document(lines, list(node.children), style, depth + 1, node.name)
        lines.append(lead + LINES[node.status].format(number, ("- " * style.dash) + node.name))


def expected(tree: list[Node], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Status]]:
    """Path and status of every leaf in the order of the log."""
    found = []
    for node in tree:
        here = (*path, node.name)
        if node.children:
            found += expected(list(node.children), here)
        else:
            found.append((here, node.status))
    return found
