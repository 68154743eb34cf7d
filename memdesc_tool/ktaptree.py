"""The tree of documents, subtests and results that the lines of a KTAP log stand for.

Nesting follows indentation, `# ` counting as two columns; messages with a printk prefix and
lines without one are separate streams, so that the kernel's own results may interleave with
those of a program.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from memdesc_tool import ktapline
from memdesc_tool.cases import Document, Oddity, OddityKind, Status, Suite
from memdesc_tool.ktapframe import Frame, Record, Run, name_cases
from memdesc_tool.logline import split_prefix, text

KEPT_NOTES = 25
"""Diagnostic lines kept before a failure: so many of the first and so many of the last."""
NOTE_BYTES = 500
KEPT_ODDITIES = 1000
KTAP_VERSIONS = (1, 2)
TAP_VERSIONS = (12, 13, 14)


@dataclass(slots=True)
class _SuiteRecord:
    frame: Frame
    status: Status
    number: int
    text: str
    line: int


class Tree:
    """The documents of a log, built from its tokens; each method takes one, in order.

    stamped: whether the line had a printk prefix. indent: the column of its content. hashed:
    whether `# ` stands before it.
    """

    def __init__(self) -> None:
        self.line = 0
        self.open = False
        self._stacks: dict[bool, list[Frame]] = {False: [], True: []}
        self._records: list[Record | Run] = []
        self._run: Run | None = None
        self._suites: list[_SuiteRecord] = []
        self._oddities: list[Oddity] = []
        self._odd: dict[OddityKind, int] = {}
        self._first: list[bytes] = []
        self._last: deque[bytes] = deque(maxlen=KEPT_NOTES)
        self._claims: list[int] = []
        self._owners: dict[int, Record | Frame] = {}
        self._documents = 0
        self._bailed = False
        self._incomplete = False
        self._crashed = False

    def note(self, line: bytes) -> None:
        """A line that is no part of the structure: kept in case a failure follows."""
        if len(self._first) < KEPT_NOTES:
            self._first.append(line)
        else:
            self._last.append(line)

    def _hint(self) -> str:
        """The test that the diagnostic lines since the last result name as running, or ""."""
        for line in (*reversed(self._last), *reversed(self._first)):
            if b"# " in line and (found := ktapline.HINT.match(split_prefix(line)[1])):
                return text(found[found.lastgroup or 0]).strip()
        return ""

    def glued(self, stamped: bool, digits: bytes, rest: bytes) -> bool:
        """`not ok` in the middle of a line: a result if its number is the one expected."""
        stack = self._stack(stamped)
        if not stack or ktapline.number(digits) != stack[-1].next:
            return False
        self.odd_at(OddityKind.GLUED, f"not ok {stack[-1].next}{text(rest[:NOTE_BYTES])}")
        self.result(stamped, stack[-1].indent, False, digits, rest)
        return True

    # --- what stands where ------------------------------------------------------------------

    def _stack(self, stamped: bool) -> list[Frame]:
        return self._stacks[stamped] or self._stacks[not stamped]

    def odd_at(self, kind: OddityKind, words: str, line: int = 0) -> None:
        self._odd[kind] = self._odd.get(kind, 0) + 1
        if len(self._oddities) < KEPT_ODDITIES:
            self._oddities.append(Oddity(kind, words[:NOTE_BYTES], line or self.line))

    def _root(self, stamped: bool, indent: int) -> Frame:
        """Begin a document; the one before in the same stream has ended."""
        self._close(self._stacks[stamped])
        frame = Frame(indent, self.line)
        self._stacks[stamped] = [frame]
        self._documents += 1
        self._run = None
        self.open = True
        self._forget()
        return frame

    def _implicit(self, stamped: bool, indent: int, what: str) -> list[Frame]:
        self._root(stamped, indent)
        self.odd_at(OddityKind.NO_VERSION, what)
        return self._stacks[stamped]

    def _push(self, stack: list[Frame], indent: int, name: str = "") -> Frame:
        frame = Frame(indent, self.line, parent=stack[-1], name=name)
        frame.hint = "" if name else self._hint()
        if self._claims:
            self._settle(frame)
        stack.append(frame)
        if frame.flat:
            self.odd_at(OddityKind.FLAT, name)
        return frame

    def _drop_to(self, stack: list[Frame], indent: int) -> None:
        """End what is deeper than indent without a result line of its own."""
        while len(stack) > 1 and stack[-1].indent > indent:
            self._abandon(stack)

    def version(self, stamped: bool, indent: int, hashed: bool, tap: bool, digits: bytes) -> None:
        version = ktapline.number(digits)
        if version not in (TAP_VERSIONS if tap else KTAP_VERSIONS):
            self.odd_at(OddityKind.UNKNOWN_VERSION, f"version {version}")
        stack = self._stacks[stamped]
        other = self._stacks[not stamped]
        if not stack and len(other) == 1 and not other[0].count and indent > other[0].indent:
            stack.append(other.pop())  # time stamps began after the version line
        if stack and indent > stack[-1].indent:
            frame = self._push(stack, indent)
        elif stack and indent > stack[0].indent:
            self._drop_to(stack, indent)
            if stack[-1].indent == indent:
                self._abandon(stack)
            frame = self._push(stack, indent)
        else:
            frame = self._root(stamped, indent)
        frame.tap, frame.version, frame.hashed = tap, True, hashed
        self._forget()

    def subtest(self, stamped: bool, indent: int, name: str) -> None:
        stack = self._stack(stamped) or self._implicit(stamped, indent, f"Subtest: {name}")
        top = stack[-1]
        headed = top.version and top.fresh and not top.name
        if headed and (indent == top.indent or (indent > top.indent and len(stack) > 1)):
            top.name = name
            self._settle(top)
            return
        self._drop_to(stack, indent)
        if len(stack) > 1 and stack[-1].indent == indent:
            self._abandon(stack)
        self._push(stack, max(indent, stack[-1].indent), name)

    def plan(self, stamped: bool, indent: int, hashed: bool, plan: int, rest: bytes) -> None:
        stack = self._stack(stamped)
        skip = ktapline.result(True, rest).text if rest else None
        if not stack:
            stack = self._implicit(stamped, indent, f"1..{plan}")
        self._drop_to(stack, indent)
        top = stack[-1]
        if indent > top.indent and (not top.fresh or (hashed and not top.hashed)):
            top = self._push(stack, indent)
            top.hashed = hashed
        if top.plan is None:
            if top.count:
                self.odd_at(OddityKind.LATE_PLAN, f"1..{plan}")
            top.plan, top.skip_all = plan, skip
        elif top.full and top.parent is None and top.plan:
            top = self._implicit(stamped, indent, f"1..{plan}")[-1]
            top.plan, top.skip_all = plan, skip
        else:
            self.odd_at(OddityKind.DUPLICATE_PLAN, f"1..{plan} after 1..{top.plan}")
            top.plan = max(top.plan or 0, plan)

    def hashed(self, stamped: bool, indent: int, passed: bool, digits: bytes | None) -> bool:
        """Whether `# ok` is a result of a program below kselftest; begins its frame if need be.

        A program may lack a header; but a comment that only looks like a passed test is none.
        """
        stack = self._stack(stamped)
        if not stack or stack[-1].hashed or indent <= stack[-1].indent:
            return any(frame.hashed for frame in stack) or not passed
        if passed and (digits is None or ktapline.number(digits) != 1):
            return False
        self._push(stack, indent).hashed = True
        return True

    def bail(self, stamped: bool, indent: int, reason: str) -> None:
        stack = self._stack(stamped) or self._implicit(stamped, indent, "Bail out!")
        self._drop_to(stack, indent)
        self._bailed = True
        stack[-1].bailed = True
        self.odd_at(OddityKind.BAILED_OUT, reason)
        self._record(stack[-1], "Bail out!", Status.ERROR, 0, reason)

    # --- results -----------------------------------------------------------------------------

    def result(
        self, stamped: bool, indent: int, ok: bool, digits: bytes | None, rest: bytes
    ) -> None:
        stack = self._stack(stamped)
        if not stack:
            if digits is None:
                return
            stack = self._implicit(stamped, indent, text(rest))
        if digits is None and ok and not stack[0].tap:
            self.odd_at(OddityKind.NO_NUMBER, "ok" + text(rest))
            return  # KTAP asks for a number; counting this could hide a missing result
        result = ktapline.result(ok, rest)
        if result.odd:
            self.odd_at(OddityKind.CONTRADICTION, result.odd)
        number = ktapline.number(digits) if digits is not None else None
        child = self._child(stack, indent, number, result.name)
        parent = stack[-1]
        if number is None:
            self.odd_at(OddityKind.NO_NUMBER, result.name)
            number = parent.next
        if child is not None:
            self._suite(child, result, number)
        else:
            name = result.name or f"(test {number})"
            self._record(parent, name, result.status, number, result.text)
        expected = parent.next
        if not parent.take(number):
            self.odd_at(OddityKind.WRONG_NUMBER, f"{number}, expected {expected}: {result.name}")
        if parent.plan is not None and parent.count > parent.plan:
            self.odd_at(OddityKind.BEYOND_PLAN, f"{number} of 1..{parent.plan}: {result.name}")
        self._forget()

    def passed(self, stamped: bool, indent: int, number: int, name: str) -> bool:
        """Take a passed test that comes where it is expected; False where it is not taken.

        What result() would do with it, which takes what this leaves: most of most logs.
        """
        stack = self._stacks[stamped] or self._stacks[not stamped]
        if not stack or self._claims:
            return False
        frame = stack[-1]
        if frame.indent != indent or frame.next != number or frame.seen is not None:
            return False
        if frame.plan is not None and frame.count >= frame.plan:
            return False
        if frame.parent is not None and frame.parent.indent == indent:
            return False
        frame.count += 1
        frame.next = number + 1
        run = self._run
        if run is None or run.frame is not frame or run.next != number:
            run = self._run = Run(frame, number, self._documents)
            self._records.append(run)
        run.next = number + 1
        run.names.append(name)
        run.lines.append(self.line)
        if self._first:
            self._first.clear()
            self._last.clear()
        self._crashed = False
        return True

    def _child(
        self, stack: list[Frame], indent: int, number: int | None, name: str
    ) -> Frame | None:
        """The open subtest that a result at indent ends, if it does; stack[-1] is its parent."""
        if stack[0].indent > indent:
            inner = stack[0]
            outer = Frame(indent, self.line, tap=inner.tap)
            inner.parent = outer
            stack.insert(0, outer)
            self.odd_at(OddityKind.NO_VERSION, name)
        while len(stack) > 2 and stack[-2].indent > indent:
            self._abandon(stack)
        top = stack[-1]
        if len(stack) == 1:
            return None
        if top.flat and top.indent == indent:
            same = top.name == name and number != top.next
            if not (top.full or (same and (top.plan is None or number == stack[-2].next))):
                return None
        elif top.indent <= indent:
            return None
        expected = stack[-2].next
        if top.name and name and top.name != name:
            if number is not None and number != expected:
                self._abandon(stack)
                return None
            self.odd_at(OddityKind.NAME_MISMATCH, f"{name} after Subtest: {top.name}")
        return stack.pop()

    def _suite(self, frame: Frame, result: ktapline.Result, number: int) -> None:
        """A result line that ends a subtest."""
        parent = frame.parent
        assert parent is not None
        frame.name = result.name or frame.name or f"(test {number})"
        if frame.count == 0 and not frame.plan and not frame.bailed:
            if frame.skip_all is None:
                self.odd_at(OddityKind.EMPTY, frame.name, frame.line)
            self._record(parent, frame.name, result.status, number, result.text)
            return
        skipped = result.status is Status.SKIPPED and not frame.failed
        self._account(frame, Status.SKIPPED if skipped else Status.MISSING)
        status = result.status
        if status.failed and (not frame.failed or status is not Status.FAILED):
            if not frame.failed:
                self.odd_at(OddityKind.PARENT_NOT_OK, frame.name)
            self._record(parent, frame.name, status, number, result.text)
        elif frame.failed and not status.failed:
            self.odd_at(OddityKind.PARENT_OK, frame.name)
            status = Status.FAILED
        self._settle(frame)
        parent.failed = parent.failed or frame.failed or status.failed
        self._suites.append(_SuiteRecord(frame, status, number, result.text, self.line))

    def _record(
        self, frame: Frame, name: str, status: Status, number: int, words: str = ""
    ) -> Record:
        notes: tuple[str, ...] = ()
        if status.failed:
            frame.failed = True
            notes = tuple(text(line[:NOTE_BYTES]) for line in (*self._first, *self._last))
        record = Record(frame, name, status, number, words, notes, self.line, self._documents)
        self._records.append(record)
        self._run = None
        if self._claims:
            self._settle(record)
        return record

    def _forget(self) -> None:
        self._quieten()
        self._crashed = False

    def _quieten(self) -> None:
        if self._first:
            self._first.clear()
            self._last.clear()

    # --- ends --------------------------------------------------------------------------------

    def _account(self, frame: Frame, status: Status) -> None:
        """Record what was announced in frame and never came."""
        lost = status is Status.MISSING
        for first, last in frame.missing():
            running = first == last == frame.next
            name = (self._hint() if running else "") or f"(test {first})"
            if first != last:
                name = f"(tests {first}-{last})"
            how = Status.CRASHED if running and self._crashed else status
            if lost:
                self._incomplete = True
                self.odd_at(OddityKind.INCOMPLETE, f"{name} of {frame.name or 'the document'}")
            words = "planned, never reported" if lost else "not run"
            self._record(frame, name, how, first, words)
            self._crashed = self._crashed and not running
            frame.count += last - first + 1

    def _unplanned(self, frame: Frame) -> None:
        """Record what ran in a frame without a plan and never reported, if anything did."""
        name = self._hint()
        if frame.plan is None and name and (self._crashed or frame.parent):
            how = Status.CRASHED if self._crashed else Status.MISSING
            self._record(frame, name, how, frame.next, "never reported")
            self._crashed = False

    def _abandon(self, stack: list[Frame]) -> None:
        """End the innermost subtest, whose own result line never came."""
        frame = stack.pop()
        parent = stack[-1]
        number = parent.next
        frame.name = frame.name or frame.hint or f"(test {number})"
        status = Status.CRASHED if self._crashed else Status.MISSING
        self._unplanned(frame)
        self._account(frame, Status.MISSING)
        if not frame.failed:
            self._record(parent, frame.name, status, number, "its result line never came")
            self._crashed = False
        elif self._claims:
            self._settle(frame)
        self._incomplete = True
        self.odd_at(OddityKind.INCOMPLETE, f"no result line: {frame.name}", frame.line)
        parent.failed = True
        parent.take(number)
        self._suites.append(_SuiteRecord(frame, status, number, "", self.line))
        self._quieten()

    def _close(self, stack: list[Frame]) -> None:
        """End a document, complete or not."""
        if not stack:
            return
        while len(stack) > 1:
            self._abandon(stack)
        root = stack.pop()
        if root.fresh and not root.bailed:
            self.odd_at(OddityKind.EMPTY, root.name or "document", root.line)
            how = Status.CRASHED if self._crashed else Status.MISSING
            name = self._hint() or "(document)"
            self._record(root, name, how, 1, "nothing after the version line")
            self._incomplete = True
        elif root.plan is None:
            self.odd_at(OddityKind.NO_PLAN, root.name or "document", root.line)
            self._unplanned(root)
        elif root.plan == 0 and root.count == 0 and root.skip_all:
            self._record(root, "(document)", Status.SKIPPED, 0, root.skip_all)
        self._account(root, Status.MISSING)
        self._claims.clear()
        self._forget()

    def finish(self, *, unterminated: bool = False) -> Document:
        """All results; unterminated: the last line lacked its newline."""
        if unterminated and self.open:
            self.odd_at(OddityKind.TRUNCATED, "the log ends in the middle of a line")
        for stack in self._stacks.values():
            self._close(stack)
        cases, repeated = name_cases(self._records)
        for case in repeated:
            self.odd_at(OddityKind.DUPLICATE_NAME, case.id, case.line)
        suites = tuple(
            Suite(s.frame.path[:-1], s.frame.name, s.status, s.number, s.text, s.line)
            for s in self._suites
        )
        return Document(
            cases, suites, tuple(self._oddities), self._documents, self._bailed,
            self._incomplete, dict(self._odd),
        )  # fmt: skip

    # --- attribution ---------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a document is open that is not complete: something is running."""
        return any(stack and not (len(stack) == 1 and stack[0].full)
                   for stack in self._stacks.values())  # fmt: skip

    def claim(self, key: int) -> None:
        """Attribute key to what runs now; owner(key) tells after finish()."""
        if self.running:
            self._claims.append(key)

    def crash(self) -> None:
        """The kernel crashed: what runs now and never reports has crashed."""
        self._crashed = True

    def owner(self, key: int) -> str:
        """The id of the case or suite that ran at claim(key); "" if none did."""
        owner = self._owners.get(key)
        if owner is None:
            return ""
        return ".".join(owner.path) if isinstance(owner, Frame) else owner.id

    def _settle(self, owner: Record | Frame) -> None:
        for key in self._claims:
            self._owners[key] = owner
        self._claims.clear()
