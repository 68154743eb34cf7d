// SPDX-License-Identifier: GPL-2.0
/*
 * Slab of order 0 is frozen: its refcount is 0, as if it were free. Offlining a
 * memory block of ZONE_NORMAL that it pins has to fail at once.
 *
 * Two blocks of ZONE_MOVABLE become the kernel zone of their node and are
 * filled with inodes, made on a CPU of that node.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define FILES_MAX	400000
#define FILES_STEP	4000
#define NR_BLOCKS	2

FIXTURE(slab)
{
	struct mo_mem mem;
	struct mo_block *block[NR_BLOCKS];
	struct mo_block *full;	/* the one with nothing but slab in it */
	char dir[32];
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

static bool make_files(FIXTURE_DATA(slab) * self, unsigned int first, unsigned int nr)
{
	char path[64];

	for (unsigned int i = first; i < first + nr; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%u", self->dir, i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

/* Fill until one block is full; something else may have got into the other */
static bool fill(FIXTURE_DATA(slab) * self)
{
	unsigned int files = 0;
	bool made = true;

	while (made && files < FILES_MAX) {
		mo_run_on(self->node, true);
		made = make_files(self, files, FILES_STEP);
		mo_run_on(self->node, false);
		files += FILES_STEP;
		for (int i = 0; i < NR_BLOCKS; i++) {
			struct mo_block *b = self->block[i];

			if (mo_count(b->pfn, self->mem.block_pages, MO_SLAB, NULL) >=
			    (long)self->mem.block_pages / 2 && only_slab(self, b)) {
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

/* Are all files gone? RCU frees inodes */
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
	if (self->dir[0]) {
		umount(self->dir);
		rmdir(self->dir);
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
	snprintf(self->dir, sizeof(self->dir), "/tmp/mo_slab.XXXXXX");
	if (!mkdtemp(self->dir) ||
	    mount("mo_slab", self->dir, "tmpfs", 0, "nr_inodes=0")) {
		self->dir[0] = '\0';
		cleanup(self);
		SKIP(return, "no tmpfs at /tmp");
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
