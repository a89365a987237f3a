// SPDX-License-Identifier: Apache-2.0
// fleet/peer_roll over a small ledger in memory, fleet/peer_spread, certs/peer_judge: a new peer
// certificate is named, used, and the old one dropped in time; and whoever is not the region itself,
// or brings another certificate, gets nothing.
#include "fleet/peer_roll.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/ca.h"
#include "certs/certs.h"
#include "certs/joiner.h"
#include "certs/peer_judge.h"
#include "fleet/call.h"
#include "fleet/peer_spread.h"
#include "net/http_test.h"
#include "tests/support/check_main.h"

#include <string.h>

#define DOMAIN "meridian.test"
#define DAY_MS (24 * 3600 * 1000LL)

struct certificate {
    char fingerprint[65];
    const char *pem;
};

static char dir[64];
static struct arena arena;
static struct region_keys *east, *west;
static struct topology *in_force;
static struct snapshot cell;
static struct certs *certs, *strangers;
static struct peer_roll *writer;
static struct certificate first, second, third; // westeurope's

// the ledger, and what goes wrong
static char *record_now, *by_now;
static unsigned n_entries;
static int append_fails, writer_rc;
static bool others_change; // the topology, once, under an entry
static int64_t now;

static const char *path(const char *name)
{
    return arena_printf(&arena, "%s/%s", dir, name);
}

static struct topology *parsed(const char *text, size_t n)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, n, "t", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

static void force(struct topology *t)
{
    snapshot_unref(in_force);
    in_force = t;
}

static void version_up(void)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "version: %llu\n", (unsigned long long)in_force->version + 1);
    const char *rest = strchr(in_force->frame->text, '\n') + 1;
    buf_add(&b, rest, in_force->frame->text_n - (size_t)(rest - in_force->frame->text));
    force(parsed(b.p, b.n));
}

static int64_t world_now(void *ctx)
{
    (void)ctx;
    return now;
}

static int world_writer(void *ctx, struct diag *diag)
{
    (void)ctx;
    if (writer_rc)
        diag_add(diag, NULL, 0, "not now");
    return writer_rc;
}

static struct topology *world_topology(void *ctx)
{
    (void)ctx;
    return snapshot_ref(in_force);
}

static int world_record(void *ctx, const char *key, struct buf *out)
{
    (void)ctx;
    if (!record_now || strcmp(key, "peer/westeurope") != 0)
        return ERR_NOTFOUND;
    buf_str(out, record_now);
    return out->err;
}

static int world_append(void *ctx, const struct peer_change *c, struct diag *diag)
{
    (void)ctx;
    if (append_fails) {
        diag_add(diag, NULL, 0, "the disk is full");
        return append_fails;
    }
    if (others_change) {
        others_change = false;
        version_up();
    }
    if (c->expect_topology && c->expect_topology != in_force->version) {
        diag_add(diag, NULL, 0, "another version");
        return ERR_CONFLICT;
    }
    if (c->frame.n) {
        force(parsed((const char *)c->frame.p, c->frame.n));
        version_up();
    }
    ck_assert_str_eq(c->record_key, "peer/westeurope");
    free(take_ptr(record_now));
    free(take_ptr(by_now));
    if (c->record)
        record_now = mem_strdup(c->record);
    if (c->by)
        by_now = mem_strdup(c->by);
    n_entries++;
    return 0;
}

static int world_ca(void *ctx, struct buf *out)
{
    (void)ctx;
    return file_read(path("ca/ca.pem"), 1 << 20, out);
}

static char noted[64];
static unsigned n_noted;

static void world_note(void *ctx, const struct http_request *req, const char *region,
                       const char *what, const char *fingerprint, const char *why)
{
    (void)ctx, (void)req, (void)region, (void)fingerprint;
    snprintf(noted, sizeof noted, "%s%s", what, why ? "!" : "");
    n_noted++;
}

static struct region_keys *keys_made(const char *region)
{
    struct region_keys *k = NULL;
    ck_assert_int_eq(region_keys_create(path(region), region, NULL), 0);
    ck_assert_int_eq(region_keys_open(path(region), region, NULL, &k), 0);
    return k;
}

