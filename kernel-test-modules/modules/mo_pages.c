// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_movable_ops - owns movable pages whose content can be checked
 *
 * A stand-in for a balloon or zsmalloc that needs neither a hypervisor nor a
 * swap device: its pages are migrated by compaction, offlining, contiguous
 * allocations and soft offlining like theirs. Each page has content that is
 * derived from a number, and the module knows which page has which number; both
 * have to travel with the page when it is migrated.
 *
 * Module parameters:
 *	adjust_managed	owned pages do not count as managed by their zone, as with
 *			a balloon (default: Y)
 *
 * Files in /sys/kernel/debug/test_movable_ops/. A write that fails returns the
 * error of what it did.
 *	allocate	write "NR [NODE]": allocate, fill and own NR more pages, of
 *			that node only or of any. -ENOMEM: not all of them, those
 *			that could be had are kept. -EINTR: a signal, likewise
 *	fill		write anything: give each page new content
 *	press		write "SECONDS [THREADS]": for that time, threads take pages
 *			and check, fill, free or own them again, free some and
 *			allocate as many, fragment memory, and allocate large and
 *			contiguous ranges, some where the owned pages are. Returns at
 *			the end, or with -EINTR after a signal. Default: two threads
 *			for each CPU
 *	verify		read: take all pages, compare each with what is known of it
 *			(content, type, refcount, node), own them again. The first
 *			line is "ok" or "bad", what follows are counts as in stats,
 *			those that were isolated for too long ("not_checked"), and
 *			lines "pfn PFN: what is wrong with it" of the first ones
 *	free		write NR: free that many pages; 0: all, however long some of
 *			them are isolated. -EAGAIN: fewer, the rest are isolated
 *	count		read: pages owned: "pages NR", "isolated NR", and a line
 *			"node N NR" for each node that has some
 *	ranges		read: where the pages are, "PFN NR NODE" by ranges of page
 *			frames, those that are isolated too
 *	contig		write "PFN NR": allocate that range of page frames with
 *			alloc_contig_range(), and free it; -EOPNOTSUPP without
 *			CONFIG_CONTIG_ALLOC. The range may be anywhere
 *	fail_every	read and write: let each so many-th migration fail (0: none)
 *	delay_us	read and write: each migration takes up to that long, like one
 *			for which a host has to be asked
 *	stats		read: lines "name value" (below); write: set them to 0
 *
 * What stats has:
 *	migrations		pages of the module that were migrated
 *	migrations_busy		refused with -EAGAIN: the owner was at work
 *	migrations_injected	refused with -EAGAIN: fail_every
 *	migrations_unknown	refused with -EINVAL: no such page. A bug, of the
 *				kernel or here
 *	migrations_unreadable	refused with -EIO: source is poisoned in hardware
 *	takes			times that pages were taken
 *	takes_skipped		of them, those that got fewer than they asked for
 *				while some were isolated
 *	contigs			contiguous ranges that could be allocated
 *	contigs_refused		and those that could not
 *	large			large allocations in press
 *	looks			attempts to get a reference to a page where an owned
 *				one was just now, like any who walks page frames
 *	referenced		PageOffline pages that a reference was got to; where
 *				they are frozen, that is an error
 *	allocations_failed	pages that press could not allocate
 *	bad_content, bad_type, bad_refcount, bad_node
 *				found by verify, and by press where it takes pages
 *	missing			pages that are neither there nor isolated
 *	unknown			pages that were taken and not owned
 *	isolations		of any movable page in the system, by a kretprobe on
 *				isolate_movable_ops_page(), or on
 *				movable_ops_batch_isolate() where the compiler has
 *				inlined that. These three lines are only there
 *				with CONFIG_KRETPROBES
 *	isolations_lost		attempts that lost a race
 *	isolations_not_probed	not counted: too many at a time
 *
 * All errors are counted since the last write to stats; each is also printed
 * once with its page. Unloading waits until isolated pages are back.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/hashtable.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "mo_owner.h"

#define HASH_BITS_PAGES		14
#define BATCH			256
#define MAX_THREADS		1024
#define MAX_JUNK		64
#define MAX_REPORTS		16
/*
 * How long to wait for isolated pages, and how often to look for some that are
 * neither there nor isolated. Offlining has many pages isolated at a time.
 */
