// SPDX-License-Identifier: Apache-2.0
// What comparisons of state have found; see differences.h.
#include "replication/differences.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/htab.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/lock.h"

#include <stdlib.h>
#include <string.h>

#define REGISTRY_SIZE 128
#define REPOSITORY_SIZE 256
#define PAIR_KEY_SIZE (REGISTRY_SIZE + HOSTNAME_REGION_SIZE)

struct kept {
    char registry[REGISTRY_SIZE], peer[HOSTNAME_REGION_SIZE], repository[REPOSITORY_SIZE];
    struct shown_subject subject;
    char here[DIFFERENCE_TEXT_SIZE], there[DIFFERENCE_TEXT_SIZE], what[ERROR_TEXT_SIZE];
    enum differ_verdict verdict;
    // wall; the second one: monotonic
    int64_t since_ms, settled_ms, seen_mono;
};

struct pair {
    struct pair *next;
    char registry[REGISTRY_SIZE], peer[HOSTNAME_REGION_SIZE], error[ERROR_TEXT_SIZE];
    enum compared_state state;
    // wall; 0: never
    int64_t ended_ms;
    int64_t begun_mono;
    uint64_t n_subjects;
};

struct differences {
    struct lock lock;
    struct kept *open;
    size_t n_open;
    // a ring; the next one goes to n_mended % DIFFERENCES_MENDED
    struct kept *mended;
    uint64_t n_mended;
    struct pair *pairs;
    struct htab *by_name; // by pair_key
    // since the start
    uint64_t n_found, n_left_out, n_forged, n_took, n_remade, n_subjects;
};

struct differences *differences_new(void)
{
    struct differences *d = mem_zalloc(sizeof *d);
    if (!d)
        return NULL;
    d->open = mem_zalloc_array(DIFFERENCES_MAX, sizeof *d->open);
    d->mended = mem_zalloc_array(DIFFERENCES_MENDED, sizeof *d->mended);
    d->by_name = htab_new();
    lock_init(&d->lock, LOCK_DIFFERENCES);
    if (d->open && d->mended && d->by_name)
        return d;
    differences_free(d);
    return NULL;
}

