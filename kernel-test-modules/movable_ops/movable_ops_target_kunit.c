// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for what compaction migrates to
 *
 * Folios and movable_ops pages are migrated to pages that compaction has taken
 * off the free lists itself, and gets back if that fails. The tests fill memory
 * and free every other page.
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/compaction.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kernel.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "movable_ops_kunit.h"

#ifdef CONFIG_COMPACTION

/* Pages that are none of ours come and go meanwhile, as do watermarks. */
#define NR_OTHERS	4096

struct test_target {
	struct balloon_dev_info info;
	bool busy;			/* migratepage() returns -EBUSY */
	unsigned int nr_migrated;
	struct page **pages;		/* All of memory */
	unsigned long nr_pages;
	struct file *file;
	unsigned long nr_folios;
};

static int test_migratepage(struct balloon_dev_info *info,
			    struct page *newpage, struct page *page,
			    enum migrate_mode mode)
{
	struct test_target *t = container_of(info, struct test_target, info);

	if (t->busy)
		return -EBUSY;
	t->nr_migrated++;
	return 0;
}

/* A page for the balloon, but some memory stays free for everybody else. */
static struct page *alloc_for_balloon(struct test_target *t)
{
	if (global_zone_page_state(NR_FREE_PAGES) < totalram_pages() / 16)
		return NULL;
	return balloon_page_alloc(&t->info);
}

/* Inflate what memory there is. Returns how many pages that were. */
static unsigned long fill_memory(struct test_target *t)
{
	unsigned long nr = 0;
	struct page *page;

	while ((page = alloc_for_balloon(t))) {
		balloon_pages_enqueue(&t->info, &page, 1);
		nr++;
	}
	return nr;
}

static void deflate(struct test_target *t)
{
	struct page *pages[16];
	size_t nr;

	while ((nr = balloon_pages_dequeue(&t->info, pages, ARRAY_SIZE(pages))))
		while (nr)
			balloon_page_free(&t->info, pages[--nr]);
}

/* Compact all of memory, whatever compaction remembers of how it went before. */
static void compact(void)
{
	const struct alloc_context ac = {
		.zonelist = node_zonelist(numa_node_id(), GFP_HIGHUSER_MOVABLE),
		.highest_zoneidx = gfp_zone(GFP_HIGHUSER_MOVABLE),
		.migratetype = MIGRATE_MOVABLE,
	};
	struct capture_control capc = {};

	try_to_compact_pages(GFP_HIGHUSER_MOVABLE, -1, ALLOC_WMARK_MIN, &ac,
			     MIN_COMPACT_PRIORITY, &capc);
}

static int test_target_init(struct kunit *test)
{
	struct test_target *t;

	/* Later, there is somebody who would miss the memory. */
	if (system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "takes all memory, and that only at boot");

	t = kzalloc_obj(*t);
	if (!t)
		return -ENOMEM;
	device_init(&t->info, test_migratepage);
	t->pages = vmalloc_array(totalram_pages(), sizeof(*t->pages));
	test->priv = t;
	return t->pages ? 0 : -ENOMEM;
}

static void test_target_exit(struct kunit *test)
{
	struct test_target *t = test->priv;

	if (!t)
		return;

	if (t->file) {
		/* The last reference is dropped some time later. */
		shmem_truncate_range(file_inode(t->file), 0, -1);
		fput(t->file);
	}
	vfree(t->pages);
	if (empty_balloon(test, &t->info))
		kfree(t);
}

/*
 * Every other page is in the balloon, all others are free: those with even PFNs,
 * as the free scanner does not look at odd ones once it is in a hurry.
 */
static void fragment_by_balloon(struct test_target *t)
{
	while (t->nr_pages < totalram_pages()) {
		struct page *page = alloc_for_balloon(t);

		if (!page)
			break;
		t->pages[t->nr_pages++] = page;
	}
	for (unsigned long i = 0; i < t->nr_pages; i++) {
		if (page_to_pfn(t->pages[i]) % 2)
			balloon_pages_enqueue(&t->info, t->pages + i, 1);
		else
			balloon_page_free(&t->info, t->pages[i]);
	}
}

static struct page *folio_page_at(struct kunit *test, unsigned long i)
{
	struct test_target *t = test->priv;
	struct page *page = shmem_read_mapping_page(t->file->f_mapping, i);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	return page;
}

