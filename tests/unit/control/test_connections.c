// SPDX-License-Identifier: Apache-2.0
// control/connections: records are read as they were written, bounded, and say which addresses of a
// view are held: by rows, by records, and by what rests.
#include "control/connections.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/address_pool.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define NOW 1790000000000

static struct arena a;

static struct ip ip_of(const char *text)
{
    struct ip ip;
    ck_assert_msg(!ip_parse(text, &ip), "%s", text);
    return ip;
}

// Members "registry=10.4.0.4 registry_data_eastus=10.4.0.5"
static void members(struct connection *c, const char *text)
{
    c->members = arena_array(&a, 256, sizeof *c->members);
    for (const char *p = text; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " "), key_n = strcspn(p, "=");
        struct ip *ip = arena_alloc(&a, sizeof *ip);
        *ip = ip_of(arena_strndup(&a, p + key_n + 1, n - key_n - 1));
        c->members[c->n_members++] = (struct spec_member){arena_strndup(&a, p, key_n), ip, 1};
        p += n;
    }
    members_sort(c->members, c->n_members);
}

static struct connection connection_of(const char *name, enum connection_state state,
                                       const char *text)
{
    struct connection c = {.name = name,
                           .registry = "contoso@42",
                           .view = "corp",
                           .pool = "corp-pool",
                           .error = "",
                           .answered_by = ANSWERED_BY_EDGE};
    members(&c, text);
    connection_move(&c, state, "operator:ada", "please", NOW);
    return c;
}

static const char *keys(const struct connection *c)
{
    static char text[4096];
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < c->n_members; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "", c->members[i].key);
    return text;
}

START_TEST(a_record_is_read_as_it_was_written)
{
    struct control_record r, again;
    struct connection back;
    arena_init(&a, 0);
    struct connection c = connection_of(
        "corp-pe", CONNECTION_PENDING,
        "registry_westus=10.4.0.8 registry_africa=10.4.0.9 registry_data_westus=fd00::7 "
        "registry_data_africa=10.4.0.6 registry=10.4.0.4");
    c.provisioning = PROVISIONING_FAILED;
    c.error = "10.4.0.4: \"nobody\" answered";
    c.automatic = c.is_static = true;
    c.answered_ms = 5;
    c.rest_ms = 7;
    c.answered_by = ANSWERED_BY_BALANCER;
    ck_assert_int_eq(connection_record(&c, &a, &r), 0);
    ck_assert_str_eq(r.key, "connection/corp-pe");
    ck_assert_int_eq(connection_parse("corp-pe", r.value, &a, &back), 0);
    ck_assert_str_eq(keys(&back), "registry registry_data_africa registry_africa "
                                  "registry_data_westus registry_westus");
    ck_assert_str_eq(back.error, c.error);
    ck_assert(back.automatic && back.is_static && back.answered_ms == 5 && back.rest_ms == 7);
    ck_assert_int_eq(back.answered_by, ANSWERED_BY_BALANCER);
    ck_assert_int_eq(back.state, CONNECTION_PENDING);
    ck_assert_str_eq(back.moves[0].by, "operator:ada");
    ck_assert_int_eq(connection_record(&back, &a, &again), 0);
    ck_assert_str_eq(again.value, r.value);
    arena_done(&a);
}
END_TEST

START_TEST(what_no_writer_makes_is_refused)
{
    static const char *const bad[] = {
        "", "[]", "{}", "{\"registry\":\"contoso\"}", "{\"registry\":7,\"view\":\"corp\"}",
    };
    struct connection c;
    struct control_record r;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(connection_parse("pe", bad[i], &a, &c), ERR_INVAL);
    c = connection_of("pe", CONNECTION_PENDING, "registry=10.4.0.4");
    ck_assert_int_eq(connection_record(&c, &a, &r), 0);
    ck_assert_int_eq(connection_parse("pe/q", r.value, &a, &c), ERR_INVAL);
    static const char *const parts[] = {"\"Pending\"", "\"Succeeded\"", "\"10.4.0.4\"", "\"edge\"",
                                        "false"};
    for (size_t i = 0; i < 4; i++) {
        char *copy = arena_strdup(&a, r.value), *at = strstr(copy, parts[i]);
        ck_assert_ptr_nonnull(at);
        at[1] = 'x';
        ck_assert_msg(connection_parse("pe", copy, &a, &c) == ERR_INVAL, "%s", copy);
    }
    arena_done(&a);
}
END_TEST

