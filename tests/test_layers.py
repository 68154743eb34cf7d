"""The floors of the package: imports run downward only, one place starts processes."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "memdesc_tool"

FLOORS = (
    {"errors", "guard", "__init__"},
    {"process", "console", "cache", "context"},
)


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("memdesc_tool"):
            module = (node.module or "").removeprefix("memdesc_tool").lstrip(".")
            names = [module] if module else [alias.name for alias in node.names]
            found.update(name for name in names if name != "__version__")
        elif isinstance(node, ast.Import):
            found.update(
                alias.name.removeprefix("memdesc_tool.")
                for alias in node.names
                if alias.name.startswith("memdesc_tool.")
            )
    return found


def modules() -> dict[str, set[str]]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): imported(path)
        for path in PACKAGE.rglob("*.py")
    }


def test_imports_have_no_cycle() -> None:
    graph = modules()
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) > 30


def test_lowest_floors_import_nothing_from_above() -> None:
    graph = modules()
    allowed: set[str] = set()
    for floor in FLOORS:
        allowed |= floor
        for name in floor:
            assert graph[name] <= allowed, f"{name} imports {graph[name] - allowed}"


def test_only_commands_and_cli_import_click_or_commands() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name.startswith("commands") or name == "cli":
            continue
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert "click" not in names, name
        assert not any(other.startswith("commands") for other in imported(path)), name


def test_one_place_starts_processes() -> None:
    """process.py starts programs, guard.py is its helper; git.py goes through GitPython."""
    for path in PACKAGE.rglob("*.py"):
        if path.name in ("process.py", "guard.py"):
            continue
        text = path.read_text()
        for word in ("subprocess.run", "subprocess.Popen", "os.system", "os.popen"):
            assert word not in text, f"{path.name} uses {word}"


def test_the_engine_does_not_know_our_series() -> None:
    """No code of the tool names what our own series are about."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text().lower()
        if path.name == "hostport.py":
            text = text.replace("balloon", "")  # a device of QEMU's, whatever the series
        for word in ("movable_ops", "balloon", "zsmalloc", "pageoffline", "frozen-offline"):
            assert word not in text, f"{path.name} mentions {word}"
