// SPDX-License-Identifier: Apache-2.0
// The records that a topology gives, asked of the resolver's own answers; see what_if_priv.h. Each
// owner is asked for by itself, so that of a chain only its first link counts.
#include "lifecycle/what_if_priv.h"

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/hostname.h"
#include "dns/name.h"
#include "dns/types.h"
#include "resolver/answer/answer.h"
#include "resolver/packet/wire.h"
#include "resolver/route/views.h"

#include <ldns/ldns.h>
#include <string.h>

// Clients that are asked for, in the public view and in a private one.
#define CLIENTS_PUBLIC 64
#define CLIENTS_VIEW 8

// ---- names ----

int what_if_add_name(struct what_if_names *x, const char *name)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 64;
        const char **list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (x->n)
            memcpy(list, x->list, x->n * sizeof *list);
        x->list = list;
        x->cap = cap;
    }
    const char *copy = arena_strdup(x->arena, name);
    if (!copy)
        return ERR_NOMEM;
    x->list[x->n++] = copy;
    return 0;
}

static int add_both_forms(const struct topology *t, const struct registry *r, enum name_kind kind,
                          const char *region, struct what_if_names *out)
{
    const enum name_kind forms[] = {kind, hostname_private_of(kind)};
    char name[HOSTNAME_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (hostname_format(forms[i], t->domain, r->label, region, NULL, name))
            continue;
        int rc = what_if_add_name(out, name);
        if (rc)
            return rc;
    }
    return 0;
}

int what_if_registry_names(const struct topology *t, const struct registry *r,
                           struct what_if_names *out)
{
    int rc = add_both_forms(t, r, NAME_GLOBAL, NULL, out);
    for (size_t i = 0; i < r->n_replicas && !rc; i++) {
        const char *region = t->regions[r->replicas[i].region].name;
        rc = add_both_forms(t, r, NAME_REGIONAL, region, out);
        if (!rc)
            rc = add_both_forms(t, r, NAME_DATA, region, out);
    }
    return rc;
}

static int add_frontends(const struct topology *t, struct what_if_names *out)
{
    char name[HOSTNAME_TEXT_SIZE];
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++) {
            const struct region *r = &t->regions[i];
            if (hostname_format(NAME_FRONTEND, t->domain, NULL, r->name, r->stamps[k].name, name))
                continue;
            int rc = what_if_add_name(out, name);
            if (rc)
                return rc;
        }
    return 0;
}

// "_acme-challenge.eus-1.eastus.fe.D" of labels in wire form before D.
static int add_static(const struct topology *t, const struct static_name *s,
                      struct what_if_names *out)
{
    char name[DNS_NAME_MAX + HOSTNAME_TEXT_SIZE] = "";
    size_t n = 0;
    for (size_t at = 0; at < s->labels_n; at += 1u + s->labels[at])
        n += (size_t)snprintf(name + n, sizeof name - n, "%.*s.", s->labels[at],
                              (const char *)s->labels + at + 1);
    snprintf(name + n, sizeof name - n, "%s", t->domain);
    return what_if_add_name(out, name);
}

int what_if_frame_names(const struct topology *t, struct what_if_names *out)
{
    int rc = add_frontends(t, out);
    if (!rc)
        rc = what_if_add_name(out, t->domain);
    for (size_t i = 0; i < t->n_statics && !rc; i++)
        rc = add_static(t, &t->statics[i], out);
    return rc;
}

// ---- lines ----

int what_if_add_line(struct what_if_lines *x, const struct what_if_line *line)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 64;
        struct what_if_line *list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (x->n)
            memcpy(list, x->list, x->n * sizeof *list);
        x->list = list;
        x->cap = cap;
    }
    x->list[x->n++] = *line;
    return 0;
}

// ---- clients ----

struct clients { // of a view
    // NULL: the public one
    const struct view *view;
    const struct endpoint *listener;
    struct ip list[CLIENTS_PUBLIC];
    size_t n;
};

static uint64_t mix(uint64_t x) // splitmix64
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

// Address number i of a network: its first, then some all over it.
static struct ip address_in(const struct cidr *net, size_t i)
{
    struct ip ip = net->ip;
    uint64_t bits[2] = {mix(2 * i), mix(2 * i + 1)};
    for (unsigned at = net->bits; i && at < 128; at++) {
        if (bits[at / 64] >> (at % 64) & 1)
            ip.b[at / 8] |= (uint8_t)(0x80 >> at % 8);
    }
    return ip;
}

