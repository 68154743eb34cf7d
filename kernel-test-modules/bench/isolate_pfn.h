/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a page gets into a batch: its owner is asked by PFN.
 */
#ifndef MM_TESTS_BENCH_ISOLATE_H
#define MM_TESTS_BENCH_ISOLATE_H

#define bench_batch_isolate(batch, page) movable_ops_batch_isolate(batch, page)

#endif /* MM_TESTS_BENCH_ISOLATE_H */
