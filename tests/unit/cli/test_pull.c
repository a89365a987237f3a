// SPDX-License-Identifier: Apache-2.0
// cli/pull: what an image is called, and what the findings of a pull mean: each step failing once in each
// way, with its cure and its exit status; what is judged depends on nothing that was not found.
#include "cli/pull.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/bearer.h"
#include "cli/exit.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define SHA "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct arena arena;
static struct pull_step steps[N_PULL_STEPS];

static void up(void)
{
    arena_init(&arena, 0);
}

static void down(void)
{
    arena_done(&arena);
}

// ---- names ----

static struct pull_image parsed(const char *text)
{
    struct pull_image image = {0};
    const char *why = "";
    ck_assert_msg(!pull_image_parse(text, "example.io", &arena, &image, &why), "%s: %s", text, why);
    return image;
}

static const char *refused(const char *text)
{
    struct pull_image image = {.label = "untouched"};
    const char *why = NULL;
    ck_assert_msg(pull_image_parse(text, "example.io", &arena, &image, &why) == ERR_INVAL, "%s",
                  text);
    ck_assert_ptr_nonnull(why);
    ck_assert_str_eq(image.label, "untouched");
    return why;
}

START_TEST(images_by_every_name)
{
    up();
    struct pull_image i = parsed("contoso/team/app");
    ck_assert_ptr_null(i.host);
    ck_assert_str_eq(i.label, "contoso");
    ck_assert_str_eq(i.repository, "team/app");
    ck_assert_str_eq(i.reference, "latest");
    ck_assert(!i.by_digest && i.kind == NAME_GLOBAL && !i.region);
    i = parsed("docker://contoso.example.io:8443/app:1.2-x_y");
    ck_assert_str_eq(i.host, "contoso.example.io");
    ck_assert_str_eq(i.label, "contoso");
    ck_assert_str_eq(i.reference, "1.2-x_y");
    i = parsed("contoso.eastus.geo.example.io/app@" SHA);
    ck_assert_int_eq(i.kind, NAME_REGIONAL);
    ck_assert_str_eq(i.region, "eastus");
    ck_assert_str_eq(i.reference, SHA);
    ck_assert(i.by_digest);
    i = parsed("contoso/app:1@" SHA); // the digest counts
    ck_assert_str_eq(i.reference, SHA);
    ck_assert_str_eq(i.repository, "app");
    ck_assert_str_eq(parsed("contoso-0123456789abcdef.example.io/app").label,
                     "contoso-0123456789abcdef");
    down();
}
END_TEST

START_TEST(what_is_no_image_is_refused_with_a_reason)
{
    static const struct {
        const char *text, *why;
    } rows[] = {{"", "give"},
                {"contoso", "give"},
                {"/app", "give"},
                {"contoso/", "no repository"},
                {"contoso/App", "no repository"},
                {"contoso/app:", "no tag"},
                {"contoso/app:a b", "no tag"},
                {"contoso/app:-x", "no tag"},
                {"contoso/app@sha256:12", "no digest"},
                {"contoso/app@", "no digest"},
                {"docker.io/library/app", "not of this fleet"},
                {"contoso.eastus.data.example.io/app", "blobs alone"},
                {"contoso.privatelink.example.io/app", "public name"},
                {"contoso.eastus.geo.privatelink.example.io/app", "public name"},
                {"eus-1.eastus.fe.example.io/app", "no name of a registry"},
                {"example.io/app", "no name of a registry"}};
    up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(strstr(refused(rows[i].text), rows[i].why), "%s: %s", rows[i].text,
                      refused(rows[i].text));
    char tag[160] = "contoso/app:";
    memset(tag + 12, 'a', 129);
    ck_assert_ptr_nonnull(strstr(refused(tag), "no tag"));
    tag[12 + 128] = 0;
    parsed(tag);
    down();
}
END_TEST

// ---- judging ----

// A pull that works, by a user with a password.
static struct pull_findings good(void)
{
    struct pull_findings f = {.host = "contoso.example.io",
                              .registry = "contoso",
                              .region = "eastus",
                              .repository = "app",
                              .reference = "1",
                              .user = "ada",
                              .registry_known = true,
                              .region_known = true,
                              .replica_there = true,
                              .regional_offered = true,
                              .led = true,
                              .login = PULL_LOGIN_PASSWORD};
    f.dns.answered = true;
    f.dns.rcode = "NOERROR";
    f.dns.n_addresses = 1;
    f.dns.leads_to = "eastus";
    f.view.name = "public";
    f.tls.tried = true;
    f.tls.address = "192.0.2.1";
    f.tls.answered_by = "eastus";
    f.challenge.status = 401;
    f.challenge.realm_good = f.challenge.service_good = true;
    f.token.got = true;
    f.token.status = 200;
    f.scope.known = f.scope.pull = true;
    f.manifest.tried = true;
    f.manifest.status = 200;
    f.manifest.digest = SHA;
    f.blobs.tried = true;
    f.blobs.n = 3;
    f.blobs.bytes = 4096;
    return f;
}

