// SPDX-License-Identifier: Apache-2.0
// How far replication is, as JSON: per registry and origin the state, the lag, bytes to go where
// they are known, the last error (origin_state.h). "Retrying" is not "failed": an entry is never
// lost with its job (design section 9, invariant 5). On the pool.
#include "replication/ahead.h"
#include "replication/clock_report.h"
#include "replication/comparer.h"
#include "replication/differences.h"
#include "replication/dropper.h"
#include "replication/join_state.h"
#include "replication/mender.h"
#include "replication/origin_state.h"
#include "replication/peer.h"
#include "replication/peer_source.h"
#include "replication/peers.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"
#include "replication/speech.h"
#include "replication/words.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "store/meta_unknown.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN_SAID_MAX 5 // in the sentence; the list has all

static void seen_get(struct replicator *r, const char *origin, struct origin_seen *out,
                     struct source_view *out_source)
{
    struct peer *p = peers_find(r->peers, origin);
    *out = (struct origin_seen){.full = room_is_full(r->room)};
    *out_source = (struct source_view){0};
    if (!p)
        return;
    peer_look(p, &out->reader);
    source_look(peer_source(p), out_source);
    struct peer_view *v = &out->reader;
    if (v->silent && !v->last_error[0])
        snprintf(v->last_error, sizeof v->last_error, "silent: nothing came for %.1f s",
                 (double)v->silence_ms / 1000);
}

// Known while every entry that needs bytes is being fetched, or parked; what waits for another one
// needs none.
static bool bytes_to_go(struct replicator *r, const char *registry, const struct origin_status *o,
                        uint64_t *out)
{
    uint64_t n_running, bytes;
    job_queue_progress(r->jobs, registry, o->origin, &n_running, &bytes);
    *out = bytes + o->parked_bytes;
    return o->n_pending <= n_running + o->n_parked + o->n_waiting;
}

static json_t *text_or_null(const char *s)
{
    if (s && *s)
        return json_string(s);
    return json_null();
}

static json_t *time_or_null(int64_t wall_ms)
{
    char when[CLOCK_TEXT_SIZE];
    if (!wall_ms)
        return json_null();
    return json_string(clock_format(wall_ms, when));
}

// What this program does not know of one origin's entries in a registry.
struct unknown {
    // of all origins; they hang off an arena
    const struct unknown_row *rows;
    size_t n;
    const char *origin;
};

// The next row of the origin from *i on; NULL: none.
static const struct unknown_row *unknown_next(const struct unknown *u, size_t *i)
{
    while (*i < u->n) {
        const struct unknown_row *row = &u->rows[(*i)++];
        if (strcmp(row->origin, u->origin) == 0)
            return row;
    }
    return NULL;
}

static void unknown_count(const struct unknown *u, struct origin_seen *out)
{
    const struct unknown_row *row;
    for (size_t i = 0; (row = unknown_next(u, &i));) {
        out->n_unknown += row->n;
        out->frozen = out->frozen || row->must;
    }
}

static json_t *unknown_json(const struct unknown *u)
{
    json_t *list = json_array();
    const struct unknown_row *row;
    for (size_t i = 0; (row = unknown_next(u, &i));)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:b}", "repository", row->repository,
                                              "attribute", row->attribute, "entries",
                                              (json_int_t)row->n, "freezes", row->must));
    return list;
}

static void unknown_say(const struct unknown *u, const struct origin_seen *s, struct buf *out)
{
    const struct unknown_row *row;
    const char *comma = "";
    unsigned n = 0;
    buf_printf(out, "%" PRIu64 " entries are kept that this program does not know (", s->n_unknown);
    for (size_t i = 0; n < UNKNOWN_SAID_MAX && (row = unknown_next(u, &i)); n++, comma = ", ")
        buf_printf(out, "%s%s of %s", comma, row->attribute, row->repository);
    if (n == UNKNOWN_SAID_MAX)
        buf_str(out, ", …");
    buf_str(out, "): start the newer program here");
    if (s->frozen)
        buf_str(out, "; until then those repositories take no writes that must know them");
}

// What is wrong, the worst first; what this program does not know comes last.
static json_t *error_json(const struct origin_seen *s, const struct origin_status *o,
                          const struct unknown *u)
{
    char error[ORIGIN_ERROR_SIZE];
    AUTO_BUF struct buf text;
    const char *first = origin_error(s, o, error);
    buf_init(&text, 64 << 10);
    if (first)
        buf_str(&text, first);
    if (first && s->n_unknown)
        buf_str(&text, "; ");
    if (s->n_unknown)
        unknown_say(u, s, &text);
    return text_or_null(buf_cstr(&text));
}

