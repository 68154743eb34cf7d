// SPDX-License-Identifier: GPL-2.0-only
/* A kernel that does not migrate what is not a folio for anybody outside of it */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/printk.h>

#include "mo_owner.h"

const int mo_owner_refcount;

int mo_owner_init(bool adjust_managed)
{
	pr_err("this kernel was built without CONFIG_BALLOON_MIGRATION\n");
	return -EOPNOTSUPP;
}

void mo_owner_exit(void)
{
}

struct page *mo_owner_alloc(int nid)
{
	return NULL;
}

void mo_owner_free(struct page *page)
{
}

void mo_owner_add(struct page *page)
{
}

unsigned int mo_owner_take(struct page **pages, unsigned int nr)
{
	return 0;
}

unsigned long mo_owner_isolated(void)
{
	return 0;
}

const char *mo_owner_wrong_type(const struct page *page)
{
	return "of a kernel without movable pages";
}