// The step alone fails, so, and with a cure that says that.
static void fails(const struct pull_findings *f, enum pull_step_kind kind, const char *code,
                  int status, const char *cure)
{
    pull_judge(f, &arena, steps);
    const struct pull_step *first = pull_first_failure(steps);
    ck_assert_msg(first == &steps[kind], "%s: first is %s", code,
                  first ? pull_step_names[first - steps] : "none");
    ck_assert_str_eq(first->code, code);
    ck_assert_int_eq(first->status, status);
    ck_assert_ptr_nonnull(first->why);
    ck_assert_msg(strstr(first->cure, cure), "%s: %s", code, first->cure);
    ck_assert(!pull_all_ok(steps));
}

START_TEST(a_pull_that_works_is_fine_in_every_step)
{
    up();
    struct pull_findings f = good();
    pull_judge(&f, &arena, steps);
    ck_assert(pull_all_ok(steps));
    ck_assert_ptr_null(pull_first_failure(steps));
    for (size_t i = 0; i < N_PULL_STEPS; i++)
        ck_assert_ptr_nonnull(steps[i].why);
    ck_assert_str_eq(steps[PULL_DNS].why, "leads here");
    ck_assert_str_eq(steps[PULL_MANIFEST].why, SHA);
    ck_assert_str_eq(steps[PULL_BLOBS].why, "3, 4096 bytes");
    ck_assert_str_eq(steps[PULL_TLS].why, "verified at 192.0.2.1");
    f.tls.until = "2026-12-07T00:00:00Z";
    pull_judge(&f, &arena, steps);
    ck_assert_str_eq(steps[PULL_TLS].why, "verified at 192.0.2.1, good until 2026-12-07T00:00:00Z");
    f.blobs.n_left_out = 2;
    pull_judge(&f, &arena, steps);
    ck_assert_str_eq(steps[PULL_BLOBS].why, "3, 4096 bytes; 2 more were not looked at");
    f.led = false; // another region than the one that the name leads to
    f.region = "westus";
    f.tls.answered_by = "westus";
    f.dns.fail_open = true;
    pull_judge(&f, &arena, steps);
    ck_assert(pull_all_ok(steps));
    ck_assert_str_eq(steps[PULL_DNS].why, "leads to eastus, though no region is healthy");
    f.dns.private_endpoint = "contoso-corp";
    pull_judge(&f, &arena, steps);
    ck_assert_str_eq(steps[PULL_DNS].why, "leads to private endpoint contoso-corp");
    down();
}
END_TEST

START_TEST(dns_fails_in_each_way)
{
    up();
    struct pull_findings f = good();
    f.dns.answered = false;
    f.dns.why = "no answer";
    fails(&f, PULL_DNS, "DNS_UNREACHABLE", EXIT_UNREACHABLE, "name server");
    f = good();
    f.dns.rcode = "NXDOMAIN";
    f.registry_known = false;
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "meridian registry list");
    f.registry_known = true;
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "meridian dns explain");
    f.dns.stage = "edge";
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "meridian operation list");
    f.dns.stage = NULL;
    f.regional = true;
    f.regional_offered = false;
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "--regional-endpoints enabled");
    f.replica_there = false;
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "meridian replication create contoso/eastus");
    f.region_known = false;
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "meridian region list");
    f = good();
    f.dns.rcode = "REFUSED";
    fails(&f, PULL_DNS, "DNS_REFUSED", EXIT_FAILED, "view");
    f.dns.rcode = "SERVFAIL";
    fails(&f, PULL_DNS, "DNS_ERROR", EXIT_FAILED, "meridian status");
    f = good();
    f.dns.n_addresses = 0;
    fails(&f, PULL_DNS, "NO_ADDRESS", EXIT_FAILED, "stamp");
    down();
}
END_TEST

