/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The owner of movable_ops pages, and what the kernel has to do with it.
 *
 * The store (mo_pages.c) knows which page has which content. How a page becomes
 * one that the kernel may migrate, and stops being one, is the kernel's
 * contract: one file mo_owner_*.c for each contract there is, chosen by Kbuild.
 */
#ifndef __MO_OWNER_H__
#define __MO_OWNER_H__

#include <linux/migrate_mode.h>
#include <linux/seq_file.h>
#include <linux/types.h>

struct page;

/* What mo_owner_*.c provides */

/* References on a page that is owned, and neither isolated nor looked at */
extern const int mo_owner_refcount;

int mo_owner_init(bool adjust_managed);
void mo_owner_exit(void);

struct page *mo_owner_alloc(int nid);
void mo_owner_free(struct page *page);
void mo_owner_add(struct page *page);
unsigned int mo_owner_take(struct page **pages, unsigned int nr);
unsigned long mo_owner_isolated(void);
const char *mo_owner_wrong_type(const struct page *page);

/* What mo_pages.c provides to it */

int mo_pages_migrate(struct page *dst, struct page *src, enum migrate_mode mode);

/* What mo_contig*.c and mo_probe*.c provide: they depend on the configuration */

int mo_contig_init(void);
void mo_contig_exit(void);
int mo_contig(unsigned long pfn, unsigned long nr);

void mo_probe_init(void);
void mo_probe_exit(void);
void mo_probe_reset(void);
void mo_probe_show(struct seq_file *m);

#endif /* __MO_OWNER_H__ */
