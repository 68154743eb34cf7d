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
#include <linux/list.h>
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

/*
 * Deflate everything at the end of a case. Returns whether no page got lost:
 * if one did, somebody may still find the device through it, which must stay.
 */
static inline bool empty_balloon(struct kunit *test,
				 struct balloon_dev_info *info)
{
	struct page *page, *next;
	LIST_HEAD(pages);

	balloon_page_list_dequeue(info, &pages, SIZE_MAX);
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		put_page(page);
	}
	KUNIT_EXPECT_EQ_MSG(test, info->isolated_pages, 0,
			    "a page got lost while isolated");
	return !info->isolated_pages;
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
