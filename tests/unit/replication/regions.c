// SPDX-License-Identifier: Apache-2.0
// Three regions in one process; see regions.h.
#include "tests/unit/replication/regions.h"
#include "store/publish.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/registry_key.h"
#include "replication/cursor.h"
#include "replication/feed_line.h"
#include "store/files/files.h"
#include "store/sqlite/sqlite_store.h"

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[N_REGIONS] = {"eastus", "westeurope", "southeastasia"};
#define HEX16(c) c c c c c c c c c c c c c c c c
static const char *const fingerprints[N_REGIONS] = {
    HEX16("aaaa"),
    HEX16("bbbb"),
    HEX16("cccc"),
};

#define LARGE_BYTES 400000 // more than a request's arena is for

// --- a registry just large enough: manifests and blobs by digest, by link ---

struct answer_stream {
    struct test_region *r;
    size_t sent;
    uint8_t *p;
    size_t n;
};

static ssize_t cut_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    struct answer_stream *a = ctx;
    if (a->sent >= 100000)
        return -1;
    size_t n = 100000 - a->sent < cap ? 100000 - a->sent : cap;
    memcpy(to, a->p + a->sent, n);
    a->sent += n;
    return (ssize_t)n;
}

static ssize_t hang_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)ctx, (void)s, (void)to, (void)cap;
    return 0;
}

static ssize_t garbage_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    struct answer_stream *a = ctx;
    if (a->sent > (8u << 20))
        return HTTP_STREAM_END;
    memset(to, a->r->fault == FAULT_ENDLESS ? 'x' : '}', cap);
    if (a->r->fault == FAULT_GARBAGE)
        to[cap - 1] = '\n';
    a->sent += cap;
    return (ssize_t)cap;
}

static ssize_t mute_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    struct answer_stream *a = ctx;
    size_t n = a->n - a->sent < cap ? a->n - a->sent : cap;
    memcpy(to, a->p + a->sent, n);
    a->sent += n;
    return (ssize_t)n;
}

static ssize_t trickle_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    clock_sleep_ms(20);
    return mute_read(ctx, s, to, cap < 100 ? cap : 100);
}

static ssize_t whole_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    ssize_t n = mute_read(ctx, s, to, cap);
    return n ? n : HTTP_STREAM_END;
}

static void answer_close(void *ctx)
{
    struct answer_stream *a = ctx;
    free(a->p);
    free(a);
}

static const struct http_stream_ops cut_ops = {.read = cut_read, .close = answer_close},
                                    hang_ops = {.read = hang_read, .close = answer_close},
                                    garbage_ops = {.read = garbage_read, .close = answer_close},
                                    trickle_ops = {.read = trickle_read, .close = answer_close},
                                    mute_ops = {.read = mute_read, .close = answer_close},
                                    whole_ops = {.read = whole_read, .close = answer_close};

static void answer_with(struct test_region *r, const struct http_stream_ops *ops,
                        struct http_response *resp, const uint8_t *p, size_t n)
{
    struct answer_stream *a = mem_zalloc(sizeof *a);
    a->r = r;
    a->p = mem_alloc(n);
    memcpy(a->p, p, n);
    a->n = n;
    struct http_stream *h;
    ck_assert_int_eq(http_response_stream(resp, 200, "application/octet-stream", ops, a, &h), 0);
    http_stream_unref(h);
}

