// SPDX-License-Identifier: Apache-2.0
// Replacing peer certificates, at the writer; see peer_roll.h. peer_roll_begin runs on HTTP threads;
// the rest on the pool, and peer_roll_look on a thread of the daemon.
#include "fleet/peer_roll.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "certs/peer_judge.h"
#include "certs/signed_text.h"
#include "net/refuse.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define ARENA_BYTES (64u << 20) // most that one request may take: frames are documents
#define PEM_BYTES (64u << 10)
#define RECORD_BYTES 4096
#define TRIES 4       // when others change the topology meanwhile
#define AGAIN_MS 2000 // after a failure to take out what is over, doubled
#define AGAIN_MAX_MS (5 * 60 * 1000)

struct rest { // of one region, after what was over could not be taken out
    // "": none
    char region[HOSTNAME_REGION_SIZE];
    unsigned n_failed;
    // mono
    int64_t until_ms;
};

struct peer_roll {
    struct peer_roll_deps d;
    struct nonces nonces;
    // one change at a time
    pthread_mutex_t work;
    // under `work`, by the region's place in the topology; one of another name is none
    struct rest rests[TOPOLOGY_MAX_REGIONS];
};

int peer_roll_new(const struct peer_roll_deps *d, struct peer_roll **out)
{
    struct peer_roll *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->d = *d;
    nonces_init(&p->nonces);
    pthread_mutex_init(&p->work, NULL);
    *out = p;
    return 0;
}

void peer_roll_free(struct peer_roll *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->work);
    nonces_done(&p->nonces);
    free(p);
}

// --- what one change stands on ---

struct change {
    struct peer_roll *p;
    const struct topology *t;
    const char *region;
    char key[sizeof PEER_ROLL_RECORD + HOSTNAME_REGION_SIZE];
    // the record holds, and what it says is so
    bool has_record;
    struct peer_record r;
    struct diag *diag;
};

// A record is void when people have changed the fingerprints meanwhile.
static int record_read(struct change *c)
{
    AUTO_BUF struct buf b;
    buf_init(&b, RECORD_BYTES);
    snprintf(c->key, sizeof c->key, PEER_ROLL_RECORD "%s", c->region);
    c->has_record = false;
    int rc = c->p->d.record(c->p->d.ctx, c->key, &b);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    c->has_record = !peer_record_parse(buf_cstr(&b), &c->r) &&
                    peer_names(c->t, c->region, c->r.old) && peer_names(c->t, c->region, c->r.next);
    if (c->has_record)
        return 0;
    return ERR_EXISTS; // there is one, and it is void
}

static int write_change(struct change *c, const char *by, const char *add, const char *drop,
                        const struct peer_record *r)
{
    struct arena a;
    AUTO_BUF struct buf frame, record;
    buf_init(&frame, 0);
    buf_init(&record, RECORD_BYTES);
    arena_init(&a, ARENA_BYTES);
    int rc = 0;
    if (add || drop)
        rc = peer_frame(c->t, c->region, add, drop, &a, &frame);
    if (!rc && r)
        rc = peer_record_format(r, &record);
    struct peer_change x = {.by = by, .record_key = c->key};
    if (r)
        x.record = buf_cstr(&record);
    if (add || drop) {
        x.frame = bytes_of(frame.p, frame.n);
        x.expect_topology = c->t->version;
    }
    if (!rc)
        rc = c->p->d.append(c->p->d.ctx, &x, c->diag);
    arena_done(&a);
    return rc;
}

// --- what a region asks for ---

struct asked {
    const struct peer_request *q;
    // PEER_NEXT
    char fingerprint[65];
    int64_t until_ms, now_ms;
    const char *by;
};

static int later(struct change *c, int64_t at_ms)
{
    char at[CLOCK_TEXT_SIZE];
    diag_add(c->diag, NULL, 0,
             "the peer certificate of %s was replaced lately; the one before it leaves the "
             "topology at %s, and the next one can come then",
             c->region, clock_format(at_ms, at));
    return ERR_CONFLICT;
}

static int again_later(struct change *c, int64_t at_ms)
{
    char at[CLOCK_TEXT_SIZE];
    diag_add(c->diag, NULL, 0,
             "another peer certificate of %s was named lately, and is not in use yet; in its place "
             "this one can be named at %s",
             c->region, clock_format(at_ms, at));
    return ERR_CONFLICT;
}

