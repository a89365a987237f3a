// SPDX-License-Identifier: Apache-2.0
// Asking the other members of a registry what they hold, and having it fetched
// (content/elsewhere.h). All members are asked at once, and none for longer than ASK_MS: one that is
// silent is named, and delays nobody further. On threads that may wait.
#include "replication/gather.h"
#include "replication/holding.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS 4000

struct asked { // one member
    const char *region;
    struct dial dial;
    // NULL: it could not be asked
    struct response_reader *reader;
};

static int ms_until(int64_t until_mono, int most)
{
    int64_t left = until_mono - clock_mono_ms();
    if (left < 1)
        return 1;
    if (left < most)
        return (int)left;
    return most;
}

static void silent_add(char silent[CONTENT_TEXT_SIZE], const char *region)
{
    size_t n = strlen(silent);
    const char *comma = n ? ", " : "";
    snprintf(silent + n, CONTENT_TEXT_SIZE - n, "%s%s", comma, region);
}

static int question(const struct elsewhere_want *w, struct buf *out)
{
    buf_init(out, HOLDINGS_TEXT_MAX);
    for (size_t i = 0; i < w->n_items; i++) {
        const struct holding h = {.kind = w->items[i].kind, .digest = w->items[i].digest};
        holding_format(&h, out);
    }
    return out->err;
}

// Sends the question. A member that is not heard is not asked.
static void member_ask(struct replicator *r, const struct topology *t, const char *target,
                       struct bytes body, int timeout_ms, struct asked *a)
{
    struct peer *p = peers_find(r->peers, a->region);
    if (!p || peer_is_away(p))
        return;
    if (peer_dial(&r->dialer, t, a->region, target, NULL, &a->dial))
        return;
    a->dial.q.method = "POST";
    a->dial.q.body = body;
    a->dial.q.timeout_ms = (uint32_t)timeout_ms;
    (void)response_reader_open(r->o.fetcher, &a->dial.q, gather_drains(r->gather), &a->reader);
}

// Reads one line's word. Lines come in the order of the question, so *at only moves on.
static bool line_take(struct elsewhere_want *w, const struct holding *h, const char *region,
                      size_t *at)
{
    for (; *at < w->n_items; ++*at) {
        struct elsewhere_item *item = &w->items[*at];
        if (item->kind != h->kind || !digest_equal(&item->digest, &h->digest))
            continue;
        if (item->held != ELSEWHERE_HELD) {
            item->held = ELSEWHERE_HELD;
            snprintf(item->holder, sizeof item->holder, "%s", region);
            if (h->has_size)
                item->size = h->size;
        }
        ++*at;
        return true;
    }
    return false;
}

static int answer_take(struct elsewhere_want *w, const char *region, const struct buf *body)
{
    const char *p = buf_cstr(body), *end = p + body->n;
    size_t at = 0;
    while (p < end) {
        struct holding h;
        if (holding_parse(&p, end, &h) || !line_take(w, &h, region, &at))
            return ERR_PROTO;
    }
    return 0;
}

static int body_read(struct response_reader *f, int64_t until_mono, struct buf *body)
{
    uint8_t piece[4096];
    for (;;) {
        ssize_t n = response_reader_read(f, piece, sizeof piece, ms_until(until_mono, ASK_MS));
        if (n <= 0)
            return (int)n;
        buf_add(body, piece, (size_t)n);
        if (body->err)
            return body->err;
    }
}

// 0: it said what it holds. ERR_UNSUPPORTED: its version cannot say.
static int member_hear(struct elsewhere_want *w, int64_t until_mono, struct asked *a)
{
    if (!a->reader)
        return ERR_UNREACHABLE;
    int status = response_reader_status(a->reader, ms_until(until_mono, ASK_MS));
    if (status < 0)
        return status;
    if (status == 404)
        return ERR_UNSUPPORTED;
    if (status != 200)
        return ERR_PROTO;
    AUTO_BUF struct buf body;
    buf_init(&body, HOLDINGS_TEXT_MAX);
    int rc = body_read(a->reader, until_mono, &body);
    if (!rc)
        rc = answer_take(w, a->region, &body);
    return rc;
}

