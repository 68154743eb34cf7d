/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Somebody who waits for isolated pages, in a thread of its own
 *
 * No test can show that it would wait forever: that it has not come back after
 * a while is all that is asked, so a kernel that waits passes whatever else the
 * machine is busy with.
 */
#ifndef MM_TESTS_MOVABLE_OPS_WAITER_H
#define MM_TESTS_MOVABLE_OPS_WAITER_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched/task.h>

#define A_WHILE		(HZ / 10)
#define VERY_LONG	(30 * HZ)

struct waiter {
	void (*wait)(void *data);
	void *data;
	struct task_struct *task;
	struct completion done;
};

static int waiter_thread(void *data)
{
	struct waiter *waiter = data;

	waiter->wait(waiter->data);
	complete_all(&waiter->done);
	return 0;
}

static inline void waiter_start(struct kunit *test, struct waiter *waiter,
				void (*wait)(void *data), void *data)
{
	struct task_struct *task;

	waiter->wait = wait;
	waiter->data = data;
	init_completion(&waiter->done);
	task = kthread_create(waiter_thread, waiter, "movable_ops");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	waiter->task = get_task_struct(task);
	wake_up_process(task);
}

static inline void waiter_expect_waiting(struct kunit *test,
					 struct waiter *waiter)
{
	KUNIT_EXPECT_FALSE(test, wait_for_completion_timeout(&waiter->done,
							     A_WHILE));
}

/* It may, or may not, have waited until now. */
static inline void waiter_expect_done(struct kunit *test, struct waiter *waiter)
{
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&waiter->done,
							    VERY_LONG));
}

/* It has nothing to wait for any more. */
static inline void waiter_stop(struct waiter *waiter)
{
	if (!waiter->task)
		return;
	wait_for_completion(&waiter->done);
	kthread_stop_put(waiter->task);
	waiter->task = NULL;
}

#endif /* MM_TESTS_MOVABLE_OPS_WAITER_H */
