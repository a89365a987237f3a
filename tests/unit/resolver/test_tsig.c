// SPDX-License-Identifier: Apache-2.0
// resolver/tsig: what we sign ldns verifies and the other way round, a stream of responses, and
// every way to be wrong.
#include "resolver/packet/tsig.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "resolver/answer/transfer.h"
#include "resolver/packet/wire.h"
#include "resolver/serve/rrl.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SECRET "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // 32 octets
#define OTHER "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/meridian-tsig.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void write_key(const char *name, const char *text, mode_t mode)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s.key", dir, name);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), mode), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static struct tsig_keys *load(const char *const *names, size_t n, size_t n_errors)
{
    struct tsig_keys *k = NULL;
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(tsig_keys_load(dir, names, n, &d, &k), 0);
    ck_assert_msg(d.n == n_errors, "%zu messages: %s", d.n, d.n ? d.lines[0] : "");
    for (size_t i = 0; i < d.n; i++)
        ck_assert_ptr_null(strstr(d.lines[i], "MDEyMzQ1"));
    diag_done(&d);
    return k;
}

static struct tsig_keys *one_key(const char *algorithm)
{
    static const char *const names[] = {"xfr.test"};
    char text[200];
    make_dir();
    snprintf(text, sizeof text, "%s:xfr.test.:" SECRET "\n", algorithm);
    write_key("xfr.test", text, 0600);
    return load(names, 1, 0);
}

static size_t signed_query(uint8_t *p, size_t cap, const struct tsig_key *k, int64_t now_s,
                           struct tsig *s)
{
    size_t n = fixture_query(p, "fe.example.io", T_SOA, 1232);
    tsig_begin(k, 0x1234, s);
    n = tsig_sign(s, p, n, cap, now_s);
    ck_assert_uint_gt(n, 0);
    return n;
}

static int check(const struct tsig_keys *keys, const uint8_t *p, size_t n, int64_t now_s,
                 struct tsig *s)
{
    struct dns_query q;
    ck_assert_int_eq(dns_query_parse(p, n, &q), 0);
    ck_assert_ptr_nonnull(q.tsig);
    return tsig_check(keys, p, n, (size_t)(q.tsig - p), now_s, s);
}

START_TEST(test_round_trip_in_every_algorithm)
{
    static const char *const algorithms[] = {"hmac-sha256", "hmac-sha384", "HMAC-SHA512"};
    for (size_t i = 0; i < 3; i++) {
        struct tsig_keys *keys = one_key(algorithms[i]);
        uint8_t p[1232];
        struct tsig s, got;
        size_t n = signed_query(p, sizeof p, keys->keys[0], 1700000000, &s);
        ck_assert_int_eq(check(keys, p, n, 1700000000, &got), 0);
        ck_assert_ptr_eq(got.key, keys->keys[0]);
        ck_assert_ptr_eq(got.key, tsig_key_find(keys, "xfr.test"));
        ck_assert_int_eq(check(keys, p, n, 1700000300, &got), 0); // within the fudge
        ck_assert_int_eq(check(keys, p, n, 1699999700, &got), 0);
        for (size_t bit = 0; bit < 8 * n; bit += 7) { // any change is noticed
            struct dns_query q;
            p[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (dns_query_parse(p, n, &q) == 0 && q.tsig && bit / 8 > 1)
                ck_assert_msg(tsig_check(keys, p, n, (size_t)(q.tsig - p), 1700000000, &got) != 0 ||
                                  bit / 8 >= n - 6 || bit / 8 >= (size_t)(q.tsig - p),
                              "bit %zu", bit);
            p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        snapshot_unref(keys);
        dir_remove_tree(dir);
    }
}
END_TEST

START_TEST(test_ldns_signs_and_we_check)
{
    struct tsig_keys *keys = one_key("hmac-sha256");
    ldns_pkt *pkt = NULL;
    uint8_t *wire = NULL, q[512];
    size_t n = fixture_query(q, "FE.example.io", T_SOA, -1);
    struct tsig s;
    ck_assert_int_eq(ldns_wire2pkt(&pkt, q, n), LDNS_STATUS_OK);
    ck_assert_int_eq(ldns_pkt_tsig_sign(pkt, "Xfr.Test.", SECRET, 300, "hmac-sha256.", NULL),
                     LDNS_STATUS_OK);
    ck_assert_int_eq(ldns_pkt2wire(&wire, pkt, &n), LDNS_STATUS_OK);
    ck_assert_int_eq(check(keys, wire, n, (int64_t)time(NULL), &s), 0);
    free(wire);
    ldns_pkt_free(pkt);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

static struct topology *transferable(void)
{
    return fixture_parse(
        "version: 7\ndomain: example.io\nregions:\n"
        "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
        "name_servers: [eus-1.eastus]\nregistries: [{ name: contoso, replicas: [{ region: eastus "
        "}] }]\n"
        "transfer: { tsig_keys: [xfr.test], allow: [192.0.2.0/24] }\n");
}

static bool verifies(const char *key, const uint8_t *response, size_t n, const uint8_t *mac,
                     size_t mac_n)
{
    ldns_pkt *pkt = NULL;
    uint8_t wire[2 + TSIG_MAC_MAX] = {0, (uint8_t)mac_n};
    memcpy(wire + 2, mac, mac_n);
    ldns_rdf *rdf = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, 2 + mac_n, wire);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, response, n), LDNS_STATUS_OK);
    bool ok = ldns_pkt_tsig_verify(pkt, response, n, key, SECRET, rdf);
    ldns_rdf_deep_free(rdf);
    ldns_pkt_free(pkt);
    return ok;
}

