// SPDX-License-Identifier: Apache-2.0
// Counts of places by network; see share.h. Only networks that have a place are known, so there is
// a node for each place and never more; all memory is made at birth.
#include "net/share.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "net/fair.h"
#include "net/share_test.h"

#include <assert.h>
#include <pthread.h>

struct holder {
    struct holder *chain;
    struct ip network;
    size_t n;
};

struct share {
    pthread_mutex_t lock;
    struct siphash_key key;
    // a power of two
    size_t places, taken, n_buckets;
    struct holder **buckets, *nodes, *free_nodes;
};

struct share *share_new(size_t places)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    if (!places || places > SHARE_MAX || random_bytes(secret, sizeof secret))
        return NULL;
    struct share *s = mem_zalloc(sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->key = siphash_key_of(secret);
    s->places = places;
    for (s->n_buckets = 16; s->n_buckets < 2 * places;)
        s->n_buckets *= 2;
    s->buckets = mem_zalloc_array(s->n_buckets, sizeof(struct holder *));
    s->nodes = mem_zalloc_array(places, sizeof *s->nodes);
    if (!s->buckets || !s->nodes) {
        share_free(s);
        return NULL;
    }
    for (size_t i = 0; i < places; i++) {
        s->nodes[i].chain = s->free_nodes;
        s->free_nodes = &s->nodes[i];
    }
    return s;
}

void share_free(struct share *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->buckets);
    free(s->nodes);
    free(s);
}

// Where the network's holder hangs, or would.
static struct holder **find(struct share *s, const struct ip *network)
{
    struct holder **at =
        &s->buckets[siphash24(&s->key, network->b, sizeof network->b) & (s->n_buckets - 1)];
    while (*at && !ip_equal(&(*at)->network, network))
        at = &(*at)->chain;
    return at;
}

bool share_take(struct share *s, const struct ip *client)
{
    struct ip network = fair_network(client);
    pthread_mutex_lock(&s->lock);
    struct holder **at = find(s, &network), *h = *at;
    assert(s->taken <= s->places);
    size_t left = s->places - s->taken;
    bool may = left > 0;
    if (h)
        may = 2 * h->n < left;
    if (may && !h) {
        assert(s->free_nodes); // a node for each place
        h = s->free_nodes;
        s->free_nodes = h->chain;
        *h = (struct holder){.network = network};
        *at = h;
    }
    if (may) {
        h->n++;
        s->taken++;
    }
    pthread_mutex_unlock(&s->lock);
    return may;
}

void share_give(struct share *s, const struct ip *client)
{
    struct ip network = fair_network(client);
    pthread_mutex_lock(&s->lock);
    struct holder **at = find(s, &network), *h = *at;
    assert(h && h->n);
    s->taken--;
    if (!--h->n) {
        *at = h->chain;
        h->chain = s->free_nodes;
        s->free_nodes = h;
    }
    pthread_mutex_unlock(&s->lock);
}

size_t share_taken(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->taken;
    pthread_mutex_unlock(&s->lock);
    return n;
}