#define VERIFY_WAIT_MS		20000
#define VERIFY_LOOKS		200
/* Others may look at a page: how long until a reference counts as an error */
#define REFERENCE_WAIT_MS	2000

static bool adjust_managed = true;
module_param(adjust_managed, bool, 0444);
MODULE_PARM_DESC(adjust_managed,
		 "Owned pages do not count as managed by their zone (default: Y)");

/**
 * struct mo_page - what is known of a page
 * @hash: in store, by @pfn
 * @list: of who has taken it
 * @pfn: where it is
 * @nid: node where it was counted
 * @id: its content is derived from that
 */
struct mo_page {
	struct hlist_node hash;
	struct list_head list;
	unsigned long pfn;
	int nid;
	u64 id;
};

/* Each page that is owned, taken or not; and how many there are, by node */
static DEFINE_HASHTABLE(store, HASH_BITS_PAGES);
static unsigned long nr_pages;
static unsigned long nr_pages_node[MAX_NUMNODES];
static DEFINE_SPINLOCK(store_lock);

/*
 * Held for reading by those who take some pages, for writing by those who want
 * all of them. Not by migrations: who wants all pages waits for their end.
 */
static DECLARE_RWSEM(takers);
/*
 * Held for writing by an owner at work, for as long as that takes but never
 * while it waits for a page. A migration, which needs it for reading, gives up
 * instead of waiting: so does that of a balloon driver that talks to its host.
 */
static DECLARE_RWSEM(busy);
/* One press at a time */
static DEFINE_MUTEX(press_mutex);

static atomic64_t next_id = ATOMIC64_INIT(1);
static atomic_t nr_migrations;
static u32 fail_every, delay_us;
static struct dentry *debugfs_dir;

enum mo_stat {
	MIGRATIONS,
	MIGRATIONS_BUSY,
	MIGRATIONS_INJECTED,
	MIGRATIONS_UNKNOWN,
	MIGRATIONS_UNREADABLE,
	TAKES,
	TAKES_SKIPPED,
	CONTIGS,
	CONTIGS_REFUSED,
	LARGE,
	LOOKS,
	REFERENCED,
	ALLOCATIONS_FAILED,
	BAD_CONTENT,
	BAD_TYPE,
	BAD_REFCOUNT,
	BAD_NODE,
	MISSING,
	UNKNOWN,
	NR_STATS
};

static const char * const stat_names[NR_STATS] = {
	[MIGRATIONS]		= "migrations",
	[MIGRATIONS_BUSY]	= "migrations_busy",
	[MIGRATIONS_INJECTED]	= "migrations_injected",
	[MIGRATIONS_UNKNOWN]	= "migrations_unknown",
	[MIGRATIONS_UNREADABLE]	= "migrations_unreadable",
	[TAKES]			= "takes",
	[TAKES_SKIPPED]		= "takes_skipped",
	[CONTIGS]		= "contigs",
	[CONTIGS_REFUSED]	= "contigs_refused",
	[LARGE]			= "large",
	[LOOKS]			= "looks",
	[REFERENCED]		= "referenced",
	[ALLOCATIONS_FAILED]	= "allocations_failed",
	[BAD_CONTENT]		= "bad_content",
	[BAD_TYPE]		= "bad_type",
	[BAD_REFCOUNT]		= "bad_refcount",
	[BAD_NODE]		= "bad_node",
	[MISSING]		= "missing",
	[UNKNOWN]		= "unknown",
};

static atomic_long_t stats[NR_STATS];

/* What verify found, for its reader */
struct mo_report {
	unsigned long nr[NR_STATS];
	unsigned int nr_lines;
	char line[MAX_REPORTS][80];
	unsigned long not_checked;
};

static void count(enum mo_stat stat)
{
	atomic_long_inc(&stats[stat]);
}

