// SPDX-License-Identifier: Apache-2.0
// registry/gather and upload_ahead: a manifest whose blobs or children went to another region, which
// is a table of contents here that counts what it is asked.
#include "base/err.h"
#include "registry/gather.h"
#include "registry/registry_priv.h"
#include "store/publish.h"
#include "tests/unit/registry/upload_support.h"

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define THERE_MAX 64

static struct content {
    enum content_kind kind;
    struct digest digest;
    struct bytes bytes;
} there[THERE_MAX];
static size_t n_there;
static unsigned n_asks, n_fetches, n_asked, n_fetched, n_tells, n_tolds, n_waits;
static const char *silent;          // the members that cannot be asked
static bool version_before;         // the other region cannot be asked
static int ask_rc, fetch_rc;        // what goes wrong
static unsigned loses;              // so many fetches find that it is gone
static struct elsewhere_item ahead; // what was to be copied
static int64_t told_until;
static bool told_later;
static unsigned n_running;            // uploads of which was told while they run
static char running[128], named[128]; // the last one, and the upload that was named at an end
static bool is_coming;                // a blob is being copied to here, and comes

static const struct content *find(const struct elsewhere_item *item)
{
    for (size_t i = 0; i < n_there; i++)
        if (there[i].kind == item->kind && digest_equal(&there[i].digest, &item->digest))
            return &there[i];
    return NULL;
}

static int ask(void *ctx, struct elsewhere_want *w, char out[CONTENT_TEXT_SIZE])
{
    (void)ctx;
    n_asks++;
    n_asked += (unsigned)w->n_items;
    ck_assert_str_eq(w->registry, "contoso");
    snprintf(out, CONTENT_TEXT_SIZE, "%s", silent);
    for (size_t i = 0; i < w->n_items; i++) {
        struct elsewhere_item *item = &w->items[i];
        item->held = find(item) ? ELSEWHERE_HELD : ELSEWHERE_NOWHERE;
        if (version_before)
            item->held = ELSEWHERE_PERHAPS;
        snprintf(item->holder, sizeof item->holder, "westeurope");
    }
    return ask_rc;
}

static void take(const struct elsewhere_want *w, struct elsewhere_item *item)
{
    const struct content *c = find(item);
    struct blob_name name;
    struct lease_result result;
    if (!c || loses) {
        item->rc = ERR_NOTFOUND;
        return;
    }
    n_fetched++;
    if (item->kind == CONTENT_MANIFEST) {
        buf_init(&item->body, 0);
        buf_add(&item->body, c->bytes.p, c->bytes.n);
        return;
    }
    ck_assert_int_eq(blob_put(world_blobs, c->bytes.p, c->bytes.n, &name), 0);
    const struct lease_add add = {.registry = w->registry,
                                  .repository = w->repository,
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = c->bytes.n,
                                  .peer = item->holder};
    ck_assert_int_eq(blob_publish(world_blobs, world_meta, &add, &result), 0);
}

static int fetch(void *ctx, struct elsewhere_want *w, char error[CONTENT_TEXT_SIZE])
{
    int worst = fetch_rc;
    (void)ctx;
    n_fetches++;
    snprintf(error, CONTENT_TEXT_SIZE, "westeurope: it went wrong");
    for (size_t i = 0; i < w->n_items && !fetch_rc; i++) {
        take(w, &w->items[i]);
        if (w->items[i].rc)
            worst = w->items[i].rc;
    }
    if (loses)
        loses--;
    return worst;
}

static char token; // stands for who was told

static struct elsewhere_told *tell(void *ctx, const struct elsewhere_want *w)
{
    (void)ctx;
    ck_assert_str_eq(w->repository, "team/app");
    if (!w->n_items) {
        n_running++;
        snprintf(running, sizeof running, "%s", w->upload);
        return NULL; // nobody is there
    }
    n_tells++;
    ck_assert_uint_eq(w->n_items, 1);
    snprintf(named, sizeof named, "%s", w->upload ? w->upload : "");
    ahead = w->items[0];
    told_later = w->later;
    return (struct elsewhere_told *)(void *)&token;
}