static void blob_answer(struct test_region *r, struct http_request *req, const char *registry,
                        const char *repository, const struct digest *d, struct http_response *resp)
{
    uint64_t size;
    struct blob_here here;
    struct blob_reader *reader;
    size_t n;
    r->n_blob_gets++;
    if (r->fault == FAULT_ABSENT || meta_blob_look(r->meta, registry, repository, d, &here) ||
        blob_reader_open(r->blobs, &here.name, &reader)) {
        http_response_text(req, resp, 404, "no");
        return;
    }
    size = blob_reader_size(reader);
    AUTO_FREE uint8_t *p = mem_alloc(size + 1);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(blob_reader_read(reader, 0, p, size, &n), 0);
    ck_assert_uint_eq(n, size);
    blob_reader_close(reader);
    const char *range = http_header_get(req, "Range");
    unsigned long long from = 0;
    if (range) {
        r->n_ranges++;
        ck_assert_int_eq(sscanf(range, "bytes=%llu-", &from), 1);
        ck_assert_uint_lt(from, size);
    }
    if (r->fault == FAULT_LIES)
        p[size - 1] ^= 1;
    bool hangs_on = r->fault == FAULT_HANGS_ON && size > 1000;
    if (r->fault == FAULT_HANGS || r->fault == FAULT_MUTE || hangs_on)
        answer_with(r, &hang_ops, resp, p, size);
    else if (r->fault == FAULT_TRICKLES && size > 1000)
        answer_with(r, &trickle_ops, resp, p, size);
    else if (r->fault == FAULT_CUTS && !range && size > 100000)
        answer_with(r, &cut_ops, resp, p, size);
    else if (!range && size > LARGE_BYTES)
        answer_with(r, &whole_ops, resp, p, size);
    else
        http_response_bytes(resp, range ? 206 : 200, "application/octet-stream",
                            bytes_of(arena_copy(&req->arena, p + from, size - from), size - from));
}

static void content_run(struct http_request *req, struct http_response *resp)
{
    struct test_server *s = req->ctx;
    struct test_region *r = s->at;
    struct hostname h;
    char key[REGISTRY_KEY_SIZE] = "";
    hostname_parse_http_host(req->host, "example.io", &h);
    char repository[128], kind[16], ref[200];
    struct digest d;
    struct topology *t = snapshot_get(&r->topology);
    const struct registry *reg = topology_registry(t, h.registry);
    if (reg)
        snprintf(key, sizeof key, "%s", reg->key);
    snapshot_unref(t);
    ck_assert_msg(h.kind == NAME_GLOBAL ||
                      (h.kind == NAME_REGIONAL && strcmp(h.region, r->name) == 0),
                  "%s", req->host);
    ck_assert_msg(sscanf(req->path, "/v2/%127[^/]/%15[^/]/%199s", repository, kind, ref) == 3, "%s",
                  req->path);
    ck_assert_int_eq(digest_parse(ref, strlen(ref), &d), 0);
    if (strcmp(kind, "blobs") == 0) {
        blob_answer(r, req, key, repository, &d, resp);
        return;
    }
    struct manifest_row row;
    r->n_manifest_gets++;
    if (meta_manifest_get(r->meta, key, repository, NULL, &d, &req->arena, &row)) {
        http_response_text(req, resp, 404, "no");
        return;
    }
    uint8_t *p = arena_copy(&req->arena, row.content.p, row.content.n);
    if (r->fault == FAULT_LIES)
        p[row.content.n - 1] ^= 1;
    http_response_bytes(resp, 200, "application/json", bytes_of(p, row.content.n));
}

// The greeting, what the script says (NULL: nothing), and the end of the stream.
static void script_answer(struct test_region *r, const struct topology *t, const char *peer,
                          struct http_request *req, struct http_plan *plan)
{
    static const char *const shared[] = {"contoso", "fabrikam"};
    size_t n = strcmp(peer, "westeurope") == 0 ? 1 : 2;
    struct feed_mark after;
    ck_assert_int_eq(cursor_parse(http_query_get(req, "after", 0), &after), 0);
    struct buf b;
    buf_init(&b, 0);
    const struct feed_progress p = {.at = &after,
                                    .topology_version = t->version,
                                    .registries = shared,
                                    .n_registries = n,
                                    .speaks = r->script_speaks};
    ck_assert_int_eq(feed_progress_format(&p, &b), 0);
    feed_script_fn script = r->script;
    if (script)
        script(r, peer, &after, &b);
    ck_assert_int_eq(b.err, 0);
    plan->kind = HTTP_PLAN_REPLY;
    http_response_bytes(&plan->response, 200, "application/x-ndjson",
                        bytes_of(arena_copy(&req->arena, b.p, b.n), b.n));
    buf_done(&b);
}

