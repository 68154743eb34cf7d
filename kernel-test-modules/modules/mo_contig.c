// SPDX-License-Identifier: GPL-2.0-only
/*
 * alloc_contig_range() over a range that the caller chooses: what CMA, gigantic
 * hugetlb pages and virtio-mem do, where somebody has movable pages.
 */
#include <linux/gfp.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/rwsem.h>

#include "mo_owner.h"

/*
 * alloc_contig_range() does not notice when its range goes offline, and looks at
 * the memory map that is poisoned then. It is our range: keep its memory map as
 * long as we are at it.
 */
static DECLARE_RWSEM(contig_sem);

static int contig_memory_notify(struct notifier_block *nb, unsigned long action,
				void *arg)
{
	if (action == MEM_OFFLINE) {
		down_write(&contig_sem);
		up_write(&contig_sem);
	}
	return NOTIFY_OK;
}

static struct notifier_block contig_memory_nb = {
	.notifier_call = contig_memory_notify,
};

int mo_contig_init(void)
{
	return register_memory_notifier(&contig_memory_nb);
}

void mo_contig_exit(void)
{
	unregister_memory_notifier(&contig_memory_nb);
}

/* All of the range online, and in one zone? */
static bool range_usable(unsigned long pfn, unsigned long nr)
{
	struct zone *zone = NULL;

	for (unsigned long i = pfn; i < pfn + nr; i++) {
		struct page *page = pfn_to_online_page(i);

		if (!page || (zone && page_zone(page) != zone))
			return false;
		zone = page_zone(page);
		cond_resched();
	}
	return true;
}

/**
 * mo_contig() - allocate a range of page frames, and free it at once
 * @pfn: first page frame
 * @nr: how many
 *
 * Return: 0, -EINVAL if that is no range of one zone, -EBUSY if something in it
 * cannot be migrated, or another error of alloc_contig_range()
 */
int mo_contig(unsigned long pfn, unsigned long nr)
{
	int err;

	if (!nr || nr > (SZ_4G >> PAGE_SHIFT) || pfn + nr < pfn)
		return -EINVAL;
	down_read(&contig_sem);
	if (range_usable(pfn, nr))
		err = alloc_contig_range(pfn, pfn + nr, ACR_FLAGS_NONE,
					 GFP_KERNEL | __GFP_NOWARN);
	else
		err = -EINVAL;
	if (!err)
		free_contig_range(pfn, nr);
	up_read(&contig_sem);
	return err;
}
