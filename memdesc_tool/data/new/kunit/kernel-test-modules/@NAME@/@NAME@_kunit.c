// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for @NAME@.
 */

#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

/* A page that is allocated for a test, and freed when the test has ended. */
static int @NAME@_init(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

	if (!page)
		return -ENOMEM;
	test->priv = page;
	return 0;
}

static void @NAME@_exit(struct kunit *test)
{
	struct page *page = test->priv;

	if (page)
		put_page(page);
}

static void page_is_zeroed(struct kunit *test)
{
	struct page *page = test->priv;

	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(page_address(page), 0, PAGE_SIZE), NULL);
}

static void page_has_one_reference(struct kunit *test)
{
	struct page *page = test->priv;

	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
}

static struct kunit_case @NAME@_cases[] = {
	KUNIT_CASE(page_is_zeroed),
	KUNIT_CASE(page_has_one_reference),
	{}
};

static struct kunit_suite @NAME@_suite = {
	.name = "@NAME@",
	.init = @NAME@_init,
	.exit = @NAME@_exit,
	.test_cases = @NAME@_cases,
};

kunit_test_suite(@NAME@_suite);

MODULE_DESCRIPTION("KUnit tests for @NAME@");
MODULE_LICENSE("GPL");
