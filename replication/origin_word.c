// SPDX-License-Identifier: Apache-2.0
// How far a region is with another one's whole feed, and what a region is told that was forgotten;
// see origin_word.h.
#include "replication/origin_word.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/topology_control.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define FORGOTTEN "FORGOTTEN"

// --- told to one that was forgotten ---

void serve_forgotten(struct http_request *req, struct http_response *resp,
                     const struct region *peer)
{
    char sentence[320];
    snprintf(sentence, sizeof sentence,
             "%s was forgotten: nothing that it writes is taken. It may join again with new keys "
             "and an empty store: meridian region replace %s",
             peer->name, peer->name);
    http_response_json(
        req, resp, 403,
        json_pack("{s:[{s:s, s:s}]}", "errors", "code", FORGOTTEN, "message", sentence));
    http_request_refused(req, FORGOTTEN, sentence);
}

bool serve_says_forgotten(struct bytes body)
{
    json_t *doc = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    const char *code = json_string_value(json_object_get(first, "code"));
    bool says = code && !strcmp(code, FORGOTTEN);
    json_decref(doc);
    return says;
}

// --- the word ---

static bool is_heard(struct replicator *r, const char *of)
{
    struct peer *p = peers_find(r->peers, of);
    struct peer_view v;
    if (!p)
        return !strcmp(of, r->o.region);
    peer_look(p, &v);
    if (v.connected)
        return true;
    return v.last_contact_ms && clock_wall_ms() - v.last_contact_ms < ORIGIN_HEARD_MS;
}

int origin_word_own(struct replicator *r, const char *of, struct origin_word *out)
{
    struct feed_mark head = {0};
    if (!r || !life_enter(r->life))
        return ERR_CLOSED;
    int rc = meta_head(r->o.meta, of, &head);
    bool heard = is_heard(r, of);
    life_leave(r->life);
    if (rc)
        return rc;
    *out = (struct origin_word){.head = {.epoch = head.epoch, .seq = head.seq}, .heard = heard};
    memcpy(out->head.hash, head.hash, sizeof out->head.hash);
    return 0;
}

int origin_word_read(struct bytes body, const char *region, const char *of, struct origin_word *out)
{
    json_t *doc = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *who = json_string_value(json_object_get(doc, "region")),
               *whose = json_string_value(json_object_get(doc, "of")),
               *at = json_string_value(json_object_get(doc, "head"));
    const json_t *heard = json_object_get(doc, "heard");
    struct feed_mark head;
    int rc = ERR_PROTO;
    if (who && whose && at && json_is_boolean(heard) && !strcmp(who, region) &&
        !strcmp(whose, of) && !cursor_parse(at, &head)) {
        *out = (struct origin_word){.head = {.epoch = head.epoch, .seq = head.seq},
                                    .heard = json_is_true(heard)};
        memcpy(out->head.hash, head.hash, sizeof out->head.hash);
        rc = 0;
    }
    json_decref(doc);
    return rc;
}

// --- the route ---

struct origin_ask {
    struct replicator *r;
    const char *of;
};

static void origin_run(struct http_request *req, struct http_response *resp)
{
    const struct origin_ask *q = req->ctx;
    struct origin_word w;
    char cur[CURSOR_TEXT_SIZE];
    int rc = origin_word_own(q->r, q->of, &w);
    if (rc) {
        serve_refuse(req, resp, 503, err_text(rc));
        return;
    }
    struct feed_mark head = {.epoch = w.head.epoch, .seq = w.head.seq};
    memcpy(head.hash, w.head.hash, sizeof head.hash);
    http_response_json(req, resp, 200,
                       json_pack("{s:s, s:s, s:s, s:b}", "region", q->r->o.region, "of", q->of,
                                 "head", cursor_format(&head, cur), "heard", (int)w.heard));
}

void origin_word_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                       const struct region *peer, struct http_plan *plan)
{
    const char *of = http_query_get(req, "of", 0);
    plan->kind = HTTP_PLAN_REPLY;
    if (topology_writer(t) != peer) {
        serve_refuse(req, &plan->response, 403, "for the region that writes the fleet's changes");
        return;
    }
    if (!of || !topology_region(t, of)) {
        serve_refuse(req, &plan->response, 400, "of: which region?");
        return;
    }
    struct origin_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *copy = arena_strdup(&req->arena, of);
    if (!q || !copy) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct origin_ask){.r = r, .of = copy};
    plan->kind = HTTP_PLAN_RUN;
    plan->run = origin_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