static void told(struct elsewhere_told *t, int64_t until_mono)
{
    if (!t)
        return;
    ck_assert_ptr_eq((void *)t, &token);
    n_tolds++;
    told_until = until_mono;
}

static bool coming(void *ctx, const char *registry, const char *repository, const struct digest *d)
{
    (void)ctx, (void)d;
    ck_assert_str_eq(registry, "contoso");
    ck_assert_str_eq(repository, "team/app");
    return is_coming;
}

static void wait_for_it(void *ctx, const char *registry, const char *repository,
                        const struct digest *d, int64_t until_mono)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .digest = *d};
    const struct elsewhere_want w = {.registry = registry, .repository = repository};
    (void)ctx, (void)until_mono;
    n_waits++;
    if (is_coming)
        take(&w, &item);
    is_coming = false;
}

static const struct elsewhere_ops ops = {ask, fetch, tell, told, coming, wait_for_it};
static const struct elsewhere elsewhere = {&ops, NULL};

static void begin(void)
{
    silent = "";
    world_elsewhere = &elsewhere;
    world_up();
}

static void end(void)
{
    world_down();
    while (n_there)
        free((void *)(uintptr_t)there[--n_there].bytes.p);
}

// Text that the other region has.
static void put_there(enum content_kind kind, const char *text, char out[DIGEST_TEXT_SIZE])
{
    struct content *c = &there[n_there++];
    char *copy = mem_strdup(text);
    ck_assert_uint_lt(n_there, THERE_MAX);
    *c = (struct content){.kind = kind, .bytes = bytes_of(copy, strlen(copy))};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, copy, strlen(copy), &c->digest), 0);
    digest_format(&c->digest, out);
}

// An image of one config blob.
static char *image(const char *config)
{
    return manifest_text(config, 7, "");
}

static char *index_of(const char *const *children, size_t n)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":7}",
                   i ? "," : "", children[i]);
    buf_str(&b, "]}");
    return mem_strdup(buf_cstr(&b));
}

static struct exchange put(const char *tag, const char *type, const char *text)
{
    AUTO_FREE char *target = mem_printf("/v2/team/app/manifests/%s", tag);
    return send_with("PUT", target, REGIONAL, token_push, "Content-Type", type, text, strlen(text),
                     0);
}

static int manifest_status(const char *reference)
{
    AUTO_FREE char *target = mem_printf("/v2/team/app/manifests/%s", reference);
    return status_of(send_plain("HEAD", target));
}

static void expect_refused(struct exchange x, int status, const char *words)
{
    ck_assert_msg(x.resp.status == status && body_has(&x, words), "%d %.*s", x.resp.status,
                  (int)x.resp.body.n, (const char *)x.resp.body.p);
    if (status == 503)
        ck_assert_str_ne(header_of(&x, "Retry-After"), "");
    exchange_end(&x);
}

START_TEST(blobs_that_went_elsewhere_are_fetched)
{
    begin();
    char config[DIGEST_TEXT_SIZE], here[DIGEST_TEXT_SIZE], manifest[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    blob_push("team/app", "a layer", here);
    AUTO_FREE char *layers =
        mem_printf(",\"annotations\":{},\"subject\":{\"mediaType\":\"" OCI_MANIFEST
                   "\",\"digest\":\"" EMPTY_DIGEST "\",\"size\":3}");
    AUTO_FREE char *text = manifest_text(config, 6, layers);
    // a HEAD tells what is here, and asks nobody
    ck_assert_int_eq(blob_status("team/app", config), 404);
    ck_assert_uint_eq(n_asks, 0);
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, text)), 201);
    ck_assert_uint_eq(n_asks, 1);
    ck_assert_uint_eq(n_asked, 1); // neither what is here nor the subject
    ck_assert_uint_eq(n_fetched, 1);
    ck_assert_int_eq(blob_status("team/app", config), 200);
    ck_assert_int_eq(blob_status("team/other", config), 404);
    digest_text(text, strlen(text), manifest);
    ck_assert_int_eq(manifest_status(manifest), 200);
    end();
}
END_TEST

