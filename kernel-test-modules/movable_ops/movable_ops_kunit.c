// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for movable_ops pages and memory balloons
 *
 * Pages that are not folios can be migrated when their owner provides
 * movable_operations. The tests own such pages through a balloon device of
 * their own, so that every path from isolation to the migratepage()
 * callback of a balloon driver is the kernel's, and only the
 * outcome of that callback is chosen by the test case.
 *
 * A case holds a reference on each page that it looks at, if it can. A page
 * that the balloon or the migration core have let go can then not be allocated
 * by somebody else in between.
 *
 * The cases compare counters of the system before and after. They expect that
 * no other balloon is inflated or deflated meanwhile, and that nobody else
 * migrates the pages of theirs. No harm comes from either but a failed case.
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/page-isolation.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmstat.h>

#include "movable_ops_kunit.h"

/* More than are migrated in one batch, with 4K pages at least. */
#define MANY_PAGES		600

struct test_balloon {
	struct balloon_dev_info info;

	/*
	 * Pages that the case has isolated, and puts back: owners of pages may
	 * wait for the very thread. A case that fails leaves that to the exit.
	 */
	struct isolated_pages isolated;

	/* The next nr_errors calls of migratepage() return error. */
	int error;
	unsigned int nr_errors;
	unsigned int nr_migratepage;

	/* Use next_dst as the destination page, or have no page at all. */
	struct page *next_dst;
	bool no_dst;
	/* The last destination page, and whether the case has a reference. */
	struct page *dst;
	bool dst_held;
	unsigned int nr_get_dst;
	unsigned int nr_put_dst;

	/* Reported by migration */
	unsigned int nr_succeeded;
};

static int test_balloon_migratepage(struct balloon_dev_info *info,
				    struct page *newpage, struct page *page,
				    enum migrate_mode mode)
{
	struct test_balloon *b = container_of(info, struct test_balloon, info);

	b->nr_migratepage++;
	if (b->nr_errors) {
		b->nr_errors--;
		return b->error;
	}
	copy_highpage(newpage, page);
	return 0;
}

static int test_balloon_init(struct kunit *test)
{
	struct test_balloon *b;

	/*
	 * Not managed by KUnit: if a page of the balloon got lost, somebody
	 * may still find the device through it.
	 */
	b = kzalloc_obj(*b);
	if (!b)
		return -ENOMEM;

	device_init(&b->info, test_balloon_migratepage);
	isolated_init(&b->isolated);
	test->priv = b;
	return 0;
}

static void forget_dst(struct test_balloon *b)
{
	if (b->dst_held)
		put_page(b->dst);
	b->dst_held = false;
	b->dst = NULL;
}

static void test_balloon_exit(struct kunit *test)
{
	struct test_balloon *b = test->priv;

	if (!b)
		return;

	isolated_putback(&b->isolated);
	if (b->next_dst)
		put_page(b->next_dst);
	forget_dst(b);
	if (empty_balloon(test, &b->info))
		kfree(b);
}

/* The content of a test page is derived from its number. */
static void fill_page(struct page *page, u32 id)
{
	u32 *p = kmap_local_page(page);

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		p[i] = id + i * 0x9e3779b9;
	kunmap_local(p);
}

static u32 page_id(struct page *page)
{
	u32 *p = kmap_local_page(page);
	u32 id = *p;

	kunmap_local(p);
	return id;
}

static bool page_has_content(struct page *page, u32 id)
{
	u32 *p = kmap_local_page(page);
	bool same = true;

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*p) && same; i++)
		same = p[i] == (u32)(id + i * 0x9e3779b9);
	kunmap_local(p);
	return same;
}

KUNIT_DEFINE_ACTION_WRAPPER(put_page_action, put_page, struct page *);

/* Keep the caller's reference on @page until the end of the case. */
static struct page *test_page_hold(struct kunit *test, struct page *page)
{
	int err;

	KUNIT_ASSERT_NOT_NULL(test, page);
	err = kunit_add_action_or_reset(test, put_page_action, page);
	KUNIT_ASSERT_EQ(test, err, 0);
	return page;
}

/* A page for the balloon, which the case holds if it can. */
static struct page *test_page_alloc(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = device_alloc(&b->info);

	KUNIT_ASSERT_NOT_NULL(test, page);
	if (CASE_HOLDS_PAGES) {
		get_page(page);
		test_page_hold(test, page);
	}
	return page;
}

static void inflate_page(struct test_balloon *b, struct page *page, u32 id)
{
	fill_page(page, id);
	device_enqueue(&b->info, page);
}

static struct page *inflate(struct kunit *test, u32 id)
{
	struct page *page = test_page_alloc(test);

	inflate_page(test->priv, page, id);
	return page;
}

/* Deflate one page. */
static struct page *deflate(struct test_balloon *b)
{
	struct page *page;

	if (!device_dequeue_many(&b->info, &page, 1))
		return NULL;

	device_free(&b->info, page);
	return page;
}

static bool isolate(struct test_balloon *b, struct page *page)
{
	return isolated_add(&b->isolated, page);
}

/*
 * Expect that @page cannot be isolated. If it can, leak it, for who owns it
 * is not known.
 */
static void expect_not_isolated(struct kunit *test, struct page *page)
{
	struct isolated_pages *isolated;

	isolated = kunit_kzalloc(test, sizeof(*isolated), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, isolated);
	isolated_init(isolated);
	KUNIT_EXPECT_FALSE(test, isolated_add(isolated, page));
}

static struct page *inflate_isolated(struct kunit *test, u32 id)
{
	struct page *page = inflate(test, id);

	KUNIT_ASSERT_TRUE(test, isolate(test->priv, page));
	return page;
}

static struct page *test_get_dst(struct page *src, void *data)
{
	struct test_balloon *b = data;
	struct page *page = b->next_dst;

	b->nr_get_dst++;
	if (b->no_dst)
		return NULL;

	if (!page) {
		page = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_ZERO);
		if (!page)
			return NULL;
	}
	b->next_dst = NULL;

	forget_dst(b);
	b->dst = page;
	if (CASE_HOLDS_DST) {
		get_page(page);
		b->dst_held = true;
	}
	return page;
}

static void test_put_dst(struct page *dst, void *data)
{
	struct test_balloon *b = data;

	b->nr_put_dst++;
	if (b->dst_held || dst != b->dst)
		put_page(dst);
	else
		b->dst_held = true;
}

static int migrate(struct test_balloon *b, enum migrate_mode mode,
		   enum migrate_reason reason)
{
	struct migrate_dst dst = {
		.get = test_get_dst, .put = test_put_dst, .data = b,
	};
	int ret;

	ret = isolated_migrate(&b->isolated, &dst, mode, reason,
			       &b->nr_succeeded);
	/* It could not be held before, and is in the balloon now. */
	if (CASE_HOLDS_PAGES && b->dst && !b->dst_held) {
		get_page(b->dst);
		b->dst_held = true;
	}
	return ret;
}

static int migrate_async(struct test_balloon *b)
{
	return migrate(b, MIGRATE_ASYNC, MR_COMPACTION);
}

/*
 * movable_ops: isolation, putback and migration
 */

static void isolate_inflated(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate(test, 1);

	KUNIT_EXPECT_TRUE(test, page_has_movable_ops(page));
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, page));
	KUNIT_EXPECT_TRUE(test, isolate(b, page));
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, page));
	KUNIT_EXPECT_TRUE(test, page_has_movable_ops(page));
	isolated_putback(&b->isolated);
}

static void isolate_references(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate(test, 1);
	int refs = page_count(page);

	KUNIT_ASSERT_TRUE(test, isolate(b, page));
	KUNIT_EXPECT_EQ(test, page_count(page), refs + ISOLATION_REFS);
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_EQ(test, page_count(page), refs);
}

static void isolate_keeps_content(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate_isolated(test, 1);

	KUNIT_EXPECT_TRUE(test, page_has_content(page, 1));
	isolated_putback(&b->isolated);
}

