// SPDX-License-Identifier: Apache-2.0
// See collect.h.
#include "store/collect.h"

#include "base/clock.h"
#include "base/err.h"

// The file of a deleted blob goes. 0: it is gone.
static int file_remove(struct blob_store *bs, const struct blob_name *name,
                       struct collect_counts *c)
{
    uint64_t size = 0;
    (void)blob_stat(bs, name, &size);
    int rc = blob_remove(bs, name);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    c->n_removed++;
    c->bytes_removed += size;
    return 0;
}

// Those that could not be removed keep their rows. The first failure is the result; that a backup
// holds them is none: they go after it.
static int files_remove(struct blob_store *bs, struct meta *m, struct blob_name *names, size_t n,
                        struct collect_counts *c)
{
    size_t n_gone = 0;
    int failed = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = file_remove(bs, &names[i], c);
        if (rc == ERR_BUSY) {
            c->more = false;
            c->held = true;
            break;
        }
        if (!rc)
            names[n_gone++] = names[i];
        else if (!failed)
            failed = rc;
    }
    int rc = meta_collect_removed(m, names, n_gone);
    // one that cannot be removed holds up nothing else
    if (rc || n_gone)
        return rc;
    return failed;
}

static int blobs_turn(struct blob_store *bs, struct meta *m, struct arena *a,
                      struct collect_counts *c)
{
    struct blob_name *names;
    size_t n;
    int rc = meta_collect_blobs(m, COLLECT_TURN_MAX, a, &names, &n, c);
    if (rc)
        return rc;
    return files_remove(bs, m, names, n, c);
}

int collect_turn(struct blob_store *bs, struct meta *m, struct collect_counts *c)
{
    struct arena a;
    blob_retired_remove(bs, clock_mono_ms());
    int rc = meta_collect_manifests(m, COLLECT_TURN_MAX, c);
    if (!rc)
        rc = meta_collect_leases(m, COLLECT_TURN_MAX, c);
    if (rc)
        return rc;
    arena_init(&a, 0);
    rc = blobs_turn(bs, m, &a, c);
    arena_done(&a);
    return rc;
}
