/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of movable_ops pages (balloons, zsmalloc) share: page frames
 * and memory blocks as /proc and /sys show them, writes that are not waited
 * for longer than they may take, and requests to the host of a VM.
 */
#ifndef __MO_UTIL_H__
#define __MO_UTIL_H__

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "kselftest.h"
#include "mo_refcount.h"

#define MO_MEMORY	"/sys/devices/system/memory"
#define MO_NODE		"/sys/devices/system/node"

#define MO_MOVABLE_GIGANTIC	"/proc/sys/vm/movable_gigantic_pages"

/* What to own with the module: enough to be everywhere, in MiB */
#define MO_MODULE_MIB	32

/* References on a page of zsmalloc if nobody looks; PageOffline: mo_refcount.h */
#define MO_ZSMALLOC_REFCOUNT	1

/* Seconds until a write that does not return is killed */
#define MO_DEADLINE	20
/* Fits everything but the race test: several deadlines, on a slow VM */
#define MO_TIMEOUT	300

enum mo_kind {
	MO_BALLOON,	/* in a balloon and movable, not poisoned */
	MO_ZSMALLOC,	/* zsmalloc, not poisoned */
	MO_SLAB,	/* slab of order 0 */
	MO_LARGE_SLAB,	/* slab of any other order */
	MO_BUDDY,	/* free */
	MO_POISONED,	/* hwpoison, whatever else it is */
	MO_HOLE,	/* no page, or reserved: its block cannot be offlined */
	MO_UNKNOWN,	/* none of these and not on an LRU list */
};

/**
 * struct mo_block - a memory block in sysfs
 * @id: number in the name of its directory
 * @pfn: first page frame
 * @node: NUMA node, -1 if it is not known
 * @online: it was online when it was read
 * @zone: zone while it is online ("Movable"), else the zones to choose from
 */
struct mo_block {
	unsigned long id;
	unsigned long pfn;
	int node;
	bool online;
	char zone[32];
};

/**
 * struct mo_mem - the memory of the machine, by memory block
 * @block_pages: pages in a block
 * @nr: blocks
 * @block: ascending by page frame
 */
struct mo_mem {
	unsigned long block_pages;
	unsigned int nr;
	struct mo_block *block;
};

/**
 * struct mo_write - how a write with a deadline ended
 * @err: 0, or an error number; EINTR if it had to be killed
 * @killed: it was not back at the deadline
 * @spinning: when it was killed, it had been on a CPU most of the time
 * @stuck: not even SIGKILL ended it
 * @ms: how long it took
 * @stime_ms: how much of that in the kernel, on a CPU
 */
struct mo_write {
	int err;
	bool killed;
	bool spinning;
	bool stuck;
	unsigned int ms;
	unsigned int stime_ms;
};

/* Each returns NULL, or why a test that needs it has to be skipped */
const char *mo_need_pages(void);
const char *mo_need_hotplug(void);
const char *mo_need_nodes(void);
const char *mo_need_host(void);
const char *mo_need_balloon(void);
const char *mo_need_compaction(void);
const char *mo_need_hwpoison(void);
const char *mo_need_zram(void);
const char *mo_need_module(void);
const char *mo_need_walk(void);

/* Files */
int mo_read(const char *path, char *buf, size_t size);
int mo_write(const char *path, const char *value);
int mo_write_deadline(const char *path, const char *value, unsigned int seconds,
		      struct mo_write *w);
long mo_read_number(const char *path);
const char *mo_gigantic(void);
const char *mo_write_str(const struct mo_write *w);
__u64 mo_now_ms(void);

/* Page frames */
int mo_flags(unsigned long pfn, unsigned long nr, __u64 *flags);
bool mo_is(__u64 flags, enum mo_kind kind);
bool mo_pfn_is(unsigned long pfn, enum mo_kind kind);
long mo_count(unsigned long pfn, unsigned long nr, enum mo_kind kind,
	      unsigned long *first);

/* Memory blocks */
int mo_mem_read(struct mo_mem *mem);
void mo_mem_free(struct mo_mem *mem);
unsigned int mo_mem_restore(const struct mo_mem *mem);
long mo_mem_count(const struct mo_mem *mem, int node, enum mo_kind kind);
__u64 *mo_mem_flags(const struct mo_mem *mem, unsigned int i);
struct mo_block *mo_mem_pick(const struct mo_mem *mem, enum mo_kind kind,
			     unsigned long min);
bool mo_block_online(const struct mo_block *b);
int mo_block_set(const struct mo_block *b, const char *state,
		 struct mo_write *w);
unsigned int mo_nr_blocks(void);
int mo_nodes(const struct mo_mem *mem);
int mo_run_on(int node, bool on);
void mo_run_near_movable(const struct mo_mem *mem);
void mo_interleave(const struct mo_mem *mem, bool on);

/* Counters */
long mo_vmstat(const char *name);
long mo_node_vmstat(int node, const char *name);
void mo_vmstat_refresh(void);
long mo_managed(void);
bool mo_wait_settled(long managed, unsigned int blocks);
long mo_meminfo_kb(const char *name);

/* Poison */
int mo_soft_offline(unsigned long pfn);
int mo_hard_offline(unsigned long pfn);

/* The balloon, in MiB; each waits until the host says that it is done */
int __printf(3, 4) mo_host(char *answer, size_t size, const char *fmt, ...);
int mo_balloon_set(unsigned int inflate_mib);
bool mo_balloon_fill_block(const struct mo_mem *mem, unsigned long min,
			   struct mo_block **block);
long mo_balloon_pages(void);
bool mo_virtio_device(const char *driver, char *name, size_t size);

/* Pages that the module test_movable_ops owns; its source has the files */
int __printf(2, 3) mo_module_write(const char *file, const char *fmt, ...);
long mo_module_pages(void);
long mo_module_stat(const char *name);
int mo_module_add(long pages, int node);
bool mo_module_verify(bool all);
int mo_module_reset(void);

/**
 * struct mo_walk - what the module page_offline_walk says of all pages
 * @ok: each has as many references as expected
 * @checked: pages of which that was expected
 * @poisoned: of those that are poisoned it is not
 * @wrong: have another number of references
 * @report: all of it, with the first wrong ones
 */
struct mo_walk {
	bool ok;
	long checked;
	long poisoned;
	long wrong;
	char report[4096];
};

int mo_walk_check(int offline, int zsmalloc, struct mo_walk *w);
long mo_walk_count(const char *kind);

/* zram with content that can be checked */
struct mo_zram {
	int fd;
	int id;
	unsigned int pages;
	__u64 seed;
	bool added;
};

int mo_zram_open(struct mo_zram *z, unsigned int mib, __u64 seed);
int mo_zram_fill(const struct mo_zram *z, unsigned int first, unsigned int nr);
struct mo_block *mo_zram_fill_block(const struct mo_zram *z, unsigned int *filled,
				    const struct mo_mem *mem, unsigned long min);
long mo_zram_check(const struct mo_zram *z, unsigned int first, unsigned int nr);
int mo_zram_discard(const struct mo_zram *z, unsigned int first, unsigned int nr);
void mo_zram_reset(struct mo_zram *z);
void mo_zram_close(struct mo_zram *z);

__u64 mo_random(__u64 *state);

#endif /* __MO_UTIL_H__ */
