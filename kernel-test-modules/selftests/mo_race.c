// SPDX-License-Identifier: GPL-2.0
/*
 * The race test: inflate and deflate a balloon, own pages by a module, compact,
 * offline and online, soft offline and unpoison, allocate contiguous ranges, and
 * use zram and slab, all at once, then look whether all of it adds up.
 *
 * A race test that did not race shows nothing: it fails unless its counters
 * exceed the minimums below. What the machine does not have is left out with a
 * line that says so; there has to be a balloon or the module, and compaction.
 *
 * Environment:
 *	MO_RACE_SECONDS	how long (default 60)
 *	MO_RACE_SEED	seed of the choices made here (default: from the clock)
 *
 * Blocks of ZONE_MOVABLE without poison are split in two sets, one for offlining and one for
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
#define PRESS_SECONDS	5
#define MAX_USABLE	256
#define DELAY_US	300
/*
 * Seconds for an operation at least, half of a long race otherwise: with everybody
 * in the way, offlining may have to wait. What began just before the end may need
 * as long: everybody has that time and some seconds more then.
 */
#define RACE_DEADLINE	150
#define GRACE_SECONDS	30

/* What a machine may have and not have */
enum need {
	BALLOON,
	MODULE,
	PROBES,		/* the module counts isolations */
	ZRAM,
	HOTPLUG,
	HWPOISON,
	WALK,
	NR_NEEDS
};

static const char * const need_names[NR_NEEDS] = {
	[BALLOON]	= "balloon",
	[MODULE]	= "pages of the module",
	[PROBES]	= "isolations counted",
	[ZRAM]		= "zram",
	[HOTPLUG]	= "offlining",
	[HWPOISON]	= "soft offlining",
	[WALK]		= "check of references",
};

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
	PRESSES,
	VERIFIES,
	/* Errors: none may happen */
	ERR_HANG,
	ERR_ONLINE,
	ERR_UNPOISON,
	ERR_HOST,
	ERR_ZRAM,
	ERR_MODULE,
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
	[PRESSES]		= "times that the module pressed",
	[VERIFIES]		= "times that the module verified",
	[ERR_HANG]		= "operations killed at their deadline",
	[ERR_ONLINE]		= "blocks not onlined",
	[ERR_UNPOISON]		= "pages not unpoisoned",
	[ERR_HOST]		= "requests the host refused",
	[ERR_ZRAM]		= "zram pages with wrong content",
	[ERR_MODULE]		= "errors that the module found",
};

enum source {
	VMSTAT,
	STAT,	/* of the module */
	COUNT,
};

/* What one minute has to reach at least; scaled, but never below 1 */
static const struct {
	enum source source;
	const char *name;	/* in /proc/vmstat, or of the module */
	enum count count;
	enum need need;
	bool always;		/* whatever the machine has */
	long per_minute;
} minimums[] = {
	{ VMSTAT, "compact_isolated",	.always = true,	.per_minute = 5000 },
	{ COUNT, .count = COMPACTIONS,	.always = true,	.per_minute = 5 },
	{ COUNT, .count = FILES,	.always = true,	.per_minute = 1000 },
	{ VMSTAT, "balloon_migrate",	.always = true,	.per_minute = 2000 },
	{ VMSTAT, "balloon_inflate",	.always = true, .per_minute = 5000 },
	{ VMSTAT, "balloon_deflate",	.always = true,	.per_minute = 5000 },
	{ STAT, "migrations",		.need = MODULE,	.per_minute = 500 },
	{ STAT, "migrations_busy",	.need = MODULE,	.per_minute = 5 },
	{ STAT, "migrations_injected",	.need = MODULE,	.per_minute = 5 },
	{ STAT, "looks",		.need = MODULE,	.per_minute = 1000 },
	{ STAT, "takes",		.need = MODULE,	.per_minute = 500 },
	{ STAT, "takes_skipped",	.need = MODULE,	.per_minute = 1 },
	{ COUNT, .count = PRESSES,	.need = MODULE,	.per_minute = 2 },
	{ COUNT, .count = VERIFIES,	.need = MODULE,	.per_minute = 2 },
	{ STAT, "isolations",		.need = PROBES,	.per_minute = 2000 },
	{ STAT, "isolations_lost",	.need = PROBES,	.per_minute = 100 },
	{ COUNT, .count = BALLOON_SIZES, .need = BALLOON, .per_minute = 2 },
	{ COUNT, .count = OFFLINES,	.need = HOTPLUG, .per_minute = 3 },
	{ COUNT, .count = SOFT_OFFLINES, .need = HWPOISON, .per_minute = 5 },
	{ COUNT, .count = ZRAM_ROUNDS,	.need = ZRAM,	.per_minute = 5 },
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
	bool has[NR_NEEDS];
	struct mo_block *usable[MAX_USABLE];
	unsigned int nr_usable;
	const char *gigantic;	/* nr_hugepages */
	long nr_gigantic;
	long movable_gigantic;
	long managed;
	long corrupted;
	long tainted;
	unsigned int seconds;
	unsigned int deadline;
	__u64 seed;
};