/* Every third page is one of a file, all others are free. */
static void fragment_by_folios(struct kunit *test)
{
	struct test_target *t = test->priv;
	const unsigned long enough = totalram_pages() / 8;
	struct file *file;

	file = shmem_file_setup("movable_ops_kunit", MAX_LFS_FILESIZE,
				mk_vma_flags(VMA_NORESERVE_BIT));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	t->file = file;
	while (t->nr_folios < totalram_pages() &&
	       global_zone_page_state(NR_FREE_PAGES) > enough) {
		struct page *page;
		unsigned long *p;

		for (unsigned int i = 0; i < 2; i++) {
			page = alloc_for_balloon(t);
			if (page)
				t->pages[t->nr_pages++] = page;
		}
		page = folio_page_at(test, t->nr_folios);
		p = kmap_local_page(page);
		*p = t->nr_folios++;
		kunmap_local(p);
		put_page(page);
	}
	fill_memory(t);
	for (unsigned long i = 0; i < t->nr_pages; i++)
		balloon_page_free(&t->info, t->pages[i]);
}

static void expect_contents(struct kunit *test)
{
	struct test_target *t = test->priv;
	unsigned long wrong = 0;

	for (unsigned long i = 0; i < t->nr_folios; i++) {
		struct page *page = folio_page_at(test, i);
		unsigned long *p = kmap_local_page(page);

		wrong += *p != i;
		kunmap_local(p);
		put_page(page);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

static unsigned long count_event(enum vm_event_item item)
{
	static unsigned long events[NR_VM_EVENT_ITEMS];

	all_vm_events(events);
	return events[item];
}

static void target_movable_ops(struct kunit *test)
{
	struct test_target *t = test->priv;

	fragment_by_balloon(t);
	compact();
	/* Of the pages in the balloon, about half are moved to the other half. */
	KUNIT_EXPECT_GT(test, t->nr_migrated, t->nr_pages / 8);
}

static void target_folios(struct kunit *test)
{
	struct test_target *t = test->priv;
	unsigned long before;

	fragment_by_folios(test);
	before = count_event(PGMIGRATE_SUCCESS);
	compact();
	if (IS_ENABLED(CONFIG_VM_EVENT_COUNTERS))
		KUNIT_EXPECT_GT(test, count_event(PGMIGRATE_SUCCESS),
				before + t->nr_folios / 8);
	expect_contents(test);
}

/* Compaction gets the pages back that nothing was migrated to. */
static void target_busy_movable_ops(struct kunit *test)
{
	struct test_target *t = test->priv;
	unsigned long nr, before;

	nr = fill_memory(t);
	deflate(t);

	fragment_by_balloon(t);
	t->busy = true;
	before = count_event(PGMIGRATE_FAIL);
	compact();
	if (IS_ENABLED(CONFIG_VM_EVENT_COUNTERS))
		KUNIT_EXPECT_GT(test, count_event(PGMIGRATE_FAIL),
				before + 2 * NR_OTHERS);
	deflate(t);
	KUNIT_EXPECT_GT(test, fill_memory(t) + NR_OTHERS, nr);
}

static void target_busy_folios(struct kunit *test)
{
	struct test_target *t = test->priv;
	unsigned long nr, before;

	nr = fill_memory(t);
	deflate(t);

	fragment_by_folios(test);
	/* Nobody migrates a folio that somebody has a reference to. */
	for (unsigned long i = 0; i < t->nr_folios; i++)
		folio_page_at(test, i);
	before = count_event(PGMIGRATE_FAIL);
	compact();
	if (IS_ENABLED(CONFIG_VM_EVENT_COUNTERS))
		KUNIT_EXPECT_GT(test, count_event(PGMIGRATE_FAIL),
				before + 2 * NR_OTHERS);
	for (unsigned long i = 0; i < t->nr_folios; i++) {
		struct page *page = folio_page_at(test, i);

		put_page(page);
		put_page(page);
	}
	expect_contents(test);
	shmem_truncate_range(file_inode(t->file), 0, -1);
	deflate(t);
	KUNIT_EXPECT_GT(test, fill_memory(t) + NR_OTHERS, nr);
}

static struct kunit_case movable_ops_target_cases[] = {
	KUNIT_CASE_SLOW(target_movable_ops),
	KUNIT_CASE_SLOW(target_folios),
	KUNIT_CASE_SLOW(target_busy_movable_ops),
	KUNIT_CASE_SLOW(target_busy_folios),
	{}
};

static struct kunit_suite movable_ops_target_suite = {
	.name = "movable_ops_target",
	.init = test_target_init,
	.exit = test_target_exit,
	.test_cases = movable_ops_target_cases,
};

kunit_test_suites(&movable_ops_target_suite);

#endif /* CONFIG_COMPACTION */

MODULE_DESCRIPTION("KUnit tests for what compaction migrates to");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
