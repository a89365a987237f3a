// SPDX-License-Identifier: Apache-2.0
// Counters of the resolver; see metrics.h.
#include "resolver/log/metrics.h"

#include "base/exposition.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static inline void add(metrics_counter *c, uint64_t d)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + d,
                          memory_order_relaxed);
}

// ---- names ----

struct metrics_names { // grows only: a slot that was given keeps its name
    pthread_mutex_t lock;
    // given so far
    unsigned n_views, n_regions;
    char views[METRICS_VIEWS][64], regions[METRICS_REGIONS][HOSTNAME_REGION_SIZE];
};

struct metrics_names *metrics_names_new(void)
{
    struct metrics_names *n = mem_zalloc(sizeof *n);
    if (!n)
        return NULL;
    pthread_mutex_init(&n->lock, NULL);
    snprintf(n->views[0], sizeof n->views[0], "public");
    n->n_views = 1;
    snprintf(n->views[METRICS_VIEWS - 1], sizeof n->views[0], "other");
    snprintf(n->regions[METRICS_REGIONS - 1], sizeof n->regions[0], "other");
    return n;
}

void metrics_names_free(struct metrics_names *n)
{
    if (!n)
        return;
    pthread_mutex_destroy(&n->lock);
    free(n);
}

const char *metrics_view_name(const struct metrics_names *n, unsigned slot)
{
    if (slot < METRICS_VIEWS)
        return n->views[slot];
    return "other";
}

const char *metrics_region_name(const struct metrics_names *n, unsigned slot)
{
    if (slot < METRICS_REGIONS)
        return n->regions[slot];
    return "none";
}

// Slot of a name in a table of `cap` rows of `size` bytes, of which *n are given and the last is
// "other".
static uint8_t slot_of(char *rows, size_t size, unsigned cap, unsigned *n, const char *name)
{
    for (unsigned i = 0; i < *n; i++)
        if (strcmp(rows + i * size, name) == 0)
            return (uint8_t)i;
    if (*n == cap - 1)
        return (uint8_t)(cap - 1);
    snprintf(rows + *n * size, size, "%s", name);
    return (uint8_t)(*n)++;
}

void metrics_topology(struct metrics *m, struct metrics_names *names, const struct topology *t)
{
    pthread_mutex_lock(&names->lock);
    for (size_t i = 0; i < t->n_regions; i++)
        m->region_slot[i] = slot_of(names->regions[0], sizeof names->regions[0], METRICS_REGIONS,
                                    &names->n_regions, t->regions[i].name);
    for (size_t i = 0; i < METRICS_VIEWS_SEEN; i++) {
        if (i < t->n_views)
            m->view_slot[i] = slot_of(names->views[0], sizeof names->views[0], METRICS_VIEWS,
                                      &names->n_views, t->views[i].name);
        else
            m->view_slot[i] = METRICS_VIEWS - 1;
    }
    pthread_mutex_unlock(&names->lock);
    m->views = t->views;
}

// ---- counting ----

static const struct {
    int rcode;
    const char *name;
} rcodes[METRICS_RCODES] = {{DNS_NOERROR, "NOERROR"},
                            {DNS_FORMERR, "FORMERR"},
                            {DNS_SERVFAIL, "SERVFAIL"},
                            {DNS_NXDOMAIN, "NXDOMAIN"},
                            {DNS_NOTIMP, "NOTIMP"},
                            {DNS_REFUSED, "REFUSED"},
                            {9, "NOTAUTH"},
                            {DNS_BADVERS, "BADVERS"},
                            {DNS_BADCOOKIE, "BADCOOKIE"},
                            {DNS_DROP, "dropped"},
                            {-2, "other"},
                            {-2, "other"}};

static unsigned rcode_slot(int rcode)
{
    if (rcode >= 0 && rcode <= DNS_REFUSED) // the rows begin with these, in order
        return (unsigned)rcode;
    for (unsigned i = DNS_REFUSED + 1; i < METRICS_RCODES - 2; i++)
        if (rcodes[i].rcode == rcode)
            return i;
    return METRICS_RCODES - 2;
}

// The slots of types are the rows of dns/types.h, then one for queries without a type and one for
// all others.
enum { TYPE_SLOT_NONE = DNS_N_TYPES, TYPE_SLOT_OTHER };
_Static_assert(TYPE_SLOT_OTHER + 1 == METRICS_TYPES, "each slot has a counter");