static void mute_answer(struct test_region *r, const struct topology *t, struct http_response *resp)
{
    static const char *const shared[] = {"contoso"};
    struct buf line;
    buf_init(&line, 4096);
    struct feed_mark head;
    ck_assert_int_eq(meta_head(r->meta, r->name, &head), 0);
    const struct feed_progress p = {.at = &head,
                                    .topology_version = t->version,
                                    .caught_up = true,
                                    .registries = shared,
                                    .n_registries = 1,
                                    .beat_ms = r->fault == FAULT_MUTE ? 2000 : 0};
    feed_progress_format(&p, &line);
    r->n_mute_feeds++;
    answer_with(r, &mute_ops, resp, (const uint8_t *)buf_cstr(&line), line.n);
    buf_done(&line);
}

// Answers in the replicator's stead if the region's clock is to differ from the asker's, or to be
// nonsense.
static bool clock_answer(struct test_server *s, struct http_request *req, struct http_plan *plan)
{
    int64_t lead = s->at->clock_ms - s->peer->clock_ms;
    const char *text = s->at->clock_answer;
    if (strcmp(req->path, "/replication/v1/clock") != 0 || (!lead && !text))
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    if (text && !*text)
        answer_with(s->at, &hang_ops, &plan->response, (const uint8_t *)"", 0);
    else if (text)
        http_response_text(req, &plan->response, 200, "%s", text);
    else
        http_response_text(req, &plan->response, 200, "{\"region\":\"%s\",\"wallMs\":%lld}",
                           s->at->name, (long long)(clock_wall_ms() + lead));
    return true;
}

static bool notice_unknown(struct test_server *s, struct http_request *req, struct http_plan *plan)
{
    if (strcmp(req->path, "/replication/v1/damaged") != 0)
        return false;
    s->at->n_notices++;
    if (!s->at->knows_no_damage)
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    http_response_text(req, &plan->response, 404, "no such path");
    return true;
}

static bool question_unknown(struct test_server *s, struct http_request *req,
                             struct http_plan *plan)
{
    if (strcmp(req->path, "/replication/v1/holds") != 0)
        return false;
    s->at->n_questions++;
    if (!s->at->knows_no_questions)
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    http_response_text(req, &plan->response, 404, "no such path");
    return true;
}

static bool digests_unknown(struct test_server *s, struct http_request *req, struct http_plan *plan)
{
    if (strcmp(req->path, "/replication/v1/digests") != 0)
        return false;
    const char *repository = http_query_get(req, "repository", 0), *busy = s->at->no_digests_of;
    unsigned nth = ++s->at->n_digests;
    if (busy && repository && strcmp(repository, busy) == 0) {
        plan->kind = HTTP_PLAN_REPLY;
        http_response_text(req, &plan->response, 503, "busy");
        return true;
    }
    if (s->at->digests_never_end && !repository) {
        char text[160];
        snprintf(text, sizeof text,
                 "{\"digests\":1,\"registry\":\"%s\",\"repositories\":[],\"next\":\"z%09u\"}\n",
                 http_query_get(req, "registry", 0), nth);
        plan->kind = HTTP_PLAN_REPLY;
        http_response_text(req, &plan->response, 200, "%s", text);
        return true;
    }
    if (!s->at->knows_no_digests)
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    http_response_text(req, &plan->response, 404, "no such path");
    return true;
}

static bool conflict_said(struct test_server *s, struct http_request *req, struct http_plan *plan)
{
    const char *text = s->at->feed_conflict;
    if (!text || strcmp(req->path, "/replication/v1/feed") != 0)
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    s->at->n_conflicts++;
    http_response_text(req, &plan->response, 409, "%s", text);
    return true;
}

// As a region answers that has trimmed its feed.
static bool gone_said(struct test_server *s, struct http_request *req, struct http_plan *plan)
{
    const char *after = http_query_get(req, "after", 0);
    struct feed_mark mark;
    if (!s->at->feed_kept_from || strcmp(req->path, "/replication/v1/feed") != 0)
        return false;
    if (http_query_get(req, "origin", 0) || !after || cursor_parse(after, &mark))
        return false;
    if (mark.seq >= s->at->feed_kept_from)
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    s->at->n_gone++;
    http_response_text(req, &plan->response, 410, "{\"error\":\"x\"}");
    return true;
}

