// SPDX-License-Identifier: Apache-2.0
// Serving digests; see digest_serve.h.
#include "replication/digest_serve.h"

#include "base/err.h"
#include "replication/digest_page.h"
#include "replication/digest_sum.h"
#include "replication/replication_priv.h"
#include "store/meta_floor.h"

#include <string.h>

#define NAMES 100 // of repositories, read in one piece

struct digests_question {
    struct replicator *r;
    struct digest_ask ask;
    // what ask.after and ask.subject point to
    struct shown_subject after, subject;
};

static size_t looks_of(const struct digests_question *q)
{
    unsigned looks = q->r->o.digest_looks;
    if (!looks || looks > DIGEST_LOOKS_MAX)
        return DIGEST_LOOKS_MAX;
    return looks;
}

// --- repositories ---

struct summary {
    const struct digests_question *q;
    struct arena *a;
    struct digest_repositories out;
    // subjects that may still be looked at
    size_t left;
};

// *out_full: it does not fit into this answer any more.
static int repository_add(struct summary *s, const char *name, bool *out_full)
{
    struct digest_summed summed;
    struct digest_range range = {.max = s->left + 1};
    bool first = s->out.n == 0;
    int rc = digest_sum(s->q->r->o.meta, s->q->ask.registry, name, &range, &summed);
    if (rc)
        return rc;
    bool fits = summed.whole && summed.sum.n <= s->left;
    *out_full = !fits && !first;
    if (*out_full)
        return 0;
    s->left -= summed.sum.n < s->left ? (size_t)summed.sum.n : s->left;
    s->out.next = name;
    if (!summed.sum.n)
        return 0;
    s->out.list[s->out.n++] =
        (struct digest_repository){.name = name, .whole = fits, .sum = summed.sum};
    return 0;
}

// *out_end: there are no more repositories.
static int names_add(struct summary *s, const char *after, bool *out_full, bool *out_end)
{
    const char **names;
    size_t n;
    int rc =
        meta_repositories_list(s->q->r->o.meta, s->q->ask.registry, after, NAMES, s->a, &names, &n);
    for (size_t i = 0; !rc && !*out_full && i < n; i++) {
        rc = repository_add(s, names[i], out_full);
        if (!*out_full)
            *out_full = !s->left || s->out.n == DIGEST_LIST_MAX;
    }
    if (!rc)
        *out_end = n < NAMES && !*out_full;
    return rc;
}

static int repositories_write(const struct digests_question *q, struct arena *a, struct buf *out)
{
    struct summary s = {.q = q, .a = a, .left = looks_of(q)};
    bool is_end = false, is_full = false;
    int rc = 0;
    s.out.list = arena_array(a, DIGEST_LIST_MAX, sizeof *s.out.list);
    if (!s.out.list)
        return ERR_NOMEM;
    s.out.next = q->ask.after_name;
    while (!rc && !is_end && !is_full)
        rc = names_add(&s, s.out.next, &is_full, &is_end);
    if (rc)
        return rc;
    if (is_end)
        s.out.next = "";
    return digest_repositories_format(&q->ask, &s.out, out);
}

// --- subjects ---

static int sums_write(const struct digests_question *q, struct buf *out)
{
    struct digest_summed summed;
    const struct digest_range range = {.after = q->ask.after, .max = looks_of(q)};
    int rc = digest_sum(q->r->o.meta, q->ask.registry, q->ask.repository, &range, &summed);
    if (rc)
        return rc;
    const struct digest_subjects s = {
        .sum = summed.sum, .at_end = summed.whole, .next = summed.last};
    return digest_subjects_format(&q->ask, &s, out);
}

static int list_write(const struct digests_question *q, struct arena *a, struct buf *out)
{
    struct digest_subjects s = {.list = arena_array(a, DIGEST_LIST_MAX, sizeof *s.list)};
    size_t max = looks_of(q);
    if (max > DIGEST_LIST_MAX)
        max = DIGEST_LIST_MAX;
    if (!s.list)
        return ERR_NOMEM;
    int rc = meta_shown_walk(q->r->o.meta, q->ask.registry, q->ask.repository, q->ask.after, max,
                             s.list, &s.n, &s.at_end);
    if (rc)
        return rc;
    if (!s.at_end)
        s.next = s.list[s.n - 1].subject;
    return digest_subjects_format(&q->ask, &s, out);
}

