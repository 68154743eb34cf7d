// SPDX-License-Identifier: GPL-2.0-only
/* A kernel without kretprobes: isolations are not counted */
#include "mo_owner.h"

void mo_probe_init(void)
{
}

void mo_probe_exit(void)
{
}

void mo_probe_reset(void)
{
}

void mo_probe_show(struct seq_file *m)
{
}
