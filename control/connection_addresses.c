// SPDX-License-Identifier: Apache-2.0
// Which addresses of a view are held, and by whom; see connections.h.
#include "config/address_pool.h"
#include "config/catalogue.h"
#include "control/connections.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

struct holding {
    const struct topology *t;
    uint32_t view;
    const char *view_name, *but;
    int64_t now_ms;
    struct arena *arena;
    // of one record
    struct arena scratch;
    struct ip *list;
    size_t n, cap;
    int rc;
};

static void hold(struct holding *h, const struct ip *ip)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 64;
        struct ip *list = arena_array(h->arena, cap, sizeof *list);
        if (!list) {
            h->rc = ERR_NOMEM;
            return;
        }
        if (h->n)
            memcpy(list, h->list, h->n * sizeof *list);
        h->list = list;
        h->cap = cap;
    }
    h->list[h->n++] = *ip;
}

static bool counts(const struct holding *h, const char *name)
{
    return !h->but || strcmp(h->but, name) != 0;
}

static void hold_rows(struct holding *h)
{
    struct catalogue_iter it = {0};
    for (const struct catalogue_registry *r; (r = catalogue_next_private(h->t->catalogue, &it));) {
        const struct private_endpoint *const *list;
        size_t n = catalogue_private_endpoints(h->t->catalogue, r, &list);
        for (size_t i = 0; i < n; i++) {
            bool ours = list[i]->view == h->view && counts(h, list[i]->name);
            for (size_t k = 0; ours && k < list[i]->n_members; k++)
                hold(h, &list[i]->members[k].ip);
        }
    }
}

static void hold_connection(struct holding *h, const struct connection *c)
{
    if (strcmp(c->view, h->view_name) != 0 || !connection_holds(c, h->now_ms))
        return;
    for (size_t i = 0; i < c->n_members; i++)
        for (size_t k = 0; k < c->members[i].n_ips; k++)
            hold(h, &c->members[i].ips[k]);
}

static bool hold_record(void *ctx, const char *key, const char *value)
{
    struct holding *h = ctx;
    struct connection c;
    const char *name = key + strlen(CONNECTION_PREFIX);
    // most are of other views, and need not be read
    if (!counts(h, name) || !strstr(value, h->view_name))
        return true;
    arena_init(&h->scratch, 0);
    int rc = connection_parse(name, value, &h->scratch, &c);
    if (!rc)
        hold_connection(h, &c);
    if (rc == ERR_NOMEM)
        h->rc = rc;
    arena_done(&h->scratch);
    return !h->rc;
}

static bool hold_rest(void *ctx, const char *key, const char *value)
{
    struct holding *h = ctx;
    struct rest r;
    struct ip ip;
    const char *slash = strrchr(key, '/');
    if (!slash || ip_parse(slash + 1, &ip))
        return true;
    arena_init(&h->scratch, 0);
    int rc = rest_parse(value, &h->scratch, &r);
    if (!rc && r.until_ms > h->now_ms)
        hold(h, &ip);
    if (rc == ERR_NOMEM)
        h->rc = rc;
    arena_done(&h->scratch);
    return !h->rc;
}

int addresses_held(const struct ledger_look *l, const struct topology *t, uint32_t view,
                   int64_t now_ms, const char *but, struct arena *arena, struct address_set *out)
{
    struct holding h = {.t = t,
                        .view = view,
                        .view_name = t->views[view].name,
                        .but = but,
                        .now_ms = now_ms,
                        .arena = arena};
    AUTO_FREE char *prefix = mem_printf(REST_PREFIX "%s/", h.view_name);
    if (!prefix)
        return ERR_NOMEM;
    hold_rows(&h);
    l->records(l->ctx, CONNECTION_PREFIX, hold_record, &h);
    l->records(l->ctx, prefix, hold_rest, &h);
    if (h.rc)
        return h.rc;
    *out = (struct address_set){h.list, ip_set_make(h.list, h.n)};
    return 0;
}

// ---- rest ----

const char *rest_key(struct arena *arena, const char *view, const struct ip *ip)
{
    char text[IP_TEXT_SIZE];
    return arena_printf(arena, REST_PREFIX "%s/%s", view, ip_format(ip, text));
}

int rest_record(struct arena *arena, const char *view, const struct ip *ip, const struct rest *r,
                struct control_record *out)
{
    json_t *j = json_pack("{s:I, s:s, s:s*}", "until", (json_int_t)r->until_ms, "was", r->was,
                          "wasOf", r->was_of);
    AUTO_FREE char *text = control_record_text(j);
    json_decref(j);
    if (!text)
        return ERR_NOMEM;
    *out = (struct control_record){rest_key(arena, view, ip), arena_strdup(arena, text)};
    return out->key && out->value ? 0 : ERR_NOMEM;
}

int rest_parse(const char *text, struct arena *arena, struct rest *out)
{
    json_t *j = json_loads(text, 0, NULL);
    const json_t *until = json_object_get(j, "until");
    const char *was = json_string_value(json_object_get(j, "was")),
               *was_of = json_string_value(json_object_get(j, "wasOf"));
    int rc = ERR_INVAL;
    if (json_is_integer(until) && was) {
        *out = (struct rest){json_integer_value(until), arena_strdup(arena, was),
                             arena_strdup(arena, was_of ? was_of : "")};
        rc = out->was && out->was_of ? 0 : ERR_NOMEM;
    }
    json_decref(j);
    return rc;
}
