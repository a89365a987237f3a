// SPDX-License-Identifier: Apache-2.0
// See admin_control.h. On pools.
#include "daemon/admin_control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/feed.h"
#include "daemon/admin_answer.h"

#include <jansson.h>
#include <string.h>

#define VOIDS_LISTED 1000

static bool is_of_files(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (app->feed)
        return false;
    admin_answer(req, resp, 409, admin_files_json(app));
    return true;
}

// ---- looking ----

static json_t *place_json(const struct control_place *p)
{
    char text[CONTROL_PLACE_TEXT_SIZE];
    if (!p->epoch)
        return json_null();
    return json_string(control_place_format(p, text));
}

static bool add_void(void *ctx, const struct control_history *h)
{
    json_t *list = ctx;
    char when[CLOCK_TEXT_SIZE];
    json_array_append_new(list,
                          json_pack("{s:o, s:s, s:s?, s:s, s:I}", "place", place_json(&h->place),
                                    "time", clock_format(h->time_ms, when), "by", h->by, "what",
                                    h->what, "topologyVersion", (json_int_t)h->topology));
    return json_array_size(list) < VOIDS_LISTED;
}

static json_t *view_json(struct app *app, const struct control_view *v)
{
    char when[CLOCK_TEXT_SIZE];
    json_t *voids = json_array();
    control_feed_voids(app->feed, add_void, voids);
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:o, s:o, s:I, s:I, s:s, s:o, s:o, s:I, s:s?, s:o}",
        "source", "feed", "region", app->node->region, "writer", v->writer, "weWrite", v->we_write,
        "confirmed", v->confirmed, "owned", v->owned, "adopted", v->adopted, "place",
        place_json(&v->place), "applied", place_json(&v->applied), "topologyVersion",
        (json_int_t)v->topology, "principalsVersion", (json_int_t)v->principals, "time",
        clock_format(v->time_ms, when), "rootWord", place_json(&v->root_word), "epochFrom",
        place_json(&v->epoch_from), "entries", (json_int_t)v->n_entries, "alarm", v->alarm, "void",
        voids);
}

void admin_get_control(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!app->feed) {
        admin_answer(req, resp, 200,
                     json_pack("{s:s, s:s}", "source", "files", "region", app->node->region));
        return;
    }
    struct control_view v;
    control_feed_view(app->feed, &v);
    json_t *doc = view_json(app, &v);
    control_view_done(&v);
    admin_answer(req, resp, 200, doc);
}

// ---- what the root key signs ----

static void refuse_feed(struct http_request *req, struct http_response *resp, int rc,
                        const struct diag *diag)
{
    AUTO_FREE char *why = diag_text(diag);
    const char *code = "Invalid";
    int status = 400;
    if (rc == ERR_CONFLICT) {
        code = "VersionMismatch";
        status = 412;
    } else if (rc == ERR_AUTH || rc == ERR_DENIED) {
        code = "Denied";
        status = 403;
    } else if (rc != ERR_INVAL && rc != ERR_UNSUPPORTED && rc != ERR_NOTFOUND) {
        code = "Unavailable";
        status = 503;
    }
    const char *said = err_text(rc);
    if (why && *why)
        said = why;
    admin_answer(req, resp, status, admin_error_json(code, said));
}

static int draft_takeover(struct app *app, const json_t *o, struct diag *diag, struct buf *line)
{
    struct control_takeover t = {.region = json_string_value(json_object_get(o, "region")),
                                 .control_key =
                                     json_string_value(json_object_get(o, "controlKey"))};
    struct control_state *s = control_feed_state(app->feed);
    bool known = t.region && topology_region(s->topology, t.region);
    snapshot_unref(s);
    if (known)
        return control_feed_takeover_draft(app->feed, &t, diag, line);
    diag_add(diag, NULL, 0, "\"%s\" is no region of the topology in force",
             t.region ? t.region : "");
    return ERR_INVAL;
}

static int draft_confirm(struct app *app, const json_t *o, struct diag *diag, struct buf *line)
{
    const char *text = json_string_value(json_object_get(o, "upto"));
    struct control_view v;
    control_feed_view(app->feed, &v);
    struct control_place upto = v.place;
    control_view_done(&v);
    if (text && control_place_parse(text, strlen(text), &upto)) {
        diag_add(diag, NULL, 0, "\"%s\" is no place of the control feed", text);
        return ERR_INVAL;
    }
    if (!control_feed_has(app->feed, &upto)) {
        diag_add(diag, NULL, 0, "that place is not in the control feed in force here");
        return ERR_INVAL;
    }
    return control_feed_confirm_draft(app->feed, &upto, diag, line);
}

void admin_post_control_draft(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (is_of_files(app, req, resp))
        return;
    struct diag diag;
    AUTO_BUF struct buf line;
    diag_init(&diag);
    buf_init(&line, CONTROL_ENTRY_MAX_BYTES);
    json_t *o = json_loadb((const char *)req->body.p, req->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *kind = json_string_value(json_object_get(o, "kind"));
    int rc = ERR_INVAL;
    if (kind && !strcmp(kind, "takeover"))
        rc = draft_takeover(app, o, &diag, &line);
    else if (kind && !strcmp(kind, "confirm"))
        rc = draft_confirm(app, o, &diag, &line);
    else
        diag_add(&diag, NULL, 0, "kind: expected takeover or confirm");
    if (rc)
        refuse_feed(req, resp, rc, &diag);
    else
        admin_answer(req, resp, 200, json_pack("{s:s}", "line", buf_cstr(&line)));
    json_decref(o);
    diag_done(&diag);
}

void admin_post_control_signed(struct app *app, struct http_request *req,
                               struct http_response *resp)
{
    if (is_of_files(app, req, resp))
        return;
    struct diag diag;
    struct control_place place;
    diag_init(&diag);
    int rc = control_feed_signed(app->feed, req->body, &diag, &place);
    if (rc) {
        refuse_feed(req, resp, rc, &diag);
    } else {
        log_info("control feed: what the root key signed is in force: epoch %llu, entry %llu",
                 (unsigned long long)place.epoch, (unsigned long long)place.seq);
        admin_answer(req, resp, 200, json_pack("{s:o}", "place", place_json(&place)));
    }
    diag_done(&diag);
}
