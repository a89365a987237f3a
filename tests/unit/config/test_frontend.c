// SPDX-License-Identifier: Apache-2.0
// config/frontend: the serial of fe.D follows its content and nothing else, is the same on every
// way to a topology, and what would make it go down is seen.
#include "config/frontend.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/changer.h"
#include "control/compiled.h"
#include "control/topology_file.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"

#include <string.h>

#define NOW_S (3000 * (int64_t)FRONTEND_PERIOD_S + 7) // in the signing period 3000

#define STAMPS                                                                                  \
    "[{name: eus-1, ipv4: [192.0.2.1, 192.0.2.2], ipv6: ['2001:db8::1']}, {name: eus-2, ipv4: " \
    "[192.0.2.3]}]"
#define KEY(id, zone, state, key)                                                     \
    "    - {id: " id ", zone: " zone ", role: csk, algorithm: ed25519, state: " state \
    ", since: \"2026-"                                                                \
    "11-23T19:58:50Z\", key: \"" key "\"}\n"
#define K1 "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4="
#define K2 "uyXwPeDdyVKObfaQn3nzW95dnK5YDQJzyWhBYwzBDd0="
#define SIGNED \
    "dnssec:\n  keys:\n" KEY("d-csk-1", "D", "active", K1) KEY("fe-csk-1", "fe", "active", K2)

static struct topology *parse(const char *text, size_t n)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_file_parse(TOPOLOGY_FULL, text, n, "t.yaml", &d, &t);
    char *why = diag_text(&d);
    ck_assert_msg(rc == 0, "%s", why);
    free(why);
    diag_done(&d);
    return t;
}

// The whole document: a version, what stands in the place of the stamps and of the name servers,
// and more of it.
static struct topology *document(unsigned version, const char *stamps, const char *servers,
                                 const char *more)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(
        &b,
        "version: %u\ndomain: example.io\nregions:\n"
        "  - {name: eastus, peer: 192.0.2.1:8443, stamps: %s}\n"
        "  - {name: westus, peer: 192.0.2.9:8443, stamps: [{name: wus-1, ipv4: [192.0.2.9]}]}\n"
        "name_servers: %s\n%s",
        version, stamps, servers, more);
    return parse(buf_cstr(&b), b.n);
}

static struct topology *plain(unsigned version, const char *more)
{
    return document(version, STAMPS, "[eus-1.eastus, wus-1.westus]", more);
}

static const char *pin_of(const struct topology *t, uint64_t serial, char out[160])
{
    char hex[2 * SHA256_BYTES + 1];
    hex_format(t->frame->serial.content, SHA256_BYTES, hex);
    snprintf(out, 160, "zone_serial: {serial: %llu, content: %s}\n", (unsigned long long)serial,
             hex);
    return out;
}

static void serial_is(struct topology *t, uint64_t want)
{
    ck_assert_uint_eq(frontend_serial(t, NOW_S), want);
    snapshot_unref(t);
}

static struct topology *changed(struct topology *t, const char *text)
{
    struct changer *c = changer_new();
    struct topology *next = NULL;
    ck_assert_int_eq(changer_apply(c, t, text, strlen(text), "c", 1, NULL, &next), 0);
    changer_free(c);
    snapshot_unref(t);
    return next;
}

static struct topology *compiled(struct topology *t)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(compiled_format(t, &b), 0);
    snapshot_unref(t);
    return parse(b.p, b.n);
}

START_TEST(changes_of_registries_leave_it)
{
    struct topology *t = plain(41, "");
    ck_assert_uint_eq(frontend_serial(t, NOW_S), 41);
    t = changed(t, "version: 42\nregistries: [{name: contoso, replicas: [{region: eastus}]}]\n");
    t = changed(t, "version: 43\nremove: [contoso]\n");
    ck_assert_uint_eq(t->version, 43);
    ck_assert_uint_eq(frontend_serial(t, NOW_S), 41);
    t = compiled(t); // who starts here has never seen version 41
    ck_assert_uint_eq(t->version, 43);
    ck_assert_uint_eq(frontend_serial(t, NOW_S), 41);
    t = compiled(
        changed(t, "version: 44\nregistries: [{name: contoso, replicas: [{region: eastus}]}]\n"));
    ck_assert_uint_eq(t->version, 44);
    serial_is(t, 41);
}
END_TEST

START_TEST(a_pin_holds_while_the_content_does)
{
    char pin[160];
    struct topology *t = plain(7, "");
    pin_of(t, 5, pin);
    snapshot_unref(t);
    serial_is(plain(7, pin), 5);
    serial_is(plain(5, pin), 5);
    serial_is(compiled(changed(plain(8, pin), "version: 9\nremove_private_endpoints: []\n")), 5);
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(
        &b,
        "%sregistries: [{name: contoso, replicas: [{region: westus}]}]\nrouting: {order: "
        "[westus]}\n"
        "health: {interval: 9s}\nttl: {global: 99s}\nviews: [{name: corp, sources: [10.0.0.0/8]}]\n"
        "transfer: {allow: [10.0.0.0/8]}\napex: {txt: [hello]}\nhttps_port: 8443\n",
        pin);
    serial_is(plain(9, buf_cstr(&b)), 5); // none of it is in fe.D
    serial_is(
        document(
            9,
            "[{name: eus-2, ipv4: [192.0.2.3]}, {name: eus-1, ipv4: [192.0.2.2, 192.0.2.1], ipv6: "
            "['2001:db8::1']}]",
            "[eus-1.eastus, wus-1.westus]", pin),
        5); // order means nothing in a zone
    // All that is in it.
    serial_is(
        document(9, "[{name: eus-1, ipv4: [192.0.2.1]}]", "[eus-1.eastus, wus-1.westus]", pin), 9);
    // the first is in the SOA
    serial_is(document(9, STAMPS, "[wus-1.westus, eus-1.eastus]", pin), 9);
    serial_is(document(9, STAMPS, "[eus-1.eastus]", pin), 9);
    static const char *const more[] = {
        "hostmaster: ada@example.io\n",
        "ttl: {soa: 61m}\n",
        "ttl: {ns: 9s}\n",
        "ttl: {frontend: 9s}\n",
        "ttl: {negative: 9s}\n",
        "apex: {acme_challenge: [{at: eastus.fe, txt: [x]}]}\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        buf_clear(&b);
        buf_printf(&b, "%s%s", pin, more[i]);
        serial_is(plain(9, buf_cstr(&b)), 9);
    }
}
END_TEST

