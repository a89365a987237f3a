// SPDX-License-Identifier: Apache-2.0
// lifecycle/principals_verbs: users, tokens and scope maps changed at the writer, what is refused, and
// that a request's hashes stand in the document and nowhere else.
#include "lifecycle/lifecycle.h"

#include "base/mem.h"
#include "config/principals.h"
#include "config/topology_control.h"
#include "control/principals_change.h"
#include "lifecycle/record.h"
#include "lifecycle/verb.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/asked.h"

#include <string.h>

#define HASH "$2b$04$abcdefghijklmnopqrstuuQnH0m5CbLpZ6HOaB0sBBBBBBBBBBBBB"
#define REGISTRIES  \
    "registries:\n" \
    "  - { name: contoso, replicas: [{ region: eastus }, { region: north }] }\n"

static struct principals *in_force(const struct asked *a)
{
    struct principals *p = NULL;
    ck_assert_int_eq(
        principals_parse(a->fleet.principals, strlen(a->fleet.principals), "p", NULL, &p), 0);
    return p;
}

static bool ledger_has(const struct asked *a, const char *text)
{
    for (size_t i = 0; i < a->fleet.n_records; i++)
        if (strstr(a->fleet.records[i].value, text))
            return true;
    return false;
}

START_TEST(users_tokens_and_scope_maps_are_changed_by_requests)
{
    struct asked a;
    asked_init(&a, REGISTRIES);
    json_decref(asked_to_end(&a, "user create", "carl",
                             "{'passwordHash':'" HASH "','registry':'contoso'}", "Succeeded"));
    json_decref(asked_to_end(&a, "scope-map create", "logs",
                             "{'registry':'contoso','repositories':['logs'],'actions':['content/"
                             "add']}",
                             "Succeeded"));
    json_decref(asked_to_end(&a, "token create", "shipper",
                             "{'registry':'contoso','scopeMap':'logs','passwords':[{'id':1,"
                             "'passwordHash':'" HASH "'}]}",
                             "Succeeded"));
    json_decref(asked_to_end(&a, "token credential generate", "shipper",
                             "{'id':2,'passwordHash':'" HASH "'}", "Succeeded"));
    json_decref(asked_to_end(&a, "user revoke", "carl", "{}", "Succeeded"));
    struct principals *p = in_force(&a);
    ck_assert_uint_gt(principals_find(p, "carl")->generation, 1);
    ck_assert_uint_eq(principals_find(p, "shipper")->token->n_passwords, 2);
    ck_assert_uint_eq(p->version, a.fleet.principals_version);
    snapshot_unref(p);
    // neither a hash nor any other argument is kept beside the document
    ck_assert(!ledger_has(&a, "$2b$04"));
    asked_done(&a);
}
END_TEST

