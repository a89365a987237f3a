// SPDX-License-Identifier: Apache-2.0
// One subject that differs: asked for, judged, and put right here where it is wrong here. See
// comparer.h; on the comparer's thread.
#include "replication/comparer_priv.h"

#include "base/err.h"
#include "replication/backfill_state.h"
#include "replication/feed_line.h"
#include "store/meta_void.h"

#include <string.h>

static int told_ask(struct compare *k, const struct digest_ask *ask, struct arena *a,
                    struct differ_told *out)
{
    AUTO_BUF struct buf text;
    const char *why = "";
    buf_init(&text, DIGEST_TEXT_MAX);
    int rc = compare_ask(k, ask, &text);
    if (rc)
        return rc;
    rc = digest_subject_parse(ask, bytes_of(text.p, text.n), a, out, &why);
    return compare_refused(k, rc, why);
}

// --- an entry that lacks here ---

// Did we read the registry of that origin without a gap up to its mark? Else its past is still to
// come.
static bool was_read_whole(struct compare *k, const char *origin)
{
    struct arena a;
    const char **names;
    size_t n = 0;
    arena_init(&a, 0);
    bool whole = !backfill_state_get(compare_replicator(k), origin, &a, &names, &n) &&
                 name_in(k->reg->key, names, n);
    arena_done(&a);
    return whole;
}

// 3: the origin signed it, by a key that no revocation touches.
static int signature_check(struct compare *k, const struct feed_entry *e, const char **why)
{
    struct replicator *r = compare_replicator(k);
    struct feed_rules rules = {.topology = k->t,
                               .self = topology_region(k->t, r->o.region),
                               .origin = topology_region(k->t, e->origin),
                               .verify = r->o.verify};
    *why = "an entry of a region that the topology does not have";
    if (!rules.origin)
        return ERR_AUTH;
    *why = "content does not match its digest";
    if (e->content.n && !feed_content_ok(e))
        return ERR_AUTH;
    int rc = feed_signature_check(&rules, e, why);
    if (rc)
        return rc;
    *why = "it is signed by a revoked key";
    return topology_revocation(k->t, e->key) ? ERR_AUTH : 0;
}

// *out_proven: nothing more is to be done about it in this look.
static int lacking_take(struct compare *k, const struct feed_entry *e, const char **what,
                        bool *out_proven)
{
    *out_proven = true;
    int rc = signature_check(k, e, what);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc) {
        differences_forged(compare_found(k));
        return 0;
    }
    if (compare_is_outdated(k)) // a key may be revoked by now
        return ERR_CANCELED;
    rc = meta_differ_take(compare_replicator(k)->o.meta, e);
    *what = "the entry that lacked was taken, and is being applied";
    if (!rc)
        differences_took(compare_found(k), 1, 0);
    *out_proven = rc != ERR_GAP;
    if (rc == ERR_GAP)
        return 0;
    if (rc == ERR_AUTH)
        *what = "the entry that lacks is void here";
    if (rc == ERR_AHEAD)
        *what = "the entry that lacks is stamped too far ahead of this region's clock";
    if (rc == ERR_CONFLICT)
        *what = "another entry stands in the place of the one that lacks";
    if (rc == ERR_INVAL)
        *what = "the entry that lacks is malformed";
    if (rc == ERR_AUTH || rc == ERR_AHEAD || rc == ERR_CONFLICT || rc == ERR_INVAL)
        return 0;
    return rc;
}

// What is taken may prove the one before it (store/meta_proven.h). *out_lags: the past of an origin is
// still being read.
static int lacking_take_all(struct compare *k, const struct differ_judgement *j, const char **what,
                            bool *out_lags)
{
    bool is_done[DIFFER_ENTRIES_MAX] = {false}, moved = true;
    size_t n_done = 0;
    int rc = 0;
    *out_lags = false;
    for (size_t i = 0; i < j->n_lacks; i++)
        *out_lags = *out_lags || !was_read_whole(k, j->lacks[i]->origin);
    while (!rc && !*out_lags && moved) {
        moved = false;
        for (size_t i = 0; !rc && i < j->n_lacks; i++) {
            if (is_done[i])
                continue;
            rc = lacking_take(k, j->lacks[i], what, &is_done[i]);
            moved = moved || is_done[i];
            n_done += is_done[i];
        }
    }
    if (n_done < j->n_lacks)
        *what = "nothing that is held here proves the entry that lacks: it was not taken";
    if (!rc && !*out_lags)
        job_queue_kick(compare_replicator(k)->jobs);
    return rc;
}

