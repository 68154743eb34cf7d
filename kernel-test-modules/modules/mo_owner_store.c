// SPDX-License-Identifier: GPL-2.0-only
/*
 * Movable pages by a balloon device that has its pages by PFN, see
 * balloon_register().
 *
 * The pages are PageOffline with movable_ops. Once pages of balloons are frozen,
 * so are these: the content is there, but nobody can get a reference.
 */
#include <linux/balloon.h>
#include <linux/mm.h>

#include "mo_owner.h"

#ifdef MO_FROZEN
const int mo_owner_refcount;
#else
const int mo_owner_refcount = 1;
#endif

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
	mo_balloon.migratepage = mo_balloon_migratepage;
	mo_balloon.adjust_managed_page_count = adjust_managed;
	balloon_register(&mo_balloon);
	return 0;
}

/**
 * mo_owner_exit() - no longer be one
 *
 * Each page has been taken and freed.
 */
void mo_owner_exit(void)
{
	balloon_unregister(&mo_balloon);
}

/**
 * mo_owner_alloc() - allocate a page that may become a movable one
 * @nid: node, NUMA_NO_NODE for any
 *
 * The balloon allocates from where the memory policy of the task says. With a
 * node, the page is from there or there is none.
 *
 * Return: page, or NULL
 */
struct page *mo_owner_alloc(int nid)
{
	struct page *page = balloon_page_alloc(&mo_balloon);

	if (page && nid != NUMA_NO_NODE && page_to_nid(page) != nid) {
		balloon_page_free(&mo_balloon, page);
		return NULL;
	}
	return page;
}

/**
 * mo_owner_free() - free a page that was taken, or never added
 * @page: page
 */
void mo_owner_free(struct page *page)
{
	balloon_page_free(&mo_balloon, page);
}

/**
 * mo_owner_add() - let the kernel migrate a page from now on
 * @page: page that was taken, or never added
 */
void mo_owner_add(struct page *page)
{
	balloon_pages_enqueue(&mo_balloon, &page, 1);
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
	return balloon_pages_dequeue(&mo_balloon, pages, nr);
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
