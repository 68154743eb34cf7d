// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for owners of movable_ops pages that wait for isolated pages
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "../internal.h"
#include "movable_ops_kunit.h"
#include "movable_ops_waiter.h"

struct test_owner {
	struct balloon_dev_info info;
	struct balloon_dev_info other;
	struct movable_ops_batch batch;
	int error;			/* migratepage() returns it */
	bool unregistered;
	struct waiter waiter;
	struct page *dst;
};

static int test_migratepage(struct balloon_dev_info *info,
			    struct page *newpage, struct page *page,
			    enum migrate_mode mode)
{
	struct test_owner *t = container_of(info, struct test_owner, info);

	return t->error;
}

static int test_owner_init(struct kunit *test)
{
	struct test_owner *t = kzalloc_obj(*t);

	if (!t)
		return -ENOMEM;
	device_init(&t->info, test_migratepage);
	device_init(&t->other, test_migratepage);
	test->priv = t;
	return 0;
}

static void test_owner_exit(struct kunit *test)
{
	struct test_owner *t = test->priv;
	bool gone;

	if (!t)
		return;

	movable_ops_batch_putback(&t->batch);
	waiter_stop(&t->waiter);
	if (t->dst)
		put_page(t->dst);
	gone = t->unregistered || empty_balloon(test, &t->info);
	gone &= empty_balloon(test, &t->other);
	if (gone)
		kfree(t);
}

static void start_waiting(struct kunit *test, void (*wait)(void *data))
{
	struct test_owner *t = test->priv;

	waiter_start(test, &t->waiter, wait, &t->info);
}

static void expect_waiting(struct kunit *test)
{
	struct test_owner *t = test->priv;

	waiter_expect_waiting(test, &t->waiter);
}

static void expect_done(struct kunit *test)
{
	struct test_owner *t = test->priv;

	waiter_expect_done(test, &t->waiter);
}

static void wait_isolated(void *info)
{
	balloon_wait_isolated(info);
}

static void unregister(void *info)
{
	balloon_unregister(info);
}

static void synchronize(void *info)
{
	synchronize_movable_ops();
}

static struct page *inflate(struct kunit *test, struct balloon_dev_info *info)
{
	struct page *page = device_alloc(info);

	KUNIT_ASSERT_NOT_NULL(test, page);
	device_enqueue(info, page);
	return page;
}

static struct page *inflate_isolated(struct kunit *test,
				     struct balloon_dev_info *info)
{
	struct test_owner *t = test->priv;
	struct page *page = inflate(test, info);

	KUNIT_ASSERT_TRUE(test, batch_isolate(&t->batch, page));
	return page;
}

static int migrate(struct test_owner *t, int error)
{
	struct migrate_dst dst = {
		.get = take_dst, .put = put_back_dst, .data = &t->dst,
	};

	if (!t->dst)
		t->dst = alloc_page(GFP_HIGHUSER_MOVABLE);
	t->error = error;
	return movable_ops_batch_migrate(&t->batch, migrate_get_dst,
					 migrate_put_dst, (unsigned long)&dst,
					 MIGRATE_SYNC, MR_COMPACTION, NULL);
}

static void wait_isolated_putback(struct kunit *test)
{
	struct test_owner *t = test->priv;

	inflate_isolated(test, &t->info);
	start_waiting(test, wait_isolated);
	expect_waiting(test);
	movable_ops_batch_putback(&t->batch);
	expect_done(test);
}

static void wait_isolated_migrate(struct kunit *test)
{
	struct test_owner *t = test->priv;

	inflate_isolated(test, &t->info);
	start_waiting(test, wait_isolated);
	KUNIT_EXPECT_EQ(test, migrate(t, -EIO), 1);
	expect_waiting(test);
	KUNIT_EXPECT_EQ(test, migrate(t, 0), 0);
	expect_done(test);
}

/* Pages of another device are none of its business. */
static void wait_isolated_other(struct kunit *test)
{
	struct test_owner *t = test->priv;

	inflate(test, &t->info);
	inflate_isolated(test, &t->other);
	start_waiting(test, wait_isolated);
	expect_done(test);
	/* As others: who has isolated a page puts it back, and not the exit. */
	movable_ops_batch_putback(&t->batch);
}

/* The driver gets rid of the last page while the device is unregistered. */
static void unregister_waits(struct kunit *test)
{
	struct test_owner *t = test->priv;

	inflate_isolated(test, &t->info);
	start_waiting(test, unregister);
	t->unregistered = true;
	expect_waiting(test);
	KUNIT_EXPECT_EQ(test, migrate(t, -ENOENT), 0);
	expect_done(test);
}

static void synchronize_putback(struct kunit *test)
{
	struct test_owner *t = test->priv;

	inflate_isolated(test, &t->info);
	start_waiting(test, synchronize);
	expect_waiting(test);
	movable_ops_batch_putback(&t->batch);
	expect_done(test);
}

/* Not before the last page of the batch is migrated, whosever it is. */
static void synchronize_migrate(struct kunit *test)
{
	struct test_owner *t = test->priv;

	inflate_isolated(test, &t->info);
	start_waiting(test, synchronize);
	KUNIT_EXPECT_EQ(test, migrate(t, -EIO), 1);
	expect_waiting(test);
	KUNIT_EXPECT_EQ(test, migrate(t, 0), 0);
	expect_done(test);
}

/* Nobody waits for a batch that is empty, however that came about. */
static void synchronize_empty(struct kunit *test)
{
	struct test_owner *t = test->priv;
	struct page *page = inflate_isolated(test, &t->info);
	struct movable_ops_batch batch = {};

	KUNIT_EXPECT_FALSE(test, batch_isolate(&batch, page));
	KUNIT_EXPECT_EQ(test, batch.nr, 0);
	movable_ops_batch_putback(&batch);
	KUNIT_EXPECT_EQ(test, migrate(t, -ENOENT), 0);
	movable_ops_batch_putback(&t->batch);
	start_waiting(test, synchronize);
	expect_done(test);
}

static struct kunit_case movable_ops_owner_cases[] = {
	KUNIT_CASE(wait_isolated_putback),
	KUNIT_CASE(wait_isolated_migrate),
	KUNIT_CASE(wait_isolated_other),
	KUNIT_CASE(unregister_waits),
	KUNIT_CASE(synchronize_putback),
	KUNIT_CASE(synchronize_migrate),
	KUNIT_CASE(synchronize_empty),
	{}
};

static struct kunit_suite movable_ops_owner_suite = {
	.name = "movable_ops_owner",
	.init = test_owner_init,
	.exit = test_owner_exit,
	.test_cases = movable_ops_owner_cases,
};

kunit_test_suites(&movable_ops_owner_suite);

MODULE_DESCRIPTION("KUnit tests for owners that wait for isolated pages");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
