/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tests inflate and deflate pages: in arrays, and allocated for their
 * balloon device.
 */
#ifndef MM_TESTS_MOVABLE_OPS_BALLOON_H
#define MM_TESTS_MOVABLE_OPS_BALLOON_H

#include <linux/balloon.h>

static inline struct page *device_alloc(struct balloon_dev_info *info)
{
	return balloon_page_alloc(info);
}

/* Free a page that is not in the balloon. */
static inline void device_free(struct balloon_dev_info *info, struct page *page)
{
	balloon_page_free(info, page);
}

static inline void device_enqueue(struct balloon_dev_info *info,
				  struct page *page)
{
	balloon_pages_enqueue(info, &page, 1);
}

/* Returns how many were enqueued. */
static inline size_t device_enqueue_many(struct balloon_dev_info *info,
					 struct page **pages, size_t nr)
{
	balloon_pages_enqueue(info, pages, nr);
	return nr;
}

static inline struct page *device_dequeue(struct balloon_dev_info *info)
{
	struct page *page;

	return balloon_pages_dequeue(info, &page, 1) ? page : NULL;
}

static inline size_t device_dequeue_many(struct balloon_dev_info *info,
					 struct page **pages, size_t nr)
{
	return balloon_pages_dequeue(info, pages, nr);
}

#endif /* MM_TESTS_MOVABLE_OPS_BALLOON_H */
