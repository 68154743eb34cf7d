// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel does not count: attempts to isolate a movable_ops page, of
 * whatever owner, and those that lost against somebody else. The callers look
 * at the page before they try, so each failure is a race that was lost: against
 * another isolation, against the owner that takes the page, or against freeing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/string.h>

#include "mo_owner.h"

static atomic_long_t isolations, losers;
static bool registered;

static int isolate_returns(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	bool isolated = regs_return_value(regs) & 0xff;

	atomic_long_inc(isolated ? &isolations : &losers);
	return 0;
}
NOKPROBE_SYMBOL(isolate_returns);

static struct kretprobe isolate_probe = {
	.handler	= isolate_returns,
	.maxactive	= 256,
};

/* The first that there is; it may call the others */
static const char * const isolate_names[] = {
	"isolate_movable_ops_page", "movable_ops_batch_isolate",
};

void mo_probe_init(void)
{
	int err = -ENOENT;

	for (unsigned int i = 0; i < ARRAY_SIZE(isolate_names) && err; i++) {
		/* A failed attempt leaves the address of the symbol in here */
		memset(&isolate_probe.kp, 0, sizeof(isolate_probe.kp));
		isolate_probe.kp.symbol_name = isolate_names[i];
		err = register_kretprobe(&isolate_probe);
	}
	registered = !err;
	if (err)
		pr_info("isolations are not counted: no probe (%d)\n", err);
}

void mo_probe_exit(void)
{
	if (registered)
		unregister_kretprobe(&isolate_probe);
}

void mo_probe_reset(void)
{
	atomic_long_set(&isolations, 0);
	atomic_long_set(&losers, 0);
	isolate_probe.nmissed = 0;
}

void mo_probe_show(struct seq_file *m)
{
	if (!registered)
		return;
	seq_printf(m, "isolations %ld\n", atomic_long_read(&isolations));
	seq_printf(m, "isolations_lost %ld\n", atomic_long_read(&losers));
	seq_printf(m, "isolations_not_probed %d\n", isolate_probe.nmissed);
}
