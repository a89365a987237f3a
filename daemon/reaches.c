// SPDX-License-Identifier: Apache-2.0
// See reaches.h. One slot for each registry that is asked about; the thread goes through those that
// somebody has asked about lately.
#include "daemon/reaches.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/plain.h"
#include "base/wait.h"
#include "config/registry_key.h"
#include "fleet/call.h"
#include "replication/cursor.h"
#include "replication/origin_word.h"
#include "replication/reach.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Operations that wait for content at the same time; more of them wait for a slot.
#define SLOTS 16
// Calls that follow each other so soon are one row; its first one asks anew.
#define ROW_MS 5000
// between two rounds
#define ROUND_MS 1000
#define ANSWER_MS 2000
#define ANSWER_MAX_BYTES (256u << 10)

struct slot {
    // "": free
    char key[REGISTRY_KEY_SIZE];
    // mono; of the first call of the row, and of the last one
    int64_t begun_ms, called_ms;
    // mono; when the round began that said what follows; 0: none has, in this row
    int64_t said_ms;
    // by region's name; NULL before the first round
    json_t *of_origins, *of_readers;
};

struct reaches {
    struct app *app;
    struct fleet_caller caller;
    pthread_t thread;
    bool runs;
    _Atomic bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    struct slot slots[SLOTS];
};

// ---- judging ----

static const json_t *word_of(const struct topology *t, const json_t *words, size_t region)
{
    return json_object_get(words, t->regions[region].name);
}

static void judge_pair(const json_t *reader, const json_t *origin, size_t i,
                       struct lifecycle_content *out)
{
    uint64_t to_go;
    if (!reader || !origin)
        return; // said already
    if (!reach_covers(reader, origin, &to_go))
        out->behind |= (region_set)1 << i;
    out->to_go += to_go;
}

// Where one goes, it may be the last that has what a region wrote that is gone or silent, and that the
// reader still lacks.
static void judge_orphaned(const struct topology *t, const json_t *of_origins,
                           const json_t *of_readers, size_t i, struct lifecycle_content *out)
{
    uint64_t n = reach_orphaned(word_of(t, of_readers, i), of_origins);
    if (n)
        out->orphaned |= (region_set)1 << i;
    out->n_orphaned += n;
}

// "team/app:1.0, which westus wrote, is not in eastus"; false: it is no such thing.
static bool lacking_text(const json_t *v, const char *reader, char out[LIFECYCLE_LACKING_SIZE])
{
    const char *origin = json_string_value(json_object_get(v, "origin"));
    const char *repository = json_string_value(json_object_get(v, "repository"));
    const char *tag = json_string_value(json_object_get(v, "tag"));
    const char *digest = json_string_value(json_object_get(v, "digest"));
    if (!origin || !repository || (!tag && !digest))
        return false;
    int n = snprintf(out, LIFECYCLE_LACKING_SIZE, "%.255s%s%.110s, which %.31s wrote, is not in %s",
                     repository, tag ? ":" : "@", tag ? tag : digest, origin, reader);
    return n > 0 && n < LIFECYCLE_LACKING_SIZE && text_is_plain(out, (size_t)n);
}

// Of a reader's word what one of `origins` wrote, or one that says nothing any more.
static void judge_lacking(const struct topology *t, const json_t *of_origins, const json_t *word,
                          region_set origins, const char *reader, struct lifecycle_content *out)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(word, "lacking"), i, v)
    {
        const char *origin = json_string_value(json_object_get(v, "origin"));
        const struct region *at = origin ? topology_region(t, origin) : NULL;
        bool counts = at && origins >> at->index & 1;
        counts |= origin && !json_object_get(of_origins, origin);
        if (out->n_lacking == LIFECYCLE_LACKING_MAX)
            return;
        if (counts && lacking_text(v, reader, out->lacking[out->n_lacking]))
            out->n_lacking++;
    }
}

