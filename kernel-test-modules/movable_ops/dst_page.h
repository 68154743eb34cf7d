/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests migrate to: movable_ops pages are migrated to frozen pages,
 * and only folios to folios.
 */
#ifndef MM_TESTS_MOVABLE_OPS_DST_H
#define MM_TESTS_MOVABLE_OPS_DST_H

#include <linux/mm.h>
#include <linux/page_ref.h>

#include "../internal.h"

/* Can a case have a reference of its own on what is being migrated to? */
#define CASE_HOLDS_DST		false

static inline struct page *migrate_get_dst(struct page *src,
					   unsigned long private)
{
	const struct migrate_dst *dst = (struct migrate_dst *)private;
	struct page *page = dst->get(src, dst->data);

	if (page && !page_ref_freeze(page, 1)) {
		put_page(page);
		page = NULL;
	}
	return page;
}

static inline void migrate_put_dst(struct page *page, unsigned long private)
{
	const struct migrate_dst *dst = (struct migrate_dst *)private;

	/* Somebody else has a reference, and frees the page. */
	if (!page)
		return;
	set_page_refcounted(page);
	dst->put(page, dst->data);
}

#if defined CONFIG_COMPACTION || defined CONFIG_CMA
static inline int migrate_compact(struct compact_control *cc,
				  struct migrate_dst *dst,
				  unsigned int *nr_succeeded)
{
	static const struct isolated_target target = {
		.get_new_folio = migrate_get_folio,
		.put_new_folio = migrate_put_folio,
		.get_new_page = migrate_get_dst,
		.put_new_page = migrate_put_dst,
	};

	return migrate_isolated(cc, &target, (unsigned long)dst, MR_COMPACTION,
				nr_succeeded);
}
#endif

#endif /* MM_TESTS_MOVABLE_OPS_DST_H */
