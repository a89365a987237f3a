// SPDX-License-Identifier: Apache-2.0
// What this region tells the other members, round by round; see words.h. A thread of its own: it
// blocks on the store and on peers. One that is away is passed over, and one that does not answer
// costs TELL_MS.
#include "replication/words_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/backfill_state.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "store/meta_floor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TELL_MS 3000
#define ANSWER_MAX 4096
#define CLOCK_SET_US 100000 // by so much at least; steering moves it by less in a round

// --- what is told ---

// One origin as this region has read it, with the registries whose past it has read.
struct origin_read {
    const struct reading *reading;
    const char **covered;
    size_t n_covered;
    // of its promise that was reached
    uint64_t promised;
    bool self;
};

static uint64_t held_of(const struct reading *r, const char *key)
{
    for (size_t i = 0; i < r->n_held; i++)
        if (!strcmp(r->held[i].registry, key))
            return r->held[i].stamp;
    return 0;
}

static uint64_t applied_of(const struct origin_read *o, const char *key)
{
    const struct horizon_reading r = {.whole = o->self || name_in(key, o->covered, o->n_covered),
                                      .word = o->promised,
                                      .held = held_of(o->reading, key)};
    return horizon_applied(&r);
}

// Nothing is applied past what a sealed region wrote, as long as this region lacks some of that: it
// makes no promises, and says nothing itself.
static uint64_t sealed_cap(const struct topology *t, const struct registry *reg,
                           const struct origin_read *origins)
{
    uint64_t cap = INT64_MAX;
    for (size_t i = 0; i < reg->n_replicas; i++) {
        uint8_t at = reg->replicas[i].region;
        if (!t->regions[at].sealed || origins[at].self)
            continue;
        uint64_t applied = applied_of(&origins[at], reg->key);
        if (applied < cap)
            cap = applied;
    }
    return cap;
}

// NULL: the floor cannot be read.
static json_t *row_make(struct words *w, const struct topology *t, const struct registry *reg,
                        const struct origin_read *origins)
{
    uint64_t floor;
    if (meta_floor_cleared(w->r->o.meta, reg->key, &floor))
        return NULL;
    json_t *applied = json_object();
    uint64_t cap = sealed_cap(t, reg, origins);
    for (size_t i = 0; i < reg->n_replicas; i++) {
        uint8_t at = reg->replicas[i].region;
        const char *name = t->regions[at].name;
        uint64_t stamp = applied_of(&origins[at], reg->key);
        json_object_set_new(applied, name, word_stamp_json(stamp < cap ? stamp : cap));
    }
    json_t *seals = words_seals(t, reg);
    if (!seals) {
        json_decref(applied);
        return NULL;
    }
    json_t *row = json_pack("{s:o, s:o}", "floor", word_stamp_json(floor), "applied", applied);
    if (json_object_size(seals))
        (void)json_object_set(row, "seals", seals); // without them it counts nowhere
    json_decref(seals);
    return row;
}

// Has the mark reached the seal? Then nothing more comes, whatever was promised. Where more is held
// than the seal lets count, it is to be raised: what lies past it holds all back till then.
static bool sealed_is_read(struct words *w, const struct reading *reading,
                           const struct feed_seal *seal)
{
    const struct feed_mark at = {.epoch = seal->epoch, .seq = seal->seq};
    struct feed_mark head;
    if (meta_head(w->r->o.meta, reading->origin, &head) || mark_order(&head, &at) > 0)
        return false;
    return mark_order(&reading->read, &at) >= 0;
}

// `seal`: the origin's; NULL: it lives.
static int origin_fill(struct words *w, const struct reading *reading, const struct feed_seal *seal,
                       struct arena *a, struct origin_read *out)
{
    out->reading = reading;
    out->self = !strcmp(reading->origin, w->r->o.region);
    if (out->self) {
        out->promised = w->mine.stamp;
        return 0;
    }
    out->promised = 0;
    if (!seal)
        out->promised = words_promised(w, reading->origin, &reading->read);
    else if (sealed_is_read(w, reading, seal))
        out->promised = INT64_MAX;
    // After the mark: a registry that is read no more leaves the list before the mark moves on.
    return backfill_state_get(w->r, reading->origin, a, &out->covered, &out->n_covered);
}

