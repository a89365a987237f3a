// SPDX-License-Identifier: Apache-2.0
// Private endpoints when things go wrong, or go on meanwhile: the histories of row 28, members that
// nobody answers at, rights of both sides, replicas that come and go, operations that are called off,
// and a writer that dies at any entry.
#include "base/mem.h"
#include "config/topology_control.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/connected.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY 86400
#define ROWS(rows) "registries:\n" rows
#define CONTOSO "  - { name: contoso, owner: bob, replicas: [{ region: eastus }] }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"
#define GP "contoso.privatelink.example.io"

#define CREATE "private-endpoint create"
#define DELETE "private-endpoint delete"
#define APPROVE "private-endpoint-connection approve"
#define REJECT "private-endpoint-connection reject"
#define TO_CORP "{'registry':'contoso','view':'corp','pool':'corp-pool'}"
#define TO_SMALL "{'registry':'contoso','view':'corp','pool':'small'}"
#define OF "{'registry':'contoso'}"
#define TWO "registry=10.1.0.4 registry_data_eastus=10.1.0.5"

static struct asked a;

static void begin(const char *registries)
{
    connected_begin(&a, registries);
}

static char *ask(const char *verb, const char *object, const char *arguments)
{
    json_t *body;
    int status = asked(&a, verb, object, arguments, &body);
    ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
    char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    return id;
}

static bool error_has(const char *id, const char *code, const char *part)
{
    json_t *o = NULL;
    ck_assert_int_eq(lifecycle_operation(a.l, id, &o), 0);
    const json_t *e = json_object_get(o, "error");
    bool has = !strcmp(record_text(e, "code"), code) && strstr(record_text(e, "message"), part);
    if (!has)
        fprintf(stderr, "%s\n", json_dumps(o, 0));
    json_decref(o);
    return has;
}

static bool lacks(const char *id, const char *what)
{
    json_t *o = NULL;
    ck_assert_int_eq(lifecycle_operation(a.l, id, &o), 0);
    const json_t *phase = record_running(o);
    bool says =
        phase && !json_object_get(phase, "waitsFor") && !strcmp(record_text(phase, "lacks"), what);
    json_decref(o);
    return says;
}

// ---- row 28 ----

// Approved → Rejected → deleted: the next tenant does not get an address that is cached.
START_TEST(gone_after_a_rejection_its_addresses_rest)
{
    begin(ROWS(CONTOSO FABRIKAM));
    done(&a, CREATE, "pe", TO_CORP);
    done(&a, APPROVE, "pe", OF);
    asked_pass(&a, 3 * DAY);
    done(&a, REJECT, "pe", OF);
    asked_pass(&a, 3600);
    ck_assert_str_eq(phases_of(&a, DELETE, "pe", "{}", "Succeeded"), "record");
    ck_assert_str_eq(held_in(&a, "corp"), "4 5");
    done(&a, CREATE, "next", "{'registry':'fabrikam','view':'corp','pool':'corp-pool'}");
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6 7");
    const char *why = refusal(&a, 409, CREATE, "sly",
                              "{'registry':'fabrikam','view':'corp','ip':{'registry':'10.1.0.4',"
                              "'registry_data_eastus':'10.1.9.9'}}");
    ck_assert_ptr_nonnull(strstr(why, "no second one there")); // of fabrikam's two
    done(&a, DELETE, "next", "{}");
    why = refusal(&a, 409, CREATE, "sly",
                  "{'registry':'fabrikam','view':'corp','ip':{'registry':'10.1.0.4',"
                  "'registry_data_eastus':'10.1.9.9'}}");
    ck_assert_ptr_nonnull(
        strstr(why, "10.1.0.4 is another private endpoint's in view corp, or was"));
    asked_pass(&a, DAY);
    ck_assert_str_eq(held_in(&a, "corp"), "");
    asked_done(&a);
}
END_TEST