static bool snapshot_refused(struct test_server *s, struct http_request *req,
                             struct http_plan *plan)
{
    const char *fails = s->at->snapshot_fails, *of = http_query_get(req, "registry", 0);
    if (strcmp(req->path, "/replication/v1/snapshot") != 0)
        return false;
    s->at->n_pages++;
    if (!fails || !of || strcmp(of, fails) != 0)
        return false;
    plan->kind = HTTP_PLAN_REPLY;
    http_response_text(req, &plan->response, 503, "its disk does not answer");
    return true;
}

static void server_begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct test_server *s = ctx;
    struct test_region *r = s->at;
    struct topology *t = snapshot_get(&r->topology);
    bool relay = strcmp(req->path, "/replication/v1/feed") == 0 && http_query_get(req, "origin", 0);
    if (relay)
        r->n_relays++;
    if (relay && r->n_short_relays) {
        r->n_short_relays--;
        script_answer(r, t, s->peer->name, req, plan);
        snapshot_unref(t);
        return;
    }
    if (clock_answer(s, req, plan) || conflict_said(s, req, plan) || notice_unknown(s, req, plan) ||
        question_unknown(s, req, plan) || gone_said(s, req, plan) ||
        snapshot_refused(s, req, plan) || digests_unknown(s, req, plan)) {
        snapshot_unref(t);
        return;
    }
    if (strncmp(req->path, "/replication/v1/feed", 20) == 0 &&
        (r->fault == FAULT_GARBAGE || r->fault == FAULT_ENDLESS)) {
        plan->kind = HTTP_PLAN_REPLY;
        answer_with(r, &garbage_ops, &plan->response, (const uint8_t *)"", 0);
    } else if (strcmp(req->path, "/replication/v1/feed") == 0 && r->script &&
               !http_query_get(req, "origin", 0)) {
        script_answer(r, t, s->peer->name, req, plan);
    } else if (strncmp(req->path, "/replication/v1/feed", 20) == 0 &&
               (r->fault == FAULT_MUTE || r->fault == FAULT_MUTE_OLD)) {
        plan->kind = HTTP_PLAN_REPLY;
        mute_answer(r, t, &plan->response);
    } else if (strncmp(req->path, "/replication/", 13) == 0) {
        struct hostname h;
        hostname_parse_http_host(req->host, "example.io", &h);
        req->peer_cert_fingerprint = fingerprints[s->peer - r->world->regions];
        const struct registry *reg =
            h.kind == NAME_GLOBAL ? topology_registry(t, h.registry) : NULL;
        replication_begin(r->replicator, req, t, topology_region(t, s->peer->name), reg,
                          reg ? &h : NULL, plan);
    } else {
        plan->kind = HTTP_PLAN_RUN;
        plan->run = content_run;
        plan->ctx = s;
    }
    snapshot_unref(t);
}

// --- up and down ---

static void committed(void *ctx)
{
    struct test_region *r = ctx;
    replicator_committed(r->replicator);
}

static void turned(void *ctx, const char *region, bool away)
{
    struct test_region *r = ctx;
    (void)region;
    (*(away ? &r->n_away : &r->n_back))++;
}

static void socket_path(struct world *w, size_t at, size_t from, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%zu.from.%zu.sock", w->dir, at, from);
}

static int dial(void *ctx, const char *region, char *out, size_t cap)
{
    struct test_region *r = ctx;
    size_t from = (size_t)(r - r->world->regions), at = 0;
    while (strcmp(names[at], region) != 0)
        at++;
    if (r->world->cut[from][at] || r->world->cut[at][from])
        snprintf(out, cap, "%s/nobody.sock", r->world->dir);
    else
        socket_path(r->world, at, from, out, cap);
    return 0;
}

