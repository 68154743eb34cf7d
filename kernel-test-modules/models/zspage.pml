/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * zsmalloc as an owner of movable_ops pages: references and page locks inside of its callbacks,
 * zspages with isolated pages that are freed later, and a pool and a module that wait.
 *
 * One zspage of two pages, and a third page frame to migrate to; somebody who frees the last object
 * of the zspage, might allocate another one, destroys the pool and unloads zsmalloc; the worker of
 * the pool; two who isolate and migrate (see movable_ops.pml); and somebody who allocates the pages
 * once they are free. What happens under class->lock, or in one atomic operation, is one atomic
 * step. Above each stands the C function that it is a model of.
 *
 * A rule can be taken out with -DWITHOUT_<RULE>; the checker must find a violation then
 * (tests/test_models.py):
 *
 *	REF		isolation looks at a page only with a reference to it
 *	TYPE		and looks at the type of the page after that
 *	PAGE_LOCK	and has the page locked when it looks for the zspage
 *	ZSPAGE		a page that is given up is not isolated
 *	ISOLATED	isolated pages are not isolated once more
 *	EMPTY		pages of an empty zspage are not isolated
 *	FREE		a zspage with isolated pages is not freed at once
 *	WORKER		and not by the worker
 *	KICK		who un-isolates the last page of an empty zspage has the worker free it
 *	MIGRATE_LOCK	a page is locked while it is migrated
 *	RESET		a page that was migrated does not lead to the zspage
 *	PUT		the VM drops the owner's reference of a page that was migrated
 *	READ_LOCK	who isolates keeps the owner from going away
 *	DESTROY		the pool waits for isolated pages before it is gone
 *	FLUSH		and for the worker after that
 *	UNLOAD		the module waits for callbacks before it is gone
 */

#define FREE	0	/* in the buddy */
#define ZS	1	/* in the zspage */
#define VM	2	/* allocated to migrate to, or given up: waits for its last reference */
#define OTHER	3	/* allocated by somebody else */

#define PAGES	3

/* struct page */
byte owner[PAGES] = FREE;
byte refcount[PAGES] = 0;
bool movable_ops[PAGES] = false;	/* PageZsmalloc() && PageMovableOps() */
bool locked[PAGES] = false;
bool has_zspage[PAGES] = false;		/* zpdesc->zspage is not NULL */

/* struct zspage */
bool exists = true;
bool listed = true;			/* in a list of its class */
bool inuse = true;			/* zspage->inuse is not 0 */
bool isolated[2] = false;		/* zspage->isolated */
byte chain[2];				/* zspage->first_zpdesc and zpdesc->next */

/* The pool, and the module */
bool pool_gone = false;
bool pending = false;			/* pool->free_work is queued */
bool working = false;			/* and running */
bool ops = true;			/* zsmalloc_movable_ops */
bool module_gone = false;

bool reading[2] = false;		/* movable_ops_srcu, by isolator */
byte nr_isolators[PAGES] = 0;		/* that believe they have the page isolated */
byte running = 0;			/* processes that have not ended */

/* put_page(), zpdesc_put() */
inline put_page(p) {
	assert(refcount[p] > 0);
	refcount[p]--;
	if
	:: refcount[p] == 0 ->
		assert(!locked[p] && !has_zspage[p] && nr_isolators[p] == 0);
		movable_ops[p] = false;
		owner[p] = FREE
	:: else
	fi
}

/* kick_deferred_free() */
inline kick() {
	assert(!pool_gone);
	pending = true
}

/* zspage_isolated_bit(): the chain must have the page. */
inline isolated_bit(idx, p) {
	assert(exists && !pool_gone);
	assert(chain[0] == p || chain[1] == p);
	idx = (chain[0] == p -> 0 : 1)
}

/* zs_unisolate(), under class->lock */
inline unisolate(idx) {
	assert(isolated[idx]);
	isolated[idx] = false;
#ifndef WITHOUT_KICK
	if
	:: !isolated[0] && !isolated[1] && !inuse -> kick();
	:: else
	fi
#endif
}

/* A page, in __free_zspage_lockless(): reset_zpdesc(), zpdesc_unlock(), zpdesc_put() */
inline free_zpdesc(p) {
	assert(locked[p] && has_zspage[p]);
	assert(nr_isolators[p] == 0);		/* not under the migrator */
	has_zspage[p] = false;
	owner[p] = VM;
	locked[p] = false;
	put_page(p)
}

/* __free_zspage_lockless(); the pages are freed one by one. */
inline free_zspage() {
	atomic { free_zpdesc(chain[0]) };
	atomic { free_zpdesc(chain[1]); assert(!inuse); exists = false }
}

