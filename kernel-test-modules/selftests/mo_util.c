// SPDX-License-Identifier: GPL-2.0
/* See mo_util.h */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/mempolicy.h>

#include "vm_util.h"
#include "mo_util.h"

/* Bits of /proc/kpageflags; vm_util.h defines only some, and as masks */
#define F_REFERENCED	BIT_ULL(2)
#define F_UPTODATE	BIT_ULL(3)	/* PG_movable_ops is an alias */
#define F_LRU		BIT_ULL(5)
#define F_SLAB		BIT_ULL(7)
#define F_BUDDY		BIT_ULL(10)
#define F_MMAP		BIT_ULL(11)
#define F_ANON		BIT_ULL(12)
#define F_SWAPBACKED	BIT_ULL(14)
#define F_HUGE		BIT_ULL(17)
#define F_HWPOISON	BIT_ULL(19)
#define F_NOPAGE	BIT_ULL(20)
#define F_OFFLINE	BIT_ULL(23)
#define F_PGTABLE	BIT_ULL(26)
#define F_RESERVED	BIT_ULL(32)

#define HWPOISON_DIR	"/sys/kernel/debug/hwpoison"
#define MODULE_DIR	"/sys/kernel/debug/test_movable_ops"
#define WALK_DIR	"/sys/kernel/debug/page_offline_walk"
#define WALK_PARAMS	"/sys/module/page_offline_walk/parameters"

/* Files */

__u64 mo_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/**
 * mo_read() - read the beginning of a file into a string
 * @path: file
 * @buf: gets the string, without the newline at its end
 * @size: of @buf
 *
 * Return: length of the string, or a negative error number
 */
int mo_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	len = read(fd, buf, size - 1);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return len;
	while (len && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return len;
}

/**
 * mo_read_number() - read a file with a decimal number
 * @path: file
 *
 * Return: the number, -1 if it cannot be read
 */
long mo_read_number(const char *path)
{
	char buf[32];

	return mo_read(path, buf, sizeof(buf)) > 0 ? atol(buf) : -1;
}

/**
 * mo_write() - write a string to a file with one system call
 * @path: file
 * @value: string
 *
 * Return: 0 or a negative error number
 */
int mo_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Milliseconds of system time that a process has used */
static unsigned int stime_ms(pid_t pid)
{
	unsigned long stime = 0;
	char path[64], buf[512];
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (mo_read(path, buf, sizeof(buf)) <= 0)
		return 0;
	/* The name may contain anything, what follows it does not */
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %lu",
			 &stime) != 1)
		return 0;
	return stime * 1000 / sysconf(_SC_CLK_TCK);
}

static bool wait_ms(pid_t pid, int *status, unsigned int ms)
{
	__u64 end = mo_now_ms() + ms;

	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		if (mo_now_ms() >= end)
			return false;
		usleep(10000);
	}
}

/**
 * mo_write_deadline() - write to a file, but not for ever
 * @path: file
 * @value: string
 * @seconds: deadline, after which the writer is killed
 * @w: how it ended
 *
 * The write is made by a child, so that a kernel that never comes back from it
 * costs the deadline and not the test.
 *
 * Return: 0 or a negative error number, like mo_write()
 */
int mo_write_deadline(const char *path, const char *value, unsigned int seconds,
		      struct mo_write *w)
{
	__u64 start = mo_now_ms();
	unsigned int half, half_ms;
	int status = 0;
	pid_t pid;

	memset(w, 0, sizeof(*w));
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		w->err = errno;
		return -w->err;
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(-mo_write(path, value));
	}

	if (!wait_ms(pid, &status, seconds * 500)) {
		half = stime_ms(pid);
		half_ms = mo_now_ms() - start;
		if (!wait_ms(pid, &status, seconds * 500)) {
			w->killed = true;
			w->stime_ms = stime_ms(pid);
			w->ms = mo_now_ms() - start;
			w->spinning = 2 * (w->stime_ms - half) > w->ms - half_ms;
			kill(pid, SIGKILL);
			w->stuck = !wait_ms(pid, &status, 20000);
			w->err = EINTR;
			return -EINTR;
		}
	}
	w->ms = mo_now_ms() - start;
	w->err = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	return -w->err;
}

const char *mo_write_str(const struct mo_write *w)
{
	static char buf[160];

	if (w->killed)
		snprintf(buf, sizeof(buf), "killed after %u ms, %u ms of them in the kernel%s%s",
			 w->ms, w->stime_ms, w->spinning ? ", spinning" : "",
			 w->stuck ? ", and survived that" : "");
	else
		snprintf(buf, sizeof(buf), "%s after %u ms",
			 w->err ? strerror(w->err) : "done", w->ms);
	return buf;
}

/* Page frames */

/**
 * mo_flags() - flags of page frames
 * @pfn: first one
 * @nr: how many
 * @flags: gets the flags as /proc/kpageflags has them
 *
 * Return: 0 or a negative error number
 */
