// SPDX-License-Identifier: Apache-2.0
// fleet/join at the writer and at the CA's region, over a small ledger in memory: a region joins; and
// each thing that may go wrong on the way, at each step: a crash after the use, after the
// certificate, after the region's entry; another joiner meanwhile; another writer.
#include "fleet/join.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/joiner.h"
#include "fleet/join_answer.h"
#include "tests/support/check_main.h"

#include <string.h>

#define NOW 1800000000000
#define DOMAIN "meridian.test"

static const char document[] =
    "version: 7\ndomain: " DOMAIN "\nregions:\n"
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
    "name_servers: [eus-1.eastus]\ncertificates: { ca_region: eastus }\n";

static char dir[64];
static struct arena arena;
static struct region_keys *east;
static struct topology *in_force;
static struct snapshot cell;
static struct certs *certs;
static struct join_token token;
static struct signing_key *token_key;

static struct join *writer;
static struct buf answer; // of the writer, to the last that asked

// the ledger, and what goes wrong
static char *record_now;
static unsigned n_entries, fail_from;
static int fail_with, writer_rc;
static bool others_change; // the topology, once, under the joiner's entry
static int64_t now = NOW;

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

static int64_t world_now(void *ctx)
{
    (void)ctx;
    return now;
}

static int world_writer(void *ctx, struct diag *diag)
{
    (void)ctx;
    if (writer_rc)
        diag_add(diag, NULL, 0, "the writer is westeurope");
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
    AUTO_FREE char *want = mem_printf("join/%s", token.id);
    if (strcmp(key, want) != 0)
        return ERR_NOTFOUND;
    buf_str(out, record_now);
    return out->err;
}

static void version_up(void)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "version: %llu\n", (unsigned long long)in_force->version + 1);
    const char *rest = strchr(in_force->frame->text, '\n') + 1;
    buf_add(&b, rest, in_force->frame->text_n - (size_t)(rest - in_force->frame->text));
    struct topology *t = parsed(b.p, b.n);
    snapshot_unref(in_force);
    in_force = t;
}

static int world_append(void *ctx, const struct join_change *c, struct diag *diag)
{
    (void)ctx;
    if (n_entries++ >= fail_from) {
        diag_add(diag, NULL, 0, "no");
        return fail_with;
    }
    if (c->frame.n && others_change) {
        others_change = false;
        version_up();
    }
    if (c->expect_topology && c->expect_topology != in_force->version) {
        diag_add(diag, NULL, 0, "version");
        return ERR_CONFLICT;
    }
    if (c->frame.n) {
        struct topology *t = parsed((const char *)c->frame.p, c->frame.n);
        snapshot_unref(in_force);
        in_force = t;
        version_up();
    }
    free(record_now);
    record_now = mem_strdup(c->record);
    return 0;
}

static int certificate_rc;

static int world_issue(void *ctx, const struct topology *t, const char *region, struct bytes csr,
                       struct diag *diag, struct buf *out)
{
    (void)ctx;
    return certs_issue_joiner(certs, t, region, csr, diag, out);
}

static int world_certificate(void *ctx, const struct topology *t, const struct join_request *q,
                             struct bytes request, struct diag *diag, struct buf *out)
{
    (void)request;
    if (certificate_rc) {
        diag_add(diag, NULL, 0, "the CA's region does not answer");
        return certificate_rc;
    }
    return world_issue(ctx, t, q->row.name, bytes_str(q->csr), diag, out);
}

static int world_ca(void *ctx, struct buf *out)
{
    (void)ctx;
    return file_read(path("ca/ca.pem"), 1 << 20, out);
}

static void record_new(bool replace)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    const struct join_record r = {.id = token.id,
                                  .region = "westeurope",
                                  .key = signing_key_spki(token_key),
                                  .by = "operator:ada",
                                  .replace = replace,
                                  .created_ms = NOW,
                                  .expires_ms = NOW + JOIN_LIFE_MS};
    ck_assert_int_eq(join_record_format(&r, &b), 0);
    free(record_now);
    record_now = mem_strdup(b.p);
}

