/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites for movable_ops pages have in common
 */
#ifndef MM_TESTS_MOVABLE_OPS_KUNIT_H
#define MM_TESTS_MOVABLE_OPS_KUNIT_H

#include <kunit/test.h>
#include <linux/balloon.h>
#include <linux/cpumask.h>
#include <linux/file.h>
#include <linux/folio_batch.h>
#include <linux/gfp.h>
#include <linux/migrate_mode.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/shmem_fs.h>

/*
 * Attempts that are made in total to migrate a page while its owner returns
 * -EAGAIN: NR_MAX_MIGRATE_PAGES_RETRY in mm/migrate.c.
 */
#define MIGRATE_ATTEMPTS	10

/* The page of a block that is not inflated: none */
#define NO_HOLE			ULONG_MAX

struct mode_param {
	enum migrate_mode mode;
	const char *name;
};

static const struct mode_param mode_params[] __maybe_unused = {
	{ MIGRATE_ASYNC, "MIGRATE_ASYNC" },
	{ MIGRATE_SYNC_LIGHT, "MIGRATE_SYNC_LIGHT" },
	{ MIGRATE_SYNC, "MIGRATE_SYNC" },
};

/* Pages have one reference when they are given to migration and back. */
struct migrate_dst {
	struct page *(*get)(struct page *src, void *data);
	void (*put)(struct page *dst, void *data);
	void *data;
};

static inline struct folio *migrate_get_folio(struct folio *src,
					      unsigned long private)
{
	const struct migrate_dst *dst = (struct migrate_dst *)private;
	struct page *page = dst->get(&src->page, dst->data);

	return page ? page_folio(page) : NULL;
}

static inline void migrate_put_folio(struct folio *folio, unsigned long private)
{
	const struct migrate_dst *dst = (struct migrate_dst *)private;

	dst->put(&folio->page, dst->data);
}

/* What is not the same everywhere is in these headers. */
#include "movable_ops_device.h"
#include "movable_ops_balloon.h"
#include "movable_ops_refs.h"
#include "movable_ops_owner.h"
#include "movable_ops_dst.h"
#include "movable_ops_isolated.h"

/*
 * Deflate everything at the end of a case. Returns whether no page got lost:
 * if one did, somebody may still find the device through it, which must stay.
 */
static inline bool empty_balloon(struct kunit *test,
				 struct balloon_dev_info *info)
{
	struct page *pages[16];
	size_t nr;

	while ((nr = device_dequeue_many(info, pages, ARRAY_SIZE(pages))))
		while (nr)
			device_free(info, pages[--nr]);
	KUNIT_EXPECT_EQ_MSG(test, info->isolated_pages, 0,
			    "a page got lost while isolated");
	if (info->isolated_pages)
		return false;
	device_exit(info);
	return true;
}

/*
 * Allocate a page block as single pages, so that nobody else has a page in
 * it; neither from ZONE_MOVABLE nor from CMA.
 */
static inline struct page *alloc_pageblock(struct kunit *test)
{
	struct page *block;

	block = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN,
			    pageblock_order);
	if (!block)
		kunit_skip(test, "no free page block");

	split_page(block, pageblock_order);
	return block;
}

static inline struct page *take_dst(struct page *src, void *data)
{
	struct page **dst = data, *page = *dst;

	*dst = NULL;
	return page;
}

static inline void put_back_dst(struct page *page, void *data)
{
	struct page **dst = data;

	*dst = page;
}

/*
 * Inflate @page, which was not allocated for a balloon: pages that were can be
 * migrated to any other page. @id is passed to @fill, if that is not NULL.
 * @isolated is empty. Returns whether the page is in the balloon.
 */
static inline bool inflate_at(struct balloon_dev_info *info, struct page *page,
			      struct isolated_pages *isolated,
			      void (*fill)(struct page *page, u32 id), u32 id)
{
	struct migrate_dst dst = {
		.get = take_dst, .put = put_back_dst, .data = &page,
	};
	struct page *src = device_alloc(info);

	if (!src) {
		put_page(page);
		return false;
	}
	if (fill)
		fill(src, id);
	device_enqueue(info, src);
	if (isolated_add(isolated, src) &&
	    isolated_migrate(isolated, &dst, MIGRATE_SYNC, MR_COMPACTION, NULL))
		isolated_putback(isolated);
	if (page)
		put_page(page);
	return !page;
}

/*
 * Inflate all pages of a page block but @hole; see inflate_at(). Whoever asked
 * for it has the hole.
 */
static inline struct page *inflate_block(struct kunit *test,
					 struct balloon_dev_info *info,
					 unsigned long hole,
					 void (*fill)(struct page *page, u32 id))
{
	struct isolated_pages *isolated;
	struct page *block;
	unsigned long nr = 0;

	isolated = kunit_kzalloc(test, sizeof(*isolated), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, isolated);
	isolated_init(isolated);
	block = alloc_pageblock(test);
	for (unsigned long i = 0; i < pageblock_nr_pages; i++)
		if (i != hole)
			nr += inflate_at(info, block + i, isolated, fill, i);
	KUNIT_ASSERT_EQ(test, nr,
			pageblock_nr_pages - (hole < pageblock_nr_pages));
	return block;
}

static inline void fput_action(void *file)
{
	fput(file);
}

/*
 * A file in shmem, there until the end of the case, with @nr folios and those
 * that it takes to fill the batch of a CPU, which goes to the LRU then.
 */
static inline struct file *shmem_file_on_lru(struct kunit *test, pgoff_t *nr)
{
	struct file *file;
	int err;

	*nr += num_online_cpus() * FOLIO_BATCH_SIZE;
	file = shmem_file_setup("movable_ops_kunit", *nr * PAGE_SIZE,
				EMPTY_VMA_FLAGS);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	err = kunit_add_action_or_reset(test, fput_action, file);
	KUNIT_ASSERT_EQ(test, err, 0);

	for (pgoff_t i = 0; i < *nr; i++) {
		struct page *page = shmem_read_mapping_page(file->f_mapping, i);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		put_page(page);
	}
	return file;
}

#endif /* MM_TESTS_MOVABLE_OPS_KUNIT_H */
