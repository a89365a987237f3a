// SPDX-License-Identifier: Apache-2.0
// resolver/ring, querylog and dnstap: records are whole whatever the speeds; a full ring or a full
// disk loses lines and nothing else, and says how many; hostile names cannot leave their JSON
// string; the messages are what dnstap.proto says.
#include "resolver/log/journal.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "resolver/log/dnstap.h"
#include "resolver/log/querylog.h"
#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/support/wait_for.h"
#include "tests/unit/resolver/fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- the ring ----

START_TEST(a_full_ring_drops_and_counts)
{
    struct ring *r;
    size_t n, kept = 0;
    ck_assert_int_eq(ring_new(4000, &r), 0); // 4096
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t *p = ring_reserve(r, 20);
        if (!p)
            continue;
        *p = i;
        ring_commit(r);
        kept++;
    }
    ck_assert_uint_eq(kept, 4096 / 32);
    ck_assert_uint_eq(ring_dropped(r), 1000 - kept);
    for (uint32_t i = 0; i < kept; i++) { // the oldest are kept, in order
        uint32_t *p = ring_peek(r, &n);
        ck_assert(p && n == 20 && *p == i);
        ck_assert_ptr_eq(ring_peek(r, &n), p); // not released: the same again
        ring_release(r);
    }
    ck_assert_ptr_null(ring_peek(r, &n));
    ck_assert_ptr_null(ring_reserve(r, 4096)); // larger than it may ever be
    ck_assert_ptr_nonnull(ring_reserve(r, 8)); // reserved, and never committed
    ck_assert_ptr_null(ring_peek(r, &n));
    ring_free(r);
    ck_assert_int_eq(ring_new((size_t)2 << 30, &r), ERR_RANGE);
    ring_free(NULL);
}
END_TEST

#define RACE 300000
static void *produce(void *arg)
{
    struct ring *r = arg;
    uint32_t seed = 7, waits = 0;
    for (uint32_t i = 0; i < RACE; i++) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = 8 + (seed >> 16) % 300;
        uint8_t *p = ring_reserve(r, n);
        if (!p) {
            if (waits++ < 2000)
                usleep(50); // else the other might hardly run before all is over
            continue;
        }
        memset(p, (int)(i & 255), n);
        memcpy(p, &i, 4);
        ring_commit(r);
    }
    return NULL;
}

// The reader is slow at times, so that the ring is full, empty and wraps: what it reads is whole
// and in order.
START_TEST(a_reader_sees_whole_records_only)
{
    struct ring *r;
    pthread_t t;
    uint64_t read_n = 0;
    int64_t last = -1;
    ck_assert_int_eq(ring_new(4096, &r), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, produce, r), 0);
    for (bool ended = false;;) {
        size_t n;
        uint8_t *p = ring_peek(r, &n);
        if (!p && ended)
            break;
        if (!p) { // one more look after the producer's end
            ended = pthread_tryjoin_np(t, NULL) == 0;
            continue;
        }
        uint32_t i;
        memcpy(&i, p, 4);
        ck_assert_int_gt(i, last);
        last = i;
        for (size_t k = 4; k < n; k++)
            ck_assert_uint_eq(p[k], i & 255);
        ring_release(r);
        if (++read_n % 997 == 0)
            usleep(100);
    }
    ck_assert_uint_gt(read_n, 100);
    ck_assert_uint_eq(read_n + ring_dropped(r), RACE);
    ring_free(r);
}
END_TEST

// ---- lines ----

static struct querylog_record record(const char *name_bytes, size_t n)
{
    struct querylog_record r = {.wall_ms = 1795392000123,
                                .client = fixture_ip("192.0.2.99"),
                                .port = 4711,
                                .type = T_A,
                                .response_n = 98,
                                .kind = NAME_GLOBAL,
                                .mode = ROUTE_FAIL_OPEN,
                                .region_slot = METRICS_REGIONS,
                                .name_n = (uint8_t)n};
    memcpy(r.name, name_bytes, n);
    return r;
}

// The line parsed strictly: one object, one line.
static json_t *line_json(const struct querylog_record *r, enum node_dns_client client)
{
    struct metrics_names *names = metrics_names_new();
    struct buf b;
    buf_init(&b, 4096);
    querylog_format(r, names, client, &b);
    ck_assert_int_eq(b.err, 0);
    ck_assert_ptr_eq(strchr(buf_cstr(&b), '\n'), b.p + b.n - 1);
    json_t *j = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(j != NULL, "no JSON: %s", buf_cstr(&b));
    buf_done(&b);
    metrics_names_free(names);
    return j;
}

