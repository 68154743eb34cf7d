/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests migrate to: movable_ops pages are migrated to folios.
 */
#ifndef MM_TESTS_MOVABLE_OPS_DST_H
#define MM_TESTS_MOVABLE_OPS_DST_H

/* Can a case have a reference of its own on what is being migrated to? */
#define CASE_HOLDS_DST		true

#define migrate_get_dst		migrate_get_folio
#define migrate_put_dst		migrate_put_folio

#define migrate_compact(cc, dst, nr_succeeded) \
	migrate_isolated(cc, migrate_get_folio, migrate_put_folio, \
			 (unsigned long)(dst), MR_COMPACTION, nr_succeeded)

#endif /* MM_TESTS_MOVABLE_OPS_DST_H */
