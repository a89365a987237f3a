// SPDX-License-Identifier: Apache-2.0
// Entries that are void: they leave the log for the list of what was voided, their jobs end, and
// the registers that they may have won are made anew (meta_remake.c). See meta_priv.h, meta_void.h.
//
// An entry that was only of the future (VOID_AHEAD) may come again when its time has come, as it
// comes to the other regions.
//
// Invariants (design section 9)
//   8. Own entries that become void keep their places: the next own entry goes into a new epoch.
#include "store/meta_void.h"

#include "base/err.h"
#include "store/meta_merge.h"
#include "store/register_set.h"

#include <assert.h>
#include <string.h>

int entry_is_void(struct tx *tx, const struct feed_entry *e)
{
    struct revoked_key r;
    int rc = revoked_get(tx, e->key ? e->key : "", &r);
    if (!rc && revoked_covers(&r, e))
        return 0;
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    char reason[VOID_REASON_SIZE];
    struct feed_mark place = entry_mark(e);
    rc = void_reason(tx, e->origin, &place, reason);
    if (rc)
        return rc;
    return strcmp(reason, VOID_AHEAD) == 0 ? ERR_NOTFOUND : 0;
}

// --- one entry ---

// Is this value the one that the entry gave to its register?
static bool value_is_of(const struct register_value *v, const struct feed_entry *e)
{
    struct register_value of = entry_value(e), is = *v;
    if (entry_has(e, ENTRY_IS_LOCK))
        of.digest = is.digest = (struct digest){0};
    return register_order(&of, &is) == 0;
}

// What the entry was when it became void: for the list.
static int was_find(struct tx *tx, const struct log_row *row, const char **out)
{
    struct register_name name = register_of(&row->entry);
    struct register_now here;
    int rc = job_exists(tx, row->id);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = WAS_PENDING;
    if (!rc)
        return 0;
    *out = WAS_REPLACED;
    rc = register_now_read(tx, &name, &here);
    if (rc)
        return missing_ok(rc);
    if (value_is_of(&here.value, &row->entry))
        *out = WAS_STOOD;
    return 0;
}

static int entry_out(struct tx *tx, const struct log_row *row, const char *reason,
                     struct register_set *touched)
{
    struct voided_row v = {.reason = reason, .at_ms = clock_wall_ms(), .entry = row->entry};
    struct register_name name = register_of(&row->entry);
    struct register_row *added;
    int rc = was_find(tx, row, &v.was);
    if (rc)
        return rc;
    rc = void_add(tx, &v);
    if (rc)
        return rc;
    rc = job_remove(tx, row->id);
    if (rc)
        return rc;
    rc = log_remove(tx, row->id);
    if (rc || strcmp(v.was, WAS_PENDING) == 0)
        return rc;
    return register_set_add(touched, &name, &added);
}

static int entry_void(struct tx *tx, int64_t id, const char *reason, struct register_set *touched,
                      bool *out_own)
{
    struct arena a;
    struct log_row row = {.id = id};
    arena_init(&a, 0);
    int rc = log_get(tx, id, &a, &row.entry);
    if (!rc)
        rc = entry_out(tx, &row, reason, touched);
    if (!rc && strcmp(row.entry.origin, tx->region) == 0)
        *out_own = true;
    arena_done(&a);
    return rc;
}

// --- their registers ---

static int own_places_close(struct tx *tx)
{
    struct own_head own;
    int rc = epoch_move(tx, 0); // 8
    if (rc)
        return rc;
    rc = own_reload(tx);
    if (rc)
        return rc;
    rc = own_lock(tx, &own);
    assert(rc || own.epoch > own.last.epoch); // 8
    return rc;
}

static int set_void(struct tx *tx, const int64_t *ids, size_t n, const char *reason,
                    struct register_set *touched)
{
    bool own = false;
    for (size_t i = 0; i < n; i++) {
        int rc = entry_void(tx, ids[i], reason, touched, &own);
        if (rc)
            return rc;
    }
    if (own) {
        int rc = own_places_close(tx);
        if (rc)
            return rc;
    }
    register_set_sort(touched); // 2: manifests before tags that may fall back to them
    for (size_t i = 0; i < touched->n; i++) {
        int rc = register_remake(tx, &touched->rows[i].name);
        if (rc)
            return rc;
    }
    return 0;
}

int entries_void(struct tx *tx, const int64_t *ids, size_t n, const char *reason)
{
    struct arena a;
    struct register_set touched;
    arena_init(&a, 0);
    register_set_init(&touched, &a);
    int rc = set_void(tx, ids, n, reason, &touched);
    register_set_done(&touched);
    arena_done(&a);
    return rc;
}

// The key is revoked, and signed this entry up to its last good place: the thief may have done so.
static bool may_be_forged(const struct revoked_key *r, const struct feed_entry *e)
{
    struct feed_mark at = entry_mark(e);
    if (strcmp(r->origin, e->origin) != 0)
        return false;
    return feed_mark_order(&at, &r->good) <= 0;
}

int entry_disown(struct tx *tx, int64_t id)
{
    struct arena a;
    struct feed_entry e;
    struct revoked_key r;
    arena_init(&a, 0);
    int rc = log_get(tx, id, &a, &e);
    if (!rc)
        rc = revoked_get(tx, e.key, &r);
    if (!rc && may_be_forged(&r, &e))
        rc = entries_void(tx, &id, 1, VOID_REVOKED);
    else if (!rc || rc == ERR_NOTFOUND)
        rc = ERR_CONFLICT;
    arena_done(&a);
    return rc;
}

// --- the list ---

int meta_voided(struct meta *m, const char *registry, int64_t after, size_t max, struct arena *a,
                struct voided_row **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = voids_list(tx, registry, after, max, a, out, out_n);
    tx_end(tx);
    return rc;
}
