// SPDX-License-Identifier: Apache-2.0
// fleet/secrets: a region gets what the topology names and it lacks, sealed and signed; nobody else
// gets or gives anything, whoever carries the bytes.
#include "fleet/secrets.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/dns_keys.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <sys/stat.h>

#define TSIG "hmac-sha256:secondary:c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n"
#define COOKIES "00112233445566778899aabbccddeeff\n"

static char dir[64], dns_dir[96], tsig_dir[96], cookies[96];
static struct arena arena;
static struct region_keys *east, *west;
static struct topology *t;
static struct dnskey dns_key;
static char dns_id[65];
static const char *transfer_keys[] = {"secondary"};
static struct secrets_places full, empty;

static struct region_keys *keys_made(const char *region)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, region);
    struct region_keys *k = NULL;
    ck_assert_int_eq(region_keys_create(path, region, NULL), 0);
    ck_assert_int_eq(region_keys_open(path, region, NULL, &k), 0);
    return k;
}

static void file_made(const char *path, const char *text)
{
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "%s", "secrets-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    arena_init(&arena, 4 << 20);
    east = keys_made("eastus");
    west = keys_made("westeurope");
    AUTO_FREE char *text = mem_printf(
        "version: 1\ndomain: example.io\nregions:\n"
        "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"
        "  - { name: westeurope, peer: 192.0.2.2:8443, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n"
        "name_servers: [s.eastus]\nidentities:\n"
        "  eastus: { feed_keys: [{ id: %s, key: \"%s\" }] }\n"
        "  westeurope: { feed_keys: [{ id: %s, key: \"%s\" }] }\n",
        region_keys_feed_id(east), region_keys_feed_spki(east), region_keys_feed_id(west),
        region_keys_feed_spki(west));
    ck_assert_int_eq(topology_parse(text, strlen(text), "t", NULL, &t), 0);
    snprintf(dns_dir, sizeof dns_dir, "%s/dns", dir);
    snprintf(tsig_dir, sizeof tsig_dir, "%s/tsig", dir);
    snprintf(cookies, sizeof cookies, "%s/cookies", dir);
    ck_assert_int_eq(dir_make(tsig_dir, 0700), 0);
    ck_assert_int_eq(dns_key_create(dns_dir, DNSKEY_ZONE_MAIN, DNSKEY_KSK, DNSKEY_ECDSAP256, NULL,
                                    dns_id, &dns_key),
                     0);
    dns_key.id = dns_id;
    t->dnssec.keys = &dns_key;
    t->dnssec.n_keys = 1;
    t->transfer.keys = transfer_keys;
    t->transfer.n_keys = 1;
    AUTO_FREE char *tsig = mem_printf("%s/secondary.key", tsig_dir);
    file_made(tsig, TSIG);
    file_made(cookies, COOKIES);
    full = (struct secrets_places){dns_dir, tsig_dir, cookies};
    empty = (struct secrets_places){arena_printf(&arena, "%s/w/dns", dir),
                                    arena_printf(&arena, "%s/w/tsig", dir),
                                    arena_printf(&arena, "%s/w-cookies", dir)};
}

static void teardown(void)
{
    t->dnssec.n_keys = t->transfer.n_keys = 0;
    snapshot_unref(t);
    region_keys_free(east);
    region_keys_free(west);
    arena_done(&arena);
    dir_remove_tree(dir);
}

struct seen {
    size_t n;
    bool tsig, cookies, dns;
};

static int see(void *ctx, const char *name, struct bytes data)
{
    struct seen *s = ctx;
    s->n++;
    s->tsig |= !strcmp(name, "tsig/secondary") && bytes_equal(data, bytes_str(TSIG));
    s->cookies |= !strcmp(name, "cookies") && bytes_equal(data, bytes_str(COOKIES));
    s->dns |= !strncmp(name, "dns/", 4) && data.n > 100;
    return 0;
}

struct exchange {
    struct sealed_box *box;
    char hash[65];
    struct buf request, answer;
};

static void ask(struct exchange *x, struct region_keys *keys, const char *region, const char *to)
{
    struct secrets_want want;
    buf_init(&x->request, 0);
    buf_init(&x->answer, 0);
    ck_assert_int_eq(sealed_box_new(&x->box), 0);
    ck_assert_int_eq(secrets_missing(&empty, t, NULL, &arena, &want), 0);
    ck_assert_uint_eq(want.n, 3);
    ck_assert_int_eq(
        secrets_request_format(t, keys, region, to, x->box, &want, x->hash, &x->request), 0);
}

static int answered(struct exchange *x, const char *peer)
{
    return secrets_answer(&full, t, east, "eastus", peer, bytes_of(x->request.p, x->request.n),
                          NULL, &x->answer);
}

static int opened(const struct exchange *x, struct seen *s)
{
    return secrets_open(t, "westeurope", "eastus", x->box, x->hash,
                        bytes_of(x->answer.p, x->answer.n), NULL, see, s);
}