// Bytes of partial fetches, which the real disk has written.
static uint64_t partial_bytes(const struct test_region *r)
{
    char path[400];
    uint64_t sum = 0;
    struct stat st;
    snprintf(path, sizeof path, "%s/store/partial", r->dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    if (d)
        closedir(d);
    return sum;
}

static int disk_measure(void *ctx, struct space_disk *out)
{
    struct test_region *r = ctx;
    uint64_t is_free = r->free_bytes, used = partial_bytes(r);
    *out = (struct space_disk){.total_bytes = 1ull << 40,
                               .free_bytes = is_free > used ? is_free - used : 0};
    return 0;
}

static void disk_up(struct test_region *r)
{
    struct space_options o = {
        .reserve_bytes = RESERVE_BYTES, .measure = disk_measure, .measure_ctx = r};
    if (r->free_bytes)
        ck_assert_int_eq(space_open(&o, &r->space), 0);
}

void region_up(struct test_region *r)
{
    char path[512];
    disk_up(r);
    r->pool = pool_new(&(struct pool_options){.name = "test", .n_threads = 4, .max_waiting = 64});
    ck_assert_ptr_nonnull(r->pool);
    ck_assert_int_eq(fetcher_new(&r->fetcher), 0);
    snprintf(path, sizeof path, "%s/store", r->dir);
    ck_assert_int_eq(blob_files_open(path, &r->blobs), 0);
    snprintf(path, sizeof path, "%s/meta.db", r->dir);
    struct meta_options mo = {.region = r->name,
                              .key_id = region_keys_feed_id(r->keys),
                              .sign = region_keys_sign_feed,
                              .sign_ctx = r->keys,
                              .on_commit = committed,
                              .on_commit_ctx = r};
    ck_assert_int_eq(sqlite_meta_open(path, &mo, NULL, &r->meta), 0);
    struct replicator_options o = {.region = r->name,
                                   .topology = &r->topology,
                                   .meta = r->meta,
                                   .blobs = r->blobs,
                                   .space = r->space,
                                   .pool = r->pool,
                                   .fetcher = r->fetcher,
                                   .verify = ed25519_verify,
                                   .start_ask_ms = r->start_ask_ms,
                                   .join_feed_min = r->join_feed_min,
                                   .join_page_max = r->join_page_max,
                                   .proof_max = r->proof_max,
                                   .compare_every_ms = r->compare_every_ms,
                                   .digest_looks = r->digest_looks,
                                   .compare_rate = r->compare_every_ms ? 100000 : 0,
                                   .continues = r->continues,
                                   .clock_every_ms = 100,
                                   .recover_patience_ms = r->recover_patience_ms,
                                   .absent_ms = r->absent_ms,
                                   .words_every_ms = r->words_every_ms,
                                   .drop_every_ms = r->drop_every_ms,
                                   .drop_keep_ms = r->drop_every_ms ? 1 : 0,
                                   .drop_settles_at_once = true,
                                   .state_dir = r->dir,
                                   .ahead_bytes = r->ahead_bytes,
                                   .fetch_rates = r->fetch_rates,
                                   .relay_patience_ms = r->relay_patience_ms,
                                   .fence = r->fence,
                                   .on_away = turned,
                                   .on_away_ctx = r,
                                   .dial_socket = dial,
                                   .dial_ctx = r};
    struct replicator *rep;
    ck_assert_int_eq(replicator_start(&o, &rep), 0);
    r->replicator = rep;
    size_t at = (size_t)(r - r->world->regions);
    for (size_t i = 0; i < N_REGIONS; i++) {
        if (i == at)
            continue;
        r->servers[i] = (struct test_server){.at = r, .peer = &r->world->regions[i]};
        socket_path(r->world, at, i, path, sizeof path);
        struct http_server_options so = {.socket_path = path,
                                         .socket_mode = 0600,
                                         .socket_gid = -1,
                                         .listener = LISTENER_PEER,
                                         .pool = r->pool};
        struct http_app app = {.begin = server_begin, .ctx = &r->servers[i]};
        ck_assert_int_eq(http_server_start(&so, &app, &r->servers[i].server), 0);
    }
}

void region_down(struct test_region *r)
{
    if (!r->meta)
        return;
    for (size_t i = 0; i < N_REGIONS; i++) {
        http_server_stop(r->servers[i].server, 500);
        r->servers[i].server = NULL;
    }
    struct replicator *rep = r->replicator;
    r->replicator = NULL;
    replicator_stop(rep);
    fetcher_free(r->fetcher);
    pool_free(r->pool);
    meta_close(r->meta);
    blob_store_close(r->blobs);
    space_close(r->space);
    r->space = NULL;
    r->meta = NULL;
}

void region_cut(struct test_region *r, bool cut)
{
    size_t at = (size_t)(r - r->world->regions);
    for (size_t i = 0; i < N_REGIONS; i++)
        r->world->cut[at][i] = cut;
}

// --- the world ---

void world_topology(struct world *w, unsigned version, bool fabrikam_in_westeurope)
{
    struct buf b;
    buf_init(&b, 64 << 10);
    buf_printf(&b, "version: %u\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n",
               version);
    for (size_t i = 0; i < N_REGIONS; i++)
        buf_printf(&b,
                   "  - name: %s\n    stamps:\n      - { name: s-%zu, ipv4: [127.77.0.%zu] }\n    "
                   "peer: 127.77.0.%zu:9443\n",
                   names[i], i, i + 1, i + 1);
    buf_str(&b, "name_servers: [s-0.eastus]\nregistries:\n");
    if (!w->contoso_is_deleted)
        buf_printf(&b,
                   "  - name: contoso\n    incarnation: %u\n    regional_endpoints: enabled\n    "
                   "anonymous_pull: true\n    replicas:\n      - { region: eastus }\n      - { "
                   "region: westeurope }\n      - { region: southeastasia }\n",
                   w->contoso_incarnation);
    buf_str(&b, "  - name: fabrikam\n    replicas:\n      - { region: eastus }\n      - { region: "
                "southeastasia }\n");
    if (fabrikam_in_westeurope)
        buf_str(&b, "      - { region: westeurope }\n");
    buf_str(&b, "  - name: tailspin\n    replicas:\n      - { region: westeurope }\n      - { "
                "region: southeastasia }\n");
    if (w->skew_s || w->relays_from)
        buf_printf(&b, "replication: { clock_skew: %us, relays_from: %u }\n",
                   w->skew_s ? w->skew_s : 60, w->relays_from);
    buf_str(&b, "routing:\n  order: [eastus, westeurope, southeastasia]\nidentities:\n");
    for (size_t i = 0; i < N_REGIONS; i++) {
        buf_printf(&b,
                   "  %s:\n    peer_fingerprints: [\"%s\"]\n    feed_keys:\n      - { id: %s, key: "
                   "\"%s\" }\n",
                   names[i], fingerprints[i], region_keys_feed_id(w->regions[i].keys),
                   region_keys_feed_spki(w->regions[i].keys));
        if (w->old_keys[i])
            buf_printf(&b, "      - { id: %s, key: \"%s\" }\n", region_keys_feed_id(w->old_keys[i]),
                       region_keys_feed_spki(w->old_keys[i]));
        if (w->regions[i].more_feed_keys)
            buf_str(&b, w->regions[i].more_feed_keys);
        if (w->revoked[i][0])
            buf_printf(&b, "    revoked: [%s]\n", w->revoked[i]);
        if (w->sealed[i][0])
            buf_printf(&b, "    sealed: %s\n", w->sealed[i]);
    }
    ck_assert_int_eq(b.err, 0);
    for (size_t i = 0; i < N_REGIONS; i++) {
        struct diag diag;
        if (w->keeps_topology[i])
            continue;
        diag_init(&diag);
        struct topology *t;
        int rc = topology_parse(b.p, b.n, "test", &diag, &t);
        diag_print(&diag, stderr);
        ck_assert_int_eq(rc, 0);
        diag_done(&diag);
        snapshot_publish(&w->regions[i].topology, t);
        replicator_reconfigure(w->regions[i].replicator);
    }
    buf_done(&b);
}

void world_make(struct world *w)
{
    memset(w, 0, sizeof *w);
    log_setup(LOG_ERROR, "test");
    snprintf(w->dir, sizeof w->dir, "/tmp/meridian-replication-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    for (size_t i = 0; i < N_REGIONS; i++) {
        struct test_region *r = &w->regions[i];
        r->world = w;
        r->name = names[i];
        r->start_ask_ms = 1000;
        r->words_every_ms = 3600000;
        snprintf(r->dir, sizeof r->dir, "%s/%s", w->dir, names[i]);
        ck_assert_int_eq(dir_make(r->dir, 0700), 0);
        char keys[300];
        snprintf(keys, sizeof keys, "%s/keys", r->dir);
        ck_assert_int_eq(region_keys_create(keys, r->name, NULL), 0);
        ck_assert_int_eq(region_keys_open(keys, r->name, NULL, &r->keys), 0);
        snapshot_init(&r->topology);
    }
    world_topology(w, 1, false);
}

void region_rekey(struct test_region *r)
{
    char keys[300];
    snprintf(keys, sizeof keys, "%s/keys-2", r->dir);
    r->world->old_keys[r - r->world->regions] = r->keys;
    ck_assert_int_eq(region_keys_create(keys, r->name, NULL), 0);
    ck_assert_int_eq(region_keys_open(keys, r->name, NULL, &r->keys), 0);
}

void world_done(struct world *w)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        region_down(&w->regions[i]);
    for (size_t i = 0; i < N_REGIONS; i++) {
        region_keys_free(w->regions[i].keys);
        region_keys_free(w->old_keys[i]);
        snapshot_done(&w->regions[i].topology);
    }
    dir_remove_tree(w->dir);
}

