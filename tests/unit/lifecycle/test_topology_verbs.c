// SPDX-License-Identifier: Apache-2.0
// A document applied and an earlier version gone back to, through the engine: what commands have
// changed meanwhile stays, what-ifs change nothing, names of what goes are reserved, and what must
// never come back does not.
#include "base/mem.h"
#include "config/reserved.h"
#include "control/document_rows.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/documented.h"

#include <check.h>
#include <string.h>

static struct asked a;

#define ROWS(rows) "registries:\n" rows
#define CONTOSO(more)                                                                          \
    "  - { name: contoso, owner: ada, replicas: [{ region: eastus }, { region: westus }]" more \
    " }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: westus }] }\n"
#define TAILSPIN "  - { name: tailspin, replicas: [{ region: eastus }] }\n"

static void begin(const char *rows)
{
    documented_begin(&a, rows);
}

static void end(void)
{
    documented_end(&a);
}

static int ask(const char *verb, json_t *arguments, bool what_if, uint64_t if_version,
               json_t **out_body)
{
    int status = documented_ask(&a, verb, arguments, what_if, if_version, out_body);
    asked_settle(&a, 4000);
    return status;
}

static json_t *document(const char *text, const char *force)
{
    return documented_apply(&a, text, force);
}

// The frame in force, with those rows.
static const char *with_rows(const char *rows)
{
    static char text[16384];
    AUTO_FREE char *made = documented_text(&a, rows);
    snprintf(text, sizeof text, "%s", made);
    return text;
}

static json_int_t count(const json_t *body, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(body, "answer"), key));
}

static int what_if_exit(const json_t *body)
{
    return (int)json_integer_value(json_object_get(json_object_get(body, "whatIf"), "exit"));
}

static const struct registry *in_force(const char *name)
{
    return topology_registry(a.fleet.t, name);
}

START_TEST(a_document_is_applied_and_what_commands_did_stays)
{
    json_t *body;
    begin(ROWS(CONTOSO("") FABRIKAM));
    json_decref(asked_to_end(&a, "replication update", "contoso/eastus",
                             "{'globalEndpointRouting':'Disabled'}", "Succeeded"));
    const char *file = with_rows(ROWS(CONTOSO(", anonymous_pull: true") FABRIKAM));
    uint64_t version = a.fleet.t->version, seq = a.fleet.place.seq;
    // what-ifs tell it, and change nothing
    ck_assert_int_eq(ask("topology apply", document(file, NULL), true, 0, &body), 200);
    ck_assert_int_eq(what_if_exit(body), 10);
    ck_assert_int_eq(count(body, "nRows"), 1);
    ck_assert_int_eq(count(body, "nKept"), 1);
    ck_assert_uint_eq(a.fleet.t->version, version);
    ck_assert_uint_eq(a.fleet.place.seq, seq);
    json_decref(body);
    // of another version
    ck_assert_int_eq(ask("topology apply", document(file, NULL), false, version - 1, &body), 412);
    json_decref(body);
    ck_assert_int_eq(ask("topology apply", document(file, NULL), false, version, &body), 202);
    ck_assert_int_eq(count(body, "nKept"), 1);
    json_decref(body);
    ck_assert(in_force("contoso")->anonymous_pull);
    ck_assert(!in_force("contoso")->replicas[0].global_routing);
    // again: nothing to do, and it still says what it keeps
    ck_assert_int_eq(ask("topology apply", document(file, NULL), false, 0, &body), 200);
    ck_assert_str_eq(record_text(body, "code"), "NothingToDo");
    ck_assert_int_eq(count(body, "nKept"), 1);
    json_decref(body);
    ck_assert_int_eq(ask("topology apply", document(file, NULL), true, 0, &body), 200);
    ck_assert_int_eq(what_if_exit(body), 0);
    json_decref(body);
    // what is exported is applied without a change
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(document_export(a.fleet.t, &text), 0);
    ck_assert_int_eq(ask("topology apply", document(buf_cstr(&text), NULL), true, 0, &body), 200);
    ck_assert_int_eq(count(body, "nRows") + count(body, "nKept"), 0);
    json_decref(body);
    end();
}
END_TEST

