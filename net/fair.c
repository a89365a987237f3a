// SPDX-License-Identifier: Apache-2.0
// Turns by network and by name; see fair.h. Networks that wait stand in a ring (their turns) and in
// one list for each length (so that the longest is found at once); the names of a network stand in
// a ring of their own. Nodes come from free lists with one to spare: what is pushed always enters
// first, then the longest queue loses one.
#include "net/fair.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "net/fair_test.h"

#include <assert.h>
#include <string.h>

struct link { // of a ring; alone it points at itself
    struct link *prev, *next;
};

struct name {
    // of its network's names
    struct link turn;
    struct name *chain;
    struct network *network;
    uint64_t hash;
    struct fair_item *oldest, *newest;
    size_t n;
};

struct network {
    struct link turn, rank;
    struct network *chain;
    struct ip ip;
    // whose turn it is
    struct link *names;
    size_t n;
};

struct fair {
    struct fair_limits limits;
    struct siphash_key key;
    // buckets: a power of two
    size_t n, n_networks, longest, n_buckets;
    // the network whose turn it is
    struct link *turns;
    // networks with so many items; [0] is not used
    struct link **by_length;
    struct network **networks_by_ip, *networks, *free_networks;
    struct name **names_by_hash, *names, *free_names;
};

#define OF(link_, type, member) ((type *)((char *)(link_)-offsetof(type, member)))

// --- rings ---

static void ring_add(struct link **head, struct link *l) // at the end: before the head
{
    if (!*head) {
        *head = l->prev = l->next = l;
        return;
    }
    l->next = *head;
    l->prev = (*head)->prev;
    l->prev->next = l;
    l->next->prev = l;
}