void reaches_judge(const struct topology *t, const json_t *of_origins, const json_t *of_readers,
                   region_set readers, region_set origins, struct lifecycle_content *out)
{
    *out = (struct lifecycle_content){.to_go = 0};
    for (size_t i = 0; i < t->n_regions; i++) {
        region_set bit = (region_set)1 << i;
        if ((readers & bit && !word_of(t, of_readers, i)) ||
            (origins & bit && !word_of(t, of_origins, i)))
            out->silent |= bit;
        if (readers & bit)
            judge_orphaned(t, of_origins, of_readers, i, out);
        if (readers & bit)
            judge_lacking(t, of_origins, word_of(t, of_readers, i), origins, t->regions[i].name,
                          out);
        for (size_t k = 0; k < t->n_regions && readers & bit; k++)
            if (origins >> k & 1 && k != i)
                judge_pair(word_of(t, of_readers, i), word_of(t, of_origins, k), i, out);
    }
}

// ---- who asks ----

static void slot_free(struct slot *s)
{
    json_decref(s->of_origins);
    json_decref(s->of_readers);
    *s = (struct slot){.key = ""};
}

// That of the key, else a free one, or one that nobody asks about any more. NULL: all are in use.
static struct slot *slot_of(struct reaches *r, const char *key, int64_t now)
{
    struct slot *spare = NULL;
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *s = &r->slots[i];
        bool old = now - s->called_ms > ROW_MS;
        if (!strcmp(s->key, key) && !old)
            return s;
        if (!*s->key || old)
            spare = s;
    }
    if (!spare)
        return NULL;
    slot_free(spare);
    snprintf(spare->key, sizeof spare->key, "%s", key);
    spare->begun_ms = now;
    return spare;
}

int reaches_ask(struct reaches *r, const char *registry, region_set readers, region_set origins,
                struct lifecycle_content *out)
{
    int64_t now = clock_mono_ms();
    int rc = ERR_BUSY;
    struct topology *t = snapshot_get(r->app->topology);
    pthread_mutex_lock(&r->lock);
    struct slot *s = slot_of(r, registry, now);
    if (s)
        s->called_ms = now;
    if (s && s->said_ms) {
        reaches_judge(t, s->of_origins, s->of_readers, readers, origins, out);
        rc = 0;
    }
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    snapshot_unref(t);
    return rc;
}

// ---- asking ----

static void add_own(struct reaches *r, const char *key, json_t *words)
{
    json_t *own = replication_reach_json(r->app->replicator, key);
    if (own)
        json_object_set_new(words, r->app->node->region, own);
}

