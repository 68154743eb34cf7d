"""The directory that carried series are written to: replaced as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool.carried import LIST, refuse_foreign, write_carried

OLD = {"one.patch": b"old", "two.patch": b"old"}
NEW = {"one.patch": b"new"}


def files(target: Path) -> dict[str, bytes]:
    every = (path for path in target.rglob("*") if path.is_file() and path.name != LIST)
    return {str(path.relative_to(target)): path.read_bytes() for path in every}


@pytest.mark.parametrize("step", ["move away", "move in", "remove"])
def test_a_kill_leaves_nothing_that_the_next_call_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target = tmp_path / "out"
    write_carried(target, OLD)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def killed_midway(path: Path, **_: object) -> None:
        if path.exists():
            (path / LIST).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "remove":
            patch.setattr("shutil.rmtree", killed_midway)
        elif step == "move away":
            patch.setattr(Path, "rename", killed)
        else:
            replace = Path.replace
            patch.setattr(Path, "replace", lambda path, to: (
                killed() if path.is_dir() else replace(path, to)))  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            write_carried(target, NEW)
    assert files(target) in (OLD, NEW, {})
    refuse_foreign(target, tmp_path / "series")
    write_carried(target, NEW)
    assert files(target) == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
