// SPDX-License-Identifier: Apache-2.0
// A peer that answers by a script, below HTTP where it likes: each row is one way to be broken, or to
// lie. Whatever it says, the other regions go on, it is asked at a bounded rate, and nothing it said
// is in the way of the real region that comes in its place.
#include "tests/unit/replication/raw_peer.h"

#include "base/clock.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEED "/replication/v1/feed"
#define SNAPSHOT "/replication/v1/snapshot"
#define CLOCK "/replication/v1/clock"
#define MARK "/replication/v1/mark"
#define DIGESTS "/replication/v1/digests"
#define SOME_MS 100 // for which a row is looked at once it was met
#define HITS_MAX 30 // requests that come in this time at the most, by all regions
// Feeds that are good, and end, before a row is: readers forget the row before
#define GOOD_FEEDS 1
#define MIB (1u << 20)

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// --- what a plausible region says ---

static bool answer_of(struct raw_peer *p, int fd, const char *status, const char *body)
{
    AUTO_FREE char *text =
        mem_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    return raw_text(p, fd, text);
}

static bool ok(struct raw_peer *p, int fd, const char *body)
{
    return answer_of(p, fd, "200 OK", body);
}

// A stream without a length, up to the end of the connection.
static bool stream_begin(struct raw_peer *p, int fd, const char *text)
{
    return raw_text(p, fd,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                    "Connection: close\r\n\r\n") &&
           raw_text(p, fd, text);
}

#define GREETING(at) \
    "{\"progress\":\"" at "\",\"topology\":2,\"caughtUp\":true,\"registries\":[\"contoso\"]}\n"

static bool plausible(struct raw_peer *p, int fd, const char *target)
{
    if (strncmp(target, MARK, strlen(MARK)) == 0)
        return ok(p, fd, "{\"mark\":\"\"}");
    if (strncmp(target, FEED, strlen(FEED)) == 0) {
        (void)stream_begin(p, fd, GREETING(""));
        raw_hold(p, fd);
        return false;
    }
    return answer_of(p, fd, "404 Not Found", "{}");
}

// --- the rows ---

// How the answer is sent.
enum way {
    WHOLE,  // `text` as it is, then the connection ends
    BODY,   // `text` as the body of a 200 with its length, and more requests are taken
    STREAM, // `text` as a stream that ends with it
    HELD,   // `text` as it is, then nothing more, and the connection stays
    DRIP,   // `text` as it is, then a byte each 2 ms
    FILL,   // `text` as it is, then 64 MiB of 'x', then the connection ends
    REPEAT, // `text` as a stream, 20,000 times
};

struct row {
    const char *name, *path;
    enum way way;
    const char *text;
    // what else must be answered, to get there: path and whole answer; NULL: nothing
    const char *also, *also_text;
};

#define GONE "HTTP/1.1 410 Gone\r\nContent-Length: 16\r\n\r\n{\"error\":\"gone\"}"
#define HEAD_OK "HTTP/1.1 200 OK\r\n"
#define PLACE                                                                                      \
    "MS4xLjAuNS4wMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw" \
    "MDAw"
#define PAGE_HEAD                                                                    \
    "{\"snapshot\":1,\"origin\":\"eastus\",\"registry\":\"contoso\",\"at\":\"" PLACE \
    "\",\"topology\":2,"                                                             \
    "\"chain\":[\"0\",\"" ZEROS "\"],\"of\":5}\n"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define PAGE_FOOT(n, looked, next) \
    "{\"entries\":" #n ",\"looked\":" #looked ",\"next\":\"" next "\"}\n"

