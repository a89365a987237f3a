// SPDX-License-Identifier: Apache-2.0
// The forwarder's queue, which workers fill, and its thread; see forward.h and forward_priv.h.
#include "resolver/forward/forward.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "resolver/forward/forward_priv.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS 64
#define WAKE UINT64_MAX

bool forward_covers(const struct view_forward *f, const uint8_t *name, size_t n)
{
    for (size_t at = 0; at < n; at += 1u + name[at])
        for (size_t i = 0; i < f->n_names; i++)
            if (f->names[i].n == n - at &&
                !strncasecmp((const char *)f->names[i].wire, (const char *)name + at, n - at))
                return true;
    return false;
}

static bool within_bounds(const struct forwarder *f, const struct ask *a)
{
    size_t of_view = 0, of_client = 0;
    for (size_t i = 0; i < f->n_active; i++) {
        const struct ask *x = &f->slots[f->active[i]].ask;
        if (strcmp(x->view, a->view))
            continue;
        of_view++;
        of_client += ip_equal(&x->client, &a->client);
    }
    return f->n_active < FORWARD_MAX && of_view < a->settings.max_in_flight &&
           of_client < a->settings.max_per_client;
}

// Returns false when the forwarder is to stop.
static bool take_queue(struct forwarder *f)
{
    uint64_t n;
    struct ask a;
    (void)!read(f->wake, &n, sizeof n);
    for (;;) {
        pthread_mutex_lock(&f->lock);
        bool stopping = f->stopping, some = f->queue_n > 0;
        if (some) {
            a = f->queue[f->queue_at];
            f->queue_at = (f->queue_at + 1) % FORWARD_QUEUE;
            f->queue_n--;
        }
        pthread_mutex_unlock(&f->lock);
        if (!some)
            return !stopping;
        if (!stopping && within_bounds(f, &a)) {
            ask_next(f, slot_take(f, &a));
        } else {
            ask_refuse(f, &a);
        }
    }
}

static void expire(struct forwarder *f)
{
    int64_t now = clock_mono_ms();
    // backwards: a slot given back is replaced by one already looked at
    for (size_t i = f->n_active; i-- > 0;) {
        struct slot *s = &f->slots[f->active[i]];
        if (now < s->try_until_ms)
            continue;
        s->network_error = false;
        upstream_failed(f, s);
        ask_next(f, s);
    }
}

static int wait_ms(const struct forwarder *f)
{
    int64_t first = INT64_MAX, now = f->n_active ? clock_mono_ms() : 0;
    for (size_t i = 0; i < f->n_active; i++)
        if (f->slots[f->active[i]].try_until_ms < first)
            first = f->slots[f->active[i]].try_until_ms;
    if (!f->n_active)
        return -1;
    if (first <= now)
        return 0;
    return (int)(first - now);
}

static void *forwarder_main(void *arg)
{
    struct forwarder *f = arg;
    struct epoll_event ev[EVENTS];
    for (bool go_on = true; go_on;) {
        int n = epoll_wait(f->epoll, ev, EVENTS, wait_ms(f));
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 == WAKE)
                go_on = take_queue(f);
            else
                attempt_event(f, ev[i].data.u64);
        }
        expire(f);
    }
    while (f->n_active)
        slot_fail(f, &f->slots[f->active[f->n_active - 1]]);
    return NULL;
}

static void forwarder_free(struct forwarder *f)
{
    if (f->epoll >= 0)
        close(f->epoll);
    if (f->wake >= 0)
        close(f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f->own);
    free(f);
}

static int forwarder_init(struct forwarder *f, const struct endpoint *own, size_t n_own)
{
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->epoll < 0 || f->wake < 0)
        return err_from_errno(errno);
    f->own = mem_zalloc_array(n_own + 1, sizeof *f->own);
    if (!f->own)
        return ERR_NOMEM;
    if (n_own)
        memcpy(f->own, own, n_own * sizeof *own);
    f->n_own = n_own;
    for (uint32_t i = 0; i < FORWARD_MAX; i++)
        f->active[i] = i;
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = WAKE};
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->wake, &ev))
        return err_from_errno(errno);
    if (pthread_create(&f->thread, NULL, forwarder_main, f))
        return ERR_NOMEM;
    return 0;
}

int forwarder_start(const struct endpoint *own, size_t n_own, struct forwarder **out)
{
    struct forwarder *f = mem_zalloc(sizeof *f); // large, and untouched until it is needed
    if (!f)
        return ERR_NOMEM;
    pthread_mutex_init(&f->lock, NULL);
    f->epoll = f->wake = -1;
    int rc = forwarder_init(f, own, n_own);
    if (rc) {
        forwarder_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

static void wake(struct forwarder *f)
{
    uint64_t one = 1;
    (void)!write(f->wake, &one, sizeof one); // an eventfd that counts already wakes as well
}

void forwarder_stop(struct forwarder *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_mutex_unlock(&f->lock);
    wake(f);
    pthread_join(f->thread, NULL);
    forwarder_free(f);
}

bool forwarder_ask(struct forwarder *f, const struct view *view, const struct ip *client,
                   const struct forward_query *q, struct pending_ticket ticket)
{
    pthread_mutex_lock(&f->lock);
    bool room = f->queue_n < FORWARD_QUEUE && !f->stopping, first = f->queue_n == 0;
    if (room) {
        struct ask *a = &f->queue[(f->queue_at + f->queue_n++) % FORWARD_QUEUE];
        size_t n = strlen(view->name);
        memcpy(a->view, view->name, n < sizeof a->view ? n + 1 : sizeof a->view);
        a->view[sizeof a->view - 1] = 0;
        a->client = *client;
        a->settings = *view->forward;
        a->query = *q;
        a->ticket = ticket;
        pending_hold(ticket);
        forward_count(&f->under_way);
    }
    pthread_mutex_unlock(&f->lock);
    if (!room)
        forward_count(&f->limited);
    else
        forward_count(&f->asked);
    if (room && first)
        wake(f);
    return room;
}

void forwarder_stats_get(const struct forwarder *f, struct forward_stats *out)
{
#define GET(field) out->field = atomic_load_explicit(&f->field, memory_order_relaxed)
    GET(asked);
    GET(answered);
    GET(failed);
    GET(limited);
    GET(ignored);
    GET(under_way);
#undef GET
}
