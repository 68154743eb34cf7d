/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract of struct movable_operations by PFN, as balloons keep it: frozen pages, a store
 * of the pages by PFN, and who owns which page at each step. Compare isolation.pml, which is how
 * it was with page->lru, references and page locks.
 *
 * Two page frames; a driver that inflates a page, deflates what it has, and unregisters its device;
 * two who isolate and migrate (compaction, offlining, soft offlining), with the other page frame to
 * migrate to; and somebody who gets references to whatever page there is (DAMON), who also
 * allocates pages for something else. What happens under balloon_pages_lock, or in one atomic
 * operation, is one atomic step, but where somebody looks without the lock. Above each stands the
 * C function that it is a model of.
 *
 * A rule can be taken out with -DWITHOUT_<RULE>; the checker must find a violation then
 * (tests/test_models.py):
 *
 *	INFLATED	only pages that are in the balloon are isolated
 *	ISOLATED	isolated pages are not isolated once more
 *	DEQUEUE		isolated pages are not dequeued
 *	TYPE		pages have their type before they are in the balloon
 *	FROZEN		nobody can get a reference to a page of the balloon
 *	RESERVE		there is a place for a page before the host is told of it
 *	UNRESERVE	the place is given up if the page is not inflated after all
 *	RETURNED	the VM frees what it wanted to migrate to if that was of no use
 *	GIVEN_UP	the VM frees the page that was migrated
 *	HANDED_OVER	soft offlining gets that page with a reference
 *	KEPT		a page that was not migrated remains isolated
 *	PUTBACK		who gives up migrating puts the page back
 *	UNREGISTER	the device waits for isolated pages before it is gone
 *	LAST_LOCK	and takes the lock after that
 */

#define FREE	0	/* in the buddy */
#define DRIVER	1	/* allocated by balloon_page_alloc() or handed over by migrate() */
#define VM	2	/* allocated to migrate to, or given up by migrate() */
#define OTHER	3	/* allocated by somebody else, or waits for its last reference */

#define PAGES	2
#define NONE	2

/* struct page */
byte owner[PAGES] = FREE;
byte refcount[PAGES] = 0;
bool movable_ops[PAGES] = false;	/* PageOffline() && PageMovableOps() */

/* struct balloon_chunk: one page in each, as in the sparsest of balloons */
byte allocated[PAGES] = 0;		/* nr_allocated: the chunk exists */
bool inflated[PAGES] = false;
bool isolated[PAGES] = false;

/* struct balloon_dev_info */
bool lock = false;			/* balloon_pages_lock, where that is more than one step */
bool registered = true;
bool gone = false;			/* balloon_unregister() has returned: freed by the driver */
byte isolated_pages = 0;

/* The driver */
bool balloon_lock = false;		/* virtio's mutex that fill, leak and migratepage take */
byte size = 0;				/* vb->num_pages, vmballoon->size, cmm's loaned_pages */
bool told[PAGES] = false;		/* the host has the page */

byte nr_isolators[PAGES] = 0;		/* that believe they have the page isolated */
byte running = 0;			/* processes that have not ended */

/* free_frozen_pages(): of a page that is nobody's but the caller's */
inline free_frozen(p) {
	assert(owner[p] != FREE);
	assert(refcount[p] == 0);
	assert(!inflated[p] && !isolated[p] && nr_isolators[p] == 0);
	assert(!told[p]);			/* it is with the host */
	movable_ops[p] = false;
	owner[p] = FREE;
}

/* put_page() */
inline put_page(p) {
	assert(refcount[p] > 0);
	refcount[p]--;
	if
	:: refcount[p] == 0 -> free_frozen(p);
	:: else
	fi
}

/* balloon_find_chunk(), of what must be there */
inline has_chunk(p) {
	assert(!gone);
	assert(allocated[p] > 0)
}

/* __balloon_release() */
inline release(p) {
	has_chunk(p);
	allocated[p]--;
	assert(allocated[p] > 0 || (!inflated[p] && !isolated[p]))
}

/* balloon_page_init(), outside of the lock */
inline page_init(p) {
	assert(refcount[p] == 0);		/* VM_WARN_ON_ONCE_PAGE() */
	movable_ops[p] = true
}

/* balloon_set_inflated() */
inline set_inflated(p) {
	has_chunk(p);
	assert(!inflated[p] && !isolated[p]);	/* VM_WARN_ON_ONCE() */
#ifndef WITHOUT_TYPE
	assert(movable_ops[p]);
#endif
	inflated[p] = true
}

/* balloon_unisolate(): whoever waits does so without the lock, and can go on from here. */
inline unisolate(p) {
	assert(isolated[p]);
	assert(isolated_pages > 0);
	isolated[p] = false;
	isolated_pages--
}

