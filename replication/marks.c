// SPDX-License-Identifier: Apache-2.0
// How far regions have read each other; see marks.h.
#include "replication/marks.h"

#include "base/err.h"
#include "replication/join_state.h"
#include "replication/peer.h"
#include "replication/peer_answer.h"
#include "replication/replication_priv.h"
#include "replication/speech.h"
#include "replication/write_gate.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define MARK_ANSWER_MAX (64u << 10)

int read_mark(struct replicator *r, const char *origin, struct feed_mark *out)
{
    if (strcmp(origin, r->o.region) == 0)
        return meta_head(r->o.meta, origin, out);
    struct arena a;
    arena_init(&a, 0);
    struct origin_status *list = NULL;
    size_t n = 0;
    int rc = meta_origins(r->o.meta, &a, &list, &n);
    struct feed_mark m = {0};
    for (size_t i = 0; !rc && i < n; i++)
        if (strcmp(list[i].origin, origin) == 0)
            m = list[i].read;
    arena_done(&a);
    if (!rc)
        *out = m;
    return rc;
}

// --- asking ---

void mark_want_proof(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    if (mark_claim_ahead(peer_claim(p), mark))
        write_gate_kick(r->gate);
}

static void mark_judge(struct replicator *r, struct peer *p, const struct feed_mark *mark)
{
    int rc = 0;
    if (!mark_is_zero(mark))
        rc = meta_feed_check(r->o.meta, r->o.region, mark);
    if (rc == ERR_CONFLICT && place_is_void(r, mark))
        rc = 0; // we made it void: nothing was lost, and its reader is told
    if (rc == ERR_CONFLICT && !mark_claim_is_settled(peer_claim(p), mark)) {
        mark_want_proof(r, p, mark);
        return;
    }
    if (rc && rc != ERR_CONFLICT)
        return; // our own store cannot say: it is asked again
    mark_claim_fine(peer_claim(p), mark);
    write_gate_kick(r->gate);
}

int mark_ask(struct replicator *r, struct peer *p, const struct topology *t)
{
    char target[128], error[ERROR_TEXT_SIZE];
    snprintf(target, sizeof target, "/replication/v1/mark?origin=%s&" SPEECH_QUERY, r->o.region);
    int status = 0;
    struct buf body;
    int rc = peer_get(&r->dialer, t, peer_name(p), target, NULL, NULL, MARK_ANSWER_MAX, &status,
                      &body, error);
    if (rc) {
        peer_failed(p, "%s", error);
        return rc;
    }
    peer_seen(p);
    struct feed_mark mark;
    rc = ERR_PROTO;
    if (status == 200)
        rc = answer_mark(bytes_of(body.p, body.n), &mark);
    peer_disowned(p, status == 403 && serve_says_forgotten(bytes_of(body.p, body.n)));
    buf_done(&body);
    if (rc)
        peer_failed(p, "asked how far it has read: answered %d", status);
    else
        mark_judge(r, p, &mark);
    return rc;
}

// --- answering ---

struct mark_ask {
    struct replicator *r;
    const char *origin;
    unsigned speaks;
};

// How far this region holds anything of the origin: a snapshot that is under way goes beyond the
// mark, and an origin that has lost its disk must not use those places again.
static int mark_or_place(struct replicator *r, const char *origin, struct feed_mark *out)
{
    struct feed_mark place;
    int rc = read_mark(r, origin, out);
    if (rc || join_state_place(r->o.state_dir, origin, &place))
        return rc;
    if (mark_order(&place, out) > 0)
        *out = place;
    return 0;
}

static void mark_run(struct http_request *req, struct http_response *resp)
{
    struct mark_ask *q = req->ctx;
    struct feed_mark m;
    char cur[CURSOR_TEXT_SIZE];
    if (!life_enter(q->r->life)) {
        serve_refuse(req, resp, 503, err_text(ERR_CLOSED));
        return;
    }
    replicator_inbound_contact(q->r, q->origin);
    speech_heard(q->r->speech, q->origin, q->speaks);
    (void)speech_keep(q->r->speech);
    int rc = mark_or_place(q->r, q->origin, &m);
    life_leave(q->r->life);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    else
        http_response_json(req, resp, 200, json_pack("{s:s}", "mark", cursor_format(&m, cur)));
}

void mark_begin(struct replicator *r, struct http_request *req, const struct region *peer,
                struct http_plan *plan)
{
    const char *origin = http_query_get(req, "origin", 0);
    plan->kind = HTTP_PLAN_REPLY;
    if (!origin || strcmp(origin, peer->name) != 0) { // how far others were read is not its affair
        serve_refuse(req, &plan->response, 400, "origin: must be the asking region");
        return;
    }
    struct mark_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *name = arena_strdup(&req->arena, peer->name);
    if (!q || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct mark_ask){.r = r, .origin = name, .speaks = speech_asked(req)};
    plan->kind = HTTP_PLAN_RUN;
    plan->run = mark_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
