"""Kernel splats in a console log: found, named, and told apart across builds.

What begins a splat, and which functions say nothing, is in data/splat/kinds.toml. A splat ends
at its end marker, at a test result, or where lines no longer look like one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from importlib import resources
from typing import BinaryIO

from memdesc_tool.logline import LineReader, caller, split_prefix, text

MAX_LINES = 400
"""Longest splat; more is cut."""
QUIET = 12
"""So many lines that do not look like a splat end it."""
MAX_SPLATS = 10_000
KEPT_LINES = 60


class Kind(Enum):
    """What the kernel complained about; values as in the data files."""

    WARNING = "warning"
    BUG = "bug"
    OOPS = "oops"
    PANIC = "panic"
    KASAN = "kasan"
    KCSAN = "kcsan"
    KMSAN = "kmsan"
    KFENCE = "kfence"
    UBSAN = "ubsan"
    LOCKDEP = "lockdep"
    REFCOUNT = "refcount"
    RCU_STALL = "rcu stall"
    HUNG_TASK = "hung task"
    SOFT_LOCKUP = "soft lockup"
    HARD_LOCKUP = "hard lockup"
    ATOMIC = "atomic"
    BAD_PAGE = "bad page"
    BAD_COUNTER = "bad counter"
    PAGE_DUMP = "page dump"
    KMEMLEAK = "kmemleak"

    @property
    def fatal(self) -> bool:
        """Whether the code that ran may not have gone on."""
        return self in (Kind.BUG, Kind.OOPS, Kind.PANIC)


@dataclass(frozen=True)
class Splat:
    """One report of the kernel.

    title: one line without addresses, offsets and line numbers. frames: functions, innermost
    first, without offsets. fingerprint: kind and top frames, the same in every build that has
    the same functions. line: number of the first line in the log. case: id of the KTAP case
    that was running, or "". text: the report itself, its first lines.
    """

    kind: Kind
    title: str
    frames: tuple[str, ...]
    fingerprint: str
    line: int
    case: str = ""
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rule:
    kind: Kind
    pattern: re.Pattern[str]
    inside: frozenset[Kind]


@dataclass(frozen=True)
class _Rules:
    words: tuple[bytes, ...]
    trigger: re.Pattern[bytes]
    rules: tuple[_Rule, ...]
    replacements: tuple[tuple[re.Pattern[str], str], ...]
    skip: re.Pattern[str]
    top: int

    def first(self, line: str) -> tuple[_Rule, str] | None:
        """The rule that line begins a splat by, and the raw title."""
        for rule in self.rules:
            if found := rule.pattern.search(line):
                return rule, found["title"].strip()
        return None

    def normal(self, title: str) -> str:
        for pattern, with_ in self.replacements:
            title = pattern.sub(with_, title)
        return title.strip(" .!:,")


@cache
def _rules() -> _Rules:
    source = resources.files("memdesc_tool") / "data" / "splat" / "kinds.toml"
    data = tomllib.loads(source.read_text(encoding="utf-8"))
    rules = tuple(
        _Rule(
            Kind(entry["kind"]),
            re.compile(entry["pattern"]),
            frozenset(Kind(name) for name in entry.get("inside", ())),
        )
        for entry in data["kind"]
    )
    words = tuple(word.encode() for word in data["trigger"])
    return _Rules(
        words,
        re.compile(b"|".join(map(re.escape, words))),
        rules,
        tuple((re.compile(entry["pattern"]), entry["with"]) for entry in data["replace"]),
        re.compile(data["frames"]["skip"]),
        data["frames"]["top"],
    )


_CUT = "[ cut here ]"
_END = re.compile(r"---\[ end (?:trace|Kernel panic)")
_RULER = re.compile(r"^=====+$")
_SYMBOL = r"(?P<name>[A-Za-z_$][\w.$]*)(?:\+0x[0-9a-f]+/0x[0-9a-f]+| \([\w./-]+:\d+(?:\)|[ ?].*))"
_FRAME = re.compile(r"^\s*(?:\[<?[0-9a-fA-Fx]+>?\]\s+)*(?P<doubt>\? )?" + _SYMBOL)
_WHERE = re.compile(
    r"^\s*(?:RIP: [0-9a-f]+:|pc : |NIP \[[0-9a-f]+\] |epc : |EIP: |PC is at |Krnl PSW.*\()"
    r"(?:\[<[0-9a-f]+>\] )?" + _SYMBOL
)
_NAMED = re.compile(r"(?P<name>[A-Za-z_$][\w.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
_TRACE = re.compile(
    r"^\s*(?:Call Trace:|Call trace:|backtrace|Backtrace:|</?(?:TASK|IRQ|NMI)>|Stack:)"
)
_BODY = re.compile(
    r"^(?:CPU:|Modules linked|Hardware name|Tainted|RIP|R[A-Z0-9]{2}:|RSP|EFLAGS|Code:|CR2|CS:|FS:|"
    r"PKRU|Call |x\d+ *:|pc|lr|sp |pstate|NIP|LR|GPR|MSR|Memory state|The buggy|Allocated|Freed|"
    r"Read |Write |#PF|PGD|Oops|Mem abort|Data abort|page:|flags:|raw:|Workqueue|stack backtrace|"
    r"other info|but task|which lock|the existing|\s*\(|#\d|\[<)|^\s*[0-9a-f]{8,16}[ :]|^[ >]"
)
_KTAP = re.compile(r"^\s*(?:# )*(?:not ok \d|ok \d|KTAP version|TAP version|1\.\.\d)")


@dataclass
class _Current:
    """A splat that is being read."""

    rule: _Rule
    title: str
    key: int
    line: int
    caller: bytes
    lines: list[str]
    named: str = ""
    where: str = ""
    sure: list[str] | None = None
    doubtful: list[str] | None = None
    done: bool = False
    quiet: int = 0
    count: int = 0


class Scanner:
    """Feed it the lines of a log, then call finish() once.

    began(key) is told when a splat begins and which kind it is: to attribute it.
    """

    def __init__(self, began: Callable[[int, Kind], None] | None = None) -> None:
        self._rules = _rules()
        self._began = began
        self._splats: list[Splat] = []
        self._current: _Current | None = None
        self._trigger = self._rules.trigger.search
        self._hot = True
        self.awake = True
        """Whether feed() has anything to do with the next line."""
        self.dropped = 0

    def look(self, block: bytes) -> None:
        """Told what the next lines are made of, feed() is quick where there is nothing in it."""
        self._hot = any(word in block for word in self._rules.words)
        self.awake = self._hot or self._current is not None

    def feed(self, number: int, line: bytes) -> None:
        """Take the line of this number; anything goes."""
        if not self._hot and self._current is None:
            return
        triggered = self._trigger(line) is not None
        if not triggered and self._current is None:
            return
        prefix, body = split_prefix(line)
        words = text(body[:2000])
        if triggered and self._begin(number, prefix, words):
            return
        if self._current is not None:
            self._continue(prefix, words)

    def finish(self) -> list[Splat]:
        """All splats in the order in which they began."""
        self._end()
        return self._splats

    def _begin(self, number: int, prefix: bytes, words: str) -> bool:
        if _CUT in words:
            if self._current is not None and Kind.WARNING not in self._current.rule.inside:
                self._end()
            return False
        if _END.search(words) or words.lstrip().startswith("# "):
            return False
        if not (found := self._rules.first(words)):
            return False
        rule, title = found
        current = self._current
        if current is not None:
            if rule.kind in current.rule.inside:
                current.named = current.named or _function(words)
                return False
            self._end()
        if len(self._splats) >= MAX_SPLATS:
            self.dropped += 1
            return True
        key = len(self._splats)
        self._current = _Current(
            rule, title, key, number, caller(prefix), [words], _function(words)
        )
        if self._began:
            self._began(key, rule.kind)
        return True

    def _continue(self, prefix: bytes, words: str) -> None:
        current = self._current
        assert current is not None
        who = caller(prefix)
        if current.caller and who and who != current.caller:
            return
        if _KTAP.match(words):
            self._end()
            return
        current.count += 1
        if len(current.lines) < KEPT_LINES:
            current.lines.append(words)
        ruled = current.count > 3 and _RULER.match(words) is not None
        if ruled or _END.search(words) or current.count > MAX_LINES:
            self._end()
        else:
            self._body(current, words)

    def _body(self, current: _Current, words: str) -> None:
        if not current.where and (found := _WHERE.match(words)):
            current.where = found["name"]
        elif found := _FRAME.match(words):
            if not current.done:
                self._frame(current, found)
        elif not _TRACE.match(words):
            if current.sure is not None or current.doubtful is not None:
                current.done = True
            if not _BODY.match(words):
                current.quiet += 1
                if current.quiet > QUIET:
                    self._end()
                return
        current.quiet = 0

    def _frame(self, current: _Current, found: re.Match[str]) -> None:
        name = _plain(found["name"])
        doubt = found["doubt"] is not None
        if doubt:
            current.doubtful = current.doubtful or []
            frames = current.doubtful
        else:
            current.sure = current.sure or []
            frames = current.sure
        # Nobody returns to the start of a function: a pointer to it, no frame.
        pointer = doubt and "+0x0/" in found[0]
        if not pointer and not self._rules.skip.match(name) and len(frames) < 32:
            frames.append(name)

    def _end(self) -> None:
        current, self._current = self._current, None
        self.awake = self._hot
        if current is None:
            return
        frames = current.sure or (current.doubtful or [])[:1]
        head = _plain(current.named or current.where)
        if self._rules.skip.match(head):
            head = ""
        if head and frames[:1] != [head]:
            frames = [head, *(frame for frame in frames if frame != head)]
        title = self._rules.normal(current.title)
        if current.rule.kind is Kind.WARNING:
            title = f"WARNING: {title}"
        place = head or (frames[0] if frames else "")
        if place and not re.search(rf"\b{re.escape(place)}\b", title):
            title = f"{title} in {place}"
        top = "<".join(frames[: self._rules.top])
        kind = current.rule.kind
        fingerprint = f"{kind.value}:{top or re.sub(r'[^A-Za-z0-9_.]+', '-', title)[:80]}"
        self._splats.append(
            Splat(kind, title, tuple(frames), fingerprint, current.line, "", tuple(current.lines))
        )


def _function(words: str) -> str:
    found = _NAMED.search(words)
    return found["name"] if found else ""


_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm)\b.*")


def _plain(name: str) -> str:
    """A symbol without what the compiler adds to it."""
    return _SUFFIX.sub("", name)


def scan(stream: BinaryIO) -> list[Splat]:
    """The splats in stream, read to its end; `case` is empty (see consolelog.read)."""
    scanner = Scanner()
    for number, line in LineReader(stream, scanner.look):
        scanner.feed(number, line)
    return scanner.finish()


def attributed(splat: Splat, case: str) -> Splat:
    """splat, said to have happened in case."""
    return replace(splat, case=case)
