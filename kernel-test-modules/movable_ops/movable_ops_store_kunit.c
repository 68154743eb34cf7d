// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for what a balloon device remembers of its pages
 *
 * mm/balloon.c knows the pages of a balloon by PFN. A chunk of its store is for
 * 1024 pages of the size that the device has, so that a page block, or what
 * there is next to it, has the first and the last page of a chunk.
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "movable_ops_kunit.h"

#define CHUNK_PAGES	1024
/* The order of pages that have a chunk for themselves when they are split */
#define CHUNK_ORDER	ilog2(CHUNK_PAGES)
/* A bit for a page being inflated, and one for it being isolated */
#define CHUNK_BYTES	(2 * CHUNK_PAGES / BITS_PER_BYTE)
/* Many enough to have two that are adjacent, or far apart */
#define NR_BLOCKS	16
#define ORDER		2

struct test_device {
	struct balloon_dev_info info;
	unsigned int nr_migratepage;
};

struct test_store {
	struct test_device dev;
	struct test_device other;
	struct balloon_dev_info large;	/* Pages of ORDER */
	struct isolated_pages isolated;
	struct page *blocks[NR_BLOCKS];
	struct page *dst;
};

static int test_migratepage(struct balloon_dev_info *info,
			    struct page *newpage, struct page *page,
			    enum migrate_mode mode)
{
	container_of(info, struct test_device, info)->nr_migratepage++;
	return 0;
}

static int test_store_init(struct kunit *test)
{
	struct test_store *t = kzalloc_obj(*t);

	if (!t)
		return -ENOMEM;
	device_init(&t->dev.info, test_migratepage);
	device_init(&t->other.info, test_migratepage);
	t->large.order = ORDER;
	device_init(&t->large, NULL);
	isolated_init(&t->isolated);
	test->priv = t;
	return 0;
}

static void test_store_exit(struct kunit *test)
{
	struct test_store *t = test->priv;
	bool gone;

	if (!t)
		return;

	isolated_putback(&t->isolated);
	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		if (t->blocks[i])
			__free_pages(t->blocks[i], pageblock_order);
	if (t->dst)
		put_page(t->dst);
	gone = empty_balloon(test, &t->dev.info);
	gone &= empty_balloon(test, &t->other.info);
	gone &= empty_balloon(test, &t->large);
	if (gone)
		kfree(t);
}

static struct page **alloc_pages_array(struct kunit *test, size_t nr)
{
	struct page **pages = kunit_kcalloc(test, nr, sizeof(*pages), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pages);
	return pages;
}

static int migrate_to(struct test_store *t, struct page *page)
{
	struct migrate_dst dst = {
		.get = take_dst, .put = put_back_dst, .data = &t->dst,
	};

	t->dst = page;
	return isolated_migrate(&t->isolated, &dst, MIGRATE_SYNC, MR_COMPACTION,
				NULL);
}

/* Take out the balloon what is in it, and expect it to be these pages. */
static void expect_dequeued(struct kunit *test, struct balloon_dev_info *info,
			    struct page **expected, size_t nr)
{
	struct page **pages = alloc_pages_array(test, nr + 1);
	unsigned int wrong = 0;
	size_t found;

	found = balloon_pages_dequeue(info, pages, nr + 1);
	KUNIT_EXPECT_EQ(test, found, nr);
	for (size_t i = 0; i < found; i++) {
		if (i < nr && pages[i] != expected[i])
			wrong++;
		balloon_page_free(info, pages[i]);
	}
	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "pages that come out of turn");
}

/* Deflating a balloon leaves the memory with the highest PFNs in it. */
static void store_lowest_first(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *pages[7];
	unsigned long last = 0;
	unsigned int nr = 0;
	size_t n;

	for (unsigned int i = 0; i < 100; i++) {
		struct page *page = balloon_page_alloc(&t->dev.info);

		KUNIT_ASSERT_NOT_NULL(test, page);
		balloon_pages_enqueue(&t->dev.info, &page, 1);
	}
	while ((n = balloon_pages_dequeue(&t->dev.info, pages, ARRAY_SIZE(pages)))) {
		for (size_t i = 0; i < n; i++) {
			KUNIT_EXPECT_GT(test, page_to_pfn(pages[i]), last);
			last = page_to_pfn(pages[i]);
			balloon_page_free(&t->dev.info, pages[i]);
		}
		nr += n;
	}
	KUNIT_EXPECT_EQ(test, nr, 100);
}

