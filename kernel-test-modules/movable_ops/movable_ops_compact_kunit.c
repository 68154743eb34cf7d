// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for what compaction and alloc_contig_range() isolate
 *
 * Both have folios in a list and movable_ops pages in a batch, and count them
 * together. Whatever ends isolation or migration, nothing may be left behind
 * in either. The tests isolate pages of a balloon of their own and folios of a
 * file in shmem.
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/bitmap.h>
#include <linux/compaction.h>
#include <linux/folio_batch.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "../internal.h"
#include "movable_ops_kunit.h"

#if defined CONFIG_COMPACTION || defined CONFIG_CMA

/* What is there no memory for? */
enum no_dst {
	NO_DST_NEVER,
	NO_DST_MOVABLE_OPS,
	NO_DST_FOLIO,
};

struct test_compact {
	struct balloon_dev_info info;
	struct compact_control cc;
	enum no_dst no_dst;
	/* migratepage() returns error */
	int error;
	unsigned int nr_migratepage;
	/* A page block, inflated page by page but for the hole */
	struct page *block;
	unsigned long hole;
	struct file *file;
	pgoff_t index;		/* of the folio that is isolated */
};

#define FOLIO_CONTENT	0x5eed

static int test_migratepage(struct balloon_dev_info *info,
			    struct page *newpage, struct page *page,
			    enum migrate_mode mode)
{
	struct test_compact *t = container_of(info, struct test_compact, info);

	t->nr_migratepage++;
	return t->error;
}

static struct page *test_get_dst(struct page *src, void *data)
{
	struct test_compact *t = data;

	if (t->no_dst == (page_has_movable_ops(src) ?
			  NO_DST_MOVABLE_OPS : NO_DST_FOLIO))
		return NULL;
	return alloc_page(GFP_HIGHUSER_MOVABLE);
}

static void test_put_dst(struct page *dst, void *data)
{
	put_page(dst);
}

static int test_compact_init(struct kunit *test)
{
	struct test_compact *t = kzalloc_obj(*t);
	/* Like alloc_contig_range() */
	const struct compact_control cc = {
		.order = -1,
		.gfp_mask = GFP_KERNEL,
		.mode = MIGRATE_SYNC,
		.ignore_skip_hint = true,
		.no_set_skip_hint = true,
	};

	if (!t)
		return -ENOMEM;
	device_init(&t->info, test_migratepage);
	t->hole = NO_HOLE;
	/* Some members are const. */
	memcpy(&t->cc, &cc, sizeof(cc));
	INIT_LIST_HEAD(&t->cc.migratepages);
	test->priv = t;
	return 0;
}

static void test_compact_exit(struct kunit *test)
{
	struct test_compact *t = test->priv;

	if (!t)
		return;

	putback_isolated(&t->cc);
	if (t->hole != NO_HOLE)
		put_page(t->block + t->hole);
	if (empty_balloon(test, &t->info))
		kfree(t);
}

static void inflate_pageblock(struct kunit *test, unsigned long hole)
{
	struct test_compact *t = test->priv;

	t->block = inflate_block(test, &t->info, hole, NULL);
	t->hole = hole;
	t->nr_migratepage = 0;
}

static unsigned long block_pfn(const struct test_compact *t, unsigned long i)
{
	return page_to_pfn(t->block) + i;
}

/*
 * A folio on the LRU, with nobody but the file holding a reference. Of few
 * folios on the LRU, compaction would not isolate any.
 */
static struct page *lru_page(struct kunit *test)
{
	struct test_compact *t = test->priv;
	pgoff_t nr = 7 * FOLIO_BATCH_SIZE;
	struct page *found = NULL;

	t->file = shmem_file_on_lru(test, &nr);
	for (pgoff_t i = 0; i < nr && !found; i++) {
		struct page *page;

		page = shmem_read_mapping_page(t->file->f_mapping, i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		/* Not one that the batch of a CPU has a reference to */
		if (PageLRU(page) && page_count(page) == 2) {
			u32 *p = kmap_local_page(page);

			*p = FOLIO_CONTENT;
			kunmap_local(p);
			t->index = i;
			found = page;
		}
		put_page(page);
	}
	if (!found)
		kunit_skip(test, "no folio on the LRU");
	return found;
}

/* The file has its content in a page that is not @page. */
static void expect_folio_migrated(struct kunit *test, struct page *page)
{
	struct test_compact *t = test->priv;
	struct page *now;
	u32 *p;

	now = shmem_read_mapping_page(t->file->f_mapping, t->index);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, now);
	KUNIT_EXPECT_PTR_NE(test, now, page);
	p = kmap_local_page(now);
	KUNIT_EXPECT_EQ(test, *p, FOLIO_CONTENT);
	kunmap_local(p);
	put_page(now);
}

