// SPDX-License-Identifier: GPL-2.0
/*
 * The race test: inflate and deflate, compact, offline and online, soft
 * offline and unpoison, allocate contiguous ranges, and use zram and slab, all
 * at once, then look whether all of it adds up.
 *
 * A race test that did not race shows nothing: it fails unless its counters
 * exceed the minimums below.
 *
 * Environment:
 *	MO_RACE_SECONDS	how long (default 60)
 *	MO_RACE_SEED	seed of all random choices (default: from the clock)
 *
 * Blocks of ZONE_MOVABLE are split in two sets, one for offlining and one for
 * soft offlining: a block that goes offline with a poisoned page in it cannot
 * be onlined again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define ZRAM_MIB	32
#define BALLOON_MAX_MIB	320
#define GRACE_MS	120000

enum count {
	COMPACTIONS,
	OFFLINES,
	OFFLINES_REFUSED,
	SOFT_OFFLINES,
	SOFT_OFFLINES_FAILED,
	BALLOON_SIZES,
	ZRAM_ROUNDS,
	CONTIG,
	CONTIG_FAILED,
	FILES,
	/* Errors: none may happen */
	ERR_HANG,
	ERR_ONLINE,
	ERR_UNPOISON,
	ERR_HOST,
	ERR_ZRAM,
	NR_COUNTS
};

static const char * const count_names[NR_COUNTS] = {
	[COMPACTIONS]		= "compactions",
	[OFFLINES]		= "offlines",
	[OFFLINES_REFUSED]	= "offlines refused",
	[SOFT_OFFLINES]		= "soft offlines",
	[SOFT_OFFLINES_FAILED]	= "soft offlines refused",
	[BALLOON_SIZES]		= "balloon sizes",
	[ZRAM_ROUNDS]		= "zram rounds",
	[CONTIG]		= "contiguous allocations",
	[CONTIG_FAILED]		= "contiguous allocations refused",
	[FILES]			= "files",
	[ERR_HANG]		= "operations killed at their deadline",
	[ERR_ONLINE]		= "blocks not onlined",
	[ERR_UNPOISON]		= "pages not unpoisoned",
	[ERR_HOST]		= "requests the host refused",
	[ERR_ZRAM]		= "zram pages with wrong content",
};

/* What one minute has to reach at least; scaled, but never below 1 */
static const struct {
	const char *name;	/* in /proc/vmstat */
	enum count count;	/* where name is NULL */
	long per_minute;
} minimums[] = {
	{ .name = "balloon_migrate",	.per_minute = 5000 },
	{ .name = "balloon_inflate",	.per_minute = 50000 },
	{ .name = "balloon_deflate",	.per_minute = 50000 },
	{ .name = "compact_isolated",	.per_minute = 10000 },
	{ .count = COMPACTIONS,		.per_minute = 5 },
	{ .count = OFFLINES,		.per_minute = 5 },
	{ .count = SOFT_OFFLINES,	.per_minute = 10 },
	{ .count = BALLOON_SIZES,	.per_minute = 5 },
	{ .count = ZRAM_ROUNDS,		.per_minute = 5 },
	{ .count = FILES,		.per_minute = 1000 },
};

struct shared {
	long count[NR_COUNTS];
	bool stop;
};

FIXTURE(race)
{
	struct mo_mem mem;
	struct mo_zram zram;
	struct shared *shared;
	const char *gigantic;	/* nr_hugepages */
	long nr_gigantic;
	long movable_gigantic;
	long managed;
	long corrupted;
	long tainted;
	unsigned int seconds;
	uint64_t seed;
};

static void inc(struct shared *s, enum count c)
{
	__atomic_add_fetch(&s->count[c], 1, __ATOMIC_RELAXED);
}

