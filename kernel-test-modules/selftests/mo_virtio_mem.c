// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-mem: memory that it plugs is used, also for the balloon, and comes
 * back to the host to the last page when it is unplugged.
 */
#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define AUTO_ONLINE	MO_MEMORY "/auto_online_blocks"
#define PLUG_MIB	256

FIXTURE(virtio_mem)
{
	long managed;
	unsigned int blocks;
	char auto_online[32];
};

FIXTURE_SETUP(virtio_mem)
{
	char answer[128], device[64];
	const char *why;

	why = mo_need_pages() ?: mo_need_hotplug() ?: mo_need_host();
	if (why)
		SKIP(return, "%s", why);
	if (!mo_virtio_device("virtio_mem", device, sizeof(device)))
		SKIP(return, "no virtio-mem device (or no CONFIG_VIRTIO_MEM)");
	if (mo_host(answer, sizeof(answer), "virtio-mem 0"))
		SKIP(return, "host: %s", answer);
	ASSERT_GE(mo_read(AUTO_ONLINE, self->auto_online, sizeof(self->auto_online)), 0);
	ASSERT_EQ(mo_write(AUTO_ONLINE, "online_movable"), 0);
	self->managed = mo_managed();
	self->blocks = mo_nr_blocks();
}

FIXTURE_TEARDOWN(virtio_mem)
{
	char answer[128];

	if (mo_vmstat("nr_balloon_pages") > 0)
		mo_balloon_set(0);
	mo_host(answer, sizeof(answer), "virtio-mem 0");
	mo_write(AUTO_ONLINE, self->auto_online);
}

TEST_F_TIMEOUT(virtio_mem, plug_unplug, MO_TIMEOUT)
{
	long pages = ((long)PLUG_MIB << 20) / psize();
	char answer[128];

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(mo_host(answer, sizeof(answer), "virtio-mem %d", PLUG_MIB), 0)
			TH_LOG("host: %s", answer);
		EXPECT_EQ(atoi(answer), PLUG_MIB);
		EXPECT_TRUE(mo_wait_settled(self->managed + pages, 0))
			TH_LOG("managed %ld, before %ld", mo_managed(), self->managed);
		EXPECT_GT(mo_nr_blocks(), self->blocks);

		ASSERT_EQ(mo_host(answer, sizeof(answer), "virtio-mem 0"), 0)
			TH_LOG("host: %s", answer);
		EXPECT_EQ(atoi(answer), 0);
		EXPECT_TRUE(mo_wait_settled(self->managed, self->blocks))
			TH_LOG("managed %ld, before %ld; blocks %u, before %u", mo_managed(),
			       self->managed, mo_nr_blocks(), self->blocks);
	}
}

/* Unplugging has to migrate what the balloon has there */
TEST_F_TIMEOUT(virtio_mem, unplug_ballooned, MO_TIMEOUT)
{
	const char *why;
	struct mo_block *b;
	struct mo_mem mem;
	char answer[128];
	long pages;

	why = mo_need_balloon();
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_balloon_set(0), 0);
	ASSERT_EQ(mo_host(answer, sizeof(answer), "virtio-mem %d", PLUG_MIB), 0)
		TH_LOG("host: %s", answer);
	ASSERT_EQ(mo_mem_read(&mem), 0);
	if (!mo_balloon_fill_block(&mem, 64, &b))
		SKIP(return, "no block of ZONE_MOVABLE has ballooned pages");
	pages = mo_balloon_pages();
	ASSERT_EQ(mo_host(answer, sizeof(answer), "virtio-mem 0"), 0)
		TH_LOG("host: %s", answer);
	EXPECT_EQ(atoi(answer), 0);
	EXPECT_EQ(mo_balloon_pages(), pages);
	ASSERT_EQ(mo_balloon_set(0), 0);
	EXPECT_EQ(mo_balloon_pages(), 0);
	EXPECT_TRUE(mo_wait_settled(self->managed, self->blocks))
		TH_LOG("managed %ld, before %ld", mo_managed(), self->managed);
	mo_mem_free(&mem);
}

TEST_HARNESS_MAIN
