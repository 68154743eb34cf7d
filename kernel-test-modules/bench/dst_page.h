/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmark migrates to: frozen pages, allocated in advance.
 */
#ifndef MM_TESTS_BENCH_DST_H
#define MM_TESTS_BENCH_DST_H

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/page_ref.h>

#include "../internal.h"

struct bench_dst {
	struct page **pages;
	unsigned int nr;
};

static inline struct page *bench_dst_alloc(void)
{
	struct page *page = alloc_page(GFP_HIGHUSER_MOVABLE);

	if (page && !page_ref_freeze(page, 1)) {
		put_page(page);
		page = NULL;
	}
	return page;
}

static inline void bench_dst_free(struct page *page)
{
	set_page_refcounted(page);
	put_page(page);
}

static inline struct page *bench_get_dst(struct page *src,
					 unsigned long private)
{
	struct bench_dst *dst = (struct bench_dst *)private;

	return dst->nr ? dst->pages[--dst->nr] : NULL;
}

static inline void bench_put_dst(struct page *page, unsigned long private)
{
	struct bench_dst *dst = (struct bench_dst *)private;

	if (page)
		dst->pages[dst->nr++] = page;
}

#endif /* MM_TESTS_BENCH_DST_H */
