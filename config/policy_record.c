// SPDX-License-Identifier: Apache-2.0
// Policies as bytes, for the compiled form of a topology and to tell whether two are the same.
// Numbers are big-endian.
//
//   u8 push_move, 0x80 with limits, 0x40 without copying ahead, 0x20 with ack    [rates]    [u8 ack]
//     u64 quota    u8 n, rules:
//     text match    u64 quota    u8 sparse    globs immutable    u64 untagged    u32 keep_last
//     globs tags
//   text: u8 n, bytes    globs: u8 n, texts    rates: 15 u32 (config/rates.h)
//
// A policy without limits and ack, which copies ahead, has the bytes that releases know that have none
// of these.
#include "config/policy.h"

#include "base/bytes.h"

#include <string.h>

#define HAS_RATES 0x80
#define NOT_AHEAD 0x40
#define HAS_ACK 0x20

// ---- writing ----

static void put_number(struct buf *b, uint64_t v, size_t n_bytes)
{
    for (size_t i = n_bytes; i-- > 0;)
        buf_u8(b, (uint8_t)(v >> 8 * i));
}

static void put_text(struct buf *b, const char *s)
{
    size_t n = strlen(s);
    buf_u8(b, (uint8_t)n);
    buf_add(b, s, n);
}

static void put_globs(struct buf *b, const struct policy_globs *g)
{
    buf_u8(b, (uint8_t)g->n);
    for (size_t i = 0; i < g->n; i++)
        put_text(b, g->list[i]);
}

static void put_rule(struct buf *b, const struct repository_policy *p)
{
    put_text(b, p->match);
    put_number(b, p->quota_bytes, 8);
    buf_u8(b, p->sparse);
    put_globs(b, &p->immutable);
    put_number(b, p->retention.untagged_ms, 8);
    put_number(b, p->retention.keep_last, 4);
    put_globs(b, &p->retention.tags);
}

void policy_put(struct buf *out, const struct registry_policy *p)
{
    bool limits = rates_any(&p->rates);
    unsigned first = p->push_move;
    if (limits)
        first |= HAS_RATES;
    if (p->copy_ahead == COPY_AHEAD_DISABLED)
        first |= NOT_AHEAD;
    if (p->ack_peers)
        first |= HAS_ACK;
    buf_u8(out, (uint8_t)first);
    if (limits)
        rates_put(out, &p->rates);
    if (p->ack_peers)
        buf_u8(out, (uint8_t)p->ack_peers);
    put_number(out, p->quota_bytes, 8);
    buf_u8(out, (uint8_t)p->n_repositories);
    for (size_t i = 0; i < p->n_repositories; i++)
        put_rule(out, &p->repositories[i]);
}

// ---- reading ----

struct taking {
    struct cursor *c;
    struct arena *arena;
    bool nomem;
};

static void *room(struct taking *t, size_t n, size_t size)
{
    void *p = arena_array(t->arena, n ? n : 1, size);
    if (!p)
        t->nomem = true;
    return p;
}

static const char *take_text(struct taking *t)
{
    size_t n = cursor_u8(t->c);
    struct bytes b = cursor_take(t->c, n);
    if (b.n != n || (n && memchr(b.p, 0, n))) {
        t->c->failed = true;
        return "";
    }
    char *text = room(t, n + 1, 1);
    if (!text)
        return "";
    if (n)
        memcpy(text, b.p, n);
    text[n] = 0;
    return text;
}

static struct policy_globs take_globs(struct taking *t)
{
    size_t n = cursor_u8(t->c);
    if (n > POLICY_GLOBS_MAX)
        t->c->failed = true;
    if (!n || t->c->failed)
        return (struct policy_globs){0};
    const char **list = room(t, n, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = take_text(t);
    return (struct policy_globs){list, list ? n : 0};
}

static struct repository_policy take_rule(struct taking *t)
{
    struct repository_policy p = {.match = take_text(t)};
    p.quota_bytes = cursor_u64(t->c);
    uint8_t sparse = cursor_u8(t->c);
    if (sparse > 1)
        t->c->failed = true;
    p.sparse = sparse == 1;
    p.immutable = take_globs(t);
    p.retention.untagged_ms = cursor_u64(t->c);
    p.retention.keep_last = cursor_u32(t->c);
    p.retention.tags = take_globs(t);
    return p;
}

const struct registry_policy *policy_take(struct cursor *c, struct arena *arena)
{
    struct taking t = {.c = c, .arena = arena};
    struct registry_policy *p = room(&t, 1, sizeof *p);
    struct rates rates = {0};
    uint8_t first = cursor_u8(c), ack = 0,
            move = first & (uint8_t) ~(HAS_RATES | NOT_AHEAD | HAS_ACK);
    if (first & HAS_RATES)
        rates_take(c, &rates);
    // one form for each policy
    if ((first & HAS_RATES) && !rates_any(&rates))
        c->failed = true;
    if (first & HAS_ACK)
        ack = cursor_u8(c);
    if ((first & HAS_ACK) && !ack)
        c->failed = true;
    uint64_t quota = cursor_u64(c);
    size_t n = cursor_u8(c);
    if (move > PUSH_MOVE_REGIONAL || n > POLICY_REPOSITORIES_MAX)
        c->failed = true;
    struct repository_policy *rules = NULL;
    if (!c->failed)
        rules = room(&t, n, sizeof *rules);
    for (size_t i = 0; rules && i < n && !c->failed; i++)
        rules[i] = take_rule(&t);
    if (c->failed || t.nomem)
        return NULL;
    *p = (struct registry_policy){.quota_bytes = quota,
                                  .repositories = rules,
                                  .n_repositories = n,
                                  .rates = rates,
                                  .ack_peers = ack};
    if (move == PUSH_MOVE_REGIONAL)
        p->push_move = PUSH_MOVE_REGIONAL;
    if (first & NOT_AHEAD)
        p->copy_ahead = COPY_AHEAD_DISABLED;
    return p;
}
