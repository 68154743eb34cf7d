// SPDX-License-Identifier: GPL-2.0
/*
 * Poisoned pages that are or were in a balloon or part of zsmalloc: offlining
 * their memory block comes to an end, and never takes away what has an owner.
 *
 * A block that went offline with a poisoned page in it cannot be onlined again
 * before the next boot: each of the tests named *_then_offline or *_deflate costs
 * one block.
 */
#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define ZRAM_MIB	320	/* at most */

/* It has to end in time, with this error */
static void offline(struct __test_metadata *_metadata,
		    const struct mo_block *block, int expected)
{
	struct mo_write w;

	mo_block_set(block, "offline", &w);
	TH_LOG("offlining memory%lu: %s", block->id, mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	EXPECT_FALSE(w.spinning);
	EXPECT_EQ(w.err, expected);
}

FIXTURE(poison_zsmalloc)
{
	struct mo_mem mem;
	struct mo_zram zram;
	unsigned int filled;	/* pages of zram */
	struct mo_block *block;
	unsigned long pfn;
};

FIXTURE_SETUP(poison_zsmalloc)
{
	const char *why = mo_need_zram() ?: mo_need_hotplug() ?: mo_need_hwpoison();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	mo_run_near_movable(&self->mem);
	ASSERT_EQ(mo_zram_open(&self->zram, ZRAM_MIB, 1), 0);
	self->block = mo_zram_fill_block(&self->zram, &self->filled, &self->mem, 64);
	if (!self->block) {
		mo_zram_close(&self->zram);
		mo_mem_free(&self->mem);
		SKIP(return, "no block of ZONE_MOVABLE without poison has zsmalloc pages");
	}
	ASSERT_GE(mo_count(self->block->pfn, self->mem.block_pages,
			   MO_ZSMALLOC, &self->pfn), 64);
	TH_LOG("pfn %#lx of memory%lu", self->pfn, self->block->id);
}

FIXTURE_TEARDOWN(poison_zsmalloc)
{
	mo_zram_close(&self->zram);
	mo_mem_restore(&self->mem);
	mo_mem_free(&self->mem);
}

TEST_F_TIMEOUT(poison_zsmalloc, soft_then_unpoison, MO_TIMEOUT)
{
	ASSERT_EQ(mo_soft_offline(self->pfn), 0);
	EXPECT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	EXPECT_EQ(mo_zram_check(&self->zram, 0, self->filled), 0);
	ASSERT_EQ(unpoison_memory(self->pfn), 0);
	EXPECT_FALSE(mo_pfn_is(self->pfn, MO_POISONED));
	EXPECT_FALSE(mo_pfn_is(self->pfn, MO_ZSMALLOC));
	offline(_metadata, self->block, 0);
	EXPECT_EQ(mo_zram_check(&self->zram, 0, self->filled), 0);
	EXPECT_EQ(mo_mem_restore(&self->mem), 0);
}

/* Its content is somebody's: it can neither be migrated nor be taken away */
TEST_F_TIMEOUT(poison_zsmalloc, hard_then_offline, MO_TIMEOUT)
{
	mo_hard_offline(self->pfn);
	ASSERT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	offline(_metadata, self->block, EBUSY);
	EXPECT_TRUE(mo_block_online(self->block));

	/* Without an owner it does not stop offlining */
	mo_zram_reset(&self->zram);
	EXPECT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	offline(_metadata, self->block, 0);
}

FIXTURE(poison_balloon)
{
	struct mo_mem mem;
	struct mo_block *block;
	unsigned long pfn;	/* in the balloon, in the block */
	long pages;		/* in the balloon, by flags */
};

FIXTURE_SETUP(poison_balloon)
{
	const char *why = mo_need_balloon() ?: mo_need_hwpoison();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_balloon_set(0), 0);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	if (!mo_balloon_fill_block(&self->mem, 64, &self->block)) {
		mo_balloon_set(0);
		mo_mem_free(&self->mem);
		SKIP(return, "no block of ZONE_MOVABLE without poison has ballooned pages");
	}
	self->pages = mo_balloon_pages();
	ASSERT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);
	ASSERT_GE(mo_count(self->block->pfn, self->mem.block_pages,
			   MO_BALLOON, &self->pfn), 64);
	TH_LOG("pfn %#lx of memory%lu", self->pfn, self->block->id);
}

FIXTURE_TEARDOWN(poison_balloon)
{
	mo_balloon_set(0);
	mo_mem_restore(&self->mem);
	mo_mem_free(&self->mem);
}

/* What is left of a balloon page is no longer of the balloon */
TEST_F_TIMEOUT(poison_balloon, soft_then_unpoison, MO_TIMEOUT)
{
	long corrupted = mo_meminfo_kb("HardwareCorrupted:");

	ASSERT_EQ(mo_soft_offline(self->pfn), 0);
	EXPECT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	EXPECT_EQ(mo_balloon_pages(), self->pages);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);

	ASSERT_EQ(unpoison_memory(self->pfn), 0);
	EXPECT_FALSE(mo_pfn_is(self->pfn, MO_POISONED));
	EXPECT_FALSE(mo_pfn_is(self->pfn, MO_BALLOON));
	EXPECT_EQ(mo_meminfo_kb("HardwareCorrupted:"), corrupted);
	EXPECT_EQ(mo_balloon_pages(), self->pages);

	/* It is an ordinary free page: this costs nothing */
	offline(_metadata, self->block, 0);
	EXPECT_EQ(mo_mem_restore(&self->mem), 0);
}

TEST_F_TIMEOUT(poison_balloon, soft_then_offline, MO_TIMEOUT)
{
	ASSERT_EQ(mo_soft_offline(self->pfn), 0);
	EXPECT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	offline(_metadata, self->block, 0);
	EXPECT_EQ(mo_balloon_pages(), self->pages);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
}

/* It stays in the balloon; before the block goes, it has to leave */
TEST_F_TIMEOUT(poison_balloon, hard_then_offline, MO_TIMEOUT)
{
	mo_hard_offline(self->pfn);
	ASSERT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages - 1);

	offline(_metadata, self->block, 0);
	EXPECT_EQ(mo_balloon_pages(), self->pages);
	/* All that is owned is online, and none of it is poisoned */
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
}

TEST_F_TIMEOUT(poison_balloon, hard_then_deflate, MO_TIMEOUT)
{
	mo_hard_offline(self->pfn);
	ASSERT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	/* Nobody gets it */
	EXPECT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	EXPECT_FALSE(mo_pfn_is(self->pfn, MO_BUDDY));
	/* It was freed already: without the poison it would be lost */
	EXPECT_EQ(unpoison_memory(self->pfn), -EBUSY);
	EXPECT_TRUE(mo_pfn_is(self->pfn, MO_POISONED));
	offline(_metadata, self->block, 0);
}

TEST_HARNESS_MAIN
