"""Walking the columns of a regression run on a Dask cluster.

A job is a whole column, so that its worker owns the build directory and walks the patches in
order. The scheduler gives the job of a worker that dies to another one. Workers whose tools
differ from this machine's get no job, so that results of different compilers never meet.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from memdesc_tool import parcel
from memdesc_tool.cache import Cache, open_cache
from memdesc_tool.cells import Column, Row, Trouble
from memdesc_tool.console import Progress, warn
from memdesc_tool.errors import InfraError, ToolError, UserError
from memdesc_tool.filling import Planned
from memdesc_tool.lane import Bench, Lane, Meter, Stopped
from memdesc_tool.parcel import Filled, Job, Pack
from memdesc_tool.results import key_of, open_store
from memdesc_tool.runners import runners
from memdesc_tool.suites import Kind

SLOTS = 64
"""Workers on one machine at most."""
ROUNDS = 2
POLL_SECONDS = 2
LOST = "the job was lost"
TRAVELS = (Kind.KUNIT, Kind.COMPILE, Kind.COMMAND)
"""Kinds of suites that can be run elsewhere; kselftests need programs of this machine."""


@dataclass(frozen=True)
class Sent:
    """What a worker made of a job: error and hint where its machine failed."""

    cells: tuple[Filled, ...]
    error: str = ""
    hint: str = ""


@contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A client of the cluster at scheduler, or of one on this machine with so many workers.

    Raises UserError where Dask is not installed, InfraError where there is no scheduler.
    """
    dask = _dask()
    if scheduler:
        try:
            client = dask.Client(scheduler, timeout=20)
        except (OSError, ValueError, TypeError) as error:
            raise InfraError(f"no cluster at {scheduler}: {error}") from None
        with client:
            yield client
        return
    with (
        dask.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        dask.Client(cluster) as client,
    ):
        yield client


def _dask() -> Any:
    """Dask's distributed, which is imported only where it is asked for; it has few types.

    It says as much on standard error as the tool does, not each connection and its end.
    """
    try:
        dask = importlib.import_module("distributed")
    except ImportError:
        raise UserError(
            "several workers need Dask, which is not installed",
            "pip install 'memdesc-tool[cluster]'",
        ) from None
    logging.getLogger("distributed").setLevel(logging.getLogger().level)
    return dask


@dataclass(frozen=True)
class _Flying:
    """A job that was submitted: to these workers, of which one at least must live."""

    column: Column
    future: Any
    fit: frozenset[str]


