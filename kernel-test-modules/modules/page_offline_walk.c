// SPDX-License-Identifier: GPL-2.0-only
/*
 * page_offline_walk - shows the pages that are PageOffline or of zsmalloc
 *
 * /proc/kpageflags has their flags, but nothing has their reference count:
 * /proc/kpagecount is the mapcount. This walks the memory map of all online
 * memory, without any lock or reference: each line is what was seen at one
 * moment, and pages that are being migrated or freed may look odd. A machine at
 * rest has none of those.
 *
 * Module parameters, also in /sys/module/page_offline_walk/parameters/, for the
 * file check:
 *	expect_offline	 reference count of each PageOffline page; -1: any
 *			 (default: 0 where such pages are frozen, else 1)
 *	expect_zsmalloc	 the same for pages of zsmalloc (default: 1)
 *	expect_isolated	 references more that an isolated page has (default: 1)
 *
 * Files in /sys/kernel/debug/page_offline_walk/, to be read:
 *	pages	a line for each range of page frames of one zone and kind:
 *		"FIRST-LAST node NODE ZONE KIND", page frames in hex
 *	summary	a line for each kind, of all zones: "COUNT KIND"
 *	check	the first line is "ok" or "bad", then "checked NR", "any NR" (those
 *		without a reference count to be expected), "poisoned NR" (memory
 *		failure has references of its own), "wrong NR", and a line like in
 *		pages for each of the first wrong ones, with "expected REFCOUNT"
 *
 * KIND is "TYPE refcount REFCOUNT FLAGS": the type is offline or zsmalloc, the
 * flags are movable_ops, isolated and hwpoison, each if it is set, or "-". The
 * flag isolated only means something together with movable_ops. Where owners
 * remember which pages are isolated, there is no such flag, and no reference.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/rwsem.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#define MAX_KINDS	64
#define MAX_WRONG	16
/* Others may look at a page: only a count that stays is wrong */
#define LOOKS		50

#ifdef MO_FROZEN
static int expect_offline;
#else
static int expect_offline = 1;
#endif
module_param(expect_offline, int, 0644);
MODULE_PARM_DESC(expect_offline,
		 "Reference count of PageOffline pages, -1: any (default: 0 if frozen, else 1)");

static int expect_zsmalloc = 1;
module_param(expect_zsmalloc, int, 0644);
MODULE_PARM_DESC(expect_zsmalloc,
		 "Reference count of zsmalloc pages, -1: any (default: 1)");

static int expect_isolated = 1;
module_param(expect_isolated, int, 0644);
MODULE_PARM_DESC(expect_isolated,
		 "References more that an isolated page has (default: 1)");

enum page_kind {
	OFFLINE,
	ZSMALLOC,
};

static const char * const kind_names[] = {
	[OFFLINE]	= "offline",
	[ZSMALLOC]	= "zsmalloc",
};

/**
 * struct walk_kind - what there is to say of a page
 * @type: its type
 * @movable: it has movable_ops
 * @isolated: and is isolated
 * @poisoned: it is poisoned
 * @refcount: references on it
 */
struct walk_kind {
	enum page_kind type;
	bool movable;
	bool isolated;
	bool poisoned;
	int refcount;
};

/**
 * struct walk_range - page frames of the same kind
 * @first: first one
 * @nr: how many
 * @nid: their node
 * @zone: name of their zone
 * @kind: of all of them
 */
struct walk_range {
	unsigned long first;
	unsigned long nr;
	int nid;
	const char *zone;
	struct walk_kind kind;
};

/*
 * A memory block that was offline for us has no memory map that may be looked
 * at. Held for reading as long as we look at one that was online; who takes a
 * block away waits for that.
 */
static DECLARE_RWSEM(walk_sem);

static int walk_memory_notify(struct notifier_block *nb, unsigned long action,
			      void *arg)
{
	if (action == MEM_OFFLINE) {
		down_write(&walk_sem);
		up_write(&walk_sem);
	}
	return NOTIFY_OK;
}

static struct notifier_block walk_memory_nb = {
	.notifier_call = walk_memory_notify,
};

/* The end of all memory that there is */
static unsigned long end_pfn(void)
{
	unsigned long end = 0;
	int nid;

	for_each_online_node(nid)
		end = max(end, pgdat_end_pfn(NODE_DATA(nid)));
	return end;
}

