// SPDX-License-Identifier: GPL-2.0
/*
 * alloc_contig_range() over ranges with ballooned, zsmalloc and slab pages, and
 * with those of the module test_movable_ops: by that module, where it is asked
 * for any range, by gigantic pages of hugetlb, and by CMA where its debugfs has
 * an area.
 */
#include <dirent.h>

#include "kselftest_harness.h"
#include "vm_util.h"
#include "mo_util.h"

#define CMA_DIR		"/sys/kernel/debug/cma"
#define ZRAM_MIB	48
#define BALLOON_MIB	192
#define MODULE_MIB	96

/* What to leave of a node to be filled; CMA areas are some of it */
#define HOG_LEAVE_MIB	192

/* Of a range that the module is to allocate */
#define RANGE_PAGES	512
#define MIXED_PAGES	2048

FIXTURE(contig)
{
	struct mo_mem mem;
	struct mo_zram zram;
	const char *nr_path;
	long nr;
	long movable;
	long pages;	/* that are owned by a balloon or the module */
	int huge_node;	/* with more hugetlb pages than before, or -1 */
	long huge;	/* how many it had */
};

FIXTURE_VARIANT(contig)
{
	bool balloon;
	bool module;
	bool zram;
};

FIXTURE_VARIANT_ADD(contig, ballooned)
{
	.balloon = true,
};