static void isolate_twice(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate_isolated(test, 1);
	int refs = page_count(page);

	expect_not_isolated(test, page);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 1);
	KUNIT_EXPECT_EQ(test, page_count(page), refs);
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, page));
	isolated_putback(&b->isolated);
}

static void isolate_counts_pages(struct kunit *test)
{
	struct test_balloon *b = test->priv;

	for (unsigned int i = 1; i <= 3; i++) {
		inflate_isolated(test, i);
		KUNIT_EXPECT_EQ(test, b->info.isolated_pages, i);
	}
	isolated_putback(&b->isolated);
}

static void isolate_locked(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate(test, 1);
	bool isolated;

	/* Whoever has the page lock, nobody waits for it. */
	lock_page(page);
	isolated = isolate(b, page);
	unlock_page(page);
	KUNIT_EXPECT_EQ(test, isolated, !ISOLATION_NEEDS_LOCK);
	if (!isolated)
		KUNIT_EXPECT_TRUE(test, isolate(b, page));
	isolated_putback(&b->isolated);
}

static void isolate_deflated(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate(test, 1);

	KUNIT_ASSERT_PTR_EQ(test, device_dequeue(&b->info), page);
	/* The type sticks until the page is free, the owner does not. */
	KUNIT_EXPECT_TRUE(test, page_has_movable_ops(page));
	expect_not_isolated(test, page);
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, page));
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	device_free(&b->info, page);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(page));
}

static void isolate_not_inflated(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = test_page_alloc(test);
	int refs = page_count(page);

	KUNIT_EXPECT_FALSE(test, page_has_movable_ops(page));
	expect_not_isolated(test, page);
	KUNIT_EXPECT_EQ(test, page_count(page), refs);
	device_free(&b->info, page);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(page));
}

static void isolate_uptodate(struct kunit *test)
{
	struct page *page = test_page_hold(test, alloc_page(GFP_HIGHUSER));

	/* PG_movable_ops is PG_uptodate and means nothing without a type. */
	SetPageUptodate(page);
	KUNIT_EXPECT_TRUE(test, PageMovableOps(page));
	KUNIT_EXPECT_FALSE(test, page_has_movable_ops(page));
	expect_not_isolated(test, page);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	ClearPageUptodate(page);
}

static void isolate_offline_not_movable(struct kunit *test)
{
	struct page *page = test_page_hold(test, alloc_page(GFP_HIGHUSER));

	/* Like the pages of a driver that does not support migration. */
	__SetPageOffline(page);
	KUNIT_EXPECT_FALSE(test, page_has_movable_ops(page));
	expect_not_isolated(test, page);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	__ClearPageOffline(page);
}

static void isolate_freed(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = device_alloc(&b->info);

	KUNIT_ASSERT_NOT_NULL(test, page);
	device_enqueue(&b->info, page);
	KUNIT_ASSERT_PTR_EQ(test, deflate(b), page);

	/* Free by now, or an ordinary page of somebody else. */
	expect_not_isolated(test, page);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
}

static void isolate_tail(struct kunit *test)
{
	struct page *page;

	page = test_page_hold(test, alloc_pages(GFP_KERNEL | __GFP_COMP, 1));
	expect_not_isolated(test, page + 1);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
}

static void putback_inflates(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate_isolated(test, 1);

	isolated_putback(&b->isolated);
	KUNIT_EXPECT_EQ(test, isolated_nr(&b->isolated), 0);
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, page));
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	KUNIT_EXPECT_TRUE(test, page_has_content(page, 1));
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), page);
}

static void putback_list(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	unsigned int nr = 0;

	for (unsigned int i = 1; i <= 3; i++)
		inflate_isolated(test, i);

	isolated_putback(&b->isolated);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	while (deflate(b))
		nr++;
	KUNIT_EXPECT_EQ(test, nr, 3);
}

static void putback_then_isolate(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate_isolated(test, 1);

	isolated_putback(&b->isolated);
	KUNIT_EXPECT_TRUE(test, isolate(b, page));
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 1);
	isolated_putback(&b->isolated);
}

KUNIT_ARRAY_PARAM_DESC(mode, mode_params, name);

static void migrate_success(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_balloon *b = test->priv;

	inflate_isolated(test, 1);
	KUNIT_EXPECT_EQ(test, migrate(b, param->mode, MR_COMPACTION), 0);
	KUNIT_EXPECT_EQ(test, b->nr_succeeded, 1);
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, 1);
	KUNIT_EXPECT_EQ(test, isolated_nr(&b->isolated), 0);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	KUNIT_EXPECT_TRUE(test, page_has_content(b->dst, 1));
}

static void migrate_frees_src(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);

	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(src));
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, src));
	expect_not_isolated(test, src);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
}

static void migrate_inflates_dst(struct kunit *test)
{
	struct test_balloon *b = test->priv;

	inflate_isolated(test, 1);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	KUNIT_EXPECT_EQ(test, b->nr_put_dst, 0);
	KUNIT_EXPECT_TRUE(test, page_is_inflated(b->dst));
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, b->dst));
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), b->dst);
	KUNIT_EXPECT_NULL(test, deflate(b));
}

static void migrate_twice(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *first;

	inflate_isolated(test, 1);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	first = b->dst;
	if (CASE_HOLDS_PAGES) {
		get_page(first);
		test_page_hold(test, first);
	}

	KUNIT_ASSERT_TRUE(test, isolate(b, first));
	KUNIT_EXPECT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_PTR_NE(test, b->dst, first);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(first));
	KUNIT_EXPECT_TRUE(test, page_has_content(b->dst, 1));
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), b->dst);
}

/*
 * Soft offlining takes the source page out of use itself: it gets the page
 * instead of the page allocator.
 */
static void migrate_memory_failure(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);
	bool handed_over;
	int err;

	err = migrate(b, MIGRATE_SYNC, MR_MEMORY_FAILURE);
	KUNIT_ASSERT_EQ(test, err, 0);
	handed_over = page_is_handed_over(src);
	KUNIT_EXPECT_TRUE(test, handed_over);
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, src));
	expect_not_isolated(test, src);
	if (handed_over)
		free_handed_over(src);
}

static void migrate_eagain(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);

	b->error = -EAGAIN;
	b->nr_errors = UINT_MAX;
	KUNIT_EXPECT_EQ(test, migrate(b, param->mode, MR_COMPACTION), 1);
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, MIGRATE_ATTEMPTS);
	KUNIT_EXPECT_EQ(test, b->nr_succeeded, 0);

	/* still isolated, and for the caller to put back */
	KUNIT_EXPECT_EQ(test, isolated_nr(&b->isolated), 1);
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, src));
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 1);
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_TRUE(test, page_has_content(src, 1));
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), src);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(src));
}

static void migrate_eagain_returns_dst(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_balloon *b = test->priv;

	inflate_isolated(test, 1);
	b->error = -EAGAIN;
	b->nr_errors = UINT_MAX;
	KUNIT_ASSERT_EQ(test, migrate(b, param->mode, MR_COMPACTION), 1);
	KUNIT_EXPECT_EQ(test, b->nr_put_dst, b->nr_get_dst);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	KUNIT_EXPECT_TRUE(test, page_is_unused_dst(b->dst));
	isolated_putback(&b->isolated);
}

static void migrate_eagain_then_success(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_balloon *b = test->priv;

	inflate_isolated(test, 1);
	b->error = -EAGAIN;
	b->nr_errors = MIGRATE_ATTEMPTS - 1;
	KUNIT_EXPECT_EQ(test, migrate(b, param->mode, MR_COMPACTION), 0);
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, MIGRATE_ATTEMPTS);
	KUNIT_EXPECT_EQ(test, b->nr_succeeded, 1);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	KUNIT_EXPECT_TRUE(test, page_has_content(b->dst, 1));
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), b->dst);
}

static void migrate_no_dst(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);

	b->no_dst = true;
	KUNIT_EXPECT_EQ(test, migrate(b, param->mode, MR_COMPACTION), -ENOMEM);
	KUNIT_EXPECT_EQ_MSG(test, b->nr_get_dst, 1, "retried without memory");
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, 0);
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, src));
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 1);
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), src);
}

