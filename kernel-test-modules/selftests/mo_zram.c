// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc pages have content: what was stored in zram has to be there after
 * its pages were migrated by compaction and by offlining memory blocks.
 */
#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define ZRAM_MIB	320	/* at most */
#define FILL_MIB	48
#define ROUNDS		3

FIXTURE(zram)
{
	struct mo_mem mem;
	struct mo_zram zram;
	unsigned int filled;	/* pages of zram */
};

FIXTURE_SETUP(zram)
{
	const char *why = mo_need_zram() ?: mo_need_hotplug();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	mo_run_near_movable(&self->mem);
	ASSERT_EQ(mo_zram_open(&self->zram, ZRAM_MIB, 42), 0);
	self->filled = ((unsigned long)FILL_MIB << 20) / psize();
	ASSERT_EQ(mo_zram_fill(&self->zram, 0, self->filled), 0);
	ASSERT_EQ(mo_zram_check(&self->zram, 0, self->filled), 0);
	ASSERT_GT(mo_mem_count(&self->mem, -1, MO_ZSMALLOC), 0);
}

FIXTURE_TEARDOWN(zram)
{
	mo_mem_restore(&self->mem);
	mo_zram_close(&self->zram);
	mo_mem_free(&self->mem);
}

TEST_F_TIMEOUT(zram, compaction, MO_TIMEOUT)
{
	struct mo_zram *z = &self->zram;
	unsigned int part = self->filled / (2 * ROUNDS);
	struct mo_write w;

	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP(return, "no /proc/sys/vm/compact_memory (CONFIG_COMPACTION)");
	for (int i = 0; i < ROUNDS; i++) {
		/* Free some objects, so that pages get partly used */
		ASSERT_EQ(mo_zram_discard(z, 2 * i * part, part), 0);
		ASSERT_EQ(mo_write_deadline("/proc/sys/vm/compact_memory", "1",
					    2 * MO_DEADLINE, &w), 0)
			TH_LOG("compaction: %s", mo_write_str(&w));
		EXPECT_EQ(mo_zram_check(z, (2 * i + 1) * part, part), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(mo_zram_fill(z, 2 * i * part, part), 0);
		EXPECT_EQ(mo_zram_check(z, 2 * i * part, 2 * part), 0);
	}
}

TEST_F_TIMEOUT(zram, offline, MO_TIMEOUT)
{
	struct mo_block *b;
	struct mo_write w;
	long owned;

	for (int i = 0; i < ROUNDS; i++) {
		b = mo_zram_fill_block(&self->zram, &self->filled, &self->mem, 64);
		if (!b && !i)
			SKIP(return, "no block of ZONE_MOVABLE has zsmalloc pages");
		if (!b)
			break;
		owned = mo_count(b->pfn, self->mem.block_pages, MO_ZSMALLOC, NULL);
		mo_block_set(b, "offline", &w);
		TH_LOG("offlining memory%lu with %ld zsmalloc pages: %s", b->id,
		       owned, mo_write_str(&w));
		ASSERT_EQ(w.err, 0);
		EXPECT_EQ(mo_zram_check(&self->zram, 0, self->filled), 0);
		EXPECT_EQ(mo_mem_restore(&self->mem), 0);
	}
	EXPECT_EQ(mo_zram_check(&self->zram, 0, self->filled), 0);
}

TEST_HARNESS_MAIN