static const struct row rows[] = {
    // connections
    {"it closes at once", FEED, WHOLE, ""},
    {"it accepts and says nothing", FEED, HELD, ""},
    {"no HTTP", FEED, WHOLE, "SSH-2.0-OpenSSH_9.9\r\n\r\n"},
    {"a header that is cut off", FEED, WHOLE, HEAD_OK "Content-Le"},
    {"headers of 64 MiB", FEED, FILL, HEAD_OK "X: "},
    {"headers in drops", FEED, DRIP, HEAD_OK "X: "},
    {"500 for ever", FEED, WHOLE, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"},
    {"a redirect to another region", FEED, WHOLE,
     "HTTP/1.1 302 Found\r\nLocation: http://westeurope.peer.example.io/v2/\r\nContent-Length: "
     "0\r\n\r\n"},
    {"chunks of no size", FEED, WHOLE, HEAD_OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
    {"a length that is longer than what comes", FEED, WHOLE,
     HEAD_OK "Content-Length: 99999\r\n\r\n{}"},
    {"gzip that is none", FEED, WHOLE, HEAD_OK "Content-Encoding: gzip\r\n\r\n" GREETING("")},
    // the stream
    {"a line without an end", FEED, FILL, HEAD_OK "\r\n{\"progress\":\""},
    {"its bytes in drops", FEED, DRIP, HEAD_OK "\r\n{\"progress\":\""},
    {"no greeting", FEED, STREAM, "{\"v\":2,\"body\":\"\"}\n"},
    {"two greetings", FEED, STREAM, GREETING("") GREETING("")},
    {"a greeting that is no JSON", FEED, STREAM, "{\"progress\":\"\",\"topology\":2,\n"},
    {"a greeting with a NUL", FEED, STREAM,
     "{\"progress\":\"\\u0000\",\"topology\":2,\"caughtUp\":true}\n"},
    {"a topology of version 0", FEED, STREAM,
     "{\"progress\":\"\",\"topology\":0,\"caughtUp\":true,\"registries\":[]}\n"},
    {"a place that is none", FEED, STREAM, GREETING("AAAA")},
    {"a beat of nothing", FEED, STREAM,
     "{\"progress\":\"\",\"topology\":2,\"caughtUp\":true,\"registries\":[\"contoso\"],\"beatMs\":"
     "0}\n"},
    {"heads without their signature", FEED, STREAM,
     "{\"progress\":\"\",\"topology\":2,\"caughtUp\":true,\"registries\":[\"contoso\"],"
     "\"speaks\":2,\"heads\":[[\"contoso\",\"1\",\"" ZEROS "\"]],\"headsSig\":\"AAAA\"}\n"},
    {"the same beat without a rest", FEED, REPEAT,
     "{\"progress\":\"\",\"topology\":2,\"caughtUp\":true}\n"},
    // refusals of a cursor
    {"409 without a head", FEED, WHOLE, "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}"},
    {"409 with a void that nobody signed", FEED, WHOLE,
     "HTTP/1.1 409 Conflict\r\nContent-Length: 95\r\n\r\n"
     "{\"error\":\"\",\"head\":\"\",\"void\":{\"after\":\"\",\"below\":9,\"key\":\"eastus-feed-1\","
     "\"sig\":\"AAAAAAAAAAAAAAAA\"}}"},
    {"410 and no snapshot", FEED, WHOLE, GONE},
    {"410 of the feed and of its snapshot", SNAPSHOT, WHOLE, GONE, FEED, GONE},
    // pages of snapshots
    {"a page without its foot", SNAPSHOT, BODY, PAGE_HEAD, FEED, GONE},
    {"a page without its head", SNAPSHOT, BODY, PAGE_FOOT(0, 0, ""), FEED, GONE},
    {"a page that never gets on", SNAPSHOT, BODY, PAGE_HEAD PAGE_FOOT(0, 0, "again"), FEED, GONE},
    {"a page that counts what it has not", SNAPSHOT, BODY, PAGE_HEAD PAGE_FOOT(7, 7, ""), FEED,
     GONE},
    {"a page of another origin", SNAPSHOT, BODY,
     "{\"snapshot\":1,\"origin\":\"southeastasia\",\"registry\":\"contoso\",\"at\":\"" PLACE
     "\",\"topology\":2,\"chain\":[\"0\",\"" ZEROS "\"]}\n" PAGE_FOOT(0, 0, ""),
     FEED, GONE},
    {"a page without an end", SNAPSHOT, FILL, HEAD_OK "\r\n" PAGE_HEAD, FEED, GONE},
    // words beside the feed
    {"a mark that is none", MARK, BODY, "{\"mark\":7}"},
    {"a mark of 64 MiB", MARK, FILL, HEAD_OK "\r\n{\"mark\":\""},
    {"a clock of another region", CLOCK, BODY, "{\"region\":\"westeurope\",\"wallMs\":1}"},
    {"a clock of no time", CLOCK, BODY, "{\"region\":\"eastus\",\"wallMs\":-9223372036854775808}"},
    {"a clock of 64 MiB", CLOCK, FILL, HEAD_OK "\r\n"},
    {"digests of 64 MiB", DIGESTS, FILL, HEAD_OK "\r\n"},
    {"digests of what was not asked", DIGESTS, BODY,
     "{\"digests\":1,\"registry\":\"tailspin\",\"repositories\":[],\"next\":\"\"}"},
    {"digests that turn around", DIGESTS, BODY,
     "{\"digests\":1,\"registry\":\"contoso\",\"repositories\":[[\"b\",1,\"" ZEROS
     "\"],[\"a\",1,\"" ZEROS "\"]],\"next\":\"b\"}"},
    {"digests of nothing that go on", DIGESTS, BODY,
     "{\"digests\":1,\"registry\":\"contoso\",\"repositories\":[],\"next\":\"z\"}"},
    {"digests of a repository that is not there", DIGESTS, BODY,
     "{\"digests\":1,\"registry\":\"contoso\",\"repositories\":[[\"ghost\",1,\"" ZEROS
     "\"]],\"next\":\"\"}"},
};

static void fill(struct raw_peer *p, int fd)
{
    AUTO_FREE char *block = mem_alloc(MIB);
    bool more = true;
    memset(block, 'x', MIB);
    for (int i = 0; i < 64 && more; i++)
        more = raw_send(p, fd, block, MIB);
}

static bool row_answer(struct raw_peer *p, int fd, size_t from, const char *target)
{
    const struct row *row = ((const struct row *const *)p->ctx)[from];
    if (strncmp(target, FEED, strlen(FEED)) == 0 && p->n_good[from]++ < GOOD_FEEDS) {
        (void)stream_begin(p, fd, GREETING(""));
        return false;
    }
    if (row->also && strncmp(target, row->also, strlen(row->also)) == 0)
        return raw_text(p, fd, row->also_text);
    if (strncmp(target, row->path, strlen(row->path)) != 0)
        return plausible(p, fd, target);
    switch (row->way) {
    case WHOLE:
        (void)raw_text(p, fd, row->text);
        return false;
    case BODY:
        return ok(p, fd, row->text);
    case STREAM:
        (void)stream_begin(p, fd, row->text);
        return false;
    case HELD:
        (void)raw_text(p, fd, row->text);
        raw_hold(p, fd);
        return false;
    case DRIP:
        if (raw_text(p, fd, row->text))
            raw_drip(p, fd, 'x', 2);
        return false;
    case FILL:
        if (raw_text(p, fd, row->text))
            fill(p, fd);
        return false;
    case REPEAT:
        if (stream_begin(p, fd, GREETING("")))
            for (int i = 0; i < 20000 && raw_text(p, fd, row->text); i++)
                ;
        return false;
    }
    return false;
}

// --- what must hold ---

static unsigned pushes;

static void expect_alive(struct test_region *at, struct test_region *other, const char *registry)
{
    struct digest d;
    char tag[16];
    snprintf(tag, sizeof tag, "p%u", ++pushes);
    region_push(at, registry, "honest", tag, pushes, 1, 100, 0, &d);
    WAIT_FOR(region_has(other, registry, "honest", tag, &d), 30000);
    ck_assert(meta_writable(at->meta));
}

static bool is_met(const struct raw_peer *p, size_t from, const struct row *row)
{
    bool of_feed = strcmp(row->path, FEED) == 0;
    bool by_feed = of_feed || strcmp(row->path, SNAPSHOT) == 0;
    unsigned before = of_feed ? GOOD_FEEDS : 0;
    return p->n_hits[from] > before && (!by_feed || p->n_good[from] > GOOD_FEEDS);
}

// West meets the one and south the other.
static void rows_meet(const struct row *a, const struct row *b)
{
    const struct row *of[N_REGIONS] = {[1] = a, [2] = b};
    struct raw_peer p = {.answer = row_answer, .ctx = of, .counts = {[1] = a->path, [2] = b->path}};
    unsigned before[N_REGIONS] = {0};
    raw_peer_start(&p, east);
    for (size_t i = 1; i < N_REGIONS; i++) {
        for (int64_t until = clock_mono_ms() + 30000; !is_met(&p, i, of[i]); clock_sleep_ms(5))
            ck_assert_msg(clock_mono_ms() < until, "%s: it is never asked", of[i]->name);
        before[i] = p.n_hits[i];
    }
    clock_sleep_ms(SOME_MS);
    for (size_t i = 1; i < N_REGIONS; i++) {
        unsigned hits = p.n_hits[i] - before[i];
        ck_assert_msg(hits <= HITS_MAX, "%s: asked %u times in a moment", of[i]->name, hits);
    }
    expect_alive(west, south, "tailspin");
    expect_alive(south, west, "contoso"); // which the peer holds, too
    raw_peer_stop(&p);
}

static void world_begin(void)
{
    world_make(&w);
    world_topology(&w, 2, false);
    west->compare_every_ms = south->compare_every_ms = 100;
    west->start_ask_ms = south->start_ask_ms = 200;
    region_up(west);
    region_up(south);
    WAIT_FOR(region_opens(west) && region_opens(south), 30000);
}

// The real one, which knows nothing of what was said in its name.
static void world_end(void)
{
    struct digest d;
    region_up(east);
    replicator_inbound_contact(west->replicator, "eastus");
    replicator_inbound_contact(south->replicator, "eastus");
    region_push(east, "contoso", "app", "true", 9999, 1, 100, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "true", &d), 60000);
    WAIT_FOR(region_has(south, "contoso", "app", "true", &d), 60000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 60000);
    world_done(&w);
}

// The rows of a path from the n-th on, at most `max`, two at a time.
static void rows_run(const char *path, size_t n, size_t max)
{
    const struct row *first = NULL, *left = NULL;
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].path, path) != 0 || at++ < n || at > n + max)
            continue;
        if (!first)
            first = &rows[i];
        if (left)
            rows_meet(left, &rows[i]);
        left = left ? NULL : &rows[i];
    }
    ck_assert_ptr_nonnull(first);
    if (left)
        rows_meet(left, first);
}

START_TEST(whatever_it_says)
{
    static const char *const paths[] = {MARK, FEED, CLOCK, DIGESTS};
    world_begin();
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        rows_run(paths[i], 0, ARRAY_LEN(rows));
    world_end();
}
END_TEST

// Few in a world: a snapshot that failed rests longer each time.
START_TEST(whatever_a_snapshot_is)
{
    world_begin();
    rows_run(SNAPSHOT, 0, 4);
    world_end();
}
END_TEST

START_TEST(whatever_a_snapshot_says)
{
    world_begin();
    rows_run(SNAPSHOT, 4, 3);
    world_end();
}
END_TEST

CHECK_MAIN("replication/scripted", whatever_it_says, whatever_a_snapshot_is,
           whatever_a_snapshot_says)