START_TEST(what_nobody_has_is_404_and_nothing_is_fetched)
{
    begin();
    char config[DIGEST_TEXT_SIZE], layer[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    digest_text("nowhere", 7, layer);
    AUTO_FREE char *more = mem_printf(",\"annotations\":{}");
    AUTO_FREE char *text = manifest_text(config, 6, more);
    AUTO_FREE char *with = mem_printf("%.*s\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"%s\","
                                      "\"size\":7}]}",
                                      (int)(strstr(text, "\"layers\"") - text), text, layer);
    expect_refused(put("1", OCI_MANIFEST, with), 404, layer);
    ck_assert_uint_eq(n_fetches, 0);
    ck_assert_int_eq(blob_status("team/app", config), 404);
    ck_assert_int_eq(manifest_status("1"), 404);
    // one who cannot be asked might have it
    silent = "southeastasia";
    expect_refused(put("1", OCI_MANIFEST, with), 503, "southeastasia cannot be asked");
    ck_assert_uint_eq(n_fetches, 0);
    // and does not matter when the others have all of it
    put_there(CONTENT_BLOB, "nowhere", layer);
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, with)), 201);
    end();
}
END_TEST

START_TEST(children_come_with_what_they_refer_to)
{
    begin();
    char config[4][DIGEST_TEXT_SIZE], child[4][DIGEST_TEXT_SIZE], inner[DIGEST_TEXT_SIZE],
        top[DIGEST_TEXT_SIZE];
    for (int i = 0; i < 4; i++) {
        AUTO_FREE char *text = mem_printf("config%d", i);
        put_there(CONTENT_BLOB, text, config[i]);
        AUTO_FREE char *m = image(config[i]);
        put_there(CONTENT_MANIFEST, m, child[i]);
    }
    const char *two[] = {child[0], child[1]};
    AUTO_FREE char *inner_text = index_of(two, 2);
    put_there(CONTENT_MANIFEST, inner_text, inner);
    // a child twice, one that is an index, one that is here already
    AUTO_FREE char *first = image(config[3]);
    ck_assert_int_eq(status_of(put(child[3], OCI_MANIFEST, first)), 201);
    n_asks = n_fetched = 0;
    const char *all[] = {inner, child[2], child[3], child[0]};
    AUTO_FREE char *text = index_of(all, 4);
    ck_assert_int_eq(status_of(put("multi", OCI_INDEX, text)), 201);
    ck_assert_uint_eq(n_fetched, 4 + 3); // inner, 0, 1, 2 and their configs
    ck_assert_uint_le(n_asks, 3);
    digest_text(text, strlen(text), top);
    ck_assert_int_eq(manifest_status(top), 200);
    ck_assert_int_eq(manifest_status(inner), 200);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(manifest_status(child[i]), 200);
        ck_assert_int_eq(blob_status("team/app", config[i]), 200);
    }
    end();
}
END_TEST

