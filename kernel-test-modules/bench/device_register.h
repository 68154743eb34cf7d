/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the benchmark has a balloon device: it is registered.
 */
#ifndef MM_TESTS_BENCH_DEVICE_H
#define MM_TESTS_BENCH_DEVICE_H

#include <linux/balloon.h>
#include <linux/string.h>

static inline void bench_device_init(struct balloon_dev_info *info,
				     int (*migratepage)(struct balloon_dev_info *,
							struct page *,
							struct page *,
							enum migrate_mode))
{
	memset(info, 0, sizeof(*info));
	info->migratepage = migratepage;
	info->adjust_managed_page_count = true;
	balloon_register(info);
}

static inline void bench_device_exit(struct balloon_dev_info *info)
{
	balloon_unregister(info);
}

#endif /* MM_TESTS_BENCH_DEVICE_H */
