/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tests isolate movable_ops pages, migrate them and put them back: as
 * folios in a list, along with other folios.
 */
#ifndef MM_TESTS_MOVABLE_OPS_ISOLATED_H
#define MM_TESTS_MOVABLE_OPS_ISOLATED_H

#include <linux/list.h>
#include <linux/migrate.h>

struct isolated_pages {
	struct list_head pages;
};

static inline void isolated_init(struct isolated_pages *isolated)
{
	INIT_LIST_HEAD(&isolated->pages);
}

static inline unsigned int isolated_nr(struct isolated_pages *isolated)
{
	return list_count_nodes(&isolated->pages);
}

static inline bool isolated_has(struct isolated_pages *isolated,
				const struct page *wanted)
{
	struct page *page;

	list_for_each_entry(page, &isolated->pages, lru)
		if (page == wanted)
			return true;
	return false;
}

static inline bool isolated_add(struct isolated_pages *isolated,
				struct page *page)
{
	if (!isolate_movable_ops_page(page, ISOLATE_UNEVICTABLE))
		return false;

	list_add_tail(&page->lru, &isolated->pages);
	return true;
}

static inline void isolated_putback(struct isolated_pages *isolated)
{
	putback_movable_pages(&isolated->pages);
}

/* Returns the number of pages not migrated, or an error code. */
static inline int isolated_migrate(struct isolated_pages *isolated,
				   struct migrate_dst *dst,
				   enum migrate_mode mode,
				   enum migrate_reason reason,
				   unsigned int *nr_succeeded)
{
	return migrate_pages(&isolated->pages, migrate_get_dst, migrate_put_dst,
			     (unsigned long)dst, mode, reason, nr_succeeded);
}

#endif /* MM_TESTS_MOVABLE_OPS_ISOLATED_H */
