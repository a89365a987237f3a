// SPDX-License-Identifier: Apache-2.0
// What the tunnels wait for: their ends in epoll, and which regions are heard; see tunnel_priv.h.
#include "net/tunnel_priv.h"

#include "base/clock.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void tunnel_watch(struct tunnel_end *e, uint32_t events)
{
    if (e->fd < 0 || (e->watched && e->events == events))
        return;
    struct epoll_event ev = {.events = events, .data.ptr = e};
    int op = EPOLL_CTL_ADD;
    if (e->watched)
        op = EPOLL_CTL_MOD;
    // out of memory: without events it would stay for ever
    if (epoll_ctl(e->t->all->epoll_fd, op, e->fd, &ev)) {
        e->t->until_mono = clock_mono_ms();
        return;
    }
    e->watched = true;
    e->events = events;
}

void tunnel_unwatch(struct tunnel_end *e)
{
    if (e->watched)
        epoll_ctl(e->t->all->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL);
    e->watched = false;
}

static struct tunnel_peer *peer_of(struct tunnels *all, const char *region)
{
    for (size_t i = 0; i < all->n_peers; i++)
        if (strcmp(all->peers[i].region, region) == 0)
            return &all->peers[i];
    return NULL;
}

enum heard tunnels_heard(struct tunnels *all, const char *region)
{
    pthread_mutex_lock(&all->lock);
    const struct tunnel_peer *p = peer_of(all, region);
    enum heard heard = HEARD_NEVER;
    if (p)
        heard = p->heard;
    pthread_mutex_unlock(&all->lock);
    return heard;
}

void tunnels_wake(struct tunnels *all)
{
    uint64_t one = 1;
    ssize_t n = write(all->wake_fd, &one, sizeof one);
    (void)n; // full: it is awake
}

void tunnels_peer(struct tunnels *all, const char *region, bool away)
{
    if (!all || strlen(region) >= HOSTNAME_REGION_SIZE)
        return;
    pthread_mutex_lock(&all->lock);
    struct tunnel_peer *p = peer_of(all, region);
    if (!p && all->n_peers < TOPOLOGY_MAX_REGIONS) {
        p = &all->peers[all->n_peers++];
        memcpy(p->region, region, strlen(region) + 1);
    }
    if (p)
        p->heard = away ? HEARD_AWAY : HEARD;
    all->news = true;
    pthread_mutex_unlock(&all->lock);
    tunnels_wake(all);
}