static void add_answer(const struct fleet_one_answer *a, json_t *words)
{
    if (a->err || a->status != 200)
        return;
    json_t *doc = json_loadb((const char *)a->body.p, a->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *region = json_string_value(json_object_get(doc, "region"));
    if (region && !strcmp(region, a->region)) // nobody speaks for another
        json_object_set(words, a->region, doc);
    json_decref(doc);
}

// A region that was forgotten says nothing: its feed ends where it is sealed.
static void add_sealed(const struct topology *t, json_t *words)
{
    char cursor[CURSOR_TEXT_SIZE];
    for (size_t i = 0; i < t->n_regions; i++) {
        const struct region *r = &t->regions[i];
        if (!r->sealed)
            continue;
        struct feed_mark at = {.epoch = r->sealed->epoch, .seq = r->sealed->seq};
        memcpy(at.hash, r->sealed->hash, sizeof at.hash);
        json_object_set_new(
            words, r->name,
            json_pack("{s:s, s:s}", "region", r->name, "head", cursor_format(&at, cursor)));
    }
}

// What each region says; NULL: stopped, or out of memory.
static json_t *ask_all(struct reaches *r, const char *key)
{
    static const struct fleet_ask_limits limits = {ANSWER_MS, ANSWER_MAX_BYTES};
    struct fleet_answers *answers = NULL;
    AUTO_FREE char *target = mem_printf(REACH_PATH "?registry=%s", key);
    json_t *words = json_object();
    struct topology *t = snapshot_get(r->app->topology);
    int rc = ERR_NOMEM;
    if (target && words)
        rc = fleet_ask_all(&r->caller, t, target, &limits, &answers);
    for (size_t i = 0; !rc && answers && i < answers->n; i++)
        add_answer(&answers->list[i], words);
    if (!rc)
        add_own(r, key, words);
    if (!rc)
        add_sealed(t, words);
    fleet_answers_free(answers);
    snapshot_unref(t);
    if (!rc)
        return words;
    json_decref(words);
    return NULL;
}

static void origin_note(const struct topology *t, const char *region, const struct origin_word *w,
                        struct lifecycle_origin *out)
{
    const struct region *r = topology_region(t, region);
    if (!r)
        return;
    out->said |= (region_set)1 << r->index;
    if (w->heard)
        out->hear |= (region_set)1 << r->index;
    out->heads[r->index] = w->head;
}

int reaches_origin(struct reaches *r, const struct topology *t, const char *of,
                   struct lifecycle_origin *out)
{
    static const struct fleet_ask_limits limits = {ANSWER_MS, ANSWER_MAX_BYTES};
    struct fleet_answers *answers = NULL;
    struct origin_word w;
    AUTO_FREE char *target = mem_printf(ORIGIN_WORD_PATH "?of=%s", of);
    *out = (struct lifecycle_origin){.said = 0};
    if (!target)
        return ERR_NOMEM;
    int rc = fleet_ask_all(&r->caller, t, target, &limits, &answers);
    for (size_t i = 0; !rc && answers && i < answers->n; i++) {
        const struct fleet_one_answer *a = &answers->list[i];
        if (a->err || a->status != 200)
            continue;
        int wrong = origin_word_read(r->app->replicator, t, bytes_of(a->body.p, a->body.n),
                                     a->region, of, &w);
        if (wrong)
            log_warn("what %s says of how much it holds of %s does not count, as if it had not "
                     "answered: %s",
                     a->region, of, err_text(wrong));
        else
            origin_note(t, a->region, &w, out);
    }
    fleet_answers_free(answers);
    if (!rc && !origin_word_own(r->app->replicator, of, &w))
        origin_note(t, r->app->node->region, &w, out);
    return rc;
}

// One round: first where all feeds end, then how far they were read. Under the lock, which it lets
// go of meanwhile.
static void round_of(struct reaches *r, size_t i)
{
    char key[REGISTRY_KEY_SIZE];
    int64_t begun = clock_mono_ms();
    memcpy(key, r->slots[i].key, sizeof key);
    pthread_mutex_unlock(&r->lock);
    json_t *of_origins = ask_all(r, key), *of_readers = NULL;
    if (of_origins)
        of_readers = ask_all(r, key);
    pthread_mutex_lock(&r->lock);
    struct slot *s = &r->slots[i];
    bool counts = of_readers && !strcmp(s->key, key) && s->begun_ms <= begun;
    if (counts) {
        json_decref(s->of_origins);
        json_decref(s->of_readers);
        s->of_origins = json_incref(of_origins);
        s->of_readers = json_incref(of_readers);
        s->said_ms = begun;
    }
    json_decref(of_origins);
    json_decref(of_readers);
}

static bool is_due(const struct slot *s, int64_t now)
{
    if (!*s->key || now - s->called_ms > ROW_MS)
        return false;
    return !s->said_ms || now - s->said_ms >= ROUND_MS;
}

static void *reaches_main(void *ctx)
{
    struct reaches *r = ctx;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        for (size_t i = 0; i < SLOTS && !r->stopping; i++)
            if (is_due(&r->slots[i], clock_mono_ms()))
                round_of(r, i);
        if (!r->stopping)
            wait_cond(&r->wake, &r->lock, ROUND_MS);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

// ---- its life ----

int reaches_start(struct app *app, struct reaches **out)
{
    struct reaches *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->app = app;
    r->caller = (struct fleet_caller){.fetcher = app->fetcher,
                                      .ca_file = app->node->ca_file,
                                      .peer_pem = app->paths->peer_pem,
                                      .region = app->node->region,
                                      .stop = &r->stopping};
    pthread_mutex_init(&r->lock, NULL);
    wait_cond_init(&r->wake);
    *out = r; // also after a failure: reaches_free
    if (pthread_create(&r->thread, NULL, reaches_main, r))
        return ERR_NOMEM;
    r->runs = true;
    return 0;
}

void reaches_end(struct reaches *r)
{
    if (!r || !r->runs)
        return;
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->stopping, true);
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    r->runs = false;
}

void reaches_free(struct reaches *r)
{
    if (!r)
        return;
    reaches_end(r);
    for (size_t i = 0; i < SLOTS; i++)
        slot_free(&r->slots[i]);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