// --- a row that is wrong here ---

// Does the other region have an entry of this one that the log here lost?
static bool has_lost(struct compare *k, const struct differ_told *told)
{
    const struct replicator *r = compare_replicator(k);
    const char *why;
    for (size_t i = 0; i < told->look.n; i++) {
        const struct feed_entry *e = &told->look.entries[i];
        bool lost = false;
        if (strcmp(e->origin, r->o.region) != 0 || signature_check(k, e, &why))
            continue;
        if (!meta_lost(r->o.meta, e, &lost) && lost)
            return true;
    }
    return false;
}

// *out_good: it is what the log makes it now.
static int wrong_mend(struct compare *k, const char *repository, const struct shown_subject *s,
                      const struct differ_told *told, struct arena *a, const char **what,
                      bool *out_good)
{
    struct differ_look now;
    bool changed = false;
    int rc = meta_differ_mend(compare_replicator(k)->o.meta, k->reg->key, repository, s, a, &now,
                              &changed);
    *what = "the row was not what the log makes it, and was made anew";
    if (rc == ERR_NOTFOUND) {
        *what = "the row is not what the log makes it; what it must show has not arrived yet";
        return 0;
    }
    if (rc == ERR_CONFLICT) {
        *what = "the row is newer than all that the log has of it: the log lost what the row rests "
                "on, so it was left as it is";
        if (has_lost(k, told))
            *what = "the log lost an entry of this region that the row rests on, and the other "
                    "region has it: the row was left as it is";
        return 0;
    }
    if (rc)
        return rc;
    if (changed)
        differences_took(compare_found(k), 0, 1);
    *out_good = now.agrees && !now.open;
    if (now.open)
        *what = "the row was not what the log makes it: its content is fetched again";
    else if (!now.agrees)
        *what = "the row is not what the log makes it, also after it was made anew";
    job_queue_kick(compare_replicator(k)->jobs);
    return 0;
}

// --- both ---

static int judged(struct compare *k, const char *repository, const struct shown_subject *s,
                  const struct differ_told *told, struct differ_judgement *j, struct arena *a)
{
    const char *what = "";
    bool lags = false, good = false;
    int rc = 0;
    switch (j->verdict) {
    case DIFFER_SAME:
        differences_settle(compare_found(k), k->reg->key, k->peer->name, repository, s);
        return 0;
    case DIFFER_LAGS:
        k->n_lags++;
        differences_lags(compare_found(k), k->reg->key, k->peer->name, repository, s);
        return 0;
    case DIFFER_LACKS:
        rc = lacking_take_all(k, j, &what, &lags);
        break;
    case DIFFER_WRONG_HERE:
        rc = wrong_mend(k, repository, s, told, a, &what, &good);
        break;
    case DIFFER_WRONG_THERE:
        what = "it is wrong there: that region mends it when it compares";
        break;
    }
    if (rc || lags)
        return rc;
    const struct difference x = {.registry = k->reg->key,
                                 .peer = k->peer->name,
                                 .repository = repository,
                                 .subject = *s,
                                 .here = j->text,
                                 .there = told->look.text,
                                 .verdict = j->verdict,
                                 .what = what};
    differences_note(compare_found(k), &x);
    if (good)
        differences_settle(compare_found(k), k->reg->key, k->peer->name, repository, s);
    return 0;
}

// A difference that was noted before and may lag now, because what it lacked is being applied, stays
// noted until it is the same.
int compare_subject(struct compare *k, const char *repository, const struct shown_subject *s)
{
    const struct digest_ask ask = {.registry = k->reg->key, .repository = repository, .subject = s};
    struct differ_told told;
    struct differ_judgement j;
    struct arena a;
    arena_init(&a, 0);
    compare_pace(k, 1);
    int rc = told_ask(k, &ask, &a, &told);
    if (!rc)
        rc = meta_differ_judge(compare_replicator(k)->o.meta, k->reg->key, repository, s, &told, &a,
                               &j);
    if (!rc)
        rc = judged(k, repository, s, &told, &j, &a);
    arena_done(&a);
    return rc;
}