START_TEST(keys_are_content_and_periods_count)
{
    char pin[160];
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    serial_is(plain(7, SIGNED), 3007);
    serial_is(plain(7, "zone_serial: {offset: 3001}\n"), 3008);
    serial_is(plain(7, SIGNED "zone_serial: {offset: 3001}\n"), 6008);
    struct topology *t = plain(7, SIGNED);
    ck_assert_uint_eq(frontend_serial(t, NOW_S + FRONTEND_PERIOD_S), 3008);
    pin_of(t, 5, pin);
    snapshot_unref(t);
    buf_printf(&b, "%s%s", SIGNED, pin);
    serial_is(plain(9, buf_cstr(&b)), 3005);
    serial_is(plain(9, pin), 9); // without its keys it is another zone
    buf_clear(&b);
    buf_printf(&b, "%s%s%s", SIGNED, KEY("fe-zsk-2", "fe", "published", K1), pin);
    serial_is(plain(9, buf_cstr(&b)), 3009);
    buf_clear(&b); // a key of D alone
    buf_printf(&b, "%s%s%s", SIGNED, KEY("d-csk-2", "D", "published", K2), pin);
    serial_is(plain(9, buf_cstr(&b)), 3005);
}
END_TEST

static void may(struct topology *before, struct topology *next, const char *why_not)
{
    char *why = NULL;
    bool ok = frontend_serial_may_follow(before, next, NOW_S, &why);
    ck_assert_msg(why_not ? !ok && why && strstr(why, why_not) : ok && !why, "%s",
                  why ? why : "no reason");
    free(why);
    snapshot_unref(before);
    snapshot_unref(next);
}

START_TEST(what_would_go_down_is_seen)
{
    char pin[160], forged[160];
    struct topology *t = plain(7, "");
    pin_of(t, 7, pin);
    snapshot_unref(t);
    t = document(7, "[{name: eus-1, ipv4: [192.0.2.7]}]", "[eus-1.eastus]", "");
    pin_of(t, 7, forged);
    snapshot_unref(t);
    may(plain(7, ""), plain(8, ""), NULL);
    may(plain(7, ""), plain(8, pin), NULL);
    may(plain(8, pin), plain(9, ""), NULL);
    may(plain(7, ""), plain(8, SIGNED), NULL);
    may(plain(7, SIGNED), plain(8, SIGNED), NULL);
    // Content that comes back, with the pin of old.
    may(document(9, "[{name: eus-1, ipv4: [192.0.2.7]}]", "[eus-1.eastus]", ""), plain(10, pin),
        "t.yaml: the serial of fe.D would go down from 9 to 7: its zone_serial is an old one");
    may(plain(7, ""), document(8, "[{name: eus-1, ipv4: [192.0.2.7]}]", "[eus-1.eastus]", forged),
        "would stay while its content changes, from 7 to 7");
    // Keys that go.
    may(plain(7, SIGNED), plain(8, ""),
        "would go down from 3007 to 8: keys go, and not by `meridian dns keys withdraw`");
    may(plain(7, SIGNED), plain(8, ""), "an offset of 3004");
    may(plain(7, SIGNED), plain(8, "zone_serial: {offset: 2998}\n"), "an offset of 3004");
    may(plain(7, SIGNED), plain(8, "zone_serial: {offset: 3004}\n"), NULL);
    may(plain(7, "zone_serial: {offset: 3004}\n"), plain(8, ""),
        "zone_serial needs an offset of 3008");
    may(plain(7, SIGNED), plain(4000, ""), NULL); // far enough up
    may(plain(7, "zone_serial: {offset: 3004}\n"), plain(8, SIGNED "zone_serial: {offset: 3004}\n"),
        NULL);
}
END_TEST

static int build(void *ctx)
{
    static const char text[] =
        "version: 1\ndomain: example.io\nregions: [{name: a, stamps: " STAMPS "}]\n"
        "name_servers: [eus-1.a]\n" SIGNED;
    struct topology *t = NULL;
    (void)ctx;
    int rc = topology_parse(text, sizeof text - 1, "t", NULL, &t);
    if (!rc)
        ck_assert_uint_eq(frontend_serial(t, NOW_S), 3001);
    snapshot_unref(t);
    return rc;
}

START_TEST(memory_may_end_anywhere)
{
    ck_assert_int_gt(torture(build, NULL), 0);
}
END_TEST

CHECK_MAIN("config/frontend", changes_of_registries_leave_it, a_pin_holds_while_the_content_does,
           keys_are_content_and_periods_count, what_would_go_down_is_seen, memory_may_end_anywhere)