static struct certificate certificate_made(struct certs *by, const char *region, const char *name)
{
    struct certificate c;
    AUTO_BUF struct buf csr, pem;
    buf_init(&csr, 0);
    buf_init(&pem, 0);
    ck_assert_int_eq(certs_join_request(path(name), DOMAIN, region, NULL, &csr), 0);
    ck_assert_int_eq(certs_issue_joiner(by, in_force, region, bytes_of(csr.p, csr.n), NULL, &pem),
                     0);
    ck_assert_int_eq(certs_fingerprint(bytes_of(pem.p, pem.n), c.fingerprint), 0);
    c.pem = arena_strdup(&arena, buf_cstr(&pem));
    return c;
}

static struct topology *topology_of(const char *prints, const char *west_key)
{
    AUTO_FREE char *text = mem_printf(
        "version: 7\ndomain: " DOMAIN "\nregions:\n"
        "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"
        "  - { name: westeurope, peer: 192.0.2.2:8443, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n"
        "name_servers: [s.eastus]\nidentities:\n"
        "  eastus: { feed_keys: [{ id: %s, key: \"%s\" }] }\n"
        "  westeurope: { peer_fingerprints: [%s], feed_keys: [{ id: %s, key: \"%s\"%s }] }\n",
        region_keys_feed_id(east), region_keys_feed_spki(east), prints, region_keys_feed_id(west),
        region_keys_feed_spki(west), west_key);
    return parsed(text, strlen(text));
}

static struct certs *ca_made(const char *name)
{
    struct certs *c = NULL;
    ck_assert_int_eq(ca_create(path(name), DOMAIN, NULL), 0);
    const struct certs_options o = {
        .certs_dir = path("c"), .region = "eastus", .topology = &cell, .ca_dir = path(name)};
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    return c;
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "%s", "peer-roll-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    arena_init(&arena, 64 << 20);
    snapshot_init(&cell);
    now = clock_wall_ms();
    east = keys_made("eastus");
    west = keys_made("westeurope");
    in_force = topology_of("", "");
    certs = ca_made("ca");
    first = certificate_made(certs, "westeurope", "w1");
    second = certificate_made(certs, "westeurope", "w2");
    third = certificate_made(certs, "westeurope", "w3");
    force(topology_of(arena_printf(&arena, "\"%s\"", first.fingerprint), ""));
    const struct peer_roll_deps d = {.now_ms = world_now,
                                     .writer = world_writer,
                                     .topology = world_topology,
                                     .record = world_record,
                                     .append = world_append,
                                     .ca = world_ca,
                                     .note = world_note};
    ck_assert_int_eq(peer_roll_new(&d, &writer), 0);
}

static void teardown(void)
{
    peer_roll_free(writer);
    certs_stop(certs);
    certs_stop(strangers);
    region_keys_free(east);
    region_keys_free(west);
    snapshot_unref(in_force);
    snapshot_done(&cell);
    free(take_ptr(record_now));
    free(take_ptr(by_now));
    arena_done(&arena);
    dir_remove_tree(dir);
}

// ---- asking ----

static char nonce[NONCE_TEXT_SIZE];

static void request_made(enum peer_step step, const struct certificate *current,
                         const struct certificate *next, struct region_keys *keys, struct buf *out)
{
    const struct peer_request q = {.step = step,
                                   .nonce = nonce,
                                   .current = current->fingerprint,
                                   .certificate = next ? next->pem : NULL};
    buf_init(out, 0);
    ck_assert_int_eq(peer_request_format(in_force, "westeurope", &q, keys, out), 0);
}

static int taken(const char *region, const char *via, const struct buf *body, const char *says)
{
    struct diag d;
    diag_init(&d);
    const char *step = NULL;
    int rc = peer_roll_take(writer, region, via, bytes_of(body->p, body->n), &d, &step);
    AUTO_FREE char *text = diag_text(&d);
    diag_done(&d);
    if (*says)
        ck_assert_msg(text && strstr(text, says) != NULL, "%s", text);
    else
        ck_assert_msg(!rc, "%d: %s", rc, text ? text : "");
    return rc;
}

static int next_asked(const struct certificate *current, const struct certificate *next,
                      const char *says)
{
    AUTO_BUF struct buf body;
    ck_assert_int_eq(peer_roll_nonce(writer, "westeurope", nonce), 0);
    request_made(PEER_NEXT, current, next, west, &body);
    return taken("westeurope", current->fingerprint, &body, says);
}

