// SPDX-License-Identifier: Apache-2.0
// Whose a name is: who may create registries takes and releases no name that is kept for another.
#include "base/mem.h"
#include "config/reserved.h"
#include "config/topology_control.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/asked.h"

#include <check.h>
#include <string.h>

static struct asked a;

#define CONTOSO "registries:\n  - { name: contoso, owner: ada, replicas: [{ region: eastus }] }\n"
#define RESERVED                                                                                  \
    "registries: []\nreserved:\n  - { name: contoso, owner: ada, since: '2020-01-01T00:00:00Z', " \
    "until: '2099-01-01T00:00:00Z' }\n"

static void begin(const char *rows, const char *by, unsigned rights)
{
    asked_init(&a, rows);
    a.by = by;
    a.rights = rights;
}

static int as(const char *by, unsigned rights, const char *verb, const char *arguments)
{
    json_t *body;
    a.by = by;
    a.rights = rights;
    int status = asked(&a, verb, "contoso", arguments, &body);
    if (status == 403)
        ck_assert_ptr_nonnull(
            strstr(record_text(json_object_get(body, "error"), "message"), "needs all"));
    json_decref(body);
    return status;
}

static void end(void)
{
    asked_done(&a);
}

#define REGISTRIES CONTROL_RIGHT_REGISTRIES
#define MOST (CONTROL_RIGHTS_ALL & ~CONTROL_RIGHT_TOPOLOGY)

START_TEST(a_reserved_name_is_taken_by_its_owner)
{
    static const struct {
        const char *by, *arguments;
        unsigned rights;
        int status;
    } rows[] = {
        {"operator:bob", "{'owner':'ada'}", REGISTRIES, 403},
        {"operator:bob", "{'owner':'ada'}", MOST, 403},
        {"operator:bob", "{'owner':'ada','whatIf':true}", REGISTRIES, 403},
        {"operator:bob", "{}", REGISTRIES, 409},
        // all rights take it for the owner, and for nobody else
        {"operator:bob", "{}", CONTROL_RIGHTS_ALL, 409},
        {"operator:bob", "{'owner':'ada'}", CONTROL_RIGHTS_ALL, 202},
        {"root@eastus", "{'owner':'ada'}", CONTROL_RIGHTS_ALL, 202},
        {"operator:ada", "{}", REGISTRIES, 202},
        {"operator:ada", "{'owner':'ada'}", REGISTRIES, 202},
        {"operator:ada", "{'owner':'bob'}", REGISTRIES, 409},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(RESERVED, rows[i].by, rows[i].rights);
        int status = as(rows[i].by, rows[i].rights, "registry create", rows[i].arguments);
        ck_assert_msg(status == rows[i].status, "%zu: %d", i, status);
        end();
    }
}
END_TEST

START_TEST(a_name_whose_time_is_up_is_anybodys)
{
    begin("registries: []\nreserved:\n  - { name: contoso, owner: ada, since: "
          "'2020-01-01T00:00:00Z', until: '2020-02-01T00:00:00Z' }\n",
          "operator:bob", REGISTRIES);
    ck_assert_int_eq(as("operator:bob", REGISTRIES, "registry create", "{'owner':'ada'}"), 202);
    end();
}
END_TEST

// To create for another is no theft.
START_TEST(a_free_name_is_created_for_anybody)
{
    begin("registries: []\n", "operator:ci", REGISTRIES);
    ck_assert_int_eq(as("operator:ci", REGISTRIES, "registry create", "{'owner':'team-a'}"), 202);
    end();
}
END_TEST

START_TEST(a_name_is_released_by_its_owner)
{
    static const struct {
        const char *by, *arguments;
        unsigned rights;
        int status;
    } rows[] = {
        {"operator:bob", "{}", REGISTRIES, 403},
        {"operator:bob", "{'whatIf':true}", MOST, 403},
        {"operator:bob", "{}", CONTROL_RIGHTS_ALL, 202},
        {"operator:ada", "{}", REGISTRIES, 202},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(RESERVED, rows[i].by, rows[i].rights);
        int status = as(rows[i].by, rows[i].rights, "name release", rows[i].arguments);
        ck_assert_msg(status == rows[i].status, "%zu: %d", i, status);
        ck_assert_int_eq(topology_reserved(a.fleet.t, "contoso") == NULL, status == 202);
        end();
    }
}
END_TEST

// Nobody releases a name by deleting its registry for a short time of reservation.
START_TEST(a_deletion_that_frees_the_name_early_is_its_owners)
{
    static const struct {
        const char *by, *arguments;
        unsigned rights;
        int status;
    } rows[] = {
        {"operator:bob", "{'reserveDays':0}", REGISTRIES, 403},
        {"operator:bob", "{'reserveDays':89}", MOST, 403},
        {"operator:bob", "{'reserveDays':90}", REGISTRIES, 202},
        {"operator:bob", "{}", REGISTRIES, 202},
        {"operator:bob", "{'reserveDays':0}", CONTROL_RIGHTS_ALL, 202},
        {"operator:ada", "{'reserveDays':0}", REGISTRIES, 202},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(CONTOSO, rows[i].by, rows[i].rights);
        int status = as(rows[i].by, rows[i].rights, "registry delete", rows[i].arguments);
        ck_assert_msg(status == rows[i].status, "%zu: %d", i, status);
        end();
    }
}
END_TEST

// What somebody with more rights has begun is neither gone on with nor called off by who could not have
// begun it.
START_TEST(what_needed_all_rights_is_not_turned_round_with_fewer)
{
    begin(RESERVED, "root@eastus", CONTROL_RIGHTS_ALL);
    a.fleet.slow[1] = true;
    json_t *body;
    ck_assert_int_eq(asked(&a, "registry create", "contoso", "{'owner':'ada'}", &body), 202);
    AUTO_FREE char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    ck_assert_ptr_null(json_object_get(json_object_get(body, "operation"), "rights"));
    json_decref(body);
    ck_assert_int_eq(as("operator:bob", REGISTRIES, "registry create", "{'owner':'ada'}"), 403);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 403);
    ck_assert_str_eq(asked_state(&a, id), "Creating");
    a.rights = CONTROL_RIGHTS_ALL;
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    end();
}
END_TEST

CHECK_MAIN("lifecycle/owners", a_reserved_name_is_taken_by_its_owner,
           a_name_whose_time_is_up_is_anybodys, a_free_name_is_created_for_anybody,
           a_name_is_released_by_its_owner, a_deletion_that_frees_the_name_early_is_its_owners,
           what_needed_all_rights_is_not_turned_round_with_fewer)