static __printf(4, 5)
void bad(struct mo_report *report, enum mo_stat stat, unsigned long pfn,
	 const char *fmt, ...)
{
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 10);
	va_list args;
	char buf[60];

	va_start(args, fmt);
	vsnprintf(buf, sizeof(buf), fmt, args);
	va_end(args);

	count(stat);
	if (__ratelimit(&limit))
		pr_err("pfn %#lx: %s\n", pfn, buf);
	if (!report)
		return;
	report->nr[stat]++;
	if (report->nr_lines < MAX_REPORTS)
		snprintf(report->line[report->nr_lines++], sizeof(report->line[0]),
			 "pfn %#lx: %s", pfn, buf);
}

/* Content */

static u64 content(u64 id, unsigned int i)
{
	return (id << 16) + i * 0x9e3779b97f4a7c15ULL;
}

static void fill_page(struct page *page, u64 id)
{
	u64 *p = kmap_local_page(page);

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		p[i] = content(id, i);
	kunmap_local(p);
}

static bool page_has_content(struct page *page, u64 id)
{
	u64 *p = kmap_local_page(page);
	bool same = true;

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*p) && same; i++)
		same = p[i] == content(id, i);
	kunmap_local(p);
	return same;
}

/* The store */

static struct mo_page *store_find(unsigned long pfn)
{
	struct mo_page *p;

	lockdep_assert_held(&store_lock);
	hash_for_each_possible(store, p, hash, pfn) {
		if (p->pfn == pfn)
			return p;
	}
	return NULL;
}

static void store_insert(struct mo_page *p, struct page *page)
{
	lockdep_assert_held(&store_lock);
	p->pfn = page_to_pfn(page);
	p->nid = page_to_nid(page);
	hash_add(store, &p->hash, p->pfn);
	nr_pages++;
	nr_pages_node[p->nid]++;
}

static void store_delete(struct mo_page *p)
{
	lockdep_assert_held(&store_lock);
	hash_del(&p->hash);
	nr_pages--;
	nr_pages_node[p->nid]--;
}

static unsigned long owned(void)
{
	return READ_ONCE(nr_pages);
}

/**
 * mo_pages_migrate() - move the content of a page, and what is known of it
 * @dst: destination
 * @src: source, isolated
 * @mode: how much the caller is willing to wait; we never wait
 *
 * Return: 0 or an error number, with which the page stays where it is
 */
int mo_pages_migrate(struct page *dst, struct page *src, enum migrate_mode mode)
{
	u32 every = READ_ONCE(fail_every), us = READ_ONCE(delay_us);
	struct mo_page *p;
	int err = 0;

	if (!down_read_trylock(&busy)) {
		count(MIGRATIONS_BUSY);
		return -EAGAIN;
	}
	if (us)
		usleep_range(1, 1 + get_random_u32_below(us));
	spin_lock(&store_lock);
	p = store_find(page_to_pfn(src));
	spin_unlock(&store_lock);

	if (!p) {
		bad(NULL, MIGRATIONS_UNKNOWN, page_to_pfn(src), "migrated, but not owned");
		err = -EINVAL;
	} else if (every && !((u32)atomic_inc_return(&nr_migrations) % every)) {
		count(MIGRATIONS_INJECTED);
		err = -EAGAIN;
	} else if (copy_mc_highpage(dst, src)) {
		count(MIGRATIONS_UNREADABLE);
		err = -EIO;
	} else {
		/* While a page is isolated, only the one who isolated it has it */
		spin_lock(&store_lock);
		store_delete(p);
		store_insert(p, dst);
		spin_unlock(&store_lock);
		count(MIGRATIONS);
	}
	up_read(&busy);
	return err;
}

/* Pages that are taken: in a list of struct mo_page */

static struct page *page_of(const struct mo_page *p)
{
	return pfn_to_page(p->pfn);
}

static void check_refcount(struct mo_report *report, const struct mo_page *p)
{
	unsigned long end = jiffies + msecs_to_jiffies(REFERENCE_WAIT_MS);
	int refs;

	for (;;) {
		refs = page_ref_count(page_of(p));
		if (refs == mo_owner_refcount)
			return;
		if (time_after(jiffies, end))
			break;
		usleep_range(100, 1000);
	}
	bad(report, BAD_REFCOUNT, p->pfn, "refcount %d instead of %d", refs,
	    mo_owner_refcount);
}