static void done(struct exchange *x)
{
    sealed_box_free(x->box);
    buf_done(&x->request);
    buf_done(&x->answer);
}

START_TEST(a_region_gets_what_it_lacks)
{
    setup();
    struct exchange x;
    struct seen s = {0};
    ask(&x, west, "westeurope", "eastus");
    ck_assert_int_eq(answered(&x, "westeurope"), 0);
    ck_assert_int_eq(opened(&x, &s), 0);
    ck_assert(s.n == 3 && s.tsig && s.cookies && s.dns);
    // an edge that carries it sees none of it
    ck_assert_ptr_null(strstr(x.answer.p, "secondary"));
    ck_assert_ptr_null(strstr(x.answer.p, "c2VjcmV0"));
    done(&x);
    teardown();
}
END_TEST

START_TEST(nobody_gets_them_in_a_region_s_name)
{
    setup();
    struct exchange x;
    ask(&x, west, "westeurope", "eastus");
    // over another region's connection; for another region; signed by another
    ck_assert_int_eq(answered(&x, "eastus"), ERR_DENIED);
    done(&x);
    ask(&x, west, "westeurope", "westeurope");
    ck_assert_int_eq(answered(&x, "westeurope"), ERR_DENIED);
    done(&x);
    ask(&x, east, "westeurope", "eastus");
    ck_assert_int_eq(answered(&x, "westeurope"), ERR_DENIED);
    done(&x);
    ask(&x, west, "westeurope", "eastus");
    for (size_t i = 0; i < x.request.n; i++) {
        x.request.p[i] ^= 1;
        ck_assert_int_ne(answered(&x, "westeurope"), 0);
        x.request.p[i] ^= 1;
    }
    ck_assert_uint_eq(x.answer.n, 0);
    done(&x);
    teardown();
}
END_TEST

START_TEST(nobody_gives_them_in_a_region_s_name)
{
    setup();
    struct exchange x, other;
    struct seen s = {0};
    ask(&x, west, "westeurope", "eastus");
    ck_assert_int_eq(answered(&x, "westeurope"), 0);
    for (size_t i = 0; i < x.answer.n; i += 3) {
        x.answer.p[i] ^= 1;
        ck_assert_int_ne(opened(&x, &s), 0);
        x.answer.p[i] ^= 1;
    }
    // an earlier answer, played again
    ask(&other, west, "westeurope", "eastus");
    buf_add(&other.answer, x.answer.p, x.answer.n);
    ck_assert_int_eq(opened(&other, &s), ERR_AUTH);
    // signed by a region that was not asked
    buf_clear(&x.answer);
    ck_assert_int_eq(secrets_answer(&full, t, west, "eastus", "westeurope",
                                    bytes_of(x.request.p, x.request.n), NULL, &x.answer),
                     0);
    ck_assert_int_eq(opened(&x, &s), ERR_AUTH);
    ck_assert_uint_eq(s.n, 0);
    done(&x);
    done(&other);
    teardown();
}
END_TEST

START_TEST(names_lead_to_secrets_of_the_topology_alone)
{
    static const char *const names[] = {"dns/../eastus/feed", "dns/eastus-feed", "tsig/other",
                                        "tsig/../cookies",    "cookies2",        ""};
    setup();
    struct exchange x;
    struct secrets_want want = {0};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        want.names[want.n++] = names[i];
    buf_init(&x.request, 0);
    buf_init(&x.answer, 0);
    ck_assert_int_eq(sealed_box_new(&x.box), 0);
    ck_assert_int_eq(
        secrets_request_format(t, west, "westeurope", "eastus", x.box, &want, x.hash, &x.request),
        0);
    ck_assert_int_eq(answered(&x, "westeurope"), ERR_NOTFOUND);
    done(&x);
    teardown();
}
END_TEST

START_TEST(what_is_missing_follows_the_topology_and_the_ledger)
{
    setup();
    struct secrets_want want;
    char hex[65];
    uint8_t sum[SHA256_BYTES];
    sha256(COOKIES, strlen(COOKIES), sum);
    hex_format(sum, sizeof sum, hex);
    ck_assert_int_eq(secrets_missing(&full, t, hex, &arena, &want), 0);
    ck_assert_uint_eq(want.n, 0);
    hex[0] = hex[0] == '0' ? '1' : '0'; // the secret of cookies was rotated elsewhere
    ck_assert_int_eq(secrets_missing(&full, t, hex, &arena, &want), 0);
    ck_assert_uint_eq(want.n, 1);
    ck_assert_str_eq(want.names[0], "cookies");
    full.cookies = NULL;
    ck_assert_int_eq(secrets_missing(&full, t, hex, &arena, &want), 0);
    ck_assert_uint_eq(want.n, 0);
    teardown();
}
END_TEST

CHECK_MAIN("fleet/secrets", a_region_gets_what_it_lacks, nobody_gets_them_in_a_region_s_name,
           nobody_gives_them_in_a_region_s_name, names_lead_to_secrets_of_the_topology_alone,
           what_is_missing_follows_the_topology_and_the_ledger)