/* Of one zone, as compaction does */
static int isolate_range(struct test_compact *t, unsigned long pfn,
			 unsigned long end)
{
	t->cc.zone = page_zone(pfn_to_page(pfn));
	return isolate_migratepages_range(&t->cc, pfn, end);
}

static void isolate(struct kunit *test, struct page *page)
{
	struct test_compact *t = test->priv;
	unsigned int nr = t->cc.nr_migratepages;
	unsigned long pfn = page_to_pfn(page);

	KUNIT_ASSERT_EQ(test, isolate_range(t, pfn, pfn + 1), 0);
	KUNIT_ASSERT_EQ(test, t->cc.nr_migratepages, nr + 1);
}

/* A folio and three movable_ops pages, all isolated; returns the folio's page. */
static struct page *isolate_both(struct kunit *test)
{
	struct test_compact *t = test->priv;
	struct page *lru;

	inflate_pageblock(test, NO_HOLE);
	lru = lru_page(test);
	isolate(test, lru);
	for (unsigned int i = 0; i < 3; i++)
		isolate(test, t->block + i);
	KUNIT_EXPECT_FALSE(test, list_empty(&t->cc.migratepages));
	KUNIT_EXPECT_FALSE(test, PageLRU(lru));
	KUNIT_EXPECT_EQ(test, t->cc.movable_ops.nr, 3);
	KUNIT_EXPECT_EQ(test, t->info.isolated_pages, 3);
	KUNIT_EXPECT_EQ(test, t->cc.nr_migratepages, 4);
	return lru;
}

static void expect_nothing_isolated(struct kunit *test)
{
	struct test_compact *t = test->priv;

	KUNIT_EXPECT_FALSE(test, compact_has_isolated(&t->cc));
	KUNIT_EXPECT_EQ(test, t->cc.nr_migratepages, 0);
	KUNIT_EXPECT_EQ(test, t->info.isolated_pages, 0);
}

static int migrate(struct test_compact *t, unsigned int *nr_succeeded)
{
	struct migrate_dst dst = {
		.get = test_get_dst, .put = test_put_dst, .data = t,
	};

	return migrate_compact(&t->cc, &dst, nr_succeeded);
}

static void putback_both(struct kunit *test)
{
	struct test_compact *t = test->priv;

	isolate_both(test);
	putback_isolated(&t->cc);
	expect_nothing_isolated(test);
}

static void migrate_both(struct kunit *test)
{
	struct test_compact *t = test->priv;
	struct page *lru = isolate_both(test);
	unsigned int nr;

	KUNIT_EXPECT_EQ(test, migrate(t, &nr), 0);
	KUNIT_EXPECT_EQ(test, nr, 4);
	KUNIT_EXPECT_EQ(test, t->nr_migratepage, 3);
	KUNIT_EXPECT_FALSE(test, compact_has_isolated(&t->cc));
	expect_folio_migrated(test, lru);
}

/* The folio migrates although there is no memory for the others. */
static void no_dst_movable_ops(struct kunit *test)
{
	struct test_compact *t = test->priv;
	struct page *lru = isolate_both(test);
	unsigned int nr;

	t->no_dst = NO_DST_MOVABLE_OPS;
	KUNIT_EXPECT_EQ(test, migrate(t, &nr), -ENOMEM);
	KUNIT_EXPECT_EQ(test, nr, 1);
	KUNIT_EXPECT_EQ(test, t->nr_migratepage, 0);
	KUNIT_EXPECT_EQ(test, t->cc.movable_ops.nr, 3);
	expect_folio_migrated(test, lru);
	putback_isolated(&t->cc);
	expect_nothing_isolated(test);
}

static void no_dst_folio(struct kunit *test)
{
	struct test_compact *t = test->priv;
	unsigned int nr;

	isolate_both(test);
	t->no_dst = NO_DST_FOLIO;
	KUNIT_EXPECT_EQ(test, migrate(t, &nr), -ENOMEM);
	KUNIT_EXPECT_EQ(test, nr, 3);
	KUNIT_EXPECT_EQ(test, t->cc.movable_ops.nr, 0);
	KUNIT_EXPECT_FALSE(test, list_empty(&t->cc.migratepages));
	putback_isolated(&t->cc);
	expect_nothing_isolated(test);
}

