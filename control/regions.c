// SPDX-License-Identifier: Apache-2.0
// Regions in a document's text; see regions.h. Sections are read as trees and written again in one
// form: a key, then an item a line, scalars in quotes.
#include "control/regions.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/document.h"
#include "config/topology_control.h"
#include "control/sections.h"

#include <string.h>

#define SECTION_MAX_BYTES (8u << 20)
#define REPLICAS_SHOWN 3

// --- trees to text ---

static void put_scalar(struct buf *b, const char *s)
{
    buf_str(b, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_u8(b, '\\');
        if (*s == '\n')
            buf_str(b, "\\n");
        else if (*s == '\t')
            buf_str(b, "\\t");
        else
            buf_u8(b, (uint8_t)*s);
    }
    buf_str(b, "\"");
}

static bool is_null(const struct doc_node *v)
{
    return v->kind == DOC_SCALAR && v->plain && !v->n;
}

static void put_node(struct buf *b, const struct doc_node *v)
{
    static const char *const open[] = {"", "[", "{ "}, *const close[] = {"", "]", " }"};
    if (v->kind == DOC_SCALAR) {
        put_scalar(b, v->text);
        return;
    }
    size_t n = 0;
    buf_str(b, open[v->kind]);
    for (const struct doc_node *c = v->child; c; c = c->next) {
        if (is_null(c))
            continue; // as if it were not given
        buf_str(b, n++ ? ", " : "");
        if (v->kind == DOC_MAP)
            buf_printf(b, "%s: ", c->key);
        put_node(b, c);
    }
    buf_str(b, close[v->kind]);
}

static void put_items(struct buf *b, const struct doc_node *list, const char *but)
{
    for (const struct doc_node *v = list ? list->child : NULL; v; v = v->next) {
        const struct doc_node *name = doc_get(v, "name");
        if (but && name && name->kind == DOC_SCALAR && !strcmp(name->text, but))
            continue;
        buf_str(b, "  - ");
        put_node(b, v);
        buf_str(b, "\n");
    }
}

// --- lists of names ---

// "eastus+eastus2" without one of them; false: nothing is left.
static bool order_without(const char *item, const char *region, struct buf *out)
{
    size_t left = 0, n = strlen(region);
    while (*item) {
        size_t k = strcspn(item, "+");
        if (k != n || memcmp(item, region, n) != 0) {
            buf_str(out, left++ ? "+" : "");
            buf_add(out, item, k);
        }
        item += k + (item[k] == '+');
    }
    return left > 0;
}

static bool is_of_region(const char *stamp_dot_region, const char *region)
{
    const char *dot = strrchr(stamp_dot_region, '.');
    return dot && !strcmp(dot + 1, region);
}

// Takes items out of a list of scalars, in the tree. `dotted`: of the form stamp.region.
static int list_without(struct doc_node *list, const char *region, bool dotted, struct arena *a)
{
    if (!list || list->kind != DOC_LIST)
        return 0;
    struct doc_node **at = &list->child;
    while (*at) {
        struct doc_node *v = *at;
        AUTO_BUF struct buf rest;
        buf_init(&rest, 4096);
        bool goes = v->kind == DOC_SCALAR;
        if (goes && dotted)
            goes = is_of_region(v->text, region);
        else if (goes)
            goes = !order_without(v->text, region, &rest);
        if (goes) {
            *at = v->next;
            list->n--;
            continue;
        }
        if (v->kind == DOC_SCALAR && !dotted) {
            v->text = arena_strndup(a, buf_cstr(&rest), rest.n);
            v->n = rest.n;
            if (!v->text || rest.err)
                return ERR_NOMEM;
        }
        at = &v->next;
    }
    return 0;
}

static struct doc_node *member(const struct doc_node *map, const char *key)
{
    return (struct doc_node *)doc_get(map, key); // the tree is ours
}

// An override that prefers nobody any more goes as a whole.
static int overrides_without(struct doc_node *list, const char *region, struct arena *a)
{
    if (!list || list->kind != DOC_LIST)
        return 0;
    for (struct doc_node **at = &list->child; *at;) {
        struct doc_node *order = member(*at, "order");
        int rc = list_without(order, region, false, a);
        if (rc)
            return rc;
        if (order && order->kind == DOC_LIST && !order->child) {
            *at = (*at)->next;
            list->n--;
        } else {
            at = &(*at)->next;
        }
    }
    return 0;
}

