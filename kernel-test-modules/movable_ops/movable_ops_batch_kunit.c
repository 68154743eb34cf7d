// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for batches of isolated movable_ops pages
 *
 * What happens to a page is the business of movable_ops_kunit.c. Here it is
 * which pages are in a batch, how often each was tried, and what is counted.
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "movable_ops_kunit.h"

struct test_page {
	struct page *page;
	/* migratepage() returns error for the first nr_errors attempts. */
	int error;
	unsigned int nr_errors;
	unsigned int nr_attempts;
};

struct test_batch {
	struct balloon_dev_info info;
	struct movable_ops_batch batch;
	struct test_page pages[MOVABLE_OPS_BATCH_SIZE];
	/* Allocated before, so that no page is migrated to one migrated before */
	struct page *spare[MOVABLE_OPS_BATCH_SIZE];
	unsigned int nr_spare;
	/* Destinations that there are before there is no memory left */
	unsigned int nr_dst;
	unsigned int nr_get_dst;
	unsigned int nr_put_dst;
	unsigned int nr_succeeded;
};

static struct test_page *test_page_of(struct test_batch *t, struct page *page)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++)
		if (t->pages[i].page == page)
			return t->pages + i;
	return NULL;
}

static int test_migratepage(struct balloon_dev_info *info,
			    struct page *newpage, struct page *page,
			    enum migrate_mode mode)
{
	struct test_batch *t = container_of(info, struct test_batch, info);
	struct test_page *p = test_page_of(t, page);

	if (!p)
		return -EINVAL;
	return p->nr_attempts++ < p->nr_errors ? p->error : 0;
}

static struct page *test_get_dst(struct page *src, void *data)
{
	struct test_batch *t = data;

	if (t->nr_get_dst == t->nr_dst || !t->nr_spare)
		return NULL;
	t->nr_get_dst++;
	return t->spare[--t->nr_spare];
}

static void test_put_dst(struct page *dst, void *data)
{
	struct test_batch *t = data;

	t->nr_put_dst++;
	t->spare[t->nr_spare++] = dst;
}

static bool isolate(struct test_batch *t, struct page *page)
{
	return batch_isolate(&t->batch, page);
}

/* Isolate a full batch. The test has a reference on each page if it can. */
static int test_batch_init(struct kunit *test)
{
	struct test_batch *t = kzalloc_obj(*t);

	if (!t)
		return -ENOMEM;
	device_init(&t->info, test_migratepage);
	t->nr_dst = UINT_MAX;
	test->priv = t;

	while (t->nr_spare < ARRAY_SIZE(t->spare)) {
		struct page *page = alloc_page(GFP_HIGHUSER_MOVABLE);

		if (!page)
			return -ENOMEM;
		t->spare[t->nr_spare++] = page;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++) {
		struct page *page = device_alloc(&t->info);

		if (!page)
			return -ENOMEM;
		if (CASE_HOLDS_PAGES)
			get_page(page);
		device_enqueue(&t->info, page);
		t->pages[i].page = page;
		if (!isolate(t, page))
			return -EBUSY;
	}
	return 0;
}

static void test_batch_exit(struct kunit *test)
{
	struct test_batch *t = test->priv;

	if (!t)
		return;

	movable_ops_batch_putback(&t->batch);
	while (t->nr_spare)
		put_page(t->spare[--t->nr_spare]);
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++)
		if (CASE_HOLDS_PAGES && t->pages[i].page)
			put_page(t->pages[i].page);
	if (empty_balloon(test, &t->info))
		kfree(t);
}

static int migrate_for(struct test_batch *t, enum migrate_mode mode,
		       enum migrate_reason reason)
{
	struct migrate_dst dst = {
		.get = test_get_dst, .put = test_put_dst, .data = t,
	};

	return movable_ops_batch_migrate(&t->batch, migrate_get_dst,
					 migrate_put_dst, (unsigned long)&dst,
					 mode, reason, &t->nr_succeeded);
}

static int migrate(struct test_batch *t, enum migrate_mode mode)
{
	return migrate_for(t, mode, MR_COMPACTION);
}

/* Expect the pages in the batch to be those that were not migrated. */
static void expect_batch(struct kunit *test, unsigned long migrated)
{
	struct test_batch *t = test->priv;
	unsigned long seen = 0;

	for (unsigned int i = 0; i < t->batch.nr; i++) {
		struct page *page = pfn_to_page(t->batch.pfns[i]);
		struct test_page *p = test_page_of(t, page);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_FALSE_MSG(test, seen & BIT(p - t->pages),
				       "a page is in the batch twice");
		seen |= BIT(p - t->pages);
		KUNIT_EXPECT_TRUE(test, page_is_isolated(&t->info, page));
	}
	KUNIT_EXPECT_EQ(test, seen,
			GENMASK(MOVABLE_OPS_BATCH_SIZE - 1, 0) & ~migrated);
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++)
		if (migrated & BIT(i))
			KUNIT_EXPECT_TRUE(test, page_is_let_go(t->pages[i].page));
	KUNIT_EXPECT_EQ(test, t->info.isolated_pages, t->batch.nr);
	KUNIT_EXPECT_EQ(test, t->nr_succeeded, hweight_long(migrated));
}