int mo_flags(unsigned long pfn, unsigned long nr, __u64 *flags)
{
	ssize_t want = nr * sizeof(*flags), got = 0;
	int fd = open("/proc/kpageflags", O_RDONLY);

	if (fd < 0)
		return -errno;
	while (got < want) {
		ssize_t len = pread(fd, (char *)flags + got, want - got,
				    pfn * sizeof(*flags) + got);

		if (len <= 0)
			break;
		got += len;
	}
	close(fd);
	return got == want ? 0 : -EIO;
}

/**
 * mo_is() - is this page of that kind?
 * @flags: of the page
 * @kind: what is asked for
 *
 * zsmalloc has no flag of its own: it is what is movable_ops without being in a
 * balloon. PG_movable_ops is PG_uptodate elsewhere, which only pages on an LRU
 * list or on their way to one have.
 *
 * Return: true if it is
 */
bool mo_is(__u64 flags, enum mo_kind kind)
{
	const __u64 other = F_LRU | F_SLAB | F_BUDDY | F_OFFLINE | F_MMAP |
			       F_ANON | F_SWAPBACKED | F_REFERENCED | F_HUGE |
			       F_HWPOISON | F_NOPAGE | F_PGTABLE | F_RESERVED;
	const __u64 large = KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL;

	switch (kind) {
	case MO_BALLOON:
		return (flags & (F_OFFLINE | F_UPTODATE | F_HWPOISON)) ==
		       (F_OFFLINE | F_UPTODATE);
	case MO_ZSMALLOC:
		return (flags & F_UPTODATE) && !(flags & (other | large));
	case MO_SLAB:
		return (flags & F_SLAB) && !(flags & large);
	case MO_LARGE_SLAB:
		return (flags & F_SLAB) && (flags & large);
	case MO_BUDDY:
		return flags & F_BUDDY;
	case MO_POISONED:
		return flags & F_HWPOISON;
	case MO_HOLE:
		return flags & (F_NOPAGE | F_RESERVED);
	case MO_UNKNOWN:
		return !(flags & (other | F_UPTODATE));
	}
	return false;
}

/**
 * mo_pfn_is() - is the page at this page frame of that kind?
 * @pfn: page frame
 * @kind: what is asked for
 *
 * Return: true if it is, false also if it cannot be read
 */
bool mo_pfn_is(unsigned long pfn, enum mo_kind kind)
{
	__u64 flags;

	return !mo_flags(pfn, 1, &flags) && mo_is(flags, kind);
}

/**
 * mo_count() - count the pages of a kind in a range
 * @pfn: first page frame
 * @nr: how many
 * @kind: what to count
 * @first: gets the first of them, may be NULL
 *
 * Return: the count, or a negative error number
 */
long mo_count(unsigned long pfn, unsigned long nr, enum mo_kind kind,
	      unsigned long *first)
{
	__u64 *flags = malloc(nr * sizeof(*flags));
	long count = 0;
	int ret;

	if (!flags)
		return -ENOMEM;
	ret = mo_flags(pfn, nr, flags);
	for (unsigned long i = 0; !ret && i < nr; i++) {
		if (mo_is(flags[i], kind) && !count++ && first)
			*first = pfn + i;
	}
	free(flags);
	return ret ?: count;
}

/**
 * mo_gigantic() - the nr_hugepages of the largest hugetlb pages
 *
 * Return: path in sysfs, NULL if the buddy allocator has all sizes there are
 */
const char *mo_gigantic(void)
{
	static const char dir_path[] = "/sys/kernel/mm/hugepages";
	unsigned long kb, best = 256 * 1024 - 1;
	static char path[300];
	DIR *dir = opendir(dir_path);
	struct dirent *e;

	path[0] = '\0';
	while (dir && (e = readdir(dir))) {
		if (sscanf(e->d_name, "hugepages-%lukB", &kb) != 1 || kb <= best)
			continue;
		best = kb;
		snprintf(path, sizeof(path), "%s/%s/nr_hugepages", dir_path, e->d_name);
	}
	if (dir)
		closedir(dir);
	return path[0] ? path : NULL;
}

/* Memory blocks */

static int block_cmp(const void *a, const void *b)
{
	const struct mo_block *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

/* The node is a link in the directory of the block */
static int block_node(unsigned long id)
{
	char path[64];
	int node = -1;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), MO_MEMORY "/memory%lu", id);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((e = readdir(dir))) {
		if (sscanf(e->d_name, "node%d", &node) == 1)
			break;
	}
	closedir(dir);
	return node;
}

/**
 * mo_mem_read() - read all memory blocks
 * @mem: gets them, mo_mem_free() gives them back
 *
 * Return: 0 or a negative error number
 */
