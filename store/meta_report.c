// SPDX-License-Identifier: Apache-2.0
#include "store/meta_report.h"

#include "base/err.h"
#include "store/backend_jobs.h"
#include "store/backend_log.h"
#include "store/meta_priv.h"

#include <assert.h>
#include <string.h>

#define LIST_MAX 1000

void report_init(struct report *r, struct arena *a)
{
    *r = (struct report){0};
    register_set_init(&r->registers, a);
}

void report_done(struct report *r)
{
    register_set_done(&r->registers);
}

static int value_keep(struct tx *tx, struct report *r, struct register_row *row)
{
    struct register_now here;
    struct digest shown;
    int rc = register_shown_read(tx, &row->name, &shown);
    if (rc)
        return rc;
    rc = register_now_read(tx, &row->name, &here);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    row->value = (struct register_value){.origin = ""};
    if (!rc)
        row->value = here.value;
    row->value.origin = arena_strdup(r->registers.a, row->value.origin);
    if (!row->value.origin)
        return ERR_NOMEM;
    row->value.digest = shown;
    row->there = shown.n > 0;
    return 0;
}

static int row_add(struct tx *tx, struct report *r, const struct register_name *name,
                   struct register_row **out)
{
    size_t before = r->registers.n;
    int rc = register_set_add(&r->registers, name, out);
    if (rc || r->registers.n == before)
        return rc;
    return value_keep(tx, r, *out);
}

int report_add_register(struct tx *tx, struct report *r, const struct register_name *name)
{
    struct register_row *row;
    return row_add(tx, r, name, &row);
}

static int entry_add(struct tx *tx, struct report *r, int64_t id, struct arena *scratch)
{
    struct feed_entry e;
    struct register_row *row;
    int rc = log_get(tx, id, scratch, &e);
    if (rc)
        return rc;
    struct register_name name = register_of(&e);
    rc = row_add(tx, r, &name, &row);
    if (rc)
        return rc;
    if (row->stamp < entry_register_stamp(&e))
        row->stamp = entry_register_stamp(&e);
    r->n_entries++;
    rc = job_exists(tx, id);
    if (!rc)
        r->n_jobs++;
    return missing_ok(rc);
}

int report_add(struct tx *tx, struct report *r, const struct id_set *ids)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < ids->n; i++) {
        struct arena scratch;
        arena_init(&scratch, 0);
        rc = entry_add(tx, r, ids->ids[i], &scratch);
        arena_done(&scratch);
    }
    return rc;
}

static int list_add(const struct register_row *row, const struct digest *is, struct arena *a,
                    struct void_report *out)
{
    if (out->n_list == LIST_MAX)
        return 0;
    struct void_register v = {.registry = arena_strdup(a, row->name.registry),
                              .repository = arena_strdup(a, row->name.repository),
                              .tag = arena_strdup(a, row->name.tag),
                              .was = row->value.digest,
                              .is = *is,
                              .stamp = row->value.stamp,
                              .origin = arena_strdup(a, row->value.origin)};
    if (!v.registry || !v.repository || !v.tag || !v.origin)
        return ERR_NOMEM;
    out->list[out->n_list++] = v;
    return 0;
}

static int row_compare(struct tx *tx, const struct register_row *row, struct arena *a,
                       struct void_report *out)
{
    struct digest is;
    int rc = register_shown_read(tx, &row->name, &is);
    if (rc)
        return rc;
    if (is.n == row->value.digest.n && digest_equal(&is, &row->value.digest))
        return 0;
    if (register_is_tag(&row->name))
        out->n_tags++;
    else
        out->n_manifests++;
    return list_add(row, &is, a, out);
}

int report_end(struct tx *tx, struct report *r, struct arena *a, struct void_report *out)
{
    struct void_report done = {.n_entries = r->n_entries, .n_jobs = r->n_jobs};
    assert(done.n_jobs <= done.n_entries); // jobs are of entries that are held
    done.list = arena_array(a, LIST_MAX, sizeof *done.list);
    if (!done.list)
        return ERR_NOMEM;
    register_set_sort(&r->registers);
    for (size_t i = 0; i < r->registers.n; i++) {
        int rc = row_compare(tx, &r->registers.rows[i], a, &done);
        if (rc)
            return rc;
    }
    *out = done;
    return 0;
}