void world_up(struct world *w)
{
    world_make(w);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w->regions[i]);
}

// --- pushing and looking ---

json_t *row_of(struct test_region *at, const char *registry, const char *origin)
{
    json_t *root = replication_status_json(at->replicator, registry), *found = NULL, *item;
    ck_assert_ptr_nonnull(root);
    size_t i;
    json_array_foreach(json_object_get(root, "replications"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "origin")), origin) == 0)
            found = json_incref(item);
    }
    json_decref(root);
    return found;
}

bool state_is(struct test_region *at, const char *registry, const char *origin, const char *want)
{
    json_t *row = row_of(at, registry, origin);
    bool is = row && strcmp(json_string_value(json_object_get(row, "state")), want) == 0;
    json_decref(row);
    return is;
}

bool error_has(struct test_region *at, const char *origin, const char *words)
{
    json_t *row = row_of(at, "contoso", origin);
    const char *said = json_string_value(json_object_get(row, "lastError"));
    bool has = said && strstr(said, words);
    json_decref(row);
    return has;
}

void region_socket(struct test_region *at, struct test_region *from, char *out, size_t cap)
{
    const struct test_region *all = at->world->regions;
    socket_path(at->world, (size_t)(at - all), (size_t)(from - all), out, cap);
}

int region_ask(struct test_region *at, struct test_region *from, const char *method,
               const char *target, const char *host, struct buf *out)
{
    char url[700], host_line[128], socket[300];
    snprintf(url, sizeof url, "http://%s.peer.example.io%s", at->name, target);
    snprintf(host_line, sizeof host_line, "Host: %s", host);
    region_socket(at, from, socket, sizeof socket);
    const char *const headers[] = {host_line};
    struct fetch_request q = {.method = method,
                              .url = url,
                              .unix_socket = socket,
                              .headers = headers,
                              .n_headers = 1,
                              .timeout_ms = 20000};
    struct fetch_result r;
    ck_assert_int_eq(fetch_run(from->fetcher, &q, &r), 0);
    int status = r.status;
    if (out) {
        buf_clear(out);
        buf_add(out, r.body.p, r.body.n);
    }
    fetch_result_done(&r);
    return status;
}

