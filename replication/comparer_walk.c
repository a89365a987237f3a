// SPDX-License-Identifier: Apache-2.0
// A registry beside another region's: repositories by their sums, large ones by stretches, what
// differs subject by subject, in the order that both have; see comparer.h. On the comparer's thread.
//
// It keeps a page of each side, whatever the size of a repository.
#include "replication/comparer_priv.h"
#include "replication/digest_sum.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define LAGS_MAX 200 // of one pair: then it lags too widely to be compared now
#define NAMES 100
#define FAILED_MAX 3 // in a row: then nothing of the pair can be compared
#define EMPTY_MAX 16 // pages in a row that list nothing, though more is said to come

// --- what goes wrong on the way ---

// What fails is passed over, so that it does not keep all that comes behind it from being compared.
static int failure_pass(struct compare *k, int rc)
{
    if (!rc) {
        k->n_failed = 0;
        return 0;
    }
    if (rc == ERR_CANCELED || rc == ERR_NOMEM || rc == ERR_UNSUPPORTED || rc == ERR_DENIED)
        return rc;
    if (k->unreached || ++k->n_failed >= FAILED_MAX)
        return rc;
    k->part = true;
    k->error[0] = '\0';
    return 0;
}

static bool tells_nothing(const struct compare *k)
{
    return k->n_empty >= EMPTY_MAX;
}

static void page_count(struct compare *k, uint64_t n_listed)
{
    k->n_empty = n_listed ? 0 : k->n_empty + 1;
    if (tells_nothing(k))
        k->part = true;
}

// --- subjects of a range ---

// Own subjects of a range, one after the other.
struct own_walk {
    struct compare *k;
    const char *repository;
    struct shown_item *page;
    size_t n, at;
    bool is_end, any;
    struct shown_subject last;
};

#define OWN_PAGE 200

// The next one, which stays until it is passed; NULL: there is none.
static int own_look(struct own_walk *w, const struct shown_item **out)
{
    *out = NULL;
    while (w->at == w->n && !w->is_end) {
        w->at = 0;
        int rc = meta_shown_walk(compare_replicator(w->k)->o.meta, w->k->reg->key, w->repository,
                                 w->any ? &w->last : NULL, OWN_PAGE, w->page, &w->n, &w->is_end);
        if (rc)
            return rc;
        if (w->n) {
            w->last = w->page[w->n - 1].subject;
            w->any = true;
        }
    }
    if (w->at < w->n)
        *out = &w->page[w->at];
    return 0;
}

static int subject_look(struct compare *k, const char *repository, const struct shown_subject *s)
{
    if (k->n_lags >= LAGS_MAX) {
        k->part = true;
        return 0;
    }
    return failure_pass(k, compare_subject(k, repository, s));
}

// Compares their page with what is here up to the same subject.
static int page_compare(struct own_walk *w, const struct digest_subjects *theirs)
{
    size_t i = 0;
    int rc = 0;
    while (!rc && !life_stopping(compare_replicator(w->k)->life)) {
        const struct shown_item *own;
        rc = own_look(w, &own);
        if (rc)
            return rc;
        if (own && !theirs->at_end && shown_subject_order(&own->subject, &theirs->next) > 0)
            own = NULL;
        if (!own && i == theirs->n)
            return 0;
        int order = 1; // theirs comes first
        if (own && i < theirs->n)
            order = shown_subject_order(&own->subject, &theirs->list[i].subject);
        else if (own)
            order = -1;
        struct shown_subject s = order > 0 ? theirs->list[i].subject : own->subject;
        bool same = !order && memcmp(own->hash, theirs->list[i].hash, SHA256_BYTES) == 0;
        w->at += order <= 0;
        i += order >= 0;
        if (!same)
            rc = subject_look(w->k, w->repository, &s);
    }
    return rc ? rc : ERR_CANCELED;
}

static int page_ask(struct compare *k, const struct digest_ask *ask, struct arena *a,
                    struct digest_subjects *out)
{
    AUTO_BUF struct buf text;
    const char *why = "";
    buf_init(&text, DIGEST_TEXT_MAX);
    int rc = compare_ask(k, ask, &text);
    if (rc)
        return rc;
    rc = digest_subjects_parse(ask, bytes_of(text.p, text.n), a, out, &why);
    return compare_refused(k, rc, why);
}

// All subjects of a repository from `after` (NULL: the first) up to `upto` (NULL: the last), or a
// little further.
static int range_compare(struct compare *k, const char *repository,
                         const struct shown_subject *after, const struct shown_subject *upto)
{
    struct own_walk w = {.k = k, .repository = repository, .any = after != NULL};
    struct shown_subject at = {.kind = SUBJECT_REPOSITORY};
    bool is_done = false, any = after != NULL;
    int rc = 0;
    AUTO_FREE struct shown_item *page = mem_zalloc_array(OWN_PAGE, sizeof *page);
    if (!page)
        return ERR_NOMEM;
    w.page = page;
    if (after)
        w.last = at = *after;
    while (!rc && !is_done) {
        struct arena a;
        struct digest_subjects theirs;
        struct digest_ask ask = {
            .registry = k->reg->key, .repository = repository, .after = any ? &at : NULL};
        arena_init(&a, 0);
        rc = page_ask(k, &ask, &a, &theirs);
        if (!rc)
            compare_pace(k, theirs.n);
        if (!rc && !theirs.at_end)
            page_count(k, theirs.n);
        if (!rc)
            rc = page_compare(&w, &theirs);
        if (!rc) {
            at = theirs.next;
            any = true;
            is_done =
                theirs.at_end || tells_nothing(k) || (upto && shown_subject_order(&at, upto) >= 0);
        }
        arena_done(&a);
    }
    return rc;
}