/* Failures of both kinds add up. */
static void failures_of_both(struct kunit *test)
{
	struct test_compact *t = test->priv;
	struct page *lru = isolate_both(test);
	unsigned int nr;

	/* Nobody migrates a folio that somebody has a reference to. */
	get_page(lru);
	t->error = -EBUSY;
	KUNIT_EXPECT_EQ(test, migrate(t, &nr), 4);
	KUNIT_EXPECT_EQ(test, nr, 0);
	putback_isolated(&t->cc);
	expect_nothing_isolated(test);
	put_page(lru);
}

/*
 * In direct compaction, an order-aligned block that cannot become free as a
 * whole is given up, with all that was isolated already.
 */
static void abort_skips_block(struct kunit *test)
{
	struct test_compact *t = test->priv;

	inflate_pageblock(test, 3);
	isolate(test, lru_page(test));
	t->cc.mode = MIGRATE_ASYNC;
	t->cc.direct_compaction = true;
	t->cc.order = 2;
	KUNIT_EXPECT_EQ(test, isolate_range(t, block_pfn(t, 0), block_pfn(t, 4)), 0);
	expect_nothing_isolated(test);
}

struct pace_param {
	const char *name;
	bool finish_pageblock;
	bool contended;
};

static const struct pace_param pace_params[] = {
	{ "a cluster at a time" },
	{ "finish_pageblock", .finish_pageblock = true },
	{ "contended", .contended = true },
};

KUNIT_ARRAY_PARAM_DESC(pace, pace_params, name);

/* However much is wanted, the batch never overflows, and no page is missed. */
static void full_batch(struct kunit *test)
{
	const struct pace_param *param = test->param_value;
	struct test_compact *t = test->priv;
	unsigned long pfn, end, *seen;
	unsigned int rounds = 0;

	seen = kunit_kzalloc(test, BITS_TO_LONGS(pageblock_nr_pages) * sizeof(*seen),
			     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, seen);
	inflate_pageblock(test, NO_HOLE);
	t->error = -EBUSY;
	end = block_pfn(t, pageblock_nr_pages);
	for (pfn = block_pfn(t, 0); pfn < end; pfn = t->cc.migrate_pfn) {
		t->cc.finish_pageblock = param->finish_pageblock;
		t->cc.contended = param->contended;
		KUNIT_ASSERT_EQ(test, isolate_range(t, pfn, end), 0);
		KUNIT_ASSERT_GT(test, t->cc.migrate_pfn, pfn);
		KUNIT_ASSERT_EQ(test, t->cc.movable_ops.nr, MOVABLE_OPS_BATCH_SIZE);
		KUNIT_EXPECT_EQ(test, t->cc.nr_migratepages, t->cc.movable_ops.nr);
		for (unsigned int i = 0; i < t->cc.movable_ops.nr; i++) {
			unsigned long at = t->cc.movable_ops.pfns[i] - block_pfn(t, 0);

			KUNIT_EXPECT_FALSE(test, __test_and_set_bit(at, seen));
		}
		KUNIT_EXPECT_EQ(test, migrate(t, NULL), MOVABLE_OPS_BATCH_SIZE);
		putback_isolated(&t->cc);
		expect_nothing_isolated(test);
		rounds++;
	}
	KUNIT_EXPECT_TRUE(test, bitmap_full(seen, pageblock_nr_pages));
	KUNIT_EXPECT_EQ(test, rounds, pageblock_nr_pages / MOVABLE_OPS_BATCH_SIZE);
}

static struct kunit_case movable_ops_compact_cases[] = {
	KUNIT_CASE(putback_both),
	KUNIT_CASE(migrate_both),
	KUNIT_CASE(no_dst_movable_ops),
	KUNIT_CASE(no_dst_folio),
	KUNIT_CASE(failures_of_both),
	KUNIT_CASE(abort_skips_block),
	KUNIT_CASE_PARAM(full_batch, pace_gen_params),
	{}
};

static struct kunit_suite movable_ops_compact_suite = {
	.name = "movable_ops_compact",
	.init = test_compact_init,
	.exit = test_compact_exit,
	.test_cases = movable_ops_compact_cases,
};

kunit_test_suites(&movable_ops_compact_suite);

#endif /* CONFIG_COMPACTION || CONFIG_CMA */

MODULE_DESCRIPTION("KUnit tests for what compaction isolates");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
