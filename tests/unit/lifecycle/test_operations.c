// SPDX-License-Identifier: Apache-2.0
// lifecycle: an operation from its request to its end: phases and waits, the same request twice, one
// at a time, cancel and undo, regions that are away, certificates that do not come, and a writer that
// dies at any entry.
#include "lifecycle/lifecycle.h"

#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/asked.h"

#include <string.h>

#define HASH "$2b$04$abcdefghijklmnopqrstuuQnH0m5CbLpZ6HOaB0sBBBBBBBBBBBBB"

#define TWO                                                                       \
    "registries:\n"                                                               \
    "  - { name: contoso, replicas: [{ region: eastus }, { region: westus }] }\n" \
    "  - { name: fabrikam, replicas: [{ region: north }] }\n"

static json_t *shown(struct asked *a, const char *id)
{
    json_t *o = NULL;
    ck_assert_int_eq(lifecycle_operation(a->l, id, &o), 0);
    return o;
}

static char *id_of(json_t *body)
{
    char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    return id;
}

// "edge public-dns wait": those in that state
static const char *phases(const json_t *operation, const char *state)
{
    static char text[512];
    const json_t *list = json_object_get(operation, "phases");
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        if (strcmp(record_text(p, "state"), state) != 0)
            continue;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? " " : "",
                 record_text(p, "name"));
    }
    return text;
}

START_TEST(an_operation_goes_through_its_phases)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'regionalEndpoints':'Enabled'}", &body), 202);
    const json_t *o = json_object_get(body, "operation");
    ck_assert_str_eq(record_text(o, "object"), "registry/contoso");
    ck_assert_str_eq(record_text(o, "state"), "Updating");
    ck_assert_str_eq(record_text(o, "by"), "operator:ada");
    ck_assert_int_eq(record_number(o, "from"), 40);
    ck_assert_int_eq(record_number(o, "to"), 41);
    ck_assert_str_eq(phases(o, "running"), "certificates edge");
    ck_assert_str_eq(phases(o, "pending"), "public-dns");
    ck_assert_ptr_null(json_object_get(o, "goal"));
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    // no name is in DNS before all that can be reached have it at their edges
    for (int i = 0; i < 5; i++)
        lifecycle_run(a.l);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    char *id = id_of(body);
    json_t *now = shown(&a, id);
    const json_t *waits =
        json_object_get(json_array_get(json_object_get(now, "phases"), 1), "waitsFor");
    ck_assert_uint_eq(json_array_size(waits), 2);
    json_decref(now);
    asked_settle(&a, 100);
    now = shown(&a, id);
    ck_assert_str_eq(record_text(now, "state"), "Succeeded");
    ck_assert_str_eq(phases(now, "done"), "certificates edge public-dns");
    ck_assert_int_eq(record_number(now, "to"), 42);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    json_decref(now);
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(what_goes_waits_for_the_caches)
{
    struct asked a;
    asked_init(&a, "registries:\n  - { name: contoso, regional_endpoints: enabled, replicas: [{ "
                   "region: eastus }] }\n");
    json_t *body;
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'regionalEndpoints':'Disabled'}", &body), 202);
    char *id = id_of(body);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge");
    asked_pass(&a, 358); // 300 and 60
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge");
    json_t *o = shown(&a, id);
    ck_assert_str_eq(phases(o, "running"), "wait");
    json_decref(o);
    asked_pass(&a, 4);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    asked_settle(&a, 10);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    asked_done(&a);
}
END_TEST

// The frame in force with other TTLs, as an apply would have it.
static void ttls(struct asked *a, unsigned seconds)
{
    AUTO_BUF struct buf text;
    const struct topology_frame *f = a->fleet.t->frame;
    const char *had = memmem(f->text, f->text_n, "ttl:", 4);
    struct control_place p;
    struct diag diag;
    buf_init(&text, 0);
    buf_add(&text, f->text, had ? (size_t)(had - f->text) : f->text_n);
    buf_printf(&text, "ttl: { global: %us, regional: %us, data: %us, private: %us }\n", seconds,
               seconds, seconds, seconds);
    const struct control_draft d = {.by = "hand", .frame = bytes_of(text.p, text.n)};
    diag_init(&diag);
    int rc = a->fleet.deps.append(&a->fleet, &d, &diag, &p);
    ck_assert_msg(rc == 0, "%s", diag.n ? diag.lines[0] : "?");
    diag_done(&diag);
}

// Switches regional endpoints on, then off, and tells how long the names stayed at the edge.
static int64_t seconds_of_a_removal(struct asked *a)
{
    json_decref(
        asked_to_end(a, "registry update", "contoso", "{'regionalEndpoints':true}", "Succeeded"));
    int64_t begin = a->fleet.now_ms;
    json_decref(
        asked_to_end(a, "registry update", "contoso", "{'regionalEndpoints':false}", "Succeeded"));
    return (a->fleet.now_ms - begin) / 1000;
}