static void member_is(const json_t *j, const char *key, const char *want)
{
    const char *got = json_string_value(json_object_get(j, key));
    ck_assert_msg(want ? got && !strcmp(got, want) : !got, "%s: %s, not %s", key,
                  got ? got : "absent", want ? want : "absent");
}

START_TEST(a_line_says_what_was_asked_and_answered)
{
    struct querylog_record r = record("\7contoso\7example\2io", 20);
    r.cookie_valid = true;
    json_t *j = line_json(&r, CLIENT_FULL);
    member_is(j, "client", "192.0.2.99");
    member_is(j, "name", "contoso.example.io.");
    member_is(j, "type", "A");
    member_is(j, "kind", "global");
    member_is(j, "view", "public");
    member_is(j, "rcode", "NOERROR");
    member_is(j, "transport", "udp");
    member_is(j, "region", NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "bytes")), 98);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "port")), 4711);
    ck_assert(json_is_true(json_object_get(j, "cookie")) &&
              json_is_false(json_object_get(j, "truncated")));
    json_decref(j);
    r.type = 4711;
    r.rcode = -1;
    r.name_n = 0;
    j = line_json(&r, CLIENT_NETWORK);
    member_is(j, "client", "192.0.2.0/24");
    member_is(j, "type", "TYPE4711");
    member_is(j, "rcode", "dropped");
    member_is(j, "name", "");
    json_decref(j);
    r.client = fixture_ip("2001:db8:1:2:3::4");
    r.name_n = 1;
    r.name[0] = 0;
    j = line_json(&r, CLIENT_NETWORK);
    member_is(j, "client", "2001:db8:1::/48");
    member_is(j, "name", ".");
    ck_assert_ptr_null(json_object_get(j, "port"));
    json_decref(j);
    j = line_json(&r, CLIENT_NONE);
    member_is(j, "client", NULL);
    json_decref(j);
}
END_TEST

START_TEST(hostile_names_stay_in_their_string)
{
    struct querylog_record r = record("\013\"},\n{\\\0\x01\x7f\xff.", 12);
    r.name[12] = 0;
    r.name_n = 13;
    json_t *j = line_json(&r, CLIENT_FULL);
    member_is(j, "name", "\\034\\125\\044\\010\\123\\092\\000\\001\\127\\255\\046.");
    json_decref(j);
    // every byte, at full length, and cut off in the middle of a label
    for (unsigned c = 0; c < 256; c++) {
        memset(r.name, (int)c, sizeof r.name);
        for (size_t i = 0; i < 4; i++)
            r.name[i * 64] = i < 3 ? 63 : 61;
        r.name[254] = 0;
        for (r.name_n = 250; r.name_n; r.name_n++) // up to 255
            json_decref(line_json(&r, CLIENT_FULL));
    }
}
END_TEST

// ---- the sink ----

struct rig {
    char dir[32], path[64];
    struct node_dns settings;
    struct metrics_names *names;
    struct journal j;
    struct journal_writer writer;
    struct metrics *m;
};

