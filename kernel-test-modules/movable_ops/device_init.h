/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tests have a balloon device: it need only be initialized.
 */
#ifndef MM_TESTS_MOVABLE_OPS_DEVICE_H
#define MM_TESTS_MOVABLE_OPS_DEVICE_H

#include <linux/balloon.h>

/* All members are 0. The callback and the flags are set afterwards. */
static inline void device_init(struct balloon_dev_info *info,
			       int (*migratepage)(struct balloon_dev_info *info,
						  struct page *newpage,
						  struct page *page,
						  enum migrate_mode mode))
{
	balloon_devinfo_init(info);
	info->migratepage = migratepage;
}

static inline void device_exit(struct balloon_dev_info *info)
{
}

#endif /* MM_TESTS_MOVABLE_OPS_DEVICE_H */
