// SPDX-License-Identifier: Apache-2.0
// Words of members: what is kept of them, and what is asked about it; see words.h. What this region
// tells is words_tell.c.
#include "replication/words.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "replication/replication_priv.h"
#include "replication/words_priv.h"
#include "store/meta_floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int words_new(struct replicator *r, struct words **out)
{
    struct words *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->r = r;
    w->members = json_object();
    if (!w->members) {
        free(w);
        return ERR_NOMEM;
    }
    lock_init(&w->lock, LOCK_WORDS);
    *out = w;
    return 0;
}

void words_free(struct words *w)
{
    if (!w)
        return;
    json_decref(w->members);
    lock_done(&w->lock);
    free(w);
}

// --- promises of origins ---

// Under the lock. NULL: there is no room for more regions.
static struct origin_word *origin_word(struct words *w, const char *origin)
{
    for (size_t i = 0; i < w->n_origins; i++)
        if (!strcmp(w->origins[i].origin, origin))
            return &w->origins[i];
    if (w->n_origins == ARRAY_LEN(w->origins))
        return NULL;
    struct origin_word *o = &w->origins[w->n_origins++];
    *o = (struct origin_word){0};
    snprintf(o->origin, sizeof o->origin, "%s", origin);
    return o;
}

// While one is waited for that the read mark has not reached, a newer one takes its turn later: else
// an origin that writes without a pause would never be reached.
static void promise_note(struct words *w, const char *origin, const struct promise *p)
{
    struct origin_word *o = origin_word(w, origin);
    if (!o || p->stamp <= o->reached.stamp)
        return;
    if (!o->waits.stamp)
        o->waits = *p;
    else
        o->next = *p;
}

static void promises_move(struct origin_word *o, const struct feed_mark *read)
{
    while (o->waits.stamp && mark_order(read, &o->waits.head) >= 0) {
        if (o->waits.stamp > o->reached.stamp)
            o->reached = o->waits;
        o->waits = o->next;
        o->next = (struct promise){0};
    }
}

uint64_t words_promised(struct words *w, const char *origin, const struct feed_mark *read)
{
    uint64_t stamp = 0;
    lock_take(&w->lock);
    struct origin_word *o = origin_word(w, origin);
    if (o)
        promises_move(o, read);
    // a mark that was set back does not count for what it had reached
    if (o && mark_order(read, &o->reached.head) >= 0)
        stamp = o->reached.stamp;
    lock_give(&w->lock);
    return stamp;
}

// --- taking ---

static int promise_verify(struct words *w, const struct topology *t, const struct region *peer,
                          const struct word_page *page)
{
    const struct public_key *key = topology_feed_key_in_use(t, page->key);
    if (!key || key->region != peer->index)
        return ERR_AUTH;
    AUTO_BUF struct buf b;
    buf_init(&b, 4096);
    int rc = word_text(peer->name, &page->promise, &b);
    if (!rc && w->r->o.verify(key->spki_b64, b.p, b.n, page->sig))
        rc = ERR_AUTH;
    return rc;
}

// What the member has applied of every origin.
static uint64_t row_low(json_t *row)
{
    const char *origin;
    json_t *value;
    uint64_t low = UINT64_MAX, stamp = 0;
    json_object_foreach(json_object_get(row, "applied"), origin, value)
    {
        if (word_stamp_parse(value, &stamp) && stamp < low)
            low = stamp;
    }
    return low;
}

// When it moved last, as this region has seen it.
static int64_t row_moved_ms(json_t *was, json_t *row)
{
    if (was && row_low(was) == row_low(row))
        return json_integer_value(json_object_get(was, "moved"));
    return clock_wall_ms();
}

