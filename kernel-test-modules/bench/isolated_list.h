/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the benchmark isolates pages, migrates them and puts them back: as folios
 * in a list.
 */
#ifndef MM_TESTS_BENCH_ISOLATED_H
#define MM_TESTS_BENCH_ISOLATED_H

#include <linux/list.h>
#include <linux/migrate.h>

struct bench_isolated {
	struct list_head list;
};

static inline void bench_isolated_init(struct bench_isolated *isolated)
{
	INIT_LIST_HEAD(&isolated->list);
}

static inline bool bench_isolate(struct bench_isolated *isolated,
				 struct page *page)
{
	if (!isolate_movable_ops_page(page, ISOLATE_UNEVICTABLE))
		return false;
	list_add_tail(&page->lru, &isolated->list);
	return true;
}

static inline void bench_putback(struct bench_isolated *isolated)
{
	putback_movable_pages(&isolated->list);
}

/* Returns the number of pages not migrated, or an error code. */
static inline int bench_migrate(struct bench_isolated *isolated,
				struct bench_dst *dst)
{
	return migrate_pages(&isolated->list, bench_get_dst, bench_put_dst,
			     (unsigned long)dst, MIGRATE_SYNC, MR_COMPACTION,
			     NULL);
}

#endif /* MM_TESTS_BENCH_ISOLATED_H */
