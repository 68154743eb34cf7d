"""Results of other machines in the store: a run each, told apart by what the machine is."""

from __future__ import annotations

import calendar
import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.cache import Cache, write_atomic
from memdesc_tool.cases import Status
from memdesc_tool.errors import UserError
from memdesc_tool.kunitrun import results_of
from memdesc_tool.machineresult import CONFIG, KTAP, MachineResult
from memdesc_tool.results import Attempt, Outcome, Store, key_of

KIND = "machine"
KEPT = ("machine", "model", "arch", "system", "kernel", "version", "command line", "cpus",
        "memory", "nodes", "block size", "bundle", "config")  # fmt: skip
"""The facts that are stored: what could change the outcome."""


@dataclass(frozen=True)
class Ingested:
    """A stored result. inputs: as in the store; new: False where it was there already;
    log: the copy of the KTAP file.
    """

    inputs: Mapping[str, str]
    attempt: Attempt
    new: bool
    log: Path


def inputs_of(result: MachineResult, name: str | None = None) -> dict[str, str]:
    """What the store keeps of the machine; name: in place of the machine's own.

    Raises UserError where no name is known.
    """
    facts = {fact: result.facts[fact] for fact in KEPT if result.facts.get(fact)}
    if name:
        facts["machine"] = name
    if "machine" not in facts:
        raise UserError("the result does not say which machine it is of", "give --name NAME")
    if result.config:
        facts["config"] = hashlib.sha256(result.config).hexdigest()
    return {"kind": KIND, **facts, "run": result.run}


def ingest(store: Store, cache: Cache, result: MachineResult, name: str | None = None) -> Ingested:
    """Store a result; the same one again changes nothing.

    A later state of the same run (one that went on after a crash, say) takes the place of
    the earlier one.
    """
    inputs = inputs_of(result, name)
    key = key_of({"kind": KIND, "machine": inputs["machine"], "run": inputs["run"]})
    directory = cache.logs / "machines" / key[:16]
    with cache.lock(f"job-{key[:2]}"):
        attempt = attempt_of(result, directory / KTAP)
        stored = store.attempts(key_of(inputs))
        new = not stored or stored[-1] != attempt
        if new or not (directory / KTAP).exists():
            write_atomic(directory / KTAP, result.ktap)
            if result.config:
                write_atomic(directory / CONFIG, result.config)
        if new:
            store.add(inputs, attempt, replace=bool(stored))
    return Ingested(inputs, attempt, new, directory / KTAP)


def attempt_of(result: MachineResult, log: Path) -> Attempt:
    """The result as the store has runs."""
    document = result.report.document
    crashed = [
        case.id for case in document.cases
        if case.status is Status.ERROR and "crashed" in case.text
    ]  # fmt: skip
    if crashed:
        outcome, detail = Outcome.DIED, f"the machine went down in {', '.join(crashed)}"
    elif not document.ran:
        outcome, detail = Outcome.NO_TESTS, "nothing ran"
    else:
        outcome, detail = Outcome.RAN, ""
    started = 0.0
    with suppress(ValueError):
        words = result.facts.get("started", "")
        started = float(calendar.timegm(time.strptime(words, "%Y-%m-%d %H:%M:%S")))
    results = tuple(results_of(result.report))
    return Attempt(outcome, results, started, 0.0, str(log), detail)