/* synchronize_movable_ops(): those who read when it begins; they do so once. */
inline synchronize() {
	atomic { was[0] = reading[0]; was[1] = reading[1] };
	(!was[0] || !reading[0]) && (!was[1] || !reading[1])
}

proctype user() {
	byte rounds = 0;
	bool freeing = false;
	bool was[2] = false;

	do
	:: /* zs_free(), zspage_trylock_free() */
		atomic {
			inuse = false;
			if
#ifndef WITHOUT_FREE
			:: isolated[0] || isolated[1] -> skip;	/* zs_unisolate() sees to it */
			:: !isolated[0] && !isolated[1] && !locked[chain[0]] && !locked[chain[1]] ->
#else
			:: !locked[chain[0]] && !locked[chain[1]] ->
#endif
				locked[chain[0]] = true;
				locked[chain[1]] = true;
				listed = false;
				freeing = true;
			:: else -> kick();
			fi
		}
		if
		:: freeing -> free_zspage(); break
		:: else
		fi;
		/* zs_malloc(): find_get_zspage() finds empty ones as well */
		if
		:: atomic { listed && rounds < 1 -> inuse = true; rounds++ }
		:: break
		fi
	od;

	/* zs_destroy_pool(), zs_flush_migration() */
#ifndef WITHOUT_DESTROY
	synchronize();
#endif
#ifndef WITHOUT_FLUSH
	!pending && !working;			/* flush_work() */
#endif
	assert(!exists);			/* pr_err(): fullness group is not empty */
	pool_gone = true;

	/* zs_exit(), set_movable_ops() */
	ops = false;
#ifndef WITHOUT_UNLOAD
	synchronize();
#endif
	module_gone = true;
	running--
}

/* async_free_zspage() */
proctype worker() {
	bool mine = false;

	do
	:: atomic { pending -> pending = false; working = true };
		atomic {
			assert(!pool_gone);
			if
#ifdef WITHOUT_WORKER
			:: listed && !inuse ->
#else
			:: listed && !inuse && !isolated[0] && !isolated[1] ->
#endif
				listed = false;
				mine = true;
			:: else
			fi
		}
		if
		:: mine ->
			/* lock_zspage() */
			atomic { !locked[chain[0]] -> locked[chain[0]] = true };
			atomic { !locked[chain[1]] -> locked[chain[1]] = true };
			free_zspage()
		:: else
		fi;
		atomic { assert(!pool_gone); working = false; mine = false }
	:: atomic { module_gone && !pending -> break }
	od;
	running--
}

