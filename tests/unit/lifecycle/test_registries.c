// SPDX-License-Identifier: Apache-2.0
// lifecycle: what registries, replicas, names and stamps do when they are changed, as users of ACR
// know it: regional endpoints all or nothing, names and members that come and go with replicas, data
// endpoints that stay, the last replica, the same place twice, names that stay reserved.
#include "lifecycle/lifecycle.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/policy.h"
#include "config/reserved.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/asked.h"

#include <string.h>

#define PRIVATE                                                                               \
    "registries:\n"                                                                           \
    "  - { name: contoso, owner: ada, replicas: [{ region: eastus }, { region: westus }] }\n" \
    "  - { name: fabrikam, replicas: [{ region: north }] }\n"                                 \
    "private_endpoints:\n"                                                                    \
    "  - { name: corp-pe, registry: contoso, view: corp, addresses: { registry: 10.1.0.1, "   \
    "registry_data_eastus: 10.1.0.2, registry_data_westus: 10.1.0.3 } }\n"

static void to_end(struct asked *a, const char *verb, const char *object, const char *arguments)
{
    json_decref(asked_to_end(a, verb, object, arguments, "Succeeded"));
}

// The whole sentence of a refusal: static.
static const char *refused(struct asked *a, const char *verb, const char *object,
                           const char *arguments, int status)
{
    static char text[2048];
    json_t *body;
    int got = asked(a, verb, object, arguments, &body);
    ck_assert_msg(got == status, "%d: %s", got, json_dumps(body, 0));
    snprintf(text, sizeof text, "%s", record_text(json_object_get(body, "error"), "message"));
    json_decref(body);
    return text;
}