static void add_client(const struct topology *t, struct clients *c, const struct ip *ip)
{
    const struct view *view;
    if (c->n < ARRAY_LEN(c->list) && !view_choose(t, c->listener, ip, &view) && view == c->view)
        c->list[c->n++] = *ip;
}

static void clients_anywhere(const struct topology *t, struct clients *c, size_t want)
{
    static const struct cidr v4 = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}}, 96};
    for (size_t i = 1; c->n < want && i <= 4 * want; i++) {
        struct ip ip = address_in(&v4, i);
        if (!ip_special_bits(&ip, true))
            add_client(t, c, &ip);
    }
}

static void clients_of_sources(const struct topology *t, struct clients *c, size_t want)
{
    size_t n = c->view->n_sources;
    for (size_t i = 0; c->n < want && i < 4 * want; i++) {
        struct ip ip = address_in(&c->view->sources[i % n], i / n);
        add_client(t, c, &ip);
    }
}

static void clients_of(const struct topology *t, const struct view *view, struct clients *out)
{
    *out = (struct clients){.view = view};
    if (!view) {
        for (size_t i = 0; i < t->n_overrides && out->n < CLIENTS_PUBLIC / 2; i++)
            add_client(t, out, &t->overrides[i].cidr.ip);
        clients_anywhere(t, out, CLIENTS_PUBLIC);
        return;
    }
    if (view->n_listeners)
        out->listener = &view->listeners[0];
    if (view->n_sources)
        clients_of_sources(t, out, CLIENTS_VIEW);
    else
        clients_anywhere(t, out, CLIENTS_VIEW);
}

// ---- asking ----

struct asking {
    const struct topology *t;
    struct arena *arena;
    int64_t now_s;
    const struct clients *clients;
    // of one name
    const char *name;
    uint8_t wire[DNS_NAME_MAX];
    size_t wire_n;
    ldns_rdf *owner;
    // the records that clients were given, each once
    struct found {
        const char *ttl, *type, *data;
        size_t n;
    } * found;
    size_t n_found, cap_found;
    uint8_t *packet;
};

static size_t query_for(const struct asking *x, enum dns_type type, uint8_t out[512])
{
    static const uint8_t header[] = {0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    struct dns_writer w;
    dns_writer_init(&w, out, 512);
    dns_write_bytes(&w, header, sizeof header);
    dns_write_bytes(&w, x->wire, x->wire_n);
    dns_write_u16(&w, (uint16_t)type);
    dns_write_u16(&w, DNS_IN);
    return w.n;
}

static int count(struct asking *x, const char *ttl, const char *type, const char *data)
{
    for (size_t i = 0; i < x->n_found; i++) {
        struct found *f = &x->found[i];
        if (!strcmp(f->ttl, ttl) && !strcmp(f->type, type) && !strcmp(f->data, data)) {
            f->n++;
            return 0;
        }
    }
    if (x->n_found == x->cap_found) {
        size_t cap = x->cap_found ? 2 * x->cap_found : 16;
        struct found *list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (x->n_found)
            memcpy(list, x->found, x->n_found * sizeof *list);
        x->found = list;
        x->cap_found = cap;
    }
    struct found *f = &x->found[x->n_found];
    *f = (struct found){arena_strdup(x->arena, ttl), arena_strdup(x->arena, type),
                        arena_strdup(x->arena, data), 1};
    if (!f->ttl || !f->type || !f->data)
        return ERR_NOMEM;
    x->n_found++;
    return 0;
}

// "owner. 300 IN CNAME data."; names lose the root's dot.
static int count_record(struct asking *x, const ldns_rr *rr)
{
    AUTO_FREE char *text = ldns_rr2str(rr);
    if (!text)
        return ERR_NOMEM;
    text[strcspn(text, "\n")] = 0;
    char *parts[5] = {NULL}, *at = text;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        parts[i] = at;
        if (i == ARRAY_LEN(parts) - 1)
            break;
        at += strcspn(at, "\t");
        if (!*at)
            return 0;
        *at++ = 0;
    }
    size_t n = strlen(parts[4]);
    while (n && (parts[4][n - 1] == ' ' || parts[4][n - 1] == '\t'))
        parts[4][--n] = 0;
    if (n > 1 && parts[4][n - 1] == '.')
        parts[4][n - 1] = 0;
    return count(x, parts[1], parts[3], parts[4]);
}