static void inc(struct shared *s, enum count c)
{
	__atomic_add_fetch(&s->count[c], 1, __ATOMIC_RELAXED);
}

static bool stopped(const struct shared *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

/* One of the blocks of a set; blocks take turns in belonging to either */
static struct mo_block *random_block(FIXTURE_DATA(race) * self, unsigned int set,
				     __u64 *rnd)
{
	unsigned int n = mo_random(rnd) % (self->nr_usable / 2);

	return self->usable[2 * n + set];
}

static void find_usable(FIXTURE_DATA(race) * self)
{
	for (unsigned int i = 0; i < self->mem.nr && self->nr_usable < MAX_USABLE; i++) {
		struct mo_block *b = &self->mem.block[i];

		if (!b->online || strcmp(b->zone, "Movable") ||
		    mo_count(b->pfn, self->mem.block_pages, MO_HOLE, NULL) ||
		    mo_count(b->pfn, self->mem.block_pages, MO_POISONED, NULL))
			continue;
		self->usable[self->nr_usable++] = b;
	}
}

static void work_balloon(FIXTURE_DATA(race) * self, __u64 *rnd)
{
	if (mo_balloon_set(16 + mo_random(rnd) % (BALLOON_MAX_MIB - 16)))
		inc(self->shared, ERR_HOST);
	else
		inc(self->shared, BALLOON_SIZES);
}

/* Whether it was done; who never comes back from it hangs */
static bool operate(FIXTURE_DATA(race) * self, const char *path, const char *value)
{
	struct mo_write w;

	mo_write_deadline(path, value, self->deadline, &w);
	if (w.killed) {
		inc(self->shared, ERR_HANG);
		ksft_print_msg("%s > %s: %s\n", value, path, mo_write_str(&w));
	}
	return !w.err;
}

static void work_compact(FIXTURE_DATA(race) * self, __u64 *rnd)
{
	if (operate(self, "/proc/sys/vm/compact_memory", "1"))
		inc(self->shared, COMPACTIONS);
}

static void work_offline(FIXTURE_DATA(race) * self, __u64 *rnd)
{
	struct mo_block *b = random_block(self, 0, rnd);
	char path[64];
	bool done;

	snprintf(path, sizeof(path), MO_MEMORY "/memory%lu/state", b->id);
	done = operate(self, path, "offline");
	inc(self->shared, done ? OFFLINES : OFFLINES_REFUSED);
	if (!mo_block_online(b) && !operate(self, path, "online_movable"))
		inc(self->shared, ERR_ONLINE);
}

/* A page that was ballooned when we looked: it may be anything by now */
static void work_soft_offline(FIXTURE_DATA(race) * self, __u64 *rnd)
{
	struct mo_block *b = random_block(self, 1, rnd);
	__u64 *flags = mo_mem_flags(&self->mem, b - self->mem.block);
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

static void work_zram(FIXTURE_DATA(race) * self, __u64 *rnd)
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
	char buf[32];
	bool done;

	snprintf(buf, sizeof(buf), "%ld", nr);
	done = operate(self, path, buf);
	/* nr_hugepages takes what it cannot get, without an error */
	if (path == back_path && mo_read_number(path) != nr)
		done = false;
	inc(self->shared, done ? CONTIG : CONTIG_FAILED);
	if (!done)
		return;
	snprintf(buf, sizeof(buf), "%ld", back);
	mo_write(back_path, buf);
}

static void work_contig(FIXTURE_DATA(race) * self, __u64 *rnd)
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
	/*
	 * Not beside offlining: a gigantic page is looked for where memory may
	 * have gone offline since, on unmodified 7.3 too (BUG with DEBUG_VM).
	 */
	if (self->gigantic && !self->has[HOTPLUG] && !(mo_random(rnd) % 8))
		contig(self, self->gigantic, self->nr_gigantic + 1,
		       self->gigantic, self->nr_gigantic);
	usleep(200000);
}

static void work_slab(FIXTURE_DATA(race) * self, __u64 *rnd)
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

static void work_press(FIXTURE_DATA(race) * self, __u64 *rnd)
{
	if (mo_module_write("press", "%d %u", PRESS_SECONDS,
			    1 + (unsigned int)(mo_random(rnd) % 4)))
		inc(self->shared, ERR_MODULE);
	else
		inc(self->shared, PRESSES);
}