START_TEST(moves_and_size_are_bounded)
{
    struct control_record r;
    struct connection back;
    AUTO_BUF struct buf many;
    char text[3 * CONNECTION_TEXT_MAX + 1] = "";
    arena_init(&a, 0);
    buf_init(&many, 0);
    buf_str(&many, "registry=10.4.0.4");
    for (int i = 0; i < 64; i++)
        buf_printf(&many, " registry_data_aaaaaaaaaaaaaaaaaaaaaaaaaaaa%02d=10.4.1.%d", i, i);
    for (int i = 0; i < 64; i++)
        buf_printf(&many, " registry_aaaaaaaaaaaaaaaaaaaaaaaaaaaa%02d=10.4.2.%d", i, i);
    struct connection c = connection_of("pe", CONNECTION_PENDING, buf_cstr(&many));
    for (int i = 0; i < CONNECTION_TEXT_MAX; i++)
        strcat(text, "\xe2\x82\xac"); // three bytes each
    ck_assert(connection_text_ok(text));
    for (int i = 0; i < 40; i++)
        connection_move(&c, CONNECTION_APPROVED, "operator:a-rather-long-name@example.io", text,
                        NOW + i);
    ck_assert_uint_eq(c.n_moves, CONNECTION_MOVES_MAX);
    ck_assert_int_eq(c.moves[CONNECTION_MOVES_MAX - 1].at_ms, NOW + 39);
    ck_assert_int_eq(connection_record(&c, &a, &r), 0);
    ck_assert_uint_le(strlen(r.value), CONNECTION_MAX_BYTES);
    ck_assert_int_eq(connection_parse("pe", r.value, &a, &back), 0);
    ck_assert_uint_eq(back.n_members, c.n_members);
    // the oldest are left out
    ck_assert_uint_gt(back.n_moves, 4);
    ck_assert_int_eq(back.moves[back.n_moves - 1].at_ms, NOW + 39);
    arena_done(&a);
}
END_TEST

START_TEST(texts_are_plain)
{
    char longer[CONNECTION_TEXT_MAX + 2];
    memset(longer, 'x', sizeof longer);
    longer[CONNECTION_TEXT_MAX] = 0;
    ck_assert(connection_text_ok("") && connection_text_ok("für die Fabrik") &&
              connection_text_ok(longer));
    longer[CONNECTION_TEXT_MAX] = 'x';
    longer[CONNECTION_TEXT_MAX + 1] = 0;
    ck_assert(!connection_text_ok(longer));
    ck_assert(!connection_text_ok("a\nb") && !connection_text_ok("a\x7f") &&
              !connection_text_ok("a\xc2\x9b[31m") && !connection_text_ok("a\xff"));
}
END_TEST

// ---- addresses that are held ----

#define TOPOLOGY                                                                               \
    "version: 1\ndomain: example.io\nregions:\n"                                               \
    "  - { name: a, peer: 10.0.0.1:1, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"            \
    "name_servers: [s.a]\nviews:\n  - { name: corp, sources: [10.4.0.0/16] }\n"                \
    "  - { name: lab, sources: [10.5.0.0/16] }\nregistries:\n"                                 \
    "  - { name: contoso, replicas: [{ region: a }] }\nprivate_endpoints:\n"                   \
    "  - { name: by-hand, registry: contoso, view: corp, stage: edge, addresses: { registry: " \
    "10.4.0.40 } }\n"                                                                          \
    "  - { name: elsewhere, registry: contoso, view: lab, addresses: { registry: 10.4.0.41 } }\n"

struct ledger {
    struct control_record list[32];
    size_t n;
};

static int look(void *ctx, const char *key, struct buf *out)
{
    const struct ledger *l = ctx;
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->list[i].key, key)) {
            buf_str(out, l->list[i].value);
            return out->err;
        }
    return ERR_NOTFOUND;
}

static void visit_all(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v)
{
    const struct ledger *l = ctx;
    for (size_t i = l->n; i-- > 0;) // in whatever order
        if (!strncmp(l->list[i].key, prefix, strlen(prefix)) &&
            !visit(v, l->list[i].key, l->list[i].value))
            return;
}

static void put(struct ledger *l, struct connection c)
{
    ck_assert_int_eq(connection_record(&c, &a, &l->list[l->n++]), 0);
}