FIXTURE_VARIANT_ADD(contig, module)
{
	.module = true,
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
	self->huge_node = -1;
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	if (variant->balloon) {
		why = mo_need_balloon();
		if (why)
			SKIP(return, "%s", why);
		ASSERT_EQ(mo_balloon_set(0), 0);
		ASSERT_EQ(mo_balloon_set(BALLOON_MIB), 0);
		self->pages = mo_balloon_pages();
	}
	if (variant->module) {
		why = mo_need_module();
		if (why)
			SKIP(return, "%s", why);
		ASSERT_EQ(mo_module_reset(), 0);
		mo_run_near_movable(&self->mem);
		ASSERT_EQ(mo_module_add((MODULE_MIB << 20) / psize(), -1), 0);
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

static void node_huge_path(char *path, size_t size, int node)
{
	snprintf(path, size, MO_NODE "/node%d/hugepages/hugepages-%ldkB/nr_hugepages", node,
		 mo_meminfo_kb("Hugepagesize:"));
}

/* Take most of what a node has, at once and without touching it */
static void hog(FIXTURE_DATA(contig) * self, int node, unsigned int leave_mib)
{
	long free_kb, huge_kb = mo_meminfo_kb("Hugepagesize:");
	char path[128], buf[4096], nr[32];
	char *at;

	snprintf(path, sizeof(path), MO_NODE "/node%d/meminfo", node);
	if (huge_kb <= 0 || mo_read(path, buf, sizeof(buf)) <= 0)
		return;
	at = strstr(buf, "MemFree:");
	if (!at || sscanf(at, "MemFree: %ld", &free_kb) != 1 || free_kb / 1024 <= leave_mib)
		return;
	node_huge_path(path, sizeof(path), node);
	self->huge_node = node;
	self->huge = mo_read_number(path);
	snprintf(nr, sizeof(nr), "%ld", self->huge + (free_kb - leave_mib * 1024L) / huge_kb);
	mo_write(path, nr);
}

static void hog_free(FIXTURE_DATA(contig) * self)
{
	char path[128], nr[32];

	if (self->huge_node < 0)
		return;
	node_huge_path(path, sizeof(path), self->huge_node);
	snprintf(nr, sizeof(nr), "%ld", self->huge);
	mo_write(path, nr);
}

FIXTURE_TEARDOWN(contig)
{
	char buf[32];

	hog_free(self);
	if (self->nr_path) {
		snprintf(buf, sizeof(buf), "%ld", self->nr);
		mo_write(self->nr_path, buf);
	}
	if (self->movable == 0)
		mo_write(MO_MOVABLE_GIGANTIC, "0");
	if (variant->balloon)
		mo_balloon_set(0);
	if (!mo_need_module())
		mo_module_reset();
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
	if (mo_module_pages())
		EXPECT_TRUE(mo_module_verify(true));
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

static enum mo_kind kind_of(const FIXTURE_VARIANT(contig) * variant)
{
	return variant->zram ? MO_ZSMALLOC : MO_BALLOON;
}

/* The range of a block with most pages of a kind, and without holes or poison */
static long best_range(const struct mo_mem *mem, unsigned int i,
		       enum mo_kind kind, unsigned long *pfn)
{
	__u64 *flags = mo_mem_flags(mem, i);
	long best = 0;

	for (unsigned long p = 0; flags && p < mem->block_pages; p += RANGE_PAGES) {
		long nr = 0;
		bool bad = false;

		for (unsigned long j = p; j < p + RANGE_PAGES; j++) {
			nr += mo_is(flags[j], kind);
			bad |= mo_is(flags[j], MO_HOLE) || mo_is(flags[j], MO_POISONED);
		}
		if (!bad && nr > best) {
			best = nr;
			*pfn = mem->block[i].pfn + p;
		}
	}
	free(flags);
	return best;
}

/* Where everything can be migrated, each range can be had */
TEST_F_TIMEOUT(contig, range, MO_TIMEOUT)
{
	const char *why = mo_need_module();
	unsigned long pfn = 0;
	unsigned int done = 0;
	long owned;
	int err;

	if (why)
		SKIP(return, "%s", why);
	for (unsigned int i = 0; i < self->mem.nr; i++) {
		if (!self->mem.block[i].online || strcmp(self->mem.block[i].zone, "Movable"))
			continue;
		owned = best_range(&self->mem, i, kind_of(variant), &pfn);
		if (!owned)
			continue;
		/* Somebody else may have a page for a moment */
		for (int n = 0; n < 10; n++) {
			err = mo_module_write("contig", "%lu %d", pfn, RANGE_PAGES);
			if (err != -EBUSY)
				break;
			usleep(100000);
		}
		if (err == -EOPNOTSUPP)
			SKIP(return, "no alloc_contig_range() (CONFIG_CONTIG_ALLOC)");
		TH_LOG("pfn %#lx: %ld of %d pages, %s", pfn, owned, RANGE_PAGES,
		       err ? strerror(-err) : "done");
		EXPECT_EQ(err, 0);
		if (!variant->zram)
			EXPECT_EQ(mo_count(pfn, RANGE_PAGES, kind_of(variant), NULL), 0);
		done++;
	}
	check_owners(_metadata, self);
	if (!done && !_metadata->exit_code)
		SKIP(return, "no block of ZONE_MOVABLE has such pages");
}

/* Give an area back at once: somebody may need it */
static void use_area(struct __test_metadata *_metadata, const char *name,
		     enum mo_kind kind, bool *used)
{
	unsigned long base, nr, free_pages, order;
	char path[512], buf[32];
	struct mo_write w;
	long owned;

#define AREA(file) (snprintf(path, sizeof(path), CMA_DIR "/%s/" file, name), path)
	base = mo_read_number(AREA("base_pfn"));
	nr = mo_read_number(AREA("count"));
	order = mo_read_number(AREA("order_per_bit"));
	free_pages = mo_read_number(AREA("maxchunk"));
	owned = mo_count(base, nr, kind, NULL);
	if (!free_pages)
		return;
	nr = free_pages >> order << order;
	snprintf(buf, sizeof(buf), "%lu", nr);
	mo_write_deadline(AREA("alloc"), buf, 2 * MO_DEADLINE, &w);
	TH_LOG("%s: %lu pages, %ld of them such pages: %s", name, nr, owned,
	       mo_write_str(&w));
	EXPECT_FALSE(w.killed);
	EXPECT_EQ(w.err, 0);
	if (w.err)
		return;
	*used |= owned > 0;
	EXPECT_EQ(mo_count(base, nr, MO_BALLOON, NULL), 0);
	EXPECT_EQ(mo_count(base, nr, MO_ZSMALLOC, NULL), 0);
	EXPECT_EQ(mo_write(AREA("free"), buf), 0);
#undef AREA
}

/* Pages of a kind in all CMA areas, and the node of the first area */
static long areas_count(enum mo_kind kind, const struct mo_mem *mem, int *node)
{
	DIR *dir = opendir(CMA_DIR);
	struct dirent *e;
	long sum = 0;

	*node = -1;
	while (dir && (e = readdir(dir))) {
		unsigned long base, nr;
		char path[512];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), CMA_DIR "/%s/base_pfn", e->d_name);
		base = mo_read_number(path);
		snprintf(path, sizeof(path), CMA_DIR "/%s/count", e->d_name);
		nr = mo_read_number(path);
		sum += mo_count(base, nr, kind, NULL);
		for (unsigned int i = 0; i < mem->nr && *node < 0; i++) {
			if (base - mem->block[i].pfn < mem->block_pages)
				*node = mem->block[i].node;
		}
	}
	if (dir)
		closedir(dir);
	return sum;
}

/* The driver of the balloon allocates on the CPU that handled its interrupt */
static void irqs_on(int node)
{
	char path[300], cpus[256];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), MO_NODE "/node%d/cpulist", node);
	if (mo_read(path, cpus, sizeof(cpus)) <= 0)
		return;
	dir = opendir("/proc/irq");
	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/irq/%s/smp_affinity_list", e->d_name);
		mo_write(path, cpus);
	}
	if (dir)
		closedir(dir);
}

/*
 * CMA areas are used when little else is free in their zone. Let the module have
 * what is left of their node; what it gives back then is there for others.
 */
