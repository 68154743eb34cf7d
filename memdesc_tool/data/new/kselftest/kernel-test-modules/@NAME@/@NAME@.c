// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of @NAME@: what a process sees of memory that it has just mapped.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"

FIXTURE(mapping)
{
	char *memory;
	size_t size;
};

FIXTURE_SETUP(mapping)
{
	self->size = sysconf(_SC_PAGESIZE);
	self->memory = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->memory, MAP_FAILED);
}

FIXTURE_TEARDOWN(mapping)
{
	munmap(self->memory, self->size);
}

TEST_F(mapping, is_zeroed)
{
	for (size_t i = 0; i < self->size; i++)
		ASSERT_EQ(self->memory[i], 0);
}

TEST_F(mapping, keeps_what_is_written)
{
	self->memory[self->size - 1] = 42;
	EXPECT_EQ(self->memory[self->size - 1], 42);
}

TEST_HARNESS_MAIN