static void check(struct mo_report *report, const struct mo_page *p)
{
	const char *wrong = mo_owner_wrong_type(page_of(p));

	if (!page_has_content(page_of(p), p->id))
		bad(report, BAD_CONTENT, p->pfn, "not the content %llu", p->id);
	if (wrong)
		bad(report, BAD_TYPE, p->pfn, "%s", wrong);
	if (p->nid != page_to_nid(page_of(p)))
		bad(report, BAD_NODE, p->pfn, "counted on node %d", p->nid);
	/* Who poisoned a page has a reference on it */
	if (!PageHWPoison(page_of(p)))
		check_refcount(report, p);
}

/*
 * Take up to @nr pages, at most BATCH, to the tail of @list. What was taken is
 * in @pages, which is only the caller's so that it need not be on the stack.
 */
static unsigned int take(struct list_head *list, struct page **pages,
			 unsigned int nr, struct mo_report *report)
{
	unsigned int got = mo_owner_take(pages, min(nr, BATCH)), found = 0;

	count(TAKES);
	if (got < min(nr, BATCH) && mo_owner_isolated())
		count(TAKES_SKIPPED);
	for (unsigned int i = 0; i < got; i++) {
		struct mo_page *p;

		spin_lock(&store_lock);
		p = store_find(page_to_pfn(pages[i]));
		spin_unlock(&store_lock);
		if (p) {
			list_add_tail(&p->list, list);
			found++;
		} else {
			/* Whoever it belongs to: nothing good comes of freeing it */
			bad(report, UNKNOWN, page_to_pfn(pages[i]), "taken, but not owned");
		}
	}
	return found;
}

static void add(struct mo_page *p)
{
	mo_owner_add(page_of(p));
}

static void add_all(struct list_head *list)
{
	struct mo_page *p, *next;

	list_for_each_entry_safe(p, next, list, list) {
		/* It may be taken by somebody else at once */
		list_del(&p->list);
		add(p);
		cond_resched();
	}
}

static void fill(struct mo_page *p)
{
	p->id = atomic64_inc_return(&next_id);
	fill_page(page_of(p), p->id);
}

static struct mo_page *new_page(int nid)
{
	struct mo_page *p = kmalloc_obj(*p);
	struct page *page;

	if (!p)
		return NULL;
	page = mo_owner_alloc(nid);
	if (!page) {
		kfree(p);
		return NULL;
	}
	spin_lock(&store_lock);
	store_insert(p, page);
	spin_unlock(&store_lock);
	fill(p);
	return p;
}

static void free_one(struct mo_page *p)
{
	struct page *page = page_of(p);

	spin_lock(&store_lock);
	store_delete(p);
	spin_unlock(&store_lock);
	kfree(p);
	mo_owner_free(page);
}

static void free_all(struct list_head *list)
{
	struct mo_page *p, *next;

	list_for_each_entry_safe(p, next, list, list) {
		list_del(&p->list);
		free_one(p);
		cond_resched();
	}
}

/* What the files do */

static int allocate(unsigned long nr, int nid)
{
	while (nr--) {
		struct mo_page *p;

		if (signal_pending(current))
			return -EINTR;
		down_read(&takers);
		p = new_page(nid);
		if (p)
			add(p);
		up_read(&takers);
		if (!p)
			return -ENOMEM;
		cond_resched();
	}
	return 0;
}

/*
 * Take all pages, those that are isolated when they are back. It is for the
 * caller to keep others from having some.
 */
static void take_all(struct list_head *list, struct page **pages,
		     struct mo_report *report)
{
	unsigned long end = jiffies + msecs_to_jiffies(VERIFY_WAIT_MS);
	unsigned long got = 0, nr, isolated;
	unsigned int looks = 0;

	while (got < owned() && looks < VERIFY_LOOKS && time_before(jiffies, end)) {
		isolated = mo_owner_isolated();
		nr = take(list, pages, BATCH, report);
		got += nr;
		looks = nr || isolated ? 0 : looks + 1;
		if (nr)
			cond_resched();
		else
			usleep_range(500, 2000);
	}
}

/* Those that take_all() did not find: lost if they are not isolated either */
static void report_missing(struct mo_report *report, struct list_head *list)
{
	unsigned long got = list_count_nodes(list);

	if (got >= owned())
		return;
	report->not_checked = owned() - got;
	if (mo_owner_isolated())
		return;
	atomic_long_add(owned() - got, &stats[MISSING]);
	report->nr[MISSING] = owned() - got;
	pr_err("%lu of %lu pages are missing\n", owned() - got, owned());
}