long lag_of(struct test_region *at, const char *origin, const char *error, bool *out_says)
{
    json_t *root = replication_status_json(at->replicator, "contoso"), *item;
    ck_assert_ptr_nonnull(root);
    long lag = -1;
    size_t i;
    *out_says = false;
    json_array_foreach(json_object_get(root, "replications"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "origin")), origin) != 0)
            continue;
        const char *said = json_string_value(json_object_get(item, "lastError"));
        lag = (long)json_integer_value(json_object_get(item, "lagSeconds"));
        *out_says = said && strstr(said, error);
    }
    json_decref(root);
    return lag;
}

bool region_writes_open(struct test_region *r)
{
    struct arena a;
    arena_init(&a, 0);
    bool open = meta_closed_why(r->meta, &a) == NULL;
    arena_done(&a);
    return open;
}

void region_layer(struct test_region *r, const char *registry, const char *repository,
                  unsigned seed, size_t n, struct digest *out)
{
    uint8_t *p = mem_alloc(n);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (uint8_t)(x >> 24);
    }
    struct blob_name name;
    struct lease_result result;
    ck_assert_int_eq(blob_put(r->blobs, p, n, &name), 0);
    free(p);
    const struct lease_add add = {.registry = registry,
                                  .repository = repository,
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = n};
    ck_assert_int_eq(blob_publish(r->blobs, r->meta, &add, &result), 0);
    *out = name.digest;
}