START_TEST(a_regional_name_never_means_another_region)
{
    up();
    struct pull_findings f = good();
    f.regional = true;
    pull_judge(&f, &arena, steps);
    ck_assert(pull_all_ok(steps));
    f.dns.leads_to = "westus";
    fails(&f, PULL_DNS, "LEADS_ELSEWHERE", EXIT_FAILED, "never means another region");
    f.dns.leads_to = NULL;
    fails(&f, PULL_DNS, "LEADS_ELSEWHERE", EXIT_FAILED, "never means another region");
    f.dns.private_endpoint = "contoso-corp"; // its address is the network's own
    pull_judge(&f, &arena, steps);
    ck_assert(pull_all_ok(steps));
    f.tls.answered_by = NULL; // what answers must say whose it is
    fails(&f, PULL_TLS, "OTHER_REGION", EXIT_FAILED, "in between");
    f.tls.answered_by = "eastus";
    f.region_known = false;
    fails(&f, PULL_TLS, "OTHER_REGION", EXIT_FAILED, "in between");
    f.region_known = true;
    f.tls.answered_by = "westus"; // and yet it is the region that must answer there
    fails(&f, PULL_TLS, "OTHER_REGION", EXIT_FAILED, "in between");
    down();
}
END_TEST

START_TEST(view_and_tls_fail_in_each_way)
{
    up();
    struct pull_findings f = good();
    f.view.unknown = true;
    f.view.name = "corp";
    f.dns.answered = false;
    fails(&f, PULL_VIEW, "VIEW_UNKNOWN", EXIT_UNKNOWN, "topology");
    ck_assert_int_eq(steps[PULL_DNS].state, PULL_NOT_TRIED);
    f = good();
    f.view.refused = true;
    fails(&f, PULL_VIEW, "VIEW_REFUSED", EXIT_FAILED, "sources of a view");
    f.view.refused = false;
    f.view.name = NULL;
    pull_judge(&f, &arena, steps);
    ck_assert_int_eq(steps[PULL_VIEW].state, PULL_NOT_TRIED);
    f.view.by_source = true;
    pull_judge(&f, &arena, steps);
    ck_assert(pull_all_ok(steps));
    f = good();
    f.tls.err = ERR_CRYPTO;
    f.tls.message = "certificate has expired";
    fails(&f, PULL_TLS, "CERTIFICATE", EXIT_FAILED, "meridian certs show");
    ck_assert_ptr_nonnull(strstr(steps[PULL_TLS].why, "certificate has expired"));
    f.tls.err = ERR_TIMEOUT;
    fails(&f, PULL_TLS, "UNREACHABLE", EXIT_UNREACHABLE, "is meridiand running in eastus");
    f = good();
    f.tls.tried = false;
    pull_judge(&f, &arena, steps);
    ck_assert_int_eq(steps[PULL_TLS].state, PULL_NOT_TRIED);
    ck_assert(!pull_all_ok(steps));
    down();
}
END_TEST

START_TEST(the_challenge_fails_in_each_way)
{
    static const struct {
        int status;
        const char *code, *cure;
        int exit;
    } rows[] = {{403, "NETWORK", "public_access", EXIT_DENIED},
                {421, "NOT_HERE", "meridian replication list", EXIT_FAILED},
                {429, "TOO_MANY_REQUESTS", "wait", EXIT_FAILED},
                {503, "NO_CHALLENGE", "meridian status", EXIT_FAILED},
                {200, "NO_CHALLENGE", "meridian status", EXIT_FAILED}};
    up();
    struct pull_findings f = good();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f.challenge.status = rows[i].status;
        f.challenge.words = "HTTP";
        fails(&f, PULL_TOKEN, rows[i].code, rows[i].exit, rows[i].cure);
    }
    f.challenge.status = 401;
    f.challenge.realm_good = false;
    fails(&f, PULL_TOKEN, "CHALLENGE", EXIT_FAILED, "in between");
    ck_assert_ptr_nonnull(strstr(steps[PULL_TOKEN].why, "realm"));
    f.challenge.realm_good = true;
    f.challenge.service_good = false;
    fails(&f, PULL_TOKEN, "CHALLENGE", EXIT_FAILED, "in between");
    ck_assert_ptr_nonnull(strstr(steps[PULL_TOKEN].why, "service"));
    f.challenge.status = 0;
    pull_judge(&f, &arena, steps);
    ck_assert_int_eq(steps[PULL_TOKEN].state, PULL_NOT_TRIED);
    down();
}
END_TEST