/* A balloon that has all of the memory somewhere */
static void store_dense(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page **pages = alloc_pages_array(test, pageblock_nr_pages);
	struct page *block;
	unsigned long nr = 0;

	block = inflate_block(test, &t->dev.info, NO_HOLE, NULL);
	/* Isolated pages are not dequeued, those around them are. */
	for (unsigned long i = 0; i < 512; i += 2)
		KUNIT_ASSERT_TRUE(test, isolated_add(&t->isolated, block + i));
	for (unsigned long i = 0; i < pageblock_nr_pages; i++)
		if (i >= 512 || i % 2)
			pages[nr++] = block + i;
	expect_dequeued(test, &t->dev.info, pages, nr);

	isolated_putback(&t->isolated);
	for (nr = 0; nr < 256; nr++)
		pages[nr] = block + 2 * nr;
	expect_dequeued(test, &t->dev.info, pages, nr);
}

static void alloc_blocks(struct kunit *test)
{
	struct test_store *t = test->priv;

	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		t->blocks[i] = alloc_pages(GFP_KERNEL | __GFP_NORETRY |
					   __GFP_NOWARN, pageblock_order);
		if (!t->blocks[i])
			kunit_skip(test, "no free page block");
	}
}

/* From here on, the pages of a block are pages of their own. */
static struct page *take_block(struct test_store *t, unsigned int i)
{
	struct page *block = t->blocks[i];

	t->blocks[i] = NULL;
	split_page(block, pageblock_order);
	return block;
}

/* Inflate one page of a block, and free all others. */
static void inflate_in_block(struct kunit *test, struct page *block,
			     unsigned long idx)
{
	struct test_store *t = test->priv;

	for (unsigned long i = 0; i < pageblock_nr_pages; i++)
		if (i != idx)
			put_page(block + i);
	KUNIT_EXPECT_TRUE(test, inflate_at(&t->dev.info, block + idx, &t->isolated,
					   NULL, 0));
}

/* A single page here and there, inflated in no particular order */
static void store_sparse(struct kunit *test)
{
	struct page *pages[NR_BLOCKS] = {}, *sorted[NR_BLOCKS];
	struct test_store *t = test->priv;

	alloc_blocks(test);
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		unsigned int nr = 0;

		for (unsigned int j = 0; j < NR_BLOCKS; j++)
			nr += t->blocks[j] < t->blocks[i];
		sorted[nr] = t->blocks[i];
	}
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		for (unsigned int j = 0; j < NR_BLOCKS; j++)
			if (sorted[j] == t->blocks[i])
				pages[j] = t->blocks[i] + 37 * j % pageblock_nr_pages;
	}
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		unsigned int j = i * 7 % NR_BLOCKS;	/* in the sorted array */
		unsigned int k = 0;

		while (t->blocks[k] != sorted[j])
			k++;
		inflate_in_block(test, take_block(t, k), pages[j] - sorted[j]);
	}
	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		KUNIT_EXPECT_TRUE(test, isolated_add(&t->isolated, pages[i]));
	KUNIT_EXPECT_EQ(test, t->dev.info.isolated_pages, NR_BLOCKS);
	isolated_putback(&t->isolated);
	expect_dequeued(test, &t->dev.info, pages, NR_BLOCKS);
}

/* The last page of a chunk and the first one of the next */
static void store_chunk_boundary(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *pages[2] = {};

	alloc_blocks(test);
	for (unsigned int i = 0; i < NR_BLOCKS && !pages[1]; i++) {
		struct page *low, *high = t->blocks[i];

		if (page_to_pfn(high) % CHUNK_PAGES)
			continue;
		for (unsigned int j = 0; j < NR_BLOCKS; j++) {
			low = t->blocks[j];
			if (page_to_pfn(low) + pageblock_nr_pages != page_to_pfn(high))
				continue;
			pages[0] = low + pageblock_nr_pages - 1;
			pages[1] = high;
			inflate_in_block(test, take_block(t, i), 0);
			inflate_in_block(test, take_block(t, j),
					 pageblock_nr_pages - 1);
			break;
		}
	}
	if (!pages[1])
		kunit_skip(test, "no adjacent page blocks");

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		KUNIT_EXPECT_TRUE(test, isolated_add(&t->isolated, pages[i]));
		KUNIT_EXPECT_FALSE(test, isolated_add(&t->isolated, pages[i]));
		KUNIT_EXPECT_EQ(test, t->dev.info.isolated_pages, 1);
		KUNIT_EXPECT_FALSE(test, page_is_isolated(&t->dev.info, pages[!i]));
		isolated_putback(&t->isolated);
	}
	expect_dequeued(test, &t->dev.info, pages, ARRAY_SIZE(pages));
}

