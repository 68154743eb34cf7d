/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the benchmark isolates pages, migrates them and puts them back: in a
 * batch.
 */
#ifndef MM_TESTS_BENCH_ISOLATED_H
#define MM_TESTS_BENCH_ISOLATED_H

#include <linux/migrate.h>

#include "../internal.h"
#include "mm_bench_isolate.h"

struct bench_isolated {
	struct movable_ops_batch batch;
};

static inline void bench_isolated_init(struct bench_isolated *isolated)
{
	isolated->batch.nr = 0;
}

static inline bool bench_isolate(struct bench_isolated *isolated,
				 struct page *page)
{
	return bench_batch_isolate(&isolated->batch, page);
}

static inline void bench_putback(struct bench_isolated *isolated)
{
	movable_ops_batch_putback(&isolated->batch);
}

/* Returns the number of pages not migrated, or an error code. */
static inline int bench_migrate(struct bench_isolated *isolated,
				struct bench_dst *dst)
{
	return movable_ops_batch_migrate(&isolated->batch, bench_get_dst,
					 bench_put_dst, (unsigned long)dst,
					 MIGRATE_SYNC, MR_COMPACTION, NULL);
}

#endif /* MM_TESTS_BENCH_ISOLATED_H */
