// SPDX-License-Identifier: Apache-2.0
// Uploads under way; see busy.h. A table of short lists, by the upload's id.
#include "registry/busy.h"

#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static struct busy_mark **bucket_of(struct busy *b, const char *id)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (; *id; id++)
        h = (h ^ (uint8_t)*id) * 16777619u;
    return &b->buckets[(h ^ h >> 16) % BUSY_BUCKETS];
}

// A mark of any kind, or only a claim.
static bool found(const struct busy_mark *m, const char *id, bool claims_only)
{
    for (; m; m = m->next)
        if ((m->claims || !claims_only) && strcmp(m->id, id) == 0)
            return true;
    return false;
}

static void mark_link(struct busy_mark **bucket, struct busy_mark *m)
{
    m->next = *bucket;
    m->at = bucket;
    if (m->next)
        m->next->at = &m->next;
    *bucket = m;
}

static void mark_unlink(struct busy_mark *m)
{
    assert(*m->at == m);
    *m->at = m->next;
    if (m->next)
        m->next->at = m->at;
}

void busy_init(struct busy *b)
{
    *b = (struct busy){0};
    pthread_mutex_init(&b->lock, NULL);
}

void busy_done(struct busy *b)
{
    pthread_mutex_destroy(&b->lock);
}

bool busy_enter(struct busy *b, struct busy_mark *mark, const char *id)
{
    struct busy_mark **bucket = bucket_of(b, id);
    *mark = (struct busy_mark){.id = id};
    pthread_mutex_lock(&b->lock);
    bool free_to = !found(*bucket, id, true);
    if (free_to)
        mark_link(bucket, mark);
    pthread_mutex_unlock(&b->lock);
    return free_to;
}

void busy_leave(struct busy *b, struct busy_mark *mark)
{
    pthread_mutex_lock(&b->lock);
    mark_unlink(mark);
    pthread_mutex_unlock(&b->lock);
}

bool busy_claim(struct busy *b, const char *id, struct busy_claims *mine)
{
    struct busy_mark **bucket = bucket_of(b, id);
    size_t n = strlen(id) + 1;
    struct busy_claim *c = mem_alloc(sizeof *c + n);
    if (!c)
        return false;
    memcpy(c->id, id, n);
    c->mark = (struct busy_mark){.id = c->id, .claims = true};
    pthread_mutex_lock(&b->lock);
    bool ours = !found(*bucket, id, false);
    if (ours)
        mark_link(bucket, &c->mark);
    pthread_mutex_unlock(&b->lock);
    if (!ours) {
        free(c);
        return false;
    }
    c->next = mine->first;
    mine->first = c;
    return true;
}

void busy_release(struct busy *b, struct busy_claims *mine)
{
    pthread_mutex_lock(&b->lock);
    for (struct busy_claim *c = mine->first; c; c = c->next)
        mark_unlink(&c->mark);
    pthread_mutex_unlock(&b->lock);
    for (struct busy_claim *c; (c = mine->first);) {
        mine->first = c->next;
        free(c);
    }
}
