"""splat: each kind of report found, named the same in every build, ended where it ends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from memdesc_tool.splat import MAX_LINES, MAX_SPLATS, Kind, Scanner, Splat, scan

LOGS = Path(__file__).parent / "data" / "logs"


def splats(text: str | bytes) -> list[Splat]:
    return scan(io.BytesIO(text.encode() if isinstance(text, str) else text))


def one(text: str) -> Splat:
    (splat,) = splats(text)
    return splat


TRACE = (
    " <TASK>\n dump_stack_lvl+0x5d/0x80\n first+0x12/0x34\n second+0x1/0x2 [mod]\n third+0x3/0x4\n"
)
KUNIT_TRACE = "Call Trace:\n" + TRACE + " kunit_try_run_case+0x6a/0x160\n </TASK>\n"

REPORTS = {
    "warning of 7.3": (
        "------------[ cut here ]------------\nmessage of WARN()\n"
        "WARNING: mm/migrate.c:123 at isolate_page+0x1c/0x90, CPU#1: kunit_try_catch/60\n"
        "Modules linked in:\n" + KUNIT_TRACE + "---[ end trace 0000000000000000 ]---\n",
        Kind.WARNING, "WARNING: mm/migrate.c at isolate_page", "warning:isolate_page<first<second",
    ),
    "warning of older kernels": (
        "------------[ cut here ]------------\n"
        "WARNING: CPU: 0 PID: 0 at kernel/time/clockevents.c:458 register_device+0x143/0x160\n"
        + KUNIT_TRACE + "---[ end trace c83434852b3702d3 ]---\n",
        Kind.WARNING, "WARNING: kernel/time/clockevents.c register_device",
        "warning:register_device<first<second",
    ),
    "warning without verbose": (
        "WARNING: at isolate_page+0x1c/0x90, CPU#1: kunit_try_catch/60\n",
        Kind.WARNING, "WARNING: isolate_page", "warning:isolate_page",
    ),
    "refcount": (
        "------------[ cut here ]------------\nrefcount_t: underflow; use-after-free.\n"
        "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#0: a/1\n"
        + KUNIT_TRACE + "---[ end trace 0000000000000000 ]---\n",
        Kind.REFCOUNT, "refcount_t: underflow; use-after-free in first",
        "refcount:first<second<third",
    ),
    "bug": (
        "------------[ cut here ]------------\nkernel BUG at mm/rmap.c:77!\n"
        "Oops: invalid opcode: 0000 [#1] SMP\nRIP: 0010:try_unmap+0x1/0x2\n" + KUNIT_TRACE
        + "---[ end trace 0000000000000000 ]---\n",
        Kind.BUG, "kernel BUG at mm/rmap.c in try_unmap", "bug:try_unmap<first<second",
    ),
    "bug of um": (
        "BUG: failure at mm/rmap.c:77/try_unmap()!\n",
        Kind.BUG, "failure at mm/rmap.c/try_unmap()", "bug:failure-at-mm-rmap.c-try_unmap-",
    ),
    "null dereference": (
        "BUG: kernel NULL pointer dereference, address: 0000000000000010\n"
        "#PF: supervisor write access in kernel mode\nOops: Oops: 0002 [#1] SMP PTI\n"
        "RIP: 0010:isolate.isra.0+0x1c/0x90\n" + KUNIT_TRACE,
        Kind.OOPS, "kernel NULL pointer dereference in isolate", "oops:isolate<first<second",
    ),
    "page fault": (
        "BUG: unable to handle page fault for address: ffffc90000000000\n"
        "RIP: 0010:isolate+0x1c/0x90\n",
        Kind.OOPS, "unable to handle page fault in isolate", "oops:isolate",
    ),
    "general protection": (
        "Oops: general protection fault, probably for non-canonical address 0xdffffc0000000000: "
        "0000 [#1] SMP KASAN\nKASAN: null-ptr-deref in range [0x0000-0x0007]\n"
        "RIP: 0010:isolate+0x1c/0x90\n",
        Kind.OOPS, "general protection fault in isolate", "oops:isolate",
    ),
    "arm64": (
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\n"
        "Mem abort info:\n  ESR = 0x0000000096000004\n"
        "Internal error: Oops: 0000000096000004 [#1]  SMP\n"
        "pc : isolate+0x1c/0x90\nlr : caller+0x1/0x2\nCall trace:\n"
        " isolate+0x1c/0x90 (P)\n caller+0x1/0x2\n kthread+0x1/0x2\n"
        "---[ end trace 0000000000000000 ]---\n",
        Kind.OOPS, "kernel NULL pointer dereference in isolate", "oops:isolate<caller<kthread",
    ),
    "powerpc": (
        "BUG: Kernel NULL pointer dereference on write at 0x00000000\n"
        "Faulting instruction address: 0xc00000000000beef\n"
        "Oops: Kernel access of bad area, sig: 11 [#1]\n"
        "NIP [c0000000005d1234] isolate+0x1c/0x90\nLR [c0000000005d5678] caller+0x1/0x2\n"
        "Call Trace:\n[c000000003a2f9c0] [c0000000005d1234] isolate+0x1c/0x90 (unreliable)\n"
        "[c000000003a2fa00] [c0000000005d5678] caller+0x1/0x2\n"
        "---[ end trace 0000000000000000 ]---\n",
        Kind.OOPS, "Kernel NULL pointer dereference in isolate", "oops:isolate<caller",
    ),
    "panic": (
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n"
        "CPU: 0 UID: 0 PID: 1 Comm: init\n" + KUNIT_TRACE
        + "---[ end Kernel panic - not syncing: x\n",
        Kind.PANIC, "Attempted to kill init! exitcode=X in first", "panic:first<second<third",
    ),
    "panic of um": (
        "Kernel panic - not syncing: Kernel mode fault at addr 0x10, ip 0x6001beef\n"
        "CPU: 0 UID: 0 PID: 30 Comm: kunit_try_catch\nStack:\n 6005cc00 60233e18\nCall Trace:\n"
        " [<600214c5>] ? os_is_signal_stack+0x15/0x30\n [<6002a1b4>] panic+0x144/0x170\n"
        " [<60071c23>] isolate+0x143/0x160\n [<60071c24>] ? printk+0x0/0x9b\n"
        " [<60071c25>] caller+0x1/0x2\n",
        Kind.PANIC, "Kernel mode fault at addr X, ip X in isolate", "panic:isolate<caller",
    ),
    "kasan": (
        "==================================================================\n"
        "BUG: KASAN: slab-out-of-bounds in isolate+0x11d/0x130 [mod]\n"
        "Write of size 8 at addr ffff888003a2f9c0 by task kunit_try_catch/60\n\nCPU: 0\n"
        + KUNIT_TRACE + "\nAllocated by task 60:\n kasan_save_stack+0x1/0x2\n allocator+0x1/0x2\n"
        "==================================================================\n",
        Kind.KASAN, "KASAN: slab-out-of-bounds in isolate [mod]", "kasan:isolate<first<second",
    ),
    "kcsan": (
        "=====\nBUG: KCSAN: data-race in reader / writer\n\nread to 0xffff888 of 8 bytes by task 7 "
        "on cpu 1:\n reader+0x1/0x2\n caller+0x1/0x2\n\nwrite to 0xffff888 of 8 bytes by task 8 on "
        "cpu 0:\n writer+0x1/0x2\n=====\n",
        Kind.KCSAN, "KCSAN: data-race in reader / writer", "kcsan:reader<caller",
    ),
    "kmsan": (
        "=====\nBUG: KMSAN: uninit-value in reader+0x1/0x2\n reader+0x1/0x2\n"
        " caller+0x1/0x2\n=====\n",
        Kind.KMSAN, "KMSAN: uninit-value in reader", "kmsan:reader<caller",
    ),
    "kfence": (
        "=====\nBUG: KFENCE: use-after-free read in reader+0x1/0x2\n\nUse-after-free read at "
        "0x00000000ea (in kfence-#24):\n reader+0x1/0x2\n caller+0x1/0x2\n\n",
        Kind.KFENCE, "KFENCE: use-after-free read in reader", "kfence:reader<caller",
    ),
    "ubsan": (
        "------------[ cut here ]------------\nUBSAN: shift-out-of-bounds in mm/x.c:12:3\n"
        "shift exponent 64 is too large for 64-bit type 'long unsigned int'\n" + KUNIT_TRACE
        + "---[ end trace ]---\n",
        Kind.UBSAN, "UBSAN: shift-out-of-bounds in mm/x.c in first", "ubsan:first<second<third",
    ),
    "lockdep circular": (
        "======================================================\n"
        "WARNING: possible circular locking dependency detected\n7.3.0 #1 Tainted: G\n"
        "------------------------------------------------------\n"
        "a/60 is trying to acquire lock:\nffff8880 (&b->lock){+.+.}-{2:2}, at: first+0x1/0x2\n\n"
        "but task is already holding lock:\n\n-> #1 (&a->lock){+.+.}-{2:2}:\n"
        "       __lock_acquire+0x1/0x2\n       lock_acquire+0x1/0x2\n       taker+0x1/0x2\n\n"
        "stack backtrace:\nCPU: 0\n" + KUNIT_TRACE,
        Kind.LOCKDEP, "possible circular locking dependency detected in taker", "lockdep:taker",
    ),
    "lockdep wait context": (
        "=============================\n[ BUG: Invalid wait context ]\n7.3.0 #1\n",
        Kind.LOCKDEP, "Invalid wait context", "lockdep:Invalid-wait-context",
    ),
    "suspicious rcu": (
        "=============================\nWARNING: suspicious RCU usage\n7.3.0 #1\n",
        Kind.LOCKDEP, "suspicious RCU usage", "lockdep:suspicious-RCU-usage",
    ),
    "rcu stall": (
        "rcu: INFO: rcu_preempt self-detected stall on CPU\n",
        Kind.RCU_STALL, "rcu_preempt self-detected stall on CPU",
        "rcu stall:rcu_preempt-self-detected-stall-on-CPU",
    ),
    "rcu stall of others": (
        "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\n",
        Kind.RCU_STALL, "rcu_sched detected stalls on CPUs/tasks",
        "rcu stall:rcu_sched-detected-stalls-on-CPUs-tasks",
    ),
    "hung task": (
        "INFO: task kunit_try_catch:60 blocked for more than 120 seconds.\n"
        "      Tainted: G        N  7.3.0 #1\n",
        Kind.HUNG_TASK, "task kunit_try_catch:N blocked for more than",
        "hung task:task-kunit_try_catch-N-blocked-for-more-than",
    ),
    "soft lockup": (
        "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [a:60]\nRIP: 0010:spin+0x1/0x2\n",
        Kind.SOFT_LOCKUP, "soft lockup in spin", "soft lockup:spin",
    ),
    "hard lockup": (
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0\n",
        Kind.HARD_LOCKUP, "Watchdog detected hard LOCKUP",
        "hard lockup:Watchdog-detected-hard-LOCKUP",
    ),
    "sleeping": (
        "BUG: sleeping function called from invalid context at mm/x.c:12\nin_atomic(): 1\nCPU: 0\n"
        + KUNIT_TRACE,
        Kind.ATOMIC, "sleeping function called from invalid context at mm/x.c in first",
        "atomic:first<second<third",
    ),
    "scheduling": (
        "BUG: scheduling while atomic: kunit/60/0x00000002\n" + KUNIT_TRACE,
        Kind.ATOMIC, "scheduling while atomic in first", "atomic:first<second<third",
    ),
    "bad page": (
        "BUG: Bad page state in process kunit  pfn:03a2f\npage: refcount:0 mapcount:0\n"
        "page dumped because: nonzero _refcount\n" + KUNIT_TRACE,
        Kind.BAD_PAGE, "Bad page state in first", "bad page:first<second<third",
    ),
    "rss counter": (
        "BUG: Bad rss-counter state mm:00000000deadbeef type:MM_FILEPAGES val:1\n",
        Kind.BAD_COUNTER, "Bad rss-counter state mm:X type:MM_FILEPAGES val:N",
        "bad counter:Bad-rss-counter-state-mm-X-type-MM_FILEPAGES-val-N",
    ),
    "page dump and warning": (
        "page: refcount:0 mapcount:0 mapping:0 index:0x0 pfn:0x3a2f\n"
        "page dumped because: VM_WARN_ON_ONCE_PAGE(!PageOffline(page))\n"
        "------------[ cut here ]------------\n"
        "WARNING: mm/migrate.c:9 at isolate+0x1/0x2, CPU#0: a/1\n" + KUNIT_TRACE,
        Kind.PAGE_DUMP, "page dumped because: VM_WARN_ON_ONCE_PAGE(!PageOffline(page)) in isolate",
        "page dump:isolate<first<second",
    ),
    "kmemleak": (
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n",
        Kind.KMEMLEAK, "new suspected memory leaks", "kmemleak:new-suspected-memory-leaks",
    ),
    "kmemleak object": (
        "unreferenced object 0xffff888003a2f9c0 (size 64):\n  comm \"kunit\", pid 60\n"
        "  backtrace (crc 1234):\n    allocator+0x1/0x2\n    caller+0x1/0x2\n",
        Kind.KMEMLEAK, "unreferenced object in allocator", "kmemleak:allocator<caller",
    ),
    "slub": (
        "=====\nBUG kmalloc-64 (Tainted: G    B): Object already free\n-----\n",
        Kind.BUG, "kmalloc-N (Tainted: G    B): Object already free",
        "bug:kmalloc-N-Tainted-G-B-Object-already-free",
    ),
    "workqueue": (
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 37s!\n",
        Kind.BUG, "workqueue lockup - pool cpus=N node=N flags=X nice=N stuck for 37s",
        "bug:workqueue-lockup-pool-cpus-N-node-N-flags-X-nice-N-stuck-for-37s",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("prefix", ["", "[   12.345678] ", "<4>[   12.345678][   T60] "])
def test_reports(name: str, prefix: str) -> None:
    text, kind, title, fingerprint = REPORTS[name]
    log = "".join(f"{prefix}{line}\n" for line in text.splitlines())
    splat = one(f"{prefix}before\n{log}{prefix}after\n")
    assert (splat.kind, splat.title, splat.fingerprint) == (kind, title, fingerprint)


def test_every_kind_has_a_report() -> None:
    assert {kind for _, kind, _, _ in REPORTS.values()} == set(Kind)


@pytest.mark.parametrize("name", REPORTS)
def test_fingerprints_are_the_same_in_another_build(name: str) -> None:
    text = REPORTS[name][0]
    other = text.replace("+0x1", "+0xabc").replace("/0x", "/0xf").replace(".c:", ".c:9")
    other = other.replace("first+", "first.constprop.0+").replace("ffff888003", "ffff999003")
    assert one(other).fingerprint == one(text).fingerprint


@pytest.mark.parametrize(
    "line",
    [
        "# case: WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: a/1",
        "INFO: lockdep is turned off.",
        "** WARNING: this kernel is for testing",
        "debug: BUGs and INFO: nothing",
        "refcount_t: 0",
        "Modules linked in: a b",
        "rcu: INFO: Stall ended before state dump start",
        "random: crng init done, no panic",
        "KASAN: hardware tag-based enabled",
        "clocksource: unable to handle this",
    ],
)
def test_lines_that_are_no_splat(line: str) -> None:
    assert splats(f"{line}\n[    1.000000] {line}\n") == []


def test_an_oops_with_interleaved_messages() -> None:
    (splat,) = scan(io.BytesIO((LOGS / "x86-oops.log").read_bytes()))
    assert splat.frames == ("isolate_page", "isolate_case", "kunit_try_run_case", "kthread")
    assert splat.fingerprint == "oops:isolate_page<isolate_case<kunit_try_run_case"
    assert splat.line == 4
    assert splat.kind.fatal
    assert not any("usb" in line for line in splat.text)


def test_one_after_another_are_two() -> None:
    text = REPORTS["warning of 7.3"][0]
    assert len(splats(text + text)) == 2
    text = REPORTS["null dereference"][0] + REPORTS["panic"][0]
    assert [splat.kind for splat in splats(text)] == [Kind.OOPS, Kind.PANIC]


@pytest.mark.parametrize("between", ["---[ end trace 0 ]---\n", "    ok 3 case\n", "x\n" * 20])
def test_where_a_splat_ends(between: str) -> None:
    log = "BUG: scheduling while atomic: a/1/2\n" + between + "Call Trace:\n late+0x1/0x2\n"
    assert one(log).frames == ()


def test_a_splat_without_end_is_cut() -> None:
    log = "BUG: scheduling while atomic: a/1/2\n" + "RAX: 0\n" * (MAX_LINES + 1)
    assert one(log + "Call Trace:\n late+0x1/0x2\n").frames == ()
    assert len(one(log).text) <= 60


def test_unreliable_frames_count_only_where_there_are_no_others() -> None:
    head = "BUG: scheduling while atomic: a/1/2\nCall Trace:\n [<60071c23>] ? maybe+0x1/0x2\n"
    assert one(head).frames == ("maybe",)
    assert one(head + " [<60071c23>] sure+0x1/0x2\n").frames == ("sure",)


def test_pointers_to_functions_are_no_frames() -> None:
    """User Mode Linux shows all that looks like one on its stack, and helpers of printk."""
    text = (
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:623\n"
        "CPU: 1 UID: 0 PID: 33 Comm: kunit_try_catch Tainted: G        W        N  7.3.4 #1\n"
        "Call Trace:\n"
        " [<600662d0>] ? um_set_signals+0x0/0x90\n"
        " [<6010fec0>] ? __printk_cpu_sync_try_get+0x0/0x60\n"
        " [<60052e26>] ? dump_stack_lvl+0xd9/0x108\n"
        " [<60069950>] ? uml_curr_cpu+0x8/0x10\n"
        " [<601195ad>] ? nbcon_cpu_emergency_exit+0x4d/0x130\n"
        " [<6002aa31>] ? __might_resched.cold+0x20/0x41\n"
        " [<600ae300>] ? kthread_do_exit+0x0/0xc0\n"
        " [<604f0c20>] ? __mutex_lock+0x80/0x1310\n"
    )
    assert one(text).fingerprint == "atomic:__mutex_lock"


def test_a_flood_is_bounded() -> None:
    scanner = Scanner()
    for number in range(MAX_SPLATS + 5):
        scanner.feed(number, b"BUG: scheduling while atomic: a/1/2")
    assert len(scanner.finish()) == MAX_SPLATS
    assert scanner.dropped == 5


def test_a_trigger_that_comes_in_two_blocks() -> None:
    filler = b"y" * 100 + b"\n"
    for cut in range((1 << 18) - 40, (1 << 18) + 1):
        count, rest = divmod(cut, len(filler))
        log = filler * count + b"z" * (rest - 1) + b"\n" * (rest > 0)
        assert len(splats(log + b"BUG: scheduling while atomic: a/1/2\n")) == 1


def test_a_block_of_escapes_does_not_hide_one() -> None:
    assert len(splats("B\0UG: schedul\x1b[31ming while atomic: a/1/2\r\n")) == 1


def test_um_has_drivers_that_warn_and_helpers_that_say_nothing() -> None:
    """A boot of 6.1, shortened."""
    splat = one(
        "------------[ cut here ]------------\n"
        "WARNING: CPU: 0 PID: 1 at arch/um/drivers/virt-pci.c:886 um_pci_init+0x99/0xa2\n"
        "No virtio device ID configured for PCI - no PCI support\n"
        "CPU: 0 PID: 1 Comm: swapper Not tainted 6.1.176 #1\n"
        "Stack:\n 00000000 b6803d10 6050ee7e 6042c493\n 60604003 6050ee7e 6002ef70 00000001\n"
        "Call Trace:\n"
        " [<6002ef70>] ? um_set_signals+0x0/0x50\n"
        " [<60429da3>] ? __warn.cold+0x2f/0x5b\n"
        " [<60429ea8>] ? warn_slowpath_fmt+0xd9/0xe9\n"
        " [<6002efb4>] ? um_set_signals+0x44/0x50\n"
        " [<60100cbe>] ? __kmem_cache_alloc_node+0x14e/0x1b0\n"
        " [<60004217>] ? um_pci_init+0x99/0xa2\n"
        "---[ end trace 0000000000000000 ]---\n"
    )
    assert splat.title == "WARNING: arch/um/drivers/virt-pci.c um_pci_init"
    assert splat.fingerprint == "warning:um_pci_init<__kmem_cache_alloc_node"