// The response to a signed query verifies with ldns, which is given the query's MAC.
START_TEST(test_answers_are_signed)
{
    struct tsig_keys *keys = one_key("hmac-sha256");
    struct topology *t = transferable();
    int64_t now_s = (int64_t)time(NULL);
    for (int transport = ANSWER_UDP; transport <= ANSWER_TCP; transport++) {
        const struct answer_context c = {.topology = t,
                                         .transport = (enum answer_transport)transport,
                                         .source = fixture_ip("192.0.2.99"),
                                         .tsig_keys = keys,
                                         .now_s = now_s};
        uint8_t q[1232], out[1232];
        struct tsig s;
        struct answer_info info;
        ldns_pkt *pkt = NULL;
        size_t n = signed_query(q, sizeof q, keys->keys[0], now_s, &s);
        n = answer_packet(&c, q, n, out, sizeof out, &info);
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
        ck_assert_int_eq(ldns_pkt_get_rcode(pkt), 0);
        ck_assert_uint_eq(ldns_pkt_ancount(pkt), 1);
        ck_assert_ptr_nonnull(ldns_pkt_tsig(pkt));
        ck_assert(verifies("xfr.test.", out, n, s.mac, s.mac_n));
        ldns_pkt_free(pkt);
    }
    snapshot_unref(t);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

// Over TLS, padded: the whole of it, TSIG included, and good; also where only the error is told.
START_TEST(test_padded_answers_count_their_signature)
{
    struct tsig_keys *keys = one_key("hmac-sha256");
    struct topology *t = transferable();
    int64_t now_s = (int64_t)time(NULL);
    const struct answer_context c = {.topology = t,
                                     .transport = ANSWER_TLS,
                                     .source = fixture_ip("192.0.2.99"),
                                     .tsig_keys = keys,
                                     .now_s = now_s};
    for (int bad = 0; bad < 2; bad++) {
        uint8_t q[1232], out[4096];
        struct tsig s;
        struct answer_info info;
        size_t n = fixture_query(q, "fe.example.io", T_SOA, 1232);
        q[n - 1] = 4;
        memcpy(q + n, "\0\14\0\0", 4);
        tsig_begin(keys->keys[0], 0x1234, &s);
        n = tsig_sign(&s, q, n + 4, sizeof q, now_s - bad * 4000);
        n = answer_packet(&c, q, n, out, sizeof out, &info);
        ck_assert_uint_eq(n % 468, 0);
        ck_assert_int_eq(info.rcode, bad ? DNS_NOTAUTH : 0);
        ck_assert(bad || verifies("xfr.test.", out, n, s.mac, s.mac_n));
        ldns_pkt *pkt = NULL;
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
        ck_assert_ptr_nonnull(ldns_pkt_tsig(pkt));
        ldns_pkt_free(pkt);
    }
    // In the clear nothing is padded, errors neither.
    uint8_t q[1232], out[4096];
    struct tsig s;
    struct answer_info info;
    size_t n = fixture_query(q, "fe.example.io", T_SOA, 1232);
    q[n - 1] = 4;
    memcpy(q + n, "\0\14\0\0", 4);
    tsig_begin(keys->keys[0], 0x1234, &s);
    n = tsig_sign(&s, q, n + 4, sizeof q, now_s - 4000);
    struct answer_context clear = c;
    clear.transport = ANSWER_TCP;
    ck_assert_uint_lt(answer_packet(&clear, q, n, out, sizeof out, &info), 300);
    snapshot_unref(t);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

// Returns the error field of the TSIG in the response, -1 without one.
static int answer_error(const struct topology *t, const struct tsig_keys *keys, const uint8_t *q,
                        size_t n, int64_t now_s, int *rcode, bool *has_mac)
{
    uint8_t out[1232];
    struct answer_info info;
    ldns_pkt *pkt = NULL;
    const struct answer_context c = {.topology = t,
                                     .transport = ANSWER_UDP,
                                     .source = fixture_ip("192.0.2.99"),
                                     .tsig_keys = keys,
                                     .now_s = now_s};
    size_t got = answer_packet(&c, q, n, out, sizeof out, &info);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, out, got), LDNS_STATUS_OK);
    *rcode = ldns_pkt_get_rcode(pkt);
    ck_assert_int_eq(*rcode, info.rcode);
    const ldns_rr *rr = ldns_pkt_tsig(pkt);
    int error = rr ? ldns_rdf2native_int16(ldns_rr_rdf(rr, 5)) : -1;
    *has_mac = rr && ldns_rdf_size(ldns_rr_rdf(rr, 3)) > 2;
    ldns_pkt_free(pkt);
    return error;
}