/* Verifying keeps the threads of press from working */
static void work_module(FIXTURE_DATA(race) * self, __u64 *rnd)
{
	for (int i = 0; i < 20 && !stopped(self->shared); i++) {
		mo_module_add(1 + mo_random(rnd) % 64, -1);
		mo_module_write("free", "%d", 1 + (int)(mo_random(rnd) % 64));
		usleep(50000);
	}
	if (!mo_module_verify(false))
		inc(self->shared, ERR_MODULE);
	inc(self->shared, VERIFIES);
}

static const struct {
	void (*work)(FIXTURE_DATA(race) * self, __u64 *rnd);
	enum need need;
	bool always;
} workers[] = {
	{ work_compact,		.always = true },
	{ work_slab,		.always = true },
	{ work_contig,		.always = true },
	{ work_balloon,		BALLOON },
	{ work_offline,		HOTPLUG },
	{ work_soft_offline,	HWPOISON },
	{ work_zram,		ZRAM },
	{ work_press,		MODULE },
	{ work_module,		MODULE },
};

static pid_t start_worker(FIXTURE_DATA(race) * self, unsigned int i)
{
	int nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	__u64 rnd = self->seed + i + 1;
	cpu_set_t set;
	pid_t pid;

	if (!workers[i].always && !self->has[workers[i].need])
		return 0;
	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(i % nr_cpus, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (!stopped(self->shared))
		workers[i].work(self, &rnd);
	_exit(0);
}

static const char *need_probes(void)
{
	return mo_module_stat("isolations") < 0 ? "no kretprobes (CONFIG_KPROBES)" : NULL;
}

static const char *need_movable_block(FIXTURE_DATA(race) * self)
{
	const char *why = mo_need_hotplug();

	if (why)
		return why;
	if (!self->mem.nr && mo_mem_read(&self->mem))
		return "memory blocks cannot be read";
	find_usable(self);
	return self->nr_usable > 1 ? NULL : "needs two blocks of ZONE_MOVABLE without poison";
}

/* What is there; the rest is reported as skipped */
static void find_needs(FIXTURE_DATA(race) * self)
{
	const char *why[NR_NEEDS] = {};

	why[MODULE] = mo_need_module();
	why[PROBES] = why[MODULE] ?: need_probes();
	why[WALK] = mo_need_walk();
	why[ZRAM] = mo_need_zram();
	why[HOTPLUG] = need_movable_block(self);
	why[HWPOISON] = why[HOTPLUG] ?: mo_need_hwpoison();
	why[BALLOON] = mo_need_balloon();
	for (int i = 0; i < NR_NEEDS; i++) {
		self->has[i] = !why[i];
		if (why[i])
			ksft_print_msg("SKIP %s: %s\n", need_names[i], why[i]);
	}
}

FIXTURE_SETUP(race)
{
	const char *why;
	const char *env;

	why = mo_need_pages() ?: mo_need_compaction();
	if (why)
		SKIP(return, "%s", why);
	find_needs(self);
	if (!self->has[BALLOON] && !self->has[MODULE])
		SKIP(return, "neither a balloon nor the module");
	env = getenv("MO_RACE_SECONDS");
	self->seconds = env ? strtoul(env, NULL, 0) : 60;
	self->deadline = self->seconds / 2;
	if (self->deadline < RACE_DEADLINE)
		self->deadline = RACE_DEADLINE;
	env = getenv("MO_RACE_SEED");
	self->seed = env ? strtoull(env, NULL, 0) : (__u64)time(NULL);
	TH_LOG("MO_RACE_SECONDS=%u MO_RACE_SEED=%llu", self->seconds,
	       (unsigned long long)self->seed);

	if (self->has[BALLOON])
		ASSERT_EQ(mo_balloon_set(0), 0);
	if (self->has[MODULE])
		ASSERT_EQ(mo_module_reset(), 0);
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
	if (self->has[ZRAM]) {
		ASSERT_EQ(mo_zram_open(&self->zram, ZRAM_MIB, self->seed), 0);
		ASSERT_EQ(mo_zram_fill(&self->zram, 0, self->zram.pages), 0);
	}
	if (self->has[MODULE]) {
		ASSERT_EQ(mo_module_add((MO_MODULE_MIB << 20) / psize(), -1), 0);
		ASSERT_EQ(mo_module_write("fail_every", "61"), 0);
		ASSERT_EQ(mo_module_write("delay_us", "%d", DELAY_US), 0);
	}
}

FIXTURE_TEARDOWN(race)
{
	if (!self->movable_gigantic)
		mo_write(MO_MOVABLE_GIGANTIC, "0");
	mo_mem_restore(&self->mem);
	if (self->has[BALLOON])
		mo_balloon_set(0);
	if (self->has[MODULE])
		mo_module_reset();
	mo_zram_close(&self->zram);
	mo_mem_free(&self->mem);
}

static long seen(FIXTURE_DATA(race) * self, unsigned int i)
{
	switch (minimums[i].source) {
	case VMSTAT:
		return mo_vmstat(minimums[i].name);
	case STAT:
		return mo_module_stat(minimums[i].name);
	case COUNT:
		return self->shared->count[minimums[i].count];
	}
	return -1;
}

static void check_contention(struct __test_metadata *_metadata,
			     FIXTURE_DATA(race) * self, const long *before)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(minimums); i++) {
		long min = minimums[i].per_minute * self->seconds / 60 ?: 1;
		const char *name = minimums[i].name ?: count_names[minimums[i].count];
		long nr = seen(self, i) - before[i];

		if (!minimums[i].always && !self->has[minimums[i].need]) {
			ksft_print_msg("SKIP %s: no %s\n", name, need_names[minimums[i].need]);
			continue;
		}
		EXPECT_GE(nr, min)
			TH_LOG("%s: %ld, less than %ld", name, nr, min);
		TH_LOG("%s: %ld, minimum %ld", name, nr, min);
	}
}