START_TEST(what_cannot_be_is_refused_by_its_code)
{
    struct asked a;
    json_t *body;
    asked_init(&a, REGISTRIES);
    json_decref(
        asked_to_end(&a, "user create", "carl", "{'passwordHash':'" HASH "'}", "Succeeded"));
    static const struct {
        const char *verb, *object, *arguments;
        int status;
        const char *code;
    } rows[] = {
        {"user create", "carl", "{'passwordHash':'" HASH "'}", 409, "AlreadyExists"},
        {"user create", "dora", "{'password':'in clear'}", 400, "Invalid"},
        {"user delete", "nobody", "{}", 404, "NotFound"},
        {"user grant", "carl", "{'registry':'nothere'}", 404, "NotFound"},
        {"token create", "t", "{'registry':'contoso','scopeMap':'none','passwords':[]}", 400,
         "Invalid"},
        {"user rename", "carl", "{}", 400, "Invalid"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = asked(&a, rows[i].verb, rows[i].object, rows[i].arguments, &body);
        ck_assert_msg(status == rows[i].status, "row %zu: %d", i, status);
        ck_assert_str_eq(asked_code(body), rows[i].code);
    }
    // it is so already
    ck_assert_int_eq(asked(&a, "user update", "carl", "{'enabled':true}", &body), 200);
    ck_assert_str_eq(record_text(body, "code"), "NothingToDo");
    json_decref(body);
    asked_done(&a);
}
END_TEST

// The same verbs on both sides: what the file takes, the writer takes, and the other way.
START_TEST(every_verb_of_the_principals_is_in_the_table)
{
    size_t n, mine = 0;
    const struct verb *const *all = verbs_all(&n);
    for (size_t i = 0; i < n; i++) {
        bool known = principals_verb_known(all[i]->noun, all[i]->word);
        ck_assert_msg(known == (all[i]->right == CONTROL_RIGHT_PRINCIPALS), "%s %s", all[i]->noun,
                      all[i]->word);
        mine += known;
    }
    ck_assert_uint_eq(mine, 16);
}
END_TEST

// The name taken anew begins without what was granted on the one before.
START_TEST(grants_go_with_a_registry_that_is_deleted)
{
    struct asked a;
    asked_init(&a, REGISTRIES);
    json_decref(asked_to_end(&a, "user create", "carl",
                             "{'passwordHash':'" HASH "','registry':'contoso'}", "Succeeded"));
    json_decref(asked_to_end(&a, "token create", "ci",
                             "{'registry':'contoso','scopeMap':'_push','repositories':'*',"
                             "'passwords':[{'id':1,'passwordHash':'" HASH "'}]}",
                             "Succeeded"));
    json_decref(asked_to_end(&a, "registry delete", "contoso", "{}", "Succeeded"));
    struct principals *p = in_force(&a);
    ck_assert_uint_eq(principals_find(p, "carl")->n_grants, 0);
    ck_assert_ptr_null(principals_find(p, "ci"));
    snapshot_unref(p);
    asked_done(&a);
}
END_TEST

START_TEST(a_full_ledger_takes_what_takes_away_and_what_has_begun)
{
    struct asked a;
    json_t *body;
    asked_init(&a, REGISTRIES);
    json_decref(asked_to_end(&a, "user create", "carl",
                             "{'passwordHash':'" HASH "','registry':'contoso'}", "Succeeded"));
    int status = asked(&a, "registry update", "contoso", "{'regionalEndpoints':'Enabled'}", &body);
    ck_assert_int_eq(status, 202);
    json_decref(body);
    a.fleet.ledger_full = true;
    asked_settle(&a, 1000); // that goes on to its end
    ck_assert_uint_ge(strlen(asked_names(&a, "contoso")), strlen("g:public r.eastus:public"));
    ck_assert_int_eq(asked(&a, "user create", "dora", "{'passwordHash':'" HASH "'}", &body), 409);
    ck_assert_ptr_nonnull(
        strstr(record_text(json_object_get(body, "error"), "message"), "the ledger is full"));
    ck_assert_str_eq(asked_code(body), "Refused");
    ck_assert_int_eq(asked(&a, "registry create", "northwind", "{'location':'eastus'}", NULL), 409);
    json_decref(asked_to_end(&a, "user revoke", "carl", "{}", "Succeeded"));
    json_decref(
        asked_to_end(&a, "user passwd", "carl", "{'passwordHash':'" HASH "'}", "Succeeded"));
    json_decref(asked_to_end(&a, "user delete", "carl", "{}", "Succeeded"));
    json_decref(asked_to_end(&a, "registry delete", "contoso", "{}", "Succeeded"));
    asked_done(&a);
}
END_TEST

CHECK_MAIN("lifecycle/principals_verbs", users_tokens_and_scope_maps_are_changed_by_requests,
           what_cannot_be_is_refused_by_its_code, every_verb_of_the_principals_is_in_the_table,
           grants_go_with_a_registry_that_is_deleted,
           a_full_ledger_takes_what_takes_away_and_what_has_begun)