// Was the one that is to make room named a moment ago? Not if the clock was ahead then.
static bool named_lately(const struct change *c, int64_t now_ms)
{
    return now_ms >= c->r.named_ms && now_ms < c->r.named_ms + PEER_ROLL_AGAIN_MS;
}

static int by_hand(struct change *c, size_t n)
{
    diag_add(c->diag, NULL, 0,
             "the topology names %zu peer certificates of %s already; drop those that are not in "
             "use (meridian identities retire %s fingerprint …)",
             n, c->region, c->region);
    return ERR_CONFLICT;
}

static int next_take(struct change *c, const struct asked *x)
{
    const struct region *r = topology_region(c->t, c->region);
    if (!r || !peer_names(c->t, c->region, x->q->current)) {
        diag_add(c->diag, NULL, 0, "the topology does not name the certificate that %s has in use",
                 c->region);
        return ERR_DENIED;
    }
    if (peer_names(c->t, c->region, x->fingerprint))
        return 0;
    const char *drop = NULL;
    bool unused = c->has_record && !c->r.used_ms && !strcmp(c->r.old, x->q->current);
    if (c->has_record && c->r.used_ms)
        return later(c, c->r.used_ms + PEER_ROLL_OVERLAP_MS);
    if (unused && named_lately(c, x->now_ms))
        return again_later(c, c->r.named_ms + PEER_ROLL_AGAIN_MS);
    if (r->n_peer_fingerprints == 2 && unused)
        drop = c->r.next; // lost before its first use
    else if (r->n_peer_fingerprints != 1)
        return by_hand(c, r->n_peer_fingerprints);
    struct peer_record made = {.until_ms = x->until_ms, .named_ms = x->now_ms};
    memcpy(made.old, x->q->current, sizeof made.old);
    memcpy(made.next, x->fingerprint, sizeof made.next);
    return write_change(c, x->by, x->fingerprint, drop, &made);
}

static int used_take(struct change *c, const struct asked *x)
{
    if (!c->has_record || c->r.used_ms || strcmp(c->r.next, x->q->current) != 0)
        return 0;
    struct peer_record r = c->r;
    r.used_ms = x->now_ms;
    return write_change(c, x->by, NULL, NULL, &r);
}

// One try, on the topology in force.
static int step_try(struct peer_roll *p, const char *region, const struct asked *x,
                    struct diag *diag)
{
    struct topology *t = p->d.topology(p->d.ctx);
    if (!t)
        return ERR_BUSY;
    struct change c = {.p = p, .t = t, .region = region, .diag = diag};
    int rc = record_read(&c);
    if (rc == ERR_EXISTS)
        rc = 0;
    if (!rc && x->q->step == PEER_NEXT)
        rc = next_take(&c, x);
    else if (!rc)
        rc = used_take(&c, x);
    snapshot_unref(t);
    return rc;
}

static int certificate_judge(struct peer_roll *p, const struct topology *t, const char *region,
                             struct asked *x, struct diag *diag)
{
    AUTO_BUF struct buf ca;
    buf_init(&ca, PEM_BYTES);
    int rc = p->d.ca(p->d.ctx, &ca);
    if (rc) {
        diag_add(diag, NULL, 0, "the CA's certificate cannot be read here: %s", err_text(rc));
        return rc;
    }
    return cert_peer_judge(bytes_of(ca.p, ca.n), t, region, bytes_str(x->q->certificate), x->now_ms,
                           diag, x->fingerprint, &x->until_ms);
}

// Form, signature, nonce, connection, certificate.
static int request_judge(struct peer_roll *p, const char *region, const char *via,
                         struct bytes body, struct arena *a, struct diag *diag,
                         struct peer_request *q, struct asked *x)
{
    struct topology *t = p->d.topology(p->d.ctx);
    if (!t)
        return ERR_BUSY;
    int rc = peer_request_parse(t, region, body, a, diag, q);
    if (!rc && !nonces_take(&p->nonces, region, q->nonce, clock_mono_ms())) {
        diag_add(diag, NULL, 0,
                 "the request is refused: its nonce was used, is too old or was not given out "
                 "here; ask anew");
        rc = ERR_DENIED;
    }
    if (!rc && (!via || strcmp(via, q->current) != 0)) {
        diag_add(diag, NULL, 0,
                 "the request is refused: it came over a connection with another certificate than "
                 "it says is in use");
        rc = ERR_DENIED;
    }
    if (!rc && q->step == PEER_NEXT)
        rc = certificate_judge(p, t, region, x, diag);
    snapshot_unref(t);
    return rc;
}