START_TEST(conflicts_are_named_and_decided)
{
    json_t *body;
    begin(ROWS(CONTOSO("")));
    json_decref(
        asked_to_end(&a, "replication update", "contoso/eastus", "{'weight':30}", "Succeeded"));
    const char *file = with_rows(ROWS(
        "  - { name: contoso, owner: ada, replicas: [{ region: eastus, weight: 70 }, { region: "
        "westus }] }\n"));
    ck_assert_int_eq(ask("topology apply", document(file, NULL), true, 0, &body), 409);
    const char *message = record_text(json_object_get(body, "error"), "message");
    ck_assert_msg(
        strstr(message, "registry/contoso replicas/eastus/weight: was 100 when it was "
                        "applied or exported last, is 30 in force, and 70 in the file (the row was "
                        "changed last by operator:ada)") != NULL,
        "%s", message);
    ck_assert_str_eq(asked_code(body), "Refused");
    ck_assert_int_eq(ask("topology apply", document(file, "file"), false, 0, &body), 202);
    json_decref(body);
    ck_assert_uint_eq(in_force("contoso")->weights[0], 70);
    ck_assert_int_eq(ask("topology apply", document(file, "nobody"), false, 0, &body), 400);
    json_decref(body);
    end();
}
END_TEST

static const char *kept_by(const json_t *body, size_t i)
{
    const json_t *kept = json_object_get(json_object_get(body, "answer"), "kept");
    return record_text(json_array_get(kept, i), "by");
}

// Of several who have changed a row, the last one is named; what the first one did is in the base of
// a document that was exported after it.
START_TEST(who_changed_a_row_last_is_named)
{
    json_t *body;
    begin(ROWS(CONTOSO("") FABRIKAM));
    a.by = "operator:ada";
    json_decref(
        asked_to_end(&a, "replication update", "contoso/eastus", "{'weight':30}", "Succeeded"));
    AUTO_FREE char *exported = mem_strdup(with_rows(
        ROWS("  - { name: contoso, owner: ada, replicas: [{ region: eastus, weight: 30 }, { "
             "region: westus }] }\n" FABRIKAM)));
    json_int_t at = (json_int_t)a.fleet.t->version;
    a.by = "operator:eve";
    json_decref(
        asked_to_end(&a, "replication update", "contoso/westus", "{'weight':20}", "Succeeded"));
    a.by = "operator:bob";
    json_t *arguments = document(exported, NULL);
    json_object_set_new(arguments, "exported", json_integer(at));
    ck_assert_int_eq(ask("topology apply", arguments, true, 0, &body), 200);
    ck_assert_int_eq(count(body, "nKept"), 1);
    ck_assert_str_eq(kept_by(body, 0), "operator:eve");
    json_decref(body);
    // as if it had not been exported: both changes stay, and the row's last changer is one
    AUTO_FREE char *file = mem_strdup(with_rows(ROWS(CONTOSO("") FABRIKAM)));
    ck_assert_int_eq(ask("topology apply", document(file, NULL), true, 0, &body), 200);
    ck_assert_int_eq(count(body, "nKept"), 2);
    ck_assert_str_eq(kept_by(body, 0), "operator:eve");
    json_decref(body);
    // the record is the same otherwise: what was applied last
    json_decref(
        asked_to_end(&a, "replication update", "contoso/eastus", "{'weight':100}", "Succeeded"));
    json_decref(
        asked_to_end(&a, "replication update", "contoso/westus", "{'weight':100}", "Succeeded"));
    ck_assert_int_eq(ask("topology apply", document(file, NULL), true, 0, &body), 200);
    ck_assert_int_eq(count(body, "nKept") + count(body, "nRows"), 0);
    json_decref(body);
    end();
}
END_TEST

// ---- a registry that was deleted and created again since the document was exported ----

#define CONTOSO_OF(incarnation, more) \
    CONTOSO(", incarnation: " incarnation ", anonymous_pull: " more)

static json_int_t exported_at;