static int rig_start(struct rig *g, const char *path)
{
    struct diag d;
    *g = (struct rig){.settings = {.query_log = {.sample = 1, .buffer_bytes = 65536}}};
    snprintf(g->dir, sizeof g->dir, "/tmp/meridian-log.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(g->dir));
    snprintf(g->path, sizeof g->path, "%s/queries.json", g->dir);
    g->settings.query_log.file = path ? path : g->path;
    g->names = metrics_names_new();
    g->m = mem_zalloc(sizeof *g->m);
    diag_init(&d);
    int rc = journal_start(&g->settings, g->names, 1, &d, &g->j);
    ck_assert(!rc || strstr(d.lines[0], "query_log.file"));
    diag_done(&d);
    if (!rc)
        journal_writer_init(&g->j, &g->settings, 0, &g->writer);
    return rc;
}

static void rig_stop(struct rig *g)
{
    journal_stop(&g->j);
    free(g->m);
    metrics_names_free(g->names);
    dir_remove_tree(g->dir);
}

static void note(struct rig *g, unsigned n)
{
    uint8_t q[512];
    size_t len = fixture_query(q, "contoso.example.io", T_A, -1);
    struct endpoint client = {fixture_ip("192.0.2.99"), 53};
    struct answer_info info = {.type = T_A,
                               .kind = NAME_GLOBAL,
                               .region = REGION_NONE,
                               .question_n = (uint16_t)(len - 12)};
    const struct log_event e = {.metrics = g->m,
                                .client = &client,
                                .listener = &client,
                                .transport = ANSWER_UDP,
                                .query = q,
                                .query_n = len,
                                .response = q,
                                .response_n = len,
                                .info = &info};
    for (unsigned i = 0; i < n; i++)
        journal_note(&g->writer, &e);
}

static size_t lines_of(const char *path)
{
    AUTO_BUF struct buf b;
    size_t n = 0;
    buf_init(&b, 0);
    if (file_read(path, 64 << 20, &b))
        return 0;
    for (size_t i = 0, from = 0; i < b.n; i++)
        if (b.p[i] == '\n') {
            json_t *j = json_loadb(b.p + from, i - from, 0, NULL);
            ck_assert_ptr_nonnull(j);
            json_decref(j);
            from = i + 1;
            n++;
        }
    ck_assert(b.n == 0 || b.p[b.n - 1] == '\n');
    return n;
}

#define LIMIT_MS 20000

START_TEST(every_query_is_a_line_or_is_counted)
{
    struct rig g;
    struct buf b;
    char want[128];
    ck_assert_int_eq(rig_start(&g, NULL), 0);
    note(&g, 10);
    WAIT_FOR(lines_of(g.path) == 10, LIMIT_MS);
    note(&g, 20000); // far more than the ring holds
    WAIT_FOR(querylog_written() + sink_dropped(g.j.sinks[JOURNAL_QUERYLOG]) == 20010, LIMIT_MS);
    ck_assert_uint_gt(sink_dropped(g.j.sinks[JOURNAL_QUERYLOG]), 0);
    buf_init(&b, 1 << 16);
    journal_metrics(&g.j, &b);
    snprintf(want, sizeof want,
             "\nmeridian_dns_log_records_total{log=\"query\",outcome=\"dropped\"} %llu\n",
             (unsigned long long)sink_dropped(g.j.sinks[JOURNAL_QUERYLOG]));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&b), want));
    buf_done(&b);
    ck_assert_uint_eq(lines_of(g.path), querylog_written());
    struct stat st;
    ck_assert(!stat(g.path, &st) && (st.st_mode & 0007) == 0);
    rig_stop(&g);
}
END_TEST

START_TEST(what_is_left_is_written_at_the_end)
{
    struct rig g;
    ck_assert_int_eq(rig_start(&g, NULL), 0);
    note(&g, 100);
    journal_stop(&g.j);
    ck_assert_uint_eq(lines_of(g.path), 100);
    rig_stop(&g);
}
END_TEST

START_TEST(a_sample_is_one_in_so_many)
{
    struct rig g;
    ck_assert_int_eq(rig_start(&g, NULL), 0);
    g.writer.sinks[JOURNAL_QUERYLOG].every = 100;
    note(&g, 1050);
    journal_stop(&g.j);
    ck_assert_uint_eq(lines_of(g.path), 10);
    rig_stop(&g);
}
END_TEST

START_TEST(a_rotated_file_is_opened_again)
{
    struct rig g;
    char old[80];
    ck_assert_int_eq(rig_start(&g, NULL), 0);
    note(&g, 3);
    WAIT_FOR(lines_of(g.path) == 3, LIMIT_MS);
    snprintf(old, sizeof old, "%s.1", g.path);
    ck_assert_int_eq(rename(g.path, old), 0);
    note(&g, 2);
    WAIT_FOR(lines_of(old) == 5, LIMIT_MS); // until it is told
    journal_reopen(&g.j);
    WAIT_FOR(access(g.path, F_OK) == 0, LIMIT_MS);
    note(&g, 4);
    WAIT_FOR(lines_of(g.path) == 4, LIMIT_MS);
    ck_assert_uint_eq(lines_of(old), 5);
    rig_stop(&g);
}
END_TEST