START_TEST(longer_ttls_of_before_are_waited_for)
{
    struct asked a;
    asked_init(&a, TWO);
    ck_assert_int_ge(seconds_of_a_removal(&a), 360);
    // answers of 300 s are held when the TTL becomes 30 s
    ttls(&a, 30);
    ck_assert_int_ge(seconds_of_a_removal(&a), 350);
    // and until then only
    asked_pass(&a, 300);
    int64_t s = seconds_of_a_removal(&a);
    ck_assert_int_ge(s, 90);
    ck_assert_int_lt(s, 120);
    // half of the time is over, for a writer that has just started, or taken over, too
    ttls(&a, 600);
    ttls(&a, 60);
    asked_pass(&a, 300);
    asked_restart(&a);
    a.fleet.place.epoch = 2;
    s = seconds_of_a_removal(&a);
    ck_assert_int_ge(s, 350);
    ck_assert_int_lt(s, 400);
    asked_pass(&a, 600);
    // a region that does not have it yet gives the long ones out still
    a.fleet.up[2] = false;
    ttls(&a, 20);
    asked_pass(&a, 1000);
    ck_assert_int_ge(seconds_of_a_removal(&a), 120);
    a.fleet.up[2] = true;
    asked_pass(&a, 2);
    ck_assert_int_ge(seconds_of_a_removal(&a), 110);
    asked_pass(&a, 60);
    ck_assert_int_lt(seconds_of_a_removal(&a), 90);
    // nothing is left of it in the ledger
    for (size_t i = 0; i < a.fleet.n_records; i++)
        ck_assert(strncmp(a.fleet.records[i].key, "ttl/", 4) != 0);
    asked_done(&a);
}
END_TEST

START_TEST(the_same_request_is_one_operation)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    static const char nonce[] = "0123456789abcdef0123456789abcdef";
    ck_assert_int_eq(
        asked_of(&a, nonce, "registry create", "northwind", "{'location':'north'}", &body), 202);
    char *id = id_of(body);
    for (int i = 0; i < 3; i++) { // while it runs, and after it has ended
        ck_assert_int_eq(
            asked_of(&a, nonce, "registry create", "northwind", "{'location':'north'}", &body),
            202);
        char *again = id_of(body);
        ck_assert_str_eq(id, again);
        free(again);
        asked_settle(&a, 1000);
    }
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    // another nonce, the same wish, while it runs
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    id = id_of(body);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *again = id_of(body);
    ck_assert_str_eq(id, again);
    free(again);
    free(id);
    asked_settle(&a, 1000);
    // and when it is so already
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     200);
    ck_assert_str_eq(record_text(body, "code"), "NothingToDo");
    json_decref(body);
    asked_done(&a);
}
END_TEST

START_TEST(one_at_a_time_for_a_registry)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    ck_assert_int_eq(asked(&a, "replication create", "contoso/north", "{}", &body), 409);
    ck_assert_str_eq(record_text(json_object_get(body, "error"), "operation"), id);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    ck_assert_int_eq(asked(&a, "registry update", "fabrikam", "{'regionalEndpoints':true}", NULL),
                     202);
    asked_settle(&a, 1000);
    ck_assert_int_eq(asked(&a, "replication create", "contoso/north", "{}", NULL), 202);
    free(id);
    asked_done(&a);
}
END_TEST

// "10 OperationInProgress 0123…": exit, code and operation of a what-if, and how many records of DNS
// it lists all the same.
static const char *what_if(struct asked *a, const char *verb, const char *object,
                           const char *arguments, size_t *out_dns)
{
    static char text[128];
    json_t *body;
    ck_assert_int_eq(asked(a, verb, object, arguments, &body), 200);
    const json_t *w = json_object_get(body, "whatIf"), *e = json_object_get(w, "error");
    snprintf(text, sizeof text, "%d %s %s", (int)record_number(w, "exit"), record_text(e, "code"),
             record_text(e, "operation"));
    *out_dns = json_array_size(json_object_get(w, "dns"));
    json_decref(body);
    return text;
}

