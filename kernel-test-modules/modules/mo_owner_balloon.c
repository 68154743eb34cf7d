// SPDX-License-Identifier: GPL-2.0-only
/*
 * Movable pages by a balloon device: the contract of Linux 7.3.
 *
 * The pages are PageOffline with movable_ops. The balloon device has them in a
 * list through page->lru, and counts those that are isolated; this file is the
 * only one that knows.
 */
#include <linux/balloon.h>
#include <linux/list.h>
#include <linux/mm.h>

#include "mo_owner.h"

const int mo_owner_refcount = 1;

static struct balloon_dev_info mo_balloon;

static int mo_balloon_migratepage(struct balloon_dev_info *info,
				  struct page *newpage, struct page *page,
				  enum migrate_mode mode)
{
	return mo_pages_migrate(newpage, page, mode);
}

/**
 * mo_owner_init() - become an owner of movable pages
 * @adjust_managed: take owned pages out of what the zones manage
 *
 * Return: 0
 */
int mo_owner_init(bool adjust_managed)
{
	balloon_devinfo_init(&mo_balloon);
	mo_balloon.migratepage = mo_balloon_migratepage;
	mo_balloon.adjust_managed_page_count = adjust_managed;
	return 0;
}

/**
 * mo_owner_exit() - no longer be one
 *
 * Each page has been taken. Taking a page needs the lock under which somebody
 * else used the device last, so nobody does now.
 */
void mo_owner_exit(void)
{
	WARN_ON(!list_empty(&mo_balloon.pages) || mo_balloon.isolated_pages);
}

/**
 * mo_owner_alloc() - allocate a page that may become a movable one
 * @nid: node, NUMA_NO_NODE for any
 *
 * Return: page, or NULL
 */
struct page *mo_owner_alloc(int nid)
{
	const gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_THISNODE |
			  __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN;

	if (nid == NUMA_NO_NODE)
		return balloon_page_alloc();
	return alloc_pages_node(nid, gfp, 0);
}

/**
 * mo_owner_free() - free a page that was taken, or never added
 * @page: page
 */
void mo_owner_free(struct page *page)
{
	put_page(page);
}

/**
 * mo_owner_add() - let the kernel migrate a page from now on
 * @page: page that was taken, or never added
 */
void mo_owner_add(struct page *page)
{
	balloon_page_enqueue(&mo_balloon, page);
}

/**
 * mo_owner_take() - take pages that the kernel will not migrate any more
 * @pages: gets the pages
 * @nr: how many
 *
 * Return: how many there were; isolated ones cannot be taken
 */
unsigned int mo_owner_take(struct page **pages, unsigned int nr)
{
	struct page *page, *next;
	unsigned int got = 0;
	LIST_HEAD(list);

	balloon_page_list_dequeue(&mo_balloon, &list, nr);
	list_for_each_entry_safe(page, next, &list, lru) {
		list_del(&page->lru);
		pages[got++] = page;
	}
	return got;
}

/**
 * mo_owner_isolated() - how many pages are isolated just now
 *
 * Return: number of pages, which may be another one by now
 */
unsigned long mo_owner_isolated(void)
{
	return READ_ONCE(mo_balloon.isolated_pages);
}

/**
 * mo_owner_wrong_type() - is this page what a page of ours has to be?
 * @page: page that was taken and that nobody has freed
 *
 * Return: NULL, or what is wrong with it
 */
const char *mo_owner_wrong_type(const struct page *page)
{
	if (!PageOffline(page))
		return "not PageOffline";
	if (!page_has_movable_ops(page))
		return "without movable_ops";
	return NULL;
}