/* The driver has deflated the source page and did not inflate another one. */
static void migrate_enoent(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);

	b->error = -ENOENT;
	b->nr_errors = 1;
	KUNIT_EXPECT_EQ(test, migrate(b, param->mode, MR_COMPACTION), 0);
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, 1);
	KUNIT_EXPECT_EQ(test, isolated_nr(&b->isolated), 0);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);

	KUNIT_EXPECT_TRUE(test, page_is_let_go(src));
	KUNIT_EXPECT_FALSE(test, page_is_isolated(&b->info, src));
	expect_not_isolated(test, src);
	KUNIT_EXPECT_NULL(test, deflate(b));
}

static void migrate_enoent_frees_dst(struct kunit *test)
{
	struct test_balloon *b = test->priv;

	inflate_isolated(test, 1);
	b->error = -ENOENT;
	b->nr_errors = 1;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_EQ(test, b->nr_put_dst, RELEASED_RETURNS_DST);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	KUNIT_EXPECT_TRUE(test, page_is_unused_dst(b->dst));
}

static void migrate_permanent_error(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);

	b->error = -EIO;
	b->nr_errors = UINT_MAX;
	KUNIT_EXPECT_EQ(test, migrate_async(b), 1);
	KUNIT_EXPECT_EQ_MSG(test, b->nr_migratepage, 1, "retried");
	KUNIT_EXPECT_EQ(test, b->nr_put_dst, 1);
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, src));
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), src);
}

/* The page of a failed migration stays usable. */
static void migrate_after_failure(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);

	b->error = -EIO;
	b->nr_errors = 1;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 1);
	isolated_putback(&b->isolated);

	KUNIT_ASSERT_TRUE(test, isolate(b, src));
	KUNIT_EXPECT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(src));
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), b->dst);
}

/* One page that fails does not keep the others from being migrated. */
static void migrate_one_of_three_fails(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src[3];

	for (unsigned int i = 0; i < ARRAY_SIZE(src); i++)
		src[i] = inflate_isolated(test, i);

	b->error = -EIO;
	b->nr_errors = 1;
	KUNIT_EXPECT_EQ(test, migrate_async(b), 1);
	KUNIT_EXPECT_EQ(test, b->nr_succeeded, 2);
	KUNIT_EXPECT_EQ(test, isolated_nr(&b->isolated), 1);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 1);
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, src[0]));
	/* Unless the case holds it, the next one may be migrated to it. */
	KUNIT_EXPECT_TRUE(test, page_is_let_go(src[1]) || b->dst == src[1]);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(src[2]));
	isolated_putback(&b->isolated);
}

/*
 * Deflate everything and check that each content from 0 to @nr - 1 is there
 * once, and that no page is in the range of @skip_nr pages from @skip on.
 */
static void expect_contents(struct kunit *test, unsigned int nr,
			    struct page *skip, unsigned long skip_nr)
{
	unsigned long first = skip ? page_to_pfn(skip) : 0;
	unsigned int wrong = 0, twice = 0, inside = 0;
	struct test_balloon *b = test->priv;
	size_t nr_pages = 0;
	unsigned long *seen;
	struct page *page;

	seen = kunit_kcalloc(test, BITS_TO_LONGS(nr), sizeof(*seen),
			     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, seen);

	while (device_dequeue_many(&b->info, &page, 1)) {
		u32 id = page_id(page);

		if (id >= nr || !page_has_content(page, id))
			wrong++;
		else if (__test_and_set_bit(id, seen))
			twice++;
		if (page_to_pfn(page) - first < skip_nr)
			inside++;
		device_free(&b->info, page);
		nr_pages++;
	}
	KUNIT_EXPECT_EQ(test, nr_pages, nr);
	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "pages with wrong content");
	KUNIT_EXPECT_EQ_MSG(test, twice, 0, "pages with the same content");
	KUNIT_EXPECT_EQ_MSG(test, inside, 0, "pages not migrated");
}

static int cmp_pfn_descending(const void *a, const void *b)
{
	unsigned long pfn_a = page_to_pfn(*(struct page **)a);
	unsigned long pfn_b = page_to_pfn(*(struct page **)b);

	return pfn_a < pfn_b ? 1 : -1;
}

/*
 * Fill the balloon with @nr pages that the case does not look at. Whether what
 * was inflated last is deflated first, or what has the lowest PFN: that is in
 * the order from the last page to the first one.
 */
static struct page **inflate_many(struct kunit *test, unsigned int nr)
{
	struct test_balloon *b = test->priv;
	struct page **pages;

	pages = kunit_kcalloc(test, nr, sizeof(*pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	for (unsigned int i = 0; i < nr; i++) {
		pages[i] = device_alloc(&b->info);
		if (!pages[i]) {
			while (i)
				device_free(&b->info, pages[--i]);
			KUNIT_FAIL_AND_ABORT(test, "no memory");
		}
	}
	sort(pages, nr, sizeof(*pages), cmp_pfn_descending, NULL);
	for (unsigned int i = 0; i < nr; i++)
		inflate_page(b, pages[i], i);
	return pages;
}

static void migrate_many(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct page **pages = inflate_many(test, MANY_PAGES);
	struct test_balloon *b = test->priv;

	for (unsigned int i = 0; i < MANY_PAGES; i++)
		KUNIT_ASSERT_TRUE(test, isolate(b, pages[i]));

	KUNIT_EXPECT_EQ(test, migrate(b, param->mode, MR_COMPACTION), 0);
	KUNIT_EXPECT_EQ(test, b->nr_succeeded, MANY_PAGES);
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, MANY_PAGES);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	expect_contents(test, MANY_PAGES, NULL, 0);
}

static struct kunit_case movable_ops_cases[] = {
	KUNIT_CASE(isolate_inflated),
	KUNIT_CASE(isolate_references),
	KUNIT_CASE(isolate_keeps_content),
	KUNIT_CASE(isolate_twice),
	KUNIT_CASE(isolate_counts_pages),
	KUNIT_CASE(isolate_locked),
	KUNIT_CASE(isolate_deflated),
	KUNIT_CASE(isolate_not_inflated),
	KUNIT_CASE(isolate_uptodate),
	KUNIT_CASE(isolate_offline_not_movable),
	KUNIT_CASE(isolate_freed),
	KUNIT_CASE(isolate_tail),
	KUNIT_CASE(putback_inflates),
	KUNIT_CASE(putback_list),
	KUNIT_CASE(putback_then_isolate),
	KUNIT_CASE_PARAM(migrate_success, mode_gen_params),
	KUNIT_CASE(migrate_frees_src),
	KUNIT_CASE(migrate_inflates_dst),
	KUNIT_CASE(migrate_twice),
	KUNIT_CASE(migrate_memory_failure),
	KUNIT_CASE_PARAM(migrate_eagain, mode_gen_params),
	KUNIT_CASE_PARAM(migrate_eagain_returns_dst, mode_gen_params),
	KUNIT_CASE_PARAM(migrate_eagain_then_success, mode_gen_params),
	KUNIT_CASE_PARAM(migrate_no_dst, mode_gen_params),
	KUNIT_CASE_PARAM(migrate_enoent, mode_gen_params),
	KUNIT_CASE(migrate_enoent_frees_dst),
	KUNIT_CASE(migrate_permanent_error),
	KUNIT_CASE(migrate_after_failure),
	KUNIT_CASE(migrate_one_of_three_fails),
	KUNIT_CASE_PARAM(migrate_many, mode_gen_params),
	{}
};

static struct kunit_suite movable_ops_suite = {
	.name = "movable_ops",
	.init = test_balloon_init,
	.exit = test_balloon_exit,
	.test_cases = movable_ops_cases,
};

/*
 * movable_ops_balloon: the list of a balloon, and what it accounts
 */

static void dequeue_isolated(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate_isolated(test, 1);

	KUNIT_ASSERT_EQ(test, b->info.isolated_pages, 1);
	KUNIT_EXPECT_NULL(test, device_dequeue(&b->info));
	KUNIT_EXPECT_TRUE(test, page_is_isolated(&b->info, page));
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 1);
	isolated_putback(&b->isolated);
}