// By the regions' index.
static int origins_read(struct words *w, const struct topology *t, struct arena *a,
                        struct origin_read out[TOPOLOGY_MAX_REGIONS])
{
    const char *names[TOPOLOGY_MAX_REGIONS];
    struct reading *list;
    for (size_t i = 0; i < t->n_regions; i++)
        names[i] = t->regions[i].name;
    int rc = meta_reading(w->r->o.meta, names, t->n_regions, a, &list);
    for (size_t i = 0; !rc && i < t->n_regions; i++)
        rc = origin_fill(w, &list[i], t->regions[i].sealed, a, &out[t->regions[i].index]);
    return rc;
}

// {key: row} of the registries that this region holds, in the order of their keys.
static int rows_make(struct words *w, const struct topology *t, const struct region *self,
                     struct arena *a, json_t **out)
{
    struct origin_read *origins = arena_array(a, TOPOLOGY_MAX_REGIONS, sizeof *origins);
    if (!origins)
        return ERR_NOMEM;
    memset(origins, 0, TOPOLOGY_MAX_REGIONS * sizeof *origins);
    int rc = origins_read(w, t, a, origins);
    if (rc)
        return rc;
    json_t *rows = json_object();
    struct catalogue_iter it = {0};
    for (const struct registry *reg; (reg = topology_next(t, &it));)
        if (registry_replica(reg, self->index) &&
            json_object_set_new(rows, reg->key, row_make(w, t, reg, origins)))
            rc = ERR_NOMEM;
    if (rc)
        json_decref(rows);
    else
        *out = rows;
    return rc;
}

// --- the promise ---

// Was our wall clock set since the last round? The clock watch has looked at it by the next one.
static bool clock_was_set(struct words *w)
{
    int64_t base = clock_base_us(), by = base - w->base_us;
    w->base_us = base;
    return llabs(by) > CLOCK_SET_US;
}

// The wall clock that is promised by becomes this region's last stamp, so it must be a good one: a
// clock that stood far ahead would close writes once it is right again.
static bool clock_is_good(struct words *w)
{
    struct clock_opinion o;
    if (clock_was_set(w) || !replication_clock_opinion(w->r, &o))
        return false;
    return o.compared && !o.set_since && !o.far && !o.ahead && !o.closes;
}

// Made anew now and then. What was promised before holds for ever, so a failure loses nothing.
static void promise_make(struct words *w)
{
    int64_t now = clock_mono_ms();
    int64_t pause_ms = (int64_t)WORDS_PROMISE_ROUNDS * w->r->o.words_every_ms;
    bool good = clock_is_good(w);
    if (w->promised_mono && now - w->promised_mono < pause_ms)
        return;
    if (!good || meta_promise(w->r->o.meta, &w->mine))
        return;
    w->promised_mono = now;
}

// NULL: nothing was promised, or it cannot be signed.
static json_t *promise_json(struct words *w)
{
    char cur[CURSOR_TEXT_SIZE], sig_text[b64_size(ENTRY_SIG_BYTES)];
    uint8_t sig[ENTRY_SIG_BYTES];
    const char *key;
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    if (!w->mine.stamp || word_text(w->r->o.region, &w->mine, &text) ||
        meta_sign(w->r->o.meta, text.p, text.n, &key, sig))
        return NULL;
    b64url_format(sig, sizeof sig, sig_text);
    return json_pack("{s:s, s:o, s:s, s:s}", "head", cursor_format(&w->mine.head, cur), "stamp",
                     word_stamp_json(w->mine.stamp), "key", key, "sig", sig_text);
}

// --- telling ---

