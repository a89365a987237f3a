// SPDX-License-Identifier: Apache-2.0
// resolver/cookies: the vectors of RFC 9018 appendix A, times, secrets and their files, and what
// answers make of them.
#include "resolver/packet/cookies.h"

#include "base/err.h"
#include "base/mem.h"
#include "resolver/answer/answer.h"
#include "resolver/serve/secret_reload.h"
#include "tests/support/check_main.h"
#include "tests/support/said.h"
#include "tests/unit/resolver/fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t unhex(const char *s, uint8_t *out)
{
    size_t n = strlen(s) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        ck_assert_int_eq(sscanf(s + 2 * i, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
    return n;
}

static struct cookies *parse(const char *text)
{
    struct cookies *c = NULL;
    ck_assert_int_eq(cookies_parse(bytes_str(text), "test", NULL, &c), 0);
    return c;
}

static bool check(const struct cookies *c, const char *cookie, const char *ip, int64_t now_s,
                  const char *want)
{
    uint8_t in[64], out[EDNS_COOKIE_BYTES], expect[64];
    struct ip client = fixture_ip(ip);
    struct dns_query q = {.edns = true, .cookie = in, .cookie_n = (uint8_t)unhex(cookie, in)};
    bool valid = cookies_check(c, &q, &client, now_s, out);
    if (want) {
        ck_assert_uint_eq(unhex(want, expect), sizeof out);
        ck_assert_msg(!memcmp(out, expect, sizeof out), "%s at %lld", cookie, (long long)now_s);
    }
    return valid;
}

#define SECRET "e5e973e5a6b2a43f48e7dc849e37bfcf"

START_TEST(vectors_of_rfc_9018)
{
    struct cookies *c = parse(SECRET "\n");
    ck_assert(!check(c, "2464c4abcf10c957", "198.51.100.100", 1559731985,
                     "2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
    ck_assert(check(c, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "198.51.100.100",
                    1559734385, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
    // A.3: reserved octets are hashed as they came (the appendix's own times are further apart than
    // section 4.3 allows)
    ck_assert(check(c, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "203.0.113.203",
                    1559727985 + 60, NULL));
    ck_assert(!check(c, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "203.0.113.203",
                     1559734700, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"));
    snapshot_unref(c);
    c = parse(
        "445536bcd2513298075a5d379663c962\n# the one before\ndd3bdf9344b678b185a6f5cb60fca715");
    ck_assert(check(c, "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                    "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961,
                    "22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
    snapshot_unref(c);
}
END_TEST

START_TEST(cookies_are_good_for_their_time_and_address_only)
{
    struct cookies *c = parse(SECRET);
    static const char *const cookie = "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                             *const ip = "198.51.100.100";
    int64_t made = 1559731985;
    ck_assert(check(c, cookie, ip, made, cookie));
    // the same comes back while it is fresh
    ck_assert(check(c, cookie, ip, made + COOKIE_FRESH_S, cookie));
    ck_assert(check(c, cookie, ip, made + COOKIE_LIFE_S, NULL));
    ck_assert(!check(c, cookie, ip, made + COOKIE_LIFE_S + 1, NULL));
    ck_assert(check(c, cookie, ip, made - COOKIE_FUTURE_S, NULL));
    ck_assert(!check(c, cookie, ip, made - COOKIE_FUTURE_S - 1, NULL));
    ck_assert(!check(c, cookie, "198.51.100.101", made, NULL));
    ck_assert(!check(c, "2464c4abcf10c958010000005cf79f111f8130c3eee29480", ip, made, NULL));
    // a version of the future
    ck_assert(!check(c, "2464c4abcf10c957020000005cf79f111f8130c3eee29480", ip, made, NULL));
    ck_assert(!check(c, "2464c4abcf10c957010000005cf79f111f8130c3eee29481", ip, made, NULL));
    // another server's form
    ck_assert(!check(c, "2464c4abcf10c957010000005cf79f111f8130c3eee2948000", ip, made, NULL));
    ck_assert(!check(c, "2464c4abcf10c957010000005cf79f11", ip, made, NULL));
    uint8_t out[EDNS_COOKIE_BYTES], again[EDNS_COOKIE_BYTES]; // in 2106 the time begins anew
    struct ip client = fixture_ip(ip);
    struct dns_query q = {.cookie = out, .cookie_n = 8};
    memset(out, 1, 8);
    cookies_check(c, &q, &client, 0xfffffff0, again);
    q = (struct dns_query){.cookie = again, .cookie_n = sizeof again};
    ck_assert(cookies_check(c, &q, &client, 0x100000010, out));
    snapshot_unref(c);
}
END_TEST

START_TEST(secrets_in_files)
{
    static const char *const bad[] = {"",
                                      "\n# nothing\n",
                                      "e5e973e5",
                                      SECRET "00",
                                      SECRET "\n" SECRET "\n" SECRET "\n",
                                      "e5e973e5a6b2a43f48e7dc849e37bfcg",
                                      SECRET " " SECRET};
    struct cookies *c;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct diag d;
        diag_init(&d);
        ck_assert_int_eq(cookies_parse(bytes_str(bad[i]), "file", &d, &c), ERR_INVAL);
        ck_assert_uint_eq(diag_count(&d), 1);
        AUTO_FREE char *text = diag_text(&d);
        ck_assert_msg(!strstr(text, "e5e973"), "a secret in a message: %s", text);
        diag_done(&d);
    }
    char path[] = "/tmp/cookie-secret-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, SECRET "\r\n", 34), 34);
    close(fd);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(cookies_load(path, NULL, &c), ERR_DENIED);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(cookies_load(path, NULL, &c), 0);
    ck_assert_uint_eq(c->n, 1);
    snapshot_unref(c);
    unlink(path);
    ck_assert_int_eq(cookies_load(path, NULL, &c), ERR_NOTFOUND);
    struct cookies *other;
    ck_assert_int_eq(cookies_new_random(&c), 0);
    ck_assert_int_eq(cookies_new_random(&other), 0);
    ck_assert(c->secrets[0].k0 != other->secrets[0].k0);
    snapshot_unref(c);
    snapshot_unref(other);
}
END_TEST

static uint64_t secret_in_force(struct secret_reload *u)
{
    struct cookies *c = snapshot_get(secret_reload_cookies(u));
    uint64_t k = c->secrets[0].k0;
    snapshot_unref(c);
    return k;
}

static void write_secret(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void wait_secret(struct secret_reload *u, bool changed, uint64_t from)
{
    for (int i = 0; i < 1000 && (secret_in_force(u) != from) != changed; i++)
        usleep(10000);
    ck_assert_int_eq(secret_in_force(u) != from, changed);
}

START_TEST(a_changed_file_is_read_again_a_broken_one_is_not)
{
    char path[] = "/tmp/cookie-secret-XXXXXX";
    close(mkstemp(path));
    struct node_dns s;
    struct secret_reload *u;
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.cookies.secret = path;
    ck_assert_int_eq(secret_reload_start(&s, NULL, 20, NULL, &u), ERR_INVAL); // empty: not started
    write_secret(path, SECRET "\n");
    ck_assert_int_eq(secret_reload_start(&s, NULL, 20, NULL, &u), 0);
    uint64_t first = secret_in_force(u);
    write_secret(path, "445536bcd2513298075a5d379663c962\n" SECRET "\n");
    wait_secret(u, true, first);
    uint64_t second = secret_in_force(u);
    said_begin();
    write_secret(path, "no secret\n");
    said_wait("the cookie secret stays as it was");
    ck_assert(secret_in_force(u) == second);
    write_secret(path, SECRET "\n");
    wait_secret(u, true, second);
    ck_assert(secret_in_force(u) == first);
    secret_reload_stop(u);
    unlink(path);
}
END_TEST

static void read_once_there_are_more_than(rlim_t descriptors)
{
    char path[] = "/tmp/cookie-secret-XXXXXX", next[64];
    struct node_dns s;
    struct secret_reload *u;
    struct rlimit all, few;
    close(mkstemp(path));
    snprintf(next, sizeof next, "%s.new", path);
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.cookies.secret = path;
    write_secret(path, SECRET "\n");
    write_secret(next, "445536bcd2513298075a5d379663c962\n");
    ck_assert_int_eq(chmod(next, 0600), 0);
    ck_assert_int_eq(secret_reload_start(&s, NULL, 20, NULL, &u), 0);
    uint64_t first = secret_in_force(u);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = all;
    few.rlim_cur = descriptors;
    said_begin();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    ck_assert_int_eq(rename(next, path), 0);
    said_wait("the cookie secret stays as it was");
    ck_assert(secret_in_force(u) == first);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
    wait_secret(u, true, first);
    secret_reload_stop(u);
    unlink(path);
}

// For want of descriptors nothing can be read: that is no property of the file, which is read once
// there are some.
START_TEST(a_file_that_could_not_be_opened_is_tried_again)
{
    read_once_there_are_more_than(3);
    read_once_there_are_more_than(0); // not even a wait is possible
}
END_TEST

// A query with a cookie option, or without a question; the answer's cookie, if it has one, into
// *out.
static size_t ask(struct answer_context *c, bool question, const uint8_t *cookie, size_t n_cookie,
                  struct answer_info *info, uint8_t *out)
{
    uint8_t q[512], a[1232];
    size_t n = fixture_query(q, "contoso.eastus.geo.example.io", T_A, 1232);
    if (!question) { // header and OPT
        memmove(q + 12, q + n - DNS_OPT_BYTES, DNS_OPT_BYTES);
        n = 12 + DNS_OPT_BYTES;
        q[5] = 0;
    }
    q[n - 1] = (uint8_t)(4 + n_cookie);
    memcpy(q + n, (uint8_t[]){0, 10, 0, (uint8_t)n_cookie}, 4);
    memcpy(q + n + 4, cookie, n_cookie);
    size_t got = answer_packet(c, q, n + 4 + n_cookie, a, sizeof a, info);
    ldns_pkt *pkt = NULL;
    ck_assert_int_eq(ldns_wire2pkt(&pkt, a, got), LDNS_STATUS_OK);
    ldns_pkt_free(pkt);
    uint8_t *p = memmem(a, got, (uint8_t[]){0, 10, 0, 24}, 4);
    if (!p)
        return 0;
    ck_assert_int_eq(memcmp(p + 4, cookie, 8), 0);
    memcpy(out, p + 4, 24);
    return 24;
}

START_TEST(answers_bring_cookies_and_know_them_again)
{
    struct topology *t = fixture_topology();
    struct cookies *k = parse(SECRET);
    struct answer_context c = {
        .topology = t, .source = fixture_ip("192.0.2.99"), .cookies = k, .now_s = 1600000000};
    struct answer_info info;
    uint8_t mine[24] = "abcdefgh", back[24];
    ck_assert_uint_eq(ask(&c, true, mine, 8, &info, mine), 24);
    ck_assert(!info.cookie_valid && info.rcode == DNS_NOERROR);
    ck_assert_uint_eq(ask(&c, true, mine, 24, &info, back), 24);
    ck_assert(info.cookie_valid && info.rcode == DNS_NOERROR);
    ck_assert_int_eq(memcmp(mine, back, 24), 0);
    c.source = fixture_ip("192.0.2.98"); // a bad one is as good as none, and replaced
    ck_assert_uint_eq(ask(&c, true, mine, 24, &info, back), 24);
    ck_assert(!info.cookie_valid && info.rcode == DNS_NOERROR);
    ck_assert_int_ne(memcmp(mine, back, 24), 0);
    ck_assert_uint_eq(ask(&c, true, mine, 9, &info, back), 0); // no such length
    ck_assert_int_eq(info.rcode, DNS_FORMERR);
    c.cookies = NULL;
    ck_assert_uint_eq(ask(&c, true, mine, 24, &info, back), 0);
    ck_assert_int_eq(info.rcode, DNS_NOERROR);
    snapshot_unref(k);
    snapshot_unref(t);
}
END_TEST

START_TEST(where_cookies_are_required)
{
    struct topology *t = fixture_topology();
    struct cookies *k = parse(SECRET);
    k->required = true;
    struct answer_context c = {
        .topology = t, .source = fixture_ip("192.0.2.99"), .cookies = k, .now_s = 1600000000};
    struct fixture_answer a;
    struct answer_info info;
    uint8_t mine[24] = "abcdefgh", back[24];
    ck_assert_uint_eq(ask(&c, true, mine, 8, &info, mine), 24);
    ck_assert_int_eq(info.rcode, DNS_BADCOOKIE);
    ck_assert_uint_eq(ask(&c, true, mine, 24, &info, back), 24);
    ck_assert_int_eq(info.rcode, DNS_NOERROR);
    mine[20] ^= 1;
    ask(&c, true, mine, 24, &info, back);
    ck_assert_int_eq(info.rcode, DNS_BADCOOKIE);
    c.transport = ANSWER_TCP; // where the address is sure
    ask(&c, true, mine, 24, &info, back);
    ck_assert_int_eq(info.rcode, DNS_NOERROR);
    c.transport = ANSWER_UDP; // who does not know cookies is served
    fixture_ask(&c, "contoso.example.io", T_A, 1232, &a);
    ck_assert_int_eq(a.info.rcode, DNS_NOERROR);
    fixture_answer_done(&a);
    snapshot_unref(k);
    snapshot_unref(t);
}
END_TEST

START_TEST(without_a_question_only_the_cookie_is_asked_for)
{
    struct topology *t = fixture_topology();
    struct cookies *k = parse(SECRET);
    struct answer_context c = {
        .topology = t, .source = fixture_ip("192.0.2.99"), .cookies = k, .now_s = 1600000000};
    struct answer_info info;
    uint8_t mine[24] = "abcdefgh", back[24];
    ck_assert_uint_eq(ask(&c, false, mine, 8, &info, mine), 24);
    ck_assert_int_eq(info.rcode, DNS_NOERROR);
    ck_assert_uint_eq(ask(&c, false, mine, 24, &info, back), 24);
    ck_assert_int_eq(info.rcode, DNS_NOERROR);
    mine[23] ^= 1;
    ck_assert_uint_eq(ask(&c, false, mine, 24, &info, back), 24);
    ck_assert_int_eq(info.rcode, DNS_BADCOOKIE);
    c.cookies = NULL;
    ck_assert_uint_eq(ask(&c, false, mine, 8, &info, back), 0);
    ck_assert_int_eq(info.rcode, DNS_FORMERR);
    snapshot_unref(k);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/cookies", vectors_of_rfc_9018,
           cookies_are_good_for_their_time_and_address_only, secrets_in_files,
           a_changed_file_is_read_again_a_broken_one_is_not,
           a_file_that_could_not_be_opened_is_tried_again,
           answers_bring_cookies_and_know_them_again, where_cookies_are_required,
           without_a_question_only_the_cookie_is_asked_for)