START_TEST(a_child_that_nobody_has_is_404)
{
    begin();
    char config[DIGEST_TEXT_SIZE], child[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    AUTO_FREE char *m = image(config);
    put_there(CONTENT_MANIFEST, m, child);
    const char *both[] = {child, EMPTY_DIGEST};
    AUTO_FREE char *text = index_of(both, 2);
    expect_refused(put("1", OCI_INDEX, text), 404, EMPTY_DIGEST);
    silent = "southeastasia";
    expect_refused(put("1", OCI_INDEX, text), 503, "southeastasia");
    end();
}
END_TEST

START_TEST(too_deep_is_refused)
{
    begin();
    char at[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", at);
    AUTO_FREE char *leaf = image(at);
    put_there(CONTENT_MANIFEST, leaf, at);
    for (int i = 0; i < GATHER_DEPTH; i++) {
        const char *child[] = {at};
        AUTO_FREE char *text = index_of(child, 1);
        put_there(CONTENT_MANIFEST, text, at);
    }
    const char *child[] = {at};
    AUTO_FREE char *text = index_of(child, 1);
    expect_refused(put("1", OCI_INDEX, text), 503, "more of what it refers to");
    ck_assert_int_eq(manifest_status(at), 404);
    end();
}
END_TEST

START_TEST(failures_say_what_to_do)
{
    static const struct {
        int ask, fetch, status;
        const char *words;
    } rows[] = {
        {ERR_CANCELED, 0, 503, "being restarted"},
        {0, ERR_CANCELED, 503, "being restarted"},
        {0, ERR_TIMEOUT, 503, "takes longer"},
        {0, ERR_UNREACHABLE, 503, "westeurope: it went wrong"},
        {0, ERR_DIGEST, 503, "westeurope: it went wrong"},
        {0, ERR_BUSY, 503, "too much work"},
        {0, ERR_NOSPACE, 507, "no space left"},
        {0, ERR_IO, 500, "the log of this region"},
    };
    begin();
    char config[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    AUTO_FREE char *text = image(config);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask_rc = rows[i].ask;
        fetch_rc = rows[i].fetch;
        expect_refused(put("1", OCI_MANIFEST, text), rows[i].status, rows[i].words);
        ck_assert_int_eq(manifest_status("1"), 404);
    }
    ask_rc = fetch_rc = 0;
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, text)), 201);
    end();
}
END_TEST

START_TEST(what_is_lost_meanwhile_is_looked_for_again)
{
    begin();
    char config[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    AUTO_FREE char *text = image(config);
    loses = 2;
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, text)), 201);
    ck_assert_uint_eq(n_asks, 3);
    char more[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "more", more);
    AUTO_FREE char *other = image(more);
    loses = 1000;
    expect_refused(put("2", OCI_MANIFEST, other), 503, "too much is being copied");
    ck_assert_uint_lt(n_asks, 12);
    loses = 0;
    end();
}
END_TEST

START_TEST(a_region_of_the_version_before_has_it_or_has_not)
{
    begin();
    char config[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    version_before = true;
    AUTO_FREE char *text = image(config), *other = image(EMPTY_DIGEST);
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, text)), 201);
    expect_refused(put("2", OCI_MANIFEST, other), 404, EMPTY_DIGEST);
    end();
}
END_TEST

// The run goes on where it may wait; without room there, it answers.
START_TEST(it_waits_on_another_pool)
{
    begin();
    static char pool;
    char config[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    AUTO_FREE char *text = image(config);
    world_service->waiting = (struct pool *)&pool;
    struct http_request *req =
        request_make("PUT", "/v2/team/app/manifests/1", REGIONAL, token_push);
    http_request_test_header(req, "Content-Type", OCI_MANIFEST);
    http_request_test_body(req, text, strlen(text));
    struct http_plan plan = {0};
    struct http_response resp = {0};
    world_begin(NULL, req, &plan);
    req->ctx = plan.ctx;
    plan.run(req, &resp);
    ck_assert_ptr_eq(resp.again, (struct pool *)&pool);
    ck_assert_uint_eq(n_asks, 0);
    req->hurried = true;
    resp = (struct http_response){0};
    plan.run(req, &resp);
    ck_assert_int_eq(resp.status, 503);
    ck_assert_uint_eq(n_asks, 0);
    http_request_test_free(req);
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, text)), 201);
    end();
}
END_TEST

START_TEST(where_no_other_region_holds_the_registry_nobody_is_asked)
{
    begin();
    char config[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "config", config);
    AUTO_FREE char *text = image(config);
    world_sole_replica = true;
    expect_refused(put("1", OCI_MANIFEST, text), 404, config);
    world_sole_replica = false;
    ck_assert_uint_eq(n_asks, 0);
    ck_assert_int_eq(status_of(put("1", OCI_MANIFEST, text)), 201);
    end();
}
END_TEST

