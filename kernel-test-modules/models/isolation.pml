/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The protocol by which movable_ops pages are isolated, migrated, put back and freed, for one
 * page frame of a balloon: who may do what, and what keeps them apart.
 *
 * One owner (a balloon driver), two who isolate (compaction, and memory offlining or
 * alloc_contig_range()), one who offlines the memory block, one who poisons the page, and one
 * who allocates it for something else once it is free. Each step that others can get in between
 * of is one statement; what happens under balloon_pages_lock, under the zone lock, or in one
 * atomic operation is one atomic step. Above each stands the C function that it is a model of.
 *
 * A rule of the protocol can be taken out with -DWITHOUT_<RULE>; the checker must find a
 * violation then (tests/test_models.py):
 *
 *	REF		isolation takes a reference unless the refcount is 0
 *	TYPE		it looks at the type of the page after that
 *	PAGE_LOCK	it gives up if somebody else has the page locked
 *	ISOLATED	it gives up if the page is isolated already
 *	OWNER		the owner refuses a page that it has deflated
 *	DEFLATE		an isolated page is not deflated
 *	PUTBACK		who gives up migrating puts the page back
 *	PUT		migration ends with dropping the reference of isolation
 *	OWNED_POISON	a poisoned page that is owned is not skipped when offlining
 *	TYPE_RESET	the type of a poisoned page is reset when it is freed
 */

#define FREE		0	/* in the buddy */
#define BALLOON		1	/* in the list of the balloon, or isolated */
#define DEFLATED	2	/* taken out of it, not yet freed */
#define OTHER		3	/* allocated by somebody else */
#define GONE		4	/* offline: there is no memmap any more */
#define POISONED	5	/* freed with HWPoison: kept from the buddy for good */

byte state = FREE;
short refcount = 0;
bool movable_ops = false;	/* PageOffline() && PG_movable_ops: page_has_movable_ops() */
bool isolated = false;		/* PG_movable_ops_isolated */
bool locked = false;		/* PG_locked */
bool hwpoison = false;
bool on_list = false;		/* page->lru in balloon_dev_info->pages */
bool owned = false;		/* page->private: is still inflated */
bool pageblock_isolated = false;	/* MIGRATE_ISOLATE */

byte nr_isolators = 0;		/* that believe they have the page isolated */
byte isolated_pages = 0;	/* balloon_dev_info->isolated_pages */
byte running = 0;		/* processes that have not ended */

/* __free_pages_prepare(), free_one_page(): called by whoever drops the last reference. */
inline free_page() {
	assert(state != FREE && state != GONE && state != POISONED);	/* no double free */
	assert(!isolated && nr_isolators == 0);		/* not while somebody migrates it */
	assert(!on_list && !owned);			/* not while it is in the balloon */
	if
	:: hwpoison ->
		state = POISONED;
#ifndef WITHOUT_TYPE_RESET
		movable_ops = false;
#endif
	:: else ->
		movable_ops = false;
		state = FREE;
	fi
}

/* put_page(), folio_put(): atomic_dec_and_test(), and freeing, which nobody can see half done */
inline put_page() {
	atomic {
		assert(refcount > 0);
		refcount--;
		if
		:: refcount == 0 -> free_page();
		:: else
		fi
	}
}

/* balloon_page_alloc(), balloon_page_list_enqueue() and, later, balloon_page_list_dequeue() */
proctype owner() {
	byte rounds = 0;

	do
	:: rounds < 2 ->
		rounds++;
		/* alloc_page(): not from a MIGRATE_ISOLATE pageblock, not if poisoned */
		atomic {
			if
			:: state == FREE && !pageblock_isolated && !hwpoison ->
				state = DEFLATED;
				refcount = 1;
			:: else -> goto out;
			fi
		}
		/* balloon_page_insert(), under balloon_pages_lock */
		atomic {
			movable_ops = true;
			owned = true;
			on_list = true;
			state = BALLOON;
		}
		/* Inflated for a while: others get their turn here. */
deflate:
		/* balloon_page_list_dequeue(), under balloon_pages_lock */
		atomic {
			if
#ifdef WITHOUT_DEFLATE
			:: owned ->
#else
			:: owned && on_list ->
#endif
				on_list = false;
				owned = false;
				state = DEFLATED;
			:: owned && !on_list -> goto again;	/* isolated: try later */
			:: !owned -> goto out;		/* migrated away: it is elsewhere */
			fi
		}
		/* release_pages_balloon(): balloon reference */
		put_page();
		goto next;
again:
		/* Wait for what ends the isolation, as leak_balloon() is called again. */
		(on_list || !owned);
		goto deflate;
next:
		skip
	:: break
	od;
out:
	running--
}

/*
 * movable_ops_batch_isolate() of a caller that finds the page by PFN, then
 * movable_ops_batch_migrate() or movable_ops_batch_putback().
 */