static int verify(struct mo_report *report)
{
	struct page **pages = kmalloc_objs(*pages, BATCH);
	struct mo_page *p;
	LIST_HEAD(list);

	if (!pages)
		return -ENOMEM;
	down_write(&takers);
	take_all(&list, pages, report);
	list_for_each_entry(p, &list, list) {
		check(report, p);
		cond_resched();
	}
	report_missing(report, &list);
	add_all(&list);
	up_write(&takers);
	kfree(pages);
	return 0;
}

static int fill_all(void)
{
	struct page **pages = kmalloc_objs(*pages, BATCH);
	struct mo_page *p;
	LIST_HEAD(list);

	if (!pages)
		return -ENOMEM;
	down_write(&takers);
	take_all(&list, pages, NULL);
	list_for_each_entry(p, &list, list) {
		fill(p);
		cond_resched();
	}
	add_all(&list);
	up_write(&takers);
	kfree(pages);
	return 0;
}

/* Free some; what is isolated cannot be had */
static int free_some(unsigned long nr)
{
	struct page **pages = kmalloc_objs(*pages, BATCH);
	unsigned int got = 1;
	LIST_HEAD(list);

	if (!pages)
		return -ENOMEM;
	down_read(&takers);
	while (nr && got) {
		got = take(&list, pages, min(nr, BATCH), NULL);
		nr -= got;
		free_all(&list);
	}
	up_read(&takers);
	kfree(pages);
	return nr && owned() ? -EAGAIN : 0;
}

/*
 * Free all: what is isolated will be back, or be migrated and then be there.
 * Only a page that is neither there nor isolated is lost, and that would be a
 * bug of the kernel's.
 */
static void free_everything(bool (*stop)(void))
{
	/* Without memory we cannot give it back: one page is enough */
	struct page *page[1];
	struct page **pages = kmalloc_objs(*pages, BATCH, GFP_KERNEL | __GFP_NOWARN);
	unsigned long next = jiffies + 10 * HZ;
	unsigned int nr = pages ? BATCH : 1;
	unsigned int lost = 0;
	LIST_HEAD(list);

	while (owned() && !stop() && lost < 100) {
		bool isolated = mo_owner_isolated();

		down_write(&takers);
		take(&list, pages ?: page, nr, NULL);
		up_write(&takers);
		if (!list_empty(&list)) {
			lost = 0;
			free_all(&list);
			continue;
		}
		lost = isolated || mo_owner_isolated() ? 0 : lost + 1;
		msleep(20);
		if (time_after(jiffies, next)) {
			pr_warn("%lu pages are still isolated\n", mo_owner_isolated());
			next = jiffies + 10 * HZ;
		}
	}
	kfree(pages);
}

/* Pressure */

struct press {
	struct task_struct *task;
	struct page *pages[BATCH];
	struct page *junk[MAX_JUNK];
	unsigned int junk_order[MAX_JUNK];
	unsigned int deficit;	/* pages that it has freed and not allocated */
};

static int random_node(void)
{
	return get_random_u32_below(2) ? NUMA_NO_NODE : node_random(&node_states[N_MEMORY]);
}

static unsigned int random_batch(void)
{
	return 1 + get_random_u32_below(BATCH);
}

/* Some pages, or all of them: those that were added last come first */
static void take_some(struct press *t, struct list_head *list)
{
	bool all = !get_random_u32_below(16);

	while (take(list, t->pages, all ? BATCH : random_batch(), NULL) && all)
		cond_resched();
}

static void press_check(struct press *t)
{
	struct mo_page *p;
	LIST_HEAD(list);

	take_some(t, &list);
	down_write(&busy);
	list_for_each_entry(p, &list, list) {
		check(NULL, p);
		if (get_random_u32_below(2))
			fill(p);
		cond_resched();
	}
	add_all(&list);
	up_write(&busy);
}

