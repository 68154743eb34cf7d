/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the migration core does to a movable_ops page before it asks the owner:
 * nothing at all, the owner decides by PFN.
 */
#ifndef MM_TESTS_MOVABLE_OPS_OWNER_H
#define MM_TESTS_MOVABLE_OPS_OWNER_H

#include <linux/balloon.h>

#include "../internal.h"

/* References that isolation takes */
#define ISOLATION_REFS		0
/* Is a page that somebody else has locked not isolated? */
#define ISOLATION_NEEDS_LOCK	false
/* Is a destination given back that turned out not to be needed? */
#define RELEASED_RETURNS_DST	true

#define batch_isolate(batch, page)	movable_ops_batch_isolate(batch, page)

/*
 * Nothing in the page tells, but an isolated page cannot be isolated again. The
 * page is in the balloon, or there are no isolated pages.
 */
static inline bool page_is_isolated(struct balloon_dev_info *info,
				    struct page *page)
{
	struct movable_ops_batch batch = {};

	if (!info->isolated_pages)
		return false;
	if (!movable_ops_batch_isolate(&batch, page))
		return true;
	movable_ops_batch_putback(&batch);
	return false;
}

#endif /* MM_TESTS_MOVABLE_OPS_OWNER_H */