static unsigned type_slot(uint16_t type)
{
    if (!type)
        return TYPE_SLOT_NONE;
    int row = dns_type_row(type);
    if (row < 0 || !dns_types[row].counted)
        return TYPE_SLOT_OTHER;
    return (unsigned)row;
}

static const char *type_slot_name(unsigned slot)
{
    if (slot == TYPE_SLOT_NONE)
        return "none";
    if (slot == TYPE_SLOT_OTHER)
        return "other";
    return dns_types[slot].name;
}

const char *metrics_rcode_name(int rcode)
{
    return rcodes[rcode_slot(rcode)].name;
}

const char *metrics_type_name(uint16_t type)
{
    unsigned slot = type_slot(type);
    if (slot == TYPE_SLOT_OTHER)
        return NULL;
    return type_slot_name(slot);
}

unsigned metrics_view_slot(const struct metrics *m, const struct view *view)
{
    if (!view)
        return 0;
    size_t i = (size_t)(view - m->views);
    if (i < METRICS_VIEWS_SEEN)
        return m->view_slot[i];
    return METRICS_VIEWS - 1;
}

unsigned metrics_region_slot(const struct metrics *m, unsigned region)
{
    if (region < TOPOLOGY_MAX_REGIONS)
        return m->region_slot[region];
    return METRICS_REGIONS;
}

void metrics_lookups(struct metrics *m, const struct answer_info *info)
{
    for (int c = 0; info->looked_up && c < LOOKUP_CLASSES; c++)
        for (int o = 0; o < LOOKUP_OUTCOMES; o++)
            if (info->lookups[c][o])
                add(&m->lookups[c][o], info->lookups[c][o]);
}

void metrics_count(struct metrics *m, const struct answer_context *c,
                   const struct answer_info *info)
{
    unsigned kind = NAME_INVALID;
    if (info->kind < METRICS_KINDS)
        kind = info->kind;
    add(&m->queries[metrics_view_slot(m, info->view)][kind][rcode_slot(info->rcode)][c->transport],
        1);
    if (info->rcode != DNS_DROP)
        add(&m->types[type_slot(info->type)], 1);
    if (info->truncated)
        add(&m->truncated, 1);
    if (hostname_public_of((enum name_kind)kind) == NAME_GLOBAL &&
        info->region < TOPOLOGY_MAX_REGIONS && info->mode < METRICS_MODES)
        add(&m->routed[m->region_slot[info->region]][info->mode], 1);
    metrics_lookups(m, info);
}

static const uint32_t bounds_us[METRICS_BUCKETS] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 1000000};

void metrics_batch(struct metrics *m, unsigned n_queries, int64_t took_us)
{
    unsigned i = 0;
    while (i < METRICS_BUCKETS && took_us > bounds_us[i])
        i++;
    add(&m->bucket[i], n_queries);
    add(&m->timed, n_queries);
    add(&m->timed_us, n_queries * (uint64_t)(took_us > 0 ? took_us : 0));
}

// ---- writing ----

static uint64_t sum(const struct metrics *const *list, size_t n, size_t offset)
{
    uint64_t s = 0;
    for (size_t i = 0; i < n; i++)
        s += atomic_load_explicit((const metrics_counter *)((const char *)list[i] + offset),
                                  memory_order_relaxed);
    return s;
}
#define SUM(member) sum(list, n, offsetof(struct metrics, member))

static void write_queries(const struct metrics_names *names, const struct metrics *const *list,
                          size_t n, struct buf *b)
{
    static const char name[] = "meridian_dns_queries_total";
    static const char *const transports[METRICS_TRANSPORTS] = {"udp", "tcp", "tls"};
    exposition_family(b, name, "counter",
                      "Queries by view, kind of name, response code and transport.");
    for (size_t v = 0; v < METRICS_VIEWS; v++)
        for (size_t k = 0; k < METRICS_KINDS; k++)
            for (size_t r = 0; r < METRICS_RCODES; r++)
                for (size_t t = 0; t < METRICS_TRANSPORTS; t++) {
                    uint64_t s = sum(
                        list, n,
                        offsetof(struct metrics, queries) +
                            (((v * METRICS_KINDS + k) * METRICS_RCODES + r) * METRICS_TRANSPORTS +
                             t) *
                                sizeof(metrics_counter));
                    if (!s)
                        continue;
                    exposition_begin(b, name);
                    exposition_label(b, "view", metrics_view_name(names, (unsigned)v));
                    exposition_label(b, "kind", hostname_kind_name((enum name_kind)k));
                    exposition_label(b, "rcode", rcodes[r].name);
                    exposition_label(b, "transport", transports[t]);
                    exposition_value(b, (double)s);
                }
}