/* Is it one of those that we want? */
static bool look(struct page *page, struct walk_kind *k)
{
	memset(k, 0, sizeof(*k));
	if (PageOffline(page))
		k->type = OFFLINE;
	else if (PageZsmalloc(page))
		k->type = ZSMALLOC;
	else
		return false;
	k->movable = PageMovableOps(page);
#ifdef MO_ISOLATED_FLAG
	k->isolated = k->movable && PageMovableOpsIsolated(page);
#endif
	k->poisoned = PageHWPoison(page);
	k->refcount = page_ref_count(page);
	return true;
}

static bool same_kind(const struct walk_kind *a, const struct walk_kind *b)
{
	return a->type == b->type && a->movable == b->movable &&
	       a->isolated == b->isolated && a->poisoned == b->poisoned &&
	       a->refcount == b->refcount;
}

static bool continues(const struct walk_range *r, unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct walk_kind k;

	return page && look(page, &k) && same_kind(&k, &r->kind) &&
	       page_to_nid(page) == r->nid && page_zone(page)->name == r->zone;
}

static bool begins(struct walk_range *r, unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	if (!page || !look(page, &r->kind))
		return false;
	r->first = pfn;
	r->nr = 1;
	r->nid = page_to_nid(page);
	r->zone = page_zone(page)->name;
	return true;
}

/*
 * Find the first range at or after @pfn. A range ends at the latest after as
 * many pages as may be looked at without a pause.
 */
static bool next_range(unsigned long pfn, struct walk_range *r)
{
	unsigned long end = end_pfn(), pause;
	bool found = false;

	while (!found && pfn < end) {
		pause = round_down(pfn, MAX_ORDER_NR_PAGES) + MAX_ORDER_NR_PAGES;
		down_read(&walk_sem);
		while (pfn < pause && !found)
			found = begins(r, pfn++);
		while (found && pfn < pause && continues(r, pfn++))
			r->nr++;
		up_read(&walk_sem);
		cond_resched();
	}
	return found;
}

/* The first range of all if @r is empty, or the one after @r */
static bool walk(struct walk_range *r)
{
	return next_range(r->first + r->nr, r);
}

/* Look at a page once more, after some time: is it still one of those? */
static bool look_again(unsigned long pfn, struct walk_kind *k)
{
	struct page *page;
	bool found;

	usleep_range(100, 500);
	down_read(&walk_sem);
	page = pfn_to_online_page(pfn);
	found = page && look(page, k);
	up_read(&walk_sem);
	return found;
}

static void show_kind(struct seq_file *m, const struct walk_kind *k)
{
	seq_printf(m, "%s refcount %d%s%s%s%s", kind_names[k->type], k->refcount,
		   k->movable ? " movable_ops" : "", k->isolated ? " isolated" : "",
		   k->poisoned ? " hwpoison" : "",
		   k->movable || k->poisoned ? "" : " -");
}

static void show_range(struct seq_file *m, const struct walk_range *r)
{
	seq_printf(m, "%lx-%lx node %d %s ", r->first, r->first + r->nr - 1, r->nid,
		   r->zone);
	show_kind(m, &r->kind);
}

/* pages: the position is the page frame to go on with */

static void *pages_start(struct seq_file *m, loff_t *pos)
{
	struct walk_range *r = m->private;

	return next_range(*pos, r) ? r : NULL;
}

static void *pages_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct walk_range *r = v;

	*pos = r->first + r->nr;
	return pages_start(m, pos);
}

static void pages_stop(struct seq_file *m, void *v)
{
}

static int pages_show(struct seq_file *m, void *v)
{
	show_range(m, v);
	seq_putc(m, '\n');
	return 0;
}

static const struct seq_operations pages_seq_ops = {
	.start	= pages_start,
	.next	= pages_next,
	.stop	= pages_stop,
	.show	= pages_show,
};

static int pages_open(struct inode *inode, struct file *file)
{
	return seq_open_private(file, &pages_seq_ops, sizeof(struct walk_range));
}

static const struct file_operations pages_fops = {
	.owner		= THIS_MODULE,
	.open		= pages_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= seq_release_private,
};