static void press_refill(struct press *t)
{
	while (t->deficit) {
		struct mo_page *p = new_page(random_node());

		if (!p) {
			count(ALLOCATIONS_FAILED);
			break;
		}
		t->deficit--;
		add(p);
		cond_resched();
	}
}

static void press_free(struct press *t)
{
	struct mo_page *p;
	LIST_HEAD(list);

	if (!t->deficit)
		t->deficit = take(&list, t->pages, random_batch(), NULL);
	list_for_each_entry(p, &list, list)
		check(NULL, p);
	free_all(&list);
	press_refill(t);
}

/* Pages that cannot be migrated, all over the place */
static void press_junk(struct press *t)
{
	unsigned int i = get_random_u32_below(MAX_JUNK);

	if (t->junk[i])
		__free_pages(t->junk[i], t->junk_order[i]);
	t->junk_order[i] = get_random_u32_below(3);
	t->junk[i] = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN,
				 t->junk_order[i]);
}

/* Direct compaction */
static void press_large(struct press *t)
{
	unsigned int order = 2 + get_random_u32_below(MAX_PAGE_ORDER - 1);
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN,
					order);

	if (!page)
		return;
	count(LARGE);
	__free_pages(page, order);
}

static int contig(unsigned long pfn, unsigned long nr)
{
	int err = mo_contig(pfn, nr);

	count(err ? CONTIGS_REFUSED : CONTIGS);
	return err;
}

static unsigned long random_pfn(void)
{
	unsigned int start = get_random_u32_below(HASH_SIZE(store));
	unsigned long pfn = 0;
	struct mo_page *p;

	spin_lock(&store_lock);
	for (unsigned int i = 0; i < HASH_SIZE(store) && !pfn; i++) {
		unsigned int b = (start + i) % HASH_SIZE(store);

		hlist_for_each_entry(p, &store[b], hash)
			pfn = p->pfn;
	}
	spin_unlock(&store_lock);
	return pfn;
}

/* Whoever walks page frames does that, and finds out what it got afterwards */
static void press_look(struct press *t)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		unsigned long pfn = random_pfn();
		struct folio *folio;

		if (!pfn)
			break;
		count(LOOKS);
		folio = page_folio(pfn_to_page(pfn));
		if (!folio_try_get(folio))
			continue;
		/* A page that was freed meanwhile may be anybody's */
		if (PageOffline(pfn_to_page(pfn))) {
			count(REFERENCED);
			if (!mo_owner_refcount)
				pr_err_ratelimited("pfn %#lx: referenced\n", pfn);
		}
		folio_put(folio);
	}
}

static void press_contig(struct press *t)
{
	unsigned long nr = 1UL << get_random_u32_below(MAX_PAGE_ORDER + 1);
	unsigned long pfn = random_pfn();

	if (pfn)
		contig(round_down(pfn, nr), nr);
}

static int press_thread(void *data)
{
	struct press *t = data;

	while (!kthread_should_stop()) {
		switch (get_random_u32_below(16)) {
		case 0 ... 4:
			down_read(&takers);
			press_check(t);
			up_read(&takers);
			break;
		case 5 ... 9:
			down_read(&takers);
			press_free(t);
			up_read(&takers);
			break;
		case 10 ... 12:
			press_junk(t);
			break;
		case 13:
			press_large(t);
			break;
		case 14:
			press_look(t);
			break;
		case 15:
			press_contig(t);
			break;
		}
		cond_resched();
	}
	down_read(&takers);
	press_refill(t);
	up_read(&takers);
	for (unsigned int i = 0; i < MAX_JUNK; i++) {
		if (t->junk[i])
			__free_pages(t->junk[i], t->junk_order[i]);
	}
	return 0;
}

static int press(unsigned int seconds, unsigned int threads)
{
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(wait);
	struct press **t;
	int err = 0;

	t = kvzalloc_objs(*t, threads);
	if (!t)
		return -ENOMEM;
	for (unsigned int i = 0; i < threads && !err; i++) {
		t[i] = kzalloc_obj(*t[i]);
		if (!t[i]) {
			err = -ENOMEM;
			break;
		}
		t[i]->task = kthread_run(press_thread, t[i], "mo_press/%u", i);
		if (IS_ERR(t[i]->task)) {
			err = PTR_ERR(t[i]->task);
			kfree(t[i]);
			t[i] = NULL;
		}
	}
	if (!err && wait_event_interruptible_timeout(wait, false, seconds * HZ))
		err = -EINTR;
	for (unsigned int i = 0; i < threads && t[i]; i++) {
		kthread_stop(t[i]->task);
		kfree(t[i]);
	}
	kvfree(t);
	return err;
}

