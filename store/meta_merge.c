// SPDX-License-Identifier: Apache-2.0
// The values of entries; see meta_merge.h. Pure, any thread.
#include "store/meta_merge.h"

#include <stdio.h>
#include <string.h>

struct register_value entry_value(const struct feed_entry *e)
{
    struct register_value v = {.stamp = entry_register_stamp(e),
                               .origin = entry_register_origin(e),
                               .epoch = entry_register_epoch(e),
                               .digest = e->digest,
                               .gone = entry_has(e, ENTRY_IS_GONE),
                               .create_only = e->create_only};
    if (v.create_only)
        v.generation = e->generation;
    return v;
}

struct subject subject_of(const struct feed_entry *e)
{
    struct subject s = {.tag = e->tag ? e->tag : "", .digest = e->digest};
    return s;
}

// Not in the middle of a character: it goes into JSON.
void by_put(char to[BY_SIZE], const char *by)
{
    size_t n = by ? strlen(by) : 0;
    if (n >= BY_SIZE) {
        n = BY_SIZE - 1;
        while (n && ((unsigned char)by[n] & 0xc0) == 0x80)
            n--;
    }
    if (n)
        memcpy(to, by, n);
    to[n] = '\0';
}

// --- a manifest's presence ---

static int bytes_order(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b)
{
    size_t n = n_a < n_b ? n_a : n_b;
    int order = 0;
    if (n)
        order = memcmp(a, b, n);
    if (order)
        return order;
    return (n_a > n_b) - (n_a < n_b);
}

static bool presence_wins(const struct manifest_now *m, const struct register_value *v,
                          const struct feed_entry *e)
{
    int order = register_order(v, &m->value.value);
    if (!order)
        order = strcmp(e->media_type, m->media_type);
    if (!order)
        order = bytes_order(e->absent.p, e->absent.n, m->absent, m->n_absent);
    return order > 0;
}

bool presence_take(struct manifest_now *m, const struct feed_entry *e)
{
    struct register_value v = entry_value(e);
    if (e->absent.n > ABSENT_MAX || !presence_wins(m, &v, e))
        return false;
    register_put(&m->value, &v);
    snprintf(m->media_type, sizeof m->media_type, "%s", e->media_type);
    by_put(m->by, e->by);
    m->n_absent = e->absent.n;
    if (m->n_absent)
        memcpy(m->absent, e->absent.p, m->n_absent);
    return true;
}

bool presence_gone_take(struct manifest_now *m, const struct feed_entry *e)
{
    struct register_value v = entry_value(e);
    bool took = false;
    if (!e->judged && v.stamp > m->killed) {
        m->killed = v.stamp;
        took = true;
    }
    if (register_order(&v, &m->gone.value) > 0) {
        register_put(&m->gone, &v);
        took = true;
    }
    return took;
}

// --- a tag ---

bool tag_register_take(struct tag_now *t, const struct feed_entry *e)
{
    struct register_value v = entry_value(e);
    struct register_now *to = v.gone ? &t->gone : &t->value;
    bool took = false;
    if (v.gone && !e->judged && v.stamp > t->ended) {
        t->ended = v.stamp;
        took = true;
    }
    if (register_has(&to->value) && register_order(&v, &to->value) <= 0)
        return took;
    register_put(to, &v);
    if (!v.gone)
        by_put(t->by, e->by);
    return true;
}

// --- a lock ---

static int flags_of(bool write, bool del)
{
    return (int)write + 2 * (int)del;
}

bool lock_register_take(struct lock_now *l, const struct feed_entry *e)
{
    struct register_value v = entry_value(e), was = l->value.value;
    v.digest = was.digest = (struct digest){0};
    int order = register_order(&v, &was);
    if (!order)
        order = flags_of(e->lock_write, e->lock_delete) - flags_of(l->write, l->del);
    if (order <= 0)
        return false;
    register_put(&l->value, &v);
    l->write = e->lock_write;
    l->del = e->lock_delete;
    by_put(l->by, e->by);
    return true;
}