START_TEST(what_if_says_which_operation_stands_against_it)
{
    struct asked a;
    json_t *body;
    char expected[128];
    size_t n;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    snprintf(expected, sizeof expected, "1 OperationInProgress %s", id);
    ck_assert_str_eq(what_if(&a, "replication create", "contoso/north", "{'whatIf':true}", &n),
                     expected);
    ck_assert_str_eq(what_if(&a, "registry delete", "contoso", "{'whatIf':true}", &n), expected);
    ck_assert_uint_gt(n, 0);
    // another registry is free
    ck_assert_str_eq(
        what_if(&a, "registry update", "fabrikam", "{'regionalEndpoints':true,'whatIf':true}", &n),
        "10  ");
    // and the same request gets that operation
    ck_assert_str_eq(
        what_if(&a, "registry update", "contoso", "{'regionalEndpoints':true,'whatIf':true}", &n),
        "10  ");
    asked_settle(&a, 1000);
    ck_assert_str_eq(what_if(&a, "replication create", "contoso/north", "{'whatIf':true}", &n),
                     "10  ");
    free(id);
    // a deletion is canceled by the creation of what it deletes
    json_decref(asked_to_end(&a, "replication create", "contoso/north", "{}", "Succeeded"));
    ck_assert_int_eq(asked(&a, "replication delete", "contoso/north", "{}", &body), 202);
    id = id_of(body);
    ck_assert_str_eq(what_if(&a, "replication create", "contoso/north", "{'whatIf':true}", &n),
                     "10  ");
    asked_settle(&a, 1000);
    free(id);
    // what is said to be there is about to go
    ck_assert_int_eq(asked(&a, "registry delete", "contoso", "{}", &body), 202);
    id = id_of(body);
    ck_assert_int_eq(
        asked(&a, "registry create", "contoso", "{'location':'north','whatIf':true}", &body), 409);
    ck_assert_str_eq(record_text(json_object_get(body, "error"), "operation"), id);
    ck_assert_str_eq(
        record_text(json_object_get(json_object_get(body, "whatIf"), "error"), "operation"), id);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(a_canceled_operation_goes_back)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "replication create", "contoso/north", "{}", &body), 202);
    char *id = id_of(body);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    ck_assert_uint_eq(topology_registry(a.fleet.t, "contoso")->n_replicas, 3);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202); // twice is once
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    json_t *o = shown(&a, id);
    ck_assert_str_eq(phases(o, "undone"), "certificates edge");
    json_decref(o);
    ck_assert_uint_eq(topology_registry(a.fleet.t, "contoso")->n_replicas, 2);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", &body), 409);
    ck_assert_str_eq(asked_code(body), "Refused");
    ck_assert_int_eq(asked(&a, "operation cancel", "0000000000000000", "{}", &body), 404);
    json_decref(body);
    free(id);
    // a deletion that is canceled while it waits brings the names back
    ck_assert_int_eq(asked(&a, "registry delete", "contoso", "{}", &body), 202);
    id = id_of(body);
    asked_pass(&a, 100);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:edge");
    // what is on its way out is no registry to update
    ck_assert_int_eq(asked(&a, "registry create", "contoso", "{'location':'north'}", &body), 409);
    ck_assert_str_eq(record_text(json_object_get(body, "error"), "operation"), id);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(a_region_that_is_away_is_listed)
{
    struct asked a;
    asked_init(&a, TWO);
    a.fleet.up[2] = false;
    json_t *o =
        asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':true}", "Succeeded");
    const json_t *later = json_object_get(o, "later");
    ck_assert_uint_eq(json_array_size(later), 1);
    ck_assert_str_eq(record_text_at(later, 0), "north");
    json_decref(o);
    // without a majority nothing is done
    a.fleet.up[1] = false;
    json_t *body;
    ck_assert_int_eq(asked(&a, "registry update", "fabrikam", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    asked_pass(&a, 5000);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_str_eq(asked_names(&a, "fabrikam"), "g:public r.north:edge");
    a.fleet.up[1] = true;
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    asked_done(&a);
}
END_TEST

static bool is_listed(const json_t *list, const char *region)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(record_text_at(list, i), region))
            return true;
    return false;
}

START_TEST(a_region_that_is_behind_is_waited_for)
{
    static const char wish[] = "{'regionalEndpoints':true}";
    struct asked a;
    json_t *body, *o;
    asked_init(&a, TWO);
    a.fleet.slow[2] = true;
    ck_assert_int_eq(asked(&a, "registry update", "contoso", wish, &body), 202);
    char *id = id_of(body);
    asked_pass(&a, 3600);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    o = shown(&a, id);
    const json_t *edge = json_array_get(json_object_get(o, "phases"), 1);
    ck_assert(is_listed(json_object_get(edge, "waitsFor"), "north"));
    ck_assert_uint_eq(json_array_size(json_object_get(o, "later")), 0);
    json_decref(o);
    a.fleet.slow[2] = false;
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    o = shown(&a, id);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "later")), 0);
    json_decref(o);
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(with_a_quorum_a_region_that_is_behind_is_left_behind)
{
    struct asked a;
    json_t *body, *o;
    asked_init(&a, TWO);
    a.fleet.slow[2] = true;
    o = asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':true,'quorum':true}",
                     "Succeeded");
    ck_assert(is_listed(json_object_get(o, "later"), "north"));
    json_decref(o);
    // an operation that waits is told to go on by the same request
    static const char wish[] = "{'dataEndpointEnabled':true}";
    ck_assert_int_eq(asked(&a, "registry update", "contoso", wish, &body), 202);
    char *id = id_of(body);
    asked_pass(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_int_eq(asked(&a, "registry update", "contoso",
                           "{'dataEndpointEnabled':true,'quorum':true}", &body),
                     202);
    char *again = id_of(body);
    ck_assert_str_eq(again, id);
    asked_restart(&a); // it stands in the ledger
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(again);
    free(id);
    // a majority is needed all the same
    a.fleet.slow[1] = true;
    ck_assert_int_eq(asked(&a, "registry update", "contoso",
                           "{'anonymousPullEnabled':true,'quorum':true}", &body),
                     202);
    id = id_of(body);
    asked_pass(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    free(id);
    asked_done(&a);
}
END_TEST

// What has turned round waits as well; nothing else can be asked of it.
START_TEST(what_goes_back_is_told_to_go_on_with_a_quorum)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    a.fleet.slow[2] = true;
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_pass(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{'quorum':true}", NULL), 202);
    asked_restart(&a); // it stands in the ledger
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    free(id);
    asked_done(&a);
}
END_TEST

// Which regions can be reached is known only once they have had the time to say so.
START_TEST(a_writer_that_has_just_begun_passes_nobody_over)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    asked_restart(&a);
    a.fleet.up[2] = false; // not heard yet
    asked_pass(&a, 3);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    a.fleet.up[2] = true;
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    json_t *o = shown(&a, id);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "later")), 0);
    json_decref(o);
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(certificates_that_do_not_come_undo_it)
{
    struct asked a;
    asked_init(&a, TWO);
    a.fleet.without_certificates = 2;
    json_t *o =
        asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':true}", "Failed");
    ck_assert_str_eq(record_text(json_object_get(o, "error"), "code"), "CertificatesMissing");
    json_decref(o);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    asked_done(&a);
}
END_TEST