// Rejected → Approved: the same addresses while they are held, others after that, or none.
START_TEST(an_approval_that_finds_no_addresses_is_refused_and_the_state_stays)
{
    begin(ROWS(CONTOSO FABRIKAM));
    done(&a, CREATE, "pe", TO_SMALL);
    done(&a, APPROVE, "pe", OF);
    done(&a, REJECT, "pe", OF);
    done(&a, APPROVE, "pe", OF);
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Approved Succeeded registry=10.1.1.0 registry_data_eastus=10.1.1.1");
    done(&a, REJECT, "pe", OF);
    asked_pass(&a, 2 * DAY);
    // one of them is given to another meanwhile
    done(&a, CREATE, "other",
         "{'registry':'fabrikam','view':'corp','ip':{'registry':'10.1.1.1',"
         "'registry_data_eastus':['10.1.1.2','10.1.1.3','10.1.1.4','10.1.1.5','10.1.1.6']}}");
    done(&a, APPROVE, "pe", OF);
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Approved Succeeded registry=10.1.1.0 registry_data_eastus=10.1.1.7");
    done(&a, REJECT, "pe", OF);
    asked_pass(&a, 2 * DAY);
    done(&a, DELETE, "other", "{}");
    done(&a, CREATE, "other",
         "{'registry':'fabrikam','view':'corp','ip':{'registry':'10.1.1.7',"
         "'registry_data_eastus':['10.1.1.1','10.1.1.2','10.1.1.3','10.1.1.4','10.1.1.5',"
         "'10.1.1.6']}}");
    uint64_t entries = a.fleet.place.seq;
    ck_assert_str_eq(refusal(&a, 409, APPROVE, "pe", OF),
                     "Refused: pool small (view corp): needs 2, has 1 and 0 free in 10.1.1.0/29; a "
                     "/28 would do");
    ck_assert_uint_eq(a.fleet.place.seq, entries);
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Rejected Succeeded registry=10.1.1.0 registry_data_eastus=10.1.1.7");
    asked_done(&a);
}
END_TEST

START_TEST(a_change_is_refused_while_another_is_under_way)
{
    begin(ROWS(CONTOSO FABRIKAM));
    done(&a, CREATE, "pe", TO_CORP);
    done(&a, APPROVE, "pe", OF);
    char *id = ask(REJECT, "pe", OF);
    asked_pass(&a, 10);
    const char *why = refusal(&a, 409, APPROVE, "pe", OF);
    ck_assert_msg(strstr(why, "OperationInProgress") == why, "%s", why);
    refusal(&a, 409, DELETE, "pe", "{}");
    refusal(&a, 409, "registry update", "contoso", "{'regionalEndpoints':'Enabled'}");
    refusal(&a, 409, CREATE, "lab-pe", "{'registry':'contoso','view':'lab'}");
    // of another registry
    done(&a, CREATE, "fab-pe", "{'registry':'fabrikam','view':'corp','pool':'corp-pool'}");
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    done(&a, APPROVE, "pe", OF);
    free(id);
    asked_done(&a);
}
END_TEST

// ---- nobody answers ----