int mo_mem_read(struct mo_mem *mem)
{
	unsigned long bytes, id;
	char path[96], buf[64];
	struct dirent *e;
	DIR *dir;
	int ret;

	memset(mem, 0, sizeof(*mem));
	ret = mo_read(MO_MEMORY "/block_size_bytes", buf, sizeof(buf));
	if (ret < 0)
		return ret;
	bytes = strtoul(buf, NULL, 16);
	mem->block_pages = bytes / psize();

	dir = opendir(MO_MEMORY);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		struct mo_block *b;

		if (sscanf(e->d_name, "memory%lu", &id) != 1)
			continue;
		b = realloc(mem->block, (mem->nr + 1) * sizeof(*b));
		if (!b)
			break;
		mem->block = b;
		b += mem->nr++;
		memset(b, 0, sizeof(*b));
		b->id = id;
		b->node = block_node(id);
		snprintf(path, sizeof(path), MO_MEMORY "/memory%lu/phys_index", id);
		mo_read(path, buf, sizeof(buf));
		b->pfn = strtoul(buf, NULL, 16) * mem->block_pages;
		b->online = mo_block_online(b);
		snprintf(path, sizeof(path), MO_MEMORY "/memory%lu/valid_zones", id);
		mo_read(path, b->zone, sizeof(b->zone));
	}
	closedir(dir);
	if (!mem->nr)
		return -ENOENT;
	qsort(mem->block, mem->nr, sizeof(*mem->block), block_cmp);
	return 0;
}

void mo_mem_free(struct mo_mem *mem)
{
	free(mem->block);
	memset(mem, 0, sizeof(*mem));
}

/**
 * mo_block_online() - is a block online now?
 * @b: block
 *
 * Return: true if it is
 */
bool mo_block_online(const struct mo_block *b)
{
	char path[64], buf[32];

	snprintf(path, sizeof(path), MO_MEMORY "/memory%lu/state", b->id);
	return mo_read(path, buf, sizeof(buf)) > 0 && !strcmp(buf, "online");
}

/**
 * mo_block_set() - online or offline a block, within MO_DEADLINE
 * @b: block
 * @state: "offline", "online", "online_movable" or "online_kernel"
 * @w: how it ended
 *
 * Return: 0 or a negative error number
 */
int mo_block_set(const struct mo_block *b, const char *state,
		 struct mo_write *w)
{
	char path[64];

	snprintf(path, sizeof(path), MO_MEMORY "/memory%lu/state", b->id);
	return mo_write_deadline(path, state, MO_DEADLINE, w);
}

/**
 * mo_mem_restore() - make the blocks what they were
 * @mem: as mo_mem_read() found them
 *
 * A block that holds a poisoned page cannot be onlined again (-EHWPOISON).
 *
 * Return: how many blocks are not what they were
 */
unsigned int mo_mem_restore(const struct mo_mem *mem)
{
	unsigned int lost = 0;

	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct mo_block *b = &mem->block[i];
		bool movable = !strcmp(b->zone, "Movable");
		char path[64], zone[32];
		struct mo_write w = {};

		if (!b->online)
			continue;
		snprintf(path, sizeof(path), MO_MEMORY "/memory%lu/valid_zones", b->id);
		if (mo_block_online(b)) {
			mo_read(path, zone, sizeof(zone));
			if (!strcmp(zone, b->zone))
				continue;
			mo_block_set(b, "offline", &w);
		}
		if (w.err || mo_block_set(b, movable ? "online_movable" : "online_kernel", &w)) {
			ksft_print_msg("memory%lu is not what it was (%s): %s\n",
				       b->id, b->zone, mo_write_str(&w));
			lost++;
		}
	}
	return lost;
}

/**
 * mo_mem_flags() - flags of all pages of a block
 * @mem: memory
 * @i: index of the block
 *
 * Return: an array to be freed, or NULL
 */
__u64 *mo_mem_flags(const struct mo_mem *mem, unsigned int i)
{
	__u64 *flags = malloc(mem->block_pages * sizeof(*flags));

	if (flags && mo_flags(mem->block[i].pfn, mem->block_pages, flags)) {
		free(flags);
		return NULL;
	}
	return flags;
}

/**
 * mo_mem_count() - count the pages of a kind on a node
 * @mem: memory
 * @node: node, -1 for all
 * @kind: what to count
 *
 * Return: the count, or a negative error number
 */
long mo_mem_count(const struct mo_mem *mem, int node, enum mo_kind kind)
{
	long sum = 0;

	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct mo_block *b = &mem->block[i];
		long nr;

		if (node >= 0 && b->node != node)
			continue;
		nr = mo_count(b->pfn, mem->block_pages, kind, NULL);
		if (nr < 0)
			return nr;
		sum += nr;
	}
	return sum;
}

/**
 * mo_mem_pick() - the block to offline with the most pages of a kind
 * @mem: memory
 * @kind: kind of the pages
 * @min: how many the block has to have
 *
 * Only blocks that can be offlined are considered: online, in ZONE_MOVABLE,
 * without holes and without poisoned pages.
 *
 * Return: the block, or NULL
 */