START_TEST(test_what_is_wrong_is_said)
{
    struct tsig_keys *keys = one_key("hmac-sha256");
    struct topology *t = transferable();
    struct tsig_key *stranger, *forged;
    struct tsig s;
    uint8_t q[1232];
    int rcode;
    bool mac;
    const char *text = "hmac-sha256:stranger:" SECRET, *wrong = "hmac-sha256:xfr.test:" OTHER;
    ck_assert_int_eq(tsig_key_parse(text, strlen(text), "stranger", &stranger), 0);
    ck_assert_int_eq(tsig_key_parse(wrong, strlen(wrong), "xfr.test", &forged), 0);

    size_t n = signed_query(q, sizeof q, stranger, 1700000000, &s);
    ck_assert_int_eq(answer_error(t, keys, q, n, 1700000000, &rcode, &mac), TSIG_BADKEY);
    ck_assert(rcode == DNS_NOTAUTH && !mac);
    ck_assert_int_eq(answer_error(t, NULL, q, n, 1700000000, &rcode, &mac), TSIG_BADKEY);
    n = signed_query(q, sizeof q, forged, 1700000000, &s);
    ck_assert_int_eq(answer_error(t, keys, q, n, 1700000000, &rcode, &mac), TSIG_BADSIG);
    ck_assert(rcode == DNS_NOTAUTH && !mac);
    n = signed_query(q, sizeof q, keys->keys[0], 1700000000, &s);
    ck_assert_int_eq(answer_error(t, keys, q, n, 1700000301, &rcode, &mac), TSIG_BADTIME);
    ck_assert(rcode == DNS_NOTAUTH && mac); // signed: so the client can believe it
    ck_assert_int_eq(answer_error(t, keys, q, n, 1699999699, &rcode, &mac), TSIG_BADTIME);
    ck_assert_int_eq(answer_error(t, keys, q, n, 1700000000, &rcode, &mac), 0);
    ck_assert(rcode == 0 && mac);

    // a shortened MAC: below half is no TSIG, above it is not ours to take
    static const struct {
        size_t cut;
        int rcode, error;
    } cuts[] = {{8, DNS_NOTAUTH, TSIG_BADTRUNC},
                {16, DNS_NOTAUTH, TSIG_BADTRUNC},
                {17, DNS_FORMERR, -1},
                {32, DNS_FORMERR, -1}};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        uint8_t p[1232];
        // id, error and length of other data follow the MAC
        size_t cut = cuts[i].cut, at = n - 6 - 32;
        memcpy(p, q, at + 32 - cut);
        memcpy(p + at + 32 - cut, q + n - 6, 6);
        p[at - 1] = (uint8_t)(32 - cut);
        size_t rdata_n_at = at - 2 - 8 - 13 - 2;
        p[rdata_n_at + 1] = (uint8_t)(p[rdata_n_at + 1] - cut);
        ck_assert_int_eq(answer_error(t, keys, p, n - cut, 1700000000, &rcode, &mac),
                         cuts[i].error);
        ck_assert_int_eq(rcode, cuts[i].rcode);
        // sections 5.2 and 5.3.2: the MAC is judged, so signed
        ck_assert_int_eq(mac, cuts[i].error == TSIG_BADTRUNC);
        if (cuts[i].rcode != DNS_NOTAUTH)
            continue;
        ck_assert_int_eq(answer_error(t, keys, p, n - cut, 1700000301, &rcode, &mac), TSIG_BADTIME);
        p[at] ^= 1;
        ck_assert_int_eq(answer_error(t, keys, p, n - cut, 1700000000, &rcode, &mac), TSIG_BADSIG);
        ck_assert(!mac);
    }
    tsig_key_free(stranger);
    tsig_key_free(forged);
    snapshot_unref(t);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