START_TEST(an_address_where_nobody_answers_is_not_led_to)
{
    begin(ROWS(CONTOSO));
    done(&a, CREATE, "pe", TO_CORP);
    a.fleet.silent = "10.1.0.5";
    char *id = ask(APPROVE, "pe", OF);
    asked_pass(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_str_eq(state_of(&a, "pe"), "Pending Updating");
    ck_assert_str_eq(dns_of(&a, "corp", GP), "");
    ck_assert(is_admitted(&a, "contoso", "corp"));
    // whoever looks meanwhile is told what it waits for, and no region that has it by now
    ck_assert(lacks(id, "10.1.0.5: connection refused"));
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Failed");
    ck_assert(error_has(id, "MembersUnanswered", "10.1.0.5: connection refused"));
    ck_assert_str_eq(connection_of(&a, "pe"), "Pending Failed " TWO);
    ck_assert_ptr_nonnull(strstr(error_of(&a, "pe"), "10.1.0.5: connection refused"));
    ck_assert(!is_admitted(&a, "contoso", "corp"));
    // data endpoints were off before
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    free(id);
    a.fleet.silent = NULL;
    done(&a, APPROVE, "pe", OF);
    ck_assert_str_eq(connection_of(&a, "pe"), "Approved Succeeded " TWO);
    ck_assert_str_eq(error_of(&a, "pe"), "");
    asked_done(&a);
}
END_TEST

START_TEST(names_that_come_wait_for_their_members_too)
{
    begin(ROWS(CONTOSO));
    done(&a, CREATE, "pe", TO_CORP);
    done(&a, APPROVE, "pe", OF);
    a.fleet.silent = "10.1.0.6";
    char *id = ask("registry update", "contoso", "{'regionalEndpoints':'Enabled'}");
    asked_pass(&a, 60);
    ck_assert_str_eq(state_of(&a, "pe"), "Approved Updating");
    ck_assert_str_eq(dns_of(&a, "corp", "contoso.eastus.geo.example.io"), "");
    a.fleet.silent = NULL;
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Approved Succeeded " TWO " registry_eastus=10.1.0.6");
    free(id);
    // and when nobody answers, all is as it was
    a.fleet.silent = "10.1.0.7";
    id = ask("replication create", "contoso/westus", "{}");
    asked_settle(&a, 4000);
    ck_assert_str_eq(asked_state(&a, id), "Failed");
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Approved Succeeded " TWO " registry_eastus=10.1.0.6");
    ck_assert_ptr_null(registry_replica(topology_registry(a.fleet.t, "contoso"), 1));
    ck_assert_str_eq(dns_of(&a, "corp", GP), "A 10.1.0.4");
    free(id);
    asked_done(&a);
}
END_TEST

// ---- replicas ----

START_TEST(addresses_of_a_replica_are_held_from_the_first_entry_on)
{
    begin(ROWS(CONTOSO FABRIKAM));
    done(&a, CREATE, "pe", TO_CORP);
    done(&a, APPROVE, "pe", OF);
    done(&a, CREATE, "pending", "{'registry':'contoso','view':'lab'}");
    char *id = ask("replication create", "contoso/westus", "{}");
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6");
    ck_assert_str_eq(held_in(&a, "lab"), "4 5 6");
    ck_assert_str_eq(state_of(&a, "pe"), "Approved Updating");
    done(&a, CREATE, "fab-pe", "{'registry':'fabrikam','view':'corp','pool':'corp-pool'}");
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Approved Succeeded " TWO " registry_data_westus=10.1.0.6");
    ck_assert_str_eq(connection_of(&a, "pending"),
                     "Pending Succeeded registry=10.2.0.4 registry_data_eastus=10.2.0.5 "
                     "registry_data_westus=10.2.0.6");
    ck_assert_str_eq(connection_of(&a, "fab-pe"),
                     "Pending Succeeded registry=10.1.0.7 registry_data_eastus=10.1.0.8");
    free(id);
    // it goes: what DNS has answered rests, what it has not is free
    done(&a, "replication delete", "contoso/westus", "{}");
    ck_assert_str_eq(connection_of(&a, "pe"), "Approved Succeeded " TWO);
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6 7 8");
    ck_assert_str_eq(held_in(&a, "lab"), "4 5");
    // called off, it leaves nothing
    id = ask("replication create", "contoso/north", "{}");
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6 7 8 9");
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6 7 8");
    ck_assert_str_eq(connection_of(&a, "pe"), "Approved Succeeded " TWO);
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(called_off_a_connection_is_what_it_was)
{
    begin(ROWS(CONTOSO));
    done(&a, CREATE, "pe", TO_CORP);
    a.fleet.silent = "10.1.0.4";
    char *id = ask(APPROVE, "pe", OF);
    asked_pass(&a, 20);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_str_eq(connection_of(&a, "pe"), "Pending Succeeded " TWO);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    free(id);
    a.fleet.silent = NULL;
    done(&a, APPROVE, "pe", OF);
    // a deletion, while the edge still serves
    id = ask(DELETE, "pe", "{}");
    asked_pass(&a, 20);
    ck_assert_str_eq(state_of(&a, "pe"), "Disconnected Updating");
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_str_eq(connection_of(&a, "pe"), "Approved Succeeded " TWO);
    ck_assert_str_eq(dns_of(&a, "corp", GP), "A 10.1.0.4");
    free(id);
    asked_done(&a);
}
END_TEST

// ---- both sides at once, by hand ----

START_TEST(auto_approves_for_who_may_do_both)
{
    begin(ROWS(CONTOSO));
    static const char automatic[] =
        "{'registry':'contoso','view':'corp','pool':'corp-pool','auto':true}";
    a.rights = CONTROL_RIGHT_PRIVATE_ENDPOINTS;
    refusal(&a, 403, CREATE, "pe", automatic); // not the registry's side
    a.rights = CONTROL_RIGHT_PRIVATE_ENDPOINTS | CONTROL_RIGHT_REGISTRIES;
    refusal(&a, 403, CREATE, "pe", automatic); // bob's registry
    ck_assert_str_eq(connection_of(&a, "pe"), "");
    a.rights = CONTROL_RIGHTS_ALL;
    ck_assert_str_eq(phases_of(&a, CREATE, "pe", automatic, "Succeeded"),
                     "record certificates edge public-dns members private-dns");
    ck_assert_str_eq(connection_of(&a, "pe"), "Approved Succeeded " TWO);
    done(&a, DELETE, "pe", "{'now':true}");
    ck_assert_str_eq(connection_of(&a, "pe"), "");
    ck_assert(!is_admitted(&a, "contoso", "corp"));
    // one that nobody answers at stays Pending
    asked_pass(&a, 2 * DAY);
    a.fleet.silent = "10.1.0.4";
    ck_assert_str_eq(asked_state(&a, "0"), "");
    json_decref(asked_to_end(&a, CREATE, "pe", automatic, "Failed"));
    ck_assert_str_eq(connection_of(&a, "pe"), "Pending Failed " TWO);
    asked_done(&a);
}
END_TEST

START_TEST(each_side_has_its_right_and_its_owner)
{
    begin(ROWS(CONTOSO FABRIKAM));
    a.rights = CONTROL_RIGHT_REGISTRIES;
    const char *why = refusal(&a, 403, CREATE, "pe", TO_CORP);
    ck_assert_msg(strstr(why, "private-endpoints"), "%s", why);
    a.rights = CONTROL_RIGHT_PRIVATE_ENDPOINTS;
    a.by = "operator:eve"; // the view is ada's
    why = refusal(&a, 403, CREATE, "pe", TO_CORP);
    ck_assert_msg(strstr(why, "view corp, which is ada's"), "%s", why);
    done(&a, CREATE, "lab-pe", "{'registry':'contoso','view':'lab'}"); // nobody's
    a.by = "operator:ada";
    done(&a, CREATE, "pe", TO_CORP);
    why = refusal(&a, 403, APPROVE, "pe", OF);
    ck_assert_msg(strstr(why, "registries"), "%s", why);
    a.rights = CONTROL_RIGHT_REGISTRIES; // the registry is bob's
    why = refusal(&a, 403, APPROVE, "pe", OF);
    ck_assert_msg(strstr(why, "registry contoso, which is bob's"), "%s", why);
    a.by = "operator:bob";
    done(&a, APPROVE, "pe", OF);
    refusal(&a, 403, DELETE, "pe", "{}");
    a.rights = CONTROL_RIGHT_PRIVATE_ENDPOINTS;
    why = refusal(&a, 403, DELETE, "pe", "{}");
    ck_assert_msg(strstr(why, "view corp, which is ada's"), "%s", why);
    a.by = "operator:ada";
    done(&a, DELETE, "pe", "{}");
    // whose registry is nobody's, any with the right approves
    done(&a, CREATE, "fab-pe", "{'registry':'fabrikam','view':'corp','pool':'corp-pool'}");
    a.rights = CONTROL_RIGHT_REGISTRIES;
    a.by = "operator:eve";
    done(&a, APPROVE, "fab-pe", "{'registry':'fabrikam'}");
    asked_done(&a);
}
END_TEST

#define BY_HAND                                                                                    \
    "private_endpoints:\n  - { name: hand, registry: contoso, view: corp, addresses: { registry: " \
    "10.1.9.1 } }\n"

START_TEST(a_row_by_hand_is_rejected_and_approved_as_others)
{
    begin(ROWS(CONTOSO) BY_HAND);
    ck_assert_str_eq(refusal(&a, 200, APPROVE, "hand", OF),
                     "NothingToDo: connection hand is Approved already");
    ck_assert_str_eq(phases_of(&a, REJECT, "hand", OF, "Succeeded"), "private-dns wait members");
    ck_assert_str_eq(connection_of(&a, "hand"), "Rejected Succeeded registry=10.1.9.1");
    // its data names stay, though nobody had switched them on
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public d.eastus:public");
    const char *why = refusal(&a, 400, APPROVE, "hand", OF);
    ck_assert_msg(strstr(why, "hand/registry_data_eastus=ADDRESS"), "%s", why);
    done(&a, DELETE, "hand", "{}");
    ck_assert_str_eq(connection_of(&a, "hand"), "");
    asked_done(&a);
}
END_TEST

START_TEST(what_cannot_be_asked_is_said)
{
    static const struct {
        const char *name, *arguments, *why;
        int status;
    } cases[] = {
        {"pe", "{}", "leads from a view to a registry", 400},
        {"pe", "{'registry':'nobody','view':'corp'}", "there is no registry nobody", 404},
        {"pe", "{'registry':'contoso','view':'public'}", "there is no view public", 404},
        {"pe", "{'registry':'fabrikam','view':'corp'}", "view corp has 3 pools", 400},
        {"pe", "{'registry':'fabrikam','view':'corp','pool':'lab-pool'}",
         "view corp has no pool lab-pool", 404},
        {"Bad Name", TO_CORP, "cannot be a private endpoint's name", 400},
        {"pe", "{'registry':'fabrikam','view':'corp','pool':'small','ip':{}}", "not both", 400},
        {"pe", "{'registry':'fabrikam','view':'corp','ip':{'registry_west':'10.1.9.1'}}",
         "fabrikam has no member registry_west", 400},
        {"pe",
         "{'registry':'fabrikam','view':'corp','ip':{'registry':'10.9.9.1',"
         "'registry_data_eastus':'10.1.9.1'}}",
         "10.9.9.1 lies outside the networks of view corp", 400},
        {"pe", "{'registry':'fabrikam','view':'corp','ip':{'registry':[]}}", "expected an address",
         400},
        {"pe", "{'registry':'fabrikam','view':'corp','ip':{'registry':'x'}}", "is no IP address",
         400},
        {"pe", "{'registry':'fabrikam','view':'corp','pool':'small','answeredBy':'edge'}",
         "answeredBy goes with addresses", 400},
        {"pe", "{'registry':'fabrikam','view':'corp','pool':'small','message':'a\\u0007'}",
         "message: at most 140 characters", 400},
        {"there", TO_CORP, "there is a private endpoint there already", 409},
        {"second", TO_CORP, "has private endpoint there in view corp", 409},
    };
    begin(ROWS(CONTOSO FABRIKAM));
    done(&a, CREATE, "there", TO_SMALL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *why = refusal(&a, cases[i].status, CREATE, cases[i].name, cases[i].arguments);
        ck_assert_msg(strstr(why, cases[i].why) != NULL, "%zu: %s", i, why);
    }
    ck_assert_ptr_nonnull(
        strstr(refusal(&a, 404, APPROVE, "nope", OF), "no private endpoint nope"));
    ck_assert_ptr_nonnull(strstr(refusal(&a, 400, APPROVE, "there", "{}"), "registry: of which"));
    ck_assert_ptr_nonnull(strstr(refusal(&a, 404, APPROVE, "there", "{'registry':'conto'}"),
                                 "has no private endpoint connection there"));
    asked_done(&a);
}
END_TEST

// ---- what if ----

static json_t *what_if(const char *verb, const char *object, const char *arguments)
{
    json_t *body;
    int status = asked(&a, verb, object, arguments, &body);
    ck_assert_msg(status == 200, "%s", json_dumps(body, 0));
    json_t *w = json_incref(json_object_get(body, "whatIf"));
    json_decref(body);
    return w;
}

static bool has_note(const json_t *w, const char *part)
{
    const json_t *notes = json_object_get(w, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++)
        if (strstr(record_text_at(notes, i), part))
            return true;
    fprintf(stderr, "%s\n", json_dumps(notes, 0));
    return false;
}

START_TEST(a_what_if_says_what_comes)
{
    begin(ROWS(CONTOSO));
    uint64_t entries = a.fleet.place.seq;
    json_t *w = what_if(CREATE, "pe",
                        "{'registry':'contoso','view':'corp','pool':'corp-pool',"
                        "'whatIf':true}");
    ck_assert_int_eq(record_number(w, "exit"), 10);
    ck_assert(has_note(w, "members corp/pe: 0 -> 2 of /27: 27 usable, 27 free ok"));
    ck_assert(has_note(w, "it is Pending until the registry's side approves it"));
    ck_assert_uint_eq(json_array_size(json_object_get(w, "dns")), 0);
    json_decref(w);
    ck_assert_uint_eq(a.fleet.place.seq, entries);
    done(&a, CREATE, "pe", TO_CORP);
    w = what_if(APPROVE, "pe", "{'registry':'contoso','whatIf':true}");
    ck_assert_int_eq(record_number(w, "exit"), 10);
    ck_assert(has_note(w, "data endpoints of contoso are off: its first approved private endpoint "
                          "switches them on"));
    ck_assert_uint_gt(json_array_size(json_object_get(w, "dns")), 4);
    ck_assert_uint_eq(json_array_size(json_object_get(w, "members")), 2);
    json_decref(w);
    done(&a, APPROVE, "pe", OF);
    w = what_if("registry update", "contoso", "{'regionalEndpoints':'Enabled','whatIf':true}");
    ck_assert(has_note(w, "members corp/pe: 2 -> 3 of /27: 27 usable, 25 free ok"));
    ck_assert_uint_eq(json_array_size(json_object_get(w, "members")), 1);
    json_decref(w);
    w = what_if(REJECT, "pe", "{'registry':'contoso','whatIf':true}");
    ck_assert(has_note(w, "edges serve its addresses for 70 s on"));
    ck_assert(has_note(w, "its addresses are given to nobody else until"));
    json_decref(w);
    w = what_if(REJECT, "pe", "{'registry':'contoso','now':true,'whatIf':true}");
    ck_assert(has_note(w, "refused for up to 10 s"));
    json_decref(w);
    asked_done(&a);
}
END_TEST

// ---- a writer that dies ----

// All that is to be seen of it in the end.
static char *run_all(enum toy_death how, unsigned at, unsigned *out_entries)
{
    static const struct {
        const char *verb, *object, *arguments;
    } steps[] = {
        {CREATE, "pe", TO_CORP},
        {APPROVE, "pe", OF},
        {"registry update", "contoso", "{'regionalEndpoints':'Enabled'}"},
        {"replication create", "contoso/westus", "{}"},
        {REJECT, "pe", OF},
        {APPROVE, "pe", OF},
        {"replication delete", "contoso/westus", "{}"},
        {DELETE, "pe", "{}"},
        {CREATE, "new", "{'registry':'contoso','view':'corp','pool':'corp-pool','auto':true}"},
    };
    AUTO_BUF struct buf all;
    buf_init(&all, 0);
    begin(ROWS(CONTOSO));
    a.fleet.dies = how;
    a.fleet.dies_in = at;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        json_t *body = NULL;
        char nonce[33];
        snprintf(nonce, sizeof nonce, "%032zx", 0xfed00 + i);
        int status = 503;
        for (int tries = 0; status == 503 && tries < 2; tries++) {
            json_decref(body);
            status = asked_of(&a, nonce, steps[i].verb, steps[i].object, steps[i].arguments, &body);
            if (a.fleet.dead)
                asked_restart(&a);
        }
        ck_assert_msg(status == 202, "%zu: %s", i, json_dumps(body, 0));
        json_decref(body);
        asked_settle(&a, 4000);
        if (a.fleet.dead) {
            asked_restart(&a);
            asked_settle(&a, 4000);
        }
        buf_printf(&all, "%s | ", connection_of(&a, "pe"));
        buf_printf(&all, "%s | %s | ", held_in(&a, "corp"), dns_of(&a, "corp", GP));
    }
    buf_printf(&all, "%s | %s", connection_of(&a, "new"), asked_names(&a, "contoso"));
    *out_entries = (unsigned)a.fleet.place.seq;
    asked_done(&a);
    return buf_take(&all);
}

START_TEST(a_writer_that_dies_at_any_entry_changes_nothing)
{
    unsigned n, unused;
    char *whole = run_all(TOY_LIVES, 0, &n);
    ck_assert_msg(strstr(whole, "| Approved Succeeded registry=10.1.0.9") != NULL, "%s", whole);
    for (int how = TOY_DIES_BEFORE; how <= TOY_DIES_AFTER; how++)
        for (unsigned at = 1; at <= n; at++) {
            char *got = run_all((enum toy_death)how, at, &unused);
            ck_assert_msg(!strcmp(got, whole), "%d at %u:\n%s\n%s", how, at, got, whole);
            free(got);
        }
    free(whole);
}
END_TEST

CHECK_MAIN("lifecycle/private_histories", gone_after_a_rejection_its_addresses_rest,
           an_approval_that_finds_no_addresses_is_refused_and_the_state_stays,
           a_change_is_refused_while_another_is_under_way,
           an_address_where_nobody_answers_is_not_led_to,
           names_that_come_wait_for_their_members_too,
           addresses_of_a_replica_are_held_from_the_first_entry_on,
           called_off_a_connection_is_what_it_was, auto_approves_for_who_may_do_both,
           each_side_has_its_right_and_its_owner, a_row_by_hand_is_rejected_and_approved_as_others,
           what_cannot_be_asked_is_said, a_what_if_says_what_comes,
           a_writer_that_dies_at_any_entry_changes_nothing)
