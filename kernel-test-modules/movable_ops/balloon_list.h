/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tests inflate and deflate pages: one by one and in lists that are
 * linked through page->lru.
 */
#ifndef MM_TESTS_MOVABLE_OPS_BALLOON_H
#define MM_TESTS_MOVABLE_OPS_BALLOON_H

#include <linux/balloon.h>
#include <linux/list.h>
#include <linux/mm.h>

static inline struct page *device_alloc(struct balloon_dev_info *info)
{
	return balloon_page_alloc();
}

/* Free a page that is not in the balloon. */
static inline void device_free(struct balloon_dev_info *info, struct page *page)
{
	put_page(page);
}

static inline void device_enqueue(struct balloon_dev_info *info,
				  struct page *page)
{
	balloon_page_enqueue(info, page);
}

/* Returns how many were enqueued. */
static inline size_t device_enqueue_many(struct balloon_dev_info *info,
					 struct page **pages, size_t nr)
{
	LIST_HEAD(list);

	for (size_t i = 0; i < nr; i++)
		list_add_tail(&pages[i]->lru, &list);
	nr = balloon_page_list_enqueue(info, &list);
	return list_empty(&list) ? nr : 0;
}

/* It is a BUG() to dequeue from a balloon that has no page at all. */
static inline struct page *device_dequeue(struct balloon_dev_info *info)
{
	if (list_empty(&info->pages) && !info->isolated_pages)
		return NULL;
	return balloon_page_dequeue(info);
}

static inline size_t device_dequeue_many(struct balloon_dev_info *info,
					 struct page **pages, size_t nr)
{
	struct page *page, *next;
	LIST_HEAD(list);
	size_t i = 0;

	nr = balloon_page_list_dequeue(info, &list, nr);
	list_for_each_entry_safe(page, next, &list, lru) {
		list_del(&page->lru);
		pages[i++] = page;
	}
	return i == nr ? nr : 0;
}

#endif /* MM_TESTS_MOVABLE_OPS_BALLOON_H */
