// SPDX-License-Identifier: Apache-2.0
// The topology in force and the principals, of the node or, while that is down, of its files; see
// bundle.h. The topology is written from its parsed document: comments stay behind. Principals are
// counted, and nothing else of them is shown.
#include "cli/bundle.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/principals.h"
#include "control/changes_file.h"
#include "control/document_rows.h"
#include "control/document_text.h"
#include "control/feed.h"
#include "control/principals_change.h"
#include "control/topology_file.h"

#include <string.h>

#define TOPOLOGY_PART "topology.yaml"
#define PRINCIPALS_PART "principals.json"
#define WORDS_ARENA_BYTES (256u << 20)

// ---- the topology ----

// The document without its comments, behind one line of our own.
static int rewrite(const struct buf *text, const char *source, struct buf *out)
{
    struct arena a;
    struct doc_node *root;
    struct diag unsaid;
    arena_init(&a, WORDS_ARENA_BYTES);
    diag_init(&unsaid);
    int rc = doc_parse(buf_cstr(text), text->n, source, &a, &unsaid, &root);
    diag_done(&unsaid);
    if (!rc) {
        buf_printf(out, "# as %s has it\n", source);
        document_put(out, root, 0);
        rc = out->err;
    }
    arena_done(&a);
    return rc;
}

static void add_topology(struct bundle *b, const struct buf *text, const char *source)
{
    AUTO_BUF struct buf out;
    buf_init(&out, BUNDLE_PART_MAX);
    int rc = rewrite(text, source, &out);
    if (rc)
        bundle_lacks(b, TOPOLOGY_PART, "%s: %s; meridian topology export shows it", source,
                     err_text(rc));
    else
        bundle_add_buf(b, TOPOLOGY_PART, "the topology, without its comments", &out);
}

// What is wrong with a file is not repeated here: sentences about it quote what stands in it.
static int load(const char *path, struct topology **out)
{
    struct diag unsaid;
    size_t n_changes;
    diag_init(&unsaid);
    int rc = topology_file_load(path, &unsaid, out);
    if (!rc)
        rc = changes_load(path, &unsaid, out, &n_changes);
    diag_done(&unsaid);
    return rc;
}

// What a node that follows the control feed has stored of it; nothing is written there. Says why not.
static struct control_state *state_of_feed(struct bundle *b, const char *part)
{
    struct control_feed *feed;
    struct diag unsaid;
    const struct control_feed_options o = {
        .state_dir = arena_printf(&b->c->arena, "%s/state", b->node->data_dir),
        .region = b->node->region,
        .form = TOPOLOGY_FULL,
        .topology = b->node->topology,
        .principals = b->node->principals};
    diag_init(&unsaid);
    int rc = control_feed_open(&o, &unsaid, &feed);
    diag_done(&unsaid);
    if (rc) {
        bundle_lacks(b, part, "the control feed in %s cannot be used: %s", o.state_dir,
                     err_text(rc));
        return NULL;
    }
    struct control_state *state = control_feed_state(feed);
    topology_source_close(control_feed_source(feed));
    return state;
}

static void topology_of_feed(struct bundle *b)
{
    AUTO_BUF struct buf text;
    buf_init(&text, BUNDLE_PART_MAX);
    struct control_state *state = state_of_feed(b, TOPOLOGY_PART);
    if (!state)
        return;
    int rc = document_export(state->topology, &text);
    if (rc)
        bundle_lacks(b, TOPOLOGY_PART, "what the control feed has: %s", err_text(rc));
    else
        add_topology(b, &text, "the control feed on this disk");
    b->topology = snapshot_ref(state->topology);
    snapshot_unref(state);
}

// What the node kept, or what it starts from.
static void topology_of_files(struct bundle *b)
{
    AUTO_BUF struct buf text;
    const char *const places[] = {
        arena_printf(&b->c->arena, "%s/state/topology.last", b->node->data_dir), b->node->topology};
    buf_init(&text, BUNDLE_PART_MAX);
    int rc = ERR_NOTFOUND;
    for (size_t i = 0; rc && i < ARRAY_LEN(places); i++) {
        struct topology *t = NULL;
        rc = load(places[i], &t);
        if (!rc && (rc = document_export(t, &text)) == 0)
            add_topology(b, &text, places[i]);
        if (rc && (rc != ERR_NOTFOUND || i + 1 == ARRAY_LEN(places))) {
            bundle_lacks(b, TOPOLOGY_PART,
                         "%s cannot be used: %s (meridian topology check %s has all of it)",
                         places[i], err_text(rc), places[i]);
            buf_clear(&text);
        }
        if (t && !b->topology) {
            b->topology = t;
            continue;
        }
        snapshot_unref(t);
    }
}