// --- copies ahead of a manifest ---

static int end_at(const char *host, const char *text)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(text, strlen(text), digest);
    struct exchange x = send_with("POST", UPLOADS, host, token_push, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), host);
    exchange_end(&x);
    AUTO_FREE char *target = with_digest(at, digest);
    int status =
        status_of(send_with("PUT", target, host, token_push, NULL, NULL, text, strlen(text), 3));
    ck_assert_int_eq(status_of(send_with("PUT", target, host, token_push, NULL, NULL, NULL, 0, 0)),
                     201); // its answer was lost
    return status;
}

// Sends the bytes in one piece, or in two.
static void large_end(const char *bytes, size_t n, unsigned n_pieces)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(bytes, n, digest);
    size_t first = n / n_pieces;
    struct exchange x = send_with("POST", UPLOADS, REGIONAL, token_push, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 202);
    AUTO_FREE char *at = target_of(header_of(&x, "Location"), REGIONAL);
    exchange_end(&x);
    if (n_pieces > 1) {
        x = send_with("PATCH", at, REGIONAL, token_push, NULL, NULL, bytes, first, 1 << 20);
        ck_assert_int_eq(x.resp.status, 202);
        free(at);
        at = target_of(header_of(&x, "Location"), REGIONAL);
        exchange_end(&x);
        bytes += first;
        n -= first;
    }
    AUTO_FREE char *target = with_digest(at, digest);
    ck_assert_int_eq(
        status_of(send_with("PUT", target, REGIONAL, token_push, NULL, NULL, bytes, n, 1 << 20)),
        201);
}

START_TEST(the_others_are_told_of_a_large_upload_while_it_runs)
{
    size_t n = ELSEWHERE_UPLOAD_MIN + 1000000;
    begin();
    AUTO_FREE char *bytes = mem_alloc(n);
    ck_assert_ptr_nonnull(bytes);
    memset(bytes, '1', n);
    large_end(bytes, n, 1);
    ck_assert_uint_eq(n_running, 1);
    ck_assert_int_eq(strncmp(running, "eastus.", 7), 0);
    ck_assert_str_eq(named, running);
    memset(bytes, '2', n);
    large_end(bytes, n, 2);
    ck_assert_uint_eq(n_running, 2); // once, in whatever piece
    ck_assert_str_eq(named, running);
    large_end(bytes, ELSEWHERE_UPLOAD_MIN - 1, 2);
    ck_assert_uint_eq(n_running, 2);
    ck_assert_str_eq(named, ""); // nobody can have heard of it
    world_no_copy_ahead = true;
    memset(bytes, '3', n);
    large_end(bytes, n, 1);
    world_no_copy_ahead = false;
    world_sole_replica = true;
    memset(bytes, '4', n);
    large_end(bytes, n, 1);
    ck_assert_uint_eq(n_running, 2);
    end();
}
END_TEST

START_TEST(the_others_are_told_of_every_upload)
{
    begin();
    char text[DIGEST_TEXT_SIZE], want[DIGEST_TEXT_SIZE];
    world_service->waiting =
        pool_new(&(struct pool_options){.name = "waiting", .n_threads = 1, .max_waiting = 1});
    ck_assert_int_eq(end_at(REGIONAL, "to a region"), 201);
    ck_assert_uint_eq(n_tells, 2); // once for each PUT
    ck_assert_uint_eq(n_tolds, 2);
    ck_assert_int_eq(told_until, 0); // the client stays here: it waits for nobody
    ck_assert(told_later);
    digest_text("to a region", 11, want);
    ck_assert_str_eq(digest_format(&ahead.digest, text), want);
    world_no_copy_ahead = true;
    ck_assert_int_eq(end_at(REGIONAL, "to this region alone"), 201);
    ck_assert_uint_eq(n_tells, 2);
    ck_assert_int_eq(end_at(GLOBAL, "the client may go on elsewhere"), 201);
    ck_assert_uint_eq(n_tells, 4);
    ck_assert_int_gt(told_until, 0);
    ck_assert(!told_later);
    world_no_copy_ahead = false;
    world_sole_replica = true;
    ck_assert_int_eq(end_at(REGIONAL, "there is nobody else to copy it"), 201);
    ck_assert_uint_eq(n_tells, 4);
    pool_free(world_service->waiting);
    end();
}
END_TEST