static void token_new(bool replace)
{
    signing_key_free(token_key);
    ck_assert_int_eq(join_token_new(&token), 0);
    ck_assert_int_eq(join_token_key(&token, &token_key), 0);
    snprintf(token.domain, sizeof token.domain, "%s", DOMAIN);
    snprintf(token.region, sizeof token.region, "%s", "westeurope");
    snprintf(token.writer, sizeof token.writer, "%s", "eastus");
    AUTO_BUF struct buf ca;
    buf_init(&ca, 0);
    char hex[65];
    ck_assert_int_eq(world_ca(NULL, &ca), 0);
    ck_assert_int_eq(join_token_set_ca(&token, bytes_of(ca.p, ca.n)), 0);
    ck_assert_int_eq(signing_key_fingerprint(region_keys_control_spki(east), hex), 0);
    ck_assert_int_eq(hex_parse(hex, 64, token.writer_key, 32), 0);
    record_new(replace);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "%s", "join-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    arena_init(&arena, 64 << 20);
    in_force = parsed(document, sizeof document - 1);
    fail_from = 1000;
    ck_assert_int_eq(ca_create(path("ca"), DOMAIN, NULL), 0);
    ck_assert_int_eq(region_keys_create(path("east"), "eastus", NULL), 0);
    ck_assert_int_eq(region_keys_open(path("east"), "eastus", NULL, &east), 0);
    const struct certs_options o = {
        .certs_dir = path("c"), .region = "eastus", .topology = &cell, .ca_dir = path("ca")};
    ck_assert_int_eq(certs_start(&o, NULL, &certs), 0);
    token_new(false);
    const struct join_deps d = {.now_ms = world_now,
                                .writer = world_writer,
                                .topology = world_topology,
                                .record = world_record,
                                .append = world_append,
                                .certificate = world_certificate,
                                .issue = world_issue,
                                .ca = world_ca,
                                .keys = east};
    ck_assert_int_eq(join_new(&d, &writer), 0);
    buf_init(&answer, 0);
}

static void teardown(void)
{
    buf_done(&answer);
    join_free(take_ptr(writer));
    certs_stop(certs);
    region_keys_free(east);
    signing_key_free(take_ptr(token_key));
    snapshot_unref(in_force);
    free(take_ptr(record_now));
    arena_done(&arena);
    dir_remove_tree(dir);
}

// ---- a joiner ----

struct joiner {
    struct region_keys *keys;
    const char *certs_dir;
    struct buf body;
    char identity[65];
};

static struct joiner joiner_new(const char *name, const char *address)
{
    struct joiner w = {.certs_dir = arena_printf(&arena, "%s/%s-certs", dir, name)};
    ck_assert_int_eq(region_keys_create(path(name), "westeurope", NULL), 0);
    ck_assert_int_eq(region_keys_open(path(name), "westeurope", NULL, &w.keys), 0);
    AUTO_BUF struct buf csr;
    buf_init(&csr, 0);
    ck_assert_int_eq(certs_join_request(w.certs_dir, DOMAIN, "westeurope", NULL, &csr), 0);
    struct ip v4;
    struct join_request q = {.domain = DOMAIN, .token = token.id, .csr = buf_cstr(&csr)};
    ck_assert_int_eq(ip_parse(address, &v4), 0);
    q.row = (struct region_row){.name = "westeurope", .stamp = "weu-1", .ipv4 = &v4, .n_ipv4 = 1};
    q.row.peer = (struct endpoint){v4, 8443};
    buf_init(&w.body, 0);
    ck_assert_int_eq(join_request_format(&q, token_key, w.keys, &w.body), 0);
    struct join_request back;
    ck_assert_int_eq(join_request_parse(bytes_of(w.body.p, w.body.n), &arena, NULL, &back), 0);
    ck_assert_int_eq(join_request_identity(&back, w.identity), 0);
    return w;
}