struct mo_block *mo_mem_pick(const struct mo_mem *mem, enum mo_kind kind,
			     unsigned long min)
{
	struct mo_block *best = NULL;

	for (unsigned int i = 0; i < mem->nr; i++) {
		struct mo_block *b = &mem->block[i];
		unsigned long nr = 0, bad = 0;
		__u64 *flags;

		if (strcmp(b->zone, "Movable") || !mo_block_online(b))
			continue;
		flags = mo_mem_flags(mem, i);
		if (!flags)
			continue;
		for (unsigned long p = 0; p < mem->block_pages; p++) {
			nr += mo_is(flags[p], kind);
			bad += mo_is(flags[p], MO_HOLE) ||
			       mo_is(flags[p], MO_POISONED);
		}
		free(flags);
		if (!bad && nr >= min) {
			best = b;
			min = nr + 1;
		}
	}
	return best;
}

/**
 * mo_nr_blocks() - how many memory blocks there are now
 *
 * Return: the count, 0 if they cannot be read
 */
unsigned int mo_nr_blocks(void)
{
	struct mo_mem mem;
	unsigned int nr;

	if (mo_mem_read(&mem))
		return 0;
	nr = mem.nr;
	mo_mem_free(&mem);
	return nr;
}

/**
 * mo_nodes() - how many nodes have memory
 * @mem: memory
 *
 * Return: the count
 */
int mo_nodes(const struct mo_mem *mem)
{
	int nr = 0;

	for (unsigned int i = 0; i < mem->nr; i++) {
		unsigned int j = 0;

		while (j < i && mem->block[j].node != mem->block[i].node)
			j++;
		nr += j == i;
	}
	return nr;
}

/**
 * mo_run_on() - choose CPUs for the calling process
 * @node: node
 * @on: true: its CPUs, false: all others
 *
 * Return: 0, or -1 if there are none
 */
int mo_run_on(int node, bool on)
{
	cpu_set_t set;
	char path[64];
	int nr = 0;

	CPU_ZERO(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d", cpu);
		if (access(path, F_OK))
			continue;
		snprintf(path, sizeof(path), MO_NODE "/node%d/cpu%d", node, cpu);
		if (!access(path, F_OK) != on)
			continue;
		CPU_SET(cpu, &set);
		nr++;
	}
	return nr ? sched_setaffinity(0, sizeof(set), &set) : -1;
}

/**
 * mo_run_near_movable() - run where ZONE_MOVABLE is
 * @mem: memory
 *
 * What this process makes the kernel allocate as movable comes from the node
 * with most blocks in ZONE_MOVABLE, if that has CPUs.
 */
void mo_run_near_movable(const struct mo_mem *mem)
{
	int best = -1, most = 0;

	for (unsigned int i = 0; i < mem->nr; i++) {
		int node = mem->block[i].node, nr = 0;

		for (unsigned int j = 0; j < mem->nr; j++)
			nr += mem->block[j].node == node && mem->block[j].online &&
			      !strcmp(mem->block[j].zone, "Movable");
		if (nr > most) {
			most = nr;
			best = node;
		}
	}
	if (best >= 0)
		mo_run_on(best, true);
}

#define MAX_NODES	1024
#define NODES_LONG	(8 * sizeof(unsigned long))

static void set_node(unsigned long *nodes, int node)
{
	if (node >= 0 && node < MAX_NODES - 1)
		nodes[node / NODES_LONG] |= 1UL << node % NODES_LONG;
}

/**
 * mo_interleave() - let the memory of the calling task come from all nodes in turn
 * @mem: memory
 * @on: false: from where the kernel prefers, as ever
 */
void mo_interleave(const struct mo_mem *mem, bool on)
{
	unsigned long nodes[MAX_NODES / NODES_LONG] = {};

	for (unsigned int i = 0; i < mem->nr; i++)
		set_node(nodes, mem->block[i].node);
	/* Without NUMA there is but one: nothing is lost */
	syscall(SYS_set_mempolicy, on ? MPOL_INTERLEAVE : MPOL_DEFAULT, on ? nodes : NULL,
		on ? MAX_NODES : 0);
}

/* Counters */

/* The number that follows name in a file of "name number" lines, or -1 */
static long named_number(const char *path, const char *name)
{
	char line[256], word[128];
	FILE *f = fopen(path, "r");
	long value, found = -1;

	if (!f)
		return -1;
	while (found < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%127s %ld", word, &value) == 2 && !strcmp(word, name))
			found = value;
	}
	fclose(f);
	return found;
}

/* Each CPU has differences that are not in the counters yet */
void mo_vmstat_refresh(void)
{
	char buf[16];

	mo_read("/proc/sys/vm/stat_refresh", buf, sizeof(buf));
}

/**
 * mo_vmstat() - a counter in /proc/vmstat
 * @name: counter
 *
 * Return: its value, -1 if there is none of that name
 */
long mo_vmstat(const char *name)
{
	return named_number("/proc/vmstat", name);
}

/**
 * mo_node_vmstat() - a counter of one node
 * @node: node
 * @name: counter
 *
 * Return: its value, -1 if there is none of that name
 */