static void dequeue_after_putback(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate_isolated(test, 1);

	isolated_putback(&b->isolated);
	KUNIT_ASSERT_PTR_EQ(test, device_dequeue(&b->info), page);
	/* What the balloon had of the page is the caller's now. */
	KUNIT_EXPECT_TRUE(test, page_is_inflated(page));
	device_free(&b->info, page);
	KUNIT_EXPECT_TRUE(test, page_is_let_go(page));
}

static void dequeue_after_migration(struct kunit *test)
{
	struct test_balloon *b = test->priv;

	inflate_isolated(test, 1);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_ASSERT_NOT_NULL(test, b->dst);
	KUNIT_ASSERT_PTR_EQ(test, device_dequeue(&b->info), b->dst);
	device_free(&b->info, b->dst);
}

static void list_dequeue_skips_isolated(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *pages[3], *isolated;
	size_t nr;

	inflate(test, 1);
	isolated = inflate_isolated(test, 2);
	inflate(test, 3);

	nr = device_dequeue_many(&b->info, pages, ARRAY_SIZE(pages));
	KUNIT_EXPECT_EQ(test, nr, 2);
	while (nr) {
		KUNIT_EXPECT_PTR_NE(test, pages[--nr], isolated);
		device_free(&b->info, pages[nr]);
	}
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_PTR_EQ(test, deflate(b), isolated);
}

static void list_dequeue_stops(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *pages[3];

	for (unsigned int i = 1; i <= ARRAY_SIZE(pages); i++)
		inflate(test, i);

	KUNIT_ASSERT_EQ(test, device_dequeue_many(&b->info, pages, 2), 2);
	KUNIT_ASSERT_EQ(test, device_dequeue_many(&b->info, pages + 2, 1), 1);
	KUNIT_EXPECT_PTR_NE(test, pages[0], pages[1]);
	KUNIT_EXPECT_PTR_NE(test, pages[0], pages[2]);
	KUNIT_EXPECT_PTR_NE(test, pages[1], pages[2]);
	KUNIT_EXPECT_NULL(test, deflate(b));
	/* A driver that changes its mind inflates them again. */
	KUNIT_EXPECT_EQ(test, device_enqueue_many(&b->info, pages, 3), 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		KUNIT_EXPECT_NOT_NULL(test, deflate(b));
	KUNIT_EXPECT_NULL(test, deflate(b));
}

static void list_enqueue(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *pages[2];

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = test_page_alloc(test);
	KUNIT_EXPECT_EQ(test, device_enqueue_many(&b->info, pages, 2), 2);
	KUNIT_EXPECT_TRUE(test, isolate(b, pages[0]));
	KUNIT_EXPECT_TRUE(test, isolate(b, pages[1]));
	isolated_putback(&b->isolated);
}

/* NR_BALLOON_PAGES of @nid, with what the CPUs have not folded yet */
static long __nr_balloon_pages(int nid)
{
	struct pglist_data *pgdat = NODE_DATA(nid);
	long nr = atomic_long_read(&pgdat->vm_stat[NR_BALLOON_PAGES]);

#ifdef CONFIG_SMP
	int cpu;

	for_each_possible_cpu(cpu) {
		struct per_cpu_nodestat *stat;

		stat = per_cpu_ptr(pgdat->per_cpu_nodestats, cpu);
		nr += READ_ONCE(stat->vm_node_stat_diff[NR_BALLOON_PAGES]);
	}
#endif
	return nr;
}

/*
 * A CPU may be just folding what an earlier case left in its per-CPU part,
 * when that is in neither of the two. Believe what is read twice.
 */
static long nr_balloon_pages(int nid)
{
	long nr, prev = __nr_balloon_pages(nid);

	while ((nr = __nr_balloon_pages(nid)) != prev) {
		cond_resched();
		prev = nr;
	}
	return nr;
}

static void nr_balloon_pages_enqueue(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = test_page_alloc(test);
	int nid = page_to_nid(page);
	long nr = nr_balloon_pages(nid);

	inflate_page(b, page, 1);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr + 1);
	KUNIT_ASSERT_PTR_EQ(test, deflate(b), page);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr);
}

static void nr_balloon_pages_isolate(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate(test, 1);
	int nid = page_to_nid(page);
	long nr = nr_balloon_pages(nid);

	/* An isolated page is still in the balloon. */
	KUNIT_ASSERT_TRUE(test, isolate(b, page));
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr);
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr);
}

static void nr_balloon_pages_migrate(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = test_page_alloc(test);
	struct page *dst;
	int nid = page_to_nid(src);
	long nr = nr_balloon_pages(nid);

	inflate_page(b, src, 1);
	KUNIT_ASSERT_TRUE(test, isolate(b, src));
	dst = alloc_pages_node(nid, GFP_HIGHUSER_MOVABLE | __GFP_THISNODE, 0);
	KUNIT_ASSERT_NOT_NULL(test, dst);
	b->next_dst = dst;
	KUNIT_ASSERT_EQ(test, page_to_nid(dst), nid);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr + 1);
	KUNIT_ASSERT_PTR_EQ(test, deflate(b), dst);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr);
}

static void nr_balloon_pages_migrate_other_node(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	int src_nid, nid, dst_nid = NUMA_NO_NODE;
	struct page *src, *dst;
	long src_nr, dst_nr;

	if (num_node_state(N_MEMORY) < 2)
		kunit_skip(test, "needs two nodes with memory");

	src = test_page_alloc(test);
	src_nid = page_to_nid(src);
	for_each_node_state(nid, N_MEMORY)
		if (nid != src_nid)
			dst_nid = nid;

	src_nr = nr_balloon_pages(src_nid);
	dst_nr = nr_balloon_pages(dst_nid);

	inflate_page(b, src, 1);
	KUNIT_ASSERT_TRUE(test, isolate(b, src));
	dst = alloc_pages_node(dst_nid, GFP_HIGHUSER_MOVABLE | __GFP_THISNODE,
			       0);
	KUNIT_ASSERT_NOT_NULL(test, dst);
	b->next_dst = dst;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(src_nid), src_nr);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(dst_nid), dst_nr + 1);
	KUNIT_ASSERT_PTR_EQ(test, deflate(b), dst);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(src_nid), src_nr);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(dst_nid), dst_nr);
}

static void nr_balloon_pages_enoent(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = test_page_alloc(test);
	int nid = page_to_nid(src);
	long nr = nr_balloon_pages(nid);

	inflate_page(b, src, 1);
	KUNIT_ASSERT_TRUE(test, isolate(b, src));
	b->error = -ENOENT;
	b->nr_errors = 1;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr);
}

static void nr_balloon_pages_failure(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *src = inflate_isolated(test, 1);
	int nid = page_to_nid(src);
	long nr = nr_balloon_pages(nid);

	b->error = -EAGAIN;
	b->nr_errors = UINT_MAX;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 1);
	KUNIT_EXPECT_EQ(test, nr_balloon_pages(nid), nr);
	isolated_putback(&b->isolated);
}

struct balloon_events {
	unsigned long inflate;
	unsigned long deflate;
	unsigned long migrate;
};

static void balloon_events_read(struct kunit *test, struct balloon_events *ev)
{
#ifdef CONFIG_VM_EVENT_COUNTERS
	int cpu;

	memset(ev, 0, sizeof(*ev));
	for_each_possible_cpu(cpu) {
		unsigned long *event = per_cpu(vm_event_states, cpu).event;

		ev->inflate += READ_ONCE(event[BALLOON_INFLATE]);
		ev->deflate += READ_ONCE(event[BALLOON_DEFLATE]);
		ev->migrate += READ_ONCE(event[BALLOON_MIGRATE]);
	}
#else
	kunit_skip(test, "needs CONFIG_VM_EVENT_COUNTERS");
#endif
}

