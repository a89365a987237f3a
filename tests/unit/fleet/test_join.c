// SPDX-License-Identifier: Apache-2.0
// fleet/join_token, join_request, join_record: what a joiner says and what the fleet makes of it.
// Every history that may befall a token, one after the other: twice, late, by the wrong region, with
// another key, after a crash.
#include "fleet/join_record.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/ca.h"
#include "tests/support/check_main.h"

#include <string.h>

#define NOW 1800000000000
#define CSR "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"

static char dir[64];
static struct arena arena;
static struct region_keys *west;
static struct join_token token;
static struct signing_key *token_key;

static struct region_keys *keys_made(const char *sub, const char *region)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, sub);
    struct region_keys *k = NULL;
    ck_assert_int_eq(region_keys_create(path, region, NULL), 0);
    ck_assert_int_eq(region_keys_open(path, region, NULL, &k), 0);
    return k;
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "%s", "join-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    arena_init(&arena, 4 << 20);
    west = keys_made("west", "westeurope");
    ck_assert_int_eq(join_token_new(&token), 0);
    ck_assert_int_eq(join_token_key(&token, &token_key), 0);
    snprintf(token.domain, sizeof token.domain, "%s", "example.io");
    snprintf(token.region, sizeof token.region, "%s", "westeurope");
    snprintf(token.writer, sizeof token.writer, "%s", "eastus");
    AUTO_FREE char *ca = mem_printf("%s/ca", dir);
    AUTO_FREE char *ca_pem = mem_printf("%s/ca/ca.pem", dir);
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    ck_assert_int_eq(ca_create(ca, "example.io", NULL), 0);
    ck_assert_int_eq(file_read(ca_pem, 1 << 20, &pem), 0);
    ck_assert_int_eq(join_token_set_ca(&token, bytes_of(pem.p, pem.n)), 0);
    memset(token.writer_key, 9, sizeof token.writer_key);
    ck_assert_int_eq(endpoint_parse("192.0.2.1:8443", 0, &token.at[0]), 0);
    ck_assert_int_eq(endpoint_parse("[2001:db8::1]:8443", 0, &token.at[1]), 0);
    token.n_at = 2;
    token.expires_ms = NOW + JOIN_LIFE_MS;
}

static void teardown(void)
{
    region_keys_free(west);
    signing_key_free(token_key);
    arena_done(&arena);
    dir_remove_tree(dir);
}

// ---- the token ----