// Exported with contoso of incarnation 7, which another of that name takes the place of.
static void created_again(const char *settings)
{
    begin(ROWS(CONTOSO_OF("7", "false") FABRIKAM));
    a.by = "operator:ada";
    json_decref(asked_to_end(&a, "registry update", "fabrikam", "{'anonymousPullEnabled':true}",
                             "Succeeded"));
    exported_at = (json_int_t)a.fleet.t->version;
    json_decref(asked_to_end(&a, "registry delete", "contoso", "{}", "Succeeded"));
    json_decref(asked_to_end(&a, "registry create", "contoso", settings, "Succeeded"));
    a.by = "operator:bob";
    ck_assert_uint_gt(in_force("contoso")->incarnation, 7);
}

#define FABRIKAM_OPEN \
    "  - { name: fabrikam, anonymous_pull: true, replicas: [{ region: westus }] }\n"
#define ANEW "{'replicas':['eastus','north'],'anonymousPullEnabled':true}"

static int apply_exported(const char *rows, const char *force, json_t **out_body)
{
    json_t *arguments = document(with_rows(rows), force);
    json_object_set_new(arguments, "exported", json_integer(exported_at));
    return ask("topology apply", arguments, false, 0, out_body);
}

// The file says of it what it said when it was exported: that one is gone, and the new one stays.
START_TEST(a_registry_that_was_created_again_stays_out_of_what_was_exported_before)
{
    json_t *body;
    created_again(ANEW);
    uint64_t incarnation = in_force("contoso")->incarnation;
    ck_assert_int_eq(
        apply_exported(ROWS(CONTOSO_OF("7", "false") FABRIKAM_OPEN TAILSPIN), NULL, &body), 202);
    ck_assert_int_eq(count(body, "nRows"), 1);
    ck_assert_int_eq(count(body, "nKept"), 1);
    const json_t *kept =
        json_array_get(json_object_get(json_object_get(body, "answer"), "kept"), 0);
    ck_assert_str_eq(record_text(kept, "row"), "registry/contoso");
    ck_assert_str_eq(record_text(kept, "member"), "incarnation");
    ck_assert_str_eq(record_text(kept, "file"), "7");
    ck_assert_str_eq(record_text(kept, "by"), "operator:ada");
    ck_assert_ptr_nonnull(strstr(record_text(kept, "note"), "deleted and created again"));
    json_decref(body);
    ck_assert_ptr_nonnull(in_force("tailspin"));
    ck_assert_uint_eq(in_force("contoso")->incarnation, incarnation);
    ck_assert(in_force("contoso")->anonymous_pull);
    end();
}
END_TEST

// The file changes the one that is gone: that is a conflict, and it says what to write.
START_TEST(a_change_of_a_registry_that_was_created_again_is_a_conflict_with_a_cure)
{
    json_t *body;
    char cure[64];
    const char *rows = ROWS("  - { name: contoso, owner: ada, incarnation: 7, quota: 1GiB, "
                            "replicas: [{ region: eastus }] }\n" FABRIKAM_OPEN);
    created_again(ANEW);
    uint64_t incarnation = in_force("contoso")->incarnation;
    ck_assert_int_eq(apply_exported(rows, NULL, &body), 409);
    const char *said = record_text(json_object_get(body, "error"), "message");
    snprintf(cure, sizeof cure, "write `incarnation: %llu`", (unsigned long long)incarnation);
    ck_assert_msg(strstr(said, cure) != NULL, "%s", said);
    ck_assert_ptr_nonnull(strstr(said, "registry contoso was deleted and created again since"));
    ck_assert_ptr_nonnull(strstr(said, "--force-conflicts"));
    ck_assert_ptr_nonnull(strstr(said, "1 conflict"));
    json_decref(body);
    ck_assert_int_eq(apply_exported(rows, "commands", &body), 202); // the base alone
    ck_assert_int_eq(count(body, "nRows"), 0);
    json_decref(body);
    ck_assert(in_force("contoso")->anonymous_pull);
    end();
    created_again(ANEW);
    incarnation = in_force("contoso")->incarnation;
    ck_assert_int_eq(apply_exported(rows, "file", &body), 202);
    json_decref(body);
    // it is the one in force that is as the file says, and no third one
    ck_assert_uint_eq(in_force("contoso")->incarnation, incarnation);
    ck_assert_uint_eq(in_force("contoso")->n_replicas, 1);
    ck_assert(!in_force("contoso")->anonymous_pull);
    end();
}
END_TEST

