// SPDX-License-Identifier: Apache-2.0
// How far a region is with another one's whole feed, and what a region is told that was forgotten;
// see origin_word.h.
#include "replication/origin_word.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/topology_control.h"
#include "replication/feed_line.h"
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

// --- said ---

// The entry at the head, which is in the log even when what it said was dropped.
static int head_line(struct replicator *r, const char *of, const struct feed_mark *head,
                     struct buf *out)
{
    struct feed_mark before = {.epoch = head->epoch, .seq = head->seq - 1}, last, at;
    struct feed_entry *list = NULL;
    size_t n = 0;
    struct arena a;
    arena_init(&a, 0);
    int rc = meta_feed_read(r->o.meta, of, &before, NULL, 0, 1, &a, &list, &n, &last);
    if (!rc && n)
        mark_of_entry(&list[0], &at);
    if (!rc && (!n || !mark_equal(&at, head)))
        rc = ERR_BUSY;
    if (!rc) {
        list[0].content = (struct bytes){0};
        rc = entry_format(&list[0], out);
    }
    arena_done(&a);
    if (!rc && out->n)
        out->n--; // the line's end
    return rc;
}

static int word_say(struct replicator *r, const char *of, json_t **out)
{
    struct feed_mark head = {0};
    char cur[CURSOR_TEXT_SIZE];
    AUTO_BUF struct buf line;
    buf_init(&line, ENTRY_LINE_MAX);
    int rc = meta_head(r->o.meta, of, &head);
    if (!rc && head.seq)
        rc = head_line(r, of, &head, &line);
    if (rc)
        return rc;
    json_t *doc = json_pack("{s:s, s:s, s:s, s:b}", "region", r->o.region, "of", of, "head",
                            cursor_format(&head, cur), "heard", (int)is_heard(r, of));
    if (!doc)
        return ERR_NOMEM;
    if (head.seq && json_object_set_new(doc, "entry", json_stringn(line.p, line.n))) {
        json_decref(doc);
        return ERR_NOMEM;
    }
    *out = doc;
    return 0;
}

int origin_word_say(struct replicator *r, const char *of, json_t **out)
{
    if (!r || !life_enter(r->life))
        return ERR_CLOSED;
    int rc = word_say(r, of, out);
    life_leave(r->life);
    return rc;
}

// --- heard ---

// Is it the entry at the head, and did the region itself sign it in time?
static int entry_check(struct feed_rules *ru, const struct feed_entry *e,
                       const struct feed_mark *head)
{
    const char *why = NULL;
    struct feed_mark at;
    mark_of_entry(e, &at);
    if (strcmp(e->origin, ru->origin->name) != 0 || !mark_equal(&at, head))
        return ERR_PROTO;
    int rc = feed_signature_check(ru, e, &why);
    if (rc)
        return rc;
    if (feed_entry_void(ru, e))
        return ERR_AUTH;
    if (ru->limit && e->stamp > ru->limit)
        return ERR_AHEAD;
    return 0;
}

// `line`: NULL: there is none.
static int head_verify(struct replicator *r, const struct topology *t, const char *of,
                       const struct feed_mark *head, const char *line)
{
    struct feed_rules ru = {.topology = t,
                            .origin = topology_region(t, of),
                            .verify = r->o.verify,
                            .limit = meta_stamp_limit(r->o.meta),
                            .vouched = true};
    struct feed_entry e;
    struct arena a;
    if (mark_is_zero(head))
        return 0;
    if (!line || !ru.origin)
        return ERR_PROTO;
    arena_init(&a, 0);
    int rc = entry_parse(bytes_str(line), &a, &e);
    if (!rc)
        rc = entry_check(&ru, &e, head);
    arena_done(&a);
    return rc;
}

static int word_read(struct replicator *r, const struct topology *t, const json_t *doc,
                     const char *region, const char *of, struct origin_word *out)
{
    const char *who = json_string_value(json_object_get(doc, "region")),
               *whose = json_string_value(json_object_get(doc, "of")),
               *at = json_string_value(json_object_get(doc, "head")),
               *line = json_string_value(json_object_get(doc, "entry"));
    const json_t *heard = json_object_get(doc, "heard");
    struct feed_mark head;
    if (!who || !whose || !at || !json_is_boolean(heard))
        return ERR_PROTO;
    if (strcmp(who, region) != 0 || strcmp(whose, of) != 0 || cursor_parse(at, &head))
        return ERR_PROTO;
    int rc = head_verify(r, t, of, &head, line);
    if (rc)
        return rc;
    *out = (struct origin_word){.head = {.epoch = head.epoch, .seq = head.seq},
                                .heard = json_is_true(heard)};
    memcpy(out->head.hash, head.hash, sizeof out->head.hash);
    return 0;
}

int origin_word_read(struct replicator *r, const struct topology *t, struct bytes body,
                     const char *region, const char *of, struct origin_word *out)
{
    if (!r || !life_enter(r->life))
        return ERR_CLOSED;
    json_t *doc = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = word_read(r, t, doc, region, of, out);
    json_decref(doc);
    life_leave(r->life);
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
    json_t *doc = NULL;
    int rc = origin_word_say(q->r, q->of, &doc);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    else
        http_response_json(req, resp, 200, doc);
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
