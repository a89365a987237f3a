// SPDX-License-Identifier: Apache-2.0
// Who speaks what; see speech.h.
#include "replication/speech.h"

#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "config/topology.h"
#include "replication/lock.h"
#include "store/meta.h"
#include "store/meta_speaks.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    char region[HOSTNAME_REGION_SIZE];
    unsigned version;
    // as the store has it; 0: it has none
    unsigned kept;
};

struct speech {
    const char *region;
    struct snapshot *topology;
    struct meta *meta;

    struct lock lock;
    // under the lock
    struct word words[TOPOLOGY_MAX_REGIONS];
    size_t n;
};

// Under the lock. NULL: none is known.
static struct word *word_find(struct speech *s, const char *region)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->words[i].region, region) == 0)
            return &s->words[i];
    return NULL;
}

// Under the lock. NULL: it cannot be noted.
static struct word *word_of(struct speech *s, const char *region)
{
    struct word *w = word_find(s, region);
    if (w || s->n == TOPOLOGY_MAX_REGIONS || strlen(region) >= HOSTNAME_REGION_SIZE)
        return w;
    w = &s->words[s->n++];
    *w = (struct word){0};
    snprintf(w->region, sizeof w->region, "%s", region);
    return w;
}

// --- the store ---

static int word_load(struct speech *s, const char *region)
{
    unsigned version = 0;
    int rc = meta_word_get(s->meta, region, &version);
    if (rc || !version)
        return rc;
    struct word *w = word_of(s, region);
    if (!w)
        return 0;
    w->kept = version;
    w->version = version;
    if (version > SPEECH_NOW) // a later program was here
        w->version = SPEECH_NOW;
    return 0;
}

static int words_load(struct speech *s)
{
    struct topology *t = snapshot_get(s->topology);
    int rc = 0;
    for (size_t i = 0; t && !rc && i < t->n_regions; i++)
        rc = word_load(s, t->regions[i].name);
    snapshot_unref(t);
    return rc;
}

// One that the store does not have as it was heard. false: none.
static bool word_unkept(struct speech *s, struct word *out)
{
    bool found = false;
    lock_take(&s->lock);
    for (size_t i = 0; i < s->n && !found; i++) {
        found = s->words[i].version != s->words[i].kept;
        if (found)
            *out = s->words[i];
    }
    lock_give(&s->lock);
    return found;
}

int speech_keep(struct speech *s)
{
    struct word w;
    while (word_unkept(s, &w)) {
        int rc = meta_word_set(s->meta, w.region, w.version);
        if (rc)
            return rc;
        lock_take(&s->lock);
        word_find(s, w.region)->kept = w.version;
        lock_give(&s->lock);
    }
    return 0;
}

// --- words ---

int speech_new(const char *region, struct snapshot *topology, struct meta *meta,
               struct speech **out)
{
    struct speech *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    *s = (struct speech){.region = region, .topology = topology, .meta = meta};
    lock_init(&s->lock, LOCK_SPEECH);
    int rc = words_load(s);
    if (rc) {
        speech_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void speech_free(struct speech *s)
{
    if (!s)
        return;
    lock_done(&s->lock);
    free(s);
}

void speech_heard(struct speech *s, const char *region, unsigned version)
{
    if (strcmp(region, s->region) == 0)
        return;
    if (version > SPEECH_NOW) // invariant 1
        version = SPEECH_NOW;
    if (version < SPEECH_OLD)
        version = SPEECH_OLD;
    lock_take(&s->lock);
    struct word *w = word_of(s, region);
    if (w)
        w->version = version;
    lock_give(&s->lock);
}

unsigned speech_of(struct speech *s, const char *region)
{
    unsigned version = 0;
    lock_take(&s->lock);
    const struct word *w = word_find(s, region);
    if (w)
        version = w->version;
    lock_give(&s->lock);
    return version;
}

static bool behind_in(struct speech *s, const struct topology *t, const struct registry *reg,
                      char out_region[HOSTNAME_REGION_SIZE])
{
    for (size_t i = 0; i < reg->n_replicas; i++) {
        const struct region *member = &t->regions[reg->replicas[i].region];
        const char *name = member->name;
        if (member->sealed || strcmp(name, s->region) == 0 || speech_of(s, name) >= SPEECH_NOW)
            continue;
        snprintf(out_region, HOSTNAME_REGION_SIZE, "%s", name);
        return true;
    }
    return false;
}

bool speech_is_behind(struct speech *s, const char *registry_key,
                      char out_region[HOSTNAME_REGION_SIZE])
{
    struct topology *t = snapshot_get(s->topology);
    const struct registry *reg = NULL;
    bool behind = false;
    if (t)
        reg = topology_registry_by_key(t, registry_key);
    if (reg)
        behind = behind_in(s, t, reg, out_region);
    snapshot_unref(t);
    return behind;
}

void speech_metrics(struct speech *s, struct buf *out)
{
    exposition_family(out, "meridian_replication_speaks", "gauge",
                      "Version of the feed that a region speaks, by its last word.");
    lock_take(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        exposition_begin(out, "meridian_replication_speaks");
        exposition_label(out, "region", s->words[i].region);
        exposition_value(out, s->words[i].version);
    }
    lock_give(&s->lock);
}

// --- the wire ---

unsigned speech_asked(struct http_request *req)
{
    const char *word = http_query_get(req, "speaks", 0);
    if (!word)
        return SPEECH_OLD;
    size_t n = strlen(word);
    if (n == 1 && *word >= '0' + SPEECH_OLD && *word <= '9')
        return (unsigned)(*word - '0');
    return SPEECH_OLD;
}

unsigned speech_answered(const json_t *member)
{
    json_int_t version = json_integer_value(member); // 0 when it is no number
    if (version < SPEECH_OLD)
        return SPEECH_OLD;
    if (version > SPEECH_NOW)
        return SPEECH_NOW;
    return (unsigned)version;
}
