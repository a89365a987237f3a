// SPDX-License-Identifier: Apache-2.0
// net/outbound: URLs, judged addresses, redirects, proxies, bounds; against small servers of our
// own, with names that the test resolves.
#include "net/outbound_test.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/support/https_toy.h"

#include <stdio.h>
#include <string.h>

static char dir[64], ca[100], leaf[100];
static struct outbound *o;
static struct cidr allow[4];
static struct outbound_options options;
static struct ip owned;

// --- names ---

static _Atomic int n_resolved;
static _Atomic bool resolver_hangs;

static void address_add(struct outbound_addresses *to, const char *text)
{
    ck_assert_int_eq(ip_parse(text, &to->ip[to->n++]), 0);
}

static int resolve(const char *host, struct outbound_addresses *out)
{
    static const struct {
        const char *host, *first, *second;
    } table[] = {
        {"good.test", "127.0.0.1", NULL},
        {"other.test", "127.0.0.1", NULL},
        {"inside.test", "10.1.2.3", NULL},
        {"meta.test", "169.254.169.254", NULL},
        {"mixed.test", "127.0.0.1", "10.0.0.1"},
        {"deaf.test", "127.0.0.2", "127.0.0.1"},
        {"six.test", "::1", NULL},
    };
    int n = atomic_fetch_add(&n_resolved, 1);
    for (int i = 0; atomic_load(&resolver_hangs) && i < 1000; i++)
        clock_sleep_ms(5);
    if (!strcmp(host, "rebind.test")) { // safe for the first who asks
        address_add(out, n == 0 ? "127.0.0.1" : "10.0.0.1");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(host, table[i].host))
            continue;
        address_add(out, table[i].first);
        if (table[i].second)
            address_add(out, table[i].second);
        return 0;
    }
    return ERR_NOTFOUND;
}

static bool owns(void *ctx, const struct ip *ip)
{
    (void)ctx;
    return ip_equal(ip, &owned);
}

static bool owns_name(void *ctx, const char *name)
{
    (void)ctx;
    return !strcmp(name, "contoso.meridian.test");
}

static void guard_up(const char *const *allowed, size_t n)
{
    options.allow = allow;
    options.n_allow = n;
    options.owns_address = owns;
    options.owns_name = owns_name;
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(cidr_parse(allowed[i], &allow[i]), 0);
    ck_assert_int_eq(outbound_new(&options, &o), 0);
    outbound_test_resolver(resolve);
}

