// SPDX-License-Identifier: GPL-2.0-only
/*
 * Benchmark of migration of movable_ops pages
 *
 * Counts what operations on such pages take: instructions in a virtual machine
 * whose TSC advances by one with each of them (QEMU -icount shift=0), or cycles
 * by a perf event. What differs between revisions is in headers.
 *
 * Files in /sys/kernel/debug/mm_bench/:
 *	run	write "instructions" or "cycles": take all figures. An error
 *		of what failed is returned, and is the last line of results
 *	results	read: what was measured
 *
 * Lines in results, each behind "bench: ":
 *	begin UNIT
 *	sample NAME COUNT VALUE	VALUE (signed, in units or bytes) for COUNT of it
 *	end NUMBER		how many samples there were
 *	failed STEP ERROR	instead, where a step failed
 */
#define pr_fmt(fmt) "mm_bench: " fmt

#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/kernel_stat.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/perf_event.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/zsmalloc.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "../zpdesc.h"
#include "mm_bench_device.h"
#include "mm_bench_dst.h"
#include "mm_bench_pages.h"
#include "mm_bench_isolated.h"

/* What a balloon driver hands over at a time (VIRTIO_BALLOON_ARRAY_PFNS_MAX) */
#define LOT		256
/* What compaction isolates at a time */
#define BATCH		COMPACT_CLUSTER_MAX
#define REPEATS		41
#define ZONE_REPEATS	3
#define STORE_PAGES	32768
#define ZS_OBJECTS	1024
#define ZS_SIZE		1200
#define RESULTS_SIZE	(64 << 10)

static DEFINE_MUTEX(bench_mutex);
static char *text;
static struct seq_buf results;
static unsigned int nr_samples;
static struct perf_event *event;
static struct balloon_dev_info device;
static unsigned long nr_migrated;
static struct page **pages;
static unsigned long max_pages;

static void record(const char *name, unsigned long count, s64 value)
{
	nr_samples++;
	seq_buf_printf(&results, "bench: sample %s %lu %lld\n", name, count,
		       value);
}

/*
 * The TSC of such a machine also advances while the processor is idle. The time
 * of that is known in microseconds, and one tick is one nanosecond.
 */
static u64 now(void)
{
	u64 enabled, running;

	if (event)
		return perf_event_read_value(event, &enabled, &running);
	return get_cycles() -
	       NSEC_PER_USEC * get_cpu_idle_time_us(smp_processor_id(), NULL);
}

/* The content of a balloon page is of no use, so there is nothing to copy. */
static int bench_migratepage(struct balloon_dev_info *info,
			     struct page *newpage, struct page *page,
			     enum migrate_mode mode)
{
	nr_migrated++;
	return 0;
}

static int alloc_all(struct page **array, unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++) {
		array[i] = bench_alloc(&device);
		if (!array[i]) {
			while (i--)
				bench_free(&device, array[i]);
			return -ENOMEM;
		}
	}
	return 0;
}

static void free_all(struct page **array, unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++)
		bench_free(&device, array[i]);
}

static int inflate(struct page **array, unsigned long nr)
{
	int err = alloc_all(array, nr);

	if (!err)
		bench_enqueue_many(&device, array, nr);
	return err;
}

static int deflate(unsigned long nr)
{
	unsigned long got, done = 0;

	do {
		got = bench_dequeue_many(&device, pages, min(nr - done, LOT));
		free_all(pages, got);
		done += got;
		cond_resched();
	} while (got && done < nr);
	return done == nr ? 0 : -EIO;
}

/* With interrupts off is at most what enqueues or dequeues LOT pages. */
static int run_inflate(void)
{
	for (int r = 0; r < REPEATS; r++) {
		u64 start = now(), allocated, enqueued, dequeued, freed;
		int err = alloc_all(pages, LOT);
		size_t got;

		if (err)
			return err;
		allocated = now();
		bench_enqueue_many(&device, pages, LOT);
		enqueued = now();
		got = bench_dequeue_many(&device, pages, LOT);
		dequeued = now();
		free_all(pages, got);
		freed = now();
		if (got != LOT)
			return -EIO;
		record("inflate", LOT, enqueued - start);
		record("enqueue", LOT, enqueued - allocated);
		record("deflate", LOT, freed - enqueued);
		record("dequeue", LOT, dequeued - enqueued);
	}
	return 0;
}