static void joiner_free(struct joiner *w)
{
    region_keys_free(w->keys);
    buf_done(&w->body);
}

static int asked(const struct joiner *w, const char *says)
{
    struct diag d;
    diag_init(&d);
    bool contested = false;
    buf_clear(&answer);
    int rc = join_take(writer, bytes_of(w->body.p, w->body.n), &arena, &d, &contested, &answer);
    AUTO_FREE char *text = diag_text(&d);
    if (*says)
        ck_assert_msg(strstr(text, says) != NULL, "%s", text);
    ck_assert(contested == (strstr(says, "other keys") != NULL));
    diag_done(&d);
    return rc;
}

// The joiner believes the answer, installs, and is the region that the topology names.
static void comes_in(const struct joiner *w)
{
    struct join_answer got;
    struct diag d;
    diag_init(&d);
    int rc = join_answer_parse(bytes_of(answer.p, answer.n), &token, w->identity, &arena, &d, &got);
    if (rc)
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(certs_join_install(w->certs_dir, DOMAIN, "westeurope", bytes_str(got.ca),
                                        bytes_str(got.certificate), NULL),
                     0);
    struct topology *t = parsed(got.topology, strlen(got.topology));
    const struct region *r = topology_region(t, "westeurope");
    struct cert_info info;
    ck_assert_int_eq(certs_inspect(w->certs_dir, t, "westeurope", CERT_PEER, &info), 0);
    ck_assert_str_eq(info.problem, "");
    ck_assert_uint_eq(r->n_peer_fingerprints, 1);
    ck_assert_str_eq(r->peer_fingerprints[0], info.fingerprint);
    const struct public_key *key = topology_feed_key_in_use(t, region_keys_feed_id(w->keys));
    ck_assert_ptr_nonnull(key);
    ck_assert_str_eq(key->spki_b64, region_keys_feed_spki(w->keys));
    snapshot_unref(t);
}

static void joins(const struct joiner *w)
{
    ck_assert_int_eq(asked(w, ""), 0);
    comes_in(w);
}

// The world of most tests: a writer, and one that would join.
static struct joiner west;

static void begin(void)
{
    setup();
    west = joiner_new("west", "192.0.2.2");
}

static void end(void)
{
    joiner_free(&west);
    teardown();
}

START_TEST(a_region_joins_and_may_ask_again)
{
    begin();
    joins(&west);
    ck_assert_uint_eq(n_entries, 2);
    writer_rc = ERR_BUSY; // the new region is half of the fleet, and does not run yet
    joins(&west);         // the answer was lost
    ck_assert_uint_eq(n_entries, 2);
    end();
}
END_TEST

