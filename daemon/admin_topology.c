// SPDX-License-Identifier: Apache-2.0
// See admin_topology.h. On the pool.
#include "daemon/admin_topology.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "control/document_rows.h"
#include "control/feed.h"
#include "daemon/admin_answer.h"
#include "fleet/fleet.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_TYPE "text/yaml; charset=utf-8"

// ---- the document ----

// A node that only resolves names keeps no more of registries than that takes.
static bool is_compact(const struct topology *t)
{
    struct catalogue_iter it = {0};
    return t->n_registries && !topology_next(t, &it);
}

static void reply_document(struct http_request *req, struct http_response *resp,
                           const struct topology *t)
{
    AUTO_BUF struct buf text;
    buf_init(&text, TOPOLOGY_MAX_BYTES);
    int rc = document_export(t, &text);
    if (!rc)
        rc = fleet_answer_text(resp, TEXT_TYPE, &text);
    if (!rc)
        return;
    if (rc == ERR_UNSUPPORTED)
        http_response_text(req, resp, 409,
                           "the document in force is not in block style, so that its registries "
                           "cannot be told from the rest: look at the file\n");
    else
        http_response_text(req, resp, 503, "%s\n", err_text(rc));
}

// A number of the query; 0 when it is not given. False: it is none.
static bool query_number(struct http_request *req, const char *key, uint64_t max, uint64_t *out)
{
    const char *text = http_query_get(req, key, 0);
    char *end;
    *out = 0;
    if (!text)
        return true;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*end || errno || *text < '0' || *text > '9' || !n || n > max)
        return false;
    *out = n;
    return true;
}

static bool from_files(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (app->feed)
        return false;
    http_response_text(req, resp, 409,
                       "this node takes its topology from files, which have no history here: only "
                       "what is in force can be had\n");
    return true;
}

static struct topology *old_version(struct app *app, uint64_t version, struct http_request *req,
                                    struct http_response *resp)
{
    struct topology *t = NULL;
    struct diag d;
    if (from_files(app, req, resp))
        return NULL;
    diag_init(&d);
    int rc = control_feed_topology_at(app->feed, version, &d, &t);
    if (rc == ERR_GONE)
        http_response_text(req, resp, 410,
                           "version %llu is older than what is kept: meridian topology history\n",
                           (unsigned long long)version);
    else if (rc == ERR_NOTFOUND)
        http_response_text(req, resp, 404, "there is no version %llu: meridian topology history\n",
                           (unsigned long long)version);
    else if (rc)
        http_response_text(req, resp, 503, "%s\n", d.n ? d.lines[0] : err_text(rc));
    diag_done(&d);
    return t;
}

void admin_get_topology(struct app *app, struct http_request *req, struct http_response *resp)
{
    uint64_t version;
    struct topology *t;
    if (!query_number(req, "version", INT64_MAX, &version)) {
        http_response_text(req, resp, 400, "version: a number from 1 on\n");
        return;
    }
    if (version)
        t = old_version(app, version, req, resp);
    else
        t = snapshot_get(app->topology);
    if (!t)
        return;
    if (is_compact(t))
        http_response_text(req, resp, 409,
                           "this node only resolves names, and does not keep the whole document: "
                           "ask a region's node\n");
    else
        reply_document(req, resp, t);
    snapshot_unref(t);
}

// ---- history ----

#define HISTORY_USUAL 20
#define HISTORY_MAX 100000

struct telling {
    json_t *list;
    size_t max;
    // of the entry before
    uint64_t version;
};

// What an entry brought, without the ledger's records, which nobody is told of.
static const char *brought(const char *what, char out[64])
{
    size_t n = 0;
    const char *at = what ? what : "";
    *out = 0;
    while (*at) {
        size_t len = strcspn(at, ",");
        bool is_records = len == 7 && !memcmp(at, "records", 7);
        if (!is_records && n + len + 3 < 64)
            n += (size_t)snprintf(out + n, 64 - n, "%s%.*s", n ? ", " : "", (int)len, at);
        at += len;
        at += *at == ',';
    }
    return out;
}

static bool tell(void *ctx, const struct control_history *h)
{
    struct telling *t = ctx;
    char time[CLOCK_TEXT_SIZE], what[64];
    bool is_new = h->topology != t->version;
    t->version = h->topology;
    if (!is_new)
        return true;
    json_array_append_new(t->list,
                          json_pack("{s:I, s:s, s:s?, s:s}", "version", (json_int_t)h->topology,
                                    "time", clock_format(h->time_ms, time), "by", h->by, "what",
                                    brought(h->what, what)));
    if (json_array_size(t->list) > t->max)
        json_array_remove(t->list, 0);
    return true;
}

static json_t *latest_first(json_t *list) // takes it
{
    json_t *out = json_array();
    for (size_t i = json_array_size(list); i-- > 0;)
        json_array_append(out, json_array_get(list, i));
    json_decref(list);
    return out;
}

void admin_get_topology_history(struct app *app, struct http_request *req,
                                struct http_response *resp)
{
    uint64_t n;
    if (!query_number(req, "n", HISTORY_MAX, &n)) {
        http_response_text(req, resp, 400, "n: a number from 1 to %d\n", HISTORY_MAX);
        return;
    }
    if (from_files(app, req, resp))
        return;
    struct telling t = {.list = json_array(), .max = n ? n : HISTORY_USUAL};
    int rc = control_feed_history(app->feed, NULL, tell, &t);
    json_t *doc = json_pack("{s:o}", "history", latest_first(t.list));
    if (rc) {
        json_decref(doc);
        http_response_text(req, resp, 503, "%s\n", err_text(rc));
        return;
    }
    admin_answer(req, resp, 200, doc);
}