// Registry of contoso's names before anybody deletes it; a document changes under the operation.
START_TEST(a_refused_phase_is_undone)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "replication delete", "contoso/westus", "{}", &body), 202);
    char *id = id_of(body);
    // somebody closes the other replica by hand: one that takes global traffic has to stay
    static const char change[] =
        "version: 42\nregistries:\n  - { name: contoso, replicas: [{ region: "
        "eastus, global_routing: false }, { region: westus }] }\n";
    struct control_place p;
    const struct control_draft d = {.by = "hand", .change = bytes_of(change, strlen(change))};
    ck_assert_int_eq(a.fleet.deps.append(&a.fleet, &d, NULL, &p), 0);
    asked_settle(&a, 5000);
    ck_assert_str_eq(asked_state(&a, id), "Failed");
    json_t *o = shown(&a, id);
    ck_assert_str_eq(record_text(json_object_get(o, "error"), "code"), "Refused");
    json_decref(o);
    ck_assert_uint_eq(topology_registry(a.fleet.t, "contoso")->n_replicas, 2);
    free(id);
    asked_done(&a);
}
END_TEST

static unsigned n_conflicts;
static bool conflicts;
static int (*toy_append)(void *ctx, const struct control_draft *d, struct diag *diag,
                         struct control_place *out);

// Somebody else is always a little earlier.
static int append_late(void *ctx, const struct control_draft *d, struct diag *diag,
                       struct control_place *out)
{
    if (!conflicts || !d->expect_topology)
        return toy_append(ctx, d, diag, out);
    n_conflicts++;
    return ERR_CONFLICT;
}

START_TEST(a_phase_that_comes_too_late_again_and_again_backs_off)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    toy_append = a.fleet.deps.append;
    a.fleet.deps.append = append_late;
    asked_restart(&a);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    conflicts = true;
    asked_pass(&a, 1);
    // the first ones follow soon
    ck_assert_uint_ge(n_conflicts, 4);
    asked_pass(&a, 600);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_uint_le(n_conflicts, 140);
    ck_assert_uint_ge(n_conflicts, 100);
    conflicts = false;
    ck_assert_int_le(asked_settle(&a, 100), 8);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    asked_done(&a);
}
END_TEST

// ---- a writer that dies ----

static void all_verbs(struct asked *a, unsigned *step, const char **out_verb,
                      const char **out_object, const char **out_arguments)
{
    static const struct {
        const char *verb, *object, *arguments;
    } steps[] = {
        {"registry create", "northwind", "{'location':'north','regionalEndpoints':'Enabled'}"},
        {"replication create", "northwind/eastus", "{'weight':10}"},
        {"registry update", "northwind", "{'dataEndpointEnabled':true,'regionalEndpoints':false}"},
        {"replication delete", "northwind/north", "{}"},
        {"registry delete", "fabrikam", "{}"},
        {"stamp drain", "eastus/eus-1", "{}"},
    };
    (void)a;
    *out_verb = NULL;
    if (*step >= ARRAY_LEN(steps))
        return;
    *out_verb = steps[*step].verb;
    *out_object = steps[*step].object;
    *out_arguments = steps[*step].arguments;
}

static char *document_of(const struct asked *a)
{
    AUTO_BUF struct buf b;
    static const char *const names[] = {"contoso", "fabrikam", "northwind"};
    buf_init(&b, 0);
    for (size_t i = 0; i < 3; i++)
        buf_printf(&b, "%s %s %s\n", names[i], asked_names(a, names[i]),
                   asked_members(a, names[i]));
    return buf_take(&b);
}