KUNIT_ARRAY_PARAM_DESC(mode, mode_params, name);

static void batch_is_full(struct kunit *test)
{
	struct test_batch *t = test->priv;

	KUNIT_EXPECT_TRUE(test, movable_ops_batch_full(&t->batch));
	expect_batch(test, 0);
	movable_ops_batch_putback(&t->batch);
}

static void batch_putback(struct kunit *test)
{
	struct test_batch *t = test->priv;

	movable_ops_batch_putback(&t->batch);
	KUNIT_EXPECT_EQ(test, t->batch.nr, 0);
	KUNIT_EXPECT_EQ(test, t->info.isolated_pages, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++)
		KUNIT_EXPECT_FALSE(test, page_is_isolated(&t->info,
							  t->pages[i].page));
}

/* An empty batch is nothing to migrate and nothing to put back. */
static void batch_empty(struct kunit *test)
{
	struct test_batch *t = test->priv;

	movable_ops_batch_putback(&t->batch);
	KUNIT_EXPECT_EQ(test, migrate(t, MIGRATE_SYNC), 0);
	KUNIT_EXPECT_EQ(test, t->nr_succeeded, 0);
	KUNIT_EXPECT_EQ(test, t->nr_get_dst, 0);
	movable_ops_batch_putback(&t->batch);
}

static void batch_reused(struct kunit *test)
{
	struct test_batch *t = test->priv;

	movable_ops_batch_putback(&t->batch);
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++)
		KUNIT_ASSERT_TRUE(test, isolate(t, t->pages[i].page));
	expect_batch(test, 0);
	movable_ops_batch_putback(&t->batch);
}

static void batch_migrate(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_batch *t = test->priv;

	KUNIT_EXPECT_EQ(test, migrate(t, param->mode), 0);
	expect_batch(test, GENMASK(MOVABLE_OPS_BATCH_SIZE - 1, 0));
	KUNIT_EXPECT_EQ(test, t->nr_put_dst, 0);
}

/* All pages fail, some for good, some until the last attempt. */
static void batch_outcomes(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_batch *t = test->priv;
	unsigned long migrated = 0;
	unsigned int nr_attempts = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++) {
		struct test_page *p = t->pages + i;

		switch (i % 5) {
		case 0:		/* succeeds */
			migrated |= BIT(i);
			break;
		case 1:		/* fails for good */
			p->error = -EBUSY;
			p->nr_errors = UINT_MAX;
			break;
		case 2:		/* is retried in vain */
			p->error = -EAGAIN;
			p->nr_errors = UINT_MAX;
			break;
		case 3:		/* succeeds when retried */
			p->error = -EAGAIN;
			p->nr_errors = i % MIGRATE_ATTEMPTS;
			migrated |= BIT(i);
			break;
		case 4:		/* has another need for memory, retried never */
			p->error = -ENOMEM;
			p->nr_errors = UINT_MAX;
			break;
		}
	}

	KUNIT_EXPECT_EQ(test, migrate(t, param->mode),
			MOVABLE_OPS_BATCH_SIZE - hweight_long(migrated));
	expect_batch(test, migrated);
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++) {
		const unsigned int expected[] = {
			1, 1, MIGRATE_ATTEMPTS, i % MIGRATE_ATTEMPTS + 1, 1,
		};

		KUNIT_EXPECT_EQ_MSG(test, t->pages[i].nr_attempts,
				    expected[i % 5], "page %u", i);
		nr_attempts += t->pages[i].nr_attempts;
	}
	KUNIT_EXPECT_EQ(test, t->nr_get_dst, nr_attempts);
	KUNIT_EXPECT_EQ(test, t->nr_put_dst,
			nr_attempts - hweight_long(migrated));
	movable_ops_batch_putback(&t->batch);
}

/* What failed for good is tried again when the caller asks for it. */
static void batch_migrate_again(struct kunit *test)
{
	struct test_batch *t = test->priv;

	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++) {
		t->pages[i].error = i % 2 ? -EBUSY : -EIO;
		t->pages[i].nr_errors = 1;
	}
	KUNIT_EXPECT_EQ(test, migrate(t, MIGRATE_SYNC), MOVABLE_OPS_BATCH_SIZE);
	expect_batch(test, 0);
	KUNIT_EXPECT_EQ(test, migrate(t, MIGRATE_SYNC), 0);
	expect_batch(test, GENMASK(MOVABLE_OPS_BATCH_SIZE - 1, 0));
}