START_TEST(a_token_comes_out_as_it_went_in)
{
    setup();
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    struct join_token t;
    ck_assert_int_eq(join_token_format(&token, &b), 0);
    ck_assert_uint_eq(
        strspn(b.p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."), b.n);
    ck_assert_int_eq(join_token_parse(b.p, b.n, NULL, &t), 0);
    ck_assert_int_eq(memcmp(&t, &token, sizeof t), 0);
    buf_str(&b, " \r\n"); // as it comes from a file
    ck_assert_int_eq(join_token_parse(b.p, b.n, NULL, &t), 0);
    teardown();
}
END_TEST

START_TEST(a_token_that_is_cut_or_changed_is_none)
{
    setup();
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    struct join_token t;
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(join_token_format(&token, &b), 0);
    for (size_t n = 0; n < b.n; n += 5)
        ck_assert_int_eq(join_token_parse(b.p, n, NULL, &t), ERR_INVAL);
    // the secret and its id go together
    token.seed[5] ^= 1;
    buf_clear(&b);
    ck_assert_int_eq(join_token_format(&token, &b), 0);
    ck_assert_int_eq(join_token_parse(b.p, b.n, &d, &t), ERR_INVAL);
    AUTO_FREE char *said = diag_text(&d);
    ck_assert_ptr_null(strstr(said, b.p + strlen(JOIN_TOKEN_PREFIX))); // it is a secret
    diag_done(&d);
    teardown();
}
END_TEST

// ---- the request ----

static struct join_request asked(const char *region)
{
    static struct ip v4;
    struct join_request q = {.domain = "example.io", .token = token.id, .csr = CSR};
    ck_assert_int_eq(ip_parse("192.0.2.2", &v4), 0);
    q.row = (struct region_row){.name = region, .stamp = "weu-1", .ipv4 = &v4, .n_ipv4 = 1};
    ck_assert_int_eq(endpoint_parse("192.0.2.2:8443", 0, &q.row.peer), 0);
    return q;
}

static struct buf sent(const struct join_request *q, const struct signing_key *t,
                       struct region_keys *keys)
{
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(join_request_format(q, t, keys, &b), 0);
    return b;
}

static int got(const struct buf *b, struct join_request *out)
{
    struct diag d;
    diag_init(&d);
    int rc = join_request_parse(bytes_of(b->p, b->n), &arena, &d, out);
    ck_assert_uint_eq(diag_count(&d), rc ? 1 : 0);
    diag_done(&d);
    return rc;
}

START_TEST(a_request_comes_out_as_it_was_signed)
{
    setup();
    struct join_request q = asked("westeurope"), r;
    q.row.location = "52.37, 4.90";
    q.row.name_server = true;
    AUTO_BUF struct buf b = sent(&q, token_key, west);
    ck_assert_int_eq(got(&b, &r), 0);
    ck_assert_int_eq(join_request_verify(&r, signing_key_spki(token_key), NULL), 0);
    ck_assert_str_eq(r.row.name, "westeurope");
    ck_assert_str_eq(r.row.stamp, "weu-1");
    ck_assert_str_eq(r.row.location, "52.37, 4.90");
    ck_assert(r.row.name_server && r.row.n_ipv4 == 1 && r.row.n_ipv6 == 0);
    ck_assert_uint_eq(r.row.peer.port, 8443);
    ck_assert_str_eq(r.csr, CSR);
    ck_assert_str_eq(r.feed_key.id, region_keys_feed_id(west));
    ck_assert_str_eq(r.control_key.spki, region_keys_control_spki(west));
    teardown();
}
END_TEST

START_TEST(both_keys_must_have_signed_it)
{
    setup();
    struct region_keys *other = keys_made("other", "westeurope");
    struct signing_key *stranger = NULL;
    struct join_token another;
    ck_assert_int_eq(join_token_new(&another), 0);
    ck_assert_int_eq(join_token_key(&another, &stranger), 0);
    struct join_request q = asked("westeurope"), r;
    AUTO_BUF struct buf b = sent(&q, stranger, west);
    ck_assert_int_eq(got(&b, &r), 0);
    ck_assert_int_eq(join_request_verify(&r, signing_key_spki(token_key), NULL), ERR_DENIED);
    // who saw a request puts other keys into it
    AUTO_BUF struct buf good = sent(&q, token_key, west), bad = sent(&q, stranger, other);
    struct join_request mine, theirs;
    ck_assert_int_eq(got(&good, &mine), 0);
    ck_assert_int_eq(got(&bad, &theirs), 0);
    memcpy(theirs.by_token, mine.by_token, 64);
    ck_assert_int_eq(join_request_verify(&theirs, signing_key_spki(token_key), NULL), ERR_DENIED);
    mine.by_feed[0] ^= 1;
    ck_assert_int_eq(join_request_verify(&mine, signing_key_spki(token_key), NULL), ERR_DENIED);
    signing_key_free(stranger);
    region_keys_free(other);
    teardown();
}
END_TEST

START_TEST(requests_of_other_forms_are_refused)
{
    setup();
    struct join_request q = asked("westeurope"), r;
    struct region_keys *east = keys_made("east", "eastus");
    AUTO_BUF struct buf foreign = sent(&q, token_key, east); // keys of another region
    ck_assert_int_eq(got(&foreign, &r), ERR_INVAL);
    region_keys_free(east);
    q.row.n_ipv4 = 0;
    AUTO_BUF struct buf nowhere = sent(&q, token_key, west);
    ck_assert_int_eq(got(&nowhere, &r), ERR_INVAL);
    q = asked("westeurope");
    q.row.stamp = "Weu_1";
    AUTO_BUF struct buf stamp = sent(&q, token_key, west);
    ck_assert_int_eq(got(&stamp, &r), ERR_INVAL);
    q = asked("westeurope");
    q.row.peer.port = 0;
    AUTO_BUF struct buf peer = sent(&q, token_key, west);
    ck_assert_int_eq(got(&peer, &r), ERR_INVAL);
    q = asked("westeurope");
    q.token = "0123";
    AUTO_BUF struct buf id = sent(&q, token_key, west);
    ck_assert_int_eq(got(&id, &r), ERR_INVAL);
    // cut anywhere
    q = asked("westeurope");
    AUTO_BUF struct buf whole = sent(&q, token_key, west);
    for (size_t n = 0; n < whole.n; n += 7)
        ck_assert_int_eq(join_request_parse(bytes_of(whole.p, n), &arena, NULL, &r), ERR_INVAL);
    teardown();
}
END_TEST

// ---- the record ----

static struct join_record record(void)
{
    return (struct join_record){.id = token.id,
                                .region = "westeurope",
                                .key = signing_key_spki(token_key),
                                .by = "operator:ada",
                                .created_ms = NOW,
                                .expires_ms = NOW + JOIN_LIFE_MS,
                                .state = JOIN_OPEN};
}

static enum join_verdict judged(const struct join_record *r, const struct join_request *q,
                                int64_t now_ms, const char *says)
{
    char identity[65];
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(join_request_identity(q, identity), 0);
    enum join_verdict v = join_record_judge(r, q, identity, now_ms, &d);
    AUTO_FREE char *text = diag_text(&d);
    ck_assert_uint_eq(diag_count(&d), v >= JOIN_REFUSE);
    ck_assert_msg(strstr(text, says) != NULL, "%s", text);
    diag_done(&d);
    return v;
}

// Written and read again, as it goes through the ledger.
static struct join_record kept(const struct join_record *r)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    struct join_record out;
    ck_assert_int_eq(join_record_format(r, &b), 0);
    ck_assert_int_eq(join_record_parse(b.p, &arena, &out), 0);
    return out;
}

START_TEST(a_token_is_good_once_and_for_its_time)
{
    setup();
    struct region_keys *thief = keys_made("thief", "westeurope");
    struct join_request q = asked("westeurope"), mine, theirs, wrong;
    AUTO_BUF struct buf a = sent(&q, token_key, west), b = sent(&q, token_key, thief);
    ck_assert_int_eq(got(&a, &mine), 0);
    ck_assert_int_eq(got(&b, &theirs), 0);
    wrong = mine;
    wrong.row.name = "eastus2";
    struct join_record r = record();
    ck_assert_int_eq(judged(&r, &wrong, NOW, "is for region westeurope"), JOIN_REFUSE);
    ck_assert_int_eq(judged(&r, &mine, NOW + JOIN_LIFE_MS, "good until"), JOIN_REFUSE);
    ck_assert_int_eq(judged(&r, &mine, NOW, ""), JOIN_TAKE);
    char joiner[65];
    ck_assert_int_eq(join_request_identity(&mine, joiner), 0);
    r.state = JOIN_USED;
    r.joiner = joiner;
    r.used_ms = NOW;
    r = kept(&r);
    // a crash of either side after the use: the same key goes on, nobody else does
    ck_assert_int_eq(judged(&r, &mine, NOW + 1, ""), JOIN_GO_ON);
    ck_assert_int_eq(judged(&r, &theirs, NOW + 1, "a node with other keys"), JOIN_CONTEST);
    r.state = JOIN_JOINED;
    r.certificate = "PEM";
    r = kept(&r);
    ck_assert_int_eq(judged(&r, &mine, NOW + 2, ""), JOIN_AGAIN);
    ck_assert_int_eq(judged(&r, &theirs, NOW + 2, "a node with other keys"), JOIN_CONTEST);
    ck_assert_int_eq(judged(&r, &mine, NOW + JOIN_LIFE_MS, "good until"), JOIN_REFUSE);
    r.state = JOIN_REVOKED;
    r = kept(&r);
    ck_assert_int_eq(judged(&r, &mine, NOW + 2, "revoked"), JOIN_REFUSE);
    region_keys_free(thief);
    teardown();
}
END_TEST

START_TEST(another_certificate_request_is_another_joiner)
{
    setup();
    struct join_request q = asked("westeurope"), mine;
    AUTO_BUF struct buf a = sent(&q, token_key, west);
    ck_assert_int_eq(got(&a, &mine), 0);
    char one[65], two[65];
    ck_assert_int_eq(join_request_identity(&mine, one), 0);
    mine.csr = "-----BEGIN CERTIFICATE REQUEST-----\nBBBB\n-----END CERTIFICATE REQUEST-----\n";
    ck_assert_int_eq(join_request_identity(&mine, two), 0);
    ck_assert_str_ne(one, two);
    teardown();
}
END_TEST

START_TEST(records_of_other_forms_are_refused)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"id\":\"0011223344556677\",\"state\":\"open\"}",
        "{\"id\":\"0011223344556677\",\"region\":\"a\",\"key\":\"k\",\"by\":\"b\",\"created\":1,"
        "\"expires\":2,\"state\":\"gone\"}",
        "{\"id\":\"0011223344556677\",\"region\":\"a\",\"key\":\"k\",\"by\":\"b\",\"created\":1,"
        "\"expires\":2,\"state\":\"used\"}",
        "{\"id\":\"0011223344556677\",\"region\":\"a\",\"key\":\"k\",\"by\":\"b\",\"created\":1,"
        "\"expires\":2,\"state\":\"joined\",\"joiner\":\"j\"}"};
    setup();
    struct join_record r;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_int_eq(join_record_parse(texts[i], &arena, &r), ERR_INVAL);
    teardown();
}
END_TEST

CHECK_MAIN("fleet/join", a_token_comes_out_as_it_went_in, a_token_that_is_cut_or_changed_is_none,
           a_request_comes_out_as_it_was_signed, both_keys_must_have_signed_it,
           requests_of_other_forms_are_refused, a_token_is_good_once_and_for_its_time,
           another_certificate_request_is_another_joiner, records_of_other_forms_are_refused)