void differences_free(struct differences *d)
{
    if (!d)
        return;
    lock_done(&d->lock);
    free(d->open);
    free(d->mended);
    for (struct pair *p = d->pairs, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    htab_free(d->by_name);
    free(d);
}

// --- the list, under the lock ---

static bool is_of(const struct kept *k, const char *registry, const char *peer)
{
    if (registry && strcmp(k->registry, registry) != 0)
        return false;
    return !peer || strcmp(k->peer, peer) == 0;
}

static struct kept *kept_find(struct differences *d, const char *registry, const char *peer,
                              const char *repository, const struct shown_subject *s)
{
    for (size_t i = 0; i < d->n_open; i++) {
        struct kept *k = &d->open[i];
        if (is_of(k, registry, peer) && strcmp(k->repository, repository) == 0 &&
            shown_subject_order(&k->subject, s) == 0)
            return k;
    }
    return NULL;
}

static void kept_settle(struct differences *d, struct kept *k)
{
    k->settled_ms = clock_wall_ms();
    d->mended[d->n_mended++ % DIFFERENCES_MENDED] = *k;
    *k = d->open[--d->n_open];
}

static struct kept *kept_add(struct differences *d, const struct difference *x)
{
    struct kept *k = kept_find(d, x->registry, x->peer, x->repository, &x->subject);
    if (k)
        return k;
    d->n_found++;
    if (d->n_open == DIFFERENCES_MAX) {
        d->n_left_out++;
        return NULL;
    }
    k = &d->open[d->n_open++];
    *k = (struct kept){.subject = x->subject, .since_ms = clock_wall_ms()};
    snprintf(k->registry, sizeof k->registry, "%s", x->registry);
    snprintf(k->peer, sizeof k->peer, "%s", x->peer);
    snprintf(k->repository, sizeof k->repository, "%s", x->repository);
    return k;
}

// A value in the list ends at a character, and without its last line feed.
static void value_put(char to[DIFFERENCE_TEXT_SIZE], const char *text)
{
    size_t n = strnlen(text, DIFFERENCE_TEXT_SIZE - 1);
    while (n && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    while (n && text[n - 1] == '\n')
        n--;
    memcpy(to, text, n);
    to[n] = '\0';
}

static void difference_log(const struct difference *x)
{
    static struct log_limit limit = LOG_LIMIT(1000);
    char name[SHOWN_NAME_SIZE];
    log_limited(&limit, LOG_WARN, "replication: %s of %s/%s differs from region %s: %s",
                shown_subject_format(&x->subject, name), x->registry, x->repository, x->peer,
                x->what);
}

void differences_note(struct differences *d, const struct difference *x)
{
    if (x->verdict == DIFFER_SAME || x->verdict == DIFFER_LAGS)
        return;
    lock_take(&d->lock);
    size_t n = d->n_open;
    struct kept *k = kept_add(d, x);
    bool is_new = d->n_open != n;
    if (k) {
        value_put(k->here, x->here);
        value_put(k->there, x->there);
        snprintf(k->what, sizeof k->what, "%s", x->what);
        k->verdict = x->verdict;
        k->seen_mono = clock_mono_ms();
    }
    lock_give(&d->lock);
    if (is_new)
        difference_log(x);
}

void differences_settle(struct differences *d, const char *registry, const char *peer,
                        const char *repository, const struct shown_subject *subject)
{
    lock_take(&d->lock);
    struct kept *k = kept_find(d, registry, peer, repository, subject);
    if (k)
        kept_settle(d, k);
    lock_give(&d->lock);
}

void differences_lags(struct differences *d, const char *registry, const char *peer,
                      const char *repository, const struct shown_subject *subject)
{
    lock_take(&d->lock);
    struct kept *k = kept_find(d, registry, peer, repository, subject);
    if (k)
        k->seen_mono = clock_mono_ms();
    lock_give(&d->lock);
}

// --- pairs, under the lock ---

// A name of a region has no slash.
static size_t pair_key(const char *registry, const char *peer, char out[PAIR_KEY_SIZE])
{
    snprintf(out, PAIR_KEY_SIZE, "%s/%s", peer, registry);
    return strlen(out);
}

static struct pair *pair_find(struct differences *d, const char *registry, const char *peer)
{
    char key[PAIR_KEY_SIZE];
    return htab_get(d->by_name, key, pair_key(registry, peer, key));
}

static struct pair *pair_make(struct differences *d, const char *registry, const char *peer)
{
    struct pair *p = pair_find(d, registry, peer);
    if (p)
        return p;
    char key[PAIR_KEY_SIZE];
    p = mem_zalloc(sizeof *p);
    if (!p || htab_put(d->by_name, key, pair_key(registry, peer, key), p)) {
        free(p);
        return NULL;
    }
    p->next = d->pairs;
    d->pairs = p;
    snprintf(p->registry, sizeof p->registry, "%s", registry);
    snprintf(p->peer, sizeof p->peer, "%s", peer);
    return p;
}

void differences_pair_begin(struct differences *d, const char *registry, const char *peer)
{
    lock_take(&d->lock);
    struct pair *p = pair_make(d, registry, peer);
    if (p)
        p->begun_mono = clock_mono_ms();
    lock_give(&d->lock);
}

static void unseen_settle(struct differences *d, const struct pair *p)
{
    for (size_t i = d->n_open; i-- > 0;)
        if (is_of(&d->open[i], p->registry, p->peer) && d->open[i].seen_mono < p->begun_mono)
            kept_settle(d, &d->open[i]);
}

void differences_pair_end(struct differences *d, const char *registry, const char *peer,
                          enum compared_state state, uint64_t n_subjects, const char *error)
{
    lock_take(&d->lock);
    struct pair *p = pair_make(d, registry, peer);
    d->n_subjects += n_subjects;
    if (p) {
        p->state = state;
        p->ended_ms = clock_wall_ms();
        p->n_subjects = n_subjects;
        snprintf(p->error, sizeof p->error, "%s", error ? error : "");
        if (state == COMPARED_WHOLE)
            unseen_settle(d, p);
    }
    lock_give(&d->lock);
}

void differences_forged(struct differences *d)
{
    lock_take(&d->lock);
    d->n_forged++;
    lock_give(&d->lock);
}

void differences_took(struct differences *d, uint64_t n_entries, uint64_t n_registers)
{
    lock_take(&d->lock);
    d->n_took += n_entries;
    d->n_remade += n_registers;
    lock_give(&d->lock);
}

// --- looking ---

size_t differences_open(struct differences *d, const char *registry, const char *peer)
{
    size_t n = 0;
    lock_take(&d->lock);
    for (size_t i = 0; i < d->n_open; i++)
        n += is_of(&d->open[i], registry, peer);
    lock_give(&d->lock);
    return n;
}

static int kept_copy(const struct kept *k, struct arena *a, struct difference *out)
{
    struct difference x = {.registry = arena_strdup(a, k->registry),
                           .peer = arena_strdup(a, k->peer),
                           .repository = arena_strdup(a, k->repository),
                           .subject = k->subject,
                           .here = arena_strdup(a, k->here),
                           .there = arena_strdup(a, k->there),
                           .verdict = k->verdict,
                           .what = arena_strdup(a, k->what)};
    if (!x.registry || !x.peer || !x.repository || !x.here || !x.there || !x.what)
        return ERR_NOMEM;
    *out = x;
    return 0;
}

int differences_at(struct differences *d, size_t n, struct arena *a, struct difference *out)
{
    int rc = ERR_NOTFOUND;
    lock_take(&d->lock);
    if (n < d->n_open)
        rc = kept_copy(&d->open[n], a, out);
    lock_give(&d->lock);
    return rc;
}

static const char *state_name(enum compared_state s)
{
    static const char *const names[] = {
        [COMPARED_NEVER] = "never",   [COMPARED_WHOLE] = "whole",
        [COMPARED_PART] = "part",     [COMPARED_UNSUPPORTED] = "unsupported",
        [COMPARED_FAILED] = "failed",
    };
    return names[s];
}

static json_t *kept_json(const struct kept *k)
{
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE], name[SHOWN_NAME_SIZE];
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "peer", k->peer, "repository",
                          k->repository, "subject", shown_subject_format(&k->subject, name), "here",
                          k->here, "there", k->there, "verdict", differ_verdict_name(k->verdict),
                          "since", clock_format(k->since_ms, since), "what", k->what);
    if (o && k->settled_ms)
        json_object_set_new(o, "until", json_string(clock_format(k->settled_ms, until)));
    return o;
}