// All verbs in turn; whoever asks repeats the request when the writer is gone. Dies at entry `at`.
static char *run_all(enum toy_death how, unsigned at, unsigned *out_entries)
{
    struct asked a;
    const char *verb, *object, *arguments;
    asked_init(&a, TWO);
    a.fleet.dies = how;
    a.fleet.dies_in = at;
    for (unsigned step = 0;; step++) {
        char nonce[33];
        int status = 503;
        all_verbs(&a, &step, &verb, &object, &arguments);
        if (!verb)
            break;
        snprintf(nonce, sizeof nonce, "%032x", step);
        for (int tries = 0; status == 503 && tries < 3; tries++) {
            if (a.fleet.dead)
                asked_restart(&a);
            status = asked_of(&a, nonce, verb, object, arguments, NULL);
        }
        ck_assert_int_eq(status, 202);
        for (int tries = 0; tries < 3; tries++) {
            if (a.fleet.dead)
                asked_restart(&a);
            asked_settle(&a, 4000);
        }
    }
    *out_entries = (unsigned)a.fleet.place.seq;
    for (size_t i = 0; i < a.fleet.n_records; i++)
        if (!strncmp(a.fleet.records[i].key, "operation/", 10))
            ck_assert_ptr_nonnull(strstr(a.fleet.records[i].value, "Succeeded"));
    char *document = document_of(&a);
    asked_done(&a);
    return document;
}

START_TEST(a_writer_that_dies_at_any_entry_changes_nothing)
{
    unsigned entries, n;
    char *once = run_all(TOY_LIVES, 0, &entries);
    ck_assert_uint_gt(entries, 12);
    for (unsigned at = 1; at <= entries; at++)
        for (int how = TOY_DIES_BEFORE; how <= TOY_DIES_AFTER; how++) {
            char *again = run_all((enum toy_death)how, at, &n);
            ck_assert_str_eq(once, again);
            ck_assert_uint_eq(n, entries);
            free(again);
        }
    free(once);
}
END_TEST

START_TEST(another_region_goes_on_after_a_takeover)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "registry delete", "contoso", "{}", &body), 202);
    char *id = id_of(body);
    asked_pass(&a, 100);
    a.fleet.not_writer = true;
    asked_pass(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Deleting");
    ck_assert_int_eq(asked(&a, "registry delete", "fabrikam", "{}", &body), 503);
    ck_assert_str_eq(asked_code(body), "NotTheWriter");
    a.fleet.not_writer = false;
    a.fleet.place.epoch = 2; // and the engine here is as one that starts
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_ptr_null(topology_registry(a.fleet.t, "contoso"));
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(a_version_that_was_shown_binds)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'regionalEndpoints':true,'ifVersion':39}", &body),
        412);
    ck_assert_str_eq(asked_code(body), "VersionMismatch");
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'regionalEndpoints':true,'whatIf':true}", &body),
        200);
    const json_t *w = json_object_get(body, "whatIf");
    ck_assert_int_eq(record_number(w, "exit"), 10);
    ck_assert_uint_gt(json_array_size(json_object_get(w, "dns")), 0);
    json_decref(body);
    ck_assert_uint_eq(a.fleet.place.seq, 0); // it wrote nothing
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'regionalEndpoints':true,'ifVersion':40}", NULL),
        202);
    asked_done(&a);
}
END_TEST

START_TEST(what_is_asked_for_badly_is_refused)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    static const struct {
        const char *verb, *object, *arguments, *code;
    } bad[] = {
        {"registry burn", "contoso", "{}", "Invalid"},
        {"registry update", "contoso", "{'regional':true}", "Invalid"},
        {"registry update", "contoso", "{'regionalEndpoints':'On'}", "Invalid"},
        {"registry update", "contoso", "{'cidrs':['10.0.0.1/8']}", "Invalid"},
        {"registry update", "nobody", "{'regionalEndpoints':true}", "NotFound"},
        {"registry create", "UP", "{'location':'eastus'}", "Invalid"},
        {"registry create", "contoso", "{}", "AlreadyExists"},
        {"registry create", "northwind", "{'location':'mars'}", "NotFound"},
        {"replication create", "contoso", "{}", "Invalid"},
        {"replication create", "contoso/eastus", "{}", "AlreadyExists"},
        {"replication create", "contoso/north", "{'weight':101}", "Invalid"},
        {"replication create", "contoso/north", "{'stamp':'nor-9'}", "NotFound"},
        {"replication update", "contoso/north", "{'weight':1}", "NotFound"},
        {"replication delete", "fabrikam/north", "{}", "Refused"},
        {"replication update", "fabrikam/north", "{'globalEndpointRouting':false}", "Refused"},
        {"stamp drain", "eastus", "{}", "Invalid"},
        {"stamp drain", "eastus/none", "{}", "NotFound"},
        {"name release", "contoso", "{}", "NotFound"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        asked(&a, bad[i].verb, bad[i].object, bad[i].arguments, &body);
        const char *code = asked_code(body);
        ck_assert_msg(!strcmp(code, bad[i].code), "%s %s: %s, not %s", bad[i].verb, bad[i].object,
                      code, bad[i].code);
    }
    ck_assert_uint_eq(a.fleet.place.seq, 0);
    asked_done(&a);
}
END_TEST

START_TEST(old_operations_go)
{
    struct asked a;
    asked_init(&a, TWO);
    json_t *o =
        asked_to_end(&a, "replication update", "contoso/eastus", "{'weight':5}", "Succeeded");
    char *id = mem_strdup(record_text(o, "id"));
    json_decref(o);
    json_t *list = lifecycle_operations(a.l, "replication/contoso/eastus", "succeeded", 10);
    ck_assert_uint_eq(json_array_size(json_object_get(list, "operations")), 1);
    json_decref(list);
    a.fleet.now_ms += OPERATION_KEPT_MS + 1000;
    json_decref(
        asked_to_end(&a, "replication update", "contoso/eastus", "{'weight':6}", "Succeeded"));
    ck_assert_str_eq(asked_state(&a, id), "");
    free(id);
    asked_done(&a);
}
END_TEST

