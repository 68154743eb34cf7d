// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for isolation and migration of zsmalloc pages
 *
 * What zsmalloc does with its pages shows in the contents of the objects and in
 * the number of pages of a pool. The tests have a pool of their own.
 */
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/zsmalloc.h>

#include "../internal.h"
#include "movable_ops_kunit.h"
#include "movable_ops_waiter.h"

#if IS_REACHABLE(CONFIG_ZSMALLOC) && defined CONFIG_COMPACTION

#define MAX_OBJECTS	200
/* There are several of these in a page, and some cross a page boundary. */
#define OBJECT_SIZE	1200

struct test_zs {
	struct zs_pool *pool;
	unsigned long handles[MAX_OBJECTS];
	unsigned int nr;
	struct movable_ops_batch batch;
	struct movable_ops_batch other;
	struct waiter waiter;
	bool destroyed;
	bool no_dst;
	u8 buf[OBJECT_SIZE];
};

static void free_objects(struct test_zs *t)
{
	while (t->nr)
		zs_free(t->pool, t->handles[--t->nr]);
}

static int test_zs_init(struct kunit *test)
{
	struct test_zs *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	t->pool = zs_create_pool("movable_ops_kunit");
	if (!t->pool)
		return -ENOMEM;
	test->priv = t;
	return 0;
}

static void test_zs_exit(struct kunit *test)
{
	struct test_zs *t = test->priv;

	if (!t)
		return;

	movable_ops_batch_putback(&t->batch);
	movable_ops_batch_putback(&t->other);
	waiter_stop(&t->waiter);
	if (t->destroyed)
		return;
	free_objects(t);
	zs_destroy_pool(t->pool);
}

static void fill_object(struct test_zs *t, unsigned int id)
{
	for (unsigned int i = 0; i < OBJECT_SIZE; i++)
		t->buf[i] = id * 7 + i;
}

static void add_object(struct kunit *test)
{
	struct test_zs *t = test->priv;
	unsigned long handle;

	KUNIT_ASSERT_LT(test, t->nr, MAX_OBJECTS);
	handle = zs_malloc(t->pool, OBJECT_SIZE, GFP_KERNEL | __GFP_HIGHMEM |
			   __GFP_MOVABLE, NUMA_NO_NODE);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(handle));
	fill_object(t, t->nr);
	zs_obj_write(t->pool, handle, t->buf, OBJECT_SIZE);
	t->handles[t->nr++] = handle;
}

/* The page that an object is in, or NULL if it is in two of them. */
static struct page *object_page(struct test_zs *t, unsigned int id)
{
	struct page *page = NULL;
	void *p;

	p = zs_obj_read_begin(t->pool, t->handles[id], OBJECT_SIZE, t->buf);
	if (p != t->buf)
		page = kmap_to_page(p);
	zs_obj_read_end(t->pool, t->handles[id], OBJECT_SIZE, p);
	return page;
}

static bool object_has_content(struct test_zs *t, unsigned int id)
{
	bool same = true;
	u8 *p;

	p = zs_obj_read_begin(t->pool, t->handles[id], OBJECT_SIZE, t->buf);
	for (unsigned int i = 0; i < OBJECT_SIZE && same; i++)
		same = p[i] == (u8)(id * 7 + i);
	zs_obj_read_end(t->pool, t->handles[id], OBJECT_SIZE, p);
	return same;
}

static void expect_contents(struct kunit *test)
{
	struct test_zs *t = test->priv;

	for (unsigned int i = 0; i < t->nr; i++)
		KUNIT_EXPECT_TRUE_MSG(test, object_has_content(t, i),
				      "object %u", i);
}

static struct page *test_get_dst(struct page *src, void *data)
{
	struct test_zs *t = data;

	return t->no_dst ? NULL : alloc_page(GFP_KERNEL | __GFP_HIGHMEM);
}

static void test_put_dst(struct page *dst, void *data)
{
	put_page(dst);
}

static int migrate(struct test_zs *t)
{
	struct migrate_dst dst = {
		.get = test_get_dst, .put = test_put_dst, .data = t,
	};

	return movable_ops_batch_migrate(&t->batch, migrate_get_dst,
					 migrate_put_dst, (unsigned long)&dst,
					 MIGRATE_SYNC, MR_COMPACTION, NULL);
}

/* Isolate the page of the first object, which is at the start of a page. */
static struct page *isolate_first(struct kunit *test)
{
	struct test_zs *t = test->priv;
	struct page *page;

	add_object(test);
	page = object_page(t, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, PageZsmalloc(page));
	KUNIT_ASSERT_TRUE(test, batch_isolate(&t->batch, page));
	return page;
}

/* The worker frees what could not be freed at once. */
static void expect_all_freed(struct kunit *test)
{
	unsigned long end = jiffies + VERY_LONG;
	struct test_zs *t = test->priv;

	while (zs_get_total_pages(t->pool) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(t->pool), 0);
}

static void zs_isolate_once(struct kunit *test)
{
	struct test_zs *t = test->priv;
	struct page *page = isolate_first(test);
	int refs = page_count(page);

	KUNIT_EXPECT_FALSE(test, batch_isolate(&t->other, page));
	movable_ops_batch_putback(&t->batch);
	KUNIT_EXPECT_EQ(test, page_count(page), refs - ISOLATION_REFS);
	KUNIT_EXPECT_TRUE(test, batch_isolate(&t->other, page));
	KUNIT_EXPECT_FALSE(test, batch_isolate(&t->batch, page));
	movable_ops_batch_putback(&t->other);
	expect_contents(test);
}

