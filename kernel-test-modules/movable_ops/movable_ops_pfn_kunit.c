// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for balloons whose host decides which page to release
 */
#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "movable_ops_kunit.h"

#define NR_PAGES	5

struct test_pfn {
	struct balloon_dev_info info;
	struct balloon_dev_info other;
	struct isolated_pages isolated;
	struct page *pages[NR_PAGES];
};

static int test_migratepage(struct balloon_dev_info *info,
			    struct page *newpage, struct page *page,
			    enum migrate_mode mode)
{
	return 0;
}

static int test_pfn_init(struct kunit *test)
{
	struct test_pfn *t = kzalloc_obj(*t);

	if (!t)
		return -ENOMEM;
	t->info.adjust_managed_page_count = true;
	device_init(&t->info, test_migratepage);
	device_init(&t->other, test_migratepage);
	isolated_init(&t->isolated);
	test->priv = t;
	for (unsigned int i = 0; i < NR_PAGES; i++) {
		t->pages[i] = balloon_page_alloc(&t->info);
		if (!t->pages[i])
			return -ENOMEM;
		balloon_pages_enqueue(&t->info, t->pages + i, 1);
	}
	return 0;
}

static void test_pfn_exit(struct kunit *test)
{
	struct test_pfn *t = test->priv;
	bool gone;

	if (!t)
		return;

	isolated_putback(&t->isolated);
	gone = empty_balloon(test, &t->info);
	gone &= empty_balloon(test, &t->other);
	if (gone)
		kfree(t);
}

static bool dequeue(struct test_pfn *t, unsigned int i)
{
	return balloon_page_dequeue_pfn(&t->info, page_to_pfn(t->pages[i]));
}

/* In any order, each once, and the memory is the guest's again. */
static void pfn_any_order(struct kunit *test)
{
	static const unsigned int order[] = { 3, 0, 4, 2 };
	struct test_pfn *t = test->priv;
	struct page *left;

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		struct page *page = t->pages[order[i]];
		unsigned long managed = zone_managed_pages(page_zone(page));

		KUNIT_ASSERT_TRUE(test, dequeue(t, order[i]));
		KUNIT_EXPECT_EQ(test, zone_managed_pages(page_zone(page)), managed + 1);
		KUNIT_EXPECT_FALSE(test, dequeue(t, order[i]));
		KUNIT_EXPECT_FALSE(test, isolated_add(&t->isolated, page));
		balloon_page_free(&t->info, page);
	}
	KUNIT_ASSERT_EQ(test, balloon_pages_dequeue(&t->info, &left, 1), 1);
	KUNIT_EXPECT_PTR_EQ(test, left, t->pages[1]);
	balloon_page_free(&t->info, left);
}

/* The host may name any page. */
static void pfn_not_inflated(struct kunit *test)
{
	struct test_pfn *t = test->priv;
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long pfn = page_to_pfn(t->pages[0]);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, balloon_page_dequeue_pfn(&t->info, page_to_pfn(page)));
	KUNIT_EXPECT_FALSE(test, balloon_page_dequeue_pfn(&t->other, pfn));
	put_page(page);

	page = balloon_page_alloc(&t->info);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, balloon_page_dequeue_pfn(&t->info, page_to_pfn(page)));
	balloon_page_free(&t->info, page);
}

/* A page that is being migrated is the driver's no sooner than it is put back. */
static void pfn_isolated(struct kunit *test)
{
	struct test_pfn *t = test->priv;

	KUNIT_ASSERT_TRUE(test, isolated_add(&t->isolated, t->pages[2]));
	KUNIT_EXPECT_FALSE(test, dequeue(t, 2));
	KUNIT_EXPECT_EQ(test, t->info.isolated_pages, 1);
	isolated_putback(&t->isolated);
	KUNIT_ASSERT_TRUE(test, dequeue(t, 2));
	balloon_page_free(&t->info, t->pages[2]);
}

static struct kunit_case movable_ops_pfn_cases[] = {
	KUNIT_CASE(pfn_any_order),
	KUNIT_CASE(pfn_not_inflated),
	KUNIT_CASE(pfn_isolated),
	{}
};

static struct kunit_suite movable_ops_pfn_suite = {
	.name = "movable_ops_pfn",
	.init = test_pfn_init,
	.exit = test_pfn_exit,
	.test_cases = movable_ops_pfn_cases,
};

kunit_test_suites(&movable_ops_pfn_suite);

MODULE_DESCRIPTION("KUnit tests for pages that a host names");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
