// SPDX-License-Identifier: Apache-2.0
// Private endpoints by any sequence of what both sides, registries, documents and time do to them:
// asked for, approved, rejected, given up; replicas and regional endpoints that come and go; registries
// that are deleted and made anew; rows taken out of the document and put into it, rollbacks; operations
// that are called off, and addresses where nobody answers. After every entry what private_watch.h says
// holds. Beside it a simple model says of each request whether it is taken, and what the connection is
// then:
//
//   - the table of states (docs/private-endpoints.md)
//   - a pool that has enough is never refused, one that has not always is, and then nothing is changed
//   - each connection that is Pending or Approved has an address for each name of its registry, no more
//   - what is done to one leaves records and rows of all others alone
//
// A failure names its seed; MERIDIAN_TEST_SEED=N runs that alone.
#include "base/mem.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/connected.h"
#include "tests/unit/lifecycle/documented.h"
#include "tests/unit/lifecycle/private_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 40
#define STEPS 40
#define REGIONS 3
#define REGISTRIES 3

static const char *const regions[REGIONS] = {"eastus", "westus", "north"};
static const char *const registries[REGISTRIES] = {"contoso", "fabrikam", "wingtip"};
static const char document[] = "registries:\n"
                               "  - { name: contoso, replicas: [{ region: eastus }] }\n"
                               "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"
                               "  - { name: wingtip, regional_endpoints: enabled, replicas: [{ "
                               "region: westus }] }\n";
static const char *const verbs[N_KINDS] = {"private-endpoint create",
                                           "private-endpoint-connection approve",
                                           "private-endpoint-connection reject",
                                           "private-endpoint delete",
                                           "private-endpoint-connection delete",
                                           "replication create",
                                           "replication delete",
                                           "registry update",
                                           "registry delete",
                                           "registry create",
                                           "topology apply",
                                           "topology apply",
                                           "topology rollback"};

static struct asked a;
static struct private_watch watch;
static unsigned long seed;
static uint32_t state;

static unsigned dice(unsigned n)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
}

// All connections and rows but those of one name and those of one registry, as text. Heap.
static char *others(const char *name, const char *registry)
{
    AUTO_BUF struct buf out;
    struct there c;
    buf_init(&out, 0);
    for (size_t i = 0; i < NAMES; i++) {
        bool any = look(model_names[i], &c);
        if (!any || !strcmp(model_names[i], name) || !strcmp(c.registry, registry))
            continue;
        const struct private_endpoint *pe =
            topology_private_endpoint(a.fleet.t, model_names[i], NULL);
        json_t *record = watch_record(&a, model_names[i]);
        // how far it is with its registry's names, which the first approval brings for all
        json_object_del(record, "provisioning");
        json_object_del(record, "error");
        AUTO_FREE char *value = json_dumps(record, JSON_SORT_KEYS);
        buf_printf(&out, "%s %d %s\n", model_names[i], pe ? (int)pe->stage : -1, value);
        json_decref(record);
    }
    buf_u8(&out, 0);
    return buf_take(&out);
}

// ---- what is asked ----

// More is asked for and approved than is taken away: else there is little to look at.
static enum kind some_kind(void)
{
    static const enum kind often[] = {CREATE,  CREATE, CREATE,  APPROVE, APPROVE, APPROVE,
                                      APPROVE, REJECT, GIVE_UP, ADD,     REGIONAL};
    if (dice(5) < 3)
        return often[dice(ARRAY_LEN(often))];
    return (enum kind)dice(N_KINDS);
}

// Of those that there are, if there is luck.
static const char *some_name(bool of_all)
{
    struct there c;
    const char *name = NULL;
    for (int i = 0; i < 6 && !(name && look(name, &c)); i++)
        name = model_names[dice(of_all ? NAMES : NAMES - 1)];
    return name;
}

static struct wish some_wish(void)
{
    struct wish w = {.kind = some_kind(),
                     .name = model_names[dice(NAMES - 1)],
                     .registry = registries[dice(REGISTRIES)],
                     .region = regions[dice(REGIONS)],
                     .pool = &model_pools[dice(8) / 3], // the small one often
                     .automatic = dice(4) == 0,
                     .on = dice(3) > 0,
                     .now = dice(3) == 0,
                     .ip = watch_ip("10.1.1.0") + dice(10),
                     .version = a.fleet.t->version - dice(20)};
    bool of_one = w.kind == APPROVE || w.kind == REJECT || w.kind == DISCONNECT;
    if (w.kind == ROW_IN)
        w.name = "hand";
    if (w.kind == ROW_IN && look(w.name, &w.c) && dice(2))
        w.ip = watch_ip(w.c.address); // to another registry, if there is luck
    if (of_one || w.kind == GIVE_UP || w.kind == ROW_OUT)
        w.name = some_name(true);
    model(&w);
    for (size_t i = 0; of_one && i < REGISTRIES; i++)
        if (!strcmp(w.c.registry, registries[i]))
            w.registry = registries[i];
    return w;
}

