/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the benchmark inflates and deflates: many pages in a list, linked through
 * page->lru.
 */
#ifndef MM_TESTS_BENCH_PAGES_H
#define MM_TESTS_BENCH_PAGES_H

#include <linux/balloon.h>
#include <linux/list.h>
#include <linux/mm.h>

static inline struct page *bench_alloc(struct balloon_dev_info *info)
{
	return balloon_page_alloc();
}

/* Free a page that is not in the balloon. */
static inline void bench_free(struct balloon_dev_info *info, struct page *page)
{
	put_page(page);
}

static inline void bench_enqueue(struct balloon_dev_info *info,
				 struct page *page)
{
	balloon_page_enqueue(info, page);
}

static inline struct page *bench_dequeue(struct balloon_dev_info *info)
{
	return balloon_page_dequeue(info);
}

static inline void bench_enqueue_many(struct balloon_dev_info *info,
				      struct page **pages, size_t nr)
{
	LIST_HEAD(list);

	for (size_t i = 0; i < nr; i++)
		list_add_tail(&pages[i]->lru, &list);
	balloon_page_list_enqueue(info, &list);
}

static inline size_t bench_dequeue_many(struct balloon_dev_info *info,
					struct page **pages, size_t nr)
{
	struct page *page, *next;
	LIST_HEAD(list);
	size_t i = 0;

	balloon_page_list_dequeue(info, &list, nr);
	list_for_each_entry_safe(page, next, &list, lru) {
		list_del(&page->lru);
		pages[i++] = page;
	}
	return i;
}

#endif /* MM_TESTS_BENCH_PAGES_H */