// ---- never twice ----

static const char used[] = "0123456789abcdef0123456789abcdef";

static int again(struct asked *a, json_t **out)
{
    return asked_of(a, used, "registry create", "northwind", "{'location':'north'}", out);
}

// The operation is forgotten, by its age or because there were many after it; its nonce is not.
START_TEST(a_request_whose_operation_is_forgotten_is_not_made_again)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(again(&a, NULL), 202);
    asked_settle(&a, 1000);
    json_decref(asked_to_end(&a, "registry delete", "northwind", "{'reserveDays':0}", "Succeeded"));
    a.fleet.now_ms += OPERATION_KEPT_MS + 1000;
    json_decref(
        asked_to_end(&a, "replication update", "contoso/eastus", "{'weight':6}", "Succeeded"));
    for (int i = 0; i < 2; i++) {
        uint64_t before = a.fleet.place.seq;
        ck_assert_int_eq(again(&a, &body), 409);
        ck_assert_ptr_nonnull(strstr(record_text(json_object_get(body, "error"), "message"),
                                     "was carried out already"));
        ck_assert_str_eq(asked_code(body), "Refused");
        ck_assert_uint_eq(a.fleet.place.seq, before);
        asked_restart(&a);
    }
    asked_done(&a);
}
END_TEST

static void swept_upto(struct asked *a, int64_t ms)
{
    char value[64];
    struct control_place place;
    snprintf(value, sizeof value, "{\"expires\":%lld}", (long long)ms);
    const struct control_record r = {"swept/request", value};
    const struct control_draft d = {.records = &r, .n_records = 1};
    ck_assert_int_eq(a->fleet.deps.append(a->fleet.deps.ctx, &d, NULL, &place), 0);
}

// Neither its nonce nor its operation is known any more: the feed's time was ahead.
START_TEST(a_request_that_may_be_forgotten_is_not_made)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    int64_t expires_ms = a.fleet.now_ms + 300000; // asked_of
    swept_upto(&a, expires_ms);
    uint64_t before = a.fleet.place.seq;
    ck_assert_int_eq(again(&a, &body), 403);
    ck_assert_str_eq(asked_code(body), "Denied");
    ck_assert_int_eq(asked(&a, "operation cancel", "0123456789abcdef", "{}", &body), 403);
    ck_assert_str_eq(asked_code(body), "Denied");
    ck_assert_uint_eq(a.fleet.place.seq, before);
    // root at the writer may, and so may who expires later
    a.bare = true;
    ck_assert_int_eq(asked(&a, "replication update", "contoso/eastus", "{'weight':6}", NULL), 202);
    a.bare = false;
    swept_upto(&a, expires_ms - 1);
    ck_assert_int_eq(again(&a, NULL), 202);
    asked_settle(&a, 1000);
    asked_done(&a);
}
END_TEST

// It joined an operation that ran; when that has ended it makes no other.
START_TEST(a_request_that_joined_an_operation_is_used_for_it)
{
    static const char update[] = "{'regionalEndpoints':true}";
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", update, &body), 202);
    char *id = id_of(body);
    ck_assert_int_eq(asked_of(&a, used, "registry update", "contoso", update, &body), 202);
    char *joined = id_of(body);
    ck_assert_str_eq(id, joined);
    free(joined);
    asked_settle(&a, 1000);
    json_decref(
        asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':false}", "Succeeded"));
    uint64_t before = a.fleet.place.seq;
    ck_assert_int_eq(asked_of(&a, used, "registry update", "contoso", update, &body), 202);
    joined = id_of(body);
    ck_assert_str_eq(id, joined);
    ck_assert_uint_eq(a.fleet.place.seq, before);
    free(joined);
    free(id);
    asked_done(&a);
}
END_TEST

// What root asks at the writer's socket is known as such in the ledger (control/sweep.h).
START_TEST(root_s_own_requests_are_marked)
{
    struct asked a;
    asked_init(&a, TWO);
    ck_assert_int_eq(again(&a, NULL), 202);
    const char *value = toy_fleet_record(&a.fleet, "request/0123456789abcdef0123456789abcdef");
    ck_assert_msg(value && !strstr(value, "bare"), "%s", value);
    a.bare = true;
    ck_assert_int_eq(asked_of(&a, "11111111111111111111111111111111", "replication update",
                              "contoso/eastus", "{'weight':6}", NULL),
                     202);
    value = toy_fleet_record(&a.fleet, "request/11111111111111111111111111111111");
    ck_assert_msg(value && strstr(value, "\"bare\":true"), "%s", value);
    asked_done(&a);
}
END_TEST

// ---- clocks ----

// Names that go stay served until every cache has forgotten them, by a clock that is sure.
START_TEST(a_wait_does_not_end_by_a_clock_that_is_ahead)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    int64_t begin_ms = a.fleet.now_ms;
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    json_decref(body);
    asked_settle(&a, 1000);
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':false}", &body),
                     202);
    char *id = id_of(body);
    asked_pass(&a, 5);
    json_t *o = shown(&a, id);
    ck_assert_str_eq(phases(o, "running"), "wait");
    json_decref(o);
    int64_t passed_ms = a.fleet.now_ms - begin_ms;
    a.fleet.sure_ms = a.fleet.now_ms;
    a.fleet.now_ms += 400LL * 86400000; // not compared yet, or known to be wrong
    for (int wrong = 0; wrong < 2; wrong++) {
        a.fleet.clock_wrong = wrong;
        asked_pass(&a, 600);
        o = shown(&a, id);
        ck_assert_str_eq(phases(o, "running"), "wait");
        json_decref(o);
        asked_restart(&a);
    }
    a.fleet.clock_wrong = false;
    a.fleet.sure_ms = 0;
    a.fleet.now_ms = begin_ms + passed_ms;
    ck_assert_int_gt(asked_settle(&a, 4000), 300);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    asked_done(&a);
}
END_TEST