static int run_inflate_one(void)
{
	for (int r = 0; r < REPEATS; r++) {
		u64 start = now();

		for (int i = 0; i < BATCH; i++) {
			struct page *page = bench_alloc(&device);

			if (!page) {
				deflate(i);
				return -ENOMEM;
			}
			bench_enqueue(&device, page);
		}
		record("inflate_one", BATCH, now() - start);

		start = now();
		for (int i = 0; i < BATCH; i++) {
			struct page *page = bench_dequeue(&device);

			if (!page)
				return -EIO;
			bench_free(&device, page);
		}
		record("deflate_one", BATCH, now() - start);
	}
	return 0;
}

static int isolate_all(struct bench_isolated *isolated, struct page **from)
{
	bench_isolated_init(isolated);
	for (int i = 0; i < BATCH; i++) {
		if (!bench_isolate(isolated, from[i])) {
			bench_putback(isolated);
			return -EBUSY;
		}
	}
	return 0;
}

/* Migrate from[], and have in it where the pages are afterwards. */
static int migrate_all(struct bench_isolated *isolated, struct page **from,
		       const char *name)
{
	struct page *to[BATCH];
	struct bench_dst dst = { .pages = to };
	u64 start;
	int err;

	while (dst.nr < BATCH) {
		from[dst.nr] = bench_dst_alloc();
		if (!from[dst.nr])
			break;
		to[dst.nr] = from[dst.nr];
		dst.nr++;
	}
	if (dst.nr < BATCH) {
		bench_putback(isolated);
		err = -ENOMEM;
	} else {
		start = now();
		err = bench_migrate(isolated, &dst);
		record(name, BATCH, now() - start);
		if (err)
			bench_putback(isolated);
	}
	while (dst.nr)
		bench_dst_free(to[--dst.nr]);
	return err > 0 ? -EAGAIN : err;
}

static int migration_of(struct page **from, const char *isolate_name,
			const char *putback_name, const char *migrate_name)
{
	struct bench_isolated isolated;

	for (int r = 0; r < REPEATS; r++) {
		u64 start = now();
		int err = isolate_all(&isolated, from);

		if (err)
			return err;
		record(isolate_name, BATCH, now() - start);

		start = now();
		bench_putback(&isolated);
		record(putback_name, BATCH, now() - start);

		err = isolate_all(&isolated, from);
		if (!err)
			err = migrate_all(&isolated, from, migrate_name);
		if (err)
			return err;
	}
	return 0;
}

static int run_migrate(void)
{
	struct page *from[BATCH];
	int err = inflate(from, BATCH);

	if (err)
		return err;
	err = migration_of(from, "isolate", "putback", "migrate");
	return deflate(BATCH) ?: err;
}

static struct zone *zone_of_movable(void)
{
	struct zone *zone = &NODE_DATA(0)->node_zones[ZONE_MOVABLE];

	return populated_zone(zone) ? zone : NULL;
}

static int zs_migration(struct zone *zone)
{
	struct page *from[BATCH];
	unsigned long pfn;
	int nr = 0;

	for (pfn = zone->zone_start_pfn; pfn < zone_end_pfn(zone); pfn++) {
		struct page *page = pfn_to_online_page(pfn);

		if (page && PageZsmalloc(page))
			from[nr++] = page;
		if (nr == BATCH)
			return migration_of(from, "zs_isolate", "zs_putback",
					    "zs_migrate");
	}
	return -ENOENT;
}

static int run_zsmalloc(void)
{
	const gfp_t gfp = GFP_NOIO | __GFP_HIGHMEM | __GFP_MOVABLE;
	struct zone *zone = zone_of_movable();
	struct zs_pool *pool;
	unsigned long *handles;
	int nr, err = 0;

	if (!zone)
		return -ENODEV;
	handles = kvcalloc(ZS_OBJECTS, sizeof(*handles), GFP_KERNEL);
	if (!handles)
		return -ENOMEM;
	pool = zs_create_pool("mm_bench");
	if (!pool) {
		kvfree(handles);
		return -ENOMEM;
	}
	for (nr = 0; nr < ZS_OBJECTS; nr++) {
		handles[nr] = zs_malloc(pool, ZS_SIZE, gfp, NUMA_NO_NODE);
		if (IS_ERR_VALUE(handles[nr])) {
			err = (long)handles[nr];
			break;
		}
	}
	if (!err)
		err = zs_migration(zone);
	while (nr--)
		zs_free(pool, handles[nr]);
	zs_destroy_pool(pool);
	kvfree(handles);
	return err;
}

