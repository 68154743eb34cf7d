/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the migration core does to a movable_ops page before it asks the owner:
 * it takes a reference and the page lock, and marks the page as isolated.
 */
#ifndef MM_TESTS_MOVABLE_OPS_OWNER_H
#define MM_TESTS_MOVABLE_OPS_OWNER_H

#include <linux/balloon.h>
#include <linux/page-flags.h>

/* References that isolation takes */
#define ISOLATION_REFS		1
/* Is a page that somebody else has locked not isolated? */
#define ISOLATION_NEEDS_LOCK	true
/* Is a destination given back that turned out not to be needed? */
#define RELEASED_RETURNS_DST	false

#define batch_isolate(batch, page) \
	movable_ops_batch_isolate(batch, page, ISOLATE_UNEVICTABLE)

static inline bool page_is_isolated(struct balloon_dev_info *info,
				    struct page *page)
{
	return PageMovableOpsIsolated(page);
}

#endif /* MM_TESTS_MOVABLE_OPS_OWNER_H */