/* Files */

static int numbers(const char __user *buf, size_t len, unsigned long *a, long *b)
{
	char text[48];
	int nr;

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, len))
		return -EFAULT;
	text[len] = '\0';
	nr = sscanf(text, "%li %li", (long *)a, b);
	return nr > 0 && (long)*a >= 0 ? nr : -EINVAL;
}

static ssize_t allocate_write(struct file *file, const char __user *buf,
			      size_t len, loff_t *pos)
{
	long nid = NUMA_NO_NODE;
	unsigned long nr;
	int ret = numbers(buf, len, &nr, &nid);

	if (ret < 0)
		return ret;
	if (ret == 2 && (nid < 0 || nid >= nr_node_ids || !node_state(nid, N_MEMORY)))
		return -EINVAL;
	return allocate(nr, nid) ?: len;
}

static ssize_t fill_write(struct file *file, const char __user *buf,
			  size_t len, loff_t *pos)
{
	return fill_all() ?: len;
}

static ssize_t press_write(struct file *file, const char __user *buf,
			   size_t len, loff_t *pos)
{
	long threads = min(2 * num_online_cpus(), MAX_THREADS);
	unsigned long seconds;
	int ret = numbers(buf, len, &seconds, &threads);

	if (ret < 0)
		return ret;
	if (threads < 1 || threads > MAX_THREADS || seconds > INT_MAX / HZ)
		return -EINVAL;
	if (mutex_lock_interruptible(&press_mutex))
		return -EINTR;
	ret = press(seconds, threads);
	mutex_unlock(&press_mutex);
	return ret ?: len;
}

static bool stop_by_signal(void)
{
	return signal_pending(current);
}

static ssize_t free_write(struct file *file, const char __user *buf,
			  size_t len, loff_t *pos)
{
	unsigned long nr;
	long unused;
	int ret = numbers(buf, len, &nr, &unused);

	if (ret < 0)
		return ret;
	if (nr)
		return free_some(nr) ?: len;
	free_everything(stop_by_signal);
	if (owned())
		return signal_pending(current) ? -EINTR : -EIO;
	return len;
}

static ssize_t contig_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	unsigned long pfn;
	long nr;
	int ret = numbers(buf, len, &pfn, &nr);

	if (ret < 0)
		return ret;
	if (ret != 2 || nr <= 0)
		return -EINVAL;
	return contig(pfn, nr) ?: len;
}

static ssize_t stats_write(struct file *file, const char __user *buf,
			   size_t len, loff_t *pos)
{
	for (unsigned int i = 0; i < NR_STATS; i++)
		atomic_long_set(&stats[i], 0);
	mo_probe_reset();
	return len;
}

static int stats_show(struct seq_file *m, void *v)
{
	for (unsigned int i = 0; i < NR_STATS; i++)
		seq_printf(m, "%s %ld\n", stat_names[i], atomic_long_read(&stats[i]));
	mo_probe_show(m);
	return 0;
}

static int count_show(struct seq_file *m, void *v)
{
	int nid;

	seq_printf(m, "pages %lu\n", owned());
	seq_printf(m, "isolated %lu\n", mo_owner_isolated());
	for_each_node_state(nid, N_MEMORY) {
		unsigned long nr = READ_ONCE(nr_pages_node[nid]);

		if (nr)
			seq_printf(m, "node %d %lu\n", nid, nr);
	}
	return 0;
}

static int verify_show(struct seq_file *m, void *v)
{
	struct mo_report *report = kzalloc_obj(*report);
	unsigned long errors = 0;
	int err = report ? verify(report) : -ENOMEM;

	for (unsigned int i = BAD_CONTENT; !err && i < NR_STATS; i++)
		errors += report->nr[i];
	if (!err) {
		seq_printf(m, "%s\n", errors ? "bad" : "ok");
		seq_printf(m, "pages %lu\n", owned());
		seq_printf(m, "not_checked %lu\n", report->not_checked);
		for (unsigned int i = BAD_CONTENT; i < NR_STATS; i++)
			seq_printf(m, "%s %lu\n", stat_names[i], report->nr[i]);
		for (unsigned int i = 0; i < report->nr_lines; i++)
			seq_printf(m, "%s\n", report->line[i]);
	}
	kfree(report);
	return err;
}