proctype isolator() {
	bool mine = false;

	/* page_has_movable_ops() && !PageMovableOpsIsolated(), lockless: a hint */
	if
	:: movable_ops && !isolated && state != GONE
	:: goto out
	fi;

	/* folio_get_nontail_page() */
#ifdef WITHOUT_REF
	atomic { assert(state != GONE); }
#else
	atomic {
		if
		:: refcount > 0 -> refcount++;
		:: else -> goto out;
		fi
	}
#endif

	/* isolate_movable_ops_page(): page_has_movable_ops() with a reference */
#ifndef WITHOUT_TYPE
	if
	:: movable_ops
	:: else -> goto out_put
	fi;
#endif

	/* folio_trylock() */
#ifndef WITHOUT_PAGE_LOCK
	atomic {
		if
		:: !locked -> locked = true;
		:: else -> goto out_put;
		fi
	}
#endif

	/* PageMovableOpsIsolated() */
#ifndef WITHOUT_ISOLATED
	if
	:: !isolated
	:: else -> goto out_unlock
	fi;
#endif

	/* balloon_page_isolate(), under balloon_pages_lock */
	atomic {
#ifndef WITHOUT_OWNER
		if
		:: owned
		:: else -> goto out_unlock
		fi;
#endif
		assert(on_list);		/* list_del() of what is in no list */
		assert(state == BALLOON);	/* it may be anybody's page */
		on_list = false;
		isolated_pages++;
		nr_isolators++;
		mine = true;
		assert(nr_isolators == 1);
	}
	/* SetPageMovableOpsIsolated(), folio_unlock() */
	isolated = true;
	locked = false;

	/* The page is isolated, and in a batch of this caller. */
	if
	:: goto migrate
	:: goto putback
	fi;

migrate:
	/* migrate_one_movable_ops_page(): both pages locked */
	atomic { !locked -> locked = true };
	if
	:: skip			/* the driver is busy: -EAGAIN in the end */
		locked = false;
		goto putback
	:: skip
	fi;
	/* balloon_page_migrate(), under balloon_pages_lock: dst has taken the place of src */
	atomic {
		assert(owned && !on_list && state == BALLOON);
		owned = false;
		isolated_pages--;
		state = DEFLATED;
		nr_isolators--;
		mine = false;
	}
	/* migrate_movable_ops_page() */
	isolated = false;
	/* balloon_page_migrate(): put_page(). Before the flag is cleared in C, which the
	 * reference of isolation makes harmless. */
	put_page();
	locked = false;
#ifndef WITHOUT_PUT
	goto out_put;
#else
	goto out;
#endif

putback:
#ifdef WITHOUT_PUTBACK
	goto out;
#endif
	/* putback_movable_ops_page() */
	atomic { !locked -> locked = true };
	/* balloon_page_putback(), under balloon_pages_lock */
	atomic {
		assert(owned && !on_list && state == BALLOON);
		on_list = true;
		isolated_pages--;
		nr_isolators--;
		mine = false;
		/*
		 * In C, the flag is cleared after the list was changed, and only the page lock
		 * keeps others from isolating the page in between.
		 */
	}
	isolated = false;
	locked = false;
	goto out_put;

out_unlock:
	locked = false;
out_put:
#ifndef WITHOUT_REF
	put_page();
#endif
out:
	assert(!mine || state == BALLOON);
	running--
}

/* offline_pages() without do_migrate_range(), which is an isolator */
proctype offliner() {
	byte tries = 0;

	/* start_isolate_page_range() */
	pageblock_isolated = true;
	do
	:: tries < 2 ->
		tries++;
		/* test_pages_isolated() and __offline_isolated_pages(), under the zone lock */
		atomic {
			if
			:: state == FREE -> state = GONE; goto out;
#ifdef WITHOUT_OWNED_POISON
			:: hwpoison && state != FREE ->
#else
			:: hwpoison && state != FREE && !movable_ops ->
#endif
				/*
				 * Skipped: nobody may own it, for onlining the block again
				 * would make the page anew.
				 */
				assert(state == POISONED);
				goto out;
			:: else
			fi
		}
	:: break
	od;
	/* undo_isolate_page_range() */
	pageblock_isolated = false;
out:
	running--
}

/*
 * memory_failure(), by injection: marks the page. One in the buddy is taken off it. Pages that are
 * in use without a type are left out: test_pages_isolated() lets them pass when they are poisoned,
 * which is a hole of 7.3 that no rule of this protocol closes.
 */
proctype poisoner() {
	atomic {
		if
		:: state == FREE -> hwpoison = true; state = POISONED;
		:: movable_ops -> hwpoison = true;
		:: skip
		fi
	}
	running--
}

/* Whoever allocates the page once it is free: an ordinary page, with a reference */
proctype other() {
	atomic {
		if
		:: state == FREE && !pageblock_isolated && !hwpoison ->
			state = OTHER;
			refcount = 1;
		:: else -> goto out;
		fi
	}
	assert(!movable_ops && !isolated);	/* no flags of the balloon on it */
	/* Whoever gets a page may set flags without atomics (__folio_set_locked()) for a while. */
	assert(!locked);
	put_page();
out:
	running--
}

init {
	atomic {
		running = 6;
		run owner();
		run isolator();
		run isolator();
		run offliner();
		run poisoner();
		run other();
	}
	/* When everybody has ended, nothing is lost and nothing is left behind. */
	(running == 0);
	assert(nr_isolators == 0 && isolated_pages == 0);
	assert(!isolated && !locked);
	assert(!(state == BALLOON) || (on_list && owned && refcount == 1));
	assert(!(state == FREE || state == GONE || state == POISONED) || refcount == 0);
	assert(state != DEFLATED && state != OTHER);
	/* What is poisoned and free can be skipped: offlining does not find it for ever (F1). */
	assert(!(state == POISONED) || !movable_ops)
}