static int steps_try(struct peer_roll *p, const char *region, const struct asked *x,
                     struct diag *diag)
{
    int rc = 0;
    pthread_mutex_lock(&p->work);
    for (int i = 0; i < TRIES; i++) {
        struct diag own;
        diag_init(&own);
        struct topology *t = p->d.topology(p->d.ctx);
        uint64_t version = 0;
        if (t)
            version = t->version;
        snapshot_unref(t);
        rc = step_try(p, region, x, &own);
        t = p->d.topology(p->d.ctx);
        bool again = rc == ERR_CONFLICT && t && t->version != version && i + 1 < TRIES;
        snapshot_unref(t);
        for (size_t k = 0; k < own.n && !again; k++)
            diag_add(diag, NULL, 0, "%s", own.lines[k]);
        diag_done(&own);
        if (!again)
            break;
    }
    pthread_mutex_unlock(&p->work);
    return rc;
}

int peer_roll_nonce(struct peer_roll *p, const char *region, char out[NONCE_TEXT_SIZE])
{
    return nonces_give(&p->nonces, region, clock_mono_ms(), out);
}

int peer_roll_take(struct peer_roll *p, const char *region, const char *via, struct bytes body,
                   struct diag *diag, const char **out_step)
{
    static const char *const done[] = {"named", "used"};
    struct peer_request q = {0};
    char by[HOSTNAME_REGION_SIZE + 8];
    snprintf(by, sizeof by, "region:%s", region);
    struct asked x = {.q = &q, .by = by, .now_ms = p->d.now_ms(p->d.ctx)};
    struct arena a;
    arena_init(&a, ARENA_BYTES);
    int rc = p->d.writer(p->d.ctx, diag);
    if (!rc)
        rc = request_judge(p, region, via, body, &a, diag, &q, &x);
    if (!rc)
        rc = steps_try(p, region, &x, diag);
    if (!rc)
        *out_step = done[q.step];
    arena_done(&a);
    return rc;
}

// --- what is over ---

static void over_note(struct change *c, int rc, const char *what, const char *fingerprint)
{
    AUTO_FREE char *why = NULL;
    if (rc)
        why = diag_text(c->diag);
    if (rc && (!why || !*why))
        c->p->d.note(c->p->d.ctx, NULL, c->region, what, fingerprint, err_text(rc));
    else
        c->p->d.note(c->p->d.ctx, NULL, c->region, what, fingerprint, why);
}

// `rc`: of taking it out. Each note is a line of the audit log: what fails is tried ever more seldom.
static void over_done(struct change *c, struct rest *rest, int rc, const char *what,
                      const char *fingerprint)
{
    if (rc == ERR_CONFLICT || rc == ERR_BUSY)
        return; // at the next look
    over_note(c, rc, what, fingerprint);
    if (!rc) {
        *rest = (struct rest){.region = ""};
        return;
    }
    rest->until_ms = clock_mono_ms() + wait_backoff_ms(rest->n_failed++, AGAIN_MS, AGAIN_MAX_MS);
    snprintf(rest->region, sizeof rest->region, "%s", c->region);
}

static void void_drop(struct change *c, struct rest *rest)
{
    over_done(c, rest, write_change(c, NULL, NULL, NULL, NULL), "void record dropped", NULL);
}

static void over_drop(struct change *c, struct rest *rest, const char *what,
                      const char *fingerprint)
{
    over_done(c, rest, write_change(c, NULL, NULL, fingerprint, NULL), what, fingerprint);
}

static void region_look(struct peer_roll *p, const struct topology *t, const char *region,
                        int64_t now_ms)
{
    const struct region *r = topology_region(t, region);
    if (!r)
        return;
    struct rest *rest = &p->rests[r->index];
    if (strcmp(rest->region, region) != 0)
        *rest = (struct rest){.region = ""};
    else if (clock_mono_ms() < rest->until_ms)
        return;
    struct diag diag;
    diag_init(&diag);
    struct change c = {.p = p, .t = t, .region = region, .diag = &diag};
    int rc = record_read(&c);
    if (rc == ERR_EXISTS)
        void_drop(&c, rest);
    else if (!rc && c.has_record && c.r.used_ms && now_ms >= c.r.used_ms + PEER_ROLL_OVERLAP_MS)
        over_drop(&c, rest, "dropped", c.r.old);
    else if (!rc && c.has_record && !c.r.used_ms && now_ms >= c.r.until_ms)
        over_drop(&c, rest, "expired unused", c.r.next);
    diag_done(&diag);
}

