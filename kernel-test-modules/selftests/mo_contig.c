// SPDX-License-Identifier: GPL-2.0
/*
 * alloc_contig_range() over ranges with ballooned, zsmalloc and slab pages: by
 * gigantic pages of hugetlb, and by CMA where its debugfs has an area.
 */
#include <dirent.h>

#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define CMA_DIR		"/sys/kernel/debug/cma"
#define ZRAM_MIB	48
#define BALLOON_MIB	192

FIXTURE(contig)
{
	struct mo_mem mem;
	struct mo_zram zram;
	const char *nr_path;
	long nr;
	long movable;
	long pages;
};

FIXTURE_VARIANT(contig)
{
	bool balloon;
	bool zram;
};

FIXTURE_VARIANT_ADD(contig, ballooned)
{
	.balloon = true,
};

FIXTURE_VARIANT_ADD(contig, zsmalloc)
{
	.zram = true,
};

FIXTURE_SETUP(contig)
{
	const char *why = mo_need_pages() ?: mo_need_hotplug();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	if (variant->balloon) {
		why = mo_need_balloon();
		if (why)
			SKIP(return, "%s", why);
		ASSERT_EQ(mo_balloon_set(0), 0);
		ASSERT_EQ(mo_balloon_set(BALLOON_MIB), 0);
		self->pages = mo_balloon_pages();
	}
	if (variant->zram) {
		why = mo_need_zram();
		if (why)
			SKIP(return, "%s", why);
		mo_run_near_movable(&self->mem);
		ASSERT_EQ(mo_zram_open(&self->zram, ZRAM_MIB, 7), 0);
		ASSERT_EQ(mo_zram_fill(&self->zram, 0, self->zram.pages), 0);
	}
	self->nr_path = mo_gigantic();
	if (self->nr_path)
		self->nr = mo_read_number(self->nr_path);
	self->movable = mo_read_number(MO_MOVABLE_GIGANTIC);
}

FIXTURE_TEARDOWN(contig)
{
	char buf[32];

	if (self->nr_path) {
		snprintf(buf, sizeof(buf), "%ld", self->nr);
		mo_write(self->nr_path, buf);
	}
	if (self->movable == 0)
		mo_write(MO_MOVABLE_GIGANTIC, "0");
	if (variant->balloon)
		mo_balloon_set(0);
	if (variant->zram)
		mo_zram_close(&self->zram);
	mo_mem_free(&self->mem);
}

static void check_owners(struct __test_metadata *_metadata,
			 FIXTURE_DATA(contig) * self)
{
	if (self->pages) {
		EXPECT_EQ(mo_balloon_pages(), self->pages);
		EXPECT_EQ(mo_mem_count(&self->mem, -1, MO_BALLOON), self->pages);
	}
	if (self->zram.added)
		EXPECT_EQ(mo_zram_check(&self->zram, 0, self->zram.pages), 0);
}

/*
 * In ZONE_MOVABLE only pages that can be migrated are in the way. Elsewhere
 * there is slab: there may be no range, but that has to be found out soon.
 */
TEST_F_TIMEOUT(contig, gigantic, MO_TIMEOUT)
{
	struct mo_write w;
	char buf[32];
	long got;

	if (!self->nr_path)
		SKIP(return, "no gigantic pages (CPU, or CONFIG_HUGETLBFS)");
	snprintf(buf, sizeof(buf), "%ld", self->nr + 1);

	mo_write_deadline(self->nr_path, buf, 2 * MO_DEADLINE, &w);
	got = mo_read_number(self->nr_path) - self->nr;
	TH_LOG("kernel zones: %ld gigantic pages, %s", got, mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	check_owners(_metadata, self);

	/* SKIP() would hide a failure */
	if (_metadata->exit_code)
		return;
	if (self->movable < 0)
		SKIP(return, "no " MO_MOVABLE_GIGANTIC);
	mo_write(MO_MOVABLE_GIGANTIC, "1");
	mo_write_deadline(self->nr_path, buf, 2 * MO_DEADLINE, &w);
	got = mo_read_number(self->nr_path) - self->nr;
	TH_LOG("ZONE_MOVABLE too: %ld gigantic pages, %s", got, mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	check_owners(_metadata, self);

	snprintf(buf, sizeof(buf), "%ld", self->nr);
	mo_write(self->nr_path, buf);
	EXPECT_EQ(mo_read_number(self->nr_path), self->nr);
	check_owners(_metadata, self);
	if (!got && !_metadata->exit_code)
		SKIP(return, "no aligned range for a gigantic page in any zone");
}

/* Give an area back at once: somebody may need it */
static void use_area(struct __test_metadata *_metadata, const char *name,
		     bool *used)
{
	unsigned long base, nr, free_pages, order, owned;
	char path[512], buf[32];
	struct mo_write w;

#define AREA(file) (snprintf(path, sizeof(path), CMA_DIR "/%s/" file, name), path)
	base = mo_read_number(AREA("base_pfn"));
	nr = mo_read_number(AREA("count"));
	order = mo_read_number(AREA("order_per_bit"));
	free_pages = mo_read_number(AREA("maxchunk"));
	owned = mo_count(base, nr, MO_BALLOON, NULL) + mo_count(base, nr, MO_ZSMALLOC, NULL);
	if (!free_pages)
		return;
	nr = free_pages >> order << order;
	snprintf(buf, sizeof(buf), "%lu", nr);
	mo_write_deadline(AREA("alloc"), buf, 2 * MO_DEADLINE, &w);
	TH_LOG("%s: %lu pages, %lu of movable_ops in the area: %s", name, nr,
	       owned, mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	EXPECT_EQ(w.err, 0);
	if (w.err)
		return;
	*used |= owned;
	EXPECT_EQ(mo_count(base, nr, MO_BALLOON, NULL), 0);
	EXPECT_EQ(mo_count(base, nr, MO_ZSMALLOC, NULL), 0);
	EXPECT_EQ(mo_write(AREA("free"), buf), 0);
#undef AREA
}

TEST_F_TIMEOUT(contig, cma, MO_TIMEOUT)
{
	DIR *dir = opendir(CMA_DIR);
	bool used = false, any = false;
	struct dirent *e;

	if (!dir)
		SKIP(return, "no " CMA_DIR " (CONFIG_CMA_DEBUGFS)");
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		any = true;
		use_area(_metadata, e->d_name, &used);
	}
	closedir(dir);
	check_owners(_metadata, self);
	if (_metadata->exit_code)
		return;
	if (!any)
		SKIP(return, "no CMA area; boot with cma= or hugetlb_cma=");
	if (!used)
		SKIP(return, "no CMA area had such pages in it");
}

TEST_HARNESS_MAIN
