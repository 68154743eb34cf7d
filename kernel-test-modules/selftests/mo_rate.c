// SPDX-License-Identifier: GPL-2.0
/*
 * How often migration succeeds where balloons and zsmalloc have their pages:
 * not a test, but what two kernels are compared by. Run by hand.
 *
 * Inflates a balloon while a process takes as much memory, which is freed then,
 * and fills zram. A round is compacting all memory, alloc_contig_range() of ranges
 * with such pages, a single attempt each, and offlining a block with such pages
 * and onlining it again, the latter two in ZONE_MOVABLE. Meanwhile another process
 * changes the size of the balloon and the content of zram now and then, unless
 * told not to.
 *
 * Environment:
 *	MO_RATE_ROUNDS	how many (default 10)
 *	MO_RATE_SEED	seed of the choices (default 1)
 *	MO_RATE_CHURN	0: nobody changes anything meanwhile (default 1)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest.h"
#include "vm_util.h"
#include "mo_util.h"

#define ZRAM_MIB	64
#define BALLOON_MIB	512
#define RANGE_PAGES	512
#define CONTIG_RANGES	16
#define PAUSE_US	500000

static struct mo_mem mem;
static struct mo_zram zram;

struct rate {
	long done, tried;
};

static struct rate offlines, contigs;

static long from_environment(const char *name, long def)
{
	const char *value = getenv(name);

	return value ? strtol(value, NULL, 0) : def;
}

static void churn(__u64 rnd)
{
	unsigned int nr = 256;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		unsigned int first = mo_random(&rnd) % (zram.pages - nr);

		mo_balloon_set(BALLOON_MIB / 2 + mo_random(&rnd) % (BALLOON_MIB / 2));
		mo_zram_discard(&zram, first, nr);
		mo_zram_fill(&zram, first, nr);
		usleep(PAUSE_US);
	}
}

/* Leave holes between the pages of the balloon, for compaction to fill */
static bool inflate_with_holes(void)
{
	pid_t pid = fork();
	int err;

	if (!pid) {
		mmap(NULL, (size_t)BALLOON_MIB << 20, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		pause();
	}
	err = mo_balloon_set(BALLOON_MIB);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return !err;
}

/* A range in a block that has many such pages, from a random one on */
static unsigned long pick(__u64 *rnd, struct mo_block **block)
{
	enum mo_kind kind = mo_random(rnd) % 4 ? MO_BALLOON : MO_ZSMALLOC;
	unsigned int first = mo_random(rnd) % mem.nr;

	for (unsigned int n = 0; n < mem.nr; n++) {
		struct mo_block *b = &mem.block[(first + n) % mem.nr];
		unsigned long at = mo_random(rnd) % mem.block_pages / RANGE_PAGES * RANGE_PAGES;

		if (strcmp(b->zone, "Movable") || !mo_block_online(b))
			continue;
		if (mo_count(b->pfn + at, RANGE_PAGES, MO_HOLE, NULL) ||
		    mo_count(b->pfn + at, RANGE_PAGES, kind, NULL) < RANGE_PAGES / 4)
			continue;
		*block = b;
		return b->pfn + at;
	}
	return 0;
}

static void offline(__u64 *rnd)
{
	struct mo_block *b;
	struct mo_write w;

	if (!pick(rnd, &b))
		return;
	offlines.tried++;
	if (!mo_block_set(b, "offline", &w))
		offlines.done++;
	if (!mo_block_online(b))
		mo_block_set(b, "online_movable", &w);
}

static void contig(__u64 *rnd)
{
	for (unsigned int i = 0; i < CONTIG_RANGES; i++) {
		struct mo_block *b;
		unsigned long pfn = pick(rnd, &b);

		if (!pfn)
			continue;
		contigs.tried++;
		contigs.done += !mo_module_write("contig", "%lu %d", pfn, RANGE_PAGES);
	}
}

static const char * const events[] = {
	"compact_isolated", "compact_migrate_scanned", "pgmigrate_success",
	"pgmigrate_fail", "balloon_migrate",
};

static long sums[ARRAY_SIZE(events)];

static void compact(void)
{
	long before[ARRAY_SIZE(events)];
	struct mo_write w;

	mo_vmstat_refresh();
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++)
		before[i] = mo_vmstat(events[i]);
	mo_write_deadline("/proc/sys/vm/compact_memory", "1", 60, &w);
	mo_vmstat_refresh();
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++)
		sums[i] += mo_vmstat(events[i]) - before[i];
}

static void print_result(void)
{
	printf("offlined %ld of %ld blocks, allocated %ld of %ld ranges, compaction:",
	       offlines.done, offlines.tried, contigs.done, contigs.tried);
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++)
		printf(" %s %ld", events[i], sums[i]);
	printf("\n");
}

int main(void)
{
	const char *why = mo_need_pages() ?: mo_need_balloon() ?: mo_need_hotplug() ?:
			  mo_need_zram() ?: mo_need_compaction() ?: mo_need_module();
	long rounds = from_environment("MO_RATE_ROUNDS", 10);
	long seed = from_environment("MO_RATE_SEED", 1);
	__u64 rnd = seed;
	pid_t pid = 0;

	if (why)
		ksft_exit_skip("%s\n", why);
	if (mo_balloon_set(0) || mo_mem_read(&mem))
		ksft_exit_fail_msg("no balloon, or no memory blocks\n");
	mo_run_near_movable(&mem);
	if (mo_zram_open(&zram, ZRAM_MIB, seed) || mo_zram_fill(&zram, 0, zram.pages) ||
	    !inflate_with_holes())
		ksft_exit_fail_msg("zram or balloon cannot be filled\n");
	if (from_environment("MO_RATE_CHURN", 1)) {
		pid = fork();
		if (!pid)
			churn(seed);
	}
	for (long i = 0; i < rounds; i++) {
		compact();
		contig(&rnd);
		offline(&rnd);
	}
	printf("seed %ld, %s: ", seed, pid ? "changing" : "quiet");
	print_result();
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	mo_mem_restore(&mem);
	mo_zram_close(&zram);
	mo_balloon_set(0);
	mo_mem_free(&mem);
	return 0;
}
