// SPDX-License-Identifier: Apache-2.0
// See connected.h.
#include "tests/unit/lifecycle/connected.h"

#include "base/mem.h"
#include "control/connections.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/record.h"
#include "lifecycle/what_if_priv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME                                                                                   \
    "version: 40\ndomain: example.io\nregions:\n"                                               \
    "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: westus, peer: 10.0.0.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n" \
    "  - { name: north, peer: 10.0.0.3:8443, stamps: [{ name: nor-1, ipv4: [192.0.2.3] }] }\n"  \
    "name_servers: [eus-1.eastus]\nviews:\n"                                                    \
    "  - name: corp\n    owner: ada\n    sources: [10.1.0.0/16]\n    networks: [10.1.0.0/16]\n" \
    "    pools:\n      - { name: corp-pool, subnet: 10.1.0.0/27 }\n"                            \
    "      - { name: small, subnet: 10.1.1.0/29, reserved_first: 0, reserved_last: 0 }\n"       \
    "      - { name: large, subnet: 10.1.16.0/20 }\n"                                           \
    "  - name: lab\n    sources: [10.2.0.0/16]\n    pools: [{ name: lab-pool, subnet: "         \
    "10.2.0.0/27, answered_by: balancer }]\n"

void connected_begin(struct asked *a, const char *registries)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_str(&text, FRAME);
    buf_str(&text, registries);
    asked_begin(a, buf_cstr(&text));
}

// ---- connections ----

static bool get(struct asked *a, const char *name, struct arena *arena, struct connection *out)
{
    const struct ledger_look l = deps_ledger(&a->fleet.deps);
    arena_init(arena, 0);
    return !connection_get(&l, name, arena, out);
}

const char *state_of(struct asked *a, const char *name)
{
    static char text[64];
    struct connection c;
    struct arena arena;
    text[0] = 0;
    if (get(a, name, &arena, &c))
        snprintf(text, sizeof text, "%s %s", connection_state_word(c.state),
                 connection_provisioning_word(c.provisioning));
    arena_done(&arena);
    return text;
}

const char *connection_of(struct asked *a, const char *name)
{
    static char text[8192];
    struct connection c;
    struct arena arena;
    char ip[IP_TEXT_SIZE];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", state_of(a, name));
    if (get(a, name, &arena, &c))
        for (size_t i = 0; i < c.n_members; i++)
            for (size_t k = 0; k < c.members[i].n_ips; k++)
                n += (size_t)snprintf(text + n, sizeof text - n, " %s=%s", c.members[i].key,
                                      ip_format(&c.members[i].ips[k], ip));
    arena_done(&arena);
    return text;
}

const char *error_of(struct asked *a, const char *name)
{
    static char text[512];
    struct connection c;
    struct arena arena;
    text[0] = 0;
    if (get(a, name, &arena, &c))
        snprintf(text, sizeof text, "%s", c.error);
    arena_done(&arena);
    return text;
}

const char *held_in(struct asked *a, const char *view)
{
    static char text[8192];
    const struct ledger_look l = deps_ledger(&a->fleet.deps);
    const struct topology *t = a->fleet.t;
    struct address_set s;
    struct arena arena;
    char ip[IP_TEXT_SIZE];
    size_t n = 0;
    arena_init(&arena, 0);
    uint32_t v = (uint32_t)(topology_view(t, view) - t->views);
    ck_assert_int_eq(addresses_held(&l, t, v, a->fleet.now_ms, NULL, &arena, &s), 0);
    text[0] = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "",
                              strrchr(ip_format(&s.list[i], ip), '.') + 1);
    arena_done(&arena);
    return text;
}

// ---- DNS and access ----

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

const char *dns_of(struct asked *a, const char *view, const char *name)
{
    static char texts[4][512];
    static unsigned at;
    char *text = texts[at++ % 4];
    struct arena arena;
    const char *list[64];
    size_t n = 0, used = 0;
    arena_init(&arena, 0);
    struct what_if_names names = {.arena = &arena};
    struct what_if_lines lines = {.arena = &arena};
    ck_assert_int_eq(what_if_add_name(&names, name), 0);
    ck_assert_int_eq(what_if_ask(a->fleet.t, &names, a->fleet.now_ms / 1000, &lines), 0);
    for (size_t i = 0; i < lines.n; i++)
        if (!strcmp(lines.list[i].columns[0], view ? view : "public"))
            list[n++] =
                arena_printf(&arena, "%s %s", lines.list[i].columns[3], lines.list[i].columns[4]);
    if (n)
        qsort(list, n, sizeof *list, by_text);
    text[0] = 0;
    for (size_t i = 0; i < n; i++)
        used +=
            (size_t)snprintf(text + used, sizeof texts[0] - used, "%s%s", i ? " " : "", list[i]);
    arena_done(&arena);
    return text;
}

bool is_admitted(struct asked *a, const char *registry, const char *view)
{
    const struct topology *t = a->fleet.t;
    const struct registry *r = topology_registry(t, registry);
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(t->views[r->private_endpoints[i]->view].name, view))
            return true;
    return false;
}

// ---- asking ----

const char *refusal(struct asked *a, int status, const char *verb, const char *object,
                    const char *arguments)
{
    static char text[1024];
    json_t *body;
    int got = asked(a, verb, object, arguments, &body);
    const json_t *e = json_object_get(body, "error");
    ck_assert_msg(got == status, "%d: %s", got, json_dumps(body, 0));
    snprintf(text, sizeof text, "%s: %s", record_text(e, "code"), record_text(e, "message"));
    if (!e)
        snprintf(text, sizeof text, "%s: %s", record_text(body, "code"),
                 record_text(body, "message"));
    json_decref(body);
    return text;
}

void done(struct asked *a, const char *verb, const char *object, const char *arguments)
{
    json_decref(asked_to_end(a, verb, object, arguments, "Succeeded"));
}

const char *phases_of(struct asked *a, const char *verb, const char *object, const char *arguments,
                      const char *state)
{
    static char text[512];
    json_t *o = asked_to_end(a, verb, object, arguments, state);
    const json_t *list = json_object_get(o, "phases");
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "",
                              record_text(json_array_get(list, i), "name"));
    json_decref(o);
    return text;
}
