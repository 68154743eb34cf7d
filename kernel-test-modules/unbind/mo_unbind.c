// SPDX-License-Identifier: GPL-2.0
/*
 * Drivers of PageOffline pages that are unbound from their devices: a balloon
 * gives all of its pages back, whoever has one isolated, and what virtio-mem
 * leaves behind is never mistaken for memory.
 *
 * A virtio-mem device that was unbound while it had memory plugged is lost until
 * the next boot.
 */
#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define DRIVERS		"/sys/bus/virtio/drivers"
#define AUTO_ONLINE	MO_MEMORY "/auto_online_blocks"
#define ROUNDS		5
#define F_OFFLINE	BIT_ULL(23)	/* KPF_OFFLINE of kernel-page-flags.h */

static int rebind(const char *driver, const char *how, const char *device,
		  struct mo_write *w)
{
	char path[128];

	snprintf(path, sizeof(path), DRIVERS "/%s/%s", driver, how);
	return mo_write_deadline(path, device, MO_DEADLINE, w);
}

FIXTURE(balloon)
{
	char device[64];
	struct mo_mem mem;
	long managed;
};

FIXTURE_SETUP(balloon)
{
	const char *why = mo_need_balloon() ?: mo_need_nodes();

	if (why)
		SKIP(return, "%s", why);
	if (!mo_virtio_device("virtio_balloon", self->device, sizeof(self->device)))
		SKIP(return, "the balloon is not virtio's");
	ASSERT_EQ(mo_balloon_set(0), 0);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	self->managed = mo_managed();
}

FIXTURE_TEARDOWN(balloon)
{
	char name[64];
	struct mo_write w;

	if (!mo_virtio_device("virtio_balloon", name, sizeof(name)))
		rebind("virtio_balloon", "bind", self->device, &w);
	mo_mem_restore(&self->mem);
	mo_balloon_set(0);
	mo_mem_free(&self->mem);
}

/* With all of its pages, while a block that has many of them goes offline */
TEST_F_TIMEOUT(balloon, unbind_inflated, MO_TIMEOUT)
{
	long migrated = mo_vmstat("balloon_migrate");
	struct mo_block *block;
	struct mo_write w;
	int status;
	long pages;
	pid_t pid;

	for (int i = 0; i < ROUNDS; i++) {
		if (!mo_balloon_fill_block(&self->mem, self->mem.block_pages / 2, &block))
			SKIP(return, "no block of ZONE_MOVABLE that the balloon fills by half");
		pages = mo_balloon_pages();
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			mo_block_set(block, "offline", &w);
			_exit(w.killed);
		}
		/* Somewhere in the middle of it */
		usleep(20000 * i);
		EXPECT_EQ(rebind("virtio_balloon", "unbind", self->device, &w), 0)
			TH_LOG("unbind: %s", mo_write_str(&w));
		EXPECT_EQ(mo_balloon_pages(), 0);
		EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), 0);
		EXPECT_EQ(waitpid(pid, &status, 0), pid);
		EXPECT_EQ(status, 0);
		EXPECT_EQ(mo_mem_restore(&self->mem), 0);
		EXPECT_EQ(mo_managed(), self->managed);

		/* The host has not changed its mind: as many pages again */
		ASSERT_EQ(rebind("virtio_balloon", "bind", self->device, &w), 0)
			TH_LOG("bind: %s", mo_write_str(&w));
		EXPECT_TRUE(mo_wait_settled(self->managed - pages, 0))
			TH_LOG("managed %ld, before %ld", mo_managed(), self->managed);
		ASSERT_EQ(mo_balloon_set(0), 0);
		EXPECT_EQ(mo_balloon_pages(), 0);
		EXPECT_EQ(mo_managed(), self->managed);
	}
	mo_vmstat_refresh();
	TH_LOG("%ld migrations", mo_vmstat("balloon_migrate") - migrated);
	EXPECT_GT(mo_vmstat("balloon_migrate"), migrated);
}

FIXTURE(virtio_mem)
{
	char device[64];
	struct mo_mem before, after;
	char auto_online[32];
};