// The cures: the incarnation in force, or none.
START_TEST(the_file_may_mean_the_registry_that_was_created_again)
{
    for (int says = 0; says < 2; says++) {
        json_t *body;
        char which[64] = "";
        created_again(ANEW);
        if (says)
            snprintf(which, sizeof which, ", incarnation: %llu",
                     (unsigned long long)in_force("contoso")->incarnation);
        AUTO_FREE char *rows =
            mem_printf(ROWS("  - { name: contoso, owner: ada, anonymous_pull: true%s, quota: 1GiB, "
                            "replicas: [{ region: eastus }, { region: north }] }\n" FABRIKAM_OPEN),
                       which);
        int status = apply_exported(rows, NULL, &body);
        ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
        json_decref(body);
        ck_assert_ptr_nonnull(in_force("contoso")->policy);
        end();
    }
}
END_TEST

// What is out of the file is the one that was exported: the other one is nobody's to delete.
START_TEST(a_registry_that_was_created_again_is_not_deleted_by_a_file_of_before)
{
    json_t *body;
    created_again("{'replicas':['eastus','westus']}");
    ck_assert_int_eq(apply_exported(ROWS(FABRIKAM_OPEN TAILSPIN), NULL, &body), 202);
    ck_assert_int_eq(count(body, "nRemoved"), 0);
    ck_assert_int_eq(count(body, "nKept"), 1);
    const json_t *kept =
        json_array_get(json_object_get(json_object_get(body, "answer"), "kept"), 0);
    ck_assert_ptr_nonnull(strstr(record_text(kept, "note"), "the one in force stays"));
    json_decref(body);
    ck_assert_ptr_nonnull(in_force("contoso"));
    ck_assert_ptr_nonnull(in_force("tailspin"));
    end();
}
END_TEST

START_TEST(registries_that_go_leave_their_names_reserved)
{
    json_t *body;
    begin(ROWS(CONTOSO("") FABRIKAM));
    ck_assert_int_eq(
        ask("topology apply", document(with_rows(ROWS(FABRIKAM TAILSPIN)), NULL), false, 0, &body),
        202);
    ck_assert_int_eq(count(body, "nRemoved"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(body, "notes")), 1);
    json_decref(body);
    ck_assert_ptr_null(in_force("contoso"));
    ck_assert_ptr_nonnull(in_force("tailspin"));
    ck_assert_uint_gt(in_force("tailspin")->incarnation, 0);
    const struct reserved_name *r = topology_reserved(a.fleet.t, "contoso");
    ck_assert_ptr_nonnull(r);
    ck_assert_str_eq(r->owner, "ada");
    ck_assert_int_eq((r->until_s - r->since_s) / 86400, 90);
    // somebody else's document cannot take it
    ck_assert_int_eq(ask("topology apply",
                         document(with_rows(ROWS(FABRIKAM TAILSPIN
                                                 "  - { name: contoso, owner: mallory, replicas: "
                                                 "[{ region: eastus }] }\n")),
                                  NULL),
                         false, 0, &body),
                     409);
    json_decref(body);
    end();
}
END_TEST

#define BOB                                                                         \
    "version: 1\nusers:\n  - name: bob\n    password_hash: "                        \
    "'$2b$12$abcdefghijklmnopqrstuuWvBXVW9WLyXkFgAkVjH1bU1v4hLqFXm'\n    grants:\n" \
    "      - { registry: contoso, repositories: ['*'], actions: [pull] }\n"         \
    "      - { registry: fabrikam, repositories: ['*'], actions: [pull] }\n"

static void expect_gone(const char *key)
{
    json_t *gone = json_loads(toy_fleet_record(&a.fleet, key), 0, NULL);
    ck_assert_ptr_nonnull(gone);
    ck_assert_int_gt(record_number(gone, "due"), record_number(gone, "since"));
    json_decref(gone);
}