// What that region had copied to here ahead of its manifests, if anything.
static void ahead_add(struct replicator *r, const struct registry *reg, const char *origin,
                      json_t *item)
{
    struct ahead_view v;
    ahead_view(r->ahead, reg->key, origin, &v);
    if (!v.waiting_bytes && !v.waiting && !v.copied_bytes && !v.n_refused)
        return;
    json_object_set_new(
        item, "ahead",
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "waitingBytes", (json_int_t)v.waiting_bytes,
                  "copiedBytes", (json_int_t)v.copied_bytes, "usedBytes", (json_int_t)v.used_bytes,
                  "wastedBytes", (json_int_t)v.wasted_bytes, "refused", (json_int_t)v.n_refused));
}

// What is left out while there is nothing of it.
static void item_extras(struct replicator *r, const struct registry *reg,
                        const struct origin_status *o, const struct origin_seen *seen,
                        const struct source_view *source, const struct unknown *u, json_t *item)
{
    unsigned speaks = speech_of(r->speech, o->origin);
    uint64_t bytes, parked = o->parked_bytes;
    int64_t offset_ms, error_ms;
    if (parked > INT64_MAX)
        parked = INT64_MAX;
    if (speaks)
        json_object_set_new(item, "speaks", json_integer(speaks));
    json_t *unknown = unknown_json(u);
    if (json_array_size(unknown))
        json_object_set(item, "unknown", unknown);
    json_decref(unknown);
    if (bytes_to_go(r, reg->key, o, &bytes))
        json_object_set_new(item, "bytesToGo", json_integer((json_int_t)bytes));
    if (o->n_parked)
        json_object_set_new(item, "noSpace",
                            json_pack("{s:I, s:I}", "entries", (json_int_t)o->n_parked, "bytes",
                                      (json_int_t)parked));
    if (seen->reader.n_forged)
        json_object_set_new(item, "refused",
                            json_pack("{s:I, s:s}", "times", (json_int_t)seen->reader.n_forged,
                                      "last", seen->reader.forged));
    if (strcmp(o->origin, r->o.region) != 0)
        json_object_set_new(
            item, "compared",
            differences_json(comparer_differences(r->comparer), reg->key, o->origin));
    if (source->n_wrong)
        json_object_set_new(
            item, "wrongBytes",
            json_pack("{s:I, s:s}", "times", (json_int_t)source->n_wrong, "last", source->wrong));
    ahead_add(r, reg, o->origin, item);
    if (clock_report_offset(r->clocks, o->origin, &offset_ms, &error_ms)) {
        json_object_set_new(item, "clockOffsetMs", json_integer(offset_ms));
        json_object_set_new(item, "clockErrorMs", json_integer(error_ms));
    }
}

// How far the snapshot is that this registry's past comes by, if it does; and what it means for the
// state: what is not all here is not Ready.
static void joining_add(struct replicator *r, const struct registry *reg, const char *origin,
                        json_t *item)
{
    struct join_row row;
    char why[JOIN_ERROR_SIZE + 32];
    const char *state = json_string_value(json_object_get(item, "state"));
    if (join_state_get(r->o.state_dir, origin, reg->key, &row))
        return;
    json_object_set_new(item, "joining", join_row_json(&row));
    bool mild = strcmp(state, "Ready") == 0 || strcmp(state, "Syncing") == 0;
    if (row.phase == JOIN_COMPLETE || !mild)
        return;
    if (row.phase != JOIN_FAILED) {
        json_object_set_new(item, "state", json_string("Syncing"));
        return;
    }
    snprintf(why, sizeof why, "snapshot: %s", row.error);
    json_object_set_new(item, "state", json_string("Retrying"));
    if (json_is_null(json_object_get(item, "lastError")))
        json_object_set_new(item, "lastError", json_string(why));
}

static json_t *item_json(struct replicator *r, const struct registry *reg,
                         const struct origin_status *o, const struct unknown *u, int64_t now)
{
    struct origin_seen s;
    struct source_view source;
    bool self = strcmp(o->origin, r->o.region) == 0;
    seen_get(r, o->origin, &s, &source);
    unknown_count(u, &s);
    s.n_differences = differences_open(comparer_differences(r->comparer), reg->key, o->origin);
    json_t *item = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I}", "registry", reg->name,
        "region", r->o.region, "origin", o->origin, "state", origin_state_name(&s, o, self),
        "lagSeconds", (json_int_t)origin_lag_seconds(&s, o, now), "lagEntries",
        (json_int_t)o->n_pending, "lastError", error_json(&s, o, u), "lastContact",
        time_or_null(s.reader.last_contact_ms), "epoch", (json_int_t)o->read.epoch, "read",
        (json_int_t)o->read.seq, "applied", (json_int_t)o->applied.seq, "passedOver",
        (json_int_t)s.reader.n_malformed);
    if (item)
        item_extras(r, reg, o, &s, &source, u, item);
    if (item)
        joining_add(r, reg, o->origin, item);
    return item;
}