void peer_roll_look(struct peer_roll *p)
{
    struct diag diag;
    diag_init(&diag);
    int rc = p->d.writer(p->d.ctx, &diag);
    diag_done(&diag);
    if (rc)
        return;
    struct topology *names = p->d.topology(p->d.ctx);
    int64_t now_ms = p->d.now_ms(p->d.ctx);
    pthread_mutex_lock(&p->work);
    for (size_t i = 0; names && i < names->n_regions; i++) {
        struct topology *t = p->d.topology(p->d.ctx); // each change makes another one
        if (t)
            region_look(p, t, names->regions[i].name, now_ms);
        snapshot_unref(t);
    }
    pthread_mutex_unlock(&p->work);
    snapshot_unref(names);
}

// --- HTTP ---

struct peer_ask { // of one request; hangs off its arena
    struct peer_roll *p;
    const char *region, *via;
};

static void answer_refuse(struct http_request *req, struct http_response *resp, int rc,
                          const char *why)
{
    if (rc == ERR_DENIED || rc == ERR_INVAL)
        http_refuse(req, resp, 403, REFUSED_DENIED, "%s", why);
    else if (rc == ERR_CONFLICT || rc == ERR_TOOBIG)
        http_refuse(req, resp, 409, REFUSED_DENIED, "%s", why);
    else
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "%s", why);
}

static void certificate_run(struct http_request *req, struct http_response *resp)
{
    const struct peer_ask *x = req->ctx;
    struct diag diag;
    diag_init(&diag);
    const char *step = NULL;
    int rc = peer_roll_take(x->p, x->region, x->via, req->body, &diag, &step);
    AUTO_FREE char *text = diag_text(&diag);
    const char *why = text;
    if (rc && (!why || !*why))
        why = err_text(rc);
    if (rc != ERR_BUSY)
        x->p->d.note(x->p->d.ctx, req, x->region, step ? step : "refused", NULL, rc ? why : NULL);
    if (rc)
        answer_refuse(req, resp, rc, why);
    else
        serve_json(req, resp, json_pack("{s:s}", "step", step));
    diag_done(&diag);
}

static void nonce_give(struct peer_roll *p, struct http_request *req, const char *region,
                       struct http_response *resp)
{
    char text[NONCE_TEXT_SIZE];
    struct diag diag;
    diag_init(&diag);
    int rc = p->d.writer(p->d.ctx, &diag);
    if (!rc)
        rc = peer_roll_nonce(p, region, text);
    AUTO_FREE char *why = diag_text(&diag);
    if (rc)
        answer_refuse(req, resp, rc, why && *why ? why : err_text(rc));
    else
        http_response_json(req, resp, 200, json_pack("{s:s}", "nonce", text));
    http_response_header(req, resp, "Cache-Control", "no-store");
    diag_done(&diag);
}

bool peer_roll_is_path(const char *path)
{
    return !strcmp(path, PEER_ROLL_PATH) || !strcmp(path, PEER_ROLL_NONCE_PATH);
}

void peer_roll_begin(struct peer_roll *p, struct http_request *req, const struct region *peer,
                     struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    if (!p || !peer || req->listener != LISTENER_PEER) {
        serve_refuse(req, &plan->response, 404, "nothing is served under this path here");
        return;
    }
    if (req->method != HTTP_POST) {
        serve_method(req, &plan->response, "POST", "peer certificates are named by POST");
        return;
    }
    if (!strcmp(req->path, PEER_ROLL_NONCE_PATH)) {
        nonce_give(p, req, peer->name, &plan->response);
        return;
    }
    struct peer_ask *x = arena_alloc(&req->arena, sizeof *x);
    // the peer's topology may be gone when this runs
    const char *name = arena_strdup(&req->arena, peer->name);
    if (!x || !name) {
        serve_refuse(req, &plan->response, 503, "out of memory");
        return;
    }
    *x = (struct peer_ask){p, name, req->peer_cert_fingerprint};
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = SIGNED_TEXT_MAX_BYTES;
    plan->run = certificate_run;
    plan->ctx = x;
}