static void ring_remove(struct link **head, struct link *l)
{
    if (*head == l) {
        if (l->next == l)
            *head = NULL;
        else
            *head = l->next;
    }
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

// --- life ---

static size_t buckets_for(size_t n)
{
    size_t b = 16;
    while (b < 2 * n)
        b *= 2;
    return b;
}

static bool memory_make(struct fair *f)
{
    size_t n = f->limits.total + 1;
    f->n_buckets = buckets_for(n);
    f->by_length = mem_zalloc_array(f->limits.per_network + 2, sizeof(struct link *));
    f->networks_by_ip = mem_zalloc_array(f->n_buckets, sizeof(struct network *));
    f->names_by_hash = mem_zalloc_array(f->n_buckets, sizeof(struct name *));
    f->networks = mem_zalloc_array(n, sizeof *f->networks);
    f->names = mem_zalloc_array(n, sizeof *f->names);
    if (!f->by_length || !f->networks_by_ip || !f->names_by_hash || !f->networks || !f->names)
        return false;
    for (size_t i = 0; i < n; i++) {
        f->networks[i].chain = f->free_networks;
        f->free_networks = &f->networks[i];
        f->names[i].chain = f->free_names;
        f->free_names = &f->names[i];
    }
    return true;
}

struct fair *fair_new(const struct fair_limits *limits)
{
    if (!limits->total || limits->total > 65536 || !limits->per_network ||
        limits->per_network > limits->total)
        return NULL;
    uint8_t secret[SIPHASH_KEY_BYTES];
    struct fair *f = mem_zalloc(sizeof *f);
    if (!f)
        return NULL;
    f->limits = *limits;
    if (!memory_make(f) || random_bytes(secret, sizeof secret)) {
        fair_free(f);
        return NULL;
    }
    f->key = siphash_key_of(secret);
    return f;
}

void fair_free(struct fair *f)
{
    if (!f)
        return;
    free(f->by_length);
    free(f->networks_by_ip);
    free(f->names_by_hash);
    free(f->networks);
    free(f->names);
    free(f);
}

// --- finding, and making what is not there ---

struct ip fair_network(const struct ip *client)
{
    struct ip ip = *client;
    size_t keep = 7; // /24 in the mapped form is 120 bits
    if (ip_is_v4(client))
        keep = 15;
    memset(ip.b + keep, 0, sizeof ip.b - keep);
    return ip;
}

static struct network **network_slot(struct fair *f, const struct ip *ip)
{
    return &f->networks_by_ip[siphash24(&f->key, ip->b, sizeof ip->b) & (f->n_buckets - 1)];
}

static struct network *network_get(struct fair *f, const struct ip *client)
{
    struct ip ip = fair_network(client);
    struct network **slot = network_slot(f, &ip), *w = *slot;
    while (w && !ip_equal(&w->ip, &ip))
        w = w->chain;
    if (w)
        return w;
    assert(f->free_networks); // invariants 1 and 5: one more than `total`
    w = f->free_networks;
    f->free_networks = w->chain;
    *w = (struct network){.chain = *slot, .ip = ip};
    *slot = w;
    ring_add(&f->turns, &w->turn);
    f->n_networks++;
    return w;
}

// A name's hash is made with its network's address, so that one table holds all.
static uint64_t name_hash(const struct fair *f, const struct network *w, const char *text)
{
    uint64_t part[3];
    memcpy(part, w->ip.b, sizeof w->ip.b);
    part[2] = siphash24(&f->key, text, strlen(text));
    return siphash24(&f->key, part, sizeof part);
}

static struct name *name_get(struct fair *f, struct network *w, const char *text)
{
    uint64_t hash = name_hash(f, w, text);
    struct name **slot = &f->names_by_hash[hash & (f->n_buckets - 1)], *m = *slot;
    while (m && (m->hash != hash || m->network != w))
        m = m->chain;
    if (m)
        return m;
    assert(f->free_names); // invariants 1 and 5
    m = f->free_names;
    f->free_names = m->chain;
    *m = (struct name){.chain = *slot, .network = w, .hash = hash};
    *slot = m;
    ring_add(&w->names, &m->turn);
    return m;
}

// --- coming and going ---

static void rank_move(struct fair *f, struct network *w, size_t from, size_t to)
{
    if (from)
        ring_remove(&f->by_length[from], &w->rank);
    if (to)
        ring_add(&f->by_length[to], &w->rank);
    if (to > f->longest)
        f->longest = to;
    while (f->longest && !f->by_length[f->longest])
        f->longest--;
}

static void network_forget(struct fair *f, struct network *w)
{
    struct network **at = network_slot(f, &w->ip);
    while (*at != w)
        at = &(*at)->chain;
    *at = w->chain;
    ring_remove(&f->turns, &w->turn);
    w->chain = f->free_networks;
    f->free_networks = w;
    f->n_networks--;
}

static void name_forget(struct fair *f, struct name *m)
{
    struct name **at = &f->names_by_hash[m->hash & (f->n_buckets - 1)];
    while (*at != m)
        at = &(*at)->chain;
    *at = m->chain;
    ring_remove(&m->network->names, &m->turn);
    m->chain = f->free_names;
    f->free_names = m;
}

static void item_add(struct fair *f, struct name *m, struct fair_item *item)
{
    *item = (struct fair_item){.prev = m->newest};
    if (m->newest)
        m->newest->next = item;
    else
        m->oldest = item;
    m->newest = item;
    m->n++;
    rank_move(f, m->network, m->network->n, m->network->n + 1);
    m->network->n++;
    f->n++;
}

static struct fair_item *item_take(struct fair *f, struct name *m, struct fair_item *item)
{
    struct network *w = m->network;
    assert(m->n && w->n && f->n);
    if (item->prev)
        item->prev->next = item->next;
    else
        m->oldest = item->next;
    if (item->next)
        item->next->prev = item->prev;
    else
        m->newest = item->prev;
    rank_move(f, w, w->n, w->n - 1);
    w->n--;
    f->n--;
    if (!--m->n)
        name_forget(f, m);
    if (!w->n)
        network_forget(f, w);
    return item;
}

// --- the bounds ---

// The first of the longest in the order of turns, and `pushed` only if no other is as long.
static struct name *longest_name(const struct network *w, const struct name *pushed)
{
    struct name *longest = OF(w->names, struct name, turn);
    for (struct link *l = w->names->next; l != w->names; l = l->next) {
        struct name *m = OF(l, struct name, turn);
        if (m->n > longest->n || (m->n == longest->n && longest == pushed))
            longest = m;
    }
    return longest;
}

static struct fair_item *newest_drop(struct fair *f, const struct network *w,
                                     const struct name *pushed)
{
    struct name *m = longest_name(w, pushed);
    return item_take(f, m, m->newest);
}

struct fair_item *fair_push(struct fair *f, const struct ip *client, const char *name,
                            struct fair_item *item)
{
    struct network *w = network_get(f, client);
    struct name *m = name_get(f, w, name ? name : "");
    item_add(f, m, item);
    assert(f->n <= f->limits.total + 1); // invariant 1: what is over is dropped below
    if (w->n > f->limits.per_network)
        return newest_drop(f, w, m);
    // of several the one that became so long first: not the one just pushed
    if (f->n > f->limits.total)
        return newest_drop(f, OF(f->by_length[f->longest], struct network, rank), m);
    return NULL;
}

struct fair_item *fair_pop(struct fair *f)
{
    if (!f->turns)
        return NULL;
    struct network *w = OF(f->turns, struct network, turn);
    struct name *m = OF(w->names, struct name, turn);
    assert(m->network == w && m->oldest); // invariant 1: a known network has something that waits
    f->turns = f->turns->next;            // the turn passes on, whether or not they stay
    w->names = w->names->next;
    return item_take(f, m, m->oldest);
}

size_t fair_count(const struct fair *f)
{
    return f->n;
}

size_t fair_networks(const struct fair *f)
{
    return f->n_networks;
}
