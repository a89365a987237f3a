// SPDX-License-Identifier: Apache-2.0
// What proves an entry that the log lacks; see meta_proven.h.
#include "store/meta_proven.h"

#include "base/err.h"
#include "store/backend_log.h"
#include "store/backend_survey.h"

#include <string.h>

#define NEXT_MAX 16     // entries behind it, in its registry
#define LOOKS_MAX 10000 // and in the log

static bool names_as_before(const struct feed_entry *next, const struct feed_entry *e)
{
    uint8_t hash[ENTRY_HASH_BYTES];
    if (next->version != 2 || strcmp(next->registry, e->registry) != 0)
        return false;
    if (next->registry_seq != e->registry_seq + 1)
        return false;
    entry_body_hash(e, hash);
    return memcmp(next->registry_prev, hash, sizeof hash) == 0;
}

static int chain_proves(struct tx *tx, const struct feed_entry *e, struct arena *a)
{
    const struct log_query q = {.origin = e->origin,
                                .from = entry_mark(e),
                                .registries = &e->registry,
                                .n_registries = 1,
                                .max = NEXT_MAX,
                                .max_looks = LOOKS_MAX};
    struct log_page page;
    int rc = log_forward(tx, &q, a, &page);
    if (rc)
        return rc;
    for (size_t i = 0; i < page.n; i++)
        if (names_as_before(&page.entries[i], e))
            return 0;
    return ERR_NOTFOUND;
}

static bool is_at(const struct feed_entry *x, const struct feed_entry *e, uint64_t seq)
{
    return x->epoch == e->epoch && x->partition == e->partition && x->seq == seq;
}

// Does the running hash lead from `from` over `e` to `to`?
static bool hashes_lead(const struct feed_entry *from, const struct feed_entry *e,
                        const struct feed_entry *to)
{
    uint8_t hash[ENTRY_HASH_BYTES];
    if (entry_hash(from->hash, e, hash) || memcmp(hash, e->hash, sizeof hash) != 0)
        return false;
    return !entry_hash(e->hash, to, hash) && memcmp(hash, to->hash, sizeof hash) == 0;
}

static int neighbours_prove(struct tx *tx, const struct feed_entry *e, struct arena *a)
{
    struct log_row *rows;
    struct feed_mark from = entry_mark(e);
    size_t n;
    if (e->seq < 2)
        return ERR_NOTFOUND;
    from.seq--;
    int rc = survey_read_from(tx, e->origin, &from, 2, a, &rows, &n);
    if (rc)
        return rc;
    if (n < 2 || !is_at(&rows[0].entry, e, e->seq - 1) || !is_at(&rows[1].entry, e, e->seq + 1))
        return ERR_NOTFOUND;
    return hashes_lead(&rows[0].entry, e, &rows[1].entry) ? 0 : ERR_NOTFOUND;
}

int entry_proven(struct tx *tx, const struct feed_entry *e)
{
    struct arena a;
    int rc;
    arena_init(&a, 0);
    if (e->version == 2)
        rc = chain_proves(tx, e, &a);
    else
        rc = neighbours_prove(tx, e, &a);
    arena_done(&a);
    return rc;
}