static void map_without(struct doc_node *map, const char *key)
{
    if (!map || map->kind != DOC_MAP)
        return;
    for (struct doc_node **at = &map->child; *at; at = &(*at)->next)
        if (!strcmp((*at)->key, key)) {
            *at = (*at)->next;
            map->n--;
            return;
        }
}

static bool empty(const struct doc_node *v)
{
    return v->kind != DOC_SCALAR && !v->child;
}

// A section as a block: a member or an item a line. "": it is empty, and goes.
static const char *section_text(const char *key, const struct doc_node *v, struct arena *a)
{
    AUTO_BUF struct buf b;
    buf_init(&b, SECTION_MAX_BYTES);
    if (empty(v))
        return "";
    buf_printf(&b, "%s:\n", key);
    for (const struct doc_node *c = v->child; c; c = c->next) {
        if (is_null(c) || empty(c))
            continue;
        if (v->kind == DOC_MAP)
            buf_printf(&b, "  %s: ", c->key);
        else
            buf_str(&b, "  - ");
        put_node(&b, c);
        buf_str(&b, "\n");
    }
    if (b.err)
        return NULL;
    return arena_strdup(a, buf_cstr(&b));
}

// --- the document ---

static int parse(const char *text, size_t n, struct arena *a, struct doc_node **out)
{
    int rc = doc_parse(text, n, "topology", a, NULL, out);
    if (rc)
        return rc;
    if ((*out)->kind != DOC_MAP)
        return ERR_INVAL;
    const struct doc_node *regions = doc_get(*out, "regions");
    if (!regions || regions->kind != DOC_LIST)
        return ERR_INVAL;
    return 0;
}

static bool has_region(const struct doc_node *root, const char *region)
{
    for (const struct doc_node *v = doc_get(root, "regions")->child; v; v = v->next) {
        const struct doc_node *name = doc_get(v, "name");
        if (name && name->kind == DOC_SCALAR && !strcmp(name->text, region))
            return true;
    }
    return false;
}

static void put_addresses(struct buf *b, const char *key, const struct ip *list, size_t n)
{
    char text[IP_TEXT_SIZE];
    if (!n)
        return;
    buf_printf(b, ", %s: [", key);
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s\"%s\"", i ? ", " : "", ip_format(&list[i], text));
    buf_str(b, "]");
}

static bool row_ok(const struct region_row *row)
{
    if (!hostname_region_ok(row->name) || !hostname_stamp_ok(row->stamp))
        return false;
    if (row->n_ipv4 + row->n_ipv6 == 0 || row->n_ipv4 > REGION_ROW_ADDRESSES_MAX ||
        row->n_ipv6 > REGION_ROW_ADDRESSES_MAX)
        return false;
    return row->peer.port && (!row->location || !strpbrk(row->location, "\"\\\n\r\t"));
}

static void put_row(struct buf *b, const struct region_row *row)
{
    char at[ENDPOINT_TEXT_SIZE];
    buf_printf(b, "  - { name: \"%s\", stamps: [{ name: \"%s\"", row->name, row->stamp);
    put_addresses(b, "ipv4", row->ipv4, row->n_ipv4);
    put_addresses(b, "ipv6", row->ipv6, row->n_ipv6);
    buf_printf(b, " }], peer: \"%s\"", endpoint_format(&row->peer, at));
    if (row->location)
        buf_printf(b, ", location: \"%s\"", row->location);
    buf_str(b, " }\n");
}