static int use_told(const struct certificate *current, const char *via, const char *says)
{
    AUTO_BUF struct buf body;
    ck_assert_int_eq(peer_roll_nonce(writer, "westeurope", nonce), 0);
    request_made(PEER_USED, current, NULL, west, &body);
    return taken("westeurope", via, &body, says);
}

static void named_are(const struct certificate *a, const struct certificate *b)
{
    const struct region *r = topology_region(in_force, "westeurope");
    ck_assert_uint_eq(r->n_peer_fingerprints, b ? 2 : 1);
    ck_assert(peer_names(in_force, "westeurope", a->fingerprint));
    ck_assert(!b || peer_names(in_force, "westeurope", b->fingerprint));
}

// ---- a roll ----

START_TEST(the_new_one_is_named_used_and_the_old_one_dropped_in_time)
{
    setup();
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    named_are(&first, &second);
    ck_assert_str_eq(by_now, "region:westeurope");
    ck_assert_uint_eq(in_force->version, 8);
    unsigned n = n_entries;
    ck_assert_int_eq(next_asked(&first, &second, ""), 0); // the answer was lost: nothing changes
    ck_assert_uint_eq(n_entries, n);
    now += 30 * DAY_MS; // the region takes its time: nothing is dropped before the use
    peer_roll_look(writer);
    named_are(&first, &second);
    ck_assert_int_eq(use_told(&first, first.fingerprint, ""), 0); // not the new one: says nothing
    ck_assert_uint_eq(n_entries, n);
    ck_assert_int_eq(use_told(&second, second.fingerprint, ""), 0);
    int64_t used = now;
    now = used + 60000;
    ck_assert_int_eq(use_told(&second, second.fingerprint, ""), 0); // again: the first time counts
    now = used + PEER_ROLL_OVERLAP_MS - 1;
    peer_roll_look(writer);
    named_are(&first, &second);
    ck_assert_int_eq(next_asked(&second, &third, "was replaced lately"), ERR_CONFLICT);
    now = used + PEER_ROLL_OVERLAP_MS;
    peer_roll_look(writer);
    named_are(&second, NULL);
    ck_assert_ptr_null(record_now);
    ck_assert_ptr_null(by_now); // the writer's own
    ck_assert_str_eq(noted, "dropped");
    ck_assert_int_eq(next_asked(&second, &third, ""), 0); // and so on
    named_are(&second, &third);
    teardown();
}
END_TEST

START_TEST(one_that_was_lost_before_its_use_makes_room_for_the_next)
{
    setup();
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    now += PEER_ROLL_AGAIN_MS;
    ck_assert_int_eq(next_asked(&first, &third, ""), 0);
    named_are(&first, &third);
    now += 366 * DAY_MS;
    peer_roll_look(writer);
    named_are(&first, NULL); // it has expired without any use
    ck_assert_str_eq(noted, "expired unused");
    ck_assert_ptr_null(record_now);
    teardown();
}
END_TEST

// Each change is a whole frame in the feed of all regions: who has taken a region over could ask for
// one after the other.
START_TEST(no_region_fills_the_feed_with_certificates_that_it_does_not_use)
{
    setup();
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    unsigned n = n_entries;
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(next_asked(&first, &third, "can be named at"), ERR_CONFLICT);
        ck_assert_int_eq(next_asked(&first, &second, ""), 0);
        now += PEER_ROLL_AGAIN_MS / 20;
    }
    ck_assert_uint_eq(n_entries, n);
    now += PEER_ROLL_AGAIN_MS / 2;
    ck_assert_int_eq(next_asked(&first, &third, ""), 0);
    named_are(&first, &third);
    now -= PEER_ROLL_AGAIN_MS + 60000; // the clock was ahead: nobody waits for that time
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    named_are(&first, &second);
    teardown();
}
END_TEST