long mo_node_vmstat(int node, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), MO_NODE "/node%d/vmstat", node);
	return named_number(path, name);
}

/**
 * mo_managed() - pages that the zones manage
 *
 * Return: their sum
 */
long mo_managed(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[256];
	long nr, sum = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " managed %ld", &nr) == 1)
			sum += nr;
	}
	fclose(f);
	return sum;
}

/**
 * mo_wait_settled() - wait for what drivers still do after the host is content
 * @managed: pages that the zones are going to manage
 * @blocks: memory blocks that there are going to be, 0 for any number
 *
 * Return: whether it has come to that before the deadline
 */
bool mo_wait_settled(long managed, unsigned int blocks)
{
	__u64 end = mo_now_ms() + MO_DEADLINE * 1000;

	while (mo_managed() != managed || (blocks && mo_nr_blocks() != blocks)) {
		if (mo_now_ms() > end)
			return false;
		usleep(100000);
	}
	return true;
}

/**
 * mo_meminfo_kb() - a line of /proc/meminfo
 * @name: with its colon
 *
 * Return: its value in kB, -1 if there is none of that name
 */
long mo_meminfo_kb(const char *name)
{
	return named_number("/proc/meminfo", name);
}

/* Poison */

static int offline_page(const char *file, unsigned long pfn)
{
	char path[64], buf[32];

	snprintf(path, sizeof(path), MO_MEMORY "/%s", file);
	snprintf(buf, sizeof(buf), "0x%llx", (unsigned long long)pfn * psize());
	return mo_write(path, buf);
}

int mo_soft_offline(unsigned long pfn)
{
	return offline_page("soft_offline_page", pfn);
}

int mo_hard_offline(unsigned long pfn)
{
	return offline_page("hard_offline_page", pfn);
}

/* What a test needs */

const char *mo_need_pages(void)
{
	if (geteuid())
		return "needs root";
	if (access("/proc/kpageflags", R_OK))
		return "no /proc/kpageflags (CONFIG_PROC_PAGE_MONITOR)";
	return NULL;
}

const char *mo_need_hotplug(void)
{
	if (access(MO_MEMORY "/block_size_bytes", R_OK))
		return "no memory blocks in sysfs (CONFIG_MEMORY_HOTPLUG)";
	return NULL;
}

const char *mo_need_nodes(void)
{
	struct mo_mem mem;
	int nodes;

	if (mo_mem_read(&mem))
		return "memory blocks cannot be read";
	nodes = mo_nodes(&mem);
	mo_mem_free(&mem);
	return nodes > 1 ? NULL : "needs memory on two nodes";
}

const char *mo_need_compaction(void)
{
	if (access("/proc/sys/vm/compact_memory", W_OK))
		return "no /proc/sys/vm/compact_memory (CONFIG_COMPACTION)";
	if (mo_vmstat("balloon_migrate") < 0)
		return "no balloon_migrate in /proc/vmstat (CONFIG_VM_EVENT_COUNTERS)";
	return NULL;
}

const char *mo_need_host(void)
{
	int status = system("vmhost echo >/dev/null 2>&1");

	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return "no program vmhost to ask the host";
	if (WEXITSTATUS(status) == 2)
		return "vmhost has no port to the host (CONFIG_VIRTIO_CONSOLE)";
	return NULL;
}

const char *mo_need_balloon(void)
{
	const char *why = mo_need_pages() ?: mo_need_hotplug();
	char device[64];

	if (why)
		return why;
	if (mo_vmstat("nr_balloon_pages") < 0)
		return "no nr_balloon_pages in /proc/vmstat";
	if (!mo_virtio_device("virtio_balloon", device, sizeof(device)))
		return "no virtio-balloon device (or no CONFIG_VIRTIO_BALLOON)";
	return mo_need_host();
}

const char *mo_need_hwpoison(void)
{
	if (access(MO_MEMORY "/soft_offline_page", W_OK))
		return "no soft_offline_page in sysfs (CONFIG_MEMORY_FAILURE)";
	if (access(HWPOISON_DIR "/unpoison-pfn", W_OK))
		return "no unpoison-pfn in debugfs (CONFIG_HWPOISON_INJECT)";
	return NULL;
}

const char *mo_need_zram(void)
{
	const char *why = mo_need_pages();

	if (why)
		return why;
	if (access("/sys/class/zram-control/hot_add", R_OK))
		return "no zram-control (CONFIG_ZRAM)";
	return NULL;
}

/* The balloon */

/**
 * mo_host() - ask the host for something
 * @answer: gets what the host says
 * @size: of @answer
 * @fmt: arguments of the program vmhost
 *
 * Return: 0, or -EIO if the host refused or there is no vmhost
 */