/* A driver may inflate again what it has dequeued. */
static void store_enqueue_again(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *pages[10], *again[10];

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = balloon_page_alloc(&t->dev.info);
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		balloon_pages_enqueue(&t->dev.info, pages + i, 1);
	}
	KUNIT_ASSERT_EQ(test, balloon_pages_dequeue(&t->dev.info, pages, 10), 10);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		KUNIT_EXPECT_FALSE(test, isolated_add(&t->isolated, pages[i]));
	balloon_pages_enqueue(&t->dev.info, pages + 5, 5);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		KUNIT_EXPECT_EQ(test, isolated_add(&t->isolated, pages[i]), i >= 5);
	isolated_putback(&t->isolated);
	balloon_pages_enqueue(&t->dev.info, pages, 5);
	KUNIT_EXPECT_EQ(test, balloon_pages_dequeue(&t->dev.info, again, 10), 10);
	KUNIT_EXPECT_MEMEQ(test, pages, again, sizeof(pages));
	balloon_pages_enqueue(&t->dev.info, pages, 10);
}

/* Which device a page belongs to is a matter of whose store it is in. */
static void store_two_devices(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct test_device *devs[] = { &t->dev, &t->other };
	struct page *pages[20];

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = balloon_page_alloc(&devs[i % 2]->info);
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		balloon_pages_enqueue(&devs[i % 2]->info, pages + i, 1);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		struct test_device *dev = devs[i % 2];

		KUNIT_ASSERT_TRUE(test, isolated_add(&t->isolated, pages[i]));
		KUNIT_EXPECT_EQ(test, dev->info.isolated_pages, 1);
		KUNIT_EXPECT_EQ(test, devs[!(i % 2)]->info.isolated_pages, 0);
		if (i < 10) {
			isolated_putback(&t->isolated);
		} else {
			struct page *dst = alloc_page(GFP_HIGHUSER_MOVABLE);
			unsigned int nr = dev->nr_migratepage;

			KUNIT_EXPECT_EQ(test, migrate_to(t, dst), 0);
			KUNIT_EXPECT_EQ(test, dev->nr_migratepage, nr + 1);
		}
		KUNIT_EXPECT_EQ(test, dev->info.isolated_pages, 0);
	}
	isolated_putback(&t->isolated);
	for (unsigned int i = 0; i < ARRAY_SIZE(devs); i++) {
		unsigned int nr = 0;
		struct page *page;

		while (balloon_pages_dequeue(&devs[i]->info, &page, 1)) {
			for (unsigned int j = 0; j < 10; j++)
				if (page == pages[j])
					KUNIT_EXPECT_EQ(test, j % 2, i);
			balloon_page_free(&devs[i]->info, page);
			nr++;
		}
		KUNIT_EXPECT_EQ(test, nr, 10);
	}
}

/* Larger pages are not migrated, and all parts of them are marked. */
static void store_order(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *pages[3], *found[4];

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = balloon_page_alloc(&t->large);
		if (!pages[i])
			kunit_skip(test, "no free page of that order");
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED(page_to_pfn(pages[i]), 1 << ORDER));
		balloon_pages_enqueue(&t->large, pages + i, 1);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		for (unsigned int j = 0; j < 1 << ORDER; j++) {
			KUNIT_EXPECT_TRUE(test, PageOffline(pages[i] + j));
			KUNIT_EXPECT_FALSE(test, page_has_movable_ops(pages[i] + j));
			KUNIT_EXPECT_FALSE(test, isolated_add(&t->isolated, pages[i] + j));
		}
	}
	KUNIT_EXPECT_EQ(test, balloon_pages_dequeue(&t->dev.info, found, 4), 0);
	KUNIT_ASSERT_EQ(test, balloon_pages_dequeue(&t->large, found, 4), 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		if (i)
			KUNIT_EXPECT_GT(test, page_to_pfn(found[i]),
					page_to_pfn(found[i - 1]));
		KUNIT_EXPECT_TRUE(test, found[i] == pages[0] ||
				  found[i] == pages[1] || found[i] == pages[2]);
	}
	balloon_pages_enqueue(&t->large, found, 3);
}

/* A large page that is no use as a whole becomes pages of another device. */
static void store_split(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *page = balloon_page_alloc(&t->large);
	struct page *pages[1 << ORDER];

	if (!page)
		kunit_skip(test, "no free page of that order");
	KUNIT_ASSERT_TRUE(test, balloon_page_split(&t->large, page, &t->dev.info));
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = page + i;
		balloon_pages_enqueue(&t->dev.info, pages + i, 1);
		KUNIT_EXPECT_TRUE(test, isolated_add(&t->isolated, page + i));
	}
	isolated_putback(&t->isolated);
	expect_dequeued(test, &t->dev.info, pages, ARRAY_SIZE(pages));
}