static void write_types(const struct metrics *const *list, size_t n, struct buf *b)
{
    static const char name[] = "meridian_dns_questions_total";
    exposition_family(b, name, "counter", "Queries by the type that was asked for.");
    for (size_t i = 0; i < METRICS_TYPES; i++) {
        uint64_t s = sum(list, n, offsetof(struct metrics, types) + i * sizeof(metrics_counter));
        if (!s)
            continue;
        exposition_begin(b, name);
        exposition_label(b, "type", type_slot_name((unsigned)i));
        exposition_value(b, (double)s);
    }
}

uint64_t metrics_routed(const struct metrics_names *names, const struct metrics *const *list,
                        size_t n, const char *region)
{
    uint64_t all = 0;
    for (size_t r = 0; r + 1 < METRICS_REGIONS; r++) {
        if (strcmp(metrics_region_name(names, (unsigned)r), region) != 0)
            continue;
        for (size_t m = ROUTE_HEALTHY; m <= ROUTE_ALL_SHORT; m++)
            all += sum(list, n,
                       offsetof(struct metrics, routed) +
                           (r * METRICS_MODES + m) * sizeof(metrics_counter));
    }
    return all;
}

static void write_routed(const struct metrics_names *names, const struct metrics *const *list,
                         size_t n, struct buf *b)
{
    static const char name[] = "meridian_dns_routed_total";
    exposition_family(b, name, "counter",
                      "Answers to global names by the region they lead to, and why.");
    for (size_t r = 0; r < METRICS_REGIONS; r++)
        for (size_t m = 0; m < METRICS_MODES; m++) {
            uint64_t s = sum(list, n,
                             offsetof(struct metrics, routed) +
                                 (r * METRICS_MODES + m) * sizeof(metrics_counter));
            if (!s)
                continue;
            exposition_begin(b, name);
            exposition_label(b, "region", metrics_region_name(names, (unsigned)r));
            exposition_label(b, "reason", route_mode_name((enum route_mode)m));
            exposition_value(b, (double)s);
        }
}

static void write_lookups(const struct metrics *const *list, size_t n, struct buf *b)
{
    static const char name[] = "meridian_dns_signature_lookups_total";
    static const char *const classes[LOOKUP_CLASSES] = {"name", "denial"},
                             *const outcomes[LOOKUP_OUTCOMES] = {"hit", "before", "miss"};
    exposition_family(b, name, "counter",
                      "Signatures looked up in the signer's cache, by class of RRset and outcome.");
    for (size_t c = 0; c < LOOKUP_CLASSES; c++)
        for (size_t o = 0; o < LOOKUP_OUTCOMES; o++) {
            exposition_begin(b, name);
            exposition_label(b, "class", classes[c]);
            exposition_label(b, "outcome", outcomes[o]);
            exposition_value(b,
                             (double)sum(list, n,
                                         offsetof(struct metrics, lookups) +
                                             (c * LOOKUP_OUTCOMES + o) * sizeof(metrics_counter)));
        }
}

static void write_durations(const struct metrics *const *list, size_t n, struct buf *b)
{
    static const char name[] = "meridian_dns_answer_duration_seconds";
    uint64_t so_far = 0;
    exposition_family(
        b, name, "histogram",
        "Time from reading a batch of UDP queries to handing over its answers; one batch in 16.");
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        char le[32] = "+Inf";
        if (i < METRICS_BUCKETS)
            snprintf(le, sizeof le, "%g", bounds_us[i] / 1e6);
        so_far += sum(list, n, offsetof(struct metrics, bucket) + i * sizeof(metrics_counter));
        exposition_begin(b, "meridian_dns_answer_duration_seconds_bucket");
        exposition_label(b, "le", le);
        exposition_value(b, (double)so_far);
    }
    exposition_begin(b, "meridian_dns_answer_duration_seconds_sum");
    exposition_value(b, (double)SUM(timed_us) / 1e6);
    // of what was written above: one picture
    exposition_begin(b, "meridian_dns_answer_duration_seconds_count");
    exposition_value(b, (double)so_far);
}

void metrics_write(const struct metrics_names *names, const struct metrics *const *list, size_t n,
                   struct buf *out)
{
    write_queries(names, list, n, out);
    write_types(list, n, out);
    write_routed(names, list, n, out);
    exposition_single(out, "meridian_dns_truncated_total", "counter",
                      "Answers that were cut to the client's size (TC).", (double)SUM(truncated));
    write_lookups(list, n, out);
    write_durations(list, n, out);
}
