// SPDX-License-Identifier: GPL-2.0
/*
 * References on pages that are PageOffline or of zsmalloc, as the module
 * page_offline_walk sees them: each such page has what its kind is meant to
 * have, whoever owns it, also after it was migrated.
 */
#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define BALLOON_MIB	64
#define ZRAM_MIB	32

#define AUTO_ONLINE	MO_MEMORY "/auto_online_blocks"

FIXTURE(walk)
{
	struct mo_zram zram;
	long before;	/* PageOffline pages of others */
	bool balloon;
	bool module;
	bool virtio_mem;
	char auto_online[32];
};

FIXTURE_SETUP(walk)
{
	const char *why = mo_need_walk();

	if (why)
		SKIP(return, "%s", why);
	self->balloon = !mo_need_balloon();
	if (self->balloon)
		ASSERT_EQ(mo_balloon_set(0), 0);
	self->module = !mo_need_module();
	if (self->module)
		ASSERT_EQ(mo_module_reset(), 0);
	self->before = mo_walk_count("offline ");
	ASSERT_GE(self->before, 0);
}

FIXTURE_TEARDOWN(walk)
{
	char answer[128];

	if (self->virtio_mem) {
		mo_host(answer, sizeof(answer), "virtio-mem 0");
		mo_write(AUTO_ONLINE, self->auto_online);
	}
	if (self->balloon)
		mo_balloon_set(0);
	if (self->module)
		mo_module_reset();
	mo_zram_close(&self->zram);
}

/* So many pages of that kind, and all references as they are meant to be */
static void check(struct __test_metadata *_metadata, const char *kind,
		  long expected)
{
	struct mo_walk w;

	EXPECT_EQ(mo_walk_count(kind), expected)
		TH_LOG("%s", kind);
	ASSERT_EQ(mo_walk_check(MO_OFFLINE_REFCOUNT, MO_ZSMALLOC_REFCOUNT, &w), 0);
	EXPECT_TRUE(w.ok)
		TH_LOG("%s", w.report);
	EXPECT_GE(w.checked, expected);
}

static void compact(struct __test_metadata *_metadata)
{
	struct mo_write w;

	if (mo_need_compaction())
		return;
	EXPECT_EQ(mo_write_deadline("/proc/sys/vm/compact_memory", "1",
				    2 * MO_DEADLINE, &w), 0)
		TH_LOG("compaction: %s", mo_write_str(&w));
}

TEST_F_TIMEOUT(walk, balloon, MO_TIMEOUT)
{
	const char *why = mo_need_balloon();
	long pages;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_balloon_set(BALLOON_MIB), 0);
	pages = mo_balloon_pages();
	check(_metadata, MO_OFFLINE " movable_ops", pages);
	compact(_metadata);
	check(_metadata, MO_OFFLINE " movable_ops", pages);
	ASSERT_EQ(mo_balloon_set(0), 0);
	check(_metadata, "offline ", self->before);
}

TEST_F_TIMEOUT(walk, module, MO_TIMEOUT)
{
	long pages = (MO_MODULE_MIB << 20) / psize();
	const char *why = mo_need_module();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_module_add(pages, -1), 0);
	check(_metadata, MO_OFFLINE " movable_ops", pages);
	compact(_metadata);
	check(_metadata, MO_OFFLINE " movable_ops", pages);
	EXPECT_TRUE(mo_module_verify(true));
	ASSERT_EQ(mo_module_reset(), 0);
	check(_metadata, "offline ", self->before);
}

/* zsmalloc may allocate and free at any time: only its references are checked */
TEST_F_TIMEOUT(walk, zsmalloc, MO_TIMEOUT)
{
	const char *why = mo_need_zram();
	struct mo_walk w;
	long pages;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_zram_open(&self->zram, ZRAM_MIB, 3), 0);
	ASSERT_EQ(mo_zram_fill(&self->zram, 0, self->zram.pages), 0);
	for (int i = 0; i < 2; i++) {
		pages = mo_walk_count("zsmalloc refcount 1 movable_ops");
		EXPECT_GT(pages, 0);
		EXPECT_EQ(mo_walk_count("zsmalloc "), pages);
		ASSERT_EQ(mo_walk_check(MO_OFFLINE_REFCOUNT, MO_ZSMALLOC_REFCOUNT, &w), 0);
		EXPECT_TRUE(w.ok)
			TH_LOG("%s", w.report);
		compact(_metadata);
		EXPECT_EQ(mo_zram_check(&self->zram, 0, self->zram.pages), 0);
	}
}

/* Half of a block is plugged: the rest is offline and cannot be migrated */
TEST_F_TIMEOUT(walk, virtio_mem, MO_TIMEOUT)
{
	const char *why = mo_need_hotplug() ?: mo_need_host();
	char answer[128];
	struct mo_mem mem;
	long mib, nr;
	__u64 end;

	if (why)
		SKIP(return, "%s", why);
	if (mo_host(answer, sizeof(answer), "virtio-mem 0"))
		SKIP(return, "host: %s", answer);
	ASSERT_EQ(mo_mem_read(&mem), 0);
	mib = mem.block_pages * psize() >> 20;
	mo_mem_free(&mem);

	ASSERT_GE(mo_read(AUTO_ONLINE, self->auto_online, sizeof(self->auto_online)), 0);
	self->virtio_mem = true;
	ASSERT_EQ(mo_write(AUTO_ONLINE, "online_movable"), 0);
	ASSERT_EQ(mo_host(answer, sizeof(answer), "virtio-mem %ld", mib / 2), 0)
		TH_LOG("host: %s", answer);
	/* The host is done before the memory is online. */
	nr = (mib / 2 << 20) / psize();
	end = mo_now_ms() + MO_DEADLINE * 1000;
	while (mo_walk_count(MO_OFFLINE " -") != nr && mo_now_ms() < end)
		usleep(100000);
	check(_metadata, MO_OFFLINE " -", nr);
}

/* A check that cannot fail shows nothing */
TEST_F_TIMEOUT(walk, finds_wrong_ones, MO_TIMEOUT)
{
	long pages = (MO_MODULE_MIB << 20) / psize();
	const char *why = mo_need_module();
	struct mo_walk w;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_module_add(pages, -1), 0);
	ASSERT_EQ(mo_walk_check(MO_OFFLINE_REFCOUNT + 1, -1, &w), 0);
	EXPECT_FALSE(w.ok);
	EXPECT_EQ(w.wrong, pages + self->before);
	ASSERT_EQ(mo_walk_check(-1, -1, &w), 0);
	EXPECT_TRUE(w.ok);
	EXPECT_EQ(w.checked, 0);
}

TEST_HARNESS_MAIN
