/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmark migrates to: folios, allocated in advance.
 */
#ifndef MM_TESTS_BENCH_DST_H
#define MM_TESTS_BENCH_DST_H

#include <linux/gfp.h>
#include <linux/mm.h>

struct bench_dst {
	struct page **pages;
	unsigned int nr;
};

static inline struct page *bench_dst_alloc(void)
{
	return alloc_page(GFP_HIGHUSER_MOVABLE);
}

static inline void bench_dst_free(struct page *page)
{
	put_page(page);
}

static inline struct folio *bench_get_dst(struct folio *src,
					  unsigned long private)
{
	struct bench_dst *dst = (struct bench_dst *)private;

	return dst->nr ? page_folio(dst->pages[--dst->nr]) : NULL;
}

static inline void bench_put_dst(struct folio *folio, unsigned long private)
{
	struct bench_dst *dst = (struct bench_dst *)private;

	dst->pages[dst->nr++] = folio_page(folio, 0);
}

#endif /* MM_TESTS_BENCH_DST_H */