/* Expect so many events since @old, and start over from here. */
static void expect_balloon_events(struct kunit *test,
				  struct balloon_events *old,
				  unsigned int inflate, unsigned int deflate,
				  unsigned int migrate)
{
	struct balloon_events ev;

	balloon_events_read(test, &ev);
	KUNIT_EXPECT_EQ(test, ev.inflate - old->inflate, inflate);
	KUNIT_EXPECT_EQ(test, ev.deflate - old->deflate, deflate);
	KUNIT_EXPECT_EQ(test, ev.migrate - old->migrate, migrate);
	*old = ev;
}

static void events_inflate_deflate(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct balloon_events ev;

	balloon_events_read(test, &ev);
	inflate(test, 1);
	expect_balloon_events(test, &ev, 1, 0, 0);
	KUNIT_ASSERT_NOT_NULL(test, deflate(b));
	expect_balloon_events(test, &ev, 0, 1, 0);
}

static void events_isolate_putback(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = inflate(test, 1);
	struct balloon_events ev;

	balloon_events_read(test, &ev);
	KUNIT_ASSERT_TRUE(test, isolate(b, page));
	isolated_putback(&b->isolated);
	expect_balloon_events(test, &ev, 0, 0, 0);
}

static void events_migrate(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct balloon_events ev;

	inflate_isolated(test, 1);
	balloon_events_read(test, &ev);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	expect_balloon_events(test, &ev, 0, 0, 1);
}

static void events_migrate_enoent(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct balloon_events ev;

	inflate_isolated(test, 1);
	b->error = -ENOENT;
	b->nr_errors = 1;
	balloon_events_read(test, &ev);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	expect_balloon_events(test, &ev, 0, 1, 0);
}

static void events_migrate_failure(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct balloon_events ev;

	inflate_isolated(test, 1);
	b->error = -EAGAIN;
	b->nr_errors = UINT_MAX;
	balloon_events_read(test, &ev);
	KUNIT_ASSERT_EQ(test, migrate_async(b), 1);
	expect_balloon_events(test, &ev, 0, 0, 0);
	isolated_putback(&b->isolated);
}

static void managed_pages_inflate_deflate(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = test_page_alloc(test);
	struct zone *zone = page_zone(page);
	unsigned long managed = zone_managed_pages(zone);
	unsigned long total = totalram_pages();

	b->info.adjust_managed_page_count = true;
	inflate_page(b, page, 1);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed - 1);
	KUNIT_EXPECT_EQ(test, totalram_pages(), total - 1);
	KUNIT_ASSERT_PTR_EQ(test, deflate(b), page);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed);
	KUNIT_EXPECT_EQ(test, totalram_pages(), total);
}

/* Balloons can choose to keep their pages in the managed page count. */
static void managed_pages_not_adjusted(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = test_page_alloc(test);
	struct zone *zone = page_zone(page);
	unsigned long managed = zone_managed_pages(zone);

	inflate_page(b, page, 1);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed);
	KUNIT_ASSERT_TRUE(test, isolate(b, page));
	b->error = -ENOENT;
	b->nr_errors = 1;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed);
}

/*
 * Migrate from @src, for the balloon, to @dst, an ordinary page, and deflate:
 * all counts are as before.
 */
static void managed_pages_check(struct kunit *test, struct page *src,
				struct page *dst)
{
	struct zone *src_zone = page_zone(src), *dst_zone = page_zone(dst);
	unsigned long src_managed = zone_managed_pages(src_zone);
	unsigned long dst_managed = zone_managed_pages(dst_zone);
	unsigned long total = totalram_pages();
	struct test_balloon *b = test->priv;

	b->next_dst = dst;
	b->info.adjust_managed_page_count = true;
	inflate_page(b, src, 1);
	KUNIT_ASSERT_TRUE(test, isolate(b, src));
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);

	KUNIT_EXPECT_EQ(test, zone_managed_pages(dst_zone), dst_managed - 1);
	if (src_zone != dst_zone)
		KUNIT_EXPECT_EQ(test, zone_managed_pages(src_zone),
				src_managed);
	KUNIT_EXPECT_EQ(test, totalram_pages(), total - 1);

	KUNIT_ASSERT_PTR_EQ(test, deflate(b), dst);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(dst_zone), dst_managed);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(src_zone), src_managed);
	KUNIT_EXPECT_EQ(test, totalram_pages(), total);
}

static void managed_pages_migrate(struct kunit *test)
{
	struct page *src = test_page_alloc(test);
	struct page *dst = alloc_page(GFP_HIGHUSER_MOVABLE);

	KUNIT_ASSERT_NOT_NULL(test, dst);
	managed_pages_check(test, src, dst);
}

static void managed_pages_migrate_other_zone(struct kunit *test)
{
	static const gfp_t gfps[] = {
		GFP_KERNEL, GFP_DMA32, GFP_DMA,
	};
	struct test_balloon *b = test->priv;
	struct page *src = test_page_alloc(test);

	for (unsigned int i = 0; i < ARRAY_SIZE(gfps); i++) {
		struct page *dst = alloc_page(gfps[i] | __GFP_NOWARN);

		if (!dst)
			continue;
		if (page_zone(dst) != page_zone(src)) {
			managed_pages_check(test, src, dst);
			return;
		}
		__free_page(dst);
	}
	device_free(&b->info, src);
	kunit_skip(test, "needs memory in two zones");
}

static void managed_pages_enoent(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = test_page_alloc(test);
	struct zone *zone = page_zone(page);
	unsigned long managed = zone_managed_pages(zone);
	unsigned long total = totalram_pages();

	b->info.adjust_managed_page_count = true;
	inflate_page(b, page, 1);
	KUNIT_ASSERT_TRUE(test, isolate(b, page));
	b->error = -ENOENT;
	b->nr_errors = 1;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 0);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed);
	KUNIT_EXPECT_EQ(test, totalram_pages(), total);
}

static void managed_pages_failure(struct kunit *test)
{
	struct test_balloon *b = test->priv;
	struct page *page = test_page_alloc(test);
	struct zone *zone = page_zone(page);
	unsigned long managed = zone_managed_pages(zone);

	b->info.adjust_managed_page_count = true;
	inflate_page(b, page, 1);
	KUNIT_ASSERT_TRUE(test, isolate(b, page));
	b->error = -EAGAIN;
	b->nr_errors = UINT_MAX;
	KUNIT_ASSERT_EQ(test, migrate_async(b), 1);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed - 1);
	isolated_putback(&b->isolated);
	KUNIT_EXPECT_EQ(test, zone_managed_pages(zone), managed - 1);
}

static struct kunit_case movable_ops_balloon_cases[] = {
	KUNIT_CASE(dequeue_isolated),
	KUNIT_CASE(dequeue_after_putback),
	KUNIT_CASE(dequeue_after_migration),
	KUNIT_CASE(list_dequeue_skips_isolated),
	KUNIT_CASE(list_dequeue_stops),
	KUNIT_CASE(list_enqueue),
	KUNIT_CASE(nr_balloon_pages_enqueue),
	KUNIT_CASE(nr_balloon_pages_isolate),
	KUNIT_CASE(nr_balloon_pages_migrate),
	KUNIT_CASE(nr_balloon_pages_migrate_other_node),
	KUNIT_CASE(nr_balloon_pages_enoent),
	KUNIT_CASE(nr_balloon_pages_failure),
	KUNIT_CASE(events_inflate_deflate),
	KUNIT_CASE(events_isolate_putback),
	KUNIT_CASE(events_migrate),
	KUNIT_CASE(events_migrate_enoent),
	KUNIT_CASE(events_migrate_failure),
	KUNIT_CASE(managed_pages_inflate_deflate),
	KUNIT_CASE(managed_pages_not_adjusted),
	KUNIT_CASE(managed_pages_migrate),
	KUNIT_CASE(managed_pages_migrate_other_zone),
	KUNIT_CASE(managed_pages_enoent),
	KUNIT_CASE(managed_pages_failure),
	{}
};