int regions_add(const char *text, size_t n, const struct region_row *row, struct arena *a,
                struct buf *out)
{
    struct doc_node *root;
    if (!row_ok(row))
        return ERR_INVAL;
    int rc = parse(text, n, a, &root);
    if (rc)
        return rc;
    if (has_region(root, row->name))
        return ERR_EXISTS;
    AUTO_BUF struct buf regions, servers, whole;
    buf_init(&regions, SECTION_MAX_BYTES);
    buf_init(&servers, SECTION_MAX_BYTES);
    buf_init(&whole, 0);
    buf_str(&regions, "regions:\n");
    put_items(&regions, doc_get(root, "regions"), NULL);
    put_row(&regions, row);
    buf_str(&servers, "name_servers:\n");
    put_items(&servers, doc_get(root, "name_servers"), NULL);
    buf_printf(&servers, "  - \"%s.%s\"\n", row->stamp, row->name);
    buf_add(&whole, text, n);
    if (regions.err || servers.err || whole.err)
        return ERR_NOMEM;
    const struct edit_section list[] = {{"regions", buf_cstr(&regions)},
                                        {"name_servers", buf_cstr(&servers)}};
    edit_sections(buf_cstr(&whole), list, row->name_server ? 2 : 1, 0, out);
    return out->err;
}

int regions_remove(const char *text, size_t n, const char *region, struct arena *a, struct buf *out)
{
    struct doc_node *root;
    int rc = parse(text, n, a, &root);
    if (rc)
        return rc;
    if (!has_region(root, region))
        return ERR_NOTFOUND;
    AUTO_BUF struct buf regions, whole;
    buf_init(&regions, SECTION_MAX_BYTES);
    buf_init(&whole, 0);
    buf_str(&regions, "regions:\n");
    put_items(&regions, doc_get(root, "regions"), region);
    buf_add(&whole, text, n);
    if (regions.err || whole.err)
        return ERR_NOMEM;
    struct edit_section list[4] = {{"regions", buf_cstr(&regions)}};
    size_t n_list = 1;
    struct doc_node *routing = member(root, "routing");
    rc = list_without(member(root, "name_servers"), region, true, a);
    if (!rc)
        rc = list_without(member(routing, "order"), region, false, a);
    if (!rc)
        rc = overrides_without(member(routing, "overrides"), region, a);
    if (rc)
        return rc;
    map_without(member(root, "identities"), region);
    static const char *const keys[] = {"name_servers", "routing", "identities"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct doc_node *v = doc_get(root, keys[i]);
        if (!v)
            continue;
        list[n_list] = (struct edit_section){keys[i], section_text(keys[i], v, a)};
        if (!list[n_list++].text)
            return ERR_NOMEM;
    }
    edit_sections(buf_cstr(&whole), list, n_list, 0, out);
    return out->err;
}

// --- what stands against it ---

static const char *replicas_there(const struct topology *t, const struct region *r, struct arena *a)
{
    AUTO_BUF struct buf names;
    buf_init(&names, 4096);
    size_t n = 0;
    struct catalogue_iter it = {0};
    for (const struct registry *x; (x = topology_next(t, &it));) {
        if (!registry_replica(x, r->index))
            continue;
        if (n++ < REPLICAS_SHOWN)
            buf_printf(&names, "%s%s", n > 1 ? ", " : "", x->name);
    }
    if (!n)
        return NULL;
    return arena_printf(a,
                        "%zu registr%s a replica there (%s%s): take them away first with `meridian "
                        "replication delete`",
                        n, n > 1 ? "ies have" : "y has", buf_cstr(&names),
                        n > REPLICAS_SHOWN ? ", …" : "");
}

static bool serves_alone(const struct topology *t, const struct region *r)
{
    for (size_t i = 0; i < t->n_name_servers; i++)
        if (t->name_servers[i].region != r->index)
            return false;
    return true;
}

const char *regions_why_stays(const struct topology *t, const char *region, struct arena *a)
{
    const struct region *r = topology_region(t, region), *writer = topology_writer(t);
    if (!r)
        return arena_printf(a, "there is no region %s", region);
    if (r->sealed)
        return "it was forgotten, and what it wrote is verified by its keys; `meridian region "
               "replace` uses its name again";
    if (writer == r)
        return "it is the writer: let another region take over first (`meridian control takeover`)";
    if (t->ca_region && !strcmp(t->ca_region, region))
        return "it answers for the CA (certificates: ca_region): move the CA's directory to "
               "another "
               "region and name that one first";
    if (serves_alone(t, r))
        return "it alone serves DNS: name another one in name_servers first";
    return replicas_there(t, r, a);
}