START_TEST(registries_that_go_take_content_and_grants_along)
{
    json_t *body;
    begin(ROWS(CONTOSO("") FABRIKAM));
    free(a.fleet.principals);
    a.fleet.principals = mem_strdup(BOB);
    uint64_t first = a.fleet.t->version;
    ck_assert_int_eq(
        ask("topology apply", document(with_rows(ROWS(FABRIKAM TAILSPIN)), NULL), false, 0, &body),
        202);
    json_decref(body);
    expect_gone("gone/contoso");
    ck_assert_ptr_null(strstr(a.fleet.principals, "contoso"));
    ck_assert_ptr_nonnull(strstr(a.fleet.principals, "fabrikam"));
    ck_assert_uint_eq(a.fleet.principals_version, 2);
    ck_assert_int_eq(
        ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)first), false, 0, &body),
        202);
    json_decref(body);
    const char *at = NULL;
    for (size_t i = 0; i < a.fleet.n_records; i++)
        if (!strncmp(a.fleet.records[i].key, "gone/tailspin", strlen("gone/tailspin")))
            at = a.fleet.records[i].key;
    ck_assert_ptr_nonnull(at);
    expect_gone(at);
    // nobody had anything of it
    ck_assert_uint_eq(a.fleet.principals_version, 2);
    end();
}
END_TEST

START_TEST(sections_are_applied_too)
{
    json_t *body;
    char file[20000];
    begin(ROWS(CONTOSO("")));
    snprintf(file, sizeof file, "%sttl: { global: 41s }\n", with_rows(ROWS(CONTOSO(""))));
    ck_assert_int_eq(ask("topology apply", document(file, NULL), true, 0, &body), 200);
    ck_assert_int_eq(what_if_exit(body), 10);
    const json_t *dns = json_object_get(json_object_get(body, "whatIf"), "dns");
    ck_assert_uint_gt(json_array_size(dns), 0);
    json_decref(body);
    ck_assert_int_eq(ask("topology apply", document(file, NULL), false, 0, &body), 202);
    json_decref(body);
    ck_assert_uint_eq(a.fleet.t->ttl.global, 41);
    end();
}
END_TEST

START_TEST(nothing_else_runs_meanwhile)
{
    json_t *body;
    begin(ROWS(CONTOSO("")));
    a.fleet.slow[1] = true;
    ck_assert_int_eq(
        asked(&a, "registry update", "contoso", "{'regionalEndpoints':'Enabled'}", &body), 202);
    json_decref(body);
    ck_assert_int_eq(ask("topology apply",
                         document(with_rows(ROWS(CONTOSO(", anonymous_pull: true"))), NULL), false,
                         0, &body),
                     409);
    ck_assert_str_eq(asked_code(body), "OperationInProgress");
    end();
}
END_TEST

START_TEST(back_to_an_earlier_version)
{
    json_t *body;
    begin(ROWS(CONTOSO("") FABRIKAM));
    uint64_t first = a.fleet.t->version;
    json_decref(asked_to_end(&a, "registry delete", "fabrikam", "{}", "Succeeded"));
    json_decref(
        asked_to_end(&a, "registry create", "tailspin", "{'location':'eastus'}", "Succeeded"));
    json_decref(asked_to_end(&a, "replication update", "contoso/eastus",
                             "{'globalEndpointRouting':'Disabled'}", "Succeeded"));
    uint64_t version = a.fleet.t->version;
    ck_assert_int_eq(
        ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)first), true, 0, &body),
        200);
    ck_assert_int_eq(what_if_exit(body), 10);
    ck_assert_int_eq(count(body, "nRemoved"), 1);
    ck_assert_int_eq(count(body, "nKept"), 1);
    json_decref(body);
    ck_assert_uint_eq(a.fleet.t->version, version);
    ck_assert_int_eq(ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)first),
                         false, version, &body),
                     202);
    json_decref(body);
    ck_assert_uint_eq(a.fleet.t->version, version + 3); // the document, then tailspin's names
    ck_assert(in_force("contoso")->replicas[0].global_routing);
    // what was deleted since does not come back, and its name stays reserved; what was created goes
    ck_assert_ptr_null(in_force("fabrikam"));
    ck_assert_ptr_nonnull(topology_reserved(a.fleet.t, "fabrikam"));
    ck_assert_ptr_null(in_force("tailspin"));
    ck_assert_ptr_nonnull(topology_reserved(a.fleet.t, "tailspin"));
    ck_assert_int_eq(
        ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)first), false, 0, &body),
        200);
    ck_assert_str_eq(record_text(body, "code"), "NothingToDo");
    json_decref(body);
    end();
}
END_TEST