static bool page_send(struct words *w, const struct topology *t, const char *region, json_t *doc)
{
    struct dial d;
    struct fetch_result res = {0};
    char *text = json_dumps(doc, JSON_COMPACT);
    int rc = text ? 0 : ERR_NOMEM;
    if (!rc)
        rc = peer_dial(&w->r->dialer, t, region, "/replication/v1/marks", NULL, &d);
    if (!rc) {
        d.q.method = "POST";
        d.q.body = bytes_of(text, strlen(text));
        d.q.timeout_ms = TELL_MS;
        d.q.max_bytes = ANSWER_MAX;
        d.q.stop = life_stop_flag(w->r->life);
        rc = fetch_run(w->r->o.fetcher, &d.q, &res);
        if (!rc && res.status != 200)
            rc = ERR_PROTO; // of an earlier version, or it follows another topology just now
        fetch_result_done(&res);
    }
    free(text);
    return rc == 0;
}

static json_t *page_new(json_t *promise)
{
    json_t *doc = json_pack("{s:{}}", "registries");
    if (doc && promise)
        json_object_set(doc, "word", promise);
    return doc;
}

// All rows of registries that both hold, in pages.
static void peer_tell(struct words *w, const struct topology *t, const struct region *peer,
                      json_t *rows, json_t *promise)
{
    const char *key;
    json_t *row, *doc = page_new(promise);
    bool more = doc != NULL;
    json_object_foreach(rows, key, row)
    {
        if (!more || !shared_registry(w->r, t, peer, key))
            continue;
        json_t *page = json_object_get(doc, "registries");
        json_object_set(page, key, row);
        if (json_object_size(page) < WORDS_ROWS_MAX)
            continue;
        more = page_send(w, t, peer->name, doc);
        json_decref(doc);
        doc = page_new(promise);
        more = more && doc;
    }
    if (more && json_object_size(json_object_get(doc, "registries")))
        (void)page_send(w, t, peer->name, doc);
    json_decref(doc);
}

static int round_with(struct words *w, const struct topology *t, const struct region *self)
{
    struct arena a;
    json_t *rows = NULL;
    size_t kept;
    arena_init(&a, 0);
    promise_make(w);
    int rc = rows_make(w, t, self, &a, &rows);
    arena_done(&a);
    if (rc)
        return rc;
    rc = words_keep(w, t, self, rows, &kept);
    json_t *promise = promise_json(w);
    for (size_t i = 0; i < t->n_regions && !life_stopping(w->r->life); i++) {
        struct peer *p = peers_find(w->r->peers, t->regions[i].name);
        if (p && !peer_is_away(p))
            peer_tell(w, t, &t->regions[i], rows, promise);
    }
    json_decref(promise);
    json_decref(rows);
    return rc;
}

static void round_make(struct words *w)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    struct topology *t = snapshot_get(w->r->o.topology);
    const struct region *self = t ? topology_region(t, w->r->o.region) : NULL;
    int rc = 0;
    if (self)
        rc = round_with(w, t, self);
    snapshot_unref(t);
    if (rc && !life_stopping(w->r->life))
        log_limited(&limit, LOG_WARN,
                    "replication: the other regions cannot be told how far this one is: %s; it is "
                    "tried again",
                    err_text(rc));
}

// --- the thread ---

static void rest(struct words *w)
{
    int64_t until = clock_mono_ms() + w->r->o.words_every_ms;
    lock_take(&w->lock);
    while (!w->kicked && !life_stopping(w->r->life)) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        lock_wait(&w->lock, left);
    }
    w->kicked = false;
    lock_give(&w->lock);
}

static void *words_main(void *arg)
{
    struct words *w = arg;
    pthread_setname_np(pthread_self(), "words");
    while (!life_stopping(w->r->life)) {
        round_make(w);
        rest(w);
    }
    return NULL;
}

int words_start(struct words *w)
{
    w->started = pthread_create(&w->thread, NULL, words_main, w) == 0;
    if (!w->started)
        return ERR_NOMEM;
    return 0;
}

void words_kick(struct words *w)
{
    lock_take(&w->lock);
    w->kicked = true;
    lock_wake(&w->lock);
    lock_give(&w->lock);
}

void words_stop(struct words *w)
{
    if (!w || !w->started)
        return;
    assert(life_stopping(w->r->life));
    words_kick(w);
    pthread_join(w->thread, NULL);
    w->started = false;
}