// The other members of the registry; how many.
static size_t members(struct replicator *r, const struct topology *t, const struct registry *reg,
                      struct asked *out)
{
    size_t n = 0;
    for (size_t i = 0; i < reg->n_replicas; i++) {
        const char *region = t->regions[reg->replicas[i].region].name;
        if (strcmp(region, r->o.region) != 0)
            out[n++].region = region;
    }
    return n;
}

static int ask_members(struct replicator *r, const struct topology *t, const struct registry *reg,
                       struct elsewhere_want *w, char silent[CONTENT_TEXT_SIZE])
{
    char target[512];
    AUTO_FREE struct asked *asked = mem_zalloc(reg->n_replicas * sizeof *asked);
    AUTO_BUF struct buf body;
    bool perhaps = false;
    int rc = question(w, &body);
    if (rc || !asked)
        return rc ? rc : ERR_NOMEM;
    snprintf(target, sizeof target, "/replication/v1/holds?registry=%s&repository=%s", w->registry,
             w->repository);
    int64_t until = clock_mono_ms() + ms_until(w->until_mono, ASK_MS);
    size_t n = members(r, t, reg, asked);
    for (size_t i = 0; i < n; i++)
        member_ask(r, t, target, bytes_of(body.p, body.n), ms_until(until, ASK_MS), &asked[i]);
    for (size_t i = 0; i < n; i++) {
        rc = member_hear(w, until, &asked[i]);
        response_reader_close(asked[i].reader);
        if (rc == ERR_UNSUPPORTED)
            perhaps = true;
        else if (rc)
            silent_add(silent, asked[i].region);
    }
    if (*gather_drains(r->gather))
        return ERR_CANCELED;
    for (size_t i = 0; i < w->n_items && perhaps; i++)
        if (w->items[i].held == ELSEWHERE_NOWHERE)
            w->items[i].held = ELSEWHERE_PERHAPS;
    return 0;
}

int replicator_ask(struct replicator *r, struct elsewhere_want *w, char silent[CONTENT_TEXT_SIZE])
{
    *silent = 0;
    if (w->n_items > ELSEWHERE_ITEMS_MAX)
        return ERR_TOOBIG;
    for (size_t i = 0; i < w->n_items; i++)
        w->items[i].held = ELSEWHERE_NOWHERE;
    if (!life_enter(r->life))
        return ERR_CANCELED;
    struct topology *t = snapshot_get(r->o.topology);
    const struct registry *reg = NULL;
    if (t)
        reg = topology_registry_by_key(t, w->registry);
    int rc = ERR_NOTFOUND;
    if (reg)
        rc = ask_members(r, t, reg, w, silent);
    snapshot_unref(t);
    life_leave(r->life);
    return rc;
}

int replicator_fetch(struct replicator *r, struct elsewhere_want *w, char error[CONTENT_TEXT_SIZE])
{
    if (!life_enter(r->life))
        return ERR_CANCELED;
    int rc = gather_fetch(r->gather, w, true, error);
    life_leave(r->life);
    return rc;
}

bool replicator_coming(struct replicator *r, const char *registry, const char *repository,
                       const struct digest *d)
{
    return gather_coming(r->gather, registry, repository, d) ||
           expected_has(relays_expected(r->relays), registry, repository, d);
}

// A person waits for what is to come by a relay: it is copied from its origin now.
static void expected_hurry(struct replicator *r, const char *registry, const char *repository,
                           const struct digest *d)
{
    struct expected_item it;
    if (!expected_take(relays_expected(r->relays), registry, repository, d, &it))
        return;
    const struct ahead_copy copy = {.registry = registry,
                                    .repository = repository,
                                    .from = it.origin,
                                    .origin = it.origin,
                                    .digest = *d,
                                    .size = it.size};
    (void)ahead_copy(r, &copy); // else it is not here, as without a word of it
    expected_item_done(&it);
}

void replicator_wait(struct replicator *r, const char *registry, const char *repository,
                     const struct digest *d, int64_t until_mono)
{
    if (!life_enter(r->life))
        return;
    expected_hurry(r, registry, repository, d);
    gather_wait(r->gather, registry, repository, d, until_mono);
    life_leave(r->life);
}