// The places first: what is looked at later has all of them, and perhaps more.
static int subject_write(const struct digests_question *q, struct arena *a, struct buf *out)
{
    struct differ_told told = {0};
    struct differ_place *places;
    struct meta *m = q->r->o.meta;
    int rc = meta_differ_places(m, a, &places, &told.n_places);
    if (rc)
        return rc;
    told.places = places;
    struct meta_floor floor;
    rc = meta_floor_get(m, q->ask.registry, &floor); // before the look: it only goes up
    if (rc)
        return rc;
    told.floor = floor.cleared;
    rc = meta_differ_look(m, q->ask.registry, q->ask.repository, q->ask.subject, a, &told.look);
    return rc ? rc : digest_subject_format(&q->ask, &told, out);
}

// --- the route ---

static int answer_write(const struct digests_question *q, struct arena *a, struct buf *out)
{
    if (!q->ask.repository)
        return repositories_write(q, a, out);
    if (q->ask.subject)
        return subject_write(q, a, out);
    if (q->ask.sums)
        return sums_write(q, out);
    return list_write(q, a, out);
}

static int answer(const struct digests_question *q, struct http_request *req,
                  struct http_response *resp)
{
    AUTO_BUF struct buf out;
    struct arena a;
    buf_init(&out, DIGEST_TEXT_MAX);
    arena_init(&a, 0);
    int rc = answer_write(q, &a, &out);
    arena_done(&a);
    if (rc)
        return rc;
    const char *text = arena_strndup(&req->arena, out.p, out.n);
    if (!text)
        return ERR_NOMEM;
    http_response_bytes(resp, 200, "application/x-ndjson", bytes_of(text, out.n));
    return 0;
}

static void digests_run(struct http_request *req, struct http_response *resp)
{
    const struct digests_question *q = req->ctx;
    int rc = ERR_CLOSED;
    if (life_enter(q->r->life)) {
        rc = answer(q, req, resp);
        life_leave(q->r->life);
    }
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
}

// What is wrong with the question; NULL: nothing.
static const char *question_read(struct http_request *req, struct digests_question *q)
{
    struct digest_ask *ask = &q->ask;
    const char *after = http_query_get(req, "after", 0);
    const char *subject = http_query_get(req, "subject", 0);
    const char *sums = http_query_get(req, "sums", 0);
    ask->repository = http_query_get(req, "repository", 0);
    if (!ask->repository) {
        if (after && !entry_repository_ok(after))
            return "after: a repository name";
        ask->after_name = after;
        return NULL;
    }
    if (!entry_repository_ok(ask->repository))
        return "repository: a repository name";
    if (after && shown_subject_parse(after, &q->after))
        return "after: repository:, manifest:DIGEST or tag:NAME";
    if (after)
        ask->after = &q->after;
    if (subject && shown_subject_parse(subject, &q->subject))
        return "subject: repository:, manifest:DIGEST or tag:NAME";
    if (subject)
        ask->subject = &q->subject;
    ask->sums = sums && strcmp(sums, "1") == 0;
    return NULL;
}

void digests_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct region *peer, struct http_plan *plan)
{
    const struct registry *reg = shared_registry(r, t, peer, http_query_get(req, "registry", 0));
    if (!reg) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return;
    }
    struct digests_question *q = arena_alloc(&req->arena, sizeof *q);
    const char *key = arena_strdup(&req->arena, reg->key);
    if (!q || !key) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct digests_question){.r = r, .ask = {.registry = key}};
    const char *wrong = question_read(req, q);
    if (wrong) {
        serve_refuse(req, &plan->response, 400, wrong);
        return;
    }
    // the answer
    if (req->arena.max_bytes)
        req->arena.max_bytes += DIGEST_TEXT_MAX;
    plan->kind = HTTP_PLAN_RUN;
    plan->run = digests_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