START_TEST(the_token_fails_in_each_way)
{
    up();
    struct pull_findings f = good();
    f.token.got = false;
    f.token.status = 401;
    fails(&f, PULL_TOKEN, "CREDENTIALS", EXIT_DENIED, "meridian user passwd ada");
    f.token.status = 429;
    fails(&f, PULL_TOKEN, "TOO_MANY_REQUESTS", EXIT_FAILED, "wait");
    f.token.status = 503;
    fails(&f, PULL_TOKEN, "TOKEN", EXIT_FAILED, "auth role");
    f.token.status = 0;
    fails(&f, PULL_TOKEN, "UNREACHABLE", EXIT_UNREACHABLE, "is meridiand running");
    f.login = PULL_LOGIN_ANONYMOUS;
    f.user = NULL;
    f.token.status = 401;
    fails(&f, PULL_TOKEN, "CREDENTIALS", EXIT_DENIED, "--user");
    f.token.got = true;
    pull_judge(&f, &arena, steps);
    ck_assert_str_eq(steps[PULL_TOKEN].why, "anonymous");
    ck_assert(pull_all_ok(steps));
    f.login = PULL_LOGIN_NONE;
    pull_judge(&f, &arena, steps);
    ck_assert_int_eq(steps[PULL_TOKEN].state, PULL_NOT_TRIED);
    ck_assert_ptr_null(pull_first_failure(steps));
    down();
}
END_TEST

START_TEST(a_node_judges_who_shows_no_password)
{
    up();
    struct pull_findings f = good();
    f.login = PULL_LOGIN_JUDGED;
    f.token.got = false;
    fails(&f, PULL_TOKEN, "USER_UNKNOWN", EXIT_DENIED, "meridian user list");
    f.judged.known = true;
    fails(&f, PULL_TOKEN, "USER_DISABLED", EXIT_DENIED, "--enabled true");
    f.judged.enabled = true;
    fails(&f, PULL_TOKEN, "PASSWORD_ENDED", EXIT_DENIED, "credential generate ada");
    f.judged.n_passwords = 1;
    pull_judge(&f, &arena, steps);
    ck_assert(pull_all_ok(steps));
    ck_assert_ptr_nonnull(strstr(steps[PULL_TOKEN].why, "was not tried"));
    f.scope.pull = false;
    fails(&f, PULL_SCOPE, "NO_PULL", EXIT_DENIED, "meridian user grant ada");
    f.user = NULL;
    f.login = PULL_LOGIN_ANONYMOUS;
    f.token.got = true;
    fails(&f, PULL_SCOPE, "NO_PULL", EXIT_DENIED, "--anonymous-pull-enabled true");
    f.scope.known = false;
    pull_judge(&f, &arena, steps);
    ck_assert_int_eq(steps[PULL_SCOPE].state, PULL_NOT_TRIED);
    down();
}
END_TEST

START_TEST(the_manifest_fails_in_each_way)
{
    up();
    struct pull_findings f = good();
    f.manifest.status = 404;
    f.manifest.words = "HTTP 404: manifest unknown";
    fails(&f, PULL_MANIFEST, "MANIFEST_UNKNOWN", EXIT_UNKNOWN, "meridian tag list contoso/app");
    f.manifest.elsewhere = "westus";
    fails(&f, PULL_MANIFEST, "NOT_REPLICATED", EXIT_FAILED,
          "meridian replication wait contoso/app:1 --region eastus");
    f.reference = SHA;
    fails(&f, PULL_MANIFEST, "NOT_REPLICATED", EXIT_FAILED,
          "meridian replication wait contoso/app@" SHA " --region eastus");
    f.manifest.clock_ahead = true;
    fails(&f, PULL_MANIFEST, "CLOCK_AHEAD", EXIT_CLOCK_AHEAD, "clocks");
    f.manifest.no_space = true;
    fails(&f, PULL_MANIFEST, "NO_SPACE", EXIT_NO_SPACE, "room");
    f.manifest.gone = true;
    fails(&f, PULL_MANIFEST, "MANIFEST_DELETED", EXIT_UNKNOWN, "meridian tag history");
    f.manifest.status = 401;
    fails(&f, PULL_MANIFEST, "TOKEN_REFUSED", EXIT_FAILED, "clocks");
    f.manifest.status = 503;
    fails(&f, PULL_MANIFEST, "UNAVAILABLE", EXIT_FAILED, "meridian status");
    f.manifest.status = 500;
    fails(&f, PULL_MANIFEST, "MANIFEST", EXIT_FAILED, "log");
    f.manifest.status = 0;
    fails(&f, PULL_MANIFEST, "MANIFEST", EXIT_UNREACHABLE, "log");
    f.manifest.tried = false;
    f.manifest.why = "that takes a password";
    pull_judge(&f, &arena, steps);
    ck_assert_str_eq(steps[PULL_MANIFEST].why, "that takes a password");
    ck_assert_ptr_null(pull_first_failure(steps));
    down();
}
END_TEST