proctype driver() {
	byte rounds = 0;
	byte p = NONE;

	do
	:: rounds < 2 ->
		rounds++;
		/* balloon_page_alloc(): alloc_frozen_pages(), balloon_reserve() */
		atomic {
			if
			:: owner[0] == FREE -> p = 0;
			:: owner[1] == FREE -> p = 1;
			:: else -> break;
			fi;
			owner[p] = DRIVER;
		}
		if
		:: atomic { !lock -> allocated[p]++ }
		:: atomic { free_frozen(p) };	/* no memory for the chunk */
			goto again;
		fi;
		/* fill_balloon() */
		atomic { !balloon_lock -> balloon_lock = true; size++; told[p] = true };
		/* balloon_pages_enqueue() */
#ifndef WITHOUT_TYPE
		atomic { page_init(p) };
#endif
		atomic { !lock -> set_inflated(p) };
#ifdef WITHOUT_TYPE
		atomic { page_init(p) };
#endif
		balloon_lock = false;
again:
		p = NONE
	:: break
	od;

	/* remove_common(), vmballoon_pop(), cmm_free_all_pages() */
	do
	:: atomic { size > 0 -> !balloon_lock -> balloon_lock = true };
		/* balloon_pages_dequeue(), of one page */
		atomic {
			!lock;
			assert(!gone);
			if
#ifdef WITHOUT_DEQUEUE
			:: inflated[0] -> p = 0;
			:: inflated[1] -> p = 1;
#else
			:: inflated[0] && !isolated[0] -> p = 0;
			:: inflated[1] && !isolated[1] -> p = 1;
#endif
			:: else -> p = NONE;
			fi;
			if
			:: p != NONE -> has_chunk(p); inflated[p] = false; size--;
			:: else
			fi
		}
		if
		:: p != NONE ->
			told[p] = false;	/* tell_host() */
			/* balloon_page_free() */
			atomic { !lock -> release(p) };
			atomic { free_frozen(p) };
			balloon_lock = false
		:: else ->
			balloon_lock = false;
			isolated_pages == 0	/* balloon_wait_isolated() */
		fi
	:: atomic { size == 0 -> break }
	od;

	/* balloon_unregister() */
#ifndef WITHOUT_UNREGISTER
	isolated_pages == 0;
#endif
#ifdef WITHOUT_LAST_LOCK
	atomic { registered = false };
#else
	atomic { !lock -> registered = false };
#endif
	assert(!allocated[0] && !allocated[1]);	/* pr_warn(): pages were left */
	gone = true;
	running--
}