static size_t n_ring(const struct differences *d)
{
    return d->n_mended < DIFFERENCES_MENDED ? (size_t)d->n_mended : DIFFERENCES_MENDED;
}

// The n-th of those that were made good, the last one first.
static const struct kept *mended_at(const struct differences *d, size_t n)
{
    return &d->mended[(d->n_mended - 1 - n) % DIFFERENCES_MENDED];
}

static json_t *pair_json(struct differences *d, const struct pair *p, const char *registry,
                         const char *peer)
{
    char when[CLOCK_TEXT_SIZE];
    json_int_t n_open = 0, n_mended = 0;
    for (size_t i = 0; i < d->n_open; i++)
        n_open += is_of(&d->open[i], registry, peer);
    for (size_t i = 0; i < n_ring(d); i++)
        n_mended += is_of(mended_at(d, i), registry, peer);
    json_t *o = json_pack("{s:s, s:I, s:I}", "state", state_name(p ? p->state : COMPARED_NEVER),
                          "differences", n_open, "mended", n_mended);
    if (o && p && p->ended_ms) {
        json_object_set_new(o, "at", json_string(clock_format(p->ended_ms, when)));
        json_object_set_new(o, "subjects", json_integer((json_int_t)p->n_subjects));
    }
    if (o && p && p->error[0])
        json_object_set_new(o, "lastError", json_string(p->error));
    return o;
}

json_t *differences_json(struct differences *d, const char *registry, const char *peer)
{
    lock_take(&d->lock);
    json_t *o = pair_json(d, pair_find(d, registry, peer), registry, peer);
    lock_give(&d->lock);
    return o;
}

json_t *differences_list(struct differences *d, const char *registry,
                         bool (*sees)(const void *ctx, const char *repository), const void *ctx)
{
    json_t *list = json_array();
    lock_take(&d->lock);
    for (size_t i = 0; list && i < d->n_open + n_ring(d); i++) {
        const struct kept *k = i < d->n_open ? &d->open[i] : mended_at(d, i - d->n_open);
        if (is_of(k, registry, NULL) && sees(ctx, k->repository))
            json_array_append_new(list, kept_json(k));
    }
    lock_give(&d->lock);
    return list;
}

void differences_metrics(struct differences *d, struct buf *out)
{
    lock_take(&d->lock);
    const struct differences now = *d;
    lock_give(&d->lock);
    exposition_single(out, "meridian_replication_differences", "gauge",
                      "Differences from other regions that comparisons found and that are not made "
                      "good.",
                      (double)now.n_open);
    exposition_single(out, "meridian_replication_differences_found_total", "counter",
                      "Differences from other regions that comparisons found.",
                      (double)now.n_found);
    exposition_single(out, "meridian_replication_differences_mended_total", "counter",
                      "Of these, those that were made good, here or there.", (double)now.n_mended);
    exposition_single(out, "meridian_replication_compared_subjects_total", "counter",
                      "Manifests and tags that were compared with another region's.",
                      (double)now.n_subjects);
    exposition_single(
        out, "meridian_replication_lost_entries_taken_total", "counter",
        "Signed entries that were lost here, or withheld, and were taken from another "
        "region.",
        (double)now.n_took);
    exposition_single(out, "meridian_replication_registers_remade_total", "counter",
                      "Damaged rows that were made anew from the log.", (double)now.n_remade);
    exposition_single(out, "meridian_replication_comparison_forged_total", "counter",
                      "Entries that another region told in a comparison and that no valid key of "
                      "their origin signed.",
                      (double)now.n_forged);
}