json_t *words_seals(const struct topology *t, const struct registry *reg)
{
    json_t *seals = json_object();
    int failed = !seals;
    for (size_t i = 0; !failed && i < reg->n_replicas; i++) {
        const struct region *r = &t->regions[reg->replicas[i].region];
        char cur[CURSOR_TEXT_SIZE];
        if (!r->sealed)
            continue;
        struct feed_mark at = {.epoch = r->sealed->epoch, .seq = r->sealed->seq};
        memcpy(at.hash, r->sealed->hash, sizeof at.hash);
        failed = json_object_set_new(seals, r->name, json_string(cursor_format(&at, cur)));
    }
    if (!failed)
        return seals;
    json_decref(seals);
    return NULL;
}

// NULL: the row says none.
static bool seals_equal(const json_t *said, const json_t *seals)
{
    if (!said)
        return seals && json_object_size(seals) == 0;
    return json_equal(said, seals);
}

// What is kept of a row. `was`: what was kept before; NULL: nothing.
static json_t *row_kept(json_t *was, json_t *row, int64_t until_mono)
{
    return json_pack("{s:O, s:O, s:O*, s:O*, s:I, s:I}", "floor", json_object_get(row, "floor"),
                     "applied", json_object_get(row, "applied"), "seals",
                     json_object_get(row, "seals"), "heard", json_object_get(was, "heard"), "until",
                     (json_int_t)until_mono, "moved", (json_int_t)row_moved_ms(was, row));
}

// Under the lock.
static int row_set(struct words *w, const char *member, const char *key, json_t *row,
                   int64_t until_mono)
{
    json_t *of = json_object_get(w->members, member);
    if (!of) {
        of = json_object();
        if (json_object_set_new(w->members, member, of))
            return ERR_NOMEM;
    }
    if (json_object_set_new(of, key, row_kept(json_object_get(of, key), row, until_mono)))
        return ERR_NOMEM;
    return 0;
}

int words_keep(struct words *w, const struct topology *t, const struct region *member, json_t *rows,
               size_t *out_kept)
{
    int64_t until = clock_mono_ms() + (int64_t)WORDS_LEASE_ROUNDS * w->r->o.words_every_ms;
    const char *key;
    json_t *row;
    int rc = 0;
    size_t n = 0;
    lock_take(&w->lock);
    json_object_foreach(rows, key, row)
    {
        if (rc || !shared_registry(w->r, t, member, key))
            continue;
        rc = row_set(w, member->name, key, row, until);
        n++;
    }
    lock_give(&w->lock);
    if (!rc)
        *out_kept = n;
    return rc;
}

uint64_t words_applied_here(struct words *w, const char *key)
{
    uint64_t low = 0;
    lock_take(&w->lock);
    json_t *row = json_object_get(json_object_get(w->members, w->r->o.region), key);
    if (row)
        low = row_low(row);
    lock_give(&w->lock);
    return low;
}

// Is it to be heard? Not what was heard from this member before, since the start. And a floor is what
// all have applied, this region too: who tells a higher one lies, or this store was restored, and
// then it is heard when this region is as far again.
static bool floor_is_new(struct words *w, const char *member, const char *key, const json_t *floor)
{
    uint64_t stamp;
    if (!word_stamp_parse(floor, &stamp) || !stamp || stamp > words_applied_here(w, key))
        return false;
    lock_take(&w->lock);
    const json_t *row = json_object_get(json_object_get(w->members, member), key);
    bool same = row && json_equal(json_object_get(row, "heard"), floor);
    lock_give(&w->lock);
    return !same;
}

static void floor_note(struct words *w, const char *member, const char *key, json_t *floor)
{
    lock_take(&w->lock);
    json_t *row = json_object_get(json_object_get(w->members, member), key);
    if (row) // what cannot be kept is heard again
        (void)json_object_set(row, "heard", floor);
    lock_give(&w->lock);
}

