// SPDX-License-Identifier: Apache-2.0
// What the tests of auth/ share: three regions with keys of their own, a topology that pins them,
// principals with cheap hashes, and tokens made by hand. Included by each test program, so that it
// stays one file.
#ifndef MERIDIAN_TESTS_AUTH_FIXTURE_H
#define MERIDIAN_TESTS_AUTH_FIXTURE_H

#include "auth/token_priv.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <check.h>
#include <crypt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW_S 1800000000
#define NOW_MS ((int64_t)NOW_S * 1000)

static const char *const fixture_regions[] = {"eastus", "westeurope", "southeastasia"};
static struct region_keys *fixture_keys[3];
static struct topology *fixture_t;
static char fixture_dir[64];

// stands under the id of eastus' key, if not NULL
static const char *fixture_other_half __attribute__((unused));

// lines of contoso's record, if not NULL
static const char *fixture_contoso __attribute__((unused));

// contoso: everywhere; fabrikam: not in southeastasia; openlib: everywhere, anonymous pull.
static inline struct topology *fixture_topology(uint64_t version, bool with_eastus_key)
{
    AUTO_BUF struct buf y;
    buf_init(&y, 0);
    buf_printf(
        &y,
        "version: %llu\ndomain: meridian.test\nhostmaster: hostmaster@meridian.test\nregions:\n"
        "  - {name: eastus, stamps: [{name: eus-1, ipv4: [127.10.0.1]}], peer: "
        "\"127.10.0.1:8443\"}\n"
        "  - {name: westeurope, stamps: [{name: weu-1, ipv4: [127.10.0.2]}], peer: "
        "\"127.10.0.2:8443\"}\n"
        "  - {name: southeastasia, stamps: [{name: sea-1, ipv4: [127.10.0.3]}], peer: "
        "\"127.10.0.3:8443\"}\n"
        "name_servers: [eus-1.eastus]\nregistries:\n"
        "  - name: contoso\n    regional_endpoints: enabled\n"
        "    replicas: [{region: eastus}, {region: westeurope}, {region: southeastasia}]\n%s"
        "  - name: fabrikam\n    replicas: [{region: eastus}, {region: westeurope}]\n"
        "  - name: openlib\n    anonymous_pull: true\n    replicas: [{region: eastus}, {region: "
        "westeurope}]\n"
        "identities:\n",
        (unsigned long long)version, fixture_contoso ? fixture_contoso : "");
    for (int i = 0; i < 3; i++) {
        char digit = (char)('1' + i);
        buf_printf(&y, "  %s:\n    peer_fingerprints: [\"", fixture_regions[i]);
        for (int k = 0; k < 64; k++)
            buf_u8(&y, (uint8_t)digit);
        buf_str(&y, "\"]\n");
        if (i || with_eastus_key)
            buf_printf(&y, "    token_keys: [{id: %s, key: \"%s\"}]\n",
                       region_keys_token_id(fixture_keys[i]),
                       !i && fixture_other_half ? fixture_other_half
                                                : region_keys_token_spki(fixture_keys[i]));
    }
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = topology_parse(y.p, y.n, "test.yaml", &d, &t);
    if (rc)
        diag_print(&d, stderr);
    ck_assert_int_eq(rc, 0);
    diag_done(&d);
    return t;
}

static inline void fixture_setup(void)
{
    snprintf(fixture_dir, sizeof fixture_dir, "%s", "auth-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture_dir));
    for (int i = 0; i < 3; i++) {
        char dir[128];
        snprintf(dir, sizeof dir, "%s/%s", fixture_dir, fixture_regions[i]);
        ck_assert_int_eq(region_keys_create(dir, fixture_regions[i], NULL), 0);
        ck_assert_int_eq(region_keys_open(dir, fixture_regions[i], NULL, &fixture_keys[i]), 0);
    }
    dir_remove_tree(fixture_dir); // all is in memory now
    fixture_t = fixture_topology(1, true);
}

static inline void fixture_teardown(void)
{
    snapshot_unref(fixture_t);
    for (int i = 0; i < 3; i++)
        region_keys_free(fixture_keys[i]);
}

static inline void fixture_hash(const char *password, char out[128])
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *cd = mem_zalloc(sizeof *cd);
    // the cheapest there is
    ck_assert_ptr_nonnull(crypt_gensalt_rn("$2b$", 4, NULL, 0, salt, sizeof salt));
    snprintf(out, 128, "%s", crypt_r(password, salt, cd));
    free(cd);
}