// Nobody knew that the clock was ahead when the wait began; it is right now.
START_TEST(a_wait_that_began_by_a_clock_ahead_is_no_longer_than_it_was_to_be)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    json_decref(
        asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':true}", "Succeeded"));
    a.fleet.now_ms += 400LL * 86400000;
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':false}", &body),
                     202);
    char *id = id_of(body);
    asked_pass(&a, 5);
    json_t *o = shown(&a, id);
    ck_assert_str_eq(phases(o, "running"), "wait");
    json_decref(o);
    a.fleet.now_ms -= 400LL * 86400000;
    int64_t seconds = asked_settle(&a, 4000);
    ck_assert_int_gt(seconds, 300);
    ck_assert_int_lt(seconds, 1500);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    asked_done(&a);
}
END_TEST

// Names wait until the clock is right, by themselves; revocations do not.
START_TEST(by_a_clock_that_is_wrong_rights_are_taken_away_and_names_wait)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    json_decref(asked_to_end(&a, "user create", "bob", "{'passwordHash':'" HASH "'}", "Succeeded"));
    ck_assert_int_eq(asked(&a, "registry update", "contoso", "{'regionalEndpoints':true}", &body),
                     202);
    char *id = id_of(body);
    a.fleet.clock_wrong = true;
    a.fleet.sure_ms = a.fleet.now_ms;
    a.fleet.now_ms += 3600000;
    ck_assert_int_eq(asked(&a, "registry delete", "fabrikam", "{}", &body), 503);
    ck_assert_str_eq(record_text(json_object_get(body, "error"), "message"), "its clock is wrong");
    ck_assert_str_eq(asked_code(body), "Unavailable");
    ck_assert_int_eq(asked(&a, "user delete", "bob", "{}", &body), 202);
    char *deleted = id_of(body);
    asked_pass(&a, 60);
    ck_assert_str_eq(asked_state(&a, deleted), "Succeeded");
    ck_assert_ptr_null(strstr(a.fleet.principals, "bob"));
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    a.fleet.clock_wrong = false;
    a.fleet.sure_ms = 0;
    a.fleet.now_ms -= 3600000;
    asked_settle(&a, 4000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(deleted);
    free(id);
    asked_done(&a);
}
END_TEST

// ---- threads ----

#define ASKERS 4
#define EACH 20

struct asker {
    struct asked *a;
    unsigned n;
};

// Each makes its own registries; all want contoso changed, and look what goes on.
static void *ask_on(void *ctx)
{
    const struct asker *k = ctx;
    for (unsigned i = 0; i < EACH; i++) {
        char nonce[33], name[32];
        snprintf(nonce, sizeof nonce, "%016x%016x", k->n + 1, i + 1);
        snprintf(name, sizeof name, "team%u%02u", k->n, i);
        ck_assert_int_eq(
            asked_of(k->a, nonce, "registry create", name, "{'location':'north'}", NULL), 202);
        snprintf(nonce, sizeof nonce, "%016x%016x", k->n + 101, i + 1);
        int status =
            asked_of(k->a, nonce, "registry update", "contoso",
                     i % 2 ? "{'regionalEndpoints':true}" : "{'anonymousPullEnabled':true}", NULL);
        ck_assert(status == 202 || status == 200 || status == 409);
        json_t *list = lifecycle_operations(k->a->l, NULL, "Creating", 5);
        ck_assert_ptr_nonnull(list);
        json_decref(list);
        ck_assert_int_eq(
            asked_of(k->a, nonce, "registry delete", "fabrikam", "{'whatIf':true}", NULL), 200);
    }
    return NULL;
}

