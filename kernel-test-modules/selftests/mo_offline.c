// SPDX-License-Identifier: GPL-2.0
/*
 * Offlining a memory block full of ballooned pages, which then have to go to
 * another node, and onlining it again.
 */
#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

FIXTURE(offline)
{
	struct mo_mem mem;
	struct mo_block *block;
	unsigned long owned;	/* ballooned pages of the block */
	long managed;		/* with an empty balloon */
};

/* Do the counters of all nodes agree with the flags of their pages? */
static bool counters_exact(struct __test_metadata *_metadata,
			   const struct mo_mem *mem, const char *when)
{
	bool exact = true;

	mo_vmstat_refresh();
	for (unsigned int i = 0; i < mem->nr; i++) {
		int node = mem->block[i].node;
		long counter, pages;

		if (i && mem->block[i - 1].node == node)
			continue;
		counter = mo_node_vmstat(node, "nr_balloon_pages");
		pages = mo_mem_count(mem, node, MO_BALLOON);
		TH_LOG("%s: node%d: nr_balloon_pages %ld, ballooned pages %ld",
		       when, node, counter, pages);
		exact &= counter == pages;
	}
	return exact;
}

FIXTURE_SETUP(offline)
{
	const char *why = mo_need_balloon() ?: mo_need_nodes();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_balloon_set(0), 0);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	self->managed = mo_managed();
	if (!mo_balloon_fill_block(&self->mem, self->mem.block_pages / 2, &self->block)) {
		mo_balloon_set(0);
		mo_mem_free(&self->mem);
		SKIP(return, "no block of ZONE_MOVABLE that the balloon fills by half");
	}
	self->owned = mo_count(self->block->pfn, self->mem.block_pages, MO_BALLOON, NULL);
	TH_LOG("memory%lu of node%d holds %lu ballooned pages", self->block->id,
	       self->block->node, self->owned);
}

FIXTURE_TEARDOWN(offline)
{
	mo_mem_restore(&self->mem);
	mo_balloon_set(0);
	mo_mem_free(&self->mem);
}

TEST_F_TIMEOUT(offline, pages_migrate, MO_TIMEOUT)
{
	long pages = mo_balloon_pages(), migrated = mo_vmstat("balloon_migrate");
	struct mo_write w;

	ASSERT_EQ(mo_block_set(self->block, "offline", &w), 0)
		TH_LOG("offlining: %s", mo_write_str(&w));
	TH_LOG("offlining: %s", mo_write_str(&w));
	EXPECT_FALSE(mo_block_online(self->block));
	mo_vmstat_refresh();
	if (migrated >= 0)	/* CONFIG_VM_EVENT_COUNTERS */
		EXPECT_GE(mo_vmstat("balloon_migrate") - migrated, self->owned);
	EXPECT_EQ(mo_balloon_pages(), pages);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), pages);
}

TEST_F_TIMEOUT(offline, counters_of_nodes, MO_TIMEOUT)
{
	struct mo_write w;

	EXPECT_TRUE(counters_exact(_metadata, &self->mem, "inflated"));
	ASSERT_EQ(mo_block_set(self->block, "offline", &w), 0)
		TH_LOG("offlining: %s", mo_write_str(&w));
	EXPECT_TRUE(counters_exact(_metadata, &self->mem, "offlined"));
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_TRUE(counters_exact(_metadata, &self->mem, "deflated"));
}

TEST_F_TIMEOUT(offline, online_again, MO_TIMEOUT)
{
	struct mo_write w;

	ASSERT_EQ(mo_block_set(self->block, "offline", &w), 0)
		TH_LOG("offlining: %s", mo_write_str(&w));
	ASSERT_EQ(mo_block_set(self->block, "online_movable", &w), 0)
		TH_LOG("onlining: %s", mo_write_str(&w));
	EXPECT_EQ(mo_count(self->block->pfn, self->mem.block_pages, MO_HOLE, NULL), 0);
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
	EXPECT_EQ(mo_managed(), self->managed);
}

/* The balloon gives pages back while the block that has them goes offline */
TEST_F_TIMEOUT(offline, while_deflating, MO_TIMEOUT)
{
	struct mo_write w;
	pid_t pid = fork();
	int status;

	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(!!mo_balloon_set(0));
	mo_block_set(self->block, "offline", &w);
	TH_LOG("offlining: %s", mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
	EXPECT_EQ(mo_mem_restore(&self->mem), 0);
	EXPECT_EQ(mo_managed(), self->managed);
}

TEST_HARNESS_MAIN