int mo_host(char *answer, size_t size, const char *fmt, ...)
{
	char cmd[160] = "vmhost ";
	va_list args;
	FILE *f;
	size_t len;

	va_start(args, fmt);
	vsnprintf(cmd + 7, sizeof(cmd) - 7, fmt, args);
	va_end(args);
	strncat(cmd, " 2>&1", sizeof(cmd) - strlen(cmd) - 1);
	f = popen(cmd, "r");
	answer[0] = '\0';
	if (!f)
		return -EIO;
	len = fread(answer, 1, size - 1, f);
	while (len && answer[len - 1] == '\n')
		len--;
	answer[len] = '\0';
	return pclose(f) ? -EIO : 0;
}

/*
 * MiB of the VM with an empty balloon. All blocks together are at least that,
 * and the host takes more for that.
 */
static unsigned int host_mib(void)
{
	struct mo_mem mem;
	unsigned int mib;

	if (mo_mem_read(&mem))
		return 0;
	mib = mem.nr * (mem.block_pages * psize() >> 20);
	mo_mem_free(&mem);
	return mib;
}

/**
 * mo_balloon_pages() - what the kernel accounts as inflated
 *
 * Return: pages
 */
long mo_balloon_pages(void)
{
	mo_vmstat_refresh();
	return mo_vmstat("nr_balloon_pages");
}

/**
 * mo_virtio_device() - find a device of a driver of virtio's
 * @driver: name of the driver
 * @name: gets the name of the first device that is bound to it
 * @size: of @name
 *
 * Return: whether there is one
 */
bool mo_virtio_device(const char *driver, char *name, size_t size)
{
	struct dirent *e;
	char path[128];
	DIR *dir;

	*name = '\0';
	snprintf(path, sizeof(path), "/sys/bus/virtio/drivers/%s", driver);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!*name && (e = readdir(dir))) {
		if (!strncmp(e->d_name, "virtio", 6))
			snprintf(name, size, "%s", e->d_name);
	}
	closedir(dir);
	return *name;
}

/**
 * mo_balloon_set() - inflate or deflate the balloon
 * @inflate_mib: size of the balloon
 *
 * Return: 0, or -EIO if the host did not answer
 */
int mo_balloon_set(unsigned int inflate_mib)
{
	static unsigned int full;
	char answer[128];
	int ret;

	if (!full)
		full = host_mib();
	ret = mo_host(answer, sizeof(answer), "balloon %u", full - inflate_mib);
	if (ret) {
		ksft_print_msg("vmhost balloon %u: %s\n", full - inflate_mib, answer);
		return ret;
	}
	if (!inflate_mib && atoi(answer) > 0 && (unsigned int)atoi(answer) < full)
		full = atoi(answer);
	return 0;
}

/**
 * mo_balloon_fill_block() - inflate until a block is full of ballooned pages
 * @mem: memory
 * @min: pages in the balloon that the block has to have
 * @block: gets the block
 *
 * Where the driver's pages come from is not for us to choose; inflate in
 * steps, and leave what the machine needs to run.
 *
 * Return: true if there is such a block
 */
bool mo_balloon_fill_block(const struct mo_mem *mem, unsigned long min,
			   struct mo_block **block)
{
	unsigned int step = mem->block_pages * psize() >> 20;
	unsigned int mib = mo_balloon_pages() * psize() >> 20;

	for (;;) {
		*block = mo_mem_pick(mem, MO_BALLOON, min);
		if (*block)
			return true;
		mib += step;
		/* The pages of a block and what is left have to fit elsewhere */
		if (mo_meminfo_kb("MemAvailable:") / 1024 < 4 * step)
			return false;
		if (mo_balloon_set(mib))
			return false;
	}
}

/* The modules */

/* Load DIR/NAME.ko; the directory's length may be 0 */
static int load_from(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s.ko", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret == -EEXIST ? 0 : ret;
}

/* From MO_MODULES, else by modprobe, else from the directory of the test */
static int load_module(const char *name)
{
	const char *dir = getenv("MO_MODULES");
	char own[PATH_MAX], cmd[128];
	ssize_t len;

	if (dir)
		return load_from(dir, name);
	snprintf(cmd, sizeof(cmd), "modprobe -q %s >/dev/null 2>&1", name);
	if (!system(cmd))
		return 0;
	len = readlink("/proc/self/exe", own, sizeof(own) - 1);
	if (len < 0)
		return -errno;
	own[len] = '\0';
	*strrchr(own, '/') = '\0';
	return load_from(own, name);
}

static const char *need_module(const char *name, const char *dir)
{
	static char why[160];
	int err;

	if (geteuid())
		return "needs root";
	if (!access(dir, R_OK))
		return NULL;
	err = load_module(name);
	if (err == -ENOENT)
		snprintf(why, sizeof(why), "no %s.ko: by MO_MODULES, modprobe, or beside the test",
			 name);
	else if (err)
		snprintf(why, sizeof(why), "%s.ko cannot be loaded: %s", name, strerror(-err));
	else if (access(dir, R_OK))
		snprintf(why, sizeof(why), "no debugfs at /sys/kernel/debug");
	else
		return NULL;
	return why;
}

const char *mo_need_module(void)
{
	return need_module("test_movable_ops", MODULE_DIR);
}