START_TEST(another_key_is_refused_and_noted_once)
{
    begin();
    struct joiner thief = joiner_new("thief", "192.0.2.66");
    ck_assert_int_eq(asked(&west, ""), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(asked(&thief, "a node with other keys"), ERR_DENIED);
    ck_assert_uint_eq(answer.n, 0);
    ck_assert_uint_eq(n_entries, 3);
    ck_assert_ptr_nonnull(strstr(record_now, "\"refused\":1800000000000"));
    joins(&west); // and the right one is not shut out by that
    joiner_free(&thief);
    end();
}
END_TEST

START_TEST(a_crash_at_any_step_is_gone_on_from)
{
    for (unsigned step = 0; step < 2; step++) {
        begin();
        n_entries = 0;
        fail_from = step; // the entry is not written, or nobody learns that it was
        fail_with = ERR_IO;
        ck_assert_int_eq(asked(&west, "no"), ERR_IO);
        fail_from = 1000;
        struct joiner thief = joiner_new("thief", "192.0.2.66");
        if (step) // the token is used already
            ck_assert_int_eq(asked(&thief, "other keys"), ERR_DENIED);
        joins(&west);
        ck_assert_uint_eq(topology_region(in_force, "westeurope")->n_feed_keys, 1);
        joiner_free(&thief);
        end();
    }
}
END_TEST

START_TEST(the_ca_s_region_may_be_away_for_a_while)
{
    begin();
    certificate_rc = ERR_UNREACHABLE;
    ck_assert_int_eq(asked(&west, "does not answer"), ERR_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(record_now, "\"used\""));
    certificate_rc = 0;
    joins(&west);
    end();
}
END_TEST

START_TEST(who_is_not_the_writer_takes_nobody)
{
    begin();
    writer_rc = ERR_DENIED;
    ck_assert_int_eq(asked(&west, "the writer is westeurope"), ERR_DENIED);
    ck_assert_uint_eq(n_entries, 0);
    writer_rc = ERR_BUSY; // not confirmed: it writes nothing
    ck_assert_int_eq(asked(&west, "the writer is"), ERR_BUSY);
    ck_assert_uint_eq(n_entries, 0);
    writer_rc = 0;
    // late, and revoked
    now = NOW + JOIN_LIFE_MS;
    ck_assert_int_eq(asked(&west, "good until"), ERR_DENIED);
    now = NOW;
    // a token that the fleet does not know
    struct joiner old = west;
    token_new(false);
    ck_assert_int_eq(asked(&old, "knows no join token"), ERR_NOTFOUND);
    ck_assert_uint_eq(n_entries, 0);
    end();
}
END_TEST

START_TEST(a_false_writer_is_not_believed)
{
    begin();
    ck_assert_int_eq(asked(&west, ""), 0);
    struct bytes whole = bytes_of(answer.p, answer.n);
    struct join_answer got;
    struct join_token other = token;
    other.writer_key[0] ^= 1; // signed by another key
    ck_assert_int_eq(join_answer_parse(whole, &other, west.identity, &arena, NULL, &got), ERR_AUTH);
    other = token;
    AUTO_BUF struct buf foreign; // a CA of its own
    buf_init(&foreign, 0);
    ck_assert_int_eq(ca_create(path("ca2"), DOMAIN, NULL), 0);
    ck_assert_int_eq(file_read(path("ca2/ca.pem"), 1 << 20, &foreign), 0);
    ck_assert_int_eq(join_token_set_ca(&other, bytes_of(foreign.p, foreign.n)), 0);
    ck_assert_int_eq(join_answer_parse(whole, &other, west.identity, &arena, NULL, &got), ERR_AUTH);
    // the answer to somebody else
    ck_assert_int_eq(join_answer_parse(whole, &token, "0", &arena, NULL, &got), ERR_AUTH);
    for (size_t i = 0; i < answer.n; i += 11) { // and nothing of it may change
        answer.p[i] ^= 1;
        ck_assert_int_ne(join_answer_parse(whole, &token, west.identity, &arena, NULL, &got), 0);
        answer.p[i] ^= 1;
    }
    end();
}
END_TEST

START_TEST(the_topology_may_change_meanwhile)
{
    begin();
    others_change = true;
    joins(&west);
    end();
}
END_TEST

START_TEST(a_region_that_is_there_is_replaced_only_when_the_token_says_so)
{
    begin();
    ck_assert_int_eq(asked(&west, ""), 0);
    token_new(false);
    struct joiner second = joiner_new("west2", "192.0.2.2");
    ck_assert_int_eq(asked(&second, "a region of the fleet already"), ERR_CONFLICT);
    token_new(true);
    struct joiner elsewhere = joiner_new("west3", "192.0.2.77");
    ck_assert_int_eq(asked(&elsewhere, "has other addresses"), ERR_CONFLICT);
    token_new(true);
    struct joiner third = joiner_new("west4", "192.0.2.2");
    joins(&third);
    const struct region *r = topology_region(in_force, "westeurope");
    ck_assert_uint_eq(r->n_feed_keys, 2); // the old one verifies what it signed
    ck_assert_uint_eq(r->n_token_keys, 1);
    ck_assert_uint_eq(r->n_control_keys, 1);
    ck_assert_ptr_null(topology_feed_key_in_use(in_force, region_keys_feed_id(west.keys)));
    joiner_free(&second);
    joiner_free(&elsewhere);
    joiner_free(&third);
    end();
}
END_TEST

// A forgotten region's name is used again, with new keys: it is a member again, and the old ones verify
// what they signed.
START_TEST(the_name_of_a_forgotten_region_is_used_again_with_new_keys)
{
    static const char hash[] = "1111111111111111111111111111111111111111111111111111111111111111";
    static const char row[] = "  westeurope:\n";
    begin();
    ck_assert_int_eq(asked(&west, ""), 0);
    const char *text = in_force->frame->text, *at = strstr(text, row);
    ck_assert_ptr_nonnull(at);
    at += strlen(row);
    AUTO_FREE char *sealed =
        mem_printf("%.*s    sealed: { epoch: 3, seq: 9, hash: \"%s\" }\n%.*s", (int)(at - text),
                   text, hash, (int)(in_force->frame->text_n - (size_t)(at - text)), at);
    snapshot_unref(in_force);
    in_force = parsed(sealed, strlen(sealed));
    struct topology *before = snapshot_ref(in_force);
    ck_assert_ptr_nonnull(topology_region(before, "westeurope")->sealed);
    token_new(true);
    struct joiner next = joiner_new("west2", "192.0.2.2");
    joins(&next);
    const struct region *r = topology_region(in_force, "westeurope");
    ck_assert_ptr_null(r->sealed);
    ck_assert_uint_eq(r->n_feed_keys, 2);
    const struct public_key *old = topology_feed_key(in_force, region_keys_feed_id(west.keys));
    ck_assert(old && old->retired_s);
    ck_assert_ptr_nonnull(topology_feed_key_in_use(in_force, region_keys_feed_id(next.keys)));
    char *why = NULL;
    ck_assert_msg(topology_seals_may_follow(before, in_force, &why), "%s", why);
    snapshot_unref(before);
    joiner_free(&next);
    end();
}
END_TEST

START_TEST(the_ca_s_region_judges_for_itself)
{
    begin();
    struct joiner thief = joiner_new("thief", "192.0.2.66");
    struct bytes body = bytes_of(west.body.p, west.body.n),
                 other = bytes_of(thief.body.p, thief.body.n);
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    // before the use has arrived there
    ck_assert_int_eq(join_issue(writer, body, &arena, NULL, &pem), ERR_BUSY);
    certificate_rc = ERR_UNREACHABLE;
    ck_assert_int_eq(asked(&west, ""), ERR_UNREACHABLE);
    ck_assert_int_eq(join_issue(writer, other, &arena, NULL, &pem), ERR_DENIED);
    ck_assert_uint_eq(pem.n, 0);
    ck_assert_int_eq(join_issue(writer, body, &arena, NULL, &pem), 0);
    ck_assert_ptr_nonnull(strstr(pem.p, "BEGIN CERTIFICATE"));
    joiner_free(&thief);
    end();
}
END_TEST

CHECK_MAIN("fleet/join at the writer", a_region_joins_and_may_ask_again,
           another_key_is_refused_and_noted_once, a_crash_at_any_step_is_gone_on_from,
           the_ca_s_region_may_be_away_for_a_while, who_is_not_the_writer_takes_nobody,
           a_false_writer_is_not_believed, the_topology_may_change_meanwhile,
           a_region_that_is_there_is_replaced_only_when_the_token_says_so,
           the_name_of_a_forgotten_region_is_used_again_with_new_keys,
           the_ca_s_region_judges_for_itself)
