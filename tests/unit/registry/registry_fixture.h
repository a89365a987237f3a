// SPDX-License-Identifier: Apache-2.0
// What the handler tests share: region eastus with a real store in a folder of its own, real
// tokens, and a way to send a request through the handlers without a socket. Included by each test
// program, so that it stays one file.
#ifndef MERIDIAN_TESTS_REGISTRY_FIXTURE_H
#define MERIDIAN_TESTS_REGISTRY_FIXTURE_H

#include "base/clock_test.h"
#include "base/log.h"
#include "config/policy.h"
#include "config/registry_key.h"
#include "net/http_test.h"
#include "registry/oci_error.h"
#include "registry/registry.h"
#include "store/files/files.h"
#include "store/sqlite/sqlite_store.h"
#include "tests/support/check_main.h"
#include "tests/unit/auth/auth_fixture.h"

#define GLOBAL "contoso.meridian.test"
#define REGIONAL "contoso.eastus.geo.meridian.test"
#define DATA "contoso.eastus.data.meridian.test"
#define EMPTY_DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"

static char world_dir[64];
static struct upload_bounds world_uploads;
static void (*world_dir_made)(void); // before anything is in it; may be NULL
static uint64_t world_reserve;       // bytes; 0: no reserve
// another backend of blobs; NULL: files
static int (*world_blobs_open)(struct blob_store **out);
static bool world_data_endpoints;  // of every registry
static uint64_t world_incarnation; // likewise
static bool world_push_moves;      // uploads move to the regional host
static bool world_no_copy_ahead;   // of every registry
static bool world_sole_replica;    // likewise
static bool world_replica_leaves;  // this region's, of every registry
static unsigned world_ack_peers;   // so many must have a write of any registry
// what other regions hold; NULL: nobody can be asked
static const struct elsewhere *world_elsewhere;
// quotas of every registry, and of its repositories
static uint64_t world_quota, world_repository_quota;
// limits of every registry, and who judges by them; NULL: nobody
static struct rates world_rates;
static struct throttle *world_throttle;
// what hears of events; NULL: nobody
static struct audit *world_audit;
// who may hold a signature still; NULL: nobody asks
static struct snapshot *world_principals;
static struct space *world_space;
static struct blob_store *world_blobs;
static struct meta *world_meta;
static struct registry_service *world_service;
static char *token_push, *token_pull, *token_catalog, *token_delete;

static void world_begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    struct hostname h;
    hostname_parse_http_host(req->host, "meridian.test", &h);
    const struct registry *reg = topology_by_label(fixture_t, h.label);
    ck_assert_ptr_nonnull(reg);
    struct registry as_set = *reg;
    char key[REGISTRY_KEY_SIZE];
    if (world_data_endpoints)
        as_set.data_endpoints = true;
    const struct repository_policy all = {.match = "*", .quota_bytes = world_repository_quota};
    const struct registry_policy policy = {.quota_bytes = world_quota,
                                           .repositories = &all,
                                           .n_repositories = 1,
                                           .rates = world_rates,
                                           .copy_ahead = world_no_copy_ahead};
    if (world_no_copy_ahead || world_quota || world_repository_quota || rates_any(&world_rates))
        as_set.policy = &policy;
    as_set.incarnation = world_incarnation;
    as_set.key = registry_key_format(reg->name, world_incarnation, key);
    if (world_sole_replica)
        as_set.n_replicas = 1;
    struct replica replicas[TOPOLOGY_MAX_REGIONS];
    memcpy(replicas, reg->replicas, reg->n_replicas * sizeof *replicas);
    for (size_t i = 0; i < reg->n_replicas; i++)
        if (replicas[i].region == topology_region(fixture_t, "eastus")->index &&
            world_replica_leaves) {
            replicas[i].stage = STAGE_EDGE;
            replicas[i].drained = true;
        }
    as_set.replicas = replicas;
    static const struct registry_policy moves = {.push_move = PUSH_MOVE_REGIONAL};
    if (world_push_moves)
        as_set.policy = &moves;
    const struct registry_policy acks = {.ack_peers = world_ack_peers};
    if (world_ack_peers)
        as_set.policy = &acks;
    registry_service_begin(world_service, req, fixture_t, &as_set, &h, plan);
}
static const struct http_app world_app = {.begin = world_begin, .words = &oci_words};

static inline void store_up(void)
{
    AUTO_FREE char *blobs = mem_printf("%s/store", world_dir),
                   *db = mem_printf("%s/meta.db", world_dir);
    if (world_blobs_open)
        ck_assert_int_eq(world_blobs_open(&world_blobs), 0);
    else
        ck_assert_int_eq(blob_files_open(blobs, &world_blobs), 0);
    if (world_reserve)
        ck_assert_int_eq(
            space_open(&(struct space_options){.dir = world_dir, .reserve_bytes = world_reserve},
                       &world_space),
            0);
    struct meta_options mo = {.region = "eastus",
                              .key_id = region_keys_feed_id(fixture_keys[0]),
                              .sign = region_keys_sign_feed,
                              .sign_ctx = fixture_keys[0]};
    ck_assert_int_eq(sqlite_meta_open(db, &mo, NULL, &world_meta), 0);
    meta_gate_open(world_meta, META_GATE_RECOVERY);
    struct registry_service_options o = {.region = "eastus",
                                         .blobs = world_blobs,
                                         .meta = world_meta,
                                         .space = world_space,
                                         .elsewhere = world_elsewhere,
                                         .audit = world_audit,
                                         .throttle = world_throttle,
                                         .principals = world_principals,
                                         .url_key = region_keys_url_key(fixture_keys[0]),
                                         .uploads = world_uploads,
                                         .upload_idle_s = 3600,
                                         .manifest_max_bytes = 64 << 10};
    ck_assert_int_eq(registry_service_new(&o, &world_service), 0);
}