// RFC 8945 section 5.2.3: time and fudge of a BADTIME are the client's, so that the client can
// verify it.
START_TEST(test_a_client_out_of_time_gets_its_own_time_and_fudge)
{
    struct tsig_keys *keys = one_key("hmac-sha256");
    struct topology *t = transferable();
    ldns_pkt *pkt = NULL;
    uint8_t *wire = NULL, q[512], out[1232];
    size_t n = fixture_query(q, "fe.example.io", T_SOA, -1);
    struct answer_info info;
    ck_assert_int_eq(ldns_wire2pkt(&pkt, q, n), LDNS_STATUS_OK);
    ck_assert_int_eq(ldns_pkt_tsig_sign(pkt, "xfr.test.", SECRET, 77, "hmac-sha256.", NULL),
                     LDNS_STATUS_OK);
    ck_assert_int_eq(ldns_pkt2wire(&wire, pkt, &n), LDNS_STATUS_OK);
    uint32_t signed_s = ldns_read_uint32(ldns_rdf_data(ldns_rr_rdf(ldns_pkt_tsig(pkt), 1)) + 2);
    const struct answer_context c = {.topology = t,
                                     .transport = ANSWER_UDP,
                                     .source = fixture_ip("192.0.2.99"),
                                     .tsig_keys = keys,
                                     .now_s = (int64_t)signed_s + 78};
    size_t got = answer_packet(&c, wire, n, out, sizeof out, &info);
    const ldns_rdf *mac = ldns_rr_rdf(ldns_pkt_tsig(pkt), 3);
    ck_assert(verifies("xfr.test.", out, got, ldns_rdf_data(mac) + 2, ldns_rdf_size(mac) - 2));
    ldns_pkt_free(pkt);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, out, got), LDNS_STATUS_OK);
    const ldns_rr *rr = ldns_pkt_tsig(pkt);
    ck_assert_int_eq(ldns_rdf2native_int16(ldns_rr_rdf(rr, 5)), TSIG_BADTIME);
    ck_assert_uint_eq(ldns_read_uint32(ldns_rdf_data(ldns_rr_rdf(rr, 1)) + 2), signed_s);
    ck_assert_int_eq(ldns_rdf2native_int16(ldns_rr_rdf(rr, 2)), 77);
    ldns_pkt_free(pkt);
    free(wire);
    snapshot_unref(t);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