static void zs_migrate_contents(struct kunit *test)
{
	struct test_zs *t = test->priv;
	struct page *last = NULL;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < MAX_OBJECTS; i++)
		add_object(test);
	for (unsigned int i = 0; i < MAX_OBJECTS; i++) {
		struct page *page = object_page(t, i);

		if (!page || page == last)
			continue;
		last = page;
		if (batch_isolate(&t->batch, page))
			nr++;
		if (!movable_ops_batch_full(&t->batch))
			continue;
		KUNIT_EXPECT_EQ(test, migrate(t), 0);
		expect_contents(test);
	}
	KUNIT_EXPECT_EQ(test, migrate(t), 0);
	expect_contents(test);
	/* Not every page has the start of an object, but most do. */
	KUNIT_EXPECT_GT(test, nr, zs_get_total_pages(t->pool) / 2);
}

static void zs_no_dst(struct kunit *test)
{
	struct test_zs *t = test->priv;
	struct page *page = isolate_first(test);

	t->no_dst = true;
	KUNIT_EXPECT_EQ(test, migrate(t), -ENOMEM);
	movable_ops_batch_putback(&t->batch);
	KUNIT_EXPECT_PTR_EQ(test, object_page(t, 0), page);
	expect_contents(test);
}

/* The owner keeps an isolated page, whether it has a use for it or not. */
static void zs_free_isolated(struct kunit *test)
{
	struct test_zs *t = test->priv;
	struct page *page = isolate_first(test);
	unsigned long total = zs_get_total_pages(t->pool);

	free_objects(t);
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(t->pool), total);
	KUNIT_EXPECT_TRUE(test, PageZsmalloc(page));
	KUNIT_EXPECT_FALSE(test, batch_isolate(&t->other, page));
	movable_ops_batch_putback(&t->batch);
	expect_all_freed(test);
}

static void zs_free_isolated_migrate(struct kunit *test)
{
	struct test_zs *t = test->priv;

	isolate_first(test);
	free_objects(t);
	KUNIT_EXPECT_EQ(test, migrate(t), 0);
	expect_all_freed(test);
}

/* The last one to put back a page of a zspage has it freed. */
static void zs_free_two_isolated(struct kunit *test)
{
	struct page *first, *second = NULL;
	struct test_zs *t = test->priv;
	unsigned long total;

	first = isolate_first(test);
	total = zs_get_total_pages(t->pool);
	do {
		add_object(test);
		second = object_page(t, t->nr - 1);
	} while (!second || second == first);
	if (zs_get_total_pages(t->pool) != total) {
		movable_ops_batch_putback(&t->batch);
		kunit_skip(test, "zspages of a single page");
	}

	KUNIT_EXPECT_TRUE(test, batch_isolate(&t->other, second));
	free_objects(t);
	movable_ops_batch_putback(&t->batch);
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(t->pool), total);
	/* Nobody gets to isolate what is about to be freed. */
	KUNIT_EXPECT_FALSE(test, batch_isolate(&t->batch, first));
	KUNIT_EXPECT_TRUE(test, PageZsmalloc(second));
	movable_ops_batch_putback(&t->other);
	expect_all_freed(test);
}

/* A zspage that has become empty while it is isolated can be used again. */
static void zs_reuse_isolated(struct kunit *test)
{
	struct test_zs *t = test->priv;
	struct page *page = isolate_first(test);
	unsigned long total = zs_get_total_pages(t->pool);

	free_objects(t);
	add_object(test);
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(t->pool), total);
	KUNIT_EXPECT_PTR_EQ(test, object_page(t, 0), page);
	KUNIT_EXPECT_EQ(test, migrate(t), 0);
	expect_contents(test);
}

static void destroy(void *pool)
{
	zs_destroy_pool(pool);
}

static void zs_destroy_waits(struct kunit *test)
{
	struct test_zs *t = test->priv;

	isolate_first(test);
	free_objects(t);
	waiter_start(test, &t->waiter, destroy, t->pool);
	t->destroyed = true;
	waiter_expect_waiting(test, &t->waiter);
	movable_ops_batch_putback(&t->batch);
	waiter_expect_done(test, &t->waiter);
}

static struct kunit_case movable_ops_zsmalloc_cases[] = {
	KUNIT_CASE(zs_isolate_once),
	KUNIT_CASE(zs_migrate_contents),
	KUNIT_CASE(zs_no_dst),
	KUNIT_CASE(zs_free_isolated),
	KUNIT_CASE(zs_free_isolated_migrate),
	KUNIT_CASE(zs_free_two_isolated),
	KUNIT_CASE(zs_reuse_isolated),
	KUNIT_CASE(zs_destroy_waits),
	{}
};

static struct kunit_suite movable_ops_zsmalloc_suite = {
	.name = "movable_ops_zsmalloc",
	.init = test_zs_init,
	.exit = test_zs_exit,
	.test_cases = movable_ops_zsmalloc_cases,
};

kunit_test_suites(&movable_ops_zsmalloc_suite);

#endif

MODULE_DESCRIPTION("KUnit tests for migration of zsmalloc pages");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