/*
 * Take all of the movable zone. Into the balloon go the pages that are wanted,
 * the others are freed again. Returns how many are in the balloon.
 */
static unsigned long fill_zone(bool (*wanted)(unsigned long pfn))
{
	unsigned long nr = 0, kept = 0;

	while (nr < max_pages) {
		struct page *page = bench_alloc(&device);

		if (!page)
			break;
		if (!is_zone_movable_page(page)) {
			bench_free(&device, page);
			break;
		}
		pages[nr++] = page;
		cond_resched();
	}
	for (unsigned long i = 0; i < nr; i++) {
		if (wanted(page_to_pfn(pages[i])))
			pages[kept++] = pages[i];
		else
			bench_free(&device, pages[i]);
	}
	for (unsigned long i = 0; i < kept; i += LOT) {
		bench_enqueue_many(&device, pages + i, min(kept - i, LOT));
		cond_resched();
	}
	return kept;
}

/*
 * Not every other page: the free scanner takes strides of powers of two where
 * it has found nothing, and then finds nothing any more.
 */
static bool every_second(unsigned long pfn)
{
	return hweight_long(pfn) & 1;
}

static int compact(void)
{
	struct file *file = filp_open("/proc/sys/vm/compact_memory", O_WRONLY, 0);
	loff_t pos = 0;
	ssize_t ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = kernel_write(file, "1\n", 2, &pos);
	filp_close(file, NULL);
	return ret < 0 ? ret : 0;
}

static int run_compact(void)
{
	for (int r = 0; r <= ZONE_REPEATS; r++) {
		unsigned long nr = fill_zone(every_second);
		u64 start;
		int err;

		nr_migrated = 0;
		start = now();
		err = compact();
		if (!err && nr_migrated < nr / 8)
			err = -ENODATA;
		/* The first time other zones and caches of pages change, too. */
		if (r && !err)
			record("compact", nr_migrated, now() - start);
		err = deflate(nr) ?: err;
		if (err)
			return err;
	}
	return 0;
}

static unsigned long block_pfn;

static bool in_block(unsigned long pfn)
{
	return pfn - block_pfn < memory_block_size_bytes() >> PAGE_SHIFT;
}

static int block_found(struct memory_block *block, void *arg)
{
	*(struct memory_block **)arg = block;
	return 1;
}

/* The first block that is in the movable zone as a whole */
static struct memory_block *movable_block(void)
{
	const unsigned long size = memory_block_size_bytes();
	struct memory_block *block = NULL;
	struct zone *zone = zone_of_movable();

	if (!zone)
		return NULL;
	block_pfn = ALIGN(zone->zone_start_pfn, size >> PAGE_SHIFT);
	if (block_pfn + (size >> PAGE_SHIFT) > zone_end_pfn(zone))
		return NULL;
	walk_memory_blocks(PFN_PHYS(block_pfn), size, &block, block_found);
	return block;
}

static int offline_block(struct memory_block *block, bool keep)
{
	const unsigned long nr = fill_zone(in_block);
	u64 start;
	int err = -ENOMEM, online;

	/* Nearly all of it: something else may have pages there. */
	if (nr < (memory_block_size_bytes() >> PAGE_SHIFT) / 10 * 9)
		goto out;
	nr_migrated = 0;
	lock_device_hotplug();
	start = now();
	err = device_offline(&block->dev);
	if (!err && keep)
		record("offline", nr_migrated, now() - start);
	if (!err) {
		block->online_type = MMOP_ONLINE_MOVABLE;
		online = device_online(&block->dev);
		err = online;
	}
	unlock_device_hotplug();
out:
	return deflate(nr) ?: err;
}

static int run_offline(void)
{
	struct memory_block *block = movable_block();

	if (!block)
		return -ENODEV;
	for (int r = 0; r <= ZONE_REPEATS; r++) {
		int err = offline_block(block, r);

		if (err)
			return err;
	}
	return 0;
}

static long nr_free(void)
{
	struct zone *zone;
	long nr = 0;

	drain_all_pages(NULL);
	for_each_populated_zone(zone)
		nr += zone_page_state_snapshot(zone, NR_FREE_PAGES);
	return nr;
}

/* What a balloon takes besides its pages */
static int run_store(void)
{
	const long before = nr_free();
	long nr;

	for (nr = 0; nr < STORE_PAGES; nr += LOT) {
		int err = inflate(pages, LOT);

		if (err)
			return deflate(nr) ?: err;
	}
	record("store", nr, (before - nr_free() - nr) * (s64)PAGE_SIZE);
	return deflate(nr);
}