START_TEST(what_people_named_stays_theirs)
{
    setup();
    force(topology_of(arena_printf(&arena, "\"%s\", \"%s\"", first.fingerprint, second.fingerprint),
                      ""));
    ck_assert_int_eq(next_asked(&first, &third, "names 2 peer certificates"), ERR_CONFLICT);
    ck_assert_int_eq(next_asked(&first, &second, ""), 0); // it is named already
    ck_assert_int_eq(use_told(&second, second.fingerprint, ""), 0);
    now += 366 * DAY_MS;
    peer_roll_look(writer);
    named_are(&first, &second);
    ck_assert_uint_eq(n_entries, 0);
    // people take one out in the middle of a roll: its record is void, and goes
    now -= 366 * DAY_MS;
    force(topology_of(arena_printf(&arena, "\"%s\"", first.fingerprint), ""));
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    force(topology_of(arena_printf(&arena, "\"%s\"", second.fingerprint), ""));
    peer_roll_look(writer);
    ck_assert_ptr_null(record_now);
    named_are(&second, NULL);
    ck_assert_int_eq(next_asked(&second, &third, ""), 0);
    teardown();
}
END_TEST

// ---- what breaks in the middle ----

START_TEST(what_could_not_be_written_is_asked_for_again)
{
    setup();
    append_fails = ERR_NOSPACE;
    ck_assert_int_eq(next_asked(&first, &second, "disk is full"), ERR_NOSPACE);
    named_are(&first, NULL);
    append_fails = 0;
    others_change = true; // under the entry: it is made anew
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    named_are(&first, &second);
    append_fails = ERR_NOSPACE;
    ck_assert_int_eq(use_told(&second, second.fingerprint, "disk is full"), ERR_NOSPACE);
    append_fails = 0;
    // another process of the writer, or another writer: the ledger is all that it needs
    peer_roll_free(writer);
    const struct peer_roll_deps d = {.now_ms = world_now,
                                     .writer = world_writer,
                                     .topology = world_topology,
                                     .record = world_record,
                                     .append = world_append,
                                     .ca = world_ca,
                                     .note = world_note};
    ck_assert_int_eq(peer_roll_new(&d, &writer), 0);
    ck_assert_int_eq(use_told(&second, second.fingerprint, ""), 0);
    now += PEER_ROLL_OVERLAP_MS;
    clock_virtual_set(now);
    append_fails = ERR_NOSPACE;
    peer_roll_look(writer);
    named_are(&first, &second);
    append_fails = 0;
    clock_virtual_advance(10 * 60 * 1000); // it rests after a failure
    peer_roll_look(writer);
    named_are(&second, NULL);
    clock_virtual_off();
    teardown();
}
END_TEST

static void looks(unsigned n) // one in two seconds
{
    for (unsigned i = 0; i < n; i++) {
        clock_virtual_advance(2000);
        peer_roll_look(writer);
    }
}

// Each failure is a line of the audit log: a full disk must not be filled by those.
START_TEST(what_cannot_be_taken_out_is_told_ever_more_seldom)
{
    setup();
    clock_virtual_set(now);
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    ck_assert_int_eq(use_told(&second, second.fingerprint, ""), 0);
    now += PEER_ROLL_OVERLAP_MS;
    n_noted = 0;
    append_fails = ERR_NOSPACE;
    looks(1);
    ck_assert_str_eq(noted, "dropped!");
    looks(1800); // an hour
    ck_assert_uint_ge(n_noted, 12);
    ck_assert_uint_le(n_noted, 40);
    append_fails = 0;
    looks(151); // 302 s: longer than the longest rest
    named_are(&second, NULL);
    ck_assert_str_eq(noted, "dropped");
    // and the next one rests from the shortest time on
    ck_assert_int_eq(next_asked(&second, &third, ""), 0);
    force(topology_of(arena_printf(&arena, "\"%s\"", third.fingerprint), ""));
    append_fails = ERR_NOSPACE;
    noted[0] = 0;
    looks(1);
    ck_assert_str_eq(noted, "void record dropped!"); // what people made void is told of as well
    append_fails = 0;
    looks(2);
    ck_assert_ptr_null(record_now);
    clock_virtual_off();
    teardown();
}
END_TEST

START_TEST(who_may_not_write_judges_and_drops_nothing)
{
    setup();
    writer_rc = ERR_DENIED;
    ck_assert_int_eq(next_asked(&first, &second, "not now"), ERR_DENIED);
    writer_rc = ERR_BUSY; // not confirmed, or its clock is wrong
    ck_assert_int_eq(next_asked(&first, &second, "not now"), ERR_BUSY);
    writer_rc = 0;
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    ck_assert_int_eq(use_told(&second, second.fingerprint, ""), 0);
    now += PEER_ROLL_OVERLAP_MS;
    writer_rc = ERR_BUSY;
    peer_roll_look(writer);
    named_are(&first, &second);
    teardown();
}
END_TEST