// ada: all on contoso, catalog; bob: pull on contoso's team/*; carl: disabled; all have the
// password "<name>-secret".
static inline struct principals *fixture_principals(unsigned ada_generation,
                                                    const char *ada_password, bool ada_enabled)
{
    char ada[128], bob[128], carl[128];
    fixture_hash(ada_password, ada);
    fixture_hash("bob-secret", bob);
    fixture_hash("carl-secret", carl);
    AUTO_FREE char *y =
        mem_printf("version: 1\nusers:\n"
                   "  - name: ada\n    password_hash: \"%s\"\n    generation: %u\n    enabled: "
                   "%s\n    grants:\n"
                   "      - {registry: contoso, repositories: [\"*\"], actions: [pull, push, "
                   "delete, catalog]}\n"
                   "  - name: bob\n    password_hash: \"%s\"\n    generation: 1\n    enabled: "
                   "true\n    grants:\n"
                   "      - {registry: contoso, repositories: [\"team/*\"], actions: [pull]}\n"
                   "  - name: carl\n    password_hash: \"%s\"\n    generation: 1\n    enabled: "
                   "false\n    grants:\n"
                   "      - {registry: contoso, repositories: [\"*\"], actions: [pull]}\n",
                   ada, ada_generation, ada_enabled ? "true" : "false", bob, carl);
    struct principals *p = NULL;
    struct diag d;
    diag_init(&d);
    int rc = principals_parse(y, strlen(y), "principals.yaml", &d, &p);
    if (rc)
        diag_print(&d, stderr);
    ck_assert_int_eq(rc, 0);
    diag_done(&d);
    return p;
}

// An access token of ada's, signed by region `by`.
static inline const char *fixture_access(int by, const char *service, uint64_t incarnation,
                                         const struct access_grant *grants, size_t n_grants,
                                         int64_t now_ms, struct arena *a)
{
    static const char *const all[] = {"*"};
    const struct token_ask ask = {.service = service,
                                  .incarnation = incarnation,
                                  .subject = "ada",
                                  .now_ms = now_ms,
                                  .grants = grants,
                                  .n_grants = n_grants,
                                  .visible = all,
                                  .n_visible = 1};
    const char *token = NULL;
    ck_assert_int_eq(token_issue_access(fixture_keys[by], &ask, a, &token), 0);
    return token;
}

// header and payload as given, signed by region `by`. Caller frees.
static inline char *fixture_sign(const char *header, const char *payload, int by)
{
    AUTO_BUF struct buf b;
    char *h = mem_alloc(b64_size(strlen(header))), *p = mem_alloc(b64_size(strlen(payload))),
         s[b64_size(64)];
    b64url_format(header, strlen(header), h);
    b64url_format(payload, strlen(payload), p);
    buf_init(&b, 0);
    buf_printf(&b, "%s.%s", h, p);
    uint8_t sig[64];
    ck_assert_int_eq(region_keys_sign_token(fixture_keys[by], b.p, b.n, sig), 0);
    b64url_format(sig, 64, s);
    buf_printf(&b, ".%s", s);
    free(h);
    free(p);
    return buf_take(&b);
}

static inline char *fixture_header(int by)
{
    return mem_printf("{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                      region_keys_token_id(fixture_keys[by]));
}

// A good payload with one claim replaced (json NULL: left out) and `extra` (",\"x\":1") at its end.
static inline char *fixture_payload(const char *claim, const char *json, const char *extra)
{
    static const char *const claims[][2] = {
        {"iss", "\"meridian\""},
        {"sub", "\"ada\""},
        {"aud", "\"contoso.meridian.test\""},
        {"typ", "\"access\""},
        {"jti", "\"0123456789abcdef0123456789abcdef\""},
        {"iat", "1799999990"},
        {"nbf", "1799999990"},
        {"exp", "1800000890"},
        {"access",
         "[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\",\"push\"]}]"},
    };
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        const char *value = claim && !strcmp(claim, claims[i][0]) ? json : claims[i][1];
        if (value)
            buf_printf(&b, "%s\"%s\":%s", b.n ? "," : "{", claims[i][0], value);
    }
    buf_printf(&b, "%s}", extra ? extra : "");
    return buf_take(&b);
}

#endif