const char *mo_need_walk(void)
{
	return need_module("page_offline_walk", WALK_DIR);
}

/**
 * mo_module_write() - write to a file of test_movable_ops
 * @file: its name
 * @fmt: what to write
 *
 * Return: 0 or a negative error number
 */
int mo_module_write(const char *file, const char *fmt, ...)
{
	char path[96], text[64];
	va_list args;

	snprintf(path, sizeof(path), MODULE_DIR "/%s", file);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return mo_write(path, text);
}

/**
 * mo_module_pages() - how many pages the module owns
 *
 * Return: pages, 0 without the module
 */
long mo_module_pages(void)
{
	long nr = named_number(MODULE_DIR "/count", "pages");

	return nr < 0 ? 0 : nr;
}

/**
 * mo_module_stat() - a counter of the module
 * @name: counter
 *
 * Return: its value, -1 if there is none of that name
 */
long mo_module_stat(const char *name)
{
	return named_number(MODULE_DIR "/stats", name);
}

/**
 * mo_module_add() - let the module own more pages
 * @pages: how many
 * @node: their node, -1 for any
 *
 * Return: 0, or -ENOMEM with some of them
 */
int mo_module_add(long pages, int node)
{
	unsigned long nodes[MAX_NODES / NODES_LONG] = {};
	int ret;

	if (node < 0)
		return mo_module_write("allocate", "%ld", pages);
	if (node >= MAX_NODES - 1)
		return -EINVAL;

	/* A balloon allocates from where the policy of the task says */
	set_node(nodes, node);
	if (syscall(SYS_set_mempolicy, MPOL_BIND, nodes, MAX_NODES))
		return -errno;
	ret = mo_module_write("allocate", "%ld %d", pages, node);
	syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
	return ret;
}

/**
 * mo_module_verify() - does each page of the module have what it ought to have?
 * @all: those too that are isolated for long; nobody may be at work
 *
 * Return: true if it has; if not, why is printed
 */
bool mo_module_verify(bool all)
{
	char report[4096];
	int len = mo_read(MODULE_DIR "/verify", report, sizeof(report));

	if (len > 0 && !strncmp(report, "ok\n", 3) &&
	    (!all || strstr(report, "\nnot_checked 0\n")))
		return true;
	if (len < 0)
		ksft_print_msg("module: %s\n", strerror(-len));
	for (char *line = strtok(report, "\n"); line; line = strtok(NULL, "\n"))
		ksft_print_msg("module: %s\n", line);
	return false;
}

/**
 * mo_module_reset() - free all pages of the module, and clear its counters
 *
 * Return: 0 or a negative error number
 */
int mo_module_reset(void)
{
	return mo_module_write("delay_us", "0") ?: mo_module_write("fail_every", "0") ?:
	       mo_module_write("free", "0") ?: mo_module_write("stats", "0");
}

/**
 * mo_walk_check() - compare the references of all pages with what is expected
 * @offline: references on a PageOffline page, -1 for any number
 * @zsmalloc: the same for zsmalloc
 * @w: gets what was found
 *
 * Return: 0 or a negative error number
 */
int mo_walk_check(int offline, int zsmalloc, struct mo_walk *w)
{
	char number[16];
	int ret;

	memset(w, 0, sizeof(*w));
	snprintf(number, sizeof(number), "%d", offline);
	ret = mo_write(WALK_PARAMS "/expect_offline", number);
	snprintf(number, sizeof(number), "%d", zsmalloc);
	ret = ret ?: mo_write(WALK_PARAMS "/expect_zsmalloc", number);
	if (ret)
		return ret;
	ret = mo_read(WALK_DIR "/check", w->report, sizeof(w->report));
	if (ret < 0)
		return ret;
	if (sscanf(w->report, "%*s checked %ld any %*d poisoned %ld wrong %ld",
		   &w->checked, &w->poisoned, &w->wrong) != 3)
		return -EPROTO;
	w->ok = !strncmp(w->report, "ok\n", 3);
	return 0;
}

/**
 * mo_walk_count() - count pages of a kind
 * @kind: as in the file summary, or how that begins
 *
 * Return: pages, or a negative error number
 */
long mo_walk_count(const char *kind)
{
	FILE *f = fopen(WALK_DIR "/summary", "r");
	char line[128];
	long sum = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *rest;
		long nr = strtol(line, &rest, 10);

		if (*rest == ' ' && !strncmp(rest + 1, kind, strlen(kind)))
			sum += nr;
	}
	fclose(f);
	return sum;
}

/* zram */

/**
 * mo_random() - pseudo random numbers that a seed determines
 * @state: seed, changed; not 0
 *
 * Return: the next one
 */
