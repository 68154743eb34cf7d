// SPDX-License-Identifier: GPL-2.0
/*
 * Slab of order 0 is frozen: its refcount is 0, as if it were free. Offlining a
 * memory block of ZONE_NORMAL that it pins has to fail at once.
 *
 * Three blocks of ZONE_MOVABLE become the kernel zone of their node. Two are
 * filled with messages of a System V queue, sent on a CPU of that node: each
 * is an object of about a page. The third stays empty; offlining it drains the
 * free pages that CPUs keep to themselves.
 */
#include <dirent.h>
#include <limits.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define NR_BLOCKS	3
#define NR_FILLED	2
#define STEP_PAGES	4096
/* Not more than fits a page with its header, or a queue takes (msgmax) */
#define MSG_MAX		8000
#define MSG_HEADER	96

FIXTURE(slab)
{
	struct mo_mem mem;
	struct mo_block *block[NR_BLOCKS];
	struct mo_block *full;	/* the one with nothing but slab in it */
	int queue;
	int node;
};

/* Would these blocks be a kernel zone of their own? */
static bool node_has_zone(const struct mo_mem *mem, int node, const char *zone)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		if (mem->block[i].node == node && strstr(mem->block[i].zone, zone))
			return true;
	}
	return false;
}

static bool find_blocks(FIXTURE_DATA(slab) * self)
{
	for (unsigned int i = 0; i < self->mem.nr; i++) {
		int node = self->mem.block[i].node, nr = 0;

		if (node_has_zone(&self->mem, node, "Normal"))
			continue;
		if (mo_run_on(node, true) || mo_run_on(node, false))
			continue;
		for (unsigned int j = i; j < self->mem.nr && nr < NR_BLOCKS; j++) {
			struct mo_block *b = &self->mem.block[j];

			if (b->node != node || !b->online || strcmp(b->zone, "Movable") ||
			    mo_count(b->pfn, self->mem.block_pages, MO_HOLE, NULL) ||
			    mo_count(b->pfn, self->mem.block_pages, MO_POISONED, NULL))
				continue;
			self->block[nr++] = b;
		}
		self->node = node;
		if (nr == NR_BLOCKS)
			return true;
	}
	return false;
}

/* Only slab of order 0 and free pages in this block? */
static bool only_slab(const FIXTURE_DATA(slab) * self, const struct mo_block *b)
{
	unsigned long nr = self->mem.block_pages;
	long slab = mo_count(b->pfn, nr, MO_SLAB, NULL);

	return slab > 0 && slab + mo_count(b->pfn, nr, MO_BUDDY, NULL) == (long)nr;
}

static int make_queue(void)
{
	int queue = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds ds;

	if (queue < 0)
		return -1;
	if (!msgctl(queue, IPC_STAT, &ds)) {
		ds.msg_qbytes = INT_MAX;
		if (!msgctl(queue, IPC_SET, &ds))
			return queue;
	}
	msgctl(queue, IPC_RMID, NULL);
	return -1;
}

static bool send_messages(int queue, unsigned long bytes)
{
	struct {
		long type;
		char text[MSG_MAX];
	} msg = { .type = 1 };
	size_t len = psize() - MSG_HEADER < MSG_MAX ? psize() - MSG_HEADER : MSG_MAX;

	for (unsigned long sent = 0; sent < bytes; sent += len) {
		if (msgsnd(queue, &msg, len, IPC_NOWAIT))
			return false;
	}
	return true;
}

/* The last block has to be empty for that */
static void drain(FIXTURE_DATA(slab) * self)
{
	struct mo_block *b = self->block[NR_BLOCKS - 1];
	struct mo_write w;

	if (mo_count(b->pfn, self->mem.block_pages, MO_SLAB, NULL))
		return;
	mo_block_set(b, "offline", &w);
	mo_block_set(b, "online_kernel", &w);
}

/*
 * Fill until one block is at least half full. Something else may have got into
 * one of them: what the kernel needs for the new zone.
 */
static bool fill(FIXTURE_DATA(slab) * self)
{
	unsigned long nr = self->mem.block_pages, sent = 0;
	bool made = true;

	while (made && sent < NR_FILLED * nr) {
		mo_run_on(self->node, true);
		made = send_messages(self->queue, STEP_PAGES * psize());
		mo_run_on(self->node, false);
		sent += STEP_PAGES;
		for (int i = 0; i < NR_FILLED; i++) {
			struct mo_block *b = self->block[i];

			if (mo_count(b->pfn, nr, MO_SLAB, NULL) < (long)nr / 2)
				continue;
			drain(self);
			if (only_slab(self, b)) {
				self->full = b;
				return true;
			}
		}
	}
	return false;
}