void bundle_topology(struct bundle *b)
{
    AUTO_BUF struct buf text;
    const char *why = NULL;
    buf_init(&text, BUNDLE_PART_MAX);
    int rc = bundle_ask(b, "/v1/topology", &text, &why);
    if (!rc) {
        struct diag unsaid;
        diag_init(&unsaid);
        (void)topology_parse(buf_cstr(&text), text.n, cli_node_name(b->c), &unsaid, &b->topology);
        diag_done(&unsaid);
        add_topology(b, &text, cli_node_name(b->c));
        return;
    }
    bundle_lacks(b, TOPOLOGY_PART, "%s", why);
    if (b->node && b->node->from == NODE_SOURCE_FEED)
        topology_of_feed(b);
    else if (b->node)
        topology_of_files(b);
}

// ---- the principals ----

static size_t count_where(const json_t *list, const char *member, bool is)
{
    size_t n = 0, i;
    json_t *one;
    json_array_foreach((json_t *)list, i, one) n +=
        json_is_true(json_object_get(one, member)) == is;
    return n;
}

// How many there are of each; `view`: as GET /v1/principals.
static json_t *counted(const json_t *view, const char *source)
{
    static const char *const lists[] = {"users", "tokens", "scopeMaps", "issuers", "revoked"};
    json_t *out = json_pack("{s:s, s:I}", "source", source, "version",
                            json_integer_value(json_object_get(view, "version")));
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const json_t *list = json_object_get(view, lists[i]);
        if (json_is_array(list))
            json_object_set_new(out, lists[i], json_integer((json_int_t)json_array_size(list)));
    }
    json_object_set_new(
        out, "usersDisabled",
        json_integer((json_int_t)count_where(json_object_get(view, "users"), "enabled", false)));
    json_object_set_new(
        out, "tokensDisabled",
        json_integer((json_int_t)count_where(json_object_get(view, "tokens"), "enabled", false)));
    return out;
}

static void add_principals(struct bundle *b, json_t *view, const char *source)
{
    if (json_is_object(view))
        bundle_add_json(b, PRINCIPALS_PART, "how many users and tokens there are",
                        counted(view, source));
    else
        bundle_lacks(b, PRINCIPALS_PART, "%s shows none", source);
    json_decref(view);
}

static void principals_of_feed(struct bundle *b)
{
    struct control_state *state = state_of_feed(b, PRINCIPALS_PART);
    if (state && state->principals)
        add_principals(b, principals_view(state->principals), "the control feed on this disk");
    else if (state)
        bundle_lacks(b, PRINCIPALS_PART, "the control feed has none");
    snapshot_unref(state);
}

static void principals_of_files(struct bundle *b)
{
    const char *const places[] = {
        arena_printf(&b->c->arena, "%s/state/principals.last.yaml", b->node->data_dir),
        b->node->principals};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct principals *p = NULL;
        struct diag unsaid;
        diag_init(&unsaid);
        int rc = principals_load(places[i], &unsaid, &p);
        diag_done(&unsaid);
        if (!rc) {
            add_principals(b, principals_view(p), places[i]);
            snapshot_unref(p);
            return;
        }
        if (rc == ERR_NOTFOUND && i + 1 < ARRAY_LEN(places))
            continue;
        bundle_lacks(b, PRINCIPALS_PART,
                     "%s cannot be used: %s (meridian config check "
                     "--principals %s has all of it)",
                     places[i], err_text(rc), places[i]);
    }
}

void bundle_principals(struct bundle *b)
{
    AUTO_BUF struct buf text;
    const char *why = NULL;
    buf_init(&text, BUNDLE_PART_MAX);
    if (!bundle_ask(b, "/v1/principals", &text, &why)) {
        add_principals(b, json_loadb(buf_cstr(&text), text.n, 0, NULL), cli_node_name(b->c));
        return;
    }
    bundle_lacks(b, PRINCIPALS_PART, "%s", why);
    if (b->node && b->node->from == NODE_SOURCE_FEED)
        principals_of_feed(b);
    else if (b->node)
        principals_of_files(b);
}