static bool stopped(const struct shared *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

/* A block of ZONE_MOVABLE of one of the two sets, NULL if it is not usable */
static struct mo_block *random_block(FIXTURE_DATA(race) * self, unsigned int set,
				     uint64_t *rnd)
{
	struct mo_block *b = &self->mem.block[mo_random(rnd) % self->mem.nr];

	if (b->id % 2 != set || !b->online || strcmp(b->zone, "Movable"))
		return NULL;
	return b;
}

static void work_balloon(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	if (mo_balloon_set(16 + mo_random(rnd) % (BALLOON_MAX_MIB - 16)))
		inc(self->shared, ERR_HOST);
	else
		inc(self->shared, BALLOON_SIZES);
}

static void work_compact(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	struct mo_write w;

	mo_write_deadline("/proc/sys/vm/compact_memory", "1", 4 * MO_DEADLINE, &w);
	inc(self->shared, w.killed ? ERR_HANG : COMPACTIONS);
}

static void work_offline(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	struct mo_block *b = random_block(self, 0, rnd);
	struct mo_write w;

	if (!b || mo_count(b->pfn, self->mem.block_pages, MO_HOLE, NULL))
		return;
	mo_block_set(b, "offline", &w);
	if (w.killed)
		inc(self->shared, ERR_HANG);
	else
		inc(self->shared, w.err ? OFFLINES_REFUSED : OFFLINES);
	if (!mo_block_online(b) && mo_block_set(b, "online_movable", &w))
		inc(self->shared, ERR_ONLINE);
}

/* A page that was ballooned when we looked: it may be anything by now */
static void work_soft_offline(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	struct mo_block *b = random_block(self, 1, rnd);
	uint64_t *flags = b ? mo_mem_flags(&self->mem, b - self->mem.block) : NULL;
	unsigned long i, nr = self->mem.block_pages;
	unsigned int tries = 0;

	if (!flags)
		return;
	for (unsigned int n = 0; n < 8; n++) {
		i = mo_random(rnd) % nr;
		while (i < nr && !mo_is(flags[i], n % 4 ? MO_BALLOON : MO_ZSMALLOC))
			i++;
		if (i == nr)
			continue;
		if (mo_soft_offline(b->pfn + i)) {
			inc(self->shared, SOFT_OFFLINES_FAILED);
			continue;
		}
		inc(self->shared, SOFT_OFFLINES);
		/* Somebody may look at it for a moment */
		while (mo_pfn_is(b->pfn + i, MO_POISONED) && unpoison_memory(b->pfn + i)) {
			if (++tries > 20) {
				inc(self->shared, ERR_UNPOISON);
				break;
			}
			usleep(10000);
		}
	}
	free(flags);
}

static void work_zram(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	unsigned int nr = 256, first = mo_random(rnd) % (self->zram.pages - nr);

	if (mo_zram_check(&self->zram, first, nr) ||
	    mo_zram_discard(&self->zram, first, nr) ||
	    mo_zram_fill(&self->zram, first, nr) ||
	    mo_zram_check(&self->zram, first, nr))
		inc(self->shared, ERR_ZRAM);
	inc(self->shared, ZRAM_ROUNDS);
}

/* A whole CMA area, or a gigantic page: where others have their pages */
static void contig(FIXTURE_DATA(race) * self, const char *path, long nr,
		   const char *back_path, long back)
{
	struct mo_write w;
	char buf[32];

	snprintf(buf, sizeof(buf), "%ld", nr);
	mo_write_deadline(path, buf, MO_DEADLINE, &w);
	/* nr_hugepages takes what it cannot get, without an error */
	if (!w.err && path == back_path && mo_read_number(path) != nr)
		w.err = ENOMEM;
	if (w.killed)
		inc(self->shared, ERR_HANG);
	else
		inc(self->shared, w.err ? CONTIG_FAILED : CONTIG);
	if (w.err)
		return;
	snprintf(buf, sizeof(buf), "%ld", back);
	mo_write(back_path, buf);
}

static void work_contig(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	DIR *dir = opendir("/sys/kernel/debug/cma");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[512], back_path[512];
		long nr;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/debug/cma/%s/maxchunk", e->d_name);
		nr = mo_read_number(path);
		snprintf(path, sizeof(path), "/sys/kernel/debug/cma/%s/alloc", e->d_name);
		snprintf(back_path, sizeof(back_path), "/sys/kernel/debug/cma/%s/free", e->d_name);
		if (nr > 0)
			contig(self, path, nr, back_path, nr);
	}
	if (dir)
		closedir(dir);
	if (self->gigantic && !(mo_random(rnd) % 8))
		contig(self, self->gigantic, self->nr_gigantic + 1,
		       self->gigantic, self->nr_gigantic);
	usleep(200000);
}

static void work_slab(FIXTURE_DATA(race) * self, uint64_t *rnd)
{
	char dir[] = "/tmp/mo_race.XXXXXX", path[64];
	int i, nr = 200 + mo_random(rnd) % 200;

	if (!mkdtemp(dir))
		return;
	for (i = 0; i < nr; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%d", dir, i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			break;
		close(fd);
		inc(self->shared, FILES);
	}
	while (i--) {
		snprintf(path, sizeof(path), "%s/%d", dir, i);
		unlink(path);
	}
	rmdir(dir);
}

static void (* const workers[])(FIXTURE_DATA(race) * self, uint64_t *rnd) = {
	work_balloon, work_compact, work_offline, work_soft_offline, work_zram,
	work_contig, work_slab,
};

