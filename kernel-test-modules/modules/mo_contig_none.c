// SPDX-License-Identifier: GPL-2.0-only
/* A kernel without alloc_contig_range() */
#include <linux/errno.h>

#include "mo_owner.h"

int mo_contig_init(void)
{
	return 0;
}

void mo_contig_exit(void)
{
}

int mo_contig(unsigned long pfn, unsigned long nr)
{
	return -EOPNOTSUPP;
}
