// SPDX-License-Identifier: Apache-2.0
// lifecycle: from any registries, by any sequence of verbs, with regions that come and go, requests
// that are canceled, and a writer that dies at any entry: the end is as if each request that
// Succeeded had been done once, and none of the others. On the way no name is in DNS that an edge in
// reach does not serve, no edge gives up a name before caches have forgotten it, the global names
// stay, and at the end names, certificates and members are those of the document that a person would
// have written.
#include "lifecycle/lifecycle.h"

#include "base/mem.h"
#include "config/endpoints.h"
#include "lifecycle/record.h"
#include "lifecycle/what_if.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/asked.h"

#include <string.h>

#define REGISTRIES 4
#define REGIONS 3
#define REST_S 360 // the longest TTL, and a minute

static const char *const names[REGISTRIES] = {"contoso", "fabrikam", "northwind", "wingtip"};
static const char *const regions[REGIONS] = {"eastus", "westus", "north"};

static uint32_t seed;

static unsigned dice(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

// ---- the model: what a person would have written ----

struct model_registry {
    bool there, regional, data, private_, replica[REGIONS];
    unsigned weight[REGIONS];
};

struct model {
    struct model_registry of[REGISTRIES];
};

static unsigned replicas_of(const struct model_registry *r)
{
    unsigned n = 0;
    for (size_t i = 0; i < REGIONS; i++)
        n += r->replica[i];
    return n;
}

static void model_random(struct model *m)
{
    *m = (struct model){0};
    for (size_t i = 0; i < REGISTRIES; i++) {
        struct model_registry *r = &m->of[i];
        r->there = dice(3) > 0;
        r->regional = dice(2);
        r->data = dice(2);
        r->private_ = r->there && dice(2);
        r->replica[dice(REGIONS)] = true;
        for (size_t k = 0; k < REGIONS; k++) {
            r->replica[k] |= dice(3) == 0;
            r->weight[k] = 100;
        }
    }
}

static void put_members(struct buf *b, size_t i, const struct model_registry *r)
{
    buf_printf(b, "  - { name: %s-pe, registry: %s, view: corp, addresses: { registry: 10.1.%zu.1",
               names[i], names[i], i);
    for (size_t k = 0; k < REGIONS; k++) {
        if (!r->replica[k])
            continue;
        buf_printf(b, ", registry_data_%s: 10.1.%zu.%zu", regions[k], i, 10 + k);
        if (r->regional)
            buf_printf(b, ", registry_%s: 10.1.%zu.%zu", regions[k], i, 20 + k);
    }
    buf_str(b, " } }\n");
}

static void model_document(const struct model *m, struct buf *b)
{
    bool any = false;
    buf_str(b, "registries:\n");
    for (size_t i = 0; i < REGISTRIES; i++) {
        const struct model_registry *r = &m->of[i];
        if (!r->there)
            continue;
        any = true;
        buf_printf(
            b, "  - name: %s\n    regional_endpoints: %s\n    data_endpoints: %s\n    replicas:\n",
            names[i], r->regional ? "enabled" : "disabled", r->data ? "enabled" : "disabled");
        for (size_t k = 0; k < REGIONS; k++)
            if (r->replica[k])
                buf_printf(b, "      - { region: %s, weight: %u }\n", regions[k], r->weight[k]);
    }
    if (!any)
        buf_str(b, "  []\n");
    buf_str(b, "private_endpoints:\n");
    any = false;
    for (size_t i = 0; i < REGISTRIES; i++) {
        if (!m->of[i].there || !m->of[i].private_)
            continue;
        put_members(b, i, &m->of[i]);
        any = true;
    }
    if (!any)
        buf_str(b, "  []\n");
}

// ---- what is asked ----

enum wish_kind { CREATE, UPDATE, DELETE, ADD, REMOVE, WEIGHT, N_WISHES };

struct wish {
    enum wish_kind kind;
    size_t registry, region;
    // 0 no, 1 yes, 2 not said
    unsigned regional, data, weight;
    char id[OPERATION_ID_SIZE];
};

static struct wish wish_random(void)
{
    return (struct wish){.kind = (enum wish_kind)dice(N_WISHES),
                         .registry = dice(REGISTRIES),
                         .region = dice(REGIONS),
                         .regional = dice(3),
                         .data = dice(3),
                         .weight = 10 + dice(3)};
}

// As if it were done once.
static void model_apply(struct model *m, const struct wish *w)
{
    struct model_registry *r = &m->of[w->registry];
    switch (w->kind) {
    case CREATE:
        *r = (struct model_registry){
            .there = true, .regional = w->regional == 1, .data = w->data == 1};
        r->replica[w->region] = true;
        for (size_t k = 0; k < REGIONS; k++)
            r->weight[k] = 100;
        break;
    case UPDATE:
        if (w->regional < 2)
            r->regional = w->regional;
        if (w->data < 2)
            r->data = w->data;
        break;
    case DELETE:
        r->there = false;
        break;
    case ADD:
        r->replica[w->region] = true;
        r->weight[w->region] = w->weight;
        break;
    case REMOVE:
        r->replica[w->region] = false;
        break;
    case WEIGHT:
        r->weight[w->region] = w->weight;
        break;
    default:
        ck_abort();
    }
}

static void put_switch(struct buf *b, const char *name, unsigned said)
{
    if (said < 2)
        buf_printf(b, "%s'%s':%s", b->n > 1 ? "," : "", name, said ? "true" : "false");
}

// Addresses of all names that may come, as a careful person would give them; what does not come is
// refused, so they are made from what is in force.
static void put_ips(struct buf *b, const struct asked *a, const struct wish *w)
{
    const struct registry *r = topology_registry(a->fleet.t, names[w->registry]);
    bool any = false;
    if (!r || !r->n_private_endpoints)
        return;
    bool regional = r->regional_endpoints;
    bool comes = w->kind == UPDATE && w->regional == 1 && !regional;
    buf_printf(b, "%s'ip':{", b->n > 1 ? "," : "");
    for (size_t k = 0; k < REGIONS; k++) {
        bool is_there = registry_replica(r, topology_region(a->fleet.t, regions[k])->index) != NULL;
        bool added = w->kind == ADD && w->region == k && !is_there;
        if (added)
            buf_printf(b, "%s'registry_data_%s':'10.1.%zu.%zu'", any ? "," : "", regions[k],
                       w->registry, 10 + k);
        any |= added;
        if ((added && regional) || (comes && is_there)) {
            buf_printf(b, "%s'registry_%s':'10.1.%zu.%zu'", any ? "," : "", regions[k], w->registry,
                       20 + k);
            any = true;
        }
    }
    buf_str(b, "}");
}

static const char *const verbs[N_WISHES] = {"registry create",    "registry update",
                                            "registry delete",    "replication create",
                                            "replication delete", "replication update"};

// The status; 202: w->id is the operation.
static int wish_ask(struct asked *a, struct wish *w, const char *nonce)
{
    AUTO_BUF struct buf args;
    char object[64];
    json_t *body;
    buf_init(&args, 0);
    buf_str(&args, "{");
    if (w->kind == CREATE)
        buf_printf(&args, "'location':'%s'", regions[w->region]);
    if (w->kind == CREATE || w->kind == UPDATE) {
        put_switch(&args, "regionalEndpoints", w->regional);
        put_switch(&args, "dataEndpointEnabled", w->data);
    }
    if (w->kind == ADD || w->kind == WEIGHT)
        buf_printf(&args, "'weight':%u", w->weight);
    if (w->kind == UPDATE || w->kind == ADD)
        put_ips(&args, a, w);
    buf_str(&args, "}");
    bool of_replica = w->kind == ADD || w->kind == REMOVE || w->kind == WEIGHT;
    snprintf(object, sizeof object, "%s%s%s", names[w->registry], of_replica ? "/" : "",
             of_replica ? regions[w->region] : "");
    int status = asked_of(a, nonce, verbs[w->kind], object, buf_cstr(&args), &body);
    if (status == 202)
        snprintf(w->id, sizeof w->id, "%s", record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    return status;
}

// ---- what holds on the way ----

struct name_life { // of one name, of one life of its registry
    uint64_t incarnation;
    enum name_stage stage;
    // of the feed; wall
    uint64_t edge_seq;
    int64_t public_until_ms;
};

struct watch {
    struct name_life of[REGISTRIES][1 + 2 * REGIONS];
};

static void name_came(const struct toy_fleet *f, struct name_life *n, enum name_stage now)
{
    if (now == STAGE_GONE)
        return;
    if (n->stage == STAGE_GONE)
        n->edge_seq = f->place.seq;
    if (now != STAGE_PUBLIC)
        return;
    // every region in reach had it at its edge before
    for (size_t i = 0; i < f->t->n_regions; i++)
        ck_assert(!f->up[i] || f->stored[i] >= n->edge_seq);
}

static void name_watch(const struct toy_fleet *f, struct name_life *n, enum name_stage now)
{
    if (n->stage != STAGE_PUBLIC && now != n->stage)
        name_came(f, n, now);
    if (n->stage == STAGE_PUBLIC && now != STAGE_PUBLIC) {
        ck_assert_int_ne(now, STAGE_GONE);
        n->public_until_ms = f->now_ms;
    }
    if (n->stage != STAGE_GONE && now == STAGE_GONE && n->public_until_ms)
        ck_assert_int_ge(f->now_ms - n->public_until_ms, REST_S * 1000);
    if (now == STAGE_GONE || now == STAGE_PUBLIC)
        n->public_until_ms = 0;
    n->stage = now;
}

static void registry_watch(const struct toy_fleet *f, struct name_life *lives, size_t i)
{
    const struct registry *r = topology_registry(f->t, names[i]);
    for (size_t k = 0; k < 1 + 2 * REGIONS; k++) {
        enum name_kind kind = k ? (k % 2 ? NAME_REGIONAL : NAME_DATA) : NAME_GLOBAL;
        uint8_t region = k ? topology_region(f->t, regions[(k - 1) / 2])->index : REGION_NONE;
        enum name_stage now = STAGE_GONE;
        if (r)
            now = registry_name_stage(r, kind, region);
        name_watch(f, &lives[k], now);
    }
}

static void after_entry(struct toy_fleet *f, void *ctx)
{
    struct watch *w = ctx;
    for (size_t i = 0; i < REGISTRIES; i++)
        registry_watch(f, w->of[i], i);
}

static void watch_begin(struct asked *a, struct watch *w)
{
    for (size_t i = 0; i < REGISTRIES; i++)
        for (size_t k = 0; k < 1 + 2 * REGIONS; k++)
            w->of[i][k] = (struct name_life){.stage = STAGE_GONE};
    after_entry(&a->fleet, w);
    a->fleet.appended = after_entry;
    a->fleet.ctx = w;
}

// ---- a run ----

#define WISHES_MAX 64
struct run {
    struct asked a;
    struct model m;
    struct watch w;
    struct wish open[WISHES_MAX];
    size_t n_open;
    unsigned n_done, n_canceled, n_deaths;
};

static const char *said(struct run *r, const struct wish *w)
{
    json_t *o = NULL;
    if (lifecycle_operation(r->a.l, w->id, &o))
        return "it is not there";
    return json_dumps(o, 0);
}

// Operations that have ended, in the order in which they ended: those of one registry never overlap.
static void take_ended(struct run *r)
{
    for (size_t i = 0; i < r->n_open; i++) {
        const char *state = asked_state(&r->a, r->open[i].id);
        bool succeeded = !strcmp(state, "Succeeded");
        bool canceled = !strcmp(state, "Canceled");
        if (!strcmp(state, "Failed") || !*state)
            ck_abort_msg("%s %s: %s", verbs[r->open[i].kind], r->open[i].id, said(r, &r->open[i]));
        if (!succeeded && !canceled)
            continue;
        if (succeeded)
            model_apply(&r->m, &r->open[i]);
        r->n_done += succeeded;
        r->n_canceled += canceled;
        memmove(&r->open[i], &r->open[i + 1], (r->n_open - i - 1) * sizeof r->open[0]);
        r->n_open--;
        i--;
    }
}

static void revive(struct run *r)
{
    if (!r->a.fleet.dead)
        return;
    r->n_deaths++;
    asked_restart(&r->a);
}

static void maybe_die(struct run *r)
{
    if (dice(3))
        return;
    r->a.fleet.dies = dice(2) ? TOY_DIES_BEFORE : TOY_DIES_AFTER;
    r->a.fleet.dies_in = 1 + dice(3);
}

static void ask_once(struct run *r)
{
    struct wish w = wish_random();
    char nonce[33];
    int status = 503;
    snprintf(nonce, sizeof nonce, "%032x", ++r->a.n_asked);
    while (status == 503) { // whoever asks, asks again
        revive(r);
        status = wish_ask(&r->a, &w, nonce);
    }
    ck_assert_int_lt(status, 500);
    // one operation may be asked for twice
    for (size_t i = 0; status == 202 && i < r->n_open; i++)
        if (!strcmp(r->open[i].id, w.id))
            return;
    if (status == 202)
        r->open[r->n_open++] = w;
}

static void cancel_one(struct run *r)
{
    int status = 503;
    char nonce[33];
    if (!r->n_open)
        return;
    const char *id = r->open[dice((unsigned)r->n_open)].id;
    snprintf(nonce, sizeof nonce, "%032x", ++r->a.n_asked);
    while (status == 503) {
        revive(r);
        status = asked_of(&r->a, nonce, "operation cancel", id, "{}", NULL);
    }
}

static void some_time(struct run *r)
{
    static const int64_t seconds[] = {0, 1, 5, 100, 400};
    unsigned k = dice(5);
    revive(r);
    // one that is in reach takes its time, less than an operation waits for it
    size_t slow = 1 + dice(2);
    r->a.fleet.slow[slow] = k < 3;
    asked_pass(&r->a, seconds[k]);
    r->a.fleet.slow[slow] = false;
    asked_pass(&r->a, k < 3);
    revive(r);
    // a majority is always up: what is not done waits, and that is another test
    size_t away = 1 + dice(2);
    r->a.fleet.up[away] = dice(2);
    r->a.fleet.up[3 - away] = true;
}

static void settle(struct run *r)
{
    r->a.fleet.up[1] = r->a.fleet.up[2] = true;
    for (int i = 0; i < 200 && r->n_open; i++) {
        revive(r);
        asked_settle(&r->a, 5000);
        take_ended(r);
    }
    ck_assert_uint_eq(r->n_open, 0);
}

// DNS, certificates and members: what changes between the document in force and the one that a
// person would have written is nothing.
static void is_as_written(struct run *r)
{
    AUTO_BUF struct buf text;
    struct asked other;
    json_t *out = NULL;
    buf_init(&text, 0);
    model_document(&r->m, &text);
    asked_init(&other, buf_cstr(&text));
    const struct what_if_in in = {.before = r->a.fleet.t,
                                  .after = other.fleet.t,
                                  .registries = names,
                                  .n_registries = REGISTRIES,
                                  .object = "topology",
                                  .now_s = r->a.fleet.now_ms / 1000};
    ck_assert_int_eq(what_if(&in, &out), 0);
    bool same = !json_array_size(json_object_get(out, "dns")) &&
                !json_array_size(json_object_get(out, "certificates")) &&
                !json_array_size(json_object_get(out, "members"));
    ck_assert_msg(same, "%s\n%s", json_dumps(out, 0), buf_cstr(&text));
    json_decref(out);
    for (size_t i = 0; i < REGISTRIES; i++) {
        char mine[2048];
        snprintf(mine, sizeof mine, "%s", asked_names(&r->a, names[i]));
        ck_assert_str_eq(mine, asked_names(&other, names[i]));
        const struct registry *x = topology_registry(r->a.fleet.t, names[i]);
        if (x)
            ck_assert_uint_eq(x->n_replicas, replicas_of(&r->m.of[i]));
    }
    asked_done(&other);
}

static void run(struct run *r, uint32_t n)
{
    AUTO_BUF struct buf text;
    *r = (struct run){0};
    seed = n * 2654435761u + 1;
    buf_init(&text, 0);
    model_random(&r->m);
    model_document(&r->m, &text);
    asked_init(&r->a, buf_cstr(&text));
    watch_begin(&r->a, &r->w);
    for (int i = 0; i < 30; i++) {
        maybe_die(r);
        ask_once(r);
        if (dice(6) == 0)
            cancel_one(r);
        some_time(r);
        take_ended(r);
    }
    settle(r);
    is_as_written(r);
    asked_done(&r->a);
}

START_TEST(the_end_is_as_if_done_once)
{
    static struct run r;
    unsigned n_done = 0, n_canceled = 0, n_deaths = 0;
    for (uint32_t i = 0; i < 120; i++) {
        run(&r, i);
        n_done += r.n_done;
        n_canceled += r.n_canceled;
        n_deaths += r.n_deaths;
    }
    // it is worth something only if all that happened
    ck_assert_uint_gt(n_done, 300);
    ck_assert_uint_gt(n_canceled, 30);
    ck_assert_uint_gt(n_deaths, 200);
}
END_TEST

CHECK_MAIN("lifecycle/any_sequence", the_end_is_as_if_done_once)