static int cmp_pfn(const void *a, const void *b)
{
	const unsigned long x = *(const unsigned long *)a;
	const unsigned long y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static int ranges_show(struct seq_file *m, void *v)
{
	/* Pages may come and go until we have the lock */
	unsigned long max = owned() + BATCH, nr = 0, first;
	unsigned long *pfns = kvmalloc_objs(*pfns, max);
	struct mo_page *p;
	unsigned int b;

	if (!pfns)
		return -ENOMEM;
	spin_lock(&store_lock);
	hash_for_each(store, b, p, hash) {
		if (nr < max)
			pfns[nr++] = p->pfn;
	}
	spin_unlock(&store_lock);

	sort(pfns, nr, sizeof(*pfns), cmp_pfn, NULL);
	for (unsigned long i = 0; i < nr; i++) {
		if (!i || pfns[i] != pfns[i - 1] + 1)
			first = pfns[i];
		if (i + 1 == nr || pfns[i + 1] != pfns[i] + 1)
			seq_printf(m, "%#lx %lu %d\n", first, pfns[i] - first + 1,
				   page_to_nid(pfn_to_page(first)));
	}
	kvfree(pfns);
	return 0;
}

#define WRITE_ONLY(name)					\
static const struct file_operations name##_fops = {		\
	.owner	= THIS_MODULE,					\
	.open	= simple_open,					\
	.write	= name##_write,					\
	.llseek	= noop_llseek,					\
}

WRITE_ONLY(allocate);
WRITE_ONLY(fill);
WRITE_ONLY(press);
WRITE_ONLY(free);
WRITE_ONLY(contig);
DEFINE_SHOW_ATTRIBUTE(verify);
DEFINE_SHOW_ATTRIBUTE(count);
DEFINE_SHOW_ATTRIBUTE(ranges);
DEFINE_SHOW_STORE_ATTRIBUTE(stats);

static int __init test_movable_ops_init(void)
{
	int err = mo_owner_init(adjust_managed);

	if (err)
		return err;
	err = mo_contig_init();
	if (err) {
		mo_owner_exit();
		return err;
	}
	mo_probe_init();
	debugfs_dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("allocate", 0200, debugfs_dir, NULL, &allocate_fops);
	debugfs_create_file("fill", 0200, debugfs_dir, NULL, &fill_fops);
	debugfs_create_file("press", 0200, debugfs_dir, NULL, &press_fops);
	debugfs_create_file("free", 0200, debugfs_dir, NULL, &free_fops);
	debugfs_create_file("contig", 0200, debugfs_dir, NULL, &contig_fops);
	debugfs_create_file("verify", 0400, debugfs_dir, NULL, &verify_fops);
	debugfs_create_file("count", 0400, debugfs_dir, NULL, &count_fops);
	debugfs_create_file("ranges", 0400, debugfs_dir, NULL, &ranges_fops);
	debugfs_create_file("stats", 0600, debugfs_dir, NULL, &stats_fops);
	debugfs_create_u32("fail_every", 0600, debugfs_dir, &fail_every);
	debugfs_create_u32("delay_us", 0600, debugfs_dir, &delay_us);
	return 0;
}
module_init(test_movable_ops_init);

static bool stop_never(void)
{
	return false;
}

static void __exit test_movable_ops_exit(void)
{
	/* Files first: removing one waits for those who use it */
	debugfs_remove(debugfs_dir);
	fail_every = 0;
	delay_us = 0;
	free_everything(stop_never);
	if (owned())
		pr_err("%lu pages are lost\n", owned());
	mo_owner_exit();
	mo_contig_exit();
	mo_probe_exit();
}
module_exit(test_movable_ops_exit);

MODULE_DESCRIPTION("Movable pages with content that can be checked, for tests of migration");
MODULE_LICENSE("GPL");
