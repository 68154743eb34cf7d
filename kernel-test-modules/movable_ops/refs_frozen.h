/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the reference count of a page tells the tests. A page in a balloon is
 * frozen: it has no reference, and nobody can get one.
 */
#ifndef MM_TESTS_MOVABLE_OPS_REFS_H
#define MM_TESTS_MOVABLE_OPS_REFS_H

#include <linux/mm.h>
#include <linux/page-flags.h>

/*
 * Can a case have a reference on a page in the balloon? It cannot, so a page
 * that the balloon or the migration core have let go can be allocated by anybody.
 * All that shows is that it is not the balloon's any more.
 */
#define CASE_HOLDS_PAGES	false

/* The page is the balloon's, but not isolated; or it was just dequeued. */
static inline bool page_is_inflated(struct page *page)
{
	return PageOffline(page) && page_has_movable_ops(page) &&
	       page_count(page) == 0;
}

/* The balloon does not have the page any more. */
static inline bool page_is_let_go(struct page *page)
{
	return !PageOffline(page);
}

/* A page to migrate to is back, or still, with the case. */
static inline bool page_is_unused_dst(struct page *page)
{
	return page_count(page) == 1 && !page_has_movable_ops(page);
}

/*
 * The page was migrated, and is now up to whoever asked for that. Nobody takes it
 * for a page of the balloon any more, even if it is not freed at once.
 */
static inline bool page_is_handed_over(struct page *page)
{
	return page_count(page) == 1 && !page_has_movable_ops(page);
}

static inline void free_handed_over(struct page *page)
{
	put_page(page);
}

#endif /* MM_TESTS_MOVABLE_OPS_REFS_H */