__u64 mo_random(__u64 *state)
{
	__u64 x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/*
 * Part of each page is random and the rest is its number, so that compressed
 * pages are of many sizes, with whole pages among them.
 */
static void zram_content(const struct mo_zram *z, unsigned int page, __u64 *buf)
{
	__u64 state = z->seed + page * 0x9e3779b97f4a7c15ULL + 1;
	unsigned int words = psize() / sizeof(*buf);
	unsigned int random = words * (1 + page % 4) / 4;

	for (unsigned int i = 0; i < words; i++)
		buf[i] = i < random ? mo_random(&state) : page;
}

static void zram_path(char *path, size_t size, int id, const char *file)
{
	snprintf(path, size, "/sys/block/zram%d/%s", id, file);
}

/**
 * mo_zram_open() - get a zram device
 * @z: gets it
 * @mib: its size
 * @seed: of its content
 *
 * Return: 0 or a negative error number
 */
int mo_zram_open(struct mo_zram *z, unsigned int mib, __u64 seed)
{
	char path[96], buf[32];
	int ret;

	memset(z, 0, sizeof(*z));
	z->fd = -1;
	z->seed = seed;
	ret = mo_read("/sys/class/zram-control/hot_add", buf, sizeof(buf));
	if (ret < 0)
		return ret;
	z->id = atoi(buf);
	z->added = true;
	z->pages = ((unsigned long)mib << 20) / psize();
	zram_path(path, sizeof(path), z->id, "disksize");
	snprintf(buf, sizeof(buf), "%uM", mib);
	ret = mo_write(path, buf);
	if (!ret) {
		snprintf(path, sizeof(path), "/dev/zram%d", z->id);
		z->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (z->fd < 0)
			ret = -errno;
	}
	if (ret)
		mo_zram_close(z);
	return ret;
}

static void *zram_buffer(void)
{
	void *buf = mmap(NULL, psize(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return buf == MAP_FAILED ? NULL : buf;
}

/**
 * mo_zram_fill() - write pages
 * @z: device
 * @first: first page
 * @nr: how many
 *
 * Return: 0 or a negative error number
 */
int mo_zram_fill(const struct mo_zram *z, unsigned int first, unsigned int nr)
{
	void *buf = zram_buffer();
	int ret = buf ? 0 : -ENOMEM;

	for (unsigned int i = first; !ret && i < first + nr; i++) {
		zram_content(z, i, buf);
		if (pwrite(z->fd, buf, psize(), (off_t)i * psize()) != psize())
			ret = -EIO;
	}
	if (buf)
		munmap(buf, psize());
	return ret;
}

/**
 * mo_zram_fill_block() - fill until a block has zsmalloc pages
 * @z: device
 * @filled: pages that are filled, updated
 * @mem: memory
 * @min: zsmalloc pages that the block has to have
 *
 * Like with a balloon, where its pages come from is not for us to choose.
 *
 * Return: the block, or NULL
 */
struct mo_block *mo_zram_fill_block(const struct mo_zram *z, unsigned int *filled,
				    const struct mo_mem *mem, unsigned long min)
{
	unsigned int step = (32UL << 20) / psize();
	struct mo_block *b;

	for (;;) {
		b = mo_mem_pick(mem, MO_ZSMALLOC, min);
		if (b || *filled + step > z->pages)
			return b;
		if (mo_zram_fill(z, *filled, step))
			return NULL;
		*filled += step;
	}
}

/**
 * mo_zram_check() - read pages and compare them with what was written
 * @z: device
 * @first: first page
 * @nr: how many
 *
 * Return: how many differ, or a negative error number
 */
long mo_zram_check(const struct mo_zram *z, unsigned int first, unsigned int nr)
{
	void *buf = zram_buffer();
	__u64 *want = malloc(psize());
	long bad = buf && want ? 0 : -ENOMEM;

	for (unsigned int i = first; bad >= 0 && i < first + nr; i++) {
		if (pread(z->fd, buf, psize(), (off_t)i * psize()) != psize()) {
			bad = -EIO;
			break;
		}
		zram_content(z, i, want);
		bad += !!memcmp(buf, want, psize());
	}
	free(want);
	if (buf)
		munmap(buf, psize());
	return bad;
}

/**
 * mo_zram_discard() - free pages; they read as zeroes until they are written
 * @z: device
 * @first: first page
 * @nr: how many
 *
 * Return: 0 or a negative error number
 */
int mo_zram_discard(const struct mo_zram *z, unsigned int first, unsigned int nr)
{
	__u64 range[2] = { (__u64)first * psize(), (__u64)nr * psize() };

	return ioctl(z->fd, BLKDISCARD, range) ? -errno : 0;
}

/* Free all that the device has stored; it cannot be used after that */
void mo_zram_reset(struct mo_zram *z)
{
	char path[96];

	if (z->fd >= 0)
		close(z->fd);
	z->fd = -1;
	zram_path(path, sizeof(path), z->id, "reset");
	mo_write(path, "1");
}

void mo_zram_close(struct mo_zram *z)
{
	char buf[16];

	if (!z->added)
		return;
	mo_zram_reset(z);
	snprintf(buf, sizeof(buf), "%d", z->id);
	mo_write("/sys/class/zram-control/hot_remove", buf);
	z->added = false;
}