static void up(void)
{
    static const char *const allowed[] = {"127.0.0.1", "127.0.0.2", "::1"};
    snprintf(dir, sizeof dir, "/tmp/mer-outbound-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    tls_make_ca(dir, "ca", ca, sizeof ca);
    tls_make_leaf(dir, "ca", "leaf",
                  "DNS:good.test,DNS:other.test,DNS:rebind.test,DNS:deaf.test,DNS:mixed.test,DNS:"
                  "six.test,IP:::1",
                  leaf, sizeof leaf);
    guard_up(allowed, 3);
}

static void down(void)
{
    outbound_free(o);
    outbound_test_resolver(NULL);
    dir_remove_tree(dir);
}

// --- URLs ---

START_TEST(urls_are_read_in_one_way_or_not_at_all)
{
    static const struct {
        const char *text, *host, *url;
        uint16_t port;
    } good[] = {
        {"https://a.test", "a.test", "https://a.test/", 443},
        {"HTTPS://A.Test:443/x?y=1#z", "a.test", "https://a.test/x?y=1", 443},
        {"https://a.test:8443?q", "a.test", "https://a.test:8443/?q", 8443},
        {"https://[2001:DB8:0::1]/", "2001:db8::1", "https://[2001:db8::1]/", 443},
        {"https://[::ffff:127.0.0.1]/", "127.0.0.1", "https://127.0.0.1/", 443},
        {"https://192.0.2.1:1/", "192.0.2.1", "https://192.0.2.1:1/", 1},
        {"https://a_b-c.test/..%2f", "a_b-c.test", "https://a_b-c.test/..%2f", 443},
    };
    static const char *const bad[] = {"",
                                      "https://",
                                      "http://a.test/",
                                      "ftp://a.test/",
                                      "//a.test/",
                                      "https:/a.test",
                                      "https://u@a.test/",
                                      "https://u:p@a.test/",
                                      "https://a.test@b.test/",
                                      "https://a.test\\@b.test/",
                                      "https://a.test:/",
                                      "https://a.test:0/",
                                      "https://a.test:65536/",
                                      "https://a.test:443x/",
                                      "https://a.test:+1/",
                                      "https://a..test/",
                                      "https://.test/",
                                      "https://a.test./",
                                      "https://-a.test/",
                                      "https://a b.test/",
                                      "https://a.test/\r\nX: y",
                                      "https://127.1/",
                                      "https://0x7f000001/",
                                      "https://2130706433/",
                                      "https://0177.0.0.1/",
                                      "https://127.0.0.1.2/",
                                      "https://a.0x7f/",
                                      "https://[::1/",
                                      "https://[::1]x/",
                                      "https://[127.0.0.1]/",
                                      "https://::1/",
                                      "https://[fe80::1%25eth0]/",
                                      "https://[a.test]/",
                                      "https://%6c.test/",
                                      "https://\xc3\xa4.test/",
                                      "https://a.test%00/"};
    struct outbound_url u;
    const char *why;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_msg(!outbound_url_parse(good[i].text, &u, &why), "%s", good[i].text);
        ck_assert_str_eq(u.host, good[i].host);
        ck_assert_str_eq(u.text, good[i].url);
        ck_assert_uint_eq(u.port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why = NULL;
        ck_assert_msg(outbound_url_parse(bad[i], &u, &why) == ERR_INVAL && why, "%s", bad[i]);
    }
    AUTO_FREE char *longest = mem_zalloc(OUTBOUND_URL_MAX_BYTES + 2);
    memset(longest, 'a', OUTBOUND_URL_MAX_BYTES + 1);
    memcpy(longest, "https://a.test/", 15);
    ck_assert_int_eq(outbound_url_parse(longest, &u, &why), ERR_INVAL);
    longest[OUTBOUND_URL_MAX_BYTES] = 0;
    ck_assert_int_eq(outbound_url_parse(longest, &u, &why), 0);
    ck_assert_uint_eq(strlen(u.text), OUTBOUND_URL_MAX_BYTES);
}
END_TEST

START_TEST(targets_of_redirects)
{
    static const struct {
        const char *location, *to;
    } good[] = {{"https://b.test/x", "https://b.test/x"},
                {"/y?z", "https://a.test:8443/y?z"},
                {"c", "https://a.test:8443/d/c"},
                {"//c.test/x", "https://c.test/x"},
                {"/y#frag", "https://a.test:8443/y"}};
    static const char *const bad[] = {"",           "http://a.test/", "file:///etc/passwd",
                                      "//u@b.test", "https://u@b/",   "gopher://a/",
                                      "/a b",       "/a\nb",          "javascript:1"};
    struct outbound_url from, to;
    const char *why;
    ck_assert_int_eq(outbound_url_parse("https://a.test:8443/d/e", &from, &why), 0);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_msg(!outbound_url_follow(&from, good[i].location, &to, &why), "%s",
                      good[i].location);
        ck_assert_str_eq(to.text, good[i].to);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(outbound_url_follow(&from, bad[i], &to, &why) == ERR_INVAL, "%s", bad[i]);
}
END_TEST

// --- addresses ---

static const char *judged(const char *text)
{
    struct ip ip;
    ck_assert_msg(!ip_parse(text, &ip), "%s", text);
    return outbound_judge(o, &ip);
}

START_TEST(addresses_inside_are_refused)
{
    static const char *const refused[] = {"0.0.0.0",
                                          "0.1.2.3",
                                          "10.0.0.1",
                                          "100.64.0.1",
                                          "100.127.255.255",
                                          "127.0.0.1",
                                          "127.255.255.254",
                                          "169.254.0.1",
                                          "169.254.169.254",
                                          "169.254.170.2",
                                          "172.16.0.1",
                                          "172.31.255.255",
                                          "192.0.0.1",
                                          "192.0.2.1",
                                          "192.88.99.1",
                                          "192.168.255.255",
                                          "198.18.0.1",
                                          "198.19.255.255",
                                          "198.51.100.1",
                                          "203.0.113.9",
                                          "224.0.0.1",
                                          "239.255.255.255",
                                          "240.0.0.1",
                                          "255.255.255.255",
                                          "100.100.100.200",
                                          "168.63.129.16",
                                          "192.0.0.192",
                                          "::",
                                          "::1",
                                          "::2",
                                          "::127.0.0.1",
                                          "::ffff:127.0.0.1",
                                          "::ffff:10.0.0.1",
                                          "fc00::1",
                                          "fd00:ec2::254",
                                          "fd20:ce::254",
                                          "fdff::1",
                                          "fe80::1",
                                          "fe80::a9fe:a9fe",
                                          "febf::1",
                                          "fec0::1",
                                          "ff02::1",
                                          "64:ff9b::7f00:1",
                                          "64:ff9b::a00:1",
                                          "64:ff9b::a9fe:a9fe",
                                          "64:ff9b:1::1",
                                          "2002:7f00:1::1",
                                          "2002:a9fe:a9fe::",
                                          "2002:c0a8:101::1",
                                          "2001::1",
                                          "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                                          "2001:db8::1",
                                          "3fff:1::1",
                                          "100::1",
                                          "5f00::1",
                                          "4000::1",
                                          "2a00:1450:4001:800:0:5efe:10.0.0.1",
                                          "2a00:1450::200:5efe:7f00:1",
                                          "8.8.8.7"};
    static const char *const open[] = {"8.8.8.8",
                                       "1.1.1.1",
                                       "9.255.255.255",
                                       "11.0.0.0",
                                       "100.63.255.255",
                                       "100.128.0.0",
                                       "172.15.255.255",
                                       "172.32.0.0",
                                       "223.255.255.255",
                                       "2606:4700::1111",
                                       "2a00:1450:4001:800::200e",
                                       "64:ff9b::808:808",
                                       "2002:808:808::1"};
    ck_assert_int_eq(ip_parse("8.8.8.7", &owned), 0);
    guard_up(NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        ck_assert_msg(judged(refused[i]) != NULL, "%s", refused[i]);
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        ck_assert_msg(judged(open[i]) == NULL, "%s: %s", open[i], judged(open[i]));
    ck_assert_str_eq(judged("169.254.169.254"), "a cloud's metadata service");
    ck_assert_str_eq(judged("fd00:ec2::254"), "a cloud's metadata service");
    ck_assert_str_eq(judged("8.8.8.7"), "an address of this registry itself");
    ck_assert_str_eq(judged("64:ff9b::808:807"), "an address of this registry itself");
    ck_assert_str_eq(judged("2002:a00:1::"), "a private network");
    outbound_free(o);
}
END_TEST

START_TEST(what_the_operator_allows)
{
    static const char *const broad[] = {"10.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8", "fd00::/8"};
    static const char *const exact[] = {"169.254.169.254", "127.0.0.1", "10.9.9.9", "fd00::1/128"};
    ck_assert_int_eq(ip_parse("10.9.9.9", &owned), 0);
    guard_up(broad, 4);
    ck_assert_ptr_null(judged("10.1.2.3"));
    ck_assert_ptr_null(judged("64:ff9b::a01:203"));
    ck_assert_ptr_null(judged("169.254.1.1"));
    ck_assert_ptr_null(judged("fd12::1"));
    ck_assert_ptr_nonnull(judged("192.168.0.1"));
    // a wide entry opens neither metadata nor ourselves
    ck_assert_str_eq(judged("169.254.169.254"), "a cloud's metadata service");
    ck_assert_str_eq(judged("fd00:ec2::254"), "a cloud's metadata service");
    ck_assert_str_eq(judged("10.9.9.9"), "an address of this registry itself");
    ck_assert_str_eq(judged("127.0.0.1"), "an address of this machine");
    outbound_free(o);
    guard_up(exact, 4);
    for (size_t i = 0; i < ARRAY_LEN(exact) - 1; i++)
        ck_assert_ptr_null(judged(exact[i]));
    ck_assert_ptr_null(judged("::ffff:127.0.0.1"));
    ck_assert_ptr_nonnull(judged("127.0.0.2"));
    outbound_free(o);
}
END_TEST

// --- requests ---

static struct toy server = {0}, second = {0};

static void answer(struct toy *t, const char *request, struct buf *out)
{
    uint16_t other = atomic_load((_Atomic uint16_t *)t->ctx);
    const char *path = strchr(request, ' ') + 1;
    size_t n = strcspn(path, " ");
    if (!strncmp(path, "/to?", 4)) { // redirects to what the query says
        buf_printf(out,
                   "HTTP/1.1 302 Found\r\nLocation: %.*s\r\nContent-Length: 9\r\n\r\nsee there",
                   (int)(n - 4), path + 4);
    } else if (!strncmp(path, "/other", 6)) {
        buf_printf(out,
                   "HTTP/1.1 307 Away\r\nLocation: https://other.test:%u/end\r\nContent-Length: "
                   "0\r\n\r\n",
                   other);
    } else if (!strncmp(path, "/loop", 5)) {
        buf_str(out, "HTTP/1.1 301 Here\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n");
    } else if (!strncmp(path, "/nowhere", 8)) {
        buf_str(out, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    } else if (!strncmp(path, "/big", 4)) {
        buf_str(out, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        for (int i = 0; i < 10000; i++)
            buf_str(out, "0123456789");
    } else if (!strncmp(path, "/login", 6)) {
        buf_str(out, "HTTP/1.1 401 Who\r\nwww-authenticate: Bearer realm=\"https://e.test/\"\r\n"
                     "X-Here: yes\r\nContent-Length: 4\r\n\r\nwho?");
    } else if (!strncmp(path, "/stall", 6)) {
        buf_str(out, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    } else if (!strncmp(path, "/busy", 5)) {
        buf_str(out, "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\nno!");
    } else {
        buf_str(out, "HTTP/1.1 200 OK\r\nX-Here: yes\r\nConnection: close\r\n\r\nhello");
    }
}

static void servers_up(void)
{
    up();
    server = (struct toy){.answer = answer, .pem = leaf, .ctx = &second.port};
    second = (struct toy){.answer = answer, .pem = leaf, .ctx = &server.port};
    toy_start(&second);
    toy_start(&server);
}

static void servers_down(void)
{
    toy_stop(&server);
    toy_stop(&second);
    down();
}

static struct fetch_result res;

static int ask(const struct outbound_request *how, const char *fmt, const char *host,
               const char *path)
{
    char url[300];
    struct outbound_request q = *how;
    fetch_result_done(&res);
    snprintf(url, sizeof url, fmt, host, server.port, path);
    q.url = url;
    if (!q.ca_file)
        q.ca_file = ca;
    if (!q.timeout_ms && !q.idle_timeout_ms)
        q.timeout_ms = 10000;
    return outbound_run(o, &q, &res);
}
#define ASK(host, path, ...) \
    ask(&(struct outbound_request){__VA_ARGS__}, "https://%s:%u%s", host, path)

START_TEST(a_judged_address_is_dialled)
{
    servers_up();
    char text[100];
    ck_assert_msg(!ASK("good.test", "/x", .authorization = "Bearer secret"), "%s", res.message);
    ck_assert_int_eq(res.status, 200);
    ck_assert_str_eq(buf_cstr(&res.body), "hello");
    ck_assert_str_eq(fetch_result_header(&res, "X-Here", text, sizeof text), "yes");
    ck_assert(toy_saw(&server, "Authorization: Bearer secret\r\n"));
    ck_assert(toy_saw(&server, "Host: good.test:"));
    // the certificate must have the name
    ck_assert_int_eq(ASK("deaf.test", "/x"), 0); // its first address takes no connection
    ck_assert_int_eq(ASK("inside.test", "/x"), ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(res.message, "10.1.2.3, a private network"));
    ck_assert_int_eq(ASK("meta.test", "/x"), ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(res.message, "metadata"));
    ck_assert_int_eq(ASK("mixed.test", "/x"), ERR_DENIED); // one bad address is enough
    ck_assert_int_eq(ASK("nobody.test", "/x"), ERR_NOTFOUND);
    ck_assert_int_eq(ASK("169.254.169.254", "/x"), ERR_DENIED);
    ck_assert_int_eq(ASK("u@good.test", "/x"), ERR_INVAL);
    ck_assert_int_eq(ASK("127.0.0.1", "/x"), ERR_CRYPTO); // may be dialled, has no such name
    char other_ca[100];
    tls_make_ca(dir, "other", other_ca, sizeof other_ca);
    ck_assert_int_eq(ASK("good.test", "/x", .ca_file = other_ca), ERR_CRYPTO);
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    ck_assert_int_eq(file_read(ca, 65536, &pem), 0);
    ck_assert_msg(!ASK("good.test", "/x", .ca_file = other_ca, .ca_pem = bytes_of(pem.p, pem.n)),
                  "%s", res.message);
    ck_assert_int_eq(ASK("good.test", "/x", .ca_pem = bytes_str("no PEM")), ERR_CRYPTO);
    const char *header = "Cookie: a=b";
    ck_assert_int_eq(ASK("good.test", "/x", .headers = &header, .n_headers = 1), ERR_INVAL);
    struct endpoint pinned = {.port = server.port};
    ck_assert_int_eq(ip_parse("127.0.0.1", &pinned.ip), 0);
    int before = atomic_load(&n_resolved);
    ck_assert_msg(!ASK("rebind.test", "/x", .address = &pinned), "%s", res.message);
    ck_assert_int_eq(atomic_load(&n_resolved), before); // no look-up
    ck_assert_int_eq(ip_parse("10.0.0.1", &pinned.ip), 0);
    ck_assert_int_eq(ASK("rebind.test", "/x", .address = &pinned), ERR_DENIED);
    fetch_result_done(&res);
    servers_down();
}
END_TEST

// What is judged is what is dialled: a second look-up would lead elsewhere.
START_TEST(a_name_is_resolved_once)
{
    servers_up();
    atomic_store(&n_resolved, 0);
    ck_assert_msg(!ASK("rebind.test", "/x"), "%s", res.message);
    ck_assert_int_eq(atomic_load(&n_resolved), 1);
    ck_assert_int_eq(ASK("rebind.test", "/x"), ERR_DENIED);
    fetch_result_done(&res);
    servers_down();
}
END_TEST

static int on_headers_times;
static int on_headers(void *ctx, const struct fetch_result *answered)
{
    *(int *)ctx = answered->status;
    on_headers_times++;
    return 0;
}

START_TEST(redirects_are_judged_and_carry_no_credentials)
{
    servers_up();
    const char *headers[] = {"Accept: text/x", "X-Private: p", "Range: bytes=0-9"};
    // not asked for: a plain answer
    ck_assert_int_eq(ASK("good.test", "/other"), 0);
    ck_assert_int_eq(res.status, 307);
    int told = 0;
    on_headers_times = 0;
    ck_assert_msg(!ASK("good.test", "/other", .redirects_max = 1, .authorization = "Bearer secret",
                       .headers = headers, .n_headers = 3, .on_headers = on_headers, .ctx = &told),
                  "%s", res.message);
    ck_assert_int_eq(res.status, 200);
    ck_assert_int_eq(told, 200);
    ck_assert_int_eq(on_headers_times, 1);
    ck_assert_str_eq(buf_cstr(&res.body), "hello");
    ck_assert(toy_saw(&server, "Bearer secret"));
    ck_assert(toy_saw(&second, "GET /end "));
    ck_assert(toy_saw(&second, "Accept: text/x"));
    ck_assert(toy_saw(&second, "Range: bytes=0-9"));
    ck_assert(!toy_saw(&second, "Authorization"));
    ck_assert(!toy_saw(&second, "X-Private"));
    // nor to the same host
    ck_assert_int_eq(
        ASK("good.test", "/to?/end", .redirects_max = 3, .authorization = "Basic eA=="), 0);
    ck_assert(toy_saw(&server, "GET /end "));
    ck_assert(!toy_saw(&server, "Authorization"));
    // whose target gets none by asking for it either
    char text[100];
    ck_assert_int_eq(ASK("good.test", "/login", .redirects_max = 3), 0);
    ck_assert(fetch_result_header(&res, "WWW-Authenticate", text, sizeof text));
    ck_assert_int_eq(ASK("good.test", "/to?/login", .redirects_max = 3), 0);
    ck_assert_int_eq(res.status, 401);
    ck_assert(fetch_result_header(&res, "X-Here", text, sizeof text));
    ck_assert(!fetch_result_header(&res, "WWW-Authenticate", text, sizeof text));
    // of reads alone
    ck_assert_int_eq(
        ASK("good.test", "/other", .redirects_max = 3, .method = "POST", .body = bytes_str("x")),
        0);
    ck_assert_int_eq(res.status, 307);
    int before = atomic_load(&server.n_requests);
    ck_assert_int_eq(ASK("good.test", "/loop", .redirects_max = 3), 0);
    ck_assert_int_eq(res.status, 301);
    ck_assert_int_eq(atomic_load(&server.n_requests) - before, 4);
    ck_assert_int_eq(ASK("good.test", "/loop", .redirects_max = 4), ERR_INVAL);
    static const char *const lies[] = {"/to?https://169.254.169.254/latest/meta-data",
                                       "/to?https://inside.test/",
                                       "/to?https://[::ffff:127.0.0.3]/",
                                       "/to?//meta.test/",
                                       "/to?http://good.test/",
                                       "/to?file:///etc/passwd",
                                       "/to?https://u:p@good.test/",
                                       "/to?https://0x7f.1/"};
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        ck_assert_msg(ASK("good.test", lies[i], .redirects_max = 3) == ERR_DENIED, "%s: %s",
                      lies[i], res.message);
        ck_assert_msg(strstr(res.message, "redirect") != NULL, "%s", res.message);
    }
    ck_assert_int_eq(ASK("good.test", "/nowhere", .redirects_max = 3), ERR_PROTO);
    fetch_result_done(&res);
    servers_down();
}
END_TEST

static int swallow(void *ctx, const uint8_t *p, size_t n)
{
    (void)p;
    *(size_t *)ctx += n;
    return 0;
}

static int refuse_bytes(void *ctx, const uint8_t *p, size_t n)
{
    (void)ctx, (void)p, (void)n;
    return ERR_DIGEST;
}

static int give(void *ctx, uint8_t *to, size_t cap, size_t *out_n)
{
    size_t *left = ctx, n = *left;
    if (n > cap)
        n = cap;
    memset(to, 'u', n);
    *left -= n;
    *out_n = n;
    return 0;
}

static int give_up(void *ctx, uint8_t *to, size_t cap, size_t *out_n)
{
    (void)ctx, (void)to, (void)cap, (void)out_n;
    return ERR_IO;
}

START_TEST(bodies_both_ways_are_bounded)
{
    servers_up();
    size_t n = 0;
    ck_assert_int_eq(ASK("good.test", "/big", .on_data = swallow, .ctx = &n), 0);
    ck_assert_uint_eq(n, 100000);
    ck_assert_uint_eq(res.body.n, 0);
    ck_assert_int_eq(ASK("good.test", "/big", .on_data = swallow, .ctx = &n, .max_bytes = 99999),
                     ERR_TOOBIG);
    ck_assert_int_eq(ASK("good.test", "/big", .max_bytes = 5000), ERR_TOOBIG);
    ck_assert_ptr_nonnull(strstr(res.message, "limit"));
    ck_assert_int_eq(ASK("good.test", "/big", .max_bytes = 100000), 0);
    ck_assert_int_eq(ASK("good.test", "/big", .on_data = refuse_bytes), ERR_DIGEST);
    n = 0;
    ck_assert_int_eq(ASK("good.test", "/busy", .on_data = swallow, .ctx = &n), 0);
    ck_assert_int_eq(res.status, 429);
    ck_assert_uint_eq(n, 0); // not of a 2xx
    ck_assert_str_eq(buf_cstr(&res.body), "no!");
    // the bound of a stream is not that of the words on the way to it, or in place of it
    ck_assert_int_eq(ASK("good.test", "/busy", .on_data = swallow, .ctx = &n, .max_bytes = 1), 0);
    ck_assert_int_eq(res.status, 429);
    ck_assert_int_eq(ASK("good.test", "/to?/end", .redirects_max = 1, .max_bytes = 5), 0);
    ck_assert_int_eq(ASK("good.test", "/to?/end", .redirects_max = 1, .on_data = swallow, .ctx = &n,
                         .max_bytes = 5),
                     0);
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(ASK("good.test", "/to?/end", .redirects_max = 1, .max_bytes = 4), ERR_TOOBIG);
    n = 300000;
    ck_assert_msg(
        !ASK("good.test", "/up", .method = "PUT", .on_body = give, .ctx = &n, .body_bytes = 300000),
        "%s", res.message);
    ck_assert(toy_saw(&server, "Content-Length: 300000\r\n"));
    ck_assert_uint_gt(toy_last_size(&server), 300000);
    n = 70000;
    ck_assert_msg(!ASK("good.test", "/up", .method = "PATCH", .on_body = give, .ctx = &n,
                       .body_bytes = OUTBOUND_BODY_UNKNOWN),
                  "%s", res.message);
    ck_assert(toy_saw(&server, "chunked"));
    ck_assert_int_eq(ASK("good.test", "/up", .method = "PUT", .on_body = give_up, .body_bytes = 9),
                     ERR_IO);
    ck_assert_int_eq(ASK("good.test", "/up", .method = "POST", .body = bytes_str("a=b")), 0);
    ck_assert(toy_saw(&server, "\r\n\r\na=b"));
    ck_assert_int_eq(ASK("good.test", "/x", .method = "HEAD"), 0);
    ck_assert(toy_saw(&server, "HEAD /x "));
    fetch_result_done(&res);
    servers_down();
}
END_TEST

static void *stop_soon(void *arg)
{
    clock_sleep_ms(50);
    atomic_store((_Atomic bool *)arg, true);
    return NULL;
}

START_TEST(time_is_bounded)
{
    servers_up();
    int64_t began = clock_mono_ms();
    atomic_store(&resolver_hangs, true);
    ck_assert_int_eq(ASK("good.test", "/x", .timeout_ms = 100), ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(res.message, "resolved"));
    _Atomic bool stop = false;
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, stop_soon, &stop), 0);
    ck_assert_int_eq(ASK("good.test", "/x", .timeout_ms = 60000, .stop = &stop), ERR_CANCELED);
    pthread_join(t, NULL);
    atomic_store(&resolver_hangs, false);
    // a listener that nobody serves
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, n), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    char url[64];
    snprintf(url, sizeof url, "https://good.test:%u/", ntohs(in.sin_port));
    struct outbound_request q = {.url = url, .ca_file = ca, .timeout_ms = 200};
    fetch_result_done(&res);
    ck_assert_int_eq(outbound_run(o, &q, &res), ERR_TIMEOUT);
    fetch_result_done(&res);
    q.timeout_ms = 0;
    ck_assert_int_eq(outbound_run(o, &q, &res), ERR_INVAL);
    q.idle_timeout_ms = 100;
    ck_assert_int_eq(outbound_run(o, &q, &res), ERR_TIMEOUT);
    q.idle_timeout_ms = 60000;
    q.stop = &stop;
    ck_assert_int_eq(outbound_run(o, &q, &res), ERR_CANCELED);
    close(fd);
    ck_assert_int_lt(clock_mono_ms() - began, 30000);
    fetch_result_done(&res);
    servers_down();
}
END_TEST

// --- proxies ---

static void proxy_up(struct toy *p, bool resolves)
{
    char url[64];
    *p = (struct toy){.lead_to = server.port};
    toy_start(p);
    outbound_free(o);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", p->port);
    options.proxy = url;
    options.proxy_resolves = resolves;
    ck_assert_int_eq(outbound_new(&options, &o), 0);
    options.proxy = NULL;
}

static const char *target_wanted(const char *host)
{
    static char text[100];
    snprintf(text, sizeof text, "%s:%u", host, server.port);
    return text;
}

START_TEST(a_proxy_is_asked_for_the_judged_address)
{
    servers_up();
    struct toy p;
    proxy_up(&p, false);
    ck_assert(!outbound_judges_names_only(o));
    ck_assert_msg(!ASK("good.test", "/x", .authorization = "Bearer secret"), "%s", res.message);
    ck_assert_int_eq(res.status, 200);
    ck_assert(toy_target_is(&p, target_wanted("127.0.0.1")));
    ck_assert(!toy_saw(&p, "secret"));
    ck_assert_ptr_null(strstr(buf_cstr(&res.headers), "x-proxy"));
    ck_assert(toy_saw(&server, "Host: good.test:"));
    int before = atomic_load(&p.n_requests);
    ck_assert_int_eq(ASK("inside.test", "/x"), ERR_DENIED);
    ck_assert_int_eq(ASK("good.test", "/to?https://meta.test/", .redirects_max = 3), ERR_DENIED);
    ck_assert_int_eq(atomic_load(&p.n_requests), before + 1);
    fetch_result_done(&res);
    toy_stop(&p);
    servers_down();
}
END_TEST

START_TEST(a_proxy_that_resolves_is_asked_for_the_name)
{
    servers_up();
    struct toy p;
    proxy_up(&p, true);
    ck_assert(outbound_judges_names_only(o));
    int before = atomic_load(&n_resolved);
    ck_assert_msg(!ASK("good.test", "/x"), "%s", res.message);
    ck_assert(toy_target_is(&p, target_wanted("good.test")));
    ck_assert_int_eq(atomic_load(&n_resolved), before);
    int asked = atomic_load(&p.n_requests);
    static const char *const refused[] = {"localhost",
                                          "x.localhost",
                                          "a.local",
                                          "metadata",
                                          "metadata.google.internal",
                                          "169.254.169.254",
                                          "10.0.0.1",
                                          "[::2]",
                                          "contoso.meridian.test"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        ck_assert_msg(ASK(refused[i], "/x") == ERR_DENIED, "%s: %s", refused[i], res.message);
    ck_assert_int_eq(atomic_load(&p.n_requests), asked);
    fetch_result_done(&res);
    toy_stop(&p);
    servers_down();
}
END_TEST

static bool has_ipv6(void)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && !bind(fd, (struct sockaddr *)&in, sizeof in);
    if (fd >= 0)
        close(fd);
    return has;
}

// Where there is IPv6: by a name, as a literal, and through a proxy.
START_TEST(addresses_of_ipv6)
{
    if (!has_ipv6())
        return;
    up();
    server = (struct toy){.answer = answer, .pem = leaf, .ctx = &second.port, .address = "::1"};
    toy_start(&server);
    ck_assert_msg(!ASK("six.test", "/x"), "%s", res.message);
    ck_assert(toy_saw(&server, "Host: six.test:"));
    ck_assert_msg(!ASK("[::1]", "/x"), "%s", res.message);
    ck_assert_int_eq(res.status, 200);
    ck_assert_int_eq(ASK("[::2]", "/x"), ERR_DENIED);
    struct toy p;
    char wanted[64];
    proxy_up(&p, false);
    snprintf(wanted, sizeof wanted, "[::1]:%u", server.port);
    ck_assert_int_ne(ASK("six.test", "/x"), 0); // the toy leads to IPv4 alone
    ck_assert(toy_target_is(&p, wanted));
    fetch_result_done(&res);
    toy_stop(&p);
    toy_stop(&server);
    down();
}
END_TEST

// The environment has a say in nothing.
START_TEST(the_environment_names_no_proxy)
{
    servers_up();
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    ck_assert_msg(!ASK("good.test", "/x"), "%s", res.message);
    struct toy p;
    proxy_up(&p, false);
    setenv("no_proxy", "*", 1);
    ck_assert_msg(!ASK("good.test", "/x"), "%s", res.message);
    ck_assert_int_eq(atomic_load(&p.n_requests), 1);
    static const char *const bad[] = {"127.0.0.1:3128", "https://p.test:1",  "http://u@p.test:1",
                                      "http://p.test",  "http://p.test:1/x", "socks5://p.test:1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!outbound_proxy_ok(bad[i]), "%s", bad[i]);
    ck_assert(outbound_proxy_ok("http://p.test:3128") && outbound_proxy_ok("http://[::1]:8080/"));
    fetch_result_done(&res);
    toy_stop(&p);
    servers_down();
}
END_TEST

START_TEST(documents_are_checked_without_a_call)
{
    up();
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(outbound_check_url(o, "https://anything.test/x", &d), 0);
    ck_assert_int_eq(outbound_check_url(o, "https://127.0.0.1/", &d), 0);
    ck_assert_uint_eq(diag_count(&d), 0);
    ck_assert_int_eq(outbound_check_url(o, "https://10.0.0.1/", &d), ERR_DENIED);
    ck_assert_int_eq(outbound_check_url(o, "http://anything.test/", &d), ERR_INVAL);
    ck_assert_uint_eq(diag_count(&d), 2);
    diag_done(&d);
    down();
}
END_TEST

CHECK_MAIN("net/outbound", urls_are_read_in_one_way_or_not_at_all, targets_of_redirects,
           addresses_inside_are_refused, what_the_operator_allows, a_judged_address_is_dialled,
           a_name_is_resolved_once, redirects_are_judged_and_carry_no_credentials,
           bodies_both_ways_are_bounded, time_is_bounded, a_proxy_is_asked_for_the_judged_address,
           a_proxy_that_resolves_is_asked_for_the_name, addresses_of_ipv6,
           the_environment_names_no_proxy, documents_are_checked_without_a_call)