// ---- asking ----

static int apply(const char *change, json_t **body)
{
    return documented_ask(&a, "topology apply",
                          json_pack("{s:I, s:s, s:s}", "from", (json_int_t)a.fleet.t->version,
                                    "change", change, "force", "file"),
                          false, 0, body);
}

// A document takes out what a document has given: so first it gives the row as it is in force.
static void give_as_it_is(const struct wish *w)
{
    AUTO_BUF struct buf change;
    json_t *record = watch_record(&a, w->name), *ips, *body = NULL;
    const char *member;
    buf_init(&change, 0);
    buf_printf(&change,
               "private_endpoints:\n  - { name: %s, registry: %s, view: %s, answered_by: %s, "
               "addresses: {",
               w->name, w->c.registry, w->c.view, record_text(record, "answeredBy"));
    json_object_foreach(json_object_get(record, "members"), member, ips)
        buf_printf(&change, "%s %s: %s", change.p[change.n - 1] == '{' ? "" : ",", member,
                   json_string_value(json_array_get(ips, 0)));
    buf_str(&change, " } }\n");
    int status = apply(buf_cstr(&change), &body);
    ck_assert_msg(status / 100 == 2, "%s: %s", buf_cstr(&change), json_dumps(body, 0));
    json_decref(body);
    json_decref(record);
    asked_settle(&a, 1000);
}

static int ask_document(const struct wish *w, json_t **body)
{
    if (w->kind == BACK)
        return documented_ask(&a, verbs[w->kind],
                              json_pack("{s:I}", "version", (json_int_t)w->version), false, 0,
                              body);
    AUTO_FREE char *change = NULL;
    if (w->kind == ROW_OUT)
        change = mem_printf("remove_private_endpoints: [%s]\n", w->name);
    else
        change = mem_printf("private_endpoints:\n  - { name: %s, registry: %s, view: corp, "
                            "addresses: { registry: 10.1.1.%u } }\n",
                            w->name, w->registry, w->ip & 255);
    return apply(change, body);
}

static int ask(const struct wish *w, json_t **body)
{
    AUTO_BUF struct buf args;
    char object[100];
    bool of_private = w->kind <= DISCONNECT;
    buf_init(&args, 0);
    if (w->kind >= ROW_OUT)
        return ask_document(w, body);
    snprintf(object, sizeof object, "%s", of_private ? w->name : w->registry);
    if (w->kind == ADD || w->kind == REMOVE)
        snprintf(object, sizeof object, "%s/%s", w->registry, w->region);
    buf_str(&args, "{");
    if (of_private && w->kind != GIVE_UP)
        buf_printf(&args, "'registry':'%s',", w->registry);
    if (w->kind == CREATE)
        buf_printf(&args, "'view':'%s','pool':'%s','auto':%s,", w->pool->view, w->pool->name,
                   w->automatic ? "true" : "false");
    if (w->kind == REJECT || w->kind == GIVE_UP || w->kind == DISCONNECT)
        buf_printf(&args, "'now':%s,", w->now ? "true" : "false");
    if (w->kind == REGIONAL)
        buf_printf(&args, "'regionalEndpoints':'%s',", w->on ? "Enabled" : "Disabled");
    if (w->kind == REGISTRY_OFF)
        buf_str(&args, "'reserveDays':0,");
    if (w->kind == REGISTRY_ON)
        buf_printf(&args, "'location':'%s',", w->region);
    if (args.p[args.n - 1] == ',')
        args.n--;
    buf_str(&args, "}");
    return asked(&a, verbs[w->kind], object, buf_cstr(&args), body);
}

// ---- what became of it ----

static char log_of_steps[16384];
static size_t n_log;

static const char *told(const struct wish *w)
{
    static char out[17000];
    snprintf(out, sizeof out, "seed %lu, after:\n%s%s %s -r %s", seed, log_of_steps, verbs[w->kind],
             w->name, w->registry);
    return out;
}