// ---- who gets nothing ----

START_TEST(a_stolen_certificate_alone_gets_nothing)
{
    setup();
    AUTO_BUF struct buf other, none, good;
    ck_assert_int_eq(peer_roll_nonce(writer, "westeurope", nonce), 0);
    request_made(PEER_NEXT, &first, &second, east, &other); // another region's key
    taken("westeurope", first.fingerprint, &other, "has no feed key");
    taken("eastus", first.fingerprint, &other, "for its own certificates only");
    buf_init(&none, 0);
    buf_str(&none, "{\"request\":\"{}\"}");
    taken("westeurope", first.fingerprint, &none, "a text, a key and a signature");
    // seen on the way, and shown again later
    ck_assert_int_eq(next_asked(&first, &second, ""), 0);
    ck_assert_int_eq(peer_roll_nonce(writer, "westeurope", nonce), 0);
    request_made(PEER_NEXT, &first, &third, west, &good);
    good.p[good.n - 20] ^= 1;
    ck_assert_int_ne(taken("westeurope", first.fingerprint, &good, "refused"), 0);
    good.p[good.n - 20] ^= 1;
    taken("westeurope", second.fingerprint, &good, "another certificate than it says");
    taken("westeurope", first.fingerprint, &good, "its nonce was used");
    named_are(&first, &second);
    // a feed key that is out of use
    force(topology_of(arena_printf(&arena, "\"%s\"", first.fingerprint),
                      ", retired: \"2026-01-01T00:00:00Z\""));
    ck_assert_int_eq(next_asked(&first, &third, "has no feed key"), ERR_DENIED);
    named_are(&first, NULL);
    teardown();
}
END_TEST

START_TEST(only_a_certificate_of_the_fleet_for_that_region_is_named)
{
    setup();
    strangers = ca_made("ca2");
    struct certificate foreign = certificate_made(strangers, "westeurope", "x1"),
                       easts = certificate_made(certs, "eastus", "x2"),
                       broken = {.pem = "-----BEGIN CERTIFICATE-----\nAAAA\n"};
    ck_assert_int_eq(next_asked(&first, &foreign, "CA has not issued it"), ERR_DENIED);
    ck_assert_int_eq(next_asked(&first, &easts, "no peer certificate of westeurope"), ERR_DENIED);
    ck_assert_int_eq(next_asked(&first, &broken, "cannot be read"), ERR_DENIED);
    ck_assert_int_eq(next_asked(&third, &second, "does not name the certificate"), ERR_DENIED);
    int64_t today = now;
    now = today + 366 * DAY_MS;
    ck_assert_int_eq(next_asked(&first, &second, "it has expired"), ERR_DENIED);
    now = today - DAY_MS;
    ck_assert_int_eq(next_asked(&first, &second, "not valid yet"), ERR_DENIED);
    ck_assert_uint_eq(n_entries, 0);
    teardown();
}
END_TEST

// ---- on the wire ----

static const struct region *peer;

static void app_begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    req->peer_cert_fingerprint = first.fingerprint;
    peer_roll_begin(ctx, req, peer, plan);
}

static int http_asked(const char *method, const char *target, const char *body, const char *says)
{
    const struct http_app app = {.begin = app_begin, .ctx = writer};
    struct http_request *req = http_request_test_new(method, target, "eastus.peer." DOMAIN);
    struct http_response resp;
    req->listener = LISTENER_PEER;
    http_request_test_body(req, body, strlen(body));
    http_app_test_run(&app, req, 100, &resp);
    AUTO_FREE char *text = mem_strndup((const char *)resp.body.p, resp.body.n);
    ck_assert_msg(strstr(text, says) != NULL, "%s", text);
    if (strstr(text, "{\"nonce\"")) {
        ck_assert_uint_gt(resp.body.n, NONCE_TEXT_SIZE + 9);
        memcpy(nonce, text + 10, NONCE_TEXT_SIZE - 1);
    }
    int status = resp.status;
    http_request_test_free(req);
    return status;
}

