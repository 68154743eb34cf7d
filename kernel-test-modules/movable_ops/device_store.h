/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tests have a balloon device: mm/balloon.c has a list of them, and each
 * remembers what pages it has.
 */
#ifndef MM_TESTS_MOVABLE_OPS_DEVICE_H
#define MM_TESTS_MOVABLE_OPS_DEVICE_H

#include <kunit/test.h>
#include <kunit/test-bug.h>
#include <linux/balloon.h>
#include <linux/xarray.h>

/* All members are 0. Flags may be set as long as there are no pages. */
static inline void device_init(struct balloon_dev_info *info,
			       int (*migratepage)(struct balloon_dev_info *info,
						  struct page *newpage,
						  struct page *page,
						  enum migrate_mode mode))
{
	info->migratepage = migratepage;
	balloon_register(info);
}

/* All pages were deflated: nothing is remembered of any. */
static inline void device_exit(struct balloon_dev_info *info)
{
	KUNIT_EXPECT_TRUE_MSG(kunit_get_current_test(), xa_empty(&info->chunks),
			      "a page was freed, but not released");
	balloon_unregister(info);
}

#endif /* MM_TESTS_MOVABLE_OPS_DEVICE_H */
