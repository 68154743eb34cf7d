/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the benchmark inflates and deflates: pages are in arrays, and belong to
 * their balloon device from allocation on.
 */
#ifndef MM_TESTS_BENCH_PAGES_H
#define MM_TESTS_BENCH_PAGES_H

#include <linux/balloon.h>

static inline struct page *bench_alloc(struct balloon_dev_info *info)
{
	return balloon_page_alloc(info);
}

/* Free a page that is not in the balloon. */
static inline void bench_free(struct balloon_dev_info *info, struct page *page)
{
	balloon_page_free(info, page);
}

static inline void bench_enqueue(struct balloon_dev_info *info,
				 struct page *page)
{
	balloon_pages_enqueue(info, &page, 1);
}

static inline struct page *bench_dequeue(struct balloon_dev_info *info)
{
	struct page *page;

	return balloon_pages_dequeue(info, &page, 1) ? page : NULL;
}

static inline void bench_enqueue_many(struct balloon_dev_info *info,
				      struct page **pages, size_t nr)
{
	balloon_pages_enqueue(info, pages, nr);
}

static inline size_t bench_dequeue_many(struct balloon_dev_info *info,
					struct page **pages, size_t nr)
{
	return balloon_pages_dequeue(info, pages, nr);
}

#endif /* MM_TESTS_BENCH_PAGES_H */
