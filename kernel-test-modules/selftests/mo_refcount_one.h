/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MO_REFCOUNT_H__
#define __MO_REFCOUNT_H__

/* References on a page that is PageOffline if nobody looks */
#define MO_OFFLINE_REFCOUNT	1
#define MO_OFFLINE		"offline refcount 1"

#endif /* __MO_REFCOUNT_H__ */