// After the rows are kept. What fails is heard the next time that it is told, and nothing depends on
// it but entries that are announced again.
static void floors_hear(struct words *w, const struct topology *t, const struct region *member,
                        json_t *rows)
{
    const char *key;
    json_t *row;
    uint64_t limit = meta_stamp_limit(w->r->o.meta), floor;
    json_object_foreach(rows, key, row)
    {
        json_t *said = json_object_get(row, "floor");
        if (!shared_registry(w->r, t, member, key) || !floor_is_new(w, member->name, key, said))
            continue;
        if (word_stamp_parse(said, &floor) && floor <= limit &&
            !meta_floor_hear(w->r->o.meta, key, floor))
            floor_note(w, member->name, key, said);
    }
}

static int page_take(struct words *w, const struct topology *t, const struct region *peer,
                     const struct word_page *page, size_t *out_taken)
{
    if (page->promises) {
        int rc = promise_verify(w, t, peer, page);
        if (rc)
            return rc;
    }
    // one of the future is passed over, as that region's entries are not read then
    if (page->promises && page->promise.stamp <= meta_stamp_limit(w->r->o.meta)) {
        lock_take(&w->lock);
        promise_note(w, peer->name, &page->promise);
        lock_give(&w->lock);
    }
    int rc = words_keep(w, t, peer, page->rows, out_taken);
    if (!rc)
        floors_hear(w, t, peer, page->rows);
    return rc;
}

int words_take(struct words *w, const struct topology *t, const struct region *peer,
               struct bytes body, size_t *out_taken)
{
    struct word_page page;
    int rc = word_page_read(body, &page);
    if (rc)
        return rc;
    rc = page_take(w, t, peer, &page, out_taken);
    word_page_done(&page);
    return rc;
}

// --- looking ---

// Under the lock. `seals`: of the topology; NULL: out of memory.
static void word_fill(const struct words *w, const struct topology *t, const char *member,
                      const char *key, const json_t *seals, struct horizon_word *out)
{
    json_t *row = json_object_get(json_object_get(w->members, member), key);
    json_t *applied = json_object_get(row, "applied");
    *out = (struct horizon_word){0};
    if (!row || json_integer_value(json_object_get(row, "until")) <= clock_mono_ms())
        return;
    if (!seals_equal(json_object_get(row, "seals"), seals))
        return;
    out->counts = word_stamp_parse(json_object_get(row, "floor"), &out->floor);
    for (size_t i = 0; i < t->n_regions; i++)
        (void)word_stamp_parse(json_object_get(applied, t->regions[i].name),
                               &out->applied[t->regions[i].index]);
}

void words_horizon(struct words *w, const struct topology *t, const struct registry *reg,
                   struct horizon *out_floor, struct horizon *out_tombstones)
{
    struct horizon_word *said = mem_zalloc_array(TOPOLOGY_MAX_REGIONS, sizeof *said);
    *out_floor = (struct horizon){.why = HORIZON_NOBODY};
    if (out_tombstones)
        *out_tombstones = *out_floor;
    if (!said)
        return;
    json_t *seals = words_seals(t, reg);
    lock_take(&w->lock);
    for (size_t i = 0; i < reg->n_replicas; i++) {
        const struct region *member = &t->regions[reg->replicas[i].region];
        word_fill(w, t, member->name, reg->key, seals, &said[member->index]);
    }
    lock_give(&w->lock);
    json_decref(seals);
    const struct horizon_view view = {members_of(t, reg), said};
    *out_floor = horizon_floor(&view);
    if (out_tombstones)
        *out_tombstones = horizon_tombstones(&view);
    free(said);
}

static const char *why_text(enum horizon_why why)
{
    switch (why) {
    case HORIZON_SILENT:
        return "it has not said how far it is by the topology in force here";
    case HORIZON_BEHIND:
        return "it has not applied more of that origin";
    case HORIZON_CLEARING:
        return "it has not dropped what is dead yet";
    case HORIZON_NOBODY:
        break;
    }
    return "there is no member";
}

// Since when the member has not moved; 0: it never said anything.
static int64_t member_stands_ms(struct words *w, const char *member, const char *key)
{
    lock_take(&w->lock);
    const json_t *row = json_object_get(json_object_get(w->members, member), key);
    int64_t ms = json_integer_value(json_object_get(row, "moved"));
    lock_give(&w->lock);
    return ms;
}