static inline void store_down(void)
{
    registry_service_free(world_service);
    meta_close(world_meta);
    blob_store_close(world_blobs);
    space_close(world_space);
    world_space = NULL;
}

static inline char *token_make(const char *access)
{
    AUTO_FREE char *header = fixture_header(0), *payload = fixture_payload("access", access, NULL);
    return fixture_sign(header, payload, 0);
}

static inline void world_up(void)
{
    log_setup(LOG_ERROR + 1, "test"); // refusals are what is tested
    clock_virtual_set(NOW_MS);
    fixture_setup();
    snprintf(world_dir, sizeof world_dir, "%s", "registry-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(world_dir));
    if (world_dir_made)
        world_dir_made();
    store_up();
    token_push = token_make(
        "[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\",\"push\"]},"
        "{\"type\":\"repository\",\"name\":\"team/other\",\"actions\":[\"pull\",\"push\"]},"
        "{\"type\":\"repository\",\"name\":\"team/blind\",\"actions\":[\"push\"]}]");
    token_delete = token_make(
        "[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\",\"delete\"]}]");
    token_pull =
        token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\"]}]");
    token_catalog =
        token_make("[{\"type\":\"registry\",\"name\":\"catalog\",\"actions\":[\"*\"]}]");
}

static inline void world_down(void)
{
    store_down();
    dir_remove_tree(world_dir);
    free(token_push);
    free(token_pull);
    free(token_delete);
    free(token_catalog);
    fixture_teardown();
    clock_virtual_off();
}

// One exchange; its strings live until exchange_end.
struct exchange {
    struct http_request *req;
    struct http_response resp;
};

static inline struct http_request *request_make(const char *method, const char *target,
                                                const char *host, const char *token)
{
    struct http_request *req = http_request_test_new(method, target, host);
    if (token) {
        AUTO_FREE char *bearer = mem_printf("Bearer %s", token);
        http_request_test_header(req, "Authorization", bearer);
    }
    return req;
}

static inline struct exchange send_with(const char *method, const char *target, const char *host,
                                        const char *token, const char *name, const char *value,
                                        const void *body, size_t n, size_t piece)
{
    struct exchange x = {.req = request_make(method, target, host, token)};
    if (name)
        http_request_test_header(x.req, name, value);
    if (n)
        http_request_test_body(x.req, body, n);
    http_app_test_run(&world_app, x.req, piece, &x.resp);
    return x;
}

static inline struct exchange send_body(const char *method, const char *target, const void *body,
                                        size_t n)
{
    return send_with(method, target, REGIONAL, token_push, NULL, NULL, body, n, 7);
}

static inline struct exchange send_plain(const char *method, const char *target)
{
    return send_with(method, target, REGIONAL, token_push, NULL, NULL, NULL, 0, 0);
}

static inline const char *header_of(const struct exchange *x, const char *name)
{
    const char *v = http_response_get(&x->resp, name);
    return v ? v : "";
}

static inline void exchange_end(struct exchange *x)
{
    http_request_test_free(x->req);
}

// Ends x and says its status.
static inline int status_of(struct exchange x)
{
    int status = x.resp.status;
    exchange_end(&x);
    return status;
}

static inline bool body_has(const struct exchange *x, const char *text)
{
    return x->resp.body.p && x->resp.body.n &&
           memmem(x->resp.body.p, x->resp.body.n, text, strlen(text));
}

// Path and query of an absolute URL that must begin with https://HOST. Caller frees.
static inline char *target_of(const char *url, const char *host)
{
    AUTO_FREE char *prefix = mem_printf("https://%s", host);
    ck_assert_msg(!strncmp(url, prefix, strlen(prefix)), "%s is not on %s", url, host);
    return mem_strdup(url + strlen(prefix));
}

static inline void digest_text(const void *p, size_t n, char out[DIGEST_TEXT_SIZE])
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, p, n, &d), 0);
    digest_format(&d, out);
}

// Starts an upload in `repository` through the regional name; its target. Caller frees.
static inline char *upload_start(const char *repository)
{
    AUTO_FREE char *target = mem_printf("/v2/%s/blobs/uploads/", repository);
    struct exchange x = send_plain("POST", target);
    ck_assert_int_eq(x.resp.status, 202);
    ck_assert_str_eq(header_of(&x, "Range"), "0-0");
    char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    return at;
}

static inline void blob_push(const char *repository, const char *text,
                             char digest[DIGEST_TEXT_SIZE])
{
    digest_text(text, strlen(text), digest);
    AUTO_FREE char *target = mem_printf("/v2/%s/blobs/uploads/?digest=%s", repository, digest);
    ck_assert_int_eq(status_of(send_body("POST", target, text, strlen(text))), 201);
}

static inline char *manifest_text(const char *config, size_t n_config, const char *extra)
{
    return mem_printf(
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST "\",\"config\":{\"mediaType\":"
        "\"application/"
        "vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[]%s}",
        config, n_config, extra);
}

#endif
