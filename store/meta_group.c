// SPDX-License-Identifier: Apache-2.0
// See meta_group.h.
//
// Invariants
//   1. What is not in the list was outdone by an entry of the same origin that is: merging it would
//      change nothing, whatever other origins wrote.
#include "store/meta_group.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct register_value value_of(const struct group_entry *k)
{
    struct register_value v = k->value;
    v.origin = k->origin;
    return v;
}

static void kept_put(struct group_entry *to, const struct log_row *row)
{
    *to = (struct group_entry){
        .id = row->id, .place = entry_mark(&row->entry), .value = entry_value(&row->entry)};
    snprintf(to->origin, sizeof to->origin, "%s", entry_register_origin(&row->entry));
    to->value.origin = NULL;
}

static void kept_only(struct register_group *g, const struct log_row *row)
{
    kept_put(&g->list[0], row);
    g->n = 1;
}

static bool same_version(const struct group_entry *k, const struct register_value *v)
{
    return k->value.stamp == v->stamp && strcmp(k->origin, v->origin) == 0 &&
           digest_equal(&k->value.digest, &v->digest);
}

static void kept_remove(struct register_group *g, size_t at)
{
    memmove(&g->list[at], &g->list[at + 1], (g->n - at - 1) * sizeof g->list[0]);
    g->n--;
}

static void kept_insert(struct register_group *g, size_t at, const struct log_row *row)
{
    assert(at <= g->n && g->n <= GROUP_MAX);
    memmove(&g->list[at + 1], &g->list[at], (g->n - at) * sizeof g->list[0]);
    kept_put(&g->list[at], row);
    g->n++;
}

// The highest `max` ones, the highest first. A version is there once: the higher one of two that are
// the same.
static void version_take(struct register_group *g, const struct log_row *row, size_t max)
{
    const struct register_value v = entry_value(&row->entry);
    size_t at = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct register_value here = value_of(&g->list[i]);
        if (!same_version(&g->list[i], &v))
            continue;
        if (register_order(&v, &here) <= 0)
            return;
        kept_remove(g, i);
        break;
    }
    for (; at < g->n; at++) {
        const struct register_value here = value_of(&g->list[at]);
        if (register_order(&here, &v) < 0)
            break;
    }
    if (at == max)
        return;
    kept_insert(g, at, row);
    if (g->n > max)
        g->n = max;
}

static void person_take(struct register_group *g, const struct log_row *row)
{
    if (row->entry.judged)
        return;
    if (!g->person.id || entry_register_stamp(&row->entry) > g->person.value.stamp)
        kept_put(&g->person, row);
}

// All of them, those with the lowest places first; the others on the next page.
static void unknown_take(struct register_group *g, const struct log_row *row)
{
    const struct feed_mark place = entry_mark(&row->entry);
    size_t at = g->n;
    if (feed_mark_order(&place, &g->given) <= 0)
        return;
    while (at > 0 && feed_mark_order(&place, &g->list[at - 1].place) < 0)
        at--;
    kept_insert(g, at, row);
    if (g->n <= GROUP_MAX)
        return;
    g->n = GROUP_MAX;
    g->overflows = true;
}

// 1
void group_take(struct register_group *g, const struct log_row *row)
{
    g->looked++;
    if (g->kind == ENTRY_UNKNOWN) {
        unknown_take(g, row);
        return;
    }
    if (entry_malformed(&row->entry))
        return;
    switch (g->kind) {
    case ENTRY_UNKNOWN:
        break;
    case ENTRY_MANIFEST:
        if (presence_take(&g->m, &row->entry))
            kept_only(g, row);
        break;
    case ENTRY_MANIFEST_GONE:
        version_take(g, row, 1);
        person_take(g, row);
        break;
    case ENTRY_TAG_GONE:
        version_take(g, row, META_HISTORY_MAX);
        person_take(g, row);
        break;
    case ENTRY_TAG:
        version_take(g, row, META_HISTORY_MAX);
        break;
    case ENTRY_MANIFEST_LOCK:
    case ENTRY_TAG_LOCK:
    case ENTRY_REPOSITORY_LOCK:
        if (lock_register_take(&g->l, &row->entry))
            kept_only(g, row);
        break;
    }
}

void group_close(struct register_group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->list[i].id == g->person.id)
            return;
    if (g->person.id)
        g->list[g->n++] = g->person;
}

bool group_by_tag(enum entry_kind kind)
{
    const struct entry_form *form = entry_form(kind);
    return form && form->members & ENTRY_HAS_TAG;
}

static const char *tag_of(const struct feed_entry *e)
{
    return e->tag ? e->tag : "";
}

bool group_is_of(const struct register_group *g, const struct feed_entry *e)
{
    if (!g->open)
        return false;
    if (g->kind == ENTRY_UNKNOWN)
        return true;
    if (group_by_tag(g->kind))
        return strcmp(g->tag, tag_of(e)) == 0;
    return digest_equal(&g->digest, &e->digest);
}

void group_begin(struct register_group *g, enum entry_kind kind, const struct feed_entry *e,
                 const struct snapshot_at *within)
{
    static const struct register_value none = {.origin = ""};
    g->kind = kind;
    g->open = true;
    g->tag[0] = '\0';
    g->digest = (struct digest){0};
    g->given = (struct feed_mark){0};
    g->looked = 0;
    g->overflows = false;
    g->person.id = 0;
    g->n = 0;
    g->l = (struct lock_now){0};
    if (group_by_tag(kind))
        snprintf(g->tag, sizeof g->tag, "%s", tag_of(e));
    else if (kind != ENTRY_UNKNOWN)
        g->digest = e->digest;
    manifest_none(&g->m, &g->digest);
    register_put(&g->l.value, &none);
    if (within)
        g->given = (struct feed_mark){.epoch = within->epoch, .seq = within->seq};
}

bool group_has(const struct register_group *g, int64_t id)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->list[i].id == id)
            return true;
    return false;
}
