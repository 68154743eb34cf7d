/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a page gets into a batch: the migration core is told a mode.
 */
#ifndef MM_TESTS_BENCH_ISOLATE_H
#define MM_TESTS_BENCH_ISOLATE_H

#define bench_batch_isolate(batch, page) \
	movable_ops_batch_isolate(batch, page, ISOLATE_UNEVICTABLE)

#endif /* MM_TESTS_BENCH_ISOLATE_H */