// Who passes a signed query on may give it another id; back at the client it has the first one,
// which was signed.
START_TEST(test_the_first_id_is_signed)
{
    struct tsig_keys *keys = one_key("hmac-sha256");
    struct topology *t = transferable();
    int64_t now_s = (int64_t)time(NULL);
    uint8_t q[1232], out[1232];
    struct tsig s;
    struct answer_info info;
    const struct answer_context c = {.topology = t,
                                     .transport = ANSWER_UDP,
                                     .source = fixture_ip("192.0.2.99"),
                                     .tsig_keys = keys,
                                     .now_s = now_s};
    size_t n = signed_query(q, sizeof q, keys->keys[0], now_s, &s);
    memcpy(q, "\x43\x21", 2);
    n = answer_packet(&c, q, n, out, sizeof out, &info);
    ck_assert_int_eq(info.rcode, 0);
    ck_assert(!memcmp(out, "\x43\x21", 2));
    memcpy(out, "\x12\x34", 2);
    ck_assert(verifies("xfr.test.", out, n, s.mac, s.mac_n));
    snapshot_unref(t);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

// What a rate limit makes of an answer to a bad signature is a message, question and all.
START_TEST(test_a_bad_signature_can_be_slipped)
{
    struct topology *t = transferable();
    struct tsig_keys *keys = one_key("hmac-sha256");
    uint8_t q[1232], out[1232];
    struct tsig s;
    struct answer_info info;
    ldns_pkt *pkt = NULL;
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_UDP, .source = fixture_ip("192.0.2.99")};
    size_t n = signed_query(q, sizeof q, keys->keys[0], 1700000000, &s);
    ck_assert_uint_gt(answer_packet(&c, q, n, out, sizeof out, &info), 0);
    ck_assert_int_eq(info.rcode, DNS_NOTAUTH);
    n = rrl_slip(out, &info);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
    ck_assert_uint_eq(ldns_pkt_qdcount(pkt), 1);
    ck_assert_int_eq(ldns_pkt_edns(pkt), 1);
    ck_assert_int_eq(ldns_pkt_tc(pkt), 1);
    ldns_pkt_free(pkt);
    snapshot_unref(t);
    snapshot_unref(keys);
    dir_remove_tree(dir);
}
END_TEST

START_TEST(test_key_files)
{
    static const char *const names[] = {"good", "none",  "open", "short", "alien",
                                        "md5",  "words", "b64",  "pipe"};
    make_dir();
    write_key("good", "hmac-sha512:good:" SECRET, 0600);
    write_key("open", "hmac-sha256:open:" SECRET, 0640);
    write_key("short", "hmac-sha256:short:MDEyMw==", 0600);
    write_key("alien", "hmac-sha256:other:" SECRET, 0600);
    write_key("md5", "hmac-md5:md5:" SECRET, 0600);
    write_key("words", "a secret", 0600);
    write_key("b64", "hmac-sha256:b64:!!!!", 0600);
    char pipe_path[300]; // nobody waits for who would write to it
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe.key", dir);
    ck_assert_int_eq(mkfifo(pipe_path, 0600), 0);
    struct tsig_keys *k = load(names, 9, 8);
    ck_assert_ptr_nonnull(tsig_key_find(k, "good"));
    for (size_t i = 1; i < 9; i++)
        ck_assert_ptr_null(tsig_key_find(k, names[i]));
    snapshot_unref(k);
    dir_remove_tree(dir);
}
END_TEST