START_TEST(many_ask_at_once)
{
    struct asked a;
    struct asker k[ASKERS];
    pthread_t threads[ASKERS];
    asked_init(&a, TWO);
    for (unsigned i = 0; i < ASKERS; i++) {
        k[i] = (struct asker){&a, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_on, &k[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        toy_fleet_carry(&a.fleet);
        lifecycle_run(a.l);
    }
    for (unsigned i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    asked_settle(&a, 5000);
    ck_assert_uint_eq(a.fleet.t->n_registries, 2 + ASKERS * EACH);
    ck_assert_str_eq(asked_names(&a, "team000"), "g:public");
    ck_assert_str_eq(asked_names(&a, "team319"), "g:public");
    asked_done(&a);
}
END_TEST

#define BOB(registry)                                                               \
    "version: 1\nusers:\n  - name: bob\n    password_hash: "                        \
    "'$2b$12$abcdefghijklmnopqrstuuWvBXVW9WLyXkFgAkVjH1bU1v4hLqFXm'\n    grants:\n" \
    "      - { registry: " registry ", repositories: ['*'], actions: [pull] }\n"

START_TEST(what_is_undone_leaves_no_grants)
{
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, "registry create", "northwind", "{}", &body), 202);
    char *id = id_of(body);
    // given while it was being made
    free(a.fleet.principals);
    a.fleet.principals = mem_strdup(BOB("northwind"));
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_ptr_null(topology_registry(a.fleet.t, "northwind"));
    ck_assert_ptr_null(strstr(a.fleet.principals, "northwind"));
    free(id);
    asked_done(&a);
}
END_TEST

START_TEST(a_stamp_and_its_replica_are_not_drained_against_each_other)
{
    static const char *const updates[] = {"stamp drain", "replication update"};
    static const char *const objects[] = {"eastus/eus-1", "contoso/eastus"};
    static const char *const wishes[] = {"{'drained':true}", "{'drained':false}"};
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked(&a, updates[0], objects[0], wishes[0], &body), 202);
    json_decref(body);
    ck_assert_int_eq(asked(&a, updates[1], objects[1], wishes[1], &body), 409);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    asked_settle(&a, 2000); // caches forget what led there
    ck_assert(topology_registry(a.fleet.t, "contoso")->replicas[0].drained);
    ck_assert_int_eq(asked(&a, updates[1], objects[1], wishes[1], NULL), 202);
    ck_assert_int_eq(asked(&a, updates[0], objects[0], wishes[0], &body), 409);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    ck_assert_int_lt(asked_settle(&a, 100), 100);
    ck_assert(!topology_registry(a.fleet.t, "contoso")->replicas[0].drained);
    asked_done(&a);
}
END_TEST

// Nonces are forgotten by the clock of one writer, and judged by that of another.
START_TEST(a_forgotten_nonce_does_it_no_second_time)
{
    static const char nonce[] = "0123456789abcdef0123456789abcdef";
    static const char wish[] = "{'regionalEndpoints':true}";
    struct asked a;
    json_t *body;
    asked_init(&a, TWO);
    ck_assert_int_eq(asked_of(&a, nonce, "registry update", "contoso", wish, &body), 202);
    char *id = id_of(body);
    asked_settle(&a, 1000);
    json_decref(
        asked_to_end(&a, "registry update", "contoso", "{'regionalEndpoints':false}", "Succeeded"));
    for (size_t i = 0; i < a.fleet.n_records; i++)
        if (strstr(a.fleet.records[i].key, nonce))
            a.fleet.records[i].key[0] = 'x';
    uint64_t version = a.fleet.t->version;
    ck_assert_int_eq(asked_of(&a, nonce, "registry update", "contoso", wish, &body), 202);
    char *again = id_of(body);
    ck_assert_str_eq(again, id);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_uint_eq(a.fleet.t->version, version);
    free(again);
    free(id);
    asked_done(&a);
}
END_TEST

CHECK_MAIN("lifecycle/operations", an_operation_goes_through_its_phases,
           what_goes_waits_for_the_caches, longer_ttls_of_before_are_waited_for,
           the_same_request_is_one_operation, one_at_a_time_for_a_registry,
           what_if_says_which_operation_stands_against_it, a_canceled_operation_goes_back,
           a_region_that_is_away_is_listed, a_region_that_is_behind_is_waited_for,
           with_a_quorum_a_region_that_is_behind_is_left_behind,
           what_goes_back_is_told_to_go_on_with_a_quorum,
           a_writer_that_has_just_begun_passes_nobody_over, certificates_that_do_not_come_undo_it,
           a_refused_phase_is_undone, a_phase_that_comes_too_late_again_and_again_backs_off,
           a_writer_that_dies_at_any_entry_changes_nothing, another_region_goes_on_after_a_takeover,
           a_version_that_was_shown_binds, what_is_asked_for_badly_is_refused, old_operations_go,
           many_ask_at_once, what_is_undone_leaves_no_grants,
           a_stamp_and_its_replica_are_not_drained_against_each_other,
           a_forgotten_nonce_does_it_no_second_time,
           a_request_whose_operation_is_forgotten_is_not_made_again,
           a_request_that_may_be_forgotten_is_not_made,
           a_request_that_joined_an_operation_is_used_for_it, root_s_own_requests_are_marked,
           a_wait_does_not_end_by_a_clock_that_is_ahead,
           a_wait_that_began_by_a_clock_ahead_is_no_longer_than_it_was_to_be,
           by_a_clock_that_is_wrong_rights_are_taken_away_and_names_wait)