static void put_rest(struct ledger *l, const char *view, const char *ip, int64_t until)
{
    const struct rest r = {until, "someone", "contoso"};
    const struct ip at = ip_of(ip);
    ck_assert_int_eq(rest_record(&a, view, &at, &r, &l->list[l->n++]), 0);
}

static const char *held(const struct ledger_look *l, const struct topology *t, const char *but)
{
    static char text[1024];
    struct address_set s;
    char ip[IP_TEXT_SIZE];
    size_t n = 0;
    ck_assert_int_eq(addresses_held(l, t, 0, NOW, but, &a, &s), 0);
    text[0] = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "",
                              strrchr(ip_format(&s.list[i], ip), '.') + 1);
    return text;
}

START_TEST(all_that_may_still_be_answered_is_held)
{
    struct topology *t = NULL;
    struct ledger ledger = {.n = 0};
    const struct ledger_look l = {&ledger, look, visit_all};
    arena_init(&a, 0);
    ck_assert_int_eq(topology_parse(TOPOLOGY, strlen(TOPOLOGY), "t", NULL, &t), 0);
    ck_assert_str_eq(held(&l, t, NULL), "40");
    put(&ledger, connection_of("pending", CONNECTION_PENDING, "registry=10.4.0.4"));
    put(&ledger, connection_of("approved", CONNECTION_APPROVED,
                               "registry=10.4.0.5 registry_data_a=10.4.0.6"));
    struct connection c = connection_of("never", CONNECTION_REJECTED, "registry=10.4.0.7");
    put(&ledger, c); // was never answered
    c = connection_of("rests", CONNECTION_REJECTED, "registry=10.4.0.8");
    c.rest_ms = NOW + 1;
    put(&ledger, c);
    c = connection_of("rested", CONNECTION_DISCONNECTED, "registry=10.4.0.9");
    c.rest_ms = NOW;
    put(&ledger, c);
    c = connection_of("lab", CONNECTION_APPROVED, "registry=10.4.0.10");
    c.view = "lab";
    put(&ledger, c);
    put_rest(&ledger, "corp", "10.4.0.11", NOW + 1);
    put_rest(&ledger, "corp", "10.4.0.12", NOW);
    put_rest(&ledger, "corp2", "10.4.0.13", NOW + 1);
    put_rest(&ledger, "lab", "10.4.0.14", NOW + 1);
    ledger.list[ledger.n++] = (struct control_record){"connection/odd", "{\"view\":\"corp\"}"};
    ck_assert_str_eq(held(&l, t, NULL), "4 5 6 8 11 40");
    ck_assert_str_eq(held(&l, t, "approved"), "4 8 11 40");
    ck_assert_str_eq(held(&l, t, "by-hand"), "4 5 6 8 11");
    ck_assert_str_eq(held(&l, t, "someone"), "4 5 6 8 11 40");
    snapshot_unref(t);
    arena_done(&a);
}
END_TEST

START_TEST(connections_of_a_registry_are_those_of_its_key)
{
    struct ledger ledger = {.n = 0};
    const struct ledger_look l = {&ledger, look, visit_all};
    struct connection c, *list;
    size_t n;
    arena_init(&a, 0);
    put(&ledger, connection_of("two", CONNECTION_PENDING, "registry=10.4.0.4"));
    put(&ledger, connection_of("one", CONNECTION_PENDING, "registry=10.4.0.5"));
    c = connection_of("older", CONNECTION_PENDING, "registry=10.4.0.6");
    c.registry = "contoso@4"; // deleted since
    put(&ledger, c);
    ck_assert_int_eq(connections_of(&l, "contoso@42", &a, &list, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(list[0].name, "one");
    ck_assert_int_eq(connections_of(&l, "contoso@4", &a, &list, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(connections_of(&l, NULL, &a, &list, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(connection_get(&l, "two", &a, &c), 0);
    ck_assert_str_eq(c.registry, "contoso@42");
    ck_assert_int_eq(connection_get(&l, "three", &a, &c), ERR_NOTFOUND);
    arena_done(&a);
}
END_TEST

CHECK_MAIN("control/connections", a_record_is_read_as_it_was_written,
           what_no_writer_makes_is_refused, moves_and_size_are_bounded, texts_are_plain,
           all_that_may_still_be_answered_is_held, connections_of_a_registry_are_those_of_its_key)