// A key with a long name, questions with longer and longer ones, 512 octets for the answer.
START_TEST(test_where_there_is_no_room_it_is_said_and_signed)
{
    char key_name[250], text[400], name[256] = "";
    struct tsig_key *key;
    struct topology *t = transferable();
    unsigned n_whole = 0, n_no_answer = 0, n_no_opt = 0, n_no_question = 0;
    for (size_t i = 0; i < sizeof key_name - 1; i++)
        key_name[i] = i % 50 == 49 ? '.' : 'k';
    key_name[sizeof key_name - 1] = 0;
    snprintf(text, sizeof text, "hmac-sha256:%s:" SECRET, key_name);
    ck_assert_int_eq(tsig_key_parse(text, strlen(text), key_name, &key), 0);
    struct tsig_key *const list[] = {key};
    struct tsig_keys keys = {.n = 1, .keys = list};
    for (size_t len = 1; len < 240; len++) {
        uint8_t q[1232], out[512];
        struct tsig s;
        struct answer_info info;
        ldns_pkt *pkt = NULL;
        struct answer_context c = {
            .topology = t, .source = fixture_ip("192.0.2.99"), .tsig_keys = &keys};
        for (size_t i = 0; i < len; i++)
            name[i] = i % 50 == 49 && i + 1 < len ? '.' : 'a';
        strcpy(name + len, ".example.io");
        size_t n = fixture_query(q, name, T_A, 512);
        c.now_s = 1700000000;
        tsig_begin(key, 0x1234, &s);
        n = tsig_sign(&s, q, n, sizeof q, c.now_s);
        ck_assert_uint_gt(n, 0);
        size_t got = answer_packet(&c, q, n, out, sizeof out, &info);
        ck_assert_msg(got > 0 && info.rcode != DNS_DROP, "%zu: not answered", len);
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, got), LDNS_STATUS_OK);
        bool question = ldns_pkt_qdcount(pkt) == 1, opt = ldns_pkt_edns(pkt),
             soa = ldns_pkt_nscount(pkt) == 1;
        ck_assert_int_eq(ldns_pkt_tc(pkt), !soa);
        ck_assert_int_eq(info.truncated, !soa);
        ck_assert(soa ? info.rcode == DNS_NXDOMAIN : opt || info.rcode == DNS_NOERROR);
        ck_assert_uint_eq(info.question_n, question ? strlen(name) + 2 + 4 : 0);
        ck_assert((question || !opt) && (opt || !soa)); // left out in that order
        *(soa ? &n_whole : opt ? &n_no_answer : question ? &n_no_opt : &n_no_question) += 1;
        ck_assert_msg(verifies(key_name, out, got, s.mac, s.mac_n), "%zu", len);
        ldns_pkt_free(pkt);
        c.now_s += 1000; // and to a client out of time
        ck_assert_uint_gt(answer_packet(&c, q, n, out, sizeof out, &info), 0);
        ck_assert_int_eq(info.rcode, DNS_NOTAUTH);
    }
    ck_assert(n_whole && n_no_answer && n_no_opt && n_no_question);
    // no such key, and the algorithm's name is as long
    for (int longest = 0; longest < 2; longest++) {
        uint8_t q[1232], out[512];
        struct answer_info info;
        struct answer_context c = {
            .topology = t, .source = fixture_ip("192.0.2.99"), .tsig_keys = &keys};
        size_t n = fixture_query(q, "example.io", T_A, 512);
        struct tsig s = {.original_id = 0x1234};
        s.name_n = s.algorithm_n = dns_name_from_text(longest ? key_name : key_name + 50, s.name);
        memcpy(s.algorithm, s.name, s.name_n);
        n = tsig_sign(&s, q, n, sizeof q, 1700000000);
        ck_assert_uint_gt(n, 0);
        ck_assert_int_eq(answer_packet(&c, q, n, out, sizeof out, &info) > 0, !longest);
        ck_assert_int_eq(info.rcode, longest ? DNS_DROP : DNS_NOTAUTH);
    }
    tsig_key_free(key);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/tsig", test_round_trip_in_every_algorithm, test_ldns_signs_and_we_check,
           test_answers_are_signed, test_padded_answers_count_their_signature,
           test_what_is_wrong_is_said, test_a_client_out_of_time_gets_its_own_time_and_fudge,
           test_the_first_id_is_signed, test_a_bad_signature_can_be_slipped, test_key_files,
           test_where_there_is_no_room_it_is_said_and_signed)
