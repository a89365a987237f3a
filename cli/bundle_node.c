// SPDX-License-Identifier: Apache-2.0
// What the node itself says, by its admin API: each answer one part; see bundle.h.
#include "cli/bundle.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define HISTORY_LAST "50"

// A copy of an object with these members alone.
static json_t *only(const json_t *o, const char *const *members, size_t n)
{
    json_t *out = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_object_get(o, members[i]);
        if (v)
            json_object_set(out, members[i], v);
    }
    return out;
}

// Without the number by which a request counts once, and without what verbs may note in later
// releases.
static json_t *operations_kept(const json_t *doc)
{
    static const char *const members[] = {"id",    "verb",  "object", "by",      "from",
                                          "to",    "state", "phases", "created", "updated",
                                          "error", "later", "regions"};
    json_t *list = json_array();
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(doc, "operations"), i, one)
        json_array_append_new(list, only(one, members, ARRAY_LEN(members)));
    return json_pack("{s:o}", "operations", list);
}

// Why an edit was refused may show what was written in the place of a hash.
static json_t *config_kept(const json_t *doc)
{
    json_t *out = json_deep_copy(doc);
    json_t *principals = json_object_get(out, "principals");
    if (json_is_string(json_object_get(principals, "refusedWhy")))
        json_object_set_new(principals, "refusedWhy", json_string("(not shown)"));
    return out;
}

static const struct node_part {
    const char *name, *what, *path;
    // NULL: the answer as it is
    json_t *(*kept)(const json_t *doc);
} parts[] = {
    {"node/fleet.json", "status --all: every node as this one has heard it, with drift",
     "/v1/fleet"},
    {"node/health.json", "verdicts on the regions, with votes", "/v1/health"},
    {"node/health-peers.json", "the other resolvers and the regions' deep documents",
     "/v1/health/peers"},
    {"node/health-orders.json", "drains and other orders", "/v1/health/orders"},
    {"node/drills.json", "fault drills of the last 30 days", "/v1/drills"},
    {"node/replication.json", "how far this region is with the others", "/v1/replication"},
    {"node/config.json", "versions in force, and whether a later edit was refused", "/v1/config",
     config_kept},
    {"node/control.json", "where the control feed is", "/v1/control"},
    {"node/operations.json", "changes of the fleet", "/v1/operations?max=200", operations_kept},
    {"node/history.json", "the last versions of the topology",
     "/v1/topology/history?n=" HISTORY_LAST},
    {"node/names.json", "reserved names", "/v1/names"},
    {"node/certificates.json", "certificates, their names and ends", "/v1/certs"},
    {"node/usage.json", "what the registries hold", "/v1/usage"},
    {"node/collect.json", "what nobody needs any more", "/v1/collect"},
};

static void add_text(struct bundle *b, const char *name, const char *what, const char *path)
{
    AUTO_BUF struct buf text;
    const char *why = NULL;
    buf_init(&text, BUNDLE_PART_MAX);
    if (bundle_ask(b, path, &text, &why))
        bundle_lacks(b, name, "%s", why);
    else
        bundle_add_buf(b, name, what, &text);
}

static void add_document(struct bundle *b, const struct node_part *p)
{
    AUTO_BUF struct buf text;
    const char *why = NULL;
    buf_init(&text, BUNDLE_PART_MAX);
    if (bundle_ask(b, p->path, &text, &why)) {
        bundle_lacks(b, p->name, "%s", why);
        return;
    }
    json_t *doc = json_loadb(buf_cstr(&text), text.n, 0, NULL);
    if (!doc) {
        bundle_lacks(b, p->name, "the answer to GET %s is no JSON", p->path);
        return;
    }
    if (p->kept) {
        json_t *kept = p->kept(doc);
        json_decref(doc);
        doc = kept;
    }
    bundle_add_json(b, p->name, p->what, doc);
}

void bundle_node(struct bundle *b)
{
    if (b->status)
        bundle_add_json(b, "node/status.json", "what the node runs, and what is wrong with it",
                        json_incref(b->status));
    else
        bundle_lacks(b, "node/status.json", "%s",
                     b->last_why ? b->last_why : "the node does not answer");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        add_document(b, &parts[i]);
    add_text(b, "node/metrics.txt", "figures, as Prometheus takes them", "/v1/metrics");
    add_text(b, "log/recent.txt", "the last lines that the worker has logged", "/v1/log");
}