static void note(const struct wish *w, int status, const char *end)
{
    int n =
        snprintf(log_of_steps + n_log, sizeof log_of_steps - n_log, "  %s %s -r %s %s%s%s: %d %s\n",
                 verbs[w->kind], w->name, w->registry, w->region, w->kind == CREATE ? " " : "",
                 w->kind == CREATE ? w->pool->name : "", status, end);
    if (n > 0 && n_log + (size_t)n < sizeof log_of_steps)
        n_log += (size_t)n;
}

// A document that brings names gives its rows their addresses itself; a rollback to the middle of an
// operation finds none.
static bool is_short[NAMES];

static void is_whole(const struct wish *w)
{
    struct there c;
    for (size_t i = 0; i < NAMES; i++) {
        if (!look(model_names[i], &c) || !is_open(&c) || !c.n_lacking)
            is_short[i] = false;
        if (!*c.state || !is_open(&c))
            continue;
        is_short[i] |= w->kind == BACK && c.n_lacking;
        const struct registry *r = topology_registry_by_key(a.fleet.t, c.key);
        bool fits = c.is_static || is_short[i] || !c.n_lacking;
        ck_assert_msg(r != NULL, "%s: %s is %s without a registry", told(w), c.name, c.state);
        ck_assert_msg(fits && (c.is_static || !c.n_more), "%s: %s lacks %u, has %u more", told(w),
                      connection_of(&a, c.name), c.n_lacking, c.n_more);
    }
}

static const char *end_of(const json_t *body, const struct wish *w)
{
    static const int64_t seconds[] = {0, 1, 20, 65, 75};
    static char id[32];
    snprintf(id, sizeof id, "%s", record_text(json_object_get(body, "operation"), "id"));
    if (dice(2))
        asked_pass(&a, seconds[dice(5)]);
    if (dice(5) == 0)
        asked(&a, "operation cancel", id, "{}", NULL);
    asked_settle(&a, 20000);
    const char *end = asked_state(&a, id);
    bool has_ended = !strcmp(end, "Succeeded") || !strcmp(end, "Canceled") ||
                     (!strcmp(end, "Failed") && a.fleet.silent);
    json_t *o = NULL;
    if (!has_ended)
        lifecycle_operation(a.l, id, &o);
    ck_assert_msg(has_ended, "%s: %s", told(w), json_dumps(o, 0));
    return end;
}

static void state_is(const struct wish *w, const char *end)
{
    struct there c;
    const char *wanted = w->c.state;
    look(w->name, &c);
    bool done = !strcmp(end, "Succeeded");
    if (done && w->to)
        wanted = w->to;
    ck_assert_msg(!done || !w->keeps || !strcmp(c.address, w->c.address),
                  "%s: it has %s, and had %s", told(w), c.address, w->c.address);
    // both sides at once: the asking stays when the approving does not come to its end
    if (!done && w->kind == CREATE && !strcmp(c.state, "Pending"))
        return;
    ck_assert_msg(!strcmp(c.state, wanted), "%s: %s, and is %s, not %s", told(w), end, c.state,
                  wanted);
}

// One request to its end.
static const char *step(unsigned ends[3])
{
    struct wish w = some_wish();
    bool of_name = w.kind <= DISCONNECT || w.kind == ROW_OUT || w.kind == ROW_IN;
    struct there c;
    json_t *body = NULL;
    AUTO_FREE char *all = others("", "");
    AUTO_FREE char *rest = others(of_name ? w.name : "", of_name ? "" : w.registry);
    if (w.kind == ROW_OUT && !strcmp(w.c.state, "Approved"))
        give_as_it_is(&w);
    uint64_t seq = a.fleet.place.seq;
    if (w.kind == APPROVE && dice(6) == 0)
        a.fleet.silent = w.c.address;
    int status = ask(&w, &body);
    int kind = status > NO ? NO : status;
    if (w.kind == ROW_IN && status == NOTHING) // the last document has said the same
        kind = (int)w.answer;
    ck_assert_msg(w.answer == ANY || kind == (int)w.answer, "%s: %d, not %d: %s", told(&w), status,
                  w.answer, json_dumps(body, 0));
    const char *end = "";
    if (status == YES)
        end = end_of(body, &w);
    a.fleet.silent = NULL;
    json_decref(body);
    if (status != YES) {
        AUTO_FREE char *now = others("", "");
        ck_assert_msg(a.fleet.place.seq == seq && !strcmp(now, all), "%s changed something",
                      told(&w));
    }
    if (w.kind != BACK) {
        AUTO_FREE char *now = others(of_name ? w.name : "", of_name ? "" : w.registry);
        ck_assert_msg(!strcmp(now, rest), "%s touched others:\n%s\n%s", told(&w), rest, now);
    }
    if (of_name && status == YES && w.answer != ANY)
        state_is(&w, end);
    for (size_t i = 0; w.kind == REGISTRY_OFF && !strcmp(end, "Succeeded") && i < NAMES; i++)
        ck_assert_msg(!look(model_names[i], &c) || strcmp(c.registry, w.registry) != 0 ||
                          !strcmp(c.state, "Disconnected"),
                      "%s: %s is %s", told(&w), c.name, c.state);
    note(&w, status, end);
    is_whole(&w);
    ends[0] += !strcmp(end, "Succeeded");
    ends[1] += !strcmp(end, "Canceled") || !strcmp(end, "Failed");
    ends[2] += status >= NO;
    return end;
}