/* movable_ops_batch_isolate() of a caller that finds the page by PFN, and then migration */
proctype isolator() {
	byte src, dst = NONE;
	bool no_src = false, memory_failure = false;
	short rc = 0;

	if
	:: src = 0
	:: src = 1
	fi;

	/* page_movable_ops(), in movable_ops_batch_isolate(): a hint where to ask */
	if
	:: movable_ops[src]
	:: goto out
	fi;

	/* balloon_isolate() */
	atomic {
		!lock;
		if
		:: !registered -> goto out;
		:: else
		fi;
		assert(!gone);
		if
#ifndef WITHOUT_INFLATED
		:: !inflated[src] -> goto out;
#endif
#ifndef WITHOUT_ISOLATED
		:: inflated[src] && isolated[src] -> goto out;
#endif
		:: else
		fi;
		assert(nr_isolators[src] == 0);
		assert(inflated[src] && allocated[src] > 0);	/* a bit in a chunk of the device */
		isolated[src] = true;
		isolated_pages++;
		nr_isolators[src]++;
	}

	/* page_movable_ops(), before migrate() and putback() are called */
	assert(movable_ops[src] && owner[src] == DRIVER);

	/* movable_ops_batch_migrate(), or not */
	if
	:: dst = 1 - src
	:: goto putback
	fi;

	/* migrate_one_movable_ops_page(): alloc_movable_ops_target(), compaction_alloc_page() */
	atomic {
		if
		:: owner[dst] == FREE -> owner[dst] = VM;
		:: else -> goto putback;
		fi;
#ifdef WITHOUT_FROZEN
		refcount[dst] = 1;
#endif
	}

	/* balloon_migrate(): balloon_reserve() */
	atomic { !lock -> assert(registered && inflated[src] && isolated[src]) };
#ifndef WITHOUT_RESERVE
	if
	:: atomic { !lock -> assert(!gone); allocated[dst]++ }
	:: rc = -1; goto failed		/* -ENOMEM */
	fi;
#endif

	/* virtballoon_migratepage(), vmballoon_migratepage(), cmm_migratepage() */
	atomic {
		assert(!gone);
		if
		:: !balloon_lock -> balloon_lock = true;
		:: balloon_lock -> rc = -1;	/* -EAGAIN */
		:: rc = -1;			/* -EBUSY: the host wants none of it */
		fi
	}
	if
	:: rc == 0 ->
		atomic { assert(told[src]); told[src] = false };
		if
		:: atomic { assert(!told[dst]); told[dst] = true }
		:: atomic { rc = 1; size-- }	/* -ENOENT: the host has enough */
		fi;
		balloon_lock = false
	:: else
	fi;

#ifdef WITHOUT_RESERVE
	if
	:: atomic { !lock -> assert(!gone); allocated[dst]++ }
	:: rc = -1; goto failed		/* -ENOMEM, too late */
	fi;
#endif

	/* balloon_release() */
	if
	:: rc != 0 ->
#ifndef WITHOUT_UNRESERVE
		atomic { !lock -> release(dst) };
#endif
		if
		:: rc < 0 -> goto failed
		:: else
		fi
#ifndef WITHOUT_TYPE
	:: else -> atomic { page_init(dst) }
#else
	:: else
#endif
	fi;

	/* The page is the owner's once it can be found in the balloon. */
	atomic {
		!lock -> lock = true;
		assert(!gone);
		if
		:: rc == 0 -> owner[dst] = DRIVER; set_inflated(dst);
		:: else
		fi;
		inflated[src] = false;
		unisolate(src);
	}
	atomic {
		assert(!gone);			/* wake_up_all() */
		release(src);
		nr_isolators[src]--;
		owner[src] = VM;
		lock = false;
	}
#ifdef WITHOUT_TYPE
	if
	:: rc == 0 -> atomic { page_init(dst) }
	:: else
	fi;
#endif

	/* migrate_one_movable_ops_page(): MOVABLE_OPS_RELEASED, dst is not needed */
	if
	:: rc > 0 ->
#ifndef WITHOUT_RETURNED
		atomic {
#ifdef WITHOUT_FROZEN
			refcount[dst]--;
#endif
			free_frozen(dst)
		}
#else
		skip
#endif
	:: else
	fi;
	/* soft_offline_movable_ops_page() has the page freed by page_handle_poison(). */
	if
	:: memory_failure = true
	:: skip
	fi;
	if
	:: memory_failure ->
#ifndef WITHOUT_HANDED_OVER
		atomic { assert(refcount[src] == 0); refcount[src] = 1 };
#endif
		atomic { put_page(src) }
#ifndef WITHOUT_GIVEN_UP
	:: !memory_failure -> atomic { free_frozen(src) }
#else
	:: else
#endif
	fi;
	goto out;

failed:
	/* migrate_one_movable_ops_page(): the page remains isolated, and dst is not needed */
#ifdef WITHOUT_KEPT
	atomic { !lock -> unisolate(src) };
#endif
	atomic {
#ifdef WITHOUT_FROZEN
		refcount[dst]--;
#endif
		free_frozen(dst)
	}
	/* Try again, for which one time stands for many, or */
putback:
#ifndef WITHOUT_PUTBACK
	/* movable_ops_batch_putback(), balloon_putback() */
	assert(movable_ops[src] && owner[src] == DRIVER);
	atomic {
		!lock -> lock = true;
		assert(!gone);
		assert(inflated[src] && told[src]);
		unisolate(src);
	}
	atomic {
		assert(!gone);			/* wake_up_all() */
		nr_isolators[src]--;
		lock = false;
	}
#endif
out:
	running--
}

/* Somebody else: folio_try_get() of any page, or an ordinary page that is allocated and freed */
proctype other() {
	byte p;

	if
	:: p = 0
	:: p = 1
	fi;
	if
	:: atomic { refcount[p] > 0 -> refcount[p]++ };
	:: atomic {
		owner[p] == FREE -> owner[p] = OTHER;
		assert(!movable_ops[p] && refcount[p] == 0);
		refcount[p] = 1
	   }
	:: goto out
	fi;
	atomic { put_page(p) };
out:
	running--
}

init {
	atomic {
		running = 4;
		run driver();
		run isolator();
		run isolator();
		run other();
	}
	/* When everybody has ended, nothing is lost and nothing is left behind. */
	running == 0;
	assert(gone && size == 0 && isolated_pages == 0);
	assert(!lock && !balloon_lock);
	assert(owner[0] == FREE && refcount[0] == 0);
	assert(owner[1] == FREE && refcount[1] == 0);
	assert(allocated[0] == 0 && allocated[1] == 0)
}