START_TEST(the_others_are_told_of_an_upload_whose_client_may_go_anywhere)
{
    begin();
    char text[DIGEST_TEXT_SIZE], want[DIGEST_TEXT_SIZE];
    world_no_copy_ahead = true;
    ck_assert_int_eq(end_at(REGIONAL, "to a region"), 201);
    ck_assert_uint_eq(n_tells, 0);
    ck_assert_int_eq(end_at(GLOBAL, "to anywhere"), 201);
    ck_assert_uint_eq(n_tells, 2);
    ck_assert_uint_eq(n_tolds, 2);
    ck_assert_int_eq(told_until, 0); // nobody waits on the work pool
    digest_text("to anywhere", 11, want);
    ck_assert_str_eq(digest_format(&ahead.digest, text), want);
    ck_assert_uint_eq(ahead.size, 11);
    world_service->waiting =
        pool_new(&(struct pool_options){.name = "waiting", .n_threads = 1, .max_waiting = 1});
    ck_assert_int_eq(end_at("contoso.privatelink.meridian.test", "to anywhere, once more"), 201);
    ck_assert_uint_eq(n_tolds, 4);
    ck_assert_int_gt(told_until, 0);
    world_sole_replica = true;
    ck_assert_int_eq(end_at(GLOBAL, "there is nobody else"), 201);
    ck_assert_uint_eq(n_tells, 4);
    pool_free(world_service->waiting);
    end();
}
END_TEST

// What is told is what is here; for what is coming a read waits, once.
START_TEST(a_read_waits_for_what_is_being_copied)
{
    begin();
    char coming_here[DIGEST_TEXT_SIZE];
    put_there(CONTENT_BLOB, "on its way", coming_here);
    is_coming = true;
    ck_assert_int_eq(blob_status("team/app", coming_here), 404); // nowhere to wait
    world_service->waiting =
        pool_new(&(struct pool_options){.name = "waiting", .n_threads = 1, .max_waiting = 1});
    ck_assert_int_eq(blob_status("team/app", coming_here), 200);
    ck_assert_uint_eq(n_waits, 1);
    ck_assert_int_eq(blob_status("team/app", coming_here), 200);
    ck_assert_uint_eq(n_waits, 1);
    is_coming = true; // it does not come
    ck_assert_int_eq(blob_status("team/app", EMPTY_DIGEST), 404);
    ck_assert_uint_eq(n_waits, 2);
    ck_assert_int_eq(blob_status("team/app", EMPTY_DIGEST), 404);
    ck_assert_uint_eq(n_waits, 2);
    ck_assert_uint_eq(n_asks, 0);
    pool_free(world_service->waiting);
    end();
}
END_TEST

CHECK_MAIN("registry/gather", blobs_that_went_elsewhere_are_fetched,
           what_nobody_has_is_404_and_nothing_is_fetched, children_come_with_what_they_refer_to,
           a_child_that_nobody_has_is_404, too_deep_is_refused, failures_say_what_to_do,
           what_is_lost_meanwhile_is_looked_for_again,
           a_region_of_the_version_before_has_it_or_has_not, it_waits_on_another_pool,
           where_no_other_region_holds_the_registry_nobody_is_asked,
           the_others_are_told_of_a_large_upload_while_it_runs, the_others_are_told_of_every_upload,
           the_others_are_told_of_an_upload_whose_client_may_go_anywhere,
           a_read_waits_for_what_is_being_copied)
