// SPDX-License-Identifier: Apache-2.0
// Documents that are applied, and rollbacks, take names through the stages that commands take them
// through: the edge before DNS where they come, the caches' time where they go; called off, undone,
// over a writer's death at any entry; and what cannot be staged is said.
#include "base/mem.h"
#include "config/reserved.h"
#include "lifecycle/document_stages.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/documented.h"

#include <check.h>
#include <string.h>

static struct asked a;

static void begin(const char *rows)
{
    documented_begin(&a, rows);
}

static void end(void)
{
    documented_end(&a);
}

static int ask(const char *verb, json_t *arguments, bool what_if, json_t **out_body)
{
    return documented_ask(&a, verb, arguments, what_if, 0, out_body);
}

// The frame in force with those rows and sections.
static json_t *document(const char *rows)
{
    AUTO_FREE char *text = documented_text(&a, rows);
    return documented_apply(&a, text, NULL);
}

static char *id_of(json_t *body)
{
    const char *id = record_text(json_object_get(body, "operation"), "id");
    ck_assert_msg(*id != 0, "%s", json_dumps(body, 0));
    char *copy = mem_strdup(id);
    json_decref(body);
    return copy;
}

static char *apply(const char *rows)
{
    json_t *body;
    int status = ask("topology apply", document(rows), false, &body);
    ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
    return id_of(body);
}

static void applied(const char *rows)
{
    char *id = apply(rows);
    asked_settle(&a, 4000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
}

static char *back_to(uint64_t version)
{
    json_t *body;
    int status =
        ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)version), false, &body);
    ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
    return id_of(body);
}

// "certificates edge document wait": phases of the operation, in order. Static.
static const char *phases(const char *id)
{
    static char text[512];
    json_t *o = NULL;
    ck_assert_int_eq(lifecycle_operation(a.l, id, &o), 0);
    const json_t *list = json_object_get(o, "phases");
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? " " : "",
                 record_text(json_array_get(list, i), "name"));
    json_decref(o);
    return text;
}

static const struct registry *in_force(const char *name)
{
    return topology_registry(a.fleet.t, name);
}

#define ROWS(rows) "registries:\n" rows
#define CONTOSO(more)                                                                          \
    "  - { name: contoso, owner: ada, replicas: [{ region: eastus }, { region: westus }]" more \
    " }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: westus }] }\n"
#define TAILSPIN "  - { name: tailspin, replicas: [{ region: eastus }] }\n"
#define REGIONAL ", regional_endpoints: enabled"

START_TEST(what_a_document_brings_is_at_the_edge_before_dns)
{
    begin(ROWS(CONTOSO("")));
    uint64_t version = a.fleet.t->version;
    char *id = apply(ROWS(CONTOSO(REGIONAL ", anonymous_pull: true") TAILSPIN));
    // one version with all that it says
    ck_assert_uint_eq(a.fleet.t->version, version + 1);
    ck_assert(in_force("contoso")->anonymous_pull);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    ck_assert_str_eq(asked_names(&a, "tailspin"), "g:edge");
    a.fleet.slow[2] = true;
    asked_pass(&a, 100);
    ck_assert_str_eq(asked_names(&a, "tailspin"), "g:edge");
    a.fleet.slow[2] = false;
    ck_assert_int_lt(asked_settle(&a, 1000), 60);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(phases(id), "certificates edge document public-dns");
    ck_assert_uint_eq(a.fleet.t->version, version + 2);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    ck_assert_str_eq(asked_names(&a, "tailspin"), "g:public");
    free(id);
    // a replica, and without names nothing is staged
    id = apply(ROWS(
        "  - { name: contoso, owner: ada, anonymous_pull: true" REGIONAL
        ", replicas: [{ region: eastus }, { region: westus }, { region: north }] }\n" TAILSPIN));
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public r.westus:public r.north:edge");
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public r.westus:public r.north:public");
    free(id);
    end();
}
END_TEST

START_TEST(without_names_it_is_one_document)
{
    begin(ROWS(CONTOSO("")));
    char *id = apply(ROWS(CONTOSO(", anonymous_pull: true")) "ttl: { global: 41s }\n");
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(phases(id), "document");
    ck_assert_uint_eq(a.fleet.t->ttl.global, 41);
    free(id);
    end();
}
END_TEST