// Whom this region asks for that origin's blobs before it asks the origin, if anybody.
static void relays_add(struct replicator *r, const struct topology *t, const struct registry *reg,
                       const char *origin, json_t *item)
{
    json_t *names = relays_json(r, t, reg, origin);
    if (item && names)
        json_object_set(item, "relays", names);
    json_decref(names);
}

static int registry_add(struct replicator *r, const struct topology *t, const struct registry *reg,
                        int64_t now, json_t *list)
{
    struct arena a;
    arena_init(&a, 0);
    struct origin_status *origins = NULL;
    struct unknown_row *unknown = NULL;
    size_t n = 0, n_unknown = 0;
    int rc = meta_origins_of(r->o.meta, reg->key, &a, &origins, &n);
    if (!rc)
        rc = meta_unknown_list(r->o.meta, reg->key, &a, &unknown, &n_unknown);
    for (size_t i = 0; !rc && i < reg->n_replicas; i++) {
        const char *name = t->regions[reg->replicas[i].region].name;
        struct origin_status o = {.origin = name}; // nothing read of it yet
        for (size_t k = 0; k < n; k++)
            if (strcmp(origins[k].origin, name) == 0)
                o = origins[k];
        if (strcmp(name, r->o.region) == 0 && !o.n_pending)
            continue;
        const struct unknown u = {.rows = unknown, .n = n_unknown, .origin = name};
        json_t *item = item_json(r, reg, &o, &u, now);
        relays_add(r, t, reg, name, item);
        if (json_array_append_new(list, item))
            rc = ERR_NOMEM;
    }
    arena_done(&a);
    return rc;
}

static bool sealed_more_say(const struct peer *p, const struct replicator *r, char *out, size_t cap)
{
    int n = snprintf(out, cap,
                     "%s was forgotten while %s was away, which holds more of what it wrote than "
                     "counts, so the regions differ: meridian region forget %s makes that count",
                     peer_name(p), r->o.region, peer_name(p));
    return n > 0 && (size_t)n < cap;
}

// What regions say of each other: no names of what registries hold.
static json_t *faults_of_regions(struct replicator *r)
{
    json_t *list = json_array();
    char text[512];
    if (!r || !list)
        return list;
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        struct peer *p = peers_at(r->peers, i);
        struct peer_view v;
        peer_look(p, &v);
        if (v.sealed_more && sealed_more_say(p, r, text, sizeof text))
            json_array_append_new(list, json_string(text));
        if (mark_claim_fault(peer_claim(p), peer_name(p), r->o.region, text, sizeof text))
            json_array_append_new(list, json_string(text));
    }
    return list;
}

void *replicator_faults_json(struct replicator *r)
{
    json_t *list = faults_of_regions(r);
    if (r && list)
        mender_faults(r->mender, NULL, list);
    return list;
}

void *replicator_faults_for(struct replicator *r, const char *registry)
{
    json_t *list = faults_of_regions(r);
    if (r && list && registry)
        mender_faults(r->mender, registry, list);
    return list;
}

// What operators have ordered for this region: of the registry that is asked about, or of all.
static void add_orders(struct replicator *r, const struct topology *t, const char *registry,
                       json_t *root)
{
    char text[1024] = "";
    const char *label = NULL;
    const struct registry *reg = NULL;
    if (!r->o.orders)
        return;
    if (registry)
        reg = topology_registry(t, registry);
    if (reg)
        label = reg->label;
    r->o.orders(r->o.orders_ctx, r->o.region, label, text, sizeof text);
    if (*text)
        json_object_set_new(root, "orders", json_string(text));
}

// Those of the registries that this region holds: all, or the one that is asked about.
static int registries_add(struct replicator *r, const struct topology *t, const char *registry,
                          int64_t now, json_t *list)
{
    const struct region *self = topology_region(t, r->o.region);
    AUTO_FREE const struct registry **all = topology_sorted(t);
    if (!all)
        return ERR_NOMEM;
    for (size_t i = 0; self && i < t->n_registries; i++) {
        const struct registry *reg = all[i];
        if (registry && strcmp(reg->name, registry) != 0)
            continue;
        if (!registry_replica(reg, self->index))
            continue;
        int rc = registry_add(r, t, reg, now, list);
        if (rc)
            return rc;
    }
    return 0;
}