// *out_n: how many records of the owner itself there were.
static int ask_one(struct asking *x, const struct ip *client, enum dns_type type, size_t *out_n)
{
    const struct answer_context c = {.topology = x->t,
                                     .transport = ANSWER_TCP,
                                     .source = *client,
                                     .listener = x->clients->listener,
                                     .now_s = x->now_s};
    uint8_t query[512];
    struct answer_info info;
    ldns_pkt *pkt = NULL;
    size_t n = query_for(x, type, query);
    size_t got = answer_packet(&c, query, n, x->packet, ANSWER_TCP_MAX, &info);
    *out_n = 0;
    if (!got || ldns_wire2pkt(&pkt, x->packet, got) != LDNS_STATUS_OK)
        return 0;
    const ldns_rr_list *answer = ldns_pkt_answer(pkt);
    int rc = 0;
    for (size_t i = 0; i < ldns_rr_list_rr_count(answer) && !rc; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answer, i);
        if (ldns_dname_compare(ldns_rr_owner(rr), x->owner) != 0)
            continue;
        rc = count_record(x, rr);
        ++*out_n;
    }
    ldns_pkt_free(pkt);
    return rc;
}

static int ask_client(struct asking *x, const struct ip *client)
{
    static const enum dns_type types[] = {DNS_CNAME, DNS_A,   DNS_AAAA, DNS_NS,
                                          DNS_MX,    DNS_TXT, DNS_CAA};
    struct hostname h;
    enum name_kind kind = hostname_parse(x->name, x->t->domain, &h);
    // what else there may be stands at the apex and at names of the topology's own alone
    size_t n_types = kind == NAME_APEX || kind == NAME_INVALID ? ARRAY_LEN(types) : 3;
    for (size_t i = 0; i < n_types; i++) {
        size_t n;
        int rc = ask_one(x, client, types[i], &n);
        if (rc)
            return rc;
        if (types[i] == DNS_CNAME && n)
            break;
    }
    return 0;
}

static const char *view_name(const struct clients *c)
{
    if (c->view)
        return c->view->name;
    return "public";
}

static int add_found(struct asking *x, struct what_if_lines *out)
{
    for (size_t i = 0; i < x->n_found; i++) {
        const struct found *f = &x->found[i];
        struct what_if_line line = {
            {view_name(x->clients), x->name, f->ttl, f->type, f->data, NULL}};
        size_t percent = (f->n * 100 + x->clients->n / 2) / x->clients->n;
        if (f->n < x->clients->n) {
            line.columns[5] = arena_printf(x->arena, "%zu%%", percent ? percent : 1);
            if (!line.columns[5])
                return ERR_NOMEM;
        }
        int rc = what_if_add_line(out, &line);
        if (rc)
            return rc;
    }
    return 0;
}

// Only answers of global names depend on who asks in a view.
static size_t clients_for(const struct asking *x)
{
    struct hostname h;
    enum name_kind kind = hostname_parse(x->name, x->t->domain, &h);
    if (hostname_public_of(kind) == NAME_GLOBAL)
        return x->clients->n;
    return 1;
}

static int ask_name(struct asking *x, struct what_if_lines *out)
{
    x->wire_n = dns_name_from_text(x->name, x->wire);
    x->n_found = 0;
    if (!x->wire_n)
        return 0;
    x->owner = ldns_dname_new_frm_str(x->name);
    if (!x->owner)
        return ERR_NOMEM;
    size_t n = clients_for(x);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = ask_client(x, &x->clients->list[i]);
    ldns_rdf_deep_free(x->owner);
    if (n == 1) // one stands for all
        for (size_t i = 0; i < x->n_found; i++)
            x->found[i].n = x->clients->n;
    if (rc)
        return rc;
    return add_found(x, out);
}

static int ask_view(struct asking *x, const struct view *view, const struct what_if_names *names,
                    struct what_if_lines *out)
{
    struct clients c;
    clients_of(x->t, view, &c);
    x->clients = &c;
    int rc = 0;
    for (size_t i = 0; c.n && i < names->n && !rc; i++) {
        x->name = names->list[i];
        rc = ask_name(x, out);
    }
    x->clients = NULL;
    return rc;
}

int what_if_ask(const struct topology *t, const struct what_if_names *names, int64_t now_s,
                struct what_if_lines *out)
{
    AUTO_FREE uint8_t *packet = mem_alloc(ANSWER_TCP_MAX);
    struct asking x = {.t = t, .arena = out->arena, .now_s = now_s, .packet = packet};
    if (!packet)
        return ERR_NOMEM;
    int rc = ask_view(&x, NULL, names, out);
    for (size_t i = 0; i < t->n_views && !rc; i++)
        rc = ask_view(&x, &t->views[i], names, out);
    return rc;
}