static struct kunit_suite movable_ops_balloon_suite = {
	.name = "movable_ops_balloon",
	.init = test_balloon_init,
	.exit = test_balloon_exit,
	.test_cases = movable_ops_balloon_cases,
};

/*
 * movable_ops_unmovable: what page isolation takes for unmovable
 *
 * Page isolation decides by page_is_unmovable() whether it is worth while to
 * migrate the pages of a range at all, before any page is isolated.
 */

static int test_unmovable_init(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_MEMORY_ISOLATION))
		kunit_skip(test, "needs CONFIG_MEMORY_ISOLATION");
	return test_balloon_init(test);
}

static bool unmovable_step(struct page *page, enum pb_isolate_mode mode,
			   unsigned long *step)
{
	*step = 1;
	/* The function exists with page isolation only. */
	if (!IS_ENABLED(CONFIG_MEMORY_ISOLATION))
		return false;
	return page_is_unmovable(page_zone(page), page, mode, step);
}

static bool unmovable(struct page *page, enum pb_isolate_mode mode)
{
	unsigned long step;

	return unmovable_step(page, mode, &step);
}

static void expect_movable(struct kunit *test, struct page *page)
{
	KUNIT_EXPECT_FALSE(test, unmovable(page, PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_FALSE(test, unmovable(page, PB_ISOLATE_MODE_CMA_ALLOC));
	KUNIT_EXPECT_FALSE(test, unmovable(page, PB_ISOLATE_MODE_MEM_OFFLINE));
}

static void expect_unmovable(struct kunit *test, struct page *page)
{
	KUNIT_EXPECT_TRUE(test, unmovable(page, PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, unmovable(page, PB_ISOLATE_MODE_CMA_ALLOC));
	KUNIT_EXPECT_TRUE(test, unmovable(page, PB_ISOLATE_MODE_MEM_OFFLINE));
}

static void unmovable_kernel_page(struct kunit *test)
{
	expect_unmovable(test, test_page_hold(test, alloc_page(GFP_KERNEL)));
}

static void unmovable_large_kmalloc(struct kunit *test)
{
	void *p = kunit_kmalloc(test, KMALLOC_MAX_CACHE_SIZE + 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	expect_unmovable(test, virt_to_page(p));
	expect_unmovable(test, virt_to_page(p) + 1);
}

/* The page of an object in a slab of a single page, which is frozen */
static bool slab_page_unmovable(struct kunit *test, enum pb_isolate_mode mode)
{
	struct kmem_cache *cache;
	bool single = false, ret = false;
	void *obj;

	cache = kmem_cache_create("movable_ops_kunit", 32, 0,
				  SLAB_NO_MERGE | SLAB_SKIP_KFENCE, NULL);
	KUNIT_ASSERT_NOT_NULL(test, cache);
	obj = kmem_cache_alloc(cache, GFP_KERNEL);
	if (obj) {
		struct page *page = virt_to_page(obj);

		single = PageSlab(page) && !PageCompound(page);
		ret = unmovable(page, mode);
		kmem_cache_free(cache, obj);
	}
	kmem_cache_destroy(cache);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	if (!single)
		kunit_skip(test, "needs a slab of a single page");
	return ret;
}

static void unmovable_slab_contig(struct kunit *test)
{
	bool ret = slab_page_unmovable(test, PB_ISOLATE_MODE_OTHER);

	KUNIT_EXPECT_TRUE(test, ret);
}

static void unmovable_slab_cma(struct kunit *test)
{
	bool ret = slab_page_unmovable(test, PB_ISOLATE_MODE_CMA_ALLOC);

	KUNIT_EXPECT_TRUE(test, ret);
}

static void unmovable_slab_offlining(struct kunit *test)
{
	bool ret = slab_page_unmovable(test, PB_ISOLATE_MODE_MEM_OFFLINE);

	KUNIT_EXPECT_TRUE(test, ret);
}

/* A page like those of a driver that inflates pages without movable_ops */
static void expect_offline(struct kunit *test, bool freeze,
			   enum pb_isolate_mode mode, bool expected)
{
	struct page *page = test_page_hold(test, alloc_page(GFP_KERNEL));
	bool frozen, ret;

	__SetPageOffline(page);
	frozen = freeze && page_ref_freeze(page, 1);
	ret = unmovable(page, mode);
	if (frozen)
		page_ref_unfreeze(page, 1);
	__ClearPageOffline(page);

	KUNIT_EXPECT_EQ(test, frozen, freeze);
	KUNIT_EXPECT_EQ(test, ret, expected);
}

static void unmovable_offline_page(struct kunit *test)
{
	expect_offline(test, false, PB_ISOLATE_MODE_OTHER, true);
	expect_offline(test, false, PB_ISOLATE_MODE_CMA_ALLOC, true);
}

static void unmovable_frozen_offline_contig(struct kunit *test)
{
	expect_offline(test, true, PB_ISOLATE_MODE_OTHER, true);
}

static void unmovable_frozen_offline_cma(struct kunit *test)
{
	expect_offline(test, true, PB_ISOLATE_MODE_CMA_ALLOC, true);
}

/* The driver may let memory offlining have the page, by MEM_GOING_OFFLINE. */
static void movable_offline_page_offlining(struct kunit *test)
{
	expect_offline(test, false, PB_ISOLATE_MODE_MEM_OFFLINE, false);
	expect_offline(test, true, PB_ISOLATE_MODE_MEM_OFFLINE, false);
}

static void movable_balloon_page(struct kunit *test)
{
	expect_movable(test, inflate(test, 1));
}

static void movable_isolated_balloon_page(struct kunit *test)
{
	struct test_balloon *b = test->priv;

	expect_movable(test, inflate_isolated(test, 1));
	isolated_putback(&b->isolated);
}

/* movable_ops make a page movable, whether it is frozen or not. */
static void movable_frozen_balloon_page(struct kunit *test)
{
	struct page *page = inflate(test, 1);
	int refs = page_count(page);

	if (refs)
		KUNIT_ASSERT_TRUE(test, page_ref_freeze(page, refs));
	expect_movable(test, page);
	if (refs)
		page_ref_unfreeze(page, refs);
}

static void movable_free_page(struct kunit *test)
{
	struct page *page = test_page_hold(test, alloc_page(GFP_KERNEL));
	struct zone *zone = page_zone(page);
	unsigned int order, free_order = 0;
	struct page *free = NULL;
	unsigned long step = 0;
	struct list_head *list;
	bool ret = true;

	/* Pages that are on a free list stay there under the zone lock. */
	scoped_guard(spinlock_irqsave, &zone->lock) {
		for_each_free_list(list, zone, order) {
			page = list_first_entry_or_null(list, struct page,
							buddy_list);
			if (page) {
				free = page;
				free_order = order;
			}
		}
		if (free)
			ret = unmovable_step(free, PB_ISOLATE_MODE_OTHER,
					     &step);
	}
	if (!free)
		kunit_skip(test, "no free page");
	KUNIT_EXPECT_FALSE(test, ret);
	KUNIT_EXPECT_EQ(test, step, 1UL << free_order);
}

static void movable_lru_page(struct kunit *test)
{
	struct page *lru = NULL;
	struct file *file;
	pgoff_t nr = 0;

	file = shmem_file_on_lru(test, &nr);
	for (pgoff_t i = 0; i < nr && !lru; i++) {
		struct page *page = shmem_read_mapping_page(file->f_mapping, i);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		if (PageLRU(page))
			lru = test_page_hold(test, page);
		else
			put_page(page);
	}
	KUNIT_ASSERT_NOT_NULL(test, lru);
	expect_movable(test, lru);
}

static struct kunit_case movable_ops_unmovable_cases[] = {
	KUNIT_CASE(unmovable_kernel_page),
	KUNIT_CASE(unmovable_large_kmalloc),
	KUNIT_CASE(unmovable_slab_contig),
	KUNIT_CASE(unmovable_slab_cma),
	KUNIT_CASE(unmovable_slab_offlining),
	KUNIT_CASE(unmovable_offline_page),
	KUNIT_CASE(unmovable_frozen_offline_contig),
	KUNIT_CASE(unmovable_frozen_offline_cma),
	KUNIT_CASE(movable_offline_page_offlining),
	KUNIT_CASE(movable_balloon_page),
	KUNIT_CASE(movable_isolated_balloon_page),
	KUNIT_CASE(movable_frozen_balloon_page),
	KUNIT_CASE(movable_free_page),
	KUNIT_CASE(movable_lru_page),
	{}
};

static struct kunit_suite movable_ops_unmovable_suite = {
	.name = "movable_ops_unmovable",
	.init = test_unmovable_init,
	.exit = test_balloon_exit,
	.test_cases = movable_ops_unmovable_cases,
};

/*
 * movable_ops_contig: alloc_contig_range() on a page block that is ballooned
 */

#ifdef CONFIG_CONTIG_ALLOC
static int contig_alloc(struct page *page, unsigned long nr)
{
	unsigned long pfn = page_to_pfn(page);

	return alloc_contig_range(pfn, pfn + nr, ACR_FLAGS_NONE,
				  GFP_KERNEL | __GFP_NOWARN);
}

static void contig_free(struct page *page, unsigned long nr)
{
	free_contig_range(page_to_pfn(page), nr);
}

static int isolate_pageblock(struct page *page)
{
	unsigned long pfn = page_to_pfn(page);

	return start_isolate_page_range(pfn, pfn + pageblock_nr_pages,
					PB_ISOLATE_MODE_OTHER);
}

static void unisolate_pageblock(struct page *page)
{
	unsigned long pfn = page_to_pfn(page);

	undo_isolate_page_range(pfn, pfn + pageblock_nr_pages);
}
#else
static int contig_alloc(struct page *page, unsigned long nr)
{
	return -EOPNOTSUPP;
}

static void contig_free(struct page *page, unsigned long nr)
{
}

static int isolate_pageblock(struct page *page)
{
	return -EOPNOTSUPP;
}

static void unisolate_pageblock(struct page *page)
{
}
#endif

static int test_contig_init(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_CONTIG_ALLOC))
		kunit_skip(test, "needs CONFIG_CONTIG_ALLOC");
	return test_balloon_init(test);
}

static struct page *inflate_pageblock(struct kunit *test, unsigned long hole)
{
	struct test_balloon *b = test->priv;
	struct page *block;

	block = inflate_block(test, &b->info, hole, fill_page);
	b->nr_migratepage = 0;
	return block;
}

static void contig_migrates_balloon(struct kunit *test)
{
	struct page *block = inflate_pageblock(test, NO_HOLE);
	struct test_balloon *b = test->priv;
	int err;

	err = contig_alloc(block, pageblock_nr_pages);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, pageblock_nr_pages);
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	expect_contents(test, pageblock_nr_pages, block, pageblock_nr_pages);
	if (!err)
		contig_free(block, pageblock_nr_pages);
}

static void contig_driver_busy(struct kunit *test)
{
	struct page *block = inflate_pageblock(test, NO_HOLE);
	struct test_balloon *b = test->priv;
	int err;

	b->error = -EAGAIN;
	b->nr_errors = UINT_MAX;
	err = contig_alloc(block, pageblock_nr_pages);
	KUNIT_EXPECT_EQ(test, err, -EBUSY);
	KUNIT_EXPECT_GT(test, b->nr_migratepage, 0);
	/* All pages are back in the balloon, and where they were. */
	KUNIT_EXPECT_EQ(test, b->info.isolated_pages, 0);
	expect_contents(test, pageblock_nr_pages, NULL, 0);
	if (!err)
		contig_free(block, pageblock_nr_pages);
}

/* Nothing is migrated out of a range that cannot be allocated anyway. */
static void contig_frozen_offline_page(struct kunit *test)
{
	unsigned long hole = pageblock_nr_pages / 2;
	struct page *block = inflate_pageblock(test, hole);
	struct test_balloon *b = test->priv;
	struct page *page = block + hole;
	bool frozen;
	int err;

	__SetPageOffline(page);
	frozen = page_ref_freeze(page, 1);
	err = contig_alloc(block, pageblock_nr_pages);
	if (!err) {
		contig_free(block, pageblock_nr_pages);
	} else {
		if (frozen)
			page_ref_unfreeze(page, 1);
		__ClearPageOffline(page);
		put_page(page);
	}
	KUNIT_EXPECT_TRUE(test, frozen);
	KUNIT_EXPECT_EQ(test, err, -EBUSY);
	KUNIT_EXPECT_EQ_MSG(test, b->nr_migratepage, 0,
			    "pages migrated in vain");
}

/* Who cannot isolate a range leaves alone what others have isolated of it. */
static void contig_isolated_pageblock(struct kunit *test)
{
	struct page *block = inflate_pageblock(test, NO_HOLE);
	struct test_balloon *b = test->priv;
	int err;

	KUNIT_ASSERT_EQ(test, isolate_pageblock(block), 0);
	err = contig_alloc(block, pageblock_nr_pages);
	KUNIT_EXPECT_EQ(test, err, -EBUSY);
	KUNIT_EXPECT_TRUE_MSG(test, is_migrate_isolate_page(block),
			      "taken from who had isolated it");
	KUNIT_EXPECT_EQ(test, b->nr_migratepage, 0);
	unisolate_pageblock(block);
	if (!err)
		contig_free(block, pageblock_nr_pages);
}

static struct kunit_case movable_ops_contig_cases[] = {
	KUNIT_CASE(contig_migrates_balloon),
	KUNIT_CASE(contig_driver_busy),
	KUNIT_CASE(contig_frozen_offline_page),
	KUNIT_CASE(contig_isolated_pageblock),
	{}
};

static struct kunit_suite movable_ops_contig_suite = {
	.name = "movable_ops_contig",
	.init = test_contig_init,
	.exit = test_balloon_exit,
	.test_cases = movable_ops_contig_cases,
};

/*
 * movable_ops_smp: several CPUs want the same pages
 */

#define RACE_PAGES	256
#define RACE_THREADS	4

struct race;

struct racer {
	struct race *race;
	void (*fn)(struct racer *racer);
	struct task_struct *task;
	struct completion done;
	/* Pages that this thread has isolated, or dequeued */
	struct isolated_pages isolated;
	struct page *dequeued[RACE_PAGES];
	unsigned int nr;
};

struct race {
	struct test_balloon *b;
	struct page **pages;
	/* How often each page was isolated */
	atomic_t nr_isolated[RACE_PAGES];
	atomic_t nr_arrived;
	unsigned int nr_threads;
	bool stop;
	struct completion end;
	struct racer racers[RACE_THREADS];
};

/* Wait until all threads have come to step @step, counted from 0. */
static void race_step(struct race *race, unsigned int step)
{
	int target = race->nr_threads * (step + 1);

	atomic_inc(&race->nr_arrived);
	while (atomic_read(&race->nr_arrived) < target) {
		cpu_relax();
		cond_resched();
	}
}

static int racer_thread(void *data)
{
	struct racer *racer = data;

	racer->fn(racer);
	complete(&racer->done);
	/* Who has isolated a page puts it back. */
	wait_for_completion(&racer->race->end);
	isolated_putback(&racer->isolated);
	return 0;
}

static struct race *race_init(struct kunit *test)
{
	struct race *race;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");

	race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, race);
	race->b = test->priv;
	init_completion(&race->end);
	race->pages = inflate_many(test, RACE_PAGES);
	return race;
}

