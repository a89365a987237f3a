// SPDX-License-Identifier: Apache-2.0
// Peers that were found silent: what runs to them is given up, and no connection of before is used
// again. Any thread.
#include "net/fetch_priv.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

// Under the lock.
static struct peer_loss *loss_find(const struct fetcher *f, const char *peer)
{
    struct peer_loss *l = f->losses;
    while (l && strcmp(l->peer, peer) != 0)
        l = l->next;
    return l;
}

int64_t fetch_peer_lost_mono(struct fetcher *f, const char *peer)
{
    int64_t at = 0;
    pthread_mutex_lock(&f->lock);
    const struct peer_loss *l = loss_find(f, peer);
    if (l)
        at = l->lost_mono;
    pthread_mutex_unlock(&f->lock);
    return at;
}

bool fetch_lost(struct fetcher *f, const struct fetch *h)
{
    if (!h->peer || h->looks_for_peer)
        return false;
    return fetch_peer_lost_mono(f, h->peer) > h->lost_seen;
}

// Under the lock. NULL: no memory.
static struct peer_loss *loss_add(struct fetcher *f, const char *peer)
{
    struct peer_loss *l = mem_zalloc(sizeof *l);
    if (!l)
        return NULL;
    l->peer = mem_strdup(peer);
    if (!l->peer) {
        free(l);
        return NULL;
    }
    l->next = f->losses;
    f->losses = l;
    return l;
}

void fetcher_peer_lost(struct fetcher *f, const char *peer)
{
    pthread_mutex_lock(&f->lock);
    struct peer_loss *l = loss_find(f, peer);
    if (!l)
        l = loss_add(f, peer);
    if (l) // else out of memory: their own limits end them
        l->lost_mono = clock_mono_ms();
    pthread_mutex_unlock(&f->lock);
    atomic_fetch_add(&f->n_losses, 1);
    curl_multi_wakeup(f->multi);
}

void fetch_losses_free(struct fetcher *f)
{
    for (struct peer_loss *l; (l = f->losses);) {
        f->losses = l->next;
        free(l->peer);
        free(l);
    }
}