static bool first_of_4m(unsigned long pfn)
{
	return !(pfn % (SZ_4M / PAGE_SIZE));
}

static int run_store_sparse(void)
{
	const long before = nr_free();
	const long nr = fill_zone(first_of_4m);

	if (!nr)
		return -ENODATA;
	record("store_sparse", nr, (before - nr_free() - nr) * (s64)PAGE_SIZE);
	return deflate(nr);
}

static int run_sizes(void)
{
	record("sizeof_page", 1, sizeof(struct page));
	record("sizeof_balloon_dev_info", 1, sizeof(struct balloon_dev_info));
	record("sizeof_compact_control", 1, sizeof(struct compact_control));
	record("sizeof_zpdesc", 1, sizeof(struct zpdesc));
	record("sizeof_isolated", 1, sizeof(struct bench_isolated));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} steps[] = {
	{ "sizes", run_sizes },
	{ "inflate", run_inflate },
	{ "inflate_one", run_inflate_one },
	{ "migrate", run_migrate },
	{ "zsmalloc", run_zsmalloc },
	{ "store", run_store },
	{ "store_sparse", run_store_sparse },
	{ "compact", run_compact },
	{ "offline", run_offline },
};

static int run_all(const char *unit)
{
	seq_buf_init(&results, text, RESULTS_SIZE);
	nr_samples = 0;
	seq_buf_printf(&results, "bench: begin %s\n", unit);
	for (int i = 0; i < ARRAY_SIZE(steps); i++) {
		int err = steps[i].run();

		if (err) {
			seq_buf_printf(&results, "bench: failed %s %d\n",
				       steps[i].name, err);
			return err;
		}
	}
	seq_buf_printf(&results, "bench: end %u\n", nr_samples);
	return seq_buf_has_overflowed(&results) ? -ENOSPC : 0;
}

static struct perf_event *cycles(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.config = PERF_COUNT_HW_CPU_CYCLES,
		.size = sizeof(attr),
		.pinned = 1,
	};

	return perf_event_create_kernel_counter(&attr, -1, current, NULL, NULL);
}

static int run_counted(const char *unit)
{
	int err;

	if (!strcmp(unit, "cycles")) {
		event = cycles();
		if (IS_ERR(event)) {
			err = PTR_ERR(event);
			event = NULL;
			return err;
		}
	} else if (strcmp(unit, "instructions")) {
		return -EINVAL;
	} else if (!get_cycles()) {
		return -EOPNOTSUPP;
	}

	bench_device_init(&device, bench_migratepage);
	err = run_all(unit);
	bench_device_exit(&device);
	if (event)
		perf_event_release_kernel(event);
	event = NULL;
	return err;
}

static ssize_t run_write(struct file *file, const char __user *from,
			 size_t size, loff_t *pos)
{
	char unit[16] = "";
	int err = 0;

	if (size >= sizeof(unit))
		return -EINVAL;
	if (copy_from_user(unit, from, size))
		return -EFAULT;

	mutex_lock(&bench_mutex);
	max_pages = zone_of_movable() ? zone_of_movable()->present_pages : LOT;
	max_pages = max(max_pages, LOT);
	pages = vcalloc(max_pages, sizeof(*pages));
	if (!text)
		text = vzalloc(RESULTS_SIZE);
	err = pages && text ? run_counted(strim(unit)) : -ENOMEM;
	vfree(pages);
	mutex_unlock(&bench_mutex);
	return err ?: size;
}

static ssize_t results_read(struct file *file, char __user *to, size_t size,
			    loff_t *pos)
{
	ssize_t ret;

	mutex_lock(&bench_mutex);
	ret = simple_read_from_buffer(to, size, pos, text,
				      text ? seq_buf_used(&results) : 0);
	mutex_unlock(&bench_mutex);
	return ret;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.write = run_write,
};

static const struct file_operations results_fops = {
	.owner = THIS_MODULE,
	.read = results_read,
	.llseek = default_llseek,
};

static int __init mm_bench_init(void)
{
	struct dentry *dir = debugfs_create_dir("mm_bench", NULL);

	debugfs_create_file("run", 0200, dir, NULL, &run_fops);
	debugfs_create_file("results", 0400, dir, NULL, &results_fops);
	return 0;
}
late_initcall(mm_bench_init);