/* All pages of a chunk come from a single one. */
static void store_split_chunk(struct kunit *test)
{
	struct page **pages = alloc_pages_array(test, CHUNK_PAGES);
	struct test_store *t = test->priv;
	struct page *page;

	if (CHUNK_ORDER > MAX_PAGE_ORDER)
		kunit_skip(test, "no pages of that order");
	device_exit(&t->large);
	t->large.order = CHUNK_ORDER;
	device_init(&t->large, NULL);
	page = balloon_page_alloc(&t->large);
	if (!page)
		kunit_skip(test, "no free page of that order");
	KUNIT_ASSERT_TRUE(test, balloon_page_split(&t->large, page, &t->dev.info));
	for (unsigned int i = 0; i < CHUNK_PAGES; i++)
		pages[i] = page + i;
	balloon_pages_enqueue(&t->dev.info, pages, CHUNK_PAGES);
	expect_dequeued(test, &t->dev.info, pages, CHUNK_PAGES);
}

/* A balloon that is inflated and deflated again takes no memory of its own. */
static void store_freed(struct kunit *test)
{
	const unsigned int nr_rounds = 10000;
	struct test_store *t = test->priv;
	unsigned long before, after;

	before = global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
	for (unsigned int i = 0; i < nr_rounds; i++) {
		struct page *page = balloon_page_alloc(&t->dev.info);

		KUNIT_ASSERT_NOT_NULL(test, page);
		balloon_pages_enqueue(&t->dev.info, &page, 1);
		KUNIT_ASSERT_EQ(test, balloon_pages_dequeue(&t->dev.info, &page, 1), 1);
		balloon_page_free(&t->dev.info, page);
	}
	after = global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
	/* Others allocate, too. The counters are of pages. */
	KUNIT_EXPECT_LT(test, after, before + nr_rounds * CHUNK_BYTES / PAGE_SIZE / 2);
}

/*
 * With fault injection, a task can be made to fail the n-th allocation from now
 * on. fail_nth counts down to 0, and so it also tells how many there were. There
 * is no interface in the kernel to have allocations counted that may reclaim.
 */
#if defined CONFIG_FAILSLAB && defined CONFIG_FAULT_INJECTION_DEBUG_FS
static bool *failslab_ignore_reclaim(void)
{
	struct dentry *dir, *file;
	bool *value = NULL;

	dir = debugfs_lookup("failslab", NULL);
	file = dir ? debugfs_lookup("ignore-gfp-wait", dir) : NULL;
	if (file)
		value = d_inode(file)->i_private;
	dput(file);
	dput(dir);
	return value;
}

static void need_fault_injection(struct kunit *test)
{
	KUNIT_ASSERT_NOT_NULL(test, failslab_ignore_reclaim());
}

static void fail_nth_allocation(unsigned int nth)
{
	WRITE_ONCE(*failslab_ignore_reclaim(), false);
	WRITE_ONCE(current->fail_nth, nth);
}

/* Returns what nth would be now. */
static unsigned int fail_no_allocation(void)
{
	unsigned int nth = READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	WRITE_ONCE(*failslab_ignore_reclaim(), true);
	return nth;
}
#else
static void need_fault_injection(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_FAILSLAB and its files in debugfs");
}

static void fail_nth_allocation(unsigned int nth)
{
}

static unsigned int fail_no_allocation(void)
{
	return 0;
}
#endif

/* An empty balloon has no place for any page. */
static void store_alloc_no_memory(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *page;

	need_fault_injection(test);
	fail_nth_allocation(1);
	page = balloon_page_alloc(&t->dev.info);
	KUNIT_EXPECT_EQ(test, fail_no_allocation(), 0);
	KUNIT_EXPECT_NULL(test, page);
	if (page)
		balloon_page_free(&t->dev.info, page);

	page = balloon_page_alloc(&t->dev.info);
	KUNIT_ASSERT_NOT_NULL(test, page);
	balloon_pages_enqueue(&t->dev.info, &page, 1);
	expect_dequeued(test, &t->dev.info, &page, 1);
}

/* No memory to remember the parts: the page is still in one piece. */
static void store_split_no_memory(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *page;

	need_fault_injection(test);
	page = balloon_page_alloc(&t->large);
	if (!page)
		kunit_skip(test, "no free page of that order");
	fail_nth_allocation(1);
	KUNIT_EXPECT_FALSE(test, balloon_page_split(&t->large, page, &t->dev.info));
	KUNIT_EXPECT_EQ(test, fail_no_allocation(), 0);

	balloon_pages_enqueue(&t->large, &page, 1);
	expect_dequeued(test, &t->large, &page, 1);
}

