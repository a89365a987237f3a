// SPDX-License-Identifier: Apache-2.0
// Rights by what a document changes: it is no way round the right of the verb for the same change.
#include "base/mem.h"
#include "config/topology_control.h"
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

// Of a document with the frame in force and those rows.
static json_t *apply_rows(const char *rows)
{
    AUTO_FREE char *text = documented_text(&a, rows);
    return documented_apply(&a, text, NULL);
}

static int ask(const char *verb, json_t *arguments, bool what_if, json_t **out_body)
{
    int status = documented_ask(&a, verb, arguments, what_if, 0, out_body);
    asked_settle(&a, 4000);
    return status;
}

#define FINGERPRINT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void expect_denied(const char *verb, json_t *arguments, const char *needs)
{
    uint64_t version = a.fleet.t->version;
    for (int what_if = 1; what_if >= 0; what_if--) {
        json_t *body;
        int status = ask(verb, json_incref(arguments), what_if, &body);
        ck_assert_msg(status == 403, "%s: %s", needs, json_dumps(body, 0));
        const char *said = record_text(json_object_get(body, "error"), "message");
        ck_assert_msg(strstr(said, needs) != NULL, "%s", said);
        ck_assert_str_eq(asked_code(body), "Denied");
        ck_assert_uint_eq(a.fleet.t->version, version);
    }
    json_decref(arguments);
}

static void expect_done(const char *verb, json_t *arguments)
{
    json_t *body;
    int status = ask(verb, arguments, false, &body);
    ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
    json_decref(body);
}

START_TEST(what_a_document_changes_needs_its_right)
{
    static const struct {
        const char *from, *to, *needs;
        unsigned right;
    } rows[] = {
        {"views:", "identities: { eastus: { peer_fingerprints: [" FINGERPRINT "] } }\nviews:",
         "the section identities needs all", CONTROL_RIGHTS_ALL},
        {"views:", "tokens: { max_stale: 2h }\nviews:",
         "the section tokens needs the right principals", CONTROL_RIGHT_PRINCIPALS},
        {"peer: 10.0.0.2:8443", "peer: 10.0.0.7:8443",
         "the section regions needs the right regions", CONTROL_RIGHT_REGIONS},
        {"views:", "certificates: { ca_region: eastus }\nviews:",
         "the section certificates needs all", CONTROL_RIGHTS_ALL},
        {"anonymous_pull: false", "anonymous_pull: true",
         "the registry contoso needs the right registries", CONTROL_RIGHT_REGISTRIES},
    };
    documented_begin(&a, ROWS(CONTOSO(", anonymous_pull: false")));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *was = documented_text(&a, ROWS(CONTOSO(", anonymous_pull: false")));
        const char *at = strstr(was, rows[i].from);
        ck_assert_ptr_nonnull(at);
        AUTO_FREE char *file =
            mem_printf("%.*s%s%s", (int)(at - was), was, rows[i].to, at + strlen(rows[i].from));
        a.rights = CONTROL_RIGHTS_ALL & ~rows[i].right;
        a.rights |= CONTROL_RIGHT_TOPOLOGY;
        expect_denied("topology apply", documented_apply(&a, file, NULL), rows[i].needs);
        a.rights = CONTROL_RIGHT_TOPOLOGY | rows[i].right;
        expect_done("topology apply", documented_apply(&a, file, NULL));
    }
    a.rights = CONTROL_RIGHT_TOPOLOGY;
    AUTO_FREE char *now = documented_text(&a, ROWS(CONTOSO(", anonymous_pull: true")));
    AUTO_FREE char *file = mem_printf("ttl: { global: 41s }\n%s", now);
    expect_done("topology apply", documented_apply(&a, file, NULL));
    // and neither is going back
    expect_done("topology rollback",
                json_pack("{s:I}", "version", (json_int_t)a.fleet.t->version - 1));
    json_t *back = json_pack("{s:i}", "version", 41);
    a.rights = CONTROL_RIGHT_TOPOLOGY | CONTROL_RIGHT_PRINCIPALS;
    expect_denied("topology rollback", json_incref(back), "the section regions needs the right");
    a.rights |= CONTROL_RIGHT_REGIONS;
    expect_denied("topology rollback", json_incref(back), "contoso needs the right registries");
    a.rights |= CONTROL_RIGHT_REGISTRIES;
    expect_denied("topology rollback", json_incref(back), "certificates needs all rights");
    a.rights = CONTROL_RIGHTS_ALL;
    expect_done("topology rollback", back);
    documented_end(&a);
}
END_TEST

#define OWNED_FABRIKAM "  - { name: fabrikam, owner: bob, replicas: [{ region: westus }] }\n"
#define MINE                                                                              \
    "  - { name: contoso, owner: bob, replicas: [{ region: eastus }, { region: westus }]" \
    " }\n"

START_TEST(a_document_takes_no_name_from_its_owner)
{
    documented_begin(&a, ROWS(CONTOSO("") FABRIKAM));
    a.rights = CONTROL_RIGHT_TOPOLOGY | CONTROL_RIGHT_REGISTRIES;
    // somebody else's registry made one's own
    expect_denied("topology apply", apply_rows(ROWS(FABRIKAM MINE)),
                  "contoso, which is ada's, needs all");
    documented_by = "operator:ada";
    expect_done("topology apply", apply_rows(ROWS(FABRIKAM MINE)));
    documented_by = "operator:bob";
    expect_done("topology apply", apply_rows(ROWS(FABRIKAM CONTOSO(""))));
    // the name of one that was deleted
    expect_done("topology apply", apply_rows(ROWS(FABRIKAM)));
    expect_denied("topology apply", apply_rows(ROWS(FABRIKAM CONTOSO(""))),
                  "contoso, which is reserved for ada, needs all");
    documented_by = "operator:ada";
    expect_done("topology apply", apply_rows(ROWS(FABRIKAM CONTOSO(""))));
    documented_end(&a);
}
END_TEST

// One without an owner is not had by taking it, and its name not freed so.
START_TEST(a_registry_of_nobody_is_not_made_ones_own)
{
    documented_begin(&a, ROWS(FABRIKAM));
    a.rights = CONTROL_RIGHT_TOPOLOGY | CONTROL_RIGHT_REGISTRIES;
    expect_denied("topology apply", apply_rows(ROWS(OWNED_FABRIKAM)),
                  "fabrikam, which has none, needs all");
    a.rights = CONTROL_RIGHTS_ALL;
    expect_done("topology apply", apply_rows(ROWS(OWNED_FABRIKAM)));
    documented_end(&a);
}
END_TEST

CHECK_MAIN("lifecycle/document_needs", what_a_document_changes_needs_its_right,
           a_document_takes_no_name_from_its_owner, a_registry_of_nobody_is_not_made_ones_own)