START_TEST(what_a_document_takes_away_lives_on_for_the_caches)
{
    begin(ROWS(CONTOSO(REGIONAL) FABRIKAM TAILSPIN));
    char *id = apply(ROWS("  - { name: contoso, owner: ada, anonymous_pull: true, replicas: [{ "
                          "region: eastus }] }\n" TAILSPIN));
    ck_assert(in_force("contoso")->anonymous_pull);
    asked_pass(&a, 20);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    ck_assert_str_eq(asked_names(&a, "fabrikam"), "g:edge");
    asked_pass(&a, 330);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    ck_assert_str_eq(asked_names(&a, "fabrikam"), "g:edge");
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    ck_assert_uint_eq(in_force("contoso")->n_replicas, 1);
    ck_assert_ptr_null(in_force("fabrikam"));
    ck_assert_ptr_nonnull(topology_reserved(a.fleet.t, "fabrikam"));
    ck_assert_ptr_nonnull(toy_fleet_record(&a.fleet, "gone/fabrikam"));
    ck_assert_str_eq(phases(id), "document public-dns wait certificates edge certificates edge");
    free(id);
    end();
}
END_TEST

#define PRIVATE_TWO                                                                         \
    "private_endpoints:\n  - { name: corp-pe, registry: contoso, view: corp, addresses: { " \
    "registry: 10.1.0.1, registry_data_eastus: 10.1.0.2, registry_data_westus: 10.1.0.3, "  \
    "registry_eastus: 10.1.0.4, registry_westus: 10.1.0.5 } }\n"
#define PRIVATE_ONE                                                                         \
    "private_endpoints:\n  - { name: corp-pe, registry: contoso, view: corp, addresses: { " \
    "registry: 10.1.0.1, registry_data_eastus: 10.1.0.2, registry_eastus: 10.1.0.4 } }\n"
#define CONTOSO_EAST \
    "  - { name: contoso, owner: ada" REGIONAL ", replicas: [{ region: eastus }] }\n"

START_TEST(private_names_keep_their_members_until_the_end)
{
    begin(ROWS(CONTOSO(REGIONAL)) PRIVATE_TWO);
    char *id = apply(ROWS(CONTOSO_EAST) PRIVATE_ONE);
    asked_pass(&a, 20);
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public d.eastus:public r.westus:private d.westus:private");
    asked_pass(&a, 360);
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public d.eastus:public r.westus:edge d.westus:edge");
    ck_assert_str_eq(asked_members(&a, "contoso"),
                     "corp-pe: registry registry_data_eastus registry_eastus registry_data_westus "
                     "registry_westus");
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(asked_members(&a, "contoso"),
                     "corp-pe: registry registry_data_eastus registry_eastus");
    free(id);
    // they come back: members at once, names by stages
    id = apply(ROWS(CONTOSO(REGIONAL)) PRIVATE_TWO);
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public d.eastus:public r.westus:edge d.westus:edge");
    asked_settle(&a, 1000);
    ck_assert_str_eq(phases(id), "certificates edge document private-dns public-dns");
    free(id);
    end();
}
END_TEST

START_TEST(a_rollback_takes_names_through_the_same_stages)
{
    begin(ROWS(CONTOSO("") FABRIKAM));
    uint64_t first = a.fleet.t->version;
    applied(ROWS(CONTOSO(REGIONAL) FABRIKAM TAILSPIN));
    uint64_t second = a.fleet.t->version;
    char *id = back_to(first);
    asked_pass(&a, 20);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    ck_assert_str_eq(asked_names(&a, "tailspin"), "g:edge");
    ck_assert_int_ge(asked_settle(&a, 1000), 330);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    ck_assert_ptr_null(in_force("tailspin"));
    free(id);
    id = back_to(second);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:edge r.westus:edge");
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    free(id);
    end();
}
END_TEST

START_TEST(called_off_its_names_go_back_and_the_rest_stays)
{
    json_t *body;
    begin(ROWS(CONTOSO(REGIONAL) FABRIKAM));
    char *id = apply(ROWS(CONTOSO(", anonymous_pull: true") TAILSPIN));
    asked_pass(&a, 100);
    ck_assert_str_eq(asked_names(&a, "fabrikam"), "g:edge");
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    asked_settle(&a, 4000);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    ck_assert_str_eq(asked_names(&a, "fabrikam"), "g:public");
    ck_assert_ptr_null(in_force("tailspin"));
    ck_assert(in_force("contoso")->anonymous_pull);
    free(id);
    // and the same document does it again
    applied(ROWS(CONTOSO(", anonymous_pull: true") TAILSPIN));
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    ck_assert_str_eq(asked_names(&a, "tailspin"), "g:public");
    ck_assert_ptr_null(in_force("fabrikam"));
    ck_assert_int_eq(ask("topology apply",
                         document(ROWS(CONTOSO(", anonymous_pull: true") TAILSPIN)), false, &body),
                     200);
    ck_assert_str_eq(record_text(body, "code"), "NothingToDo");
    json_decref(body);
    end();
}
END_TEST