/* summary */

struct walk_summary {
	struct walk_kind kind;
	unsigned long nr;
};

static int summary_show(struct seq_file *m, void *v)
{
	struct walk_summary *s = kzalloc_objs(*s, MAX_KINDS);
	struct walk_range r = {};
	unsigned long more = 0;
	unsigned int nr = 0, i;

	if (!s)
		return -ENOMEM;
	while (walk(&r)) {
		for (i = 0; i < nr && !same_kind(&s[i].kind, &r.kind); i++)
			;
		if (i == MAX_KINDS) {
			more += r.nr;
			continue;
		}
		if (i == nr)
			s[nr++].kind = r.kind;
		s[i].nr += r.nr;
	}
	for (i = 0; i < nr; i++) {
		seq_printf(m, "%lu ", s[i].nr);
		show_kind(m, &s[i].kind);
		seq_putc(m, '\n');
	}
	if (more)
		seq_printf(m, "%lu of more kinds\n", more);
	kfree(s);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(summary);

/* check */

static int expected(const struct walk_kind *k)
{
	int base = k->type == OFFLINE ? READ_ONCE(expect_offline) :
					READ_ONCE(expect_zsmalloc);

	return base < 0 ? -1 : base + (k->isolated ? READ_ONCE(expect_isolated) : 0);
}

static bool wrong(const struct walk_kind *k)
{
	return expected(k) >= 0 && !k->poisoned && k->refcount != expected(k);
}

struct walk_check {
	unsigned long checked, any, poisoned, nr_wrong;
	struct walk_range range[MAX_WRONG];
	unsigned int nr_ranges;
};

/* A wrong range: page for page, as long as it is about single pages */
static void check_wrong(struct walk_check *c, const struct walk_range *r)
{
	for (unsigned long i = 0; i < r->nr; i++) {
		struct walk_range one = *r;
		bool is_wrong = true;

		one.first += i;
		one.nr = 1;
		/* So many that they are no coincidence: no need to look at each */
		for (unsigned int n = 0; n < LOOKS && is_wrong && c->nr_wrong < MAX_WRONG; n++)
			is_wrong = look_again(one.first, &one.kind) && wrong(&one.kind);
		if (!is_wrong)
			continue;
		c->nr_wrong++;
		if (c->nr_ranges < MAX_WRONG)
			c->range[c->nr_ranges++] = one;
	}
}

static int check_show(struct seq_file *m, void *v)
{
	struct walk_check *c = kzalloc_obj(*c);
	struct walk_range r = {};

	if (!c)
		return -ENOMEM;
	while (walk(&r)) {
		if (r.kind.poisoned) {
			c->poisoned += r.nr;
		} else if (expected(&r.kind) < 0) {
			c->any += r.nr;
		} else {
			c->checked += r.nr;
			if (wrong(&r.kind))
				check_wrong(c, &r);
		}
	}
	seq_printf(m, "%s\n", c->nr_wrong ? "bad" : "ok");
	seq_printf(m, "checked %lu\nany %lu\npoisoned %lu\nwrong %lu\n", c->checked,
		   c->any, c->poisoned, c->nr_wrong);
	for (unsigned int i = 0; i < c->nr_ranges; i++) {
		show_range(m, &c->range[i]);
		seq_printf(m, " expected %d\n", expected(&c->range[i].kind));
	}
	kfree(c);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

static struct dentry *debugfs_dir;

static int __init page_offline_walk_init(void)
{
	int err = register_memory_notifier(&walk_memory_nb);

	if (err)
		return err;
	debugfs_dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("pages", 0400, debugfs_dir, NULL, &pages_fops);
	debugfs_create_file("summary", 0400, debugfs_dir, NULL, &summary_fops);
	debugfs_create_file("check", 0400, debugfs_dir, NULL, &check_fops);
	return 0;
}
module_init(page_offline_walk_init);

static void __exit page_offline_walk_exit(void)
{
	debugfs_remove(debugfs_dir);
	unregister_memory_notifier(&walk_memory_nb);
}
module_exit(page_offline_walk_exit);

MODULE_DESCRIPTION("Shows type, flags and reference count of PageOffline and zsmalloc pages");
MODULE_LICENSE("GPL");
