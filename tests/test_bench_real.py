"""The benchmark of this project on the real kernel, in the real QEMU: some twenty minutes, and so
asked for with MEMDESC_TOOL_TEST_BENCH=1.
"""

from __future__ import annotations

import json
from pathlib import Path

from memdesc_tool.benchplan import read_plan
from tests.conftest import ROOT, on_demand, run_here

pytestmark = on_demand("MEMDESC_TOOL_TEST_BENCH", "builds two kernels and boots them", 7200)


def test_boots_of_a_kernel_count_the_same(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    ran = run_here("bench", "kernel", "--project", ROOT, "--rerun", "--json", out)
    assert ran.status in (0, 1), ran.out + ran.err
    data = json.loads(out.read_text())
    assert data["skipped"] == [] and data["noisy"] == []
    plan = read_plan(ROOT / "kernel-test-modules" / "bench")
    for row in data["rows"]:
        figures = {one["name"]: one for one in row["figures"]}
        assert set(figures) >= {one.name for one in plan.figures}
        for one in figures.values():
            assert one["spread"] < 0.01, one
        # Isolating a page is part of what compaction does to it, and so is migrating it.
        assert figures["compact"]["low"] > figures["isolate"]["high"] + figures["migrate"]["high"]
        assert figures["sizeof_page"]["middle"] == 64