/* No memory to remember the destination: nothing has happened. */
static void store_migrate_no_memory(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *page, *block;
	unsigned int i = 0;

	need_fault_injection(test);
	alloc_blocks(test);
	page = balloon_page_alloc(&t->dev.info);
	KUNIT_ASSERT_NOT_NULL(test, page);
	balloon_pages_enqueue(&t->dev.info, &page, 1);
	KUNIT_ASSERT_TRUE(test, isolated_add(&t->isolated, page));
	while (page_to_pfn(t->blocks[i]) / CHUNK_PAGES ==
	       page_to_pfn(page) / CHUNK_PAGES)
		i++;
	block = take_block(t, i);
	for (unsigned long j = 1; j < pageblock_nr_pages; j++)
		put_page(block + j);

	t->dst = block;
	fail_nth_allocation(1);
	KUNIT_EXPECT_EQ(test, migrate_to(t, block), 1);
	KUNIT_EXPECT_EQ(test, fail_no_allocation(), 0);
	KUNIT_EXPECT_EQ(test, t->dev.nr_migratepage, 0);
	KUNIT_EXPECT_EQ(test, t->dev.info.isolated_pages, 1);
	KUNIT_EXPECT_EQ(test, isolated_nr(&t->isolated), 1);

	KUNIT_ASSERT_PTR_EQ(test, t->dst, block);
	KUNIT_EXPECT_EQ(test, migrate_to(t, block), 0);
	expect_dequeued(test, &t->dev.info, &block, 1);
}

/* Balloons are deflated when there is no memory, so it must not take any. */
static void store_does_not_allocate(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *pages[8], *out[8];
	unsigned int nr = 0;

	need_fault_injection(test);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = balloon_page_alloc(&t->dev.info);
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
	}
	fail_nth_allocation(1000);
	balloon_pages_enqueue(&t->dev.info, pages, ARRAY_SIZE(pages));
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		nr += isolated_add(&t->isolated, pages[i]);
	isolated_putback(&t->isolated);
	nr += balloon_pages_dequeue(&t->dev.info, out, ARRAY_SIZE(out));
	balloon_pages_enqueue(&t->dev.info, out, ARRAY_SIZE(out));
	nr += balloon_pages_dequeue(&t->dev.info, out, ARRAY_SIZE(out));
	for (unsigned int i = 0; i < ARRAY_SIZE(out); i++)
		balloon_page_free(&t->dev.info, out[i]);
	KUNIT_EXPECT_EQ(test, fail_no_allocation(), 1000);
	KUNIT_EXPECT_EQ(test, nr, 3 * ARRAY_SIZE(pages));
}

/* Migrating to a page next to others of the balloon takes no memory either. */
static void store_migrate_does_not_allocate(struct kunit *test)
{
	struct test_store *t = test->priv;
	struct page *block, *dst;

	need_fault_injection(test);
	block = inflate_block(test, &t->dev.info, 3, NULL);
	dst = block + 3;
	KUNIT_ASSERT_TRUE(test, isolated_add(&t->isolated, block + 5));
	fail_nth_allocation(1000);
	KUNIT_EXPECT_EQ(test, migrate_to(t, dst), 0);
	KUNIT_EXPECT_EQ(test, fail_no_allocation(), 1000);
	KUNIT_EXPECT_TRUE(test, isolated_add(&t->isolated, dst));
	isolated_putback(&t->isolated);
}

static struct kunit_case movable_ops_store_cases[] = {
	KUNIT_CASE(store_lowest_first),
	KUNIT_CASE(store_dense),
	KUNIT_CASE(store_sparse),
	KUNIT_CASE(store_chunk_boundary),
	KUNIT_CASE(store_enqueue_again),
	KUNIT_CASE(store_two_devices),
	KUNIT_CASE(store_order),
	KUNIT_CASE(store_split),
	KUNIT_CASE(store_split_chunk),
	KUNIT_CASE(store_freed),
	KUNIT_CASE(store_alloc_no_memory),
	KUNIT_CASE(store_split_no_memory),
	KUNIT_CASE(store_migrate_no_memory),
	KUNIT_CASE(store_does_not_allocate),
	KUNIT_CASE(store_migrate_does_not_allocate),
	{}
};

static struct kunit_suite movable_ops_store_suite = {
	.name = "movable_ops_store",
	.init = test_store_init,
	.exit = test_store_exit,
	.test_cases = movable_ops_store_cases,
};

kunit_test_suites(&movable_ops_store_suite);

MODULE_DESCRIPTION("KUnit tests for what a balloon device remembers");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