// What the operation makes of names later is the document's word, and no command's.
START_TEST(the_next_document_has_the_last_one_as_its_base)
{
    begin(ROWS(CONTOSO(REGIONAL)));
    applied(ROWS(CONTOSO("")));
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    applied(ROWS(CONTOSO(REGIONAL)));
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    // a command's word stays
    json_decref(
        asked_to_end(&a, "replication update", "contoso/eastus", "{'drained':true}", "Succeeded"));
    applied(ROWS(CONTOSO(REGIONAL) TAILSPIN));
    ck_assert(in_force("contoso")->replicas[0].drained);
    end();
}
END_TEST

START_TEST(only_what_is_on_its_way_is_held)
{
    json_t *body;
    begin(ROWS(CONTOSO(REGIONAL) FABRIKAM));
    char *id = apply(ROWS(CONTOSO("") FABRIKAM));
    asked_pass(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'anonymousPullEnabled':true}", &body), 409);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    ck_assert_int_eq(
        ask("topology apply", document(ROWS(CONTOSO("") FABRIKAM TAILSPIN)), false, &body), 409);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    ck_assert_int_eq(
        asked(&a, "registry update", "fabrikam", "{'anonymousPullEnabled':true}", NULL), 202);
    asked_settle(&a, 1000);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert(in_force("fabrikam")->anonymous_pull);
    free(id);
    end();
}
END_TEST

static json_t *what_if(const char *rows)
{
    json_t *body;
    ck_assert_int_eq(ask("topology apply", document(rows), true, &body), 200);
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
    return false;
}

static bool has_phase(const json_t *w, const char *name)
{
    const json_t *list = json_object_get(w, "phases");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(record_text_at(list, i), name))
            return true;
    return false;
}

// A private endpoint that no name leads to: what it has is in no cache.
#define EDGE_PE(addresses)                                                                  \
    "private_endpoints:\n  - { name: edge-pe, registry: contoso, view: corp, stage: edge, " \
    "addresses: { " addresses " } }\n"

START_TEST(what_cannot_stand_beside_what_goes_is_said)
{
    begin(ROWS(CONTOSO("") FABRIKAM));
    applied(ROWS(CONTOSO("") FABRIKAM)
                EDGE_PE("registry: 10.1.0.4, registry_data_westus: 10.1.0.9"));
    // an address of a replica that goes is given to another registry: both cannot be
    json_t *w = what_if(ROWS(CONTOSO_EAST FABRIKAM) EDGE_PE(
        "registry: 10.1.0.4") "  - { name: fab-pe, registry: fabrikam, view: corp, addresses: { "
                              "registry: 10.1.0.9 } }\n");
    ck_assert(has_note(w, "cannot stand beside what goes"));
    ck_assert(!has_phase(w, "wait"));
    ck_assert_int_eq(record_number(w, "exit"), 10);
    json_decref(w);
    end();
}
END_TEST

START_TEST(what_goes_through_no_stages_is_said)
{
    json_t *body;
    begin(ROWS(CONTOSO(REGIONAL)) PRIVATE_TWO);
    // a private endpoint of a registry that is there
    json_t *w = what_if(ROWS(CONTOSO(REGIONAL)));
    ck_assert(has_note(w, "private endpoint corp-pe goes at once"));
    json_decref(w);
    // an address that goes is given to another registry: caches still have it
    ck_assert_int_eq(ask("topology apply",
                         document(ROWS(CONTOSO_EAST FABRIKAM) PRIVATE_ONE
                                  "  - { name: fab-pe, registry: fabrikam, view: corp, addresses: "
                                  "{ registry: 10.1.0.5, registry_data_westus: 10.1.0.9 } }\n"),
                         true, &body),
                     409);
    json_decref(body);
    // what goes by stages says nothing of the kind
    w = what_if(ROWS(CONTOSO_EAST) PRIVATE_ONE);
    ck_assert(has_note(w, "waits for nobody to copy"));
    ck_assert(!has_note(w, "at once"));
    ck_assert(has_phase(w, "wait"));
    json_decref(w);
    // more than an operation can remember
    AUTO_BUF struct buf rows;
    buf_init(&rows, 0);
    buf_str(&rows, ROWS(CONTOSO(REGIONAL)));
    for (int i = 0; i <= DOCUMENT_STAGES_MAX; i++)
        buf_printf(&rows, "  - { name: reg%05d, replicas: [{ region: north }] }\n", i);
    buf_str(&rows, PRIVATE_TWO);
    w = what_if(buf_cstr(&rows));
    ck_assert(has_note(w, "more than 1000 registries"));
    ck_assert(!has_phase(w, "public-dns"));
    json_decref(w);
    end();
}
END_TEST