// A large repository by sums of stretches; those that differ subject by subject.
static int stretches_compare(struct compare *k, const char *repository)
{
    struct shown_subject at = {.kind = SUBJECT_REPOSITORY};
    bool is_done = false, any = false;
    int rc = 0;
    while (!rc && !is_done) {
        struct arena a;
        struct digest_subjects theirs;
        struct digest_summed own;
        const struct shown_subject *after = any ? &at : NULL;
        const struct digest_ask ask = {
            .registry = k->reg->key, .repository = repository, .after = after, .sums = true};
        arena_init(&a, 0);
        rc = page_ask(k, &ask, &a, &theirs);
        if (!rc) {
            const struct shown_subject *upto = theirs.at_end ? NULL : &theirs.next;
            const struct digest_range range = {
                .after = after, .upto = upto, .max = 2 * DIGEST_LOOKS_MAX};
            compare_pace(k, DIGEST_LOOKS_MAX);
            if (!theirs.at_end)
                page_count(k, theirs.sum.n);
            rc = digest_sum(compare_replicator(k)->o.meta, k->reg->key, repository, &range, &own);
            if (!rc && (!own.whole || !shown_sum_equal(&own.sum, &theirs.sum)))
                rc = range_compare(k, repository, after, upto);
        }
        if (!rc) {
            at = theirs.next;
            any = true;
            is_done = theirs.at_end || tells_nothing(k);
        }
        arena_done(&a);
    }
    return rc;
}

// --- repositories ---

static int repository_compare(struct compare *k, const char *name,
                              const struct digest_repository *theirs)
{
    static const struct digest_repository none = {.whole = true};
    const struct digest_range range = {.max = DIGEST_LOOKS_MAX + 1};
    struct digest_summed own;
    if (tells_nothing(k))
        return 0;
    if (!theirs)
        theirs = &none;
    int rc = digest_sum(compare_replicator(k)->o.meta, k->reg->key, name, &range, &own);
    if (rc)
        return rc;
    compare_pace(k, own.sum.n);
    if (own.whole && theirs->whole && shown_sum_equal(&own.sum, &theirs->sum))
        return 0;
    if (!own.whole || !theirs->whole)
        return stretches_compare(k, name);
    return range_compare(k, name, NULL, NULL);
}

// Own names after `after` up to `upto` ("": to the end), beside their list.
static int names_compare(struct compare *k, const char *after, const char *upto,
                         const struct digest_repositories *theirs)
{
    size_t i = 0, n = 0, at = 0;
    const char **names = NULL;
    const char *last = after;
    bool is_end = false;
    struct arena a;
    int rc = 0;
    assert(theirs->list); // also when it is empty
    arena_init(&a, 0);
    while (!rc) {
        while (!rc && at == n && !is_end) {
            at = 0;
            rc = meta_repositories_list(compare_replicator(k)->o.meta, k->reg->key, last, NAMES, &a,
                                        &names, &n);
            is_end = !rc && n < NAMES;
            if (!rc && n)
                last = names[n - 1];
        }
        const char *own = !rc && names && at < n ? names[at] : NULL;
        if (own && *upto && strcmp(own, upto) > 0)
            own = NULL;
        if (rc || (!own && i == theirs->n))
            break;
        int order = 1;
        if (own && i < theirs->n)
            order = strcmp(own, theirs->list[i].name);
        else if (own)
            order = -1;
        const struct digest_repository *row = order >= 0 ? &theirs->list[i] : NULL;
        at += order <= 0;
        i += order >= 0;
        rc = failure_pass(k, repository_compare(k, row ? row->name : own, row));
    }
    arena_done(&a);
    return rc;
}

int compare_registry(struct compare *k)
{
    char after[256] = "";
    bool is_done = false;
    int rc = 0;
    while (!rc && !is_done) {
        AUTO_BUF struct buf text;
        struct arena a;
        struct digest_repositories theirs;
        const char *why = "";
        const struct digest_ask ask = {.registry = k->reg->key,
                                       .after_name = *after ? after : NULL};
        arena_init(&a, 0);
        buf_init(&text, DIGEST_TEXT_MAX);
        rc = compare_ask(k, &ask, &text);
        if (!rc)
            rc = compare_refused(
                k, digest_repositories_parse(&ask, bytes_of(text.p, text.n), &a, &theirs, &why),
                why);
        if (!rc && *theirs.next)
            page_count(k, theirs.n);
        if (!rc)
            rc = names_compare(k, *after ? after : NULL, theirs.next, &theirs);
        if (!rc) {
            is_done = !*theirs.next || tells_nothing(k);
            snprintf(after, sizeof after, "%s", theirs.next);
        }
        arena_done(&a);
    }
    return rc;
}
