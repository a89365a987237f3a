// SPDX-License-Identifier: Apache-2.0
// Reserved names: the list that versions of the topology share; see reserved.h. Entries and lists
// are counted by reference and never change.
#include "config/reserved.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <string.h>

#define OWNER_MAX 128

struct entry {
    _Atomic uint32_t refs;
    struct reserved_name value;
    // of the value
    char text[];
};

struct reserved_names {
    _Atomic uint32_t refs;
    size_t n;
    // sorted by name
    struct entry *list[];
};

static void ref(_Atomic uint32_t *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool last(_Atomic uint32_t *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void entry_unref(struct entry *e)
{
    if (e && last(&e->refs))
        free(e);
}

static const char *text_add(char **at, const char *s)
{
    char *to = *at;
    size_t n = strlen(s) + 1;
    memcpy(to, s, n);
    *at += n;
    return to;
}

static struct entry *entry_new(const struct reserved_name *x)
{
    size_t n = strlen(x->name) + strlen(x->label) + strlen(x->owner) + 3;
    struct entry *e = mem_alloc(sizeof *e + n);
    if (!e)
        return NULL;
    char *at = e->text;
    atomic_init(&e->refs, 1);
    e->value = *x;
    e->value.name = text_add(&at, x->name);
    e->value.label = text_add(&at, x->label);
    e->value.owner = text_add(&at, x->owner);
    return e;
}

// An empty list with room for n.
static struct reserved_names *list_new(size_t n)
{
    struct reserved_names *x = mem_zalloc(sizeof *x + n * sizeof(struct entry *));
    if (x)
        atomic_init(&x->refs, 1);
    return x;
}

struct reserved_names *reserved_names_ref(struct reserved_names *x)
{
    if (x)
        ref(&x->refs);
    return x;
}

void reserved_names_unref(struct reserved_names *x)
{
    if (!x || !last(&x->refs))
        return;
    for (size_t i = 0; i < x->n; i++)
        entry_unref(x->list[i]);
    free(x);
}

// ---- reading ----

size_t topology_reserved_count(const struct topology *t)
{
    if (t->reserved)
        return t->reserved->n;
    return 0;
}

const struct reserved_name *topology_reserved_at(const struct topology *t, size_t i)
{
    return &t->reserved->list[i]->value;
}

const struct reserved_name *topology_reserved(const struct topology *t, const char *name)
{
    size_t low = 0, high = topology_reserved_count(t);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct reserved_name *x = topology_reserved_at(t, mid);
        int c = strcmp(name, x->name);
        if (!c)
            return x;
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

bool reserved_name_refuses(const struct reserved_name *x, const char *owner, int64_t now_s)
{
    return now_s < x->until_s && strcmp(x->owner, owner) != 0;
}

bool registry_owner_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= OWNER_MAX &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@:/+") == n;
}

bool registry_label_of(const char *label, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(label, name, n) != 0)
        return false;
    return !label[n] || (label[n] == '-' && hostname_hash_ok(label + n + 1));
}

static void format_one(const struct reserved_name *x, struct buf *out)
{
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    buf_printf(out, "  - { name: %s", x->name);
    if (strcmp(x->label, x->name) != 0)
        buf_printf(out, ", label: %s", x->label);
    if (*x->owner)
        buf_printf(out, ", owner: \"%s\"", x->owner);
    buf_printf(out, ", since: \"%s\", until: \"%s\"", clock_format_s(x->since_s, since),
               clock_format_s(x->until_s, until));
    if (x->incarnation)
        buf_printf(out, ", incarnation: %llu", (unsigned long long)x->incarnation);
    buf_str(out, " }\n");
}

int reserved_names_format(const struct topology *t, struct buf *out)
{
    size_t n = topology_reserved_count(t);
    if (n)
        buf_str(out, "reserved:\n");
    for (size_t i = 0; i < n; i++)
        format_one(topology_reserved_at(t, i), out);
    return out->err;
}

// ---- making ----

static void replace(struct topology *t, struct reserved_names *by)
{
    reserved_names_unref(t->reserved);
    t->reserved = by;
}

static int list_add(struct reserved_names *to, const struct reserved_name *x)
{
    struct entry *e = entry_new(x);
    if (!e)
        return ERR_NOMEM;
    to->list[to->n++] = e;
    return 0;
}

int topology_set_reserved(struct topology *t, const struct reserved_name *list, size_t n)
{
    struct topology empty = {.reserved = NULL};
    int rc = topology_edit_reserved(&empty, list, n, NULL, 0);
    if (!rc)
        replace(t, empty.reserved);
    return rc;
}

void topology_take_reserved(struct topology *t, const struct topology *from)
{
    replace(t, reserved_names_ref(from->reserved));
}

struct merging { // of three sorted lists
    const struct reserved_names *old;
    const struct reserved_name *put;
    const char *const *drop;
    size_t n_old, n_put, n_drop;
    // how far each is read
    size_t at_old, at_put, at_drop;
    struct reserved_names *out;
};

static bool is_dropped(struct merging *m, const char *name)
{
    while (m->at_drop < m->n_drop && strcmp(m->drop[m->at_drop], name) < 0)
        m->at_drop++;
    return m->at_drop < m->n_drop && !strcmp(m->drop[m->at_drop], name);
}

static void keep_old(struct merging *m, struct entry *e)
{
    m->at_old++;
    if (is_dropped(m, e->value.name))
        return;
    ref(&e->refs);
    m->out->list[m->out->n++] = e;
}

static int merge_next(struct merging *m)
{
    struct entry *e = NULL;
    if (m->at_old < m->n_old)
        e = m->old->list[m->at_old];
    if (m->at_put == m->n_put) {
        keep_old(m, e);
        return 0;
    }
    const struct reserved_name *x = &m->put[m->at_put];
    int c = -1;
    if (e)
        c = strcmp(x->name, e->value.name);
    if (c > 0) {
        keep_old(m, e);
        return 0;
    }
    m->at_put++;
    m->at_old += c == 0;
    return list_add(m->out, x);
}

int topology_edit_reserved(struct topology *t, const struct reserved_name *put, size_t n_put,
                           const char *const *drop, size_t n_drop)
{
    struct merging m = {.old = t->reserved,
                        .put = put,
                        .drop = drop,
                        .n_old = topology_reserved_count(t),
                        .n_put = n_put,
                        .n_drop = n_drop};
    m.out = list_new(m.n_old + n_put);
    int rc = ERR_NOMEM;
    if (m.out)
        rc = 0;
    while (!rc && (m.at_old < m.n_old || m.at_put < m.n_put))
        rc = merge_next(&m);
    if (!rc && m.out->n > RESERVED_NAMES_MAX)
        rc = ERR_TOOBIG;
    if (rc) {
        reserved_names_unref(m.out);
        return rc;
    }
    if (!m.out->n) {
        reserved_names_unref(m.out);
        m.out = NULL;
    }
    replace(t, m.out);
    return 0;
}