START_TEST(the_two_calls_are_for_regions_alone)
{
    setup();
    AUTO_BUF struct buf body;
    ck_assert_int_eq(http_asked("POST", PEER_ROLL_NONCE_PATH, "{}", "nothing is served"), 404);
    peer = topology_region(in_force, "westeurope");
    ck_assert_int_eq(http_asked("GET", PEER_ROLL_PATH, "", "by POST"), 405);
    ck_assert_int_eq(http_asked("POST", PEER_ROLL_NONCE_PATH, "{}", "{\"nonce\":\""), 200);
    request_made(PEER_NEXT, &first, &second, west, &body);
    ck_assert_int_eq(http_asked("POST", PEER_ROLL_PATH, buf_cstr(&body), "\"step\":\"named\""),
                     200);
    ck_assert_str_eq(noted, "named");
    peer = topology_region(in_force, "westeurope");
    ck_assert_int_eq(http_asked("POST", PEER_ROLL_PATH, buf_cstr(&body), "nonce was used"), 403);
    ck_assert_str_eq(noted, "refused!");
    writer_rc = ERR_BUSY;
    ck_assert_int_eq(http_asked("POST", PEER_ROLL_NONCE_PATH, "{}", "not now"), 503);
    ck_assert_int_eq(http_asked("POST", PEER_ROLL_PATH, "{}", "not now"), 503);
    teardown();
}
END_TEST

