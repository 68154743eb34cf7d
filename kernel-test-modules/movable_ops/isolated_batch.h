/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the tests isolate movable_ops pages, migrate them and put them back: in
 * batches, as many as it takes.
 */
#ifndef MM_TESTS_MOVABLE_OPS_ISOLATED_H
#define MM_TESTS_MOVABLE_OPS_ISOLATED_H

#include "../internal.h"

#define ISOLATED_BATCHES	DIV_ROUND_UP(600, MOVABLE_OPS_BATCH_SIZE)

struct isolated_pages {
	struct movable_ops_batch batches[ISOLATED_BATCHES];
};

static inline void isolated_init(struct isolated_pages *isolated)
{
	for (unsigned int i = 0; i < ISOLATED_BATCHES; i++)
		isolated->batches[i].nr = 0;
}

static inline unsigned int isolated_nr(struct isolated_pages *isolated)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < ISOLATED_BATCHES; i++)
		nr += isolated->batches[i].nr;
	return nr;
}

static inline bool isolated_has(struct isolated_pages *isolated,
				const struct page *page)
{
	for (unsigned int i = 0; i < ISOLATED_BATCHES; i++)
		for (unsigned int j = 0; j < isolated->batches[i].nr; j++)
			if (isolated->batches[i].pfns[j] == page_to_pfn(page))
				return true;
	return false;
}

static inline bool isolated_add(struct isolated_pages *isolated,
				struct page *page)
{
	for (unsigned int i = 0; i < ISOLATED_BATCHES; i++) {
		struct movable_ops_batch *batch = isolated->batches + i;

		if (!movable_ops_batch_full(batch))
			return batch_isolate(batch, page);
	}
	return false;
}

static inline void isolated_putback(struct isolated_pages *isolated)
{
	for (unsigned int i = 0; i < ISOLATED_BATCHES; i++)
		movable_ops_batch_putback(isolated->batches + i);
}

/* Returns the number of pages not migrated, or an error code. */
static inline int isolated_migrate(struct isolated_pages *isolated,
				   struct migrate_dst *dst,
				   enum migrate_mode mode,
				   enum migrate_reason reason,
				   unsigned int *nr_succeeded)
{
	unsigned int total = 0, nr;
	int err = 0, rc = 0;

	for (unsigned int i = 0; i < ISOLATED_BATCHES && err >= 0; i++) {
		if (!isolated->batches[i].nr)
			continue;
		err = movable_ops_batch_migrate(isolated->batches + i,
						migrate_get_dst, migrate_put_dst,
						(unsigned long)dst, mode, reason,
						&nr);
		total += nr;
		rc = err < 0 ? err : rc + err;
	}
	if (nr_succeeded)
		*nr_succeeded = total;
	return rc;
}

#endif /* MM_TESTS_MOVABLE_OPS_ISOLATED_H */