START_TEST(blobs_fail_in_each_way)
{
    up();
    struct pull_findings f = good();
    f.blobs.n_missing = 1;
    f.blobs.first = SHA;
    fails(&f, PULL_BLOBS, "BLOB_MISSING", EXIT_FAILED, "push the image again");
    ck_assert_ptr_nonnull(
        strstr(steps[PULL_BLOBS].why, "1 of 3 blobs are not there, the first is " SHA));
    f.blobs.elsewhere = "westus";
    fails(&f, PULL_BLOBS, "BLOB_MISSING", EXIT_FAILED, "westus has it");
    f.blobs.n_children_missing = 2;
    fails(&f, PULL_BLOBS, "CHILD_MISSING", EXIT_FAILED, "platforms");
    f = good();
    f.blobs.n_wrong = 1;
    f.blobs.first = SHA;
    fails(&f, PULL_BLOBS, "BLOB_SIZE", EXIT_FAILED, "push the image again");
    f.blobs.tried = false;
    pull_judge(&f, &arena, steps);
    ck_assert_int_eq(steps[PULL_BLOBS].state, PULL_NOT_TRIED);
    down();
}
END_TEST

// The first that fails is the first in the order of a pull, however many follow; findings of nothing
// are judged too.
START_TEST(the_first_failure_is_the_first_of_a_pull)
{
    up();
    struct pull_findings f = good();
    f.blobs.n_missing = 1;
    f.blobs.first = SHA;
    f.manifest.status = 404;
    fails(&f, PULL_MANIFEST, "MANIFEST_UNKNOWN", EXIT_UNKNOWN, "pushed");
    f.scope.pull = false;
    fails(&f, PULL_SCOPE, "NO_PULL", EXIT_DENIED, "grant");
    f.tls.err = ERR_UNREACHABLE;
    fails(&f, PULL_TLS, "UNREACHABLE", EXIT_UNREACHABLE, "running");
    f.dns.rcode = "NXDOMAIN";
    fails(&f, PULL_DNS, "NAME_UNKNOWN", EXIT_UNKNOWN, "explain");
    const struct pull_findings none = {.host = "contoso.example.io",
                                       .registry = "contoso",
                                       .region = "",
                                       .repository = "app",
                                       .reference = "1"};
    fails(&none, PULL_DNS, "DNS_UNREACHABLE", EXIT_UNREACHABLE, "name server");
    for (size_t i = PULL_VIEW; i < N_PULL_STEPS; i++)
        ck_assert_int_eq(steps[i].state, PULL_NOT_TRIED);
    down();
}
END_TEST

// ---- tokens ----

static const char *token(const char *payload)
{
    char text[2048];
    b64url_format(payload, strlen(payload), text);
    return arena_printf(&arena, "e30.%s.c2ln", text);
}

START_TEST(a_token_is_looked_into)
{
    up();
    const char *t = token("{\"access\":[{\"type\":\"repository\",\"name\":\"app\",\"actions\":"
                          "[\"pull\",7]},{\"name\":\"other\",\"actions\":[\"push\"]},{},5]}");
    ck_assert(bearer_grants(t, "app", "pull"));
    ck_assert(!bearer_grants(t, "app", "push"));
    ck_assert(!bearer_grants(t, "other", "pull"));
    ck_assert(!bearer_grants(t, "ap", "pull"));
    static const char *const none[] = {"", "x", "a.b", "e30.!!.x", "e30.e30.x"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert(!bearer_grants(none[i], "app", "pull"));
    ck_assert(!bearer_grants(token("{\"access\":\"pull\"}"), "app", "pull"));
    down();
}
END_TEST

CHECK_MAIN("cli/pull", images_by_every_name, what_is_no_image_is_refused_with_a_reason,
           a_pull_that_works_is_fine_in_every_step, dns_fails_in_each_way,
           a_regional_name_never_means_another_region, view_and_tls_fail_in_each_way,
           the_challenge_fails_in_each_way, the_token_fails_in_each_way,
           a_node_judges_who_shows_no_password, the_manifest_fails_in_each_way,
           blobs_fail_in_each_way, the_first_failure_is_the_first_of_a_pull, a_token_is_looked_into)