static void race_add(struct race *race, void (*fn)(struct racer *racer))
{
	struct racer *racer = &race->racers[race->nr_threads++];

	racer->race = race;
	racer->fn = fn;
	init_completion(&racer->done);
	isolated_init(&racer->isolated);
}

/*
 * Let the threads put back what they have isolated. They have nothing in the
 * module after that, and those that were not woken up do not run at all.
 */
static void race_end(struct race *race)
{
	complete_all(&race->end);
	for (unsigned int i = 0; i < race->nr_threads; i++)
		if (race->racers[i].task)
			kthread_stop_put(race->racers[i].task);
}

/* Let the threads run until they have nothing to do but to end. */
static void race_run(struct kunit *test, struct race *race)
{
	for (unsigned int i = 0; i < race->nr_threads; i++) {
		struct racer *racer = &race->racers[i];
		struct task_struct *task;

		task = kthread_create(racer_thread, racer, "movable_ops/%u", i);
		if (IS_ERR(task)) {
			race_end(race);
			KUNIT_FAIL_AND_ABORT(test, "cannot start threads");
		}
		racer->task = get_task_struct(task);
	}
	for (unsigned int i = 0; i < race->nr_threads; i++)
		wake_up_process(race->racers[i].task);
	for (unsigned int i = 0; i < race->nr_threads; i++)
		wait_for_completion(&race->racers[i].done);
}