bool region_opens(struct test_region *r)
{
    (void)replicator_alone(r->replicator);
    return region_writes_open(r);
}

void region_push(struct test_region *r, const char *registry, const char *repository,
                 const char *tag, unsigned seed, size_t n_layers, size_t layer_bytes,
                 size_t manifest_pad, struct digest *out)
{
    WAIT_FOR(region_opens(r), 20000);
    struct manifest_ref refs[16];
    struct buf b;
    buf_init(&b, 1 << 20);
    char text[DIGEST_TEXT_SIZE];
    const char *type = "application/vnd.oci.image.manifest.v1+json";
    memset(refs, 0, sizeof refs);
    size_t claimed = r->claimed_bytes ? r->claimed_bytes : layer_bytes;
    if (r->claims_nothing)
        claimed = 0;
    region_layer(r, registry, repository, seed * 100, 20, &refs[0].digest);
    refs[0].size = 20;
    buf_printf(
        &b,
        "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":"
        "\"application/vnd.oci.image.config.v1+json\",\"size\":20,\"digest\":\"%s\"},\"layers\":[",
        type, digest_format(&refs[0].digest, text));
    for (size_t i = 1; i <= n_layers; i++) {
        region_layer(r, registry, repository, seed * 100 + (unsigned)i, layer_bytes,
                     &refs[i].digest);
        refs[i].size = layer_bytes;
        buf_printf(&b,
                   "%s{\"mediaType\":\"application/"
                   "vnd.oci.image.layer.v1.tar\",\"size\":%zu,\"digest\":\"%s\"}",
                   i > 1 ? "," : "", claimed, digest_format(&refs[i].digest, text));
    }
    buf_str(&b, "],\"annotations\":{\"pad\":\"");
    for (size_t i = 0; i < manifest_pad; i++)
        buf_u8(&b, 'p');
    buf_str(&b, "\"}}");
    ck_assert_int_eq(b.err, 0);
    struct manifest_put p = {.registry = registry,
                             .repository = repository,
                             .media_type = type,
                             .content = bytes_of(b.p, b.n),
                             .refs = refs,
                             .n_refs = n_layers + 1,
                             .tag = tag};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, b.p, b.n, &p.digest), 0);
    struct put_result result;
    ck_assert_int_eq(meta_manifest_put(r->meta, &p, &result), 0);
    *out = p.digest;
    buf_done(&b);
}

// What is visible is complete (invariant 2): all that the manifest refers to is linked and readable.
static bool all_linked(struct test_region *r, const char *registry, const char *repository,
                       const struct manifest_row *row, struct arena *a)
{
    struct manifest m;
    ck_assert_int_eq(manifest_parse(row->content, row->media_type, a, NULL, &m), 0);
    for (size_t i = 0; i < m.n_refs; i++) {
        uint64_t size;
        struct blob_here here;
        if (meta_blob_look(r->meta, registry, repository, &m.refs[i].digest, &here) || !here.linked)
            return false;
        if (blob_stat(r->blobs, &here.name, &size) || size != m.refs[i].size)
            return false;
    }
    return true;
}

static bool tag_leads_to(struct test_region *r, const char *registry, const char *repository,
                         const char *tag, const struct digest *d, struct arena *a,
                         struct manifest_row *row)
{
    return meta_manifest_get(r->meta, registry, repository, tag, NULL, a, row) == 0 &&
           digest_equal(&row->digest, d);
}

bool region_has(struct test_region *r, const char *registry, const char *repository,
                const char *tag, const struct digest *d)
{
    struct arena a;
    arena_init(&a, 0);
    struct manifest_row row;
    bool has = tag_leads_to(r, registry, repository, tag, d, &a, &row);
    if (has && !all_linked(r, registry, repository, &row, &a)) {
        // It may have gone between the two looks; what is still there was visible all the time.
        has = tag_leads_to(r, registry, repository, tag, d, &a, &row);
        ck_assert_msg(!has, "%s: %s/%s:%s is visible and not complete", r->name, registry,
                      repository, tag);
    }
    arena_done(&a);
    return has;
}