static const char * const module_errors[] = {
	"migrations_unknown", "migrations_unreadable", "bad_content", "bad_type",
	"bad_refcount", "bad_node", "missing", "unknown",
};

/* Nothing lost, nothing changed, with all that is owned where it is */
static void check_owned(struct __test_metadata *_metadata,
			FIXTURE_DATA(race) * self)
{
	struct mo_walk w;

	if (self->has[ZRAM])
		EXPECT_EQ(mo_zram_check(&self->zram, 0, self->zram.pages), 0);
	if (self->has[MODULE]) {
		EXPECT_TRUE(mo_module_verify(true));
		for (unsigned int i = 0; i < ARRAY_SIZE(module_errors); i++) {
			EXPECT_EQ(mo_module_stat(module_errors[i]), 0)
				TH_LOG("%s", module_errors[i]);
		}
		/* Somebody who walks page frames gets references, or cannot */
		EXPECT_EQ(mo_module_stat("referenced") > 0, MO_OFFLINE_REFCOUNT > 0);
		if (!self->has[BALLOON])
			EXPECT_EQ(mo_module_pages(), mo_balloon_pages());
	}
	if (self->has[WALK]) {
		ASSERT_EQ(mo_walk_check(MO_OFFLINE_REFCOUNT, MO_ZSMALLOC_REFCOUNT, &w), 0);
		EXPECT_TRUE(w.ok)
			TH_LOG("%s", w.report);
		EXPECT_EQ(mo_walk_count(MO_OFFLINE " movable_ops"), mo_balloon_pages());
	}
}

/* The counters of the system agree with the flags of its pages */
static void check_counters(struct __test_metadata *_metadata,
			   FIXTURE_DATA(race) * self)
{
	if (!self->mem.nr)
		return;
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
}

static void check_consistency(struct __test_metadata *_metadata,
			      FIXTURE_DATA(race) * self)
{
	check_counters(_metadata, self);
	check_owned(_metadata, self);
	if (self->has[MODULE]) {
		EXPECT_EQ(mo_module_write("free", "0"), 0);
		EXPECT_EQ(mo_module_pages(), 0);
	}
	if (self->has[BALLOON])
		EXPECT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	check_counters(_metadata, self);
	if (self->has[WALK])
		EXPECT_EQ(mo_walk_count(MO_OFFLINE " movable_ops"), 0);
	EXPECT_EQ(mo_managed(), self->managed);
	EXPECT_EQ(mo_meminfo_kb("HardwareCorrupted:"), self->corrupted);
	EXPECT_EQ(mo_read_number("/proc/sys/kernel/tainted"), self->tainted);
}

TEST_F_TIMEOUT(race, all_at_once, 3600)
{
	long before[ARRAY_SIZE(minimums)];
	pid_t pids[ARRAY_SIZE(workers)];
	__u64 end;

	mo_vmstat_refresh();
	for (unsigned int i = 0; i < ARRAY_SIZE(minimums); i++)
		before[i] = seen(self, i);
	for (unsigned int i = 0; i < ARRAY_SIZE(workers); i++)
		pids[i] = start_worker(self, i);

	sleep(self->seconds);
	__atomic_store_n(&self->shared->stop, true, __ATOMIC_RELAXED);
	end = mo_now_ms() + (self->deadline + GRACE_SECONDS) * 1000ULL;
	for (unsigned int i = 0; i < ARRAY_SIZE(workers); i++) {
		if (pids[i] <= 0)
			continue;
		while (!waitpid(pids[i], NULL, WNOHANG) && mo_now_ms() < end)
			usleep(50000);
		if (!kill(pids[i], SIGKILL)) {
			/* Reaped ones are gone: this one did not end */
			inc(self->shared, ERR_HANG);
			TH_LOG("worker %u did not end", i);
		}
	}
	if (self->has[MODULE])
		mo_module_write("delay_us", "0");
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