START_TEST(many_wait_for_the_caches_once)
{
    AUTO_BUF struct buf rows;
    begin(ROWS(FABRIKAM));
    buf_init(&rows, 0);
    buf_str(&rows, ROWS(FABRIKAM));
    for (int i = 0; i < 901; i++)
        buf_printf(&rows, "  - { name: reg%05d, replicas: [{ region: north }] }\n", i);
    uint64_t version = a.fleet.t->version;
    applied(buf_cstr(&rows));
    ck_assert_str_eq(asked_names(&a, "reg00900"), "g:public");
    ck_assert_uint_eq(a.fleet.t->version, version + 3);
    char *id = apply(ROWS(FABRIKAM));
    ck_assert_int_lt(asked_settle(&a, 4000), 400);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    ck_assert_ptr_null(in_force("reg00900"));
    ck_assert_ptr_null(in_force("reg00000"));
    free(id);
    end();
}
END_TEST

// What the whole comes to, whenever the writer dies.
static char *run_all(enum toy_death how, unsigned at, unsigned *out_entries)
{
    static const char *const documents[] = {
        ROWS(CONTOSO(REGIONAL) TAILSPIN),
        ROWS(CONTOSO_EAST FABRIKAM),
    };
    AUTO_BUF struct buf all;
    buf_init(&all, 0);
    begin(ROWS(CONTOSO("") FABRIKAM));
    a.fleet.dies = how;
    a.fleet.dies_in = at;
    for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
        for (int tries = 0; tries < 4; tries++) {
            json_t *body;
            if (a.fleet.dead)
                asked_restart(&a);
            asked_settle(&a, 4000);
            if (a.fleet.dead)
                continue;
            int status = ask("topology apply", document(documents[i]), false, &body);
            ck_assert(status == 202 || status == 200 || status == 503);
            json_decref(body);
        }
        if (a.fleet.dead)
            asked_restart(&a);
        asked_settle(&a, 4000);
    }
    static const char *const names[] = {"contoso", "fabrikam", "tailspin"};
    for (size_t i = 0; i < 3; i++)
        buf_printf(&all, "%s %s %d\n", names[i], asked_names(&a, names[i]),
                   topology_reserved(a.fleet.t, names[i]) != NULL);
    for (size_t i = 0; i < a.fleet.n_records; i++)
        if (!strncmp(a.fleet.records[i].key, "operation/", 10))
            ck_assert_ptr_nonnull(strstr(a.fleet.records[i].value, "Succeeded"));
    *out_entries = (unsigned)a.fleet.place.seq;
    end();
    return buf_take(&all);
}

START_TEST(a_writer_that_dies_at_any_entry_changes_nothing)
{
    unsigned entries, n;
    char *once = run_all(TOY_LIVES, 0, &entries);
    ck_assert_str_eq(once, "contoso g:public r.eastus:public 0\nfabrikam g:public 0\n"
                           "tailspin  1\n");
    for (unsigned at = 1; at <= entries; at++)
        for (int how = TOY_DIES_BEFORE; how <= TOY_DIES_AFTER; how++) {
            char *again = run_all((enum toy_death)how, at, &n);
            ck_assert_str_eq(once, again);
            free(again);
        }
    free(once);
}
END_TEST

CHECK_MAIN("lifecycle/document_stages", what_a_document_brings_is_at_the_edge_before_dns,
           without_names_it_is_one_document, what_a_document_takes_away_lives_on_for_the_caches,
           private_names_keep_their_members_until_the_end,
           a_rollback_takes_names_through_the_same_stages,
           called_off_its_names_go_back_and_the_rest_stays,
           the_next_document_has_the_last_one_as_its_base, only_what_is_on_its_way_is_held,
           what_goes_through_no_stages_is_said, what_cannot_stand_beside_what_goes_is_said,
           many_wait_for_the_caches_once, a_writer_that_dies_at_any_entry_changes_nothing)