// Of all registries, or of the one that is asked about: who may see that one sees no more.
static json_t *faults_of(struct replicator *r, const struct topology *t, const char *registry)
{
    const struct registry *reg = NULL;
    if (!registry)
        return replicator_faults_json(r);
    reg = topology_registry(t, registry);
    return replicator_faults_for(r, reg ? reg->key : NULL);
}

static json_t *document(struct replicator *r, int64_t now, json_t *faults, json_t *replications)
{
    struct arena a;
    char when[CLOCK_TEXT_SIZE];
    arena_init(&a, 64 << 10);
    const char *writes = meta_closed_why(r->o.meta, &a);
    if (!writes)
        writes = "open";
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:O}", "region", r->o.region, "time",
                  clock_format(now, when), "writes", writes, "clock", clock_report_json(r->clocks),
                  "faults", faults, "replications", replications);
    arena_done(&a);
    return root;
}

// How far each of these registries is applied by all who hold it.
static void add_horizons(struct replicator *r, const struct topology *t, const char *registry,
                         json_t *root)
{
    const struct region *self = topology_region(t, r->o.region);
    json_t *list = json_array();
    AUTO_FREE const struct registry **all = topology_sorted(t);
    for (size_t i = 0; self && all && i < t->n_registries; i++) {
        const struct registry *reg = all[i];
        bool asked = !registry || strcmp(reg->name, registry) == 0;
        if (asked && registry_replica(reg, self->index))
            json_array_append_new(list, words_horizon_json(r->words, t, reg));
    }
    json_object_set_new(root, "horizons", list);
}

static json_t *status_make(struct replicator *r, const struct topology *t, const char *registry)
{
    int64_t now = clock_wall_ms();
    json_t *root = NULL, *list = json_array();
    if (list && registries_add(r, t, registry, now, list) == 0)
        root = document(r, now, faults_of(r, t, registry), list);
    if (root)
        add_orders(r, t, registry, root);
    if (root)
        add_horizons(r, t, registry, root);
    json_decref(list);
    return root;
}

void *replication_status_json(struct replicator *r, const char *registry)
{
    if (!r || !life_enter(r->life))
        return NULL;
    struct topology *t = snapshot_get(r->o.topology);
    json_t *root = NULL;
    if (t)
        root = status_make(r, t, registry);
    snapshot_unref(t);
    life_leave(r->life);
    return root;
}

// What only a newer program applies.
static void unknown_metrics(struct replicator *r, struct buf *out)
{
    struct unknown_count n;
    if (meta_unknown_count(r->o.meta, &n))
        return;
    exposition_single(out, "meridian_replication_unknown_entries", "gauge",
                      "Entries of other regions that only a newer program applies.", (double)n.n);
    exposition_single(out, "meridian_replication_freezing_entries", "gauge",
                      "Of these, those whose repository takes no writes until then.",
                      (double)n.n_must);
}

static void forged_metrics(struct replicator *r, struct buf *out)
{
    static const char name[] = "meridian_replication_refused_entries_total";
    exposition_family(out, name, "counter",
                      "Entries and heads from a region that no valid key of their origin signed.");
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        struct peer *p = peers_at(r->peers, i);
        struct peer_view v;
        peer_look(p, &v);
        exposition_begin(out, name);
        exposition_label(out, "region", peer_name(p));
        exposition_value(out, (double)v.n_forged);
    }
}

void replication_metrics(struct replicator *r, struct buf *out)
{
    if (!r || !life_enter(r->life))
        return;
    clock_report_metrics(r->clocks, out);
    speech_metrics(r->speech, out);
    unknown_metrics(r, out);
    words_metrics(r->words, out);
    dropper_metrics(r->dropper, out);
    forged_metrics(r, out);
    room_metrics(r->room, out);
    ahead_metrics(r->ahead, out);
    relays_metrics(r->relays, out);
    mender_metrics(r->mender, out);
    differences_metrics(comparer_differences(r->comparer), out);
    peer_source_metrics(r, out);
    life_leave(r->life);
}

// --- the route ---

struct status_ask {
    struct replicator *r;
    const char *registry;
};

static void status_run(struct http_request *req, struct http_response *resp)
{
    struct status_ask *q = req->ctx;
    json_t *root = replication_status_json(q->r, q->registry);
    if (root)
        http_response_json(req, resp, 200, root);
    else
        serve_refuse(req, resp, 503, "status cannot be read now");
}

void status_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                  struct http_plan *plan)
{
    struct status_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *name = arena_strdup(&req->arena, reg->name);
    if (!q || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct status_ask){.r = r, .registry = name};
    plan->kind = HTTP_PLAN_RUN;
    plan->run = status_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