static void racer_isolate(struct racer *racer)
{
	struct race *race = racer->race;

	for (unsigned int i = 0; i < RACE_PAGES; i++) {
		/* In the order in which they are deflated: meet those who do. */
		unsigned int idx = RACE_PAGES - 1 - i;
		struct page *page = race->pages[idx];

		race_step(race, i);
		if (isolated_add(&racer->isolated, page)) {
			atomic_inc(&race->nr_isolated[idx]);
			racer->nr++;
		}
	}
}

static void racer_dequeue(struct racer *racer)
{
	struct race *race = racer->race;

	for (unsigned int i = 0; i < RACE_PAGES; i++) {
		race_step(race, i);
		racer->nr += device_dequeue_many(&race->b->info,
						 racer->dequeued + racer->nr, 1);
	}
}

static void isolate_vs_isolate(struct kunit *test)
{
	struct race *race = race_init(test);
	unsigned int nobody = 0, several = 0;

	while (race->nr_threads < min(num_online_cpus(), RACE_THREADS))
		race_add(race, racer_isolate);
	race_run(test, race);

	for (unsigned int i = 0; i < RACE_PAGES; i++) {
		int nr = atomic_read(&race->nr_isolated[i]);

		nobody += nr == 0;
		several += nr > 1;
	}
	KUNIT_EXPECT_EQ_MSG(test, nobody, 0, "pages not isolated");
	KUNIT_EXPECT_EQ_MSG(test, several, 0, "pages isolated more than once");
	KUNIT_EXPECT_EQ(test, race->b->info.isolated_pages, RACE_PAGES);

	race_end(race);
	KUNIT_EXPECT_EQ(test, race->b->info.isolated_pages, 0);
	expect_contents(test, RACE_PAGES, NULL, 0);
}

static void isolate_vs_dequeue(struct kunit *test)
{
	struct race *race = race_init(test);
	struct racer *isolator = &race->racers[0];
	struct racer *dequeuer = &race->racers[1];
	struct balloon_dev_info *info = &race->b->info;
	unsigned int nr = 0;

	race_add(race, racer_isolate);
	race_add(race, racer_dequeue);
	race_run(test, race);

	/* All pages are still there: either isolated or dequeued. */
	for (unsigned int i = 0; i < RACE_PAGES; i++) {
		if (!isolated_has(&isolator->isolated, race->pages[i]))
			continue;
		KUNIT_EXPECT_TRUE(test, page_is_isolated(info, race->pages[i]));
		nr++;
	}
	KUNIT_EXPECT_EQ(test, nr, isolator->nr);
	KUNIT_EXPECT_EQ(test, isolated_nr(&isolator->isolated), isolator->nr);
	KUNIT_EXPECT_EQ(test, isolator->nr + dequeuer->nr, RACE_PAGES);
	KUNIT_EXPECT_EQ(test, info->isolated_pages, isolator->nr);
	KUNIT_EXPECT_NULL(test, deflate(race->b));
	for (unsigned int i = 0; i < dequeuer->nr; i++)
		KUNIT_EXPECT_FALSE(test, isolated_has(&isolator->isolated,
						      dequeuer->dequeued[i]));
	race_end(race);
	for (unsigned int i = 0; i < dequeuer->nr; i++) {
		KUNIT_EXPECT_FALSE(test, page_is_isolated(info,
							  dequeuer->dequeued[i]));
		device_free(info, dequeuer->dequeued[i]);
	}
}

/* Isolate what may be freed any time, and put it back at once. */
static void racer_isolate_putback(struct racer *racer)
{
	struct race *race = racer->race;
	unsigned int i = 0;

	race_step(race, 0);
	while (!READ_ONCE(race->stop)) {
		struct page *page = race->pages[i++ % RACE_PAGES];

		if (isolated_add(&racer->isolated, page))
			isolated_putback(&racer->isolated);
		cond_resched();
	}
}

/* Deflate and free all pages, also those that are isolated just now. */
static void racer_release(struct racer *racer)
{
	struct race *race = racer->race;

	race_step(race, 0);
	while (racer->nr < RACE_PAGES) {
		if (deflate(race->b))
			racer->nr++;
		else
			cond_resched();
	}
	WRITE_ONCE(race->stop, true);
}

static void isolate_vs_release(struct kunit *test)
{
	struct race *race = race_init(test);

	race_add(race, racer_release);
	while (race->nr_threads < min(num_online_cpus(), RACE_THREADS))
		race_add(race, racer_isolate_putback);
	race_run(test, race);
	race_end(race);

	KUNIT_EXPECT_EQ(test, race->b->info.isolated_pages, 0);
	KUNIT_EXPECT_NULL(test, deflate(race->b));
}

static struct page *racer_get_dst(struct page *src, void *data)
{
	return alloc_page(GFP_HIGHUSER_MOVABLE);
}

static void racer_put_dst(struct page *dst, void *data)
{
	put_page(dst);
}

static void racer_migrate(struct racer *racer)
{
	struct migrate_dst dst = { .get = racer_get_dst, .put = racer_put_dst };
	struct race *race = racer->race;

	for (unsigned int i = 0; i < RACE_PAGES; i++) {
		struct page *page = race->pages[RACE_PAGES - 1 - i];

		race_step(race, i);
		if (!isolated_add(&racer->isolated, page))
			continue;
		if (isolated_migrate(&racer->isolated, &dst, MIGRATE_ASYNC,
				     MR_COMPACTION, NULL))
			isolated_putback(&racer->isolated);
		else
			racer->nr++;
	}
}

/* No page gets lost, or is in the balloon twice. */
static void migrate_vs_dequeue(struct kunit *test)
{
	struct race *race = race_init(test);
	struct racer *dequeuer = &race->racers[1];
	size_t nr;

	race_add(race, racer_migrate);
	race_add(race, racer_dequeue);
	race_run(test, race);
	race_end(race);

	KUNIT_EXPECT_EQ(test, race->b->info.isolated_pages, 0);
	/* Let the balloon have all of them, to look at the contents. */
	nr = device_enqueue_many(&race->b->info, dequeuer->dequeued,
				 dequeuer->nr);
	KUNIT_EXPECT_EQ(test, nr, dequeuer->nr);
	expect_contents(test, RACE_PAGES, NULL, 0);
}

static struct kunit_case movable_ops_smp_cases[] = {
	KUNIT_CASE(isolate_vs_isolate),
	KUNIT_CASE(isolate_vs_dequeue),
	KUNIT_CASE(isolate_vs_release),
	KUNIT_CASE(migrate_vs_dequeue),
	{}
};

static struct kunit_suite movable_ops_smp_suite = {
	.name = "movable_ops_smp",
	.init = test_balloon_init,
	.exit = test_balloon_exit,
	.test_cases = movable_ops_smp_cases,
};

kunit_test_suites(&movable_ops_suite,
		  &movable_ops_balloon_suite,
		  &movable_ops_unmovable_suite,
		  &movable_ops_contig_suite,
		  &movable_ops_smp_suite);

MODULE_DESCRIPTION("KUnit tests for movable_ops pages and balloons");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