static void batch_no_dst(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct test_batch *t = test->priv;

	t->nr_dst = 5;
	KUNIT_EXPECT_EQ(test, migrate(t, param->mode), -ENOMEM);
	KUNIT_EXPECT_EQ(test, t->nr_succeeded, 5);
	KUNIT_EXPECT_EQ(test, t->batch.nr, MOVABLE_OPS_BATCH_SIZE - 5);
	expect_batch(test, GENMASK(4, 0));
	movable_ops_batch_putback(&t->batch);
}

/* Memory runs out in the second pass, with pages of all kinds behind it. */
static void batch_no_dst_on_retry(struct kunit *test)
{
	struct test_batch *t = test->priv;

	for (unsigned int i = 0; i < 4; i++) {
		t->pages[i].error = i == 1 ? -EIO : -EAGAIN;
		t->pages[i].nr_errors = 1;
	}
	t->nr_dst = MOVABLE_OPS_BATCH_SIZE + 1;
	KUNIT_EXPECT_EQ(test, migrate(t, MIGRATE_SYNC), -ENOMEM);
	/* 0 in the second pass, 1 failed for good, 2 and 3 had no chance. */
	expect_batch(test, GENMASK(MOVABLE_OPS_BATCH_SIZE - 1, 0) & ~0xeUL);
	KUNIT_EXPECT_EQ(test, t->pages[0].nr_attempts, 2);
	KUNIT_EXPECT_EQ(test, t->pages[2].nr_attempts, 1);
	KUNIT_EXPECT_EQ(test, t->pages[3].nr_attempts, 1);
	movable_ops_batch_putback(&t->batch);
}

/* With MR_MEMORY_FAILURE, the caller gets the pages. */
static void batch_memory_failure(struct kunit *test)
{
	struct test_batch *t = test->priv;

	KUNIT_ASSERT_EQ(test, migrate_for(t, MIGRATE_SYNC, MR_MEMORY_FAILURE), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(t->pages); i++) {
		KUNIT_EXPECT_TRUE(test, page_is_handed_over(t->pages[i].page));
		free_handed_over(t->pages[i].page);
	}
}

#ifdef CONFIG_VM_EVENT_COUNTERS
static unsigned long event(enum vm_event_item item)
{
	unsigned long *events;
	unsigned long nr;

	events = kmalloc_array(NR_VM_EVENT_ITEMS, sizeof(*events), GFP_KERNEL);
	if (!events)
		return 0;
	all_vm_events(events);
	nr = events[item];
	kfree(events);
	return nr;
}
#else
static unsigned long event(enum vm_event_item item)
{
	return 0;
}
#endif

/* Pages that were not tried for lack of memory have not failed. */
static void batch_events(struct kunit *test)
{
	struct test_batch *t = test->priv;
	unsigned long success, fail;

	if (!IS_ENABLED(CONFIG_VM_EVENT_COUNTERS))
		kunit_skip(test, "needs CONFIG_VM_EVENT_COUNTERS");

	t->pages[0].error = -EIO;
	t->pages[0].nr_errors = 1;
	t->pages[1].error = -EAGAIN;
	t->pages[1].nr_errors = 1;
	t->nr_dst = 6;
	success = event(PGMIGRATE_SUCCESS);
	fail = event(PGMIGRATE_FAIL);
	KUNIT_EXPECT_EQ(test, migrate(t, MIGRATE_SYNC), -ENOMEM);
	KUNIT_EXPECT_EQ(test, event(PGMIGRATE_SUCCESS) - success, 4);
	KUNIT_EXPECT_EQ(test, event(PGMIGRATE_FAIL) - fail, 3);
	movable_ops_batch_putback(&t->batch);
}

static struct kunit_case movable_ops_batch_cases[] = {
	KUNIT_CASE(batch_is_full),
	KUNIT_CASE(batch_putback),
	KUNIT_CASE(batch_empty),
	KUNIT_CASE(batch_reused),
	KUNIT_CASE_PARAM(batch_migrate, mode_gen_params),
	KUNIT_CASE_PARAM(batch_outcomes, mode_gen_params),
	KUNIT_CASE(batch_migrate_again),
	KUNIT_CASE_PARAM(batch_no_dst, mode_gen_params),
	KUNIT_CASE(batch_no_dst_on_retry),
	KUNIT_CASE(batch_memory_failure),
	KUNIT_CASE(batch_events),
	{}
};

static struct kunit_suite movable_ops_batch_suite = {
	.name = "movable_ops_batch",
	.init = test_batch_init,
	.exit = test_batch_exit,
	.test_cases = movable_ops_batch_cases,
};

kunit_test_suites(&movable_ops_batch_suite);

MODULE_DESCRIPTION("KUnit tests for batches of isolated movable_ops pages");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