class Cluster:
    """The columns of a walk that are walked elsewhere."""

    def __init__(self, client: Any, bench: Bench, jobs: int | None) -> None:
        self._client, self._bench, self._jobs = client, bench, jobs
        self._packs: dict[str, Pack] = {}
        self._passed_over: set[str] = set()

    def walk(self, lanes: Sequence[tuple[Column, Lane]], progress: Progress) -> list[Trouble]:
        """Have the columns walked; what is found is stored. Returns what could not be.

        A job that is lost, with all the workers that could have taken it over, is given
        once more to those that are there then.
        """
        jobs = {
            column: self._job(column, lane) for column, lane in lanes
            if column.suite.kind in TRAVELS and (self._bench.rerun or lane.pending)
        }  # fmt: skip
        walked, lost = dict(lanes), list(jobs)
        troubles: list[Trouble] = []
        for _ in range(ROUNDS):
            flying, troubles = [], []
            for column in lost:
                try:
                    flying.append(self._submit(column, jobs[column]))
                except InfraError as error:
                    troubles.append(self._trouble(column, error.message, error.hint))
            with progress.step(f"{len(flying)} columns elsewhere") as tell:
                for number, one in enumerate(self._landed(flying), 1):
                    tell(f"{number} done, {one.column.name}")
                    trouble = self._take(one)
                    if not trouble:
                        walked[one.column].was_run()
                    troubles += trouble
            lost = [trouble.column for trouble in troubles if trouble.message.startswith(LOST)]
            if not lost:
                break
        return troubles

    def _landed(self, flying: Sequence[_Flying]) -> Iterator[_Flying]:
        """The jobs as they end, or have no worker left."""
        left = list(flying)
        while left:
            with suppress(TimeoutError):
                _dask().wait([one.future for one in left], POLL_SECONDS, "FIRST_COMPLETED")
            alive = self._client.scheduler_info()["workers"].keys()
            for one in list(left):
                if one.future.done() or not one.fit & alive:
                    left.remove(one)
                    yield one

    def _job(self, column: Column, lane: Lane) -> Job:
        git = self._bench.workspace.scratch
        plans = list(lane.plans())
        trees = [git.tree(one.commit) for one in plans]
        rows = tuple(
            replace(row, commit=tree) for row, tree in zip(self._bench.rows, trees, strict=True)
        )
        packs = (self._pack([trees[0]], None), self._pack(sorted(set(trees[1:])), trees[0]))
        return Job(
            parcel.portable(column), rows, parcel.files_of(column), packs,
            plans[0].inputs, self._bench.patience, self._jobs, self._bench.rerun,
            () if self._bench.rerun else self._known(plans),
        )  # fmt: skip

    def _known(self, plans: Sequence[Planned]) -> tuple[Filled, ...]:
        """What is stored of a column: no worker is to run it again."""
        cells = (parcel.known(self._bench.store, planned) for planned in plans)
        return tuple(cell for cell in cells if cell.attempts)

    def _pack(self, trees: Sequence[str], without: str | None) -> str:
        key = parcel.pack_key(trees, without)
        if key not in self._packs:
            self._packs[key] = parcel.pack_of(self._bench.workspace.scratch, trees, without)
        return key

    def _submit(self, column: Column, job: Job) -> _Flying:
        """Give the job to the workers that have the same tools. Raises InfraError."""
        said: Mapping[str, Mapping[str, str] | str] = self._answers(tools_of, job)
        fit = [worker for worker, inputs in said.items() if inputs == dict(job.inputs)]
        if not fit:
            why = next((one for one in said.values() if isinstance(one, str)), "other tools")
            raise InfraError(
                f"{job.column.name}: none of {len(said)} workers can take it: {why}",
                "compiler, linker and QEMU must be those of this machine",
            )
        for key in job.packs:
            has = self._answers(has_pack, key, workers=fit)
            if lacking := [worker for worker in has if not has[worker]]:
                has |= self._answers(take_pack, self._packs[key], workers=lacking)
            fit = list(has)
        if not fit:
            raise InfraError(f"{job.column.name}: no worker is left", "start workers, try again")
        future = self._client.submit(work, job, workers=fit, pure=False)
        return _Flying(column, future, frozenset(fit))

    def _answers(
        self, function: Callable[..., Any], *args: object, workers: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """What the function returns at each worker that is still there when it has ended."""
        said = self._client.run(function, *args, workers=workers, on_error="return")
        gone = (OSError, TimeoutError)
        for worker, answer in said.items():
            if isinstance(answer, Exception) and not isinstance(answer, gone):
                raise answer
            if isinstance(answer, gone) and worker not in self._passed_over:
                self._passed_over.add(worker)
                warn(f"the worker at {worker} gets no job: {answer or type(answer).__name__}")
        return {worker: answer for worker, answer in said.items() if not isinstance(answer, gone)}

    def _take(self, one: _Flying) -> list[Trouble]:
        """Store what came back."""
        column = one.column
        if one.future.status != "finished":
            error = one.future.exception() if one.future.done() else "no worker is left"
            one.future.cancel()
            return [self._trouble(column, f"{LOST}: {column.name}: {error}")]
        sent: Sent = one.future.result()
        for cell in sent.cells:
            parcel.take_home(
                self._bench.store,
                self._bench.workspace.cache,
                cell,
                replace_all=self._bench.rerun,
            )
        return [self._trouble(column, sent.error, sent.hint)] if sent.error else []

    def _trouble(self, column: Column, message: str, hint: str = "") -> Trouble:
        return Trouble(self._bench.rows[0], column, message, hint)


# -- at the worker -------------------------------------------------------------------------


def own_cache() -> Cache:
    """A directory that no other worker on the machine uses, for as long as this one lives.

    It is kept: the next worker goes on with what is in it.
    """
    with _one_thread:
        return _own_cache()


_one_thread = threading.Lock()


@cache
def _own_cache() -> Cache:
    top = open_cache()
    for number in range(SLOTS):
        lock = top.try_lock(f"worker-{number}")
        if lock.__enter__():
            _held.append(lock)
            return open_cache(top.root / "workers" / str(number))
        lock.__exit__(None, None, None)
    raise InfraError(f"{SLOTS} workers run on this machine already")


_held: list[Any] = []
"""The lock of own_cache(); the kernel releases it when this process ends."""


def tools_of(job: Job) -> Mapping[str, str] | str:
    """The key of the job's first row as this worker would have it, or why it cannot."""
    try:
        own = own_cache()
        column = parcel.unpacked(job.column, job.files, own.work / "files")
        runner = runners(parcel.workspace_of(own), Progress(), None, (), job.jobs)
        inputs = dict(runner.inputs(column, job.rows[0].commit))
    except ToolError as error:
        return error.message
    if "targets" in inputs:  # what the rows change is not known before they are here
        inputs["targets"] = job.inputs["targets"]
    return inputs


def has_pack(key: str) -> bool:
    """Whether this worker has unpacked a pack."""
    return parcel.has_pack(own_cache(), key)


def take_pack(pack: Pack) -> None:
    """Unpack what was sent."""
    parcel.take_pack(own_cache(), pack)


def work(job: Job) -> Sent:
    """Walk a column. What this machine could not do is in the result, not raised.

    The threads of a worker have one source worktree, so that one of them walks at a time.
    """
    own = own_cache()
    with own.lock("walk"):
        return _walked(own, job)


def _walked(own: Cache, job: Job) -> Sent:
    column = parcel.unpacked(job.column, job.files, own.work / "files")
    workspace = parcel.workspace_of(own)
    error = hint = ""
    with open_store(own.results) as store:
        for cell in job.stored:
            parcel.learn(store, cell)
        rows: Sequence[Row] = job.rows
        runner = runners(workspace, Progress(), None, rows, job.jobs)
        bench = Bench(workspace, store, runner, rows, (), job.rerun, job.patience)
        lane = Lane(bench, column, Meter())
        try:
            lane.walk()
            lane.confirm()
        except Stopped as stopped:
            error, hint = stopped.trouble.message, stopped.trouble.hint
        had = {key_of(cell.inputs): len(cell.attempts) for cell in job.stored}
        cells = tuple(
            parcel.filled(store, planned) for planned in lane.visited()
            if len(store.outcomes(planned.key)) > had.get(planned.key, 0)
        )  # fmt: skip
    return Sent(cells, error, hint)