// Its floor, and what was refused by it.
static void floor_add(struct words *w, const struct registry *reg, json_t *doc)
{
    struct meta_floor f;
    if (meta_floor_get(w->r->o.meta, reg->key, &f))
        return;
    json_object_set_new(doc, "floor", word_stamp_json(f.floor));
    json_object_set_new(doc, "refused", json_integer((json_int_t)f.n_refused));
}

void *words_horizon_json(struct words *w, const struct topology *t, const struct registry *reg)
{
    struct horizon h;
    char when[CLOCK_TEXT_SIZE];
    words_horizon(w, t, reg, &h, NULL);
    json_t *doc =
        json_pack("{s:s, s:o}", "registry", reg->name, "appliedByAll", word_stamp_json(h.stamp));
    if (doc)
        floor_add(w, reg, doc);
    if (!doc || h.why == HORIZON_NOBODY)
        return doc;
    if (h.stamp)
        json_object_set_new(doc, "time", json_string(clock_format(hlc_wall_ms(h.stamp), when)));
    json_object_set_new(doc, "heldBy", json_string(t->regions[h.member].name));
    if (h.why == HORIZON_BEHIND)
        json_object_set_new(doc, "of", json_string(t->regions[h.origin].name));
    json_object_set_new(doc, "why", json_string(why_text(h.why)));
    int64_t since = member_stands_ms(w, t->regions[h.member].name, reg->key);
    if (since)
        json_object_set_new(doc, "standsSince", json_string(clock_format(since, when)));
    return doc;
}

// What came at or below a floor, and was not taken.
void words_metrics(struct words *w, struct buf *out)
{
    struct meta_floor f;
    if (meta_floor_get(w->r->o.meta, "", &f))
        return;
    exposition_single(out, "meridian_replication_below_floor_total", "counter",
                      "Entries of other regions that were refused because they are from before the "
                      "floor of their registry: what is not here was deleted everywhere.",
                      (double)f.n_refused);
}

// --- the route ---

struct words_ask {
    struct replicator *r;
    const char *from;
};

static int taken(const struct words_ask *a, struct bytes body, size_t *out_n)
{
    struct topology *t = snapshot_get(a->r->o.topology);
    const struct region *peer = t ? topology_region(t, a->from) : NULL;
    int rc = ERR_AUTH; // it left the topology just now
    if (peer)
        rc = words_take(a->r->words, t, peer, body, out_n);
    snapshot_unref(t);
    return rc;
}

static void words_run(struct http_request *req, struct http_response *resp)
{
    const struct words_ask *a = req->ctx;
    size_t n = 0;
    if (!life_enter(a->r->life)) {
        serve_refuse(req, resp, 503, err_text(ERR_CLOSED));
        return;
    }
    replicator_inbound_contact(a->r, a->from);
    int rc = taken(a, req->body, &n);
    life_leave(a->r->life);
    if (rc == ERR_PROTO)
        serve_refuse(req, resp, 400, "not the words of a region");
    else if (rc == ERR_AUTH)
        serve_refuse(req, resp, 403, "the promise is not signed by a feed key of that region");
    else if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    else
        http_response_json(
            req, resp, 200,
            json_pack("{s:s, s:I}", "region", a->r->o.region, "taken", (json_int_t)n));
}

void words_begin(struct replicator *r, struct http_request *req, const struct region *peer,
                 struct http_plan *plan)
{
    struct words_ask *a = arena_alloc(&req->arena, sizeof *a);
    const char *from = arena_strdup(&req->arena, peer->name);
    if (!a || !from) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *a = (struct words_ask){r, from};
    if (req->arena.max_bytes)
        req->arena.max_bytes += WORDS_BODY_MAX; // the collected body
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = WORDS_BODY_MAX;
    plan->run = words_run;
    plan->ctx = a;
    plan->pool = r->o.pool;
}