START_TEST(regional_endpoints_are_all_or_nothing)
{
    struct asked a;
    asked_init(&a, "registries:\n  - { name: contoso, replicas: [{ region: eastus }, { region: "
                   "westus }] }\n");
    to_end(&a, "registry update", "contoso", "{'regionalEndpoints':'enabled'}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    to_end(&a, "replication create", "contoso/North", "{}");
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public r.westus:public r.north:public");
    to_end(&a, "replication delete", "contoso/eastus", "{}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.westus:public r.north:public");
    // in between the global name is public throughout; tests/unit/lifecycle/test_any_sequence.c
    to_end(&a, "registry update", "contoso", "{'regionalEndpoints':'Disabled'}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    to_end(&a, "registry update", "contoso", "{'regionalEndpoints':'Enabled'}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.westus:public r.north:public");
    // data endpoints are a switch of their own
    to_end(&a, "registry update", "contoso",
           "{'dataEndpointEnabled':true,'regionalEndpoints':'Disabled'}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public d.westus:public d.north:public");
    to_end(&a, "registry update", "contoso", "{'regionalEndpoints':'Enabled'}");
    to_end(&a, "registry update", "contoso", "{'dataEndpointEnabled':false}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.westus:public r.north:public");
    asked_done(&a);
}
END_TEST

START_TEST(members_come_and_go_with_names)
{
    struct asked a;
    asked_init(&a, PRIVATE);
    // 1 + N: data endpoints are on with the first private endpoint
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public d.eastus:public d.westus:public");
    // an address too few: nothing changes, and each that is lacking is named
    const char *why =
        refused(&a, "registry update", "contoso",
                "{'regionalEndpoints':true,'ip':{'registry_eastus':'10.1.0.4'}}", 400);
    ck_assert_ptr_nonnull(strstr(why, "registry_westus"));
    ck_assert_ptr_null(strstr(why, "registry_eastus"));
    ck_assert_ptr_nonnull(strstr(why, "corp-pe (view corp)"));
    why = refused(&a, "registry update", "contoso",
                  "{'regionalEndpoints':true,'ip':{'registry_eastus':'10.1.0.4','registry_westus':"
                  "'10.1.0.5','registry_north':'10.1.0.6'}}",
                  400);
    ck_assert_ptr_nonnull(strstr(why, "brings no registry_north"));
    why = refused(&a, "registry update", "contoso",
                  "{'regionalEndpoints':true,'ip':{'registry_eastus':'10.9.0.4','registry_westus':"
                  "'10.1.0.5'}}",
                  409);
    ck_assert_ptr_nonnull(strstr(why, "10.9.0.4"));
    ck_assert_uint_eq(a.fleet.t->version, 40);
    to_end(&a, "registry update", "contoso",
           "{'regionalEndpoints':true,'ip':{'registry_eastus':'10.1.0.4','registry_westus':"
           "['10.1.0.5','fd00::5']}}");
    ck_assert_str_eq(asked_members(&a, "contoso"),
                     "corp-pe: registry registry_data_eastus registry_data_westus registry_eastus "
                     "registry_westus registry_westus");
    // a replica asks for exactly two
    why = refused(&a, "replication create", "contoso/north", "{}", 400);
    ck_assert_ptr_nonnull(strstr(why, "registry_north"));
    ck_assert_ptr_nonnull(strstr(why, "registry_data_north"));
    to_end(&a, "replication create", "contoso/north",
           "{'ip':{'corp-pe/registry_north':'10.1.0.6','corp-pe/registry_data_north':'10.1.0.7'}}");
    ck_assert_str_eq(asked_members(&a, "contoso"),
                     "corp-pe: registry registry_data_eastus registry_data_westus registry_eastus "
                     "registry_westus registry_westus registry_north registry_data_north");
    to_end(&a, "replication delete", "contoso/westus", "{}");
    ck_assert_str_eq(asked_members(&a, "contoso"),
                     "corp-pe: registry registry_data_eastus registry_eastus registry_north "
                     "registry_data_north");
    to_end(&a, "registry update", "contoso", "{'regionalEndpoints':'Disabled'}");
    ck_assert_str_eq(asked_members(&a, "contoso"),
                     "corp-pe: registry registry_data_eastus registry_data_north");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public d.eastus:public d.north:public");
    asked_done(&a);
}
END_TEST

// Private names come before public ones, and go after them.
START_TEST(private_names_come_first_and_go_last)
{
    struct asked a;
    static const char *const up[] = {"edge", "members", "private-dns", "public-dns"};
    static const char *const down[] = {"public-dns", "wait",    "private-dns",
                                       "wait",       "members", "edge"};
    asked_init(&a, PRIVATE);
    json_t *o = asked_to_end(&a, "registry update", "contoso",
                             "{'regionalEndpoints':true,'ip':{'registry_eastus':'10.1.0.4','"
                             "registry_westus':'10.1.0.5'}}",
                             "Succeeded");
    const json_t *list = json_object_get(o, "phases");
    ck_assert_uint_eq(json_array_size(list), 5);
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(record_text(json_array_get(list, i + 1), "name"), up[i]);
    json_decref(o);
    o = asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':false}", "Succeeded");
    list = json_object_get(o, "phases");
    ck_assert_uint_eq(json_array_size(list), 7);
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(record_text(json_array_get(list, i), "name"), down[i]);
    ck_assert_str_eq(record_text(json_array_get(list, 6), "name"), "edge");
    json_decref(o);
    asked_done(&a);
}
END_TEST

START_TEST(replicas_have_their_rules)
{
    struct asked a;
    asked_init(&a, PRIVATE);
    ck_assert_ptr_nonnull(
        strstr(refused(&a, "replication create", "fabrikam/north", "{}", 409),
               "Replication could not be created in the same location as the registry"));
    ck_assert_ptr_nonnull(
        strstr(refused(&a, "replication delete", "fabrikam/north", "{}", 409), "last replica"));
    to_end(&a, "replication create", "fabrikam/eastus",
           "{'globalEndpointRouting':false,'weight':20,'stamp':'eus-2'}");
    const struct registry *r = topology_registry(a.fleet.t, "fabrikam");
    ck_assert_uint_eq(r->n_replicas, 2);
    ck_assert(!r->replicas[0].global_routing);
    ck_assert_uint_eq(r->replicas[0].stamp, 1);
    ck_assert_uint_eq(r->weights[0], 20);
    to_end(&a, "replication update", "fabrikam/eastus", "{'globalEndpointRouting':true}");
    ck_assert(topology_registry(a.fleet.t, "fabrikam")->replicas[0].global_routing);
    // to another stamp: the command says since when
    const char *bare =
        refused(&a, "replication rebind", "contoso/eastus", "{'stamp':'eus-2'}", 400);
    ck_assert_ptr_nonnull(strstr(bare, "since"));
    const char *direct =
        refused(&a, "replication update", "contoso/eastus", "{'stamp':'eus-2'}", 409);
    ck_assert_ptr_nonnull(strstr(direct, "replication rebind"));
    to_end(&a, "replication rebind", "contoso/eastus",
           "{'stamp':'eus-2','was':'eus-1','since':'2030-01-01T00:00:00Z'}");
    ck_assert_uint_eq(topology_registry(a.fleet.t, "contoso")->replicas[0].stamp, 1);
    asked_done(&a);
}
END_TEST

// The frame in force with that negative TTL, as an apply would have it.
static void deny_for(struct asked *a, unsigned seconds)
{
    AUTO_BUF struct buf text;
    const struct topology_frame *f = a->fleet.t->frame;
    const char *had = memmem(f->text, f->text_n, "ttl:", 4);
    struct control_place p;
    struct diag diag;
    buf_init(&text, 0);
    buf_add(&text, f->text, had ? (size_t)(had - f->text) : f->text_n);
    buf_printf(&text, "ttl: { negative: %us }\n", seconds);
    const struct control_draft d = {.by = "hand", .frame = bytes_of(text.p, text.n)};
    diag_init(&diag);
    ck_assert_int_eq(a->fleet.deps.append(&a->fleet, &d, &diag, &p), 0);
    diag_done(&diag);
}

// As the command asks for it: everybody had the name at this moment. The status; `says`: of a refusal.
static int rebind_now(struct asked *a, unsigned counted_s, const char *says)
{
    char since[CLOCK_TEXT_SIZE], arguments[160];
    json_t *body;
    clock_format_s(a->fleet.now_ms / 1000 + counted_s, since);
    snprintf(arguments, sizeof arguments, "{'stamp':'eus-2','was':'eus-1','since':'%s'}", since);
    int status = asked(a, "replication rebind", "contoso/eastus", arguments, &body);
    const char *said = record_text(json_object_get(body, "error"), "message");
    ck_assert_msg(!says || strstr(said, says), "%s", said);
    json_decref(body);
    return status;
}

// A resolver believes a denial for as long as it was told to, whatever the document says by now.
START_TEST(denials_of_a_longer_negative_ttl_are_waited_for)
{
    struct asked a;
    asked_init(&a, "registries:\n  - { name: contoso, replicas: [{ region: eastus }] }\n");
    deny_for(&a, 900);
    deny_for(&a, 60);
    asked_pass(&a, 10);
    ck_assert_int_eq(rebind_now(&a, 65, "ttl.negative was shortened lately, and resolvers may say"),
                     409);
    ck_assert_int_eq(rebind_now(&a, 65, "ask again in 8"), 409);
    // at once: the old stamp is dead
    ck_assert_int_eq(rebind_now(&a, 0, NULL), 202);
    asked_done(&a);

    asked_init(&a, "registries:\n  - { name: contoso, replicas: [{ region: eastus }] }\n");
    deny_for(&a, 900);
    deny_for(&a, 60);
    asked_pass(&a, 830);
    ck_assert_int_eq(rebind_now(&a, 65, "ask again"), 409);
    asked_pass(&a, 12);
    ck_assert_int_eq(rebind_now(&a, 65, NULL), 202);
    asked_pass(&a, 100);
    ck_assert_ptr_null(toy_fleet_record(&a.fleet, "ttl/42"));
    asked_done(&a);
}
END_TEST

// Deleted and made again at once: the deletion is turned round, and the replica has not been away.
START_TEST(a_replica_comes_back_at_once)
{
    struct asked a;
    json_t *body;
    asked_init(&a, "registries:\n  - { name: contoso, regional_endpoints: enabled, replicas: [{ "
                   "region: eastus }, { region: westus }] }\n");
    ck_assert_int_eq(asked(&a, "replication delete", "contoso/westus", "{}", &body), 202);
    char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    asked_pass(&a, 20);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:edge");
    to_end(&a, "replication create", "contoso/westus", "{}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    free(id);
    // and after its end
    to_end(&a, "replication delete", "contoso/westus", "{}");
    to_end(&a, "replication create", "contoso/westus", "{}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    asked_done(&a);
}
END_TEST

START_TEST(a_registry_is_made_and_named)
{
    struct asked a;
    asked_init(&a, PRIVATE);
    to_end(&a, "registry create", "Northwind",
           "{'location':'West US','regionalEndpoints':true,'dnlScope':'TenantReuse','cidrs':["
           "'192.0.2.0/24']}");
    const struct registry *r = topology_registry(a.fleet.t, "northwind");
    ck_assert_ptr_nonnull(r);
    ck_assert_str_eq(asked_names(&a, "northwind"), "g:public r.westus:public");
    ck_assert_str_eq(r->owner, "ada");
    ck_assert_uint_eq(strlen(r->hash), 16);
    ck_assert_uint_eq(r->incarnation, 41);
    ck_assert_int_eq(r->public_access, ACCESS_CIDRS);
    to_end(&a, "registry update", "northwind", "{'publicNetworkEnabled':false}");
    ck_assert_int_eq(topology_registry(a.fleet.t, "northwind")->public_access, ACCESS_DISABLED);
    asked_done(&a);
}
END_TEST

START_TEST(a_deleted_name_is_reserved)
{
    struct asked a;
    json_t *body;
    asked_init(&a, PRIVATE);
    uint64_t from = a.fleet.t->version;
    to_end(&a, "registry delete", "contoso", "{}");
    ck_assert_str_eq(asked_names(&a, "contoso"), "");
    const struct reserved_name *n = topology_reserved(a.fleet.t, "contoso");
    ck_assert_ptr_nonnull(n);
    ck_assert_str_eq(n->owner, "ada");
    ck_assert_int_eq((n->until_s - n->since_s) / 86400, 90);
    ck_assert_uint_gt(a.fleet.t->version, from);
    // another owner is told until when; the owner takes it, and begins empty
    ck_assert_int_eq(asked(&a, "registry create", "contoso", "{'owner':'bob'}", &body), 409);
    ck_assert_ptr_nonnull(strstr(record_text(json_object_get(body, "error"), "message"),
                                 "reserved for ada until 20"));
    ck_assert_str_eq(asked_code(body), "NameReserved");
    ck_assert_int_eq(asked(&a, "registry create", "contoso", "{'location':'north'}", &body), 202);
    char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    ck_assert_ptr_null(topology_reserved(a.fleet.t, "contoso"));
    // a creation that comes to nothing leaves it reserved as it was
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_ptr_nonnull(topology_reserved(a.fleet.t, "contoso"));
    free(id);
    to_end(&a, "name release", "contoso", "{}");
    to_end(&a, "registry create", "contoso", "{'owner':'bob'}");
    ck_assert_uint_gt(topology_registry(a.fleet.t, "contoso")->incarnation, from);
    to_end(&a, "registry delete", "fabrikam", "{'reserveDays':0}");
    ck_assert_ptr_null(topology_reserved(a.fleet.t, "fabrikam"));
    asked_done(&a);
}
END_TEST

#define USERS                                                                       \
    "version: 1\nusers:\n  - name: bob\n    password_hash: "                        \
    "'$2b$12$abcdefghijklmnopqrstuuWvBXVW9WLyXkFgAkVjH1bU1v4hLqFXm'\n    grants:\n" \
    "      - { registry: contoso, repositories: ['*'], actions: [pull] }\n"         \
    "      - { registry: fabrikam, repositories: ['*'], actions: [pull] }\n"

START_TEST(grants_go_with_their_registry)
{
    struct asked a;
    json_t *body;
    asked_init(&a, PRIVATE);
    free(a.fleet.principals);
    a.fleet.principals = mem_strdup(USERS);
    ck_assert_int_eq(asked(&a, "registry delete", "contoso", "{'whatIf':true}", &body), 200);
    char *text = json_dumps(json_object_get(json_object_get(body, "whatIf"), "notes"), 0);
    ck_assert_ptr_nonnull(strstr(text, "user bob"));
    free(text);
    json_decref(body);
    ck_assert_int_eq(asked(&a, "registry delete", "contoso", "{'purge':true}", NULL), 202);
    asked_settle(&a, 2000);
    ck_assert_ptr_null(topology_registry(a.fleet.t, "contoso"));
    ck_assert_ptr_null(strstr(a.fleet.principals, "contoso"));
    ck_assert_ptr_nonnull(strstr(a.fleet.principals, "fabrikam"));
    ck_assert_uint_eq(a.fleet.principals_version, 2);
    const char *gone = toy_fleet_record(&a.fleet, "gone/contoso");
    ck_assert_ptr_nonnull(gone);
    json_t *due = json_loads(gone, 0, NULL);
    ck_assert_int_eq(record_number(due, "due"), record_number(due, "since"));
    json_decref(due);
    asked_done(&a);
}
END_TEST

START_TEST(a_stamp_drains_by_batches)
{
    struct asked a;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_str(&text, "registries:\n");
    for (int i = 0; i < 1201; i++)
        buf_printf(&text,
                   "  - { name: reg%05d, replicas: [{ region: eastus }, { region: north }] }\n", i);
    asked_init(&a, buf_cstr(&text));
    int64_t begun_ms = a.fleet.now_ms;
    to_end(&a, "stamp drain", "eastus/eus-1", "{}");
    ck_assert_uint_eq(a.fleet.t->version, 43);
    // it is safe to stop the stamp: the largest TTL handed out was waited for, once and not by batches
    int64_t rest_ms = 1000 * (ttls_cached_s(&a.fleet.t->ttl) + 60ll);
    ck_assert_int_ge(a.fleet.now_ms - begun_ms, rest_ms);
    ck_assert_int_lt(a.fleet.now_ms - begun_ms, rest_ms + 30000);
    for (int i = 0; i < 1201; i += 100) {
        char name[64];
        snprintf(name, sizeof name, "reg%05d", i);
        ck_assert(topology_registry(a.fleet.t, name)->replicas[0].drained);
        ck_assert(!topology_registry(a.fleet.t, name)->replicas[1].drained);
    }
    begun_ms = a.fleet.now_ms;
    to_end(&a, "stamp drain", "eastus/eus-1", "{'drained':false}");
    ck_assert_int_lt(a.fleet.now_ms - begun_ms, 30000);
    ck_assert(!topology_registry(a.fleet.t, "reg00000")->replicas[0].drained);
    asked_done(&a);
}
END_TEST

static bool drained(const struct asked *a, unsigned registry)
{
    char name[64];
    snprintf(name, sizeof name, "reg%05u", registry);
    return topology_registry(a->fleet.t, name)->replicas[0].drained;
}

static unsigned n_drained(const struct asked *a)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 1201; i++)
        n += drained(a, i);
    return n;
}

static bool has_parts(const struct asked *a)
{
    for (size_t i = 0; i < a->fleet.n_records; i++)
        if (!strncmp(a->fleet.records[i].key, "part/", 5))
            return true;
    return false;
}

// Begins it, waits until the second of three batches is in force, and calls it off.
static void drain_called_off(struct asked *a, const char *arguments, bool restart)
{
    json_t *body, *o;
    uint64_t version = a->fleet.t->version;
    ck_assert_int_eq(asked(a, "stamp drain", "eastus/eus-1", arguments, &body), 202);
    const char *id = record_text(json_object_get(body, "operation"), "id");
    while (a->fleet.t->version < version + 2) {
        toy_fleet_carry(&a->fleet);
        a->fleet.now_ms += lifecycle_run(a->l);
    }
    if (restart)
        asked_restart(a);
    ck_assert_int_eq(asked(a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(a, 100);
    ck_assert_int_eq(lifecycle_operation(a->l, id, &o), 0);
    ck_assert_str_eq(record_text(o, "state"), "Canceled");
    json_decref(o);
    json_decref(body);
}

START_TEST(a_drain_that_is_called_off_leaves_what_others_drained)
{
    struct asked a;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_str(&text, "registries:\n");
    for (int i = 0; i < 1201; i++)
        buf_printf(&text,
                   "  - { name: reg%05d, replicas: [{ region: eastus%s }, { region: north }] }\n",
                   i, i % 10 == 3 ? ", drained: true" : "");
    asked_init(&a, buf_cstr(&text));
    drain_called_off(&a, "{}", false);
    ck_assert_uint_eq(n_drained(&a), 120);
    ck_assert(drained(&a, 3));
    ck_assert(!drained(&a, 4));
    drain_called_off(&a, "{}", true);
    ck_assert_uint_eq(n_drained(&a), 120);
    ck_assert(!has_parts(&a));
    // and the other way round
    to_end(&a, "stamp drain", "eastus/eus-1", "{}");
    ck_assert_uint_eq(n_drained(&a), 1201);
    ck_assert(!has_parts(&a));
    int64_t begun_ms = a.fleet.now_ms, rest_ms = 1000 * (ttls_cached_s(&a.fleet.t->ttl) + 60ll);
    to_end(&a, "replication update", "reg00700/eastus", "{'drained':false}");
    ck_assert_int_lt(a.fleet.now_ms - begun_ms, 30000);
    begun_ms = a.fleet.now_ms;
    to_end(&a, "replication update", "reg00700/eastus", "{'drained':true}"); // and until it is safe
    ck_assert_int_ge(a.fleet.now_ms - begun_ms, rest_ms);
    to_end(&a, "replication update", "reg00700/eastus", "{'drained':false}");
    drain_called_off(&a, "{'drained':false}", false);
    ck_assert_uint_eq(n_drained(&a), 1200);
    ck_assert(!drained(&a, 700));
    ck_assert(!has_parts(&a));
    asked_done(&a);
}
END_TEST

// How many other regions must have a write: never more than there are, whoever changes what.
START_TEST(acknowledgement_needs_replicas)
{
    struct asked a;
    asked_init(&a, "registries:\n  - { name: contoso, owner: ada, replicas: [{ region: eastus }, { "
                   "region: westus }] }\n");
    ck_assert_uint_eq(policy_ack_peers(topology_registry(a.fleet.t, "contoso")), 0);
    to_end(&a, "registry update", "contoso", "{'ack':'peers:1'}");
    ck_assert_uint_eq(policy_ack_peers(topology_registry(a.fleet.t, "contoso")), 1);
    ck_assert_ptr_nonnull(
        strstr(refused(&a, "registry update", "contoso", "{'ack':'peers:2'}", 409),
               "ack: peers:2 asks for more other regions than have a replica that stays (1)"));
    ck_assert_ptr_nonnull(strstr(refused(&a, "registry update", "contoso", "{'ack':'peers'}", 400),
                                 "neither local nor peers:N"));
    ck_assert_ptr_nonnull(
        strstr(refused(&a, "replication delete", "contoso/westus", "{}", 409),
               "writes to contoso are acknowledged once 1 other regions have them"));
    to_end(&a, "registry update", "contoso", "{'ack':'local'}");
    json_decref(asked_to_end(&a, "replication delete", "contoso/westus", "{'waitForContent':false}",
                             "Succeeded"));
    asked_done(&a);
}
END_TEST

CHECK_MAIN("lifecycle/registries", acknowledgement_needs_replicas,
           regional_endpoints_are_all_or_nothing, members_come_and_go_with_names,
           private_names_come_first_and_go_last, replicas_have_their_rules,
           denials_of_a_longer_negative_ttl_are_waited_for, a_replica_comes_back_at_once,
           a_registry_is_made_and_named, a_deleted_name_is_reserved, grants_go_with_their_registry,
           a_stamp_drains_by_batches, a_drain_that_is_called_off_leaves_what_others_drained)