START_TEST(a_full_disk_loses_lines_only)
{
    struct rig g;
    ck_assert_int_eq(rig_start(&g, "/dev/full"), 0);
    note(&g, 50);
    WAIT_FOR(querylog_failed() == 50, LIMIT_MS);
    note(&g, 50); // and goes on trying
    WAIT_FOR(querylog_failed() == 100, LIMIT_MS);
    ck_assert_uint_eq(querylog_written(), 0);
    rig_stop(&g);
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_said_at_start)
{
    struct rig g;
    ck_assert_int_eq(rig_start(&g, "/nonexistent/queries.json"), ERR_NOTFOUND);
    rig_stop(&g);
}
END_TEST

// ---- dnstap ----

START_TEST(a_dnstap_message_has_the_fields_of_its_schema)
{
    AUTO_FREE struct dnstap_record *r = mem_zalloc(sizeof *r + 7);
    struct buf b;
    *r = (struct dnstap_record){.wall_ms = 300005,
                                .client = {fixture_ip("192.0.2.99"), 300},
                                .server = {fixture_ip("192.0.2.1"), 53},
                                .transport = ANSWER_TCP,
                                .query_n = 3,
                                .response_n = 4};
    memcpy(r->bytes, "abcdefg", 7);
    buf_init(&b, 4096);
    dnstap_encode(r, false, "me", &b);
    static const char query[] = "\x0a\x02me\x12" // then the version
        ,
                      message[] =
                          "\x72\x24" // Message, 36 octets
                          "\x08\x01\x10\x01\x18\x02\x22\x04\xc0\x00\x02\x63\x2a\x04\xc0\x00\x02\x01"
                          "\x30\xac\x02\x38\x35\x40\xac\x02\x4d\x40\x4b\x4c\x00\x52\x03"
                          "abc"
                          "\x78\x01";
    ck_assert_mem_eq(b.p, query, sizeof query - 1);
    ck_assert_uint_gt(b.n, sizeof message - 1);
    ck_assert_mem_eq(b.p + b.n - (sizeof message - 1), message, sizeof message - 1);
    buf_clear(&b);
    r->client.ip = fixture_ip("2001:db8::1");
    dnstap_encode(r, true, NULL, &b);
    ck_assert_int_eq(b.p[0], 0x12);                                 // no identity
    ck_assert_ptr_nonnull(memmem(b.p, b.n, "\x08\x02\x10\x02", 4)); // AUTH_RESPONSE, INET6
    ck_assert_ptr_nonnull(memmem(b.p, b.n,
                                 "\x72\x04"
                                 "defg",
                                 6));
    ck_assert_ptr_null(memmem(b.p, b.n, "abc", 3));
    buf_clear(&b); // forwarded, 6 ms before: asked at 299 s and 999 ms
    r->wait = (struct journal_wait){
        .ms = 6, .forwarded = true, .upstream = {fixture_ip("192.0.2.7"), 53}};
    dnstap_encode(r, false, NULL, &b);
    ck_assert_ptr_nonnull(memmem(b.p, b.n, "\x08\x05\x10\x02", 4));                 // CLIENT_QUERY
    ck_assert_ptr_nonnull(memmem(b.p, b.n, "\x40\xab\x02\x4d\xc0\x87\x8b\x3b", 8)); // query_time
    ck_assert_ptr_nonnull(memmem(b.p, b.n,
                                 "\x1a\x0c"
                                 "192.0.2.7:53",
                                 14)); // extra
    buf_clear(&b);
    dnstap_encode(r, true, NULL, &b);
    ck_assert_ptr_nonnull(memmem(b.p, b.n, "\x08\x06\x10\x02", 4)); // CLIENT_RESPONSE
    ck_assert_ptr_nonnull(memmem(b.p, b.n, "\x60\xac\x02\x6d\x40\x4b\x4c\x00", 8)); // response_time
    buf_done(&b);
}
END_TEST

CHECK_MAIN("resolver/journal", a_full_ring_drops_and_counts, a_reader_sees_whole_records_only,
           a_line_says_what_was_asked_and_answered, hostile_names_stay_in_their_string,
           every_query_is_a_line_or_is_counted, what_is_left_is_written_at_the_end,
           a_sample_is_one_in_so_many, a_rotated_file_is_opened_again, a_full_disk_loses_lines_only,
           a_file_that_cannot_be_opened_is_said_at_start,
           a_dnstap_message_has_the_fields_of_its_schema)