FIXTURE_SETUP(virtio_mem)
{
	const char *why = mo_need_pages() ?: mo_need_hotplug() ?: mo_need_host();
	char answer[128];

	if (why)
		SKIP(return, "%s", why);
	if (!mo_virtio_device("virtio_mem", self->device, sizeof(self->device)))
		SKIP(return, "no virtio-mem device (or no CONFIG_VIRTIO_MEM)");
	if (mo_host(answer, sizeof(answer), "virtio-mem 0"))
		SKIP(return, "host: %s", answer);
	ASSERT_GE(mo_read(AUTO_ONLINE, self->auto_online, sizeof(self->auto_online)), 0);
	ASSERT_EQ(mo_write(AUTO_ONLINE, "online_movable"), 0);
	ASSERT_EQ(mo_mem_read(&self->before), 0);
}

FIXTURE_TEARDOWN(virtio_mem)
{
	mo_write(AUTO_ONLINE, self->auto_online);
	mo_mem_free(&self->after);
	mo_mem_free(&self->before);
}

/* How many pages of a block are offline; -1 if it cannot be said */
static long nr_offline(const struct mo_mem *mem, unsigned int i)
{
	__u64 *flags = mo_mem_flags(mem, i);
	long nr = 0;

	if (!flags)
		return -1;
	for (unsigned long p = 0; p < mem->block_pages; p++)
		nr += !!(flags[p] & F_OFFLINE);
	free(flags);
	return nr;
}

static bool is_new(const struct mo_mem *before, const struct mo_block *b)
{
	for (unsigned int i = 0; i < before->nr; i++) {
		if (before->block[i].id == b->id)
			return false;
	}
	return true;
}

/* The new block of which a part is unplugged */
static struct mo_block *find_partial(const struct mo_mem *before, const struct mo_mem *after,
				     long *offline)
{
	for (unsigned int i = 0; i < after->nr; i++) {
		if (!is_new(before, &after->block[i]))
			continue;
		*offline = nr_offline(after, i);
		if (*offline > 0 && *offline < (long)after->block_pages)
			return &after->block[i];
	}
	return NULL;
}

/*
 * The driver lets partially plugged blocks go offline, and knows what of them is
 * memory when they come back. Without it they must stay as they are.
 */
TEST_F_TIMEOUT(virtio_mem, unbind_partially_plugged, MO_TIMEOUT)
{
	struct mo_block *partial = NULL;
	unsigned long block_mib;
	char answer[128];
	struct mo_write w;
	long offline;

	block_mib = self->before.block_pages * psize() >> 20;
	ASSERT_EQ(mo_host(answer, sizeof(answer), "virtio-mem %lu",
			  block_mib + block_mib / 2), 0)
		TH_LOG("host: %s", answer);
	for (int i = 0; i < MO_DEADLINE * 10 && !partial; i++) {
		mo_mem_free(&self->after);
		ASSERT_EQ(mo_mem_read(&self->after), 0);
		partial = find_partial(&self->before, &self->after, &offline);
		if (!partial)
			usleep(100000);
	}
	if (!partial)
		SKIP(return, "the device has no part of a memory block plugged");
	TH_LOG("memory%lu: %ld pages unplugged", partial->id, offline);

	ASSERT_EQ(mo_block_set(partial, "offline", &w), 0)
		TH_LOG("offlining: %s", mo_write_str(&w));
	ASSERT_EQ(mo_block_set(partial, "online_movable", &w), 0)
		TH_LOG("onlining: %s", mo_write_str(&w));

	ASSERT_EQ(rebind("virtio_mem", "unbind", self->device, &w), 0)
		TH_LOG("unbind: %s", mo_write_str(&w));
	EXPECT_NE(mo_block_set(partial, "offline", &w), 0);
	TH_LOG("offlining without the driver: %s", mo_write_str(&w));
	EXPECT_TRUE(mo_block_online(partial));
	EXPECT_EQ(nr_offline(&self->after, partial - self->after.block), offline);
}

TEST_HARNESS_MAIN