static void fill_areas(struct __test_metadata *_metadata,
		       FIXTURE_DATA(contig) * self,
		       const FIXTURE_VARIANT(contig) * variant)
{
	const unsigned int step_mib = 16;
	const long step = (step_mib << 20) / psize();
	enum mo_kind kind = kind_of(variant);
	long before;
	int node;

	areas_count(MO_BALLOON, &self->mem, &node);
	if (node < 0 || mo_need_module())
		return;
	mo_run_on(node, true);
	irqs_on(node);
	if (variant->zram)
		ASSERT_EQ(mo_zram_discard(&self->zram, 0, self->zram.pages), 0);
	hog(self, node, HOG_LEAVE_MIB);
	while (areas_count(MO_BALLOON, &self->mem, &node) < step / 2) {
		if (mo_module_add(step, node))
			break;
	}
	if (!variant->module)
		mo_module_write("free", "%ld", 2 * step);
	before = areas_count(kind, &self->mem, &node);
	if (variant->balloon)
		ASSERT_EQ(mo_balloon_set(BALLOON_MIB + 2 * step_mib), 0);
	if (variant->zram)
		ASSERT_EQ(mo_zram_fill(&self->zram, 0, self->zram.pages), 0);
	if (!variant->zram)
		self->pages = mo_balloon_pages();
	TH_LOG("node %d, filled by %ld pages of the module: %ld such pages in areas, %ld before",
	       node, mo_module_pages(), areas_count(kind, &self->mem, &node), before);
}

TEST_F_TIMEOUT(contig, cma, MO_TIMEOUT)
{
	DIR *dir = opendir(CMA_DIR);
	bool used = false, any = false;
	struct dirent *e;

	if (!dir)
		SKIP(return, "no " CMA_DIR " (CONFIG_CMA_DEBUGFS)");
	fill_areas(_metadata, self, variant);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		any = true;
		use_area(_metadata, e->d_name, kind_of(variant), &used);
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

FIXTURE(contig_slab)
{
	struct mo_mem mem;
};

FIXTURE_SETUP(contig_slab)
{
	const char *why = mo_need_pages() ?: mo_need_hotplug() ?: mo_need_module();

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mo_mem_read(&self->mem), 0);
	ASSERT_EQ(mo_module_reset(), 0);
}

FIXTURE_TEARDOWN(contig_slab)
{
	mo_module_reset();
	mo_mem_free(&self->mem);
}

/* Does a range have slab of order 0 and pages of the module? */
static bool count_mixed(const __u64 *flags, long *slab, long *owned)
{
	*slab = 0;
	*owned = 0;
	for (unsigned int i = 0; i < MIXED_PAGES; i++) {
		if (mo_is(flags[i], MO_HOLE))
			return false;
		*slab += mo_is(flags[i], MO_SLAB);
		*owned += mo_is(flags[i], MO_BALLOON);
	}
	return *slab && *owned >= 16;
}

/* Such a range of a kernel zone */
static bool mixed_range(const struct mo_mem *mem, int node, unsigned long *pfn,
			long *slab, long *owned)
{
	bool found = false;

	for (unsigned int i = 0; !found && i < mem->nr; i++) {
		__u64 *flags;

		if (mem->block[i].node != node || !mem->block[i].online ||
		    !strcmp(mem->block[i].zone, "Movable"))
			continue;
		flags = mo_mem_flags(mem, i);
		*pfn = mem->block[i].pfn;
		/* Slab keeps to page blocks of its own: one has to be next to it */
		for (unsigned long p = 0; flags && p + MIXED_PAGES <= mem->block_pages;
		     p += RANGE_PAGES) {
			found = count_mixed(flags + p, slab, owned);
			if (found)
				break;
			*pfn += RANGE_PAGES;
		}
		free(flags);
	}
	return found;
}

/* Slab cannot be migrated: that has to be found out before anything else is */
TEST_F_TIMEOUT(contig_slab, refused_at_once, MO_TIMEOUT)
{
	const long step = (64 << 20) / psize();
	const int node = self->mem.block[0].node;
	long slab = 0, owned = 0, migrated;
	unsigned long pfn = 0;
	bool found = false;
	int err;

	/* First come the smallest free blocks, which slab is next to */
	while (!found && mo_meminfo_kb("MemFree:") / 1024 > 512 &&
	       !mo_module_add(step, node))
		found = mixed_range(&self->mem, node, &pfn, &slab, &owned);
	if (!found)
		SKIP(return, "no range of a kernel zone with slab of order 0 and movable pages");
	migrated = mo_module_stat("migrations");
	err = mo_module_write("contig", "%lu %d", pfn, MIXED_PAGES);
	if (err == -EOPNOTSUPP)
		SKIP(return, "no alloc_contig_range() (CONFIG_CONTIG_ALLOC)");
	migrated = mo_module_stat("migrations") - migrated;
	TH_LOG("pfn %#lx, %d pages: %ld of slab, %ld of the module, %ld migrated: %s", pfn,
	       MIXED_PAGES, slab, owned, migrated, err ? strerror(-err) : "done");
	EXPECT_EQ(err, -EBUSY);
	EXPECT_EQ(migrated, 0);
	EXPECT_TRUE(mo_module_verify(true));
}

TEST_HARNESS_MAIN
