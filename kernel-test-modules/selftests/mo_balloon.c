// SPDX-License-Identifier: GPL-2.0
/*
 * Inflating and deflating a balloon: what the kernel accounts is what there is,
 * also while compaction migrates ballooned pages, and all memory comes back.
 *
 * Sizes are set by the host, see mo_host().
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define BALLOON_MIB	128
#define ROUNDS		2
#define STEP_MIB	16
/* More than one of each node where pages are from all nodes in turn */
#define HOLE_PAGES	16

#define PCP_FRACTION	"/proc/sys/vm/percpu_pagelist_high_fraction"

FIXTURE(balloon)
{
	struct mo_mem mem;
	long managed;
	unsigned long pages;	/* of BALLOON_MIB */
};

FIXTURE_SETUP(balloon)
{
	const char *why = mo_need_balloon();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_balloon_set(0), 0);
	if (mo_meminfo_kb("MemAvailable:") / 1024 < 3 * BALLOON_MIB)
		SKIP(return, "needs %u MiB of available memory", 3 * BALLOON_MIB);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	ASSERT_EQ(mo_balloon_pages(), 0);
	self->managed = mo_managed();
	self->pages = ((unsigned long)BALLOON_MIB << 20) / psize();
}

FIXTURE_TEARDOWN(balloon)
{
	mo_balloon_set(0);
	mo_mem_free(&self->mem);
}

TEST_F_TIMEOUT(balloon, inflate_deflate, MO_TIMEOUT)
{
	for (int i = 0; i < ROUNDS; i++) {
		long inflated = mo_vmstat("balloon_inflate");
		long deflated = mo_vmstat("balloon_deflate");

		ASSERT_EQ(mo_balloon_set(BALLOON_MIB), 0);
		EXPECT_EQ(mo_balloon_pages(), self->pages);
		EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);
		EXPECT_EQ(mo_managed(), self->managed - self->pages);
		EXPECT_EQ(mo_meminfo_kb("Balloon:"), BALLOON_MIB * 1024);
		if (inflated >= 0)	/* CONFIG_VM_EVENT_COUNTERS */
			EXPECT_EQ(mo_vmstat("balloon_inflate") - inflated, self->pages);

		ASSERT_EQ(mo_balloon_set(0), 0);
		EXPECT_EQ(mo_balloon_pages(), 0);
		EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
		EXPECT_EQ(mo_managed(), self->managed);
		if (deflated >= 0)
			EXPECT_EQ(mo_vmstat("balloon_deflate") - deflated, self->pages);
	}
}

/* Compact once: how many migrations, and how many pages that arrived */
static long compact(struct __test_metadata *_metadata,
		    FIXTURE_DATA(balloon) * self, long *arrived)
{
	__u64 **before = calloc(self->mem.nr, sizeof(*before));
	long migrated = mo_vmstat("balloon_migrate");
	struct mo_write w;

	*arrived = 0;
	if (!before)
		return 0;
	for (unsigned int i = 0; i < self->mem.nr; i++)
		before[i] = mo_mem_flags(&self->mem, i);
	EXPECT_EQ(mo_write_deadline("/proc/sys/vm/compact_memory", "1",
				    2 * MO_DEADLINE, &w), 0)
		TH_LOG("compaction: %s", mo_write_str(&w));
	mo_vmstat_refresh();
	migrated = mo_vmstat("balloon_migrate") - migrated;
	for (unsigned int i = 0; i < self->mem.nr; i++) {
		__u64 *after = mo_mem_flags(&self->mem, i);

		for (unsigned long p = 0; before[i] && after && p < self->mem.block_pages; p++)
			*arrived += mo_is(after[p], MO_BALLOON) &&
				    !mo_is(before[i][p], MO_BALLOON);
		free(after);
		free(before[i]);
	}
	free(before);
	TH_LOG("%ld migrations, %ld pages elsewhere", migrated, *arrived);
	return migrated;
}

/* Free a part of every few pages, so that page blocks have free pages and others */
static void make_holes(char *mem, size_t size)
{
	long fraction = mo_read_number(PCP_FRACTION);
	char old[24];

	/* Pages that a CPU keeps to itself are none that compaction finds */
	mo_write(PCP_FRACTION, "1000000");
	for (size_t i = 0; i < size; i += 2 * HOLE_PAGES * psize())
		madvise(mem + i, HOLE_PAGES * psize(), MADV_DONTNEED);
	snprintf(old, sizeof(old), "%ld", fraction);
	mo_write(PCP_FRACTION, old);
}

/*
 * Inflate by steps, with as much memory of ours between them, and make holes in that
 * then. Whether pages are allocated upwards or downwards: compaction finds pages of
 * the balloon below page blocks with free pages. Blocks that are free as a whole it
 * leaves alone.
 */
static char *inflate_among_holes(FIXTURE_DATA(balloon) * self)
{
	const size_t size = (size_t)BALLOON_MIB << 20, step = (size_t)STEP_MIB << 20;
	char *ours = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = 0;

	if (ours == MAP_FAILED)
		return NULL;
	madvise(ours, size, MADV_NOHUGEPAGE);
	/* The balloon's may come from any node */
	mo_interleave(&self->mem, true);
	for (size_t done = 0; !err && done < size; done += step) {
		memset(ours + done, 1, step);
		err = mo_balloon_set((done + step) >> 20);
	}
	mo_interleave(&self->mem, false);
	if (err) {
		munmap(ours, size);
		return NULL;
	}
	make_holes(ours, size);
	return ours;
}

/* Every page that turns up in the balloon by compaction was counted */
TEST_F_TIMEOUT(balloon, migrations_counted, MO_TIMEOUT)
{
	long migrated, arrived;
	const char *why;
	char *ours;

	why = mo_need_compaction();
	if (why)
		SKIP(return, "%s", why);
	ours = inflate_among_holes(self);
	ASSERT_NE(ours, NULL);
	migrated = compact(_metadata, self, &arrived);
	munmap(ours, (size_t)BALLOON_MIB << 20);
	EXPECT_GT(migrated, 0);
	/* A page may be migrated twice, and back */
	EXPECT_LE(arrived, migrated);
	EXPECT_EQ(mo_balloon_pages(), self->pages);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);
	EXPECT_EQ(mo_managed(), self->managed - self->pages);
}

static pid_t start_compaction(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		mo_write("/proc/sys/vm/compact_memory", "1");
}

TEST_F_TIMEOUT(balloon, under_compaction, MO_TIMEOUT)
{
	const char *why;
	long migrated = mo_vmstat("balloon_migrate");
	pid_t pid;

	why = mo_need_compaction();
	if (why)
		SKIP(return, "%s", why);
	pid = start_compaction();
	ASSERT_GT(pid, 0);
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(mo_balloon_set(BALLOON_MIB), 0);
		EXPECT_EQ(mo_balloon_set(BALLOON_MIB / 4), 0);
	}
	kill(pid, SIGKILL);
	EXPECT_EQ(waitpid(pid, NULL, 0), pid);

	mo_vmstat_refresh();
	migrated = mo_vmstat("balloon_migrate") - migrated;
	TH_LOG("%ld migrations", migrated);
	EXPECT_GT(migrated, 0);
	EXPECT_EQ(mo_balloon_pages(), self->pages / 4);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages / 4);
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
	EXPECT_EQ(mo_managed(), self->managed);
}

TEST_HARNESS_MAIN