static pid_t start_worker(FIXTURE_DATA(race) * self, unsigned int i)
{
	int nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t rnd = self->seed + i + 1;
	cpu_set_t set;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(i % nr_cpus, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (!stopped(self->shared))
		workers[i](self, &rnd);
	_exit(0);
}

FIXTURE_SETUP(race)
{
	const char *why;
	const char *env;

	why = mo_need_balloon() ?: mo_need_compaction() ?: mo_need_hwpoison() ?: mo_need_zram();
	if (why)
		SKIP(return, "%s", why);
	env = getenv("MO_RACE_SECONDS");
	self->seconds = env ? strtoul(env, NULL, 0) : 60;
	env = getenv("MO_RACE_SEED");
	self->seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	TH_LOG("MO_RACE_SECONDS=%u MO_RACE_SEED=%llu", self->seconds,
	       (unsigned long long)self->seed);

	ASSERT_EQ(mo_balloon_set(0), 0);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	if (!mo_mem_pick(&self->mem, MO_BUDDY, 1)) {
		mo_mem_free(&self->mem);
		SKIP(return, "no memory block of ZONE_MOVABLE");
	}
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->shared, MAP_FAILED);
	self->gigantic = mo_gigantic();
	if (self->gigantic)
		self->nr_gigantic = mo_read_number(self->gigantic);
	self->movable_gigantic = mo_read_number(MO_MOVABLE_GIGANTIC);
	if (!self->movable_gigantic)
		mo_write(MO_MOVABLE_GIGANTIC, "1");
	self->managed = mo_managed();
	self->corrupted = mo_meminfo_kb("HardwareCorrupted:");
	self->tainted = mo_read_number("/proc/sys/kernel/tainted");
	ASSERT_EQ(mo_zram_open(&self->zram, ZRAM_MIB, self->seed), 0);
	ASSERT_EQ(mo_zram_fill(&self->zram, 0, self->zram.pages), 0);
}

FIXTURE_TEARDOWN(race)
{
	if (!self->movable_gigantic)
		mo_write(MO_MOVABLE_GIGANTIC, "0");
	mo_mem_restore(&self->mem);
	mo_balloon_set(0);
	mo_zram_close(&self->zram);
	mo_mem_free(&self->mem);
}

static void check_contention(struct __test_metadata *_metadata,
			     FIXTURE_DATA(race) * self, const long *before)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(minimums); i++) {
		long min = minimums[i].per_minute * self->seconds / 60 ?: 1;
		const char *name = minimums[i].name;
		long seen;

		if (name) {
			seen = mo_vmstat(name) - before[i];
		} else {
			seen = self->shared->count[minimums[i].count];
			name = count_names[minimums[i].count];
		}
		EXPECT_GE(seen, min)
			TH_LOG("%s: %ld, less than %ld", name, seen, min);
		TH_LOG("%s: %ld, minimum %ld", name, seen, min);
	}
}

static void check_consistency(struct __test_metadata *_metadata,
			      FIXTURE_DATA(race) * self)
{
	EXPECT_EQ(mo_mem_restore(&self->mem), 0);
	EXPECT_EQ(mo_balloon_pages(), mo_mem_count(&self->mem, -1, MO_BALLOON));
	for (unsigned int i = 0; i < self->mem.nr; i++) {
		int node = self->mem.block[i].node;

		if (i && self->mem.block[i - 1].node == node)
			continue;
		EXPECT_EQ(mo_node_vmstat(node, "nr_balloon_pages"),
			  mo_mem_count(&self->mem, node, MO_BALLOON))
			TH_LOG("node%d", node);
	}
	EXPECT_EQ(mo_zram_check(&self->zram, 0, self->zram.pages), 0);
	EXPECT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
	EXPECT_EQ(mo_managed(), self->managed);
	EXPECT_EQ(mo_meminfo_kb("HardwareCorrupted:"), self->corrupted);
	EXPECT_EQ(mo_read_number("/proc/sys/kernel/tainted"), self->tainted);
}

TEST_F_TIMEOUT(race, all_at_once, 3600)
{
	long before[ARRAY_SIZE(minimums)];
	pid_t pids[ARRAY_SIZE(workers)];
	uint64_t end;

	mo_vmstat_refresh();
	for (unsigned int i = 0; i < ARRAY_SIZE(minimums); i++)
		before[i] = minimums[i].name ? mo_vmstat(minimums[i].name) : 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(workers); i++)
		pids[i] = start_worker(self, i);

	sleep(self->seconds);
	__atomic_store_n(&self->shared->stop, true, __ATOMIC_RELAXED);
	end = mo_now_ms() + GRACE_MS;
	for (unsigned int i = 0; i < ARRAY_SIZE(workers); i++) {
		while (!waitpid(pids[i], NULL, WNOHANG) && mo_now_ms() < end)
			usleep(50000);
		if (!kill(pids[i], SIGKILL)) {
			/* Reaped ones are gone: this one did not end */
			inc(self->shared, ERR_HANG);
			TH_LOG("worker %u did not end", i);
		}
	}
	mo_vmstat_refresh();
	for (unsigned int i = 0; i < NR_COUNTS; i++)
		TH_LOG("%s: %ld", count_names[i], self->shared->count[i]);
	check_contention(_metadata, self, before);
	for (unsigned int i = ERR_HANG; i < NR_COUNTS; i++) {
		EXPECT_EQ(self->shared->count[i], 0)
			TH_LOG("%s", count_names[i]);
	}
	check_consistency(_metadata, self);
}

TEST_HARNESS_MAIN