// The versions between are of an operation that nobody goes on with any more.
START_TEST(back_to_the_middle_of_an_operation_is_back_to_whole_names)
{
    json_t *body;
    begin(ROWS(CONTOSO("")));
    json_decref(asked_to_end(&a, "registry create", "tailspin", "{}", "Succeeded"));
    json_decref(asked_to_end(&a, "registry update", "tailspin", "{'regionalEndpoints':'Enabled'}",
                             "Succeeded"));
    // what the creation's first document said: at the edge alone
    for (uint64_t version = 41; version <= 43; version++) {
        int status = ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)version),
                         false, 0, &body);
        ck_assert_msg(status / 100 == 2, "%s", json_dumps(body, 0));
        json_decref(body);
        const char *names = asked_names(&a, "tailspin");
        ck_assert_ptr_null(strstr(names, ":edge"));
        ck_assert_int_eq(strstr(names, "r.eastus:public") != NULL, version == 43);
    }
    ck_assert_int_eq(
        ask("topology rollback", json_pack("{s:I}", "version", (json_int_t)43), false, 0, &body),
        200);
    ck_assert_str_eq(record_text(body, "code"), "NothingToDo");
    json_decref(body);
    end();
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    static const struct {
        const char *verb, *arguments;
        int status;
    } rows[] = {
        {"topology apply", "{\"frames\":\"\"}", 400},
        {"topology apply", "{\"change\":7}", 400},
        {"topology apply", "{\"change\":\"registries: nothing\\n\"}", 400},
        {"topology apply", "{\"change\":\"remove: [nobody]\\n\"}", 200},
        {"topology apply", "{\"frame\":\"- a\\n\"}", 400},
        {"topology apply",
         "{\"change\":\"registries: [{ name: contoso, replicas: [{ region: moon "
         "}] }]\\n\"}",
         409},
        {"topology rollback", "{}", 400},
        {"topology rollback", "{\"version\":4000}", 400},
        {"topology rollback", "{\"version\":3}", 404},
    };
    begin(ROWS(CONTOSO("")));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int what_if = 0; what_if < 2; what_if++) {
            json_t *body;
            int status =
                ask(rows[i].verb, json_loads(rows[i].arguments, 0, NULL), what_if, 0, &body);
            ck_assert_msg(status == rows[i].status, "%s %s: %d %s", rows[i].verb, rows[i].arguments,
                          status, json_dumps(body, 0));
            json_decref(body);
        }
    end();
}
END_TEST

// A document is compared with what is in force: asked again it is another request, or none.
START_TEST(a_document_that_is_in_force_is_told_to_wait_for_nobody)
{
    json_t *body;
    begin(ROWS(CONTOSO("") FABRIKAM));
    const char *file = with_rows(ROWS(CONTOSO(", anonymous_pull: true") FABRIKAM));
    a.fleet.slow[2] = true;
    ck_assert_int_eq(ask("topology apply", document(file, NULL), false, 0, &body), 202);
    char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    ck_assert_str_eq(asked_state(&a, id), "Updating");
    ck_assert_int_eq(ask("topology apply", document(with_rows(ROWS(CONTOSO("") FABRIKAM)), NULL),
                         false, 0, &body),
                     409); // everything waits for that region
    json_decref(body);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 409);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{'quorum':true}", NULL), 202);
    asked_settle(&a, 100);
    ck_assert_str_eq(asked_state(&a, id), "Succeeded");
    free(id);
    end();
}
END_TEST

CHECK_MAIN("lifecycle/topology_verbs", a_document_is_applied_and_what_commands_did_stays,
           conflicts_are_named_and_decided, who_changed_a_row_last_is_named,
           a_registry_that_was_created_again_stays_out_of_what_was_exported_before,
           a_change_of_a_registry_that_was_created_again_is_a_conflict_with_a_cure,
           the_file_may_mean_the_registry_that_was_created_again,
           a_registry_that_was_created_again_is_not_deleted_by_a_file_of_before,
           registries_that_go_leave_their_names_reserved,
           registries_that_go_take_content_and_grants_along, sections_are_applied_too,
           nothing_else_runs_meanwhile, back_to_an_earlier_version,
           back_to_the_middle_of_an_operation_is_back_to_whole_names, bad_arguments_are_refused,
           a_document_that_is_in_force_is_told_to_wait_for_nobody)