/* Caches keep empty slabs; make them give those back */
static void shrink_caches(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	char path[512];
	struct dirent *e;

	mo_write("/proc/sys/vm/drop_caches", "2");
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", e->d_name);
		mo_write(path, "1");
	}
	if (dir)
		closedir(dir);
}

/* Are all of them gone? Caches may be slow to let go */
static void wait_freed(const FIXTURE_DATA(slab) * self)
{
	__u64 end = mo_now_ms() + MO_DEADLINE * 1000;
	long slab;

	do {
		usleep(100000);
		shrink_caches();
		slab = 0;
		for (int i = 0; i < NR_BLOCKS; i++)
			slab += mo_count(self->block[i]->pfn, self->mem.block_pages,
					 MO_SLAB, NULL);
	} while (slab && mo_now_ms() < end);
}

static void cleanup(FIXTURE_DATA(slab) * self)
{
	if (self->queue >= 0) {
		msgctl(self->queue, IPC_RMID, NULL);
		wait_freed(self);
	}
	mo_mem_restore(&self->mem);
	mo_mem_free(&self->mem);
}

FIXTURE_SETUP(slab)
{
	const char *why;
	struct mo_write w;
	struct mo_mem now;
	bool normal = true;

	self->queue = -1;
	why = mo_need_pages() ?: mo_need_hotplug() ?: mo_need_nodes();
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	if (!find_blocks(self)) {
		mo_mem_free(&self->mem);
		SKIP(return, "no node with CPUs, no ZONE_NORMAL and %d blocks of ZONE_MOVABLE",
		     NR_BLOCKS);
	}
	mo_run_on(self->node, false);
	for (int i = 0; i < NR_BLOCKS; i++) {
		ASSERT_EQ(mo_block_set(self->block[i], "offline", &w), 0)
			TH_LOG("memory%lu: %s", self->block[i]->id, mo_write_str(&w));
	}
	for (int i = 0; i < NR_BLOCKS; i++) {
		ASSERT_EQ(mo_block_set(self->block[i], "online_kernel", &w), 0)
			TH_LOG("memory%lu: %s", self->block[i]->id, mo_write_str(&w));
	}
	ASSERT_EQ(mo_mem_read(&now), 0);
	for (unsigned int i = 0; i < now.nr; i++) {
		if (now.block[i].id == self->block[0]->id)
			normal = !strcmp(now.block[i].zone, "Normal");
	}
	mo_mem_free(&now);
	self->queue = make_queue();
	if (self->queue < 0) {
		cleanup(self);
		SKIP(return, "no queue of messages (CONFIG_SYSVIPC, CAP_SYS_RESOURCE)");
	}
	if (!normal || !fill(self)) {
		long large = 0;

		for (int i = 0; i < NR_BLOCKS; i++)
			large += mo_count(self->block[i]->pfn, self->mem.block_pages,
					  MO_LARGE_SLAB, NULL);
		cleanup(self);
		SKIP(return, "no block of ZONE_NORMAL with nothing but slab of order 0%s",
		     large ? "; boot with slub_max_order=0" : "");
	}
}

FIXTURE_TEARDOWN(slab)
{
	cleanup(self);
}

TEST_F_TIMEOUT(slab, offline_is_refused, MO_TIMEOUT)
{
	struct mo_write w;

	TH_LOG("memory%lu: %ld pages of slab, %ld free", self->full->id,
	       mo_count(self->full->pfn, self->mem.block_pages, MO_SLAB, NULL),
	       mo_count(self->full->pfn, self->mem.block_pages, MO_BUDDY, NULL));
	mo_block_set(self->full, "offline", &w);
	TH_LOG("offlining: %s", mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	EXPECT_FALSE(w.spinning);
	EXPECT_EQ(w.err, EBUSY);
	EXPECT_TRUE(mo_block_online(self->full));
	/* Unmovable pages are looked for before anything is tried */
	EXPECT_LT(w.ms, 5000);
}

TEST_HARNESS_MAIN