/* movable_ops_batch_isolate() of a caller that finds the page by PFN, and then migration */
proctype isolator(byte id) {
	byte src, dst, idx;
	bool mine = false, migrated = false;

	/* movable_ops_batch_isolate() */
#ifndef WITHOUT_READ_LOCK
	reading[id] = true;
#endif
	/* page_movable_ops() */
	if
	:: atomic { movable_ops[0] && ops -> src = 0 }
	:: atomic { movable_ops[1] && ops -> src = 1 }
	:: atomic { movable_ops[2] && ops -> src = 2 }
	:: goto out
	fi;

	/* zs_page_isolate(): folio_get_nontail_page() */
#ifdef WITHOUT_REF
	assert(!module_gone);
#else
	atomic {
		assert(!module_gone);
		if
		:: refcount[src] > 0 -> refcount[src]++;
		:: else -> goto out;
		fi
	}
#endif
#ifndef WITHOUT_TYPE
	if
	:: movable_ops[src]
	:: else -> goto put
	fi;
#endif
	/* folio_trylock() */
#ifndef WITHOUT_PAGE_LOCK
	atomic {
		if
		:: !locked[src] -> locked[src] = true;
		:: else -> goto put;
		fi
	}
#endif
	/* page_zpdesc()->zspage */
#ifndef WITHOUT_ZSPAGE
	if
	:: has_zspage[src]
	:: else -> goto unlock
	fi;
#endif
	/* zs_isolate(), under class->lock */
	atomic {
		isolated_bit(idx, src);
		if
#ifndef WITHOUT_EMPTY
		:: !inuse -> skip;
#endif
#ifndef WITHOUT_ISOLATED
		:: isolated[idx] -> skip;
#endif
		:: else ->
			assert(nr_isolators[src] == 0);
			isolated[idx] = true;
			nr_isolators[src]++;
			mine = true;
		fi
	}
unlock:
#ifndef WITHOUT_PAGE_LOCK
	locked[src] = false;			/* folio_unlock() */
#endif
put:
	atomic {
		assert(!module_gone);
#ifndef WITHOUT_REF
		put_page(src);			/* folio_put() */
#endif
		if
		:: mine
		:: else -> goto out
		fi;
		/* page_movable_ops(), before migrate() and putback() are called */
		assert(movable_ops[src] && ops)
	}

	/* migrate_one_movable_ops_page(): alloc_movable_ops_target(), set_page_refcounted() */
	atomic {
		if
		:: skip
		:: goto putback
		fi;
		if
		:: owner[0] == FREE -> dst = 0;
		:: owner[1] == FREE -> dst = 1;
		:: owner[2] == FREE -> dst = 2;
		:: else -> goto putback;
		fi;
		owner[dst] = VM;
		refcount[dst] = 1;
	}
	/* zs_page_migrate(): zpdesc_lock(), or zpdesc_trylock() and -EAGAIN */
#ifndef WITHOUT_MIGRATE_LOCK
	if
	:: atomic { !locked[src] -> locked[src] = true }
	:: atomic { locked[src] -> goto failed }
	fi;
#endif
	/* zpdesc_trylock() of the destination: nobody else has found it so far */
	atomic { assert(!locked[dst]); locked[dst] = true };
	/* __zs_page_migrate(): get_zspage(), and what happens under class->lock */
	assert(has_zspage[src] && exists && !pool_gone);
	if
	:: atomic {
		isolated_bit(idx, src);
		assert(!has_zspage[dst]);
		/* replace_sub_page() */
		chain[idx] = dst;
		has_zspage[dst] = true;
		movable_ops[dst] = true;
		owner[dst] = ZS;
		unisolate(idx);
		nr_isolators[src]--;
		migrated = true
	   };
		assert(!pool_gone);		/* write_unlock(&pool->lock) */
		/* reset_zpdesc() */
#ifdef WITHOUT_RESET
		/* Leads nowhere for the allocator: page->private is reset */
		skip
#else
		has_zspage[src] = false
#endif
	:: skip					/* zspage_write_trylock(): -EBUSY */
	fi;
	locked[dst] = false;			/* zpdesc_unlock() */
#ifndef WITHOUT_MIGRATE_LOCK
	locked[src] = false;			/* zpdesc_unlock() */
#endif
	if
	:: migrated ->
		/* migrate_one_movable_ops_page() */
		atomic {
			owner[src] = VM;
#ifdef WITHOUT_RESET
			if
			:: refcount[src] == 1 -> has_zspage[src] = false
			:: else
			fi;
#endif
#ifndef WITHOUT_PUT
			put_page(src)
#endif
		}
		goto out
	:: else
	fi;
failed:
	atomic { put_page(dst) };
putback:
	/* zs_page_putback() */
	atomic {
		assert(has_zspage[src] && !module_gone);
		isolated_bit(idx, src);
		unisolate(idx);
		nr_isolators[src]--
	}
	assert(!pool_gone && !module_gone);	/* spin_unlock(&class->lock) */
out:
	atomic { src = 0; dst = 0; idx = 0; mine = false; migrated = false; reading[id] = false };
	running--
}

/* Whoever allocates a page once it is free: an ordinary page */
proctype other() {
	byte p;

	atomic {
		if
		:: owner[0] == FREE -> p = 0;
		:: owner[1] == FREE -> p = 1;
		:: owner[2] == FREE -> p = 2;
		:: goto out
		fi;
		owner[p] = OTHER;
		refcount[p] = 1;
		assert(!movable_ops[p] && !has_zspage[p])
	}
	/* Whoever gets a page may set flags without atomics (__folio_set_locked()) for a while. */
	atomic { assert(!locked[p]); put_page(p); p = 0 };
out:
	running--
}

init {
	atomic {
		/* alloc_zspage(), SetZsPageMovable() */
		chain[0] = 0;
		chain[1] = 1;
		owner[0] = ZS;
		owner[1] = ZS;
		refcount[0] = 1;
		refcount[1] = 1;
		movable_ops[0] = true;
		movable_ops[1] = true;
		has_zspage[0] = true;
		has_zspage[1] = true;
		running = 5;
		run user();
		run worker();
		run isolator(0);
		run isolator(1);
		run other();
	}
	/* When everybody has ended, nothing is lost and nothing is left behind. */
	running == 0;
	assert(!exists && !isolated[0] && !isolated[1]);
	assert(owner[0] == FREE && owner[1] == FREE && owner[2] == FREE);
	assert(refcount[0] == 0 && refcount[1] == 0 && refcount[2] == 0)
}