START_TEST(records_of_another_form_are_none)
{
    struct peer_record r;
    static const char *const wrong[] = {"", "[]", "{}", "{\"old\":\"aa\",\"next\":\"bb\"}",
                                        "{\"old\":1,\"next\":2,\"until\":3,\"named\":4}"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_int_eq(peer_record_parse(wrong[i], &r), ERR_INVAL);
}
END_TEST

// ---- who has stored it ----

static struct fleet_answers *answers_of(size_t n)
{
    struct fleet_answers *a = mem_zalloc(sizeof *a + n * sizeof a->list[0]);
    ck_assert_ptr_nonnull(a);
    for (size_t i = 0; i < n; i++) {
        snprintf(a->list[i].region, sizeof a->list[i].region, "r%zu", i);
        buf_init(&a->list[i].body, 0);
        a->list[i].err = ERR_UNREACHABLE;
    }
    a->n = n;
    return a;
}

static void says(struct fleet_answers *a, size_t i, int status, const char *body)
{
    a->list[i].err = 0;
    a->list[i].status = status;
    buf_clear(&a->list[i].body);
    buf_str(&a->list[i].body, body);
}

static struct control_place place_at(uint64_t epoch, uint64_t seq)
{
    struct control_place p = {.epoch = epoch, .seq = seq};
    memset(p.hash, (int)(epoch * 16 + seq % 16), sizeof p.hash);
    return p;
}

static void is_at(struct fleet_answers *a, size_t i, uint64_t epoch, uint64_t seq)
{
    char hex[2 * SHA256_BYTES + 1];
    struct control_place p = place_at(epoch, seq);
    hex_format(p.hash, sizeof p.hash, hex);
    AUTO_FREE char *body =
        mem_printf("{\"epoch\":%d,\"seq\":%d,\"hash\":\"%s\"}", (int)epoch, (int)seq, hex);
    says(a, i, 200, body);
}

static bool is_enough(const struct fleet_answers *a, const struct peer_spread_from *from,
                      const char *waits_for)
{
    struct peer_spread s;
    peer_spread_judge(a, from, &s);
    ck_assert_str_eq(s.waits_for, waits_for);
    return s.enough;
}

START_TEST(all_that_answer_and_a_majority_must_have_it)
{
    const struct peer_spread_from from = {
        .place = place_at(2, 40), .own = {.place = place_at(2, 40), .applied = place_at(2, 40)}};
    struct fleet_answers *a = answers_of(0);
    ck_assert(is_enough(a, &from, "")); // a fleet of one
    fleet_answers_free(a);
    a = answers_of(2);
    ck_assert(!is_enough(a, &from, "r0, r1")); // alone of three
    is_at(a, 0, 2, 40);
    ck_assert(is_enough(a, &from, "")); // the third is away: it catches up when it is back
    is_at(a, 1, 2, 39);
    ck_assert(!is_enough(a, &from, "r1"));
    says(a, 1, 503, "");
    ck_assert(!is_enough(a, &from, "r1")); // it runs, and nobody knows how far it is
    says(a, 1, 200, "{\"epoch\":2,\"seq\":40}");
    ck_assert(!is_enough(a, &from, "r1")); // of which log?
    is_at(a, 1, 1, 90);
    ck_assert(!is_enough(a, &from, "r1")); // of an epoch that is over
    fleet_answers_free(a);
    a = answers_of(1);
    ck_assert(!is_enough(a, &from, "r0")); // two regions: both
    fleet_answers_free(a);
}
END_TEST

START_TEST(whose_log_is_another_one_has_it_not)
{
    struct peer_spread_from from = {.place = place_at(2, 40),
                                    .own = {.place = place_at(2, 44),
                                            .applied = place_at(2, 44),
                                            .epoch_from = place_at(1, 30)}};
    struct fleet_answers *a = answers_of(1);
    is_at(a, 0, 2, 40 + 16);
    ck_assert(is_enough(a, &from, "")); // further: on a busy feed that is the rule
    from.we_write = true;
    ck_assert(!is_enough(a, &from, "r0")); // further than the writer: its disk is an old copy
    from.we_write = false;
    says(a, 0, 200,
         "{\"epoch\":2,\"seq\":40,\"hash\":\"00000000000000000000000000000000"
         "00000000000000000000000000000000\"}");
    ck_assert(!is_enough(a, &from, "r0"));
    // a takeover that this region has not heard of yet may have made the place void
    is_at(a, 0, 3, 41);
    ck_assert(!is_enough(a, &from, "r0"));
    from.own.place = from.own.applied = place_at(3, 43);
    from.own.epoch_from = place_at(2, 39);
    ck_assert(!is_enough(a, &from, "r0")); // it did
    from.own.epoch_from = place_at(2, 40);
    ck_assert(is_enough(a, &from, "")); // the new epoch goes on from there
    is_at(a, 0, 2, 41);
    ck_assert(is_enough(a, &from, ""));
    fleet_answers_free(a);
}
END_TEST

// With each entry of a busy feed somebody is behind the newest: it is not the newest that counts.
START_TEST(the_place_that_named_it_first_is_asked_for)
{
    struct peer_named n = {.fingerprint = ""};
    struct heard_own own = {.applied = place_at(2, 40), .epoch_from = place_at(1, 30)};
    peer_named_note(&n, "aa", &own);
    ck_assert(control_place_same(&n.place, &own.applied));
    own.applied = place_at(2, 41);
    peer_named_note(&n, "aa", &own);
    ck_assert_uint_eq(n.place.seq, 40);
    peer_named_note(&n, "bb", &own);
    ck_assert_str_eq(n.fingerprint, "bb");
    ck_assert_uint_eq(n.place.seq, 41);
    own = (struct heard_own){.applied = place_at(3, 50), .epoch_from = place_at(2, 41)};
    peer_named_note(&n, "bb", &own);
    ck_assert_uint_eq(n.place.seq, 41); // a takeover that goes on from there keeps it
    own = (struct heard_own){.applied = place_at(4, 60), .epoch_from = place_at(2, 39)};
    peer_named_note(&n, "bb", &own);
    ck_assert(control_place_same(&n.place, &own.applied)); // and one from before makes it void
}
END_TEST

CHECK_MAIN("fleet/peer_roll", the_new_one_is_named_used_and_the_old_one_dropped_in_time,
           one_that_was_lost_before_its_use_makes_room_for_the_next,
           no_region_fills_the_feed_with_certificates_that_it_does_not_use,
           what_people_named_stays_theirs, what_could_not_be_written_is_asked_for_again,
           what_cannot_be_taken_out_is_told_ever_more_seldom,
           who_may_not_write_judges_and_drops_nothing, a_stolen_certificate_alone_gets_nothing,
           only_a_certificate_of_the_fleet_for_that_region_is_named,
           the_two_calls_are_for_regions_alone, records_of_another_form_are_none,
           all_that_answer_and_a_majority_must_have_it, whose_log_is_another_one_has_it_not,
           the_place_that_named_it_first_is_asked_for)