static void run(unsigned long n, unsigned ends[3])
{
    static const int64_t seconds[] = {0, 0, 0, 60, 3600, 80000, 90000};
    seed = n;
    state = (uint32_t)n * 2654435761u + 1;
    n_log = 0;
    memset(is_short, 0, sizeof is_short);
    log_of_steps[0] = 0;
    connected_begin(&a, document);
    documented_hook(&a);
    private_watch_begin(&watch, &a, seed);
    model_begin(&a, &watch);
    for (int i = 0; i < STEPS; i++) {
        step(ends);
        a.fleet.now_ms += 1000 * seconds[dice(ARRAY_LEN(seconds))];
    }
    documented_end(&a);
}

START_TEST(whatever_comes_an_address_is_one_connections)
{
    const char *wanted = getenv("MERIDIAN_TEST_SEED");
    unsigned ends[3] = {0}, n_answered = 0;
    if (wanted) {
        run(strtoul(wanted, NULL, 10), ends);
        return;
    }
    for (unsigned long i = 0; i < RUNS; i++) {
        run(i, ends);
        n_answered += watch.n_answered;
    }
    // it is worth something only if all that happened
    ck_assert_uint_gt(ends[0], 10 * RUNS);
    ck_assert_uint_gt(ends[1], RUNS / 2);
    ck_assert_uint_gt(ends[2], RUNS);
    ck_assert_uint_gt(n_answered, 4 * RUNS);
}
END_TEST

#define REGIONAL(word) "registry update", "contoso", "{'regionalEndpoints':'" word "'}"
#define TWO "Approved Succeeded registry=10.1.1.0 registry_data_eastus=10.1.1.1"

static void back_to(uint64_t version)
{
    json_t *body, *back = json_pack("{s:I}", "version", (json_int_t)version);
    int status = documented_ask(&a, "topology rollback", back, false, 0, &body);
    ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
    json_decref(body);
    asked_settle(&a, 5000);
    ck_assert(topology_registry(a.fleet.t, "contoso")->regional_endpoints);
}

// A rollback has the addresses of the version that it goes back to, and asks no pool for others.
START_TEST(who_is_short_by_a_rollback_gets_members_by_a_command)
{
    json_t *body;
    connected_begin(&a, document);
    documented_hook(&a);
    done(&a, "private-endpoint create", "ape",
         "{'registry':'contoso','view':'corp','pool':'small','auto':true}");
    ck_assert_int_eq(asked(&a, REGIONAL("Enabled"), &body), 202);
    json_decref(body);
    uint64_t midway = a.fleet.t->version; // at the edge, and members come later
    asked_settle(&a, 1000);
    uint64_t whole = a.fleet.t->version;
    ck_assert_str_eq(connection_of(&a, "ape"), TWO " registry_eastus=10.1.1.2");
    done(&a, REGIONAL("Disabled"));
    ck_assert_str_eq(connection_of(&a, "ape"), TWO);
    back_to(whole);
    ck_assert_str_eq(connection_of(&a, "ape"), TWO " registry_eastus=10.1.1.2");
    done(&a, REGIONAL("Disabled"));
    back_to(midway);
    ck_assert_str_eq(connection_of(&a, "ape"), TWO);
    done(&a, REGIONAL("Disabled"));
    done(&a, REGIONAL("Enabled"));
    ck_assert_str_eq(connection_of(&a, "ape"), TWO " registry_eastus=10.1.1.3"); // .2 rests
    documented_end(&a);
}
END_TEST

CHECK_MAIN("lifecycle/private_sequences", whatever_comes_an_address_is_one_connections,
           who_is_short_by_a_rollback_gets_members_by_a_command)
