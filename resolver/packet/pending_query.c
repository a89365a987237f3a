// SPDX-License-Identifier: Apache-2.0
// The mail box through which other threads tell a worker about its parked queries; see
// pending_query.h. What the slots hold is the worker's own (waiting.c).
//
// Invariants, under the lock:
// 1. A slot's mail is in the list of posted ones if and only if its news are not PENDING_NOTHING.
// 2. The eventfd counts when that list is not empty, as soon as who posted has got so far. It may
//    count for nothing.
#include "resolver/packet/pending_query.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct box { // of one slot
    uint32_t generation;
    enum pending_news news;
    uint8_t *response;
    size_t n;
    struct endpoint from;
    // posted after this one
    uint32_t next;
};

struct pending_inbox {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    int fd;
    bool closed;
    // posted; PENDING_MAX: none
    uint32_t first, last;
    struct box box[PENDING_MAX];
};

int pending_inbox_new(struct pending_inbox **out)
{
    struct pending_inbox *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0) {
        free(b);
        return err_from_errno(errno);
    }
    atomic_init(&b->refs, 1);
    pthread_mutex_init(&b->lock, NULL);
    b->first = b->last = PENDING_MAX;
    *out = b;
    return 0;
}

static void unref(struct pending_inbox *b)
{
    if (atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    for (size_t i = 0; i < PENDING_MAX; i++)
        free(b->box[i].response);
    close(b->fd);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void pending_inbox_unref(struct pending_inbox *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->closed = true;
    pthread_mutex_unlock(&b->lock);
    unref(b);
}

int pending_inbox_fd(const struct pending_inbox *b)
{
    return b->fd;
}

void pending_hold(struct pending_ticket t)
{
    atomic_fetch_add(&t.inbox->refs, 1);
}

// An answer beats a failure beats another try; an answer that is there already stays.
// Returns true when that is news to the worker.
static bool put(struct pending_inbox *b, uint32_t slot, enum pending_news news, uint8_t **response,
                size_t n, const struct endpoint *from)
{
    struct box *x = &b->box[slot];
    enum pending_news before = x->news;
    if (news <= before)
        return false;
    x->news = news;
    x->response = take_ptr(*response);
    x->n = n;
    if (from)
        x->from = *from;
    else
        x->from = (struct endpoint){0};
    if (before)
        return false; // it is in the list
    x->next = PENDING_MAX;
    if (b->last < PENDING_MAX)
        b->box[b->last].next = slot;
    else
        b->first = slot;
    b->last = slot;
    return true;
}

static void post(struct pending_ticket t, enum pending_news news, uint8_t *response, size_t n,
                 const struct endpoint *from)
{
    struct pending_inbox *b = t.inbox;
    pthread_mutex_lock(&b->lock);
    bool current = !b->closed && b->box[t.slot].generation == t.generation,
         wakes = current && put(b, t.slot, news, &response, n, from);
    pthread_mutex_unlock(&b->lock);
    if (wakes) // not under the lock, which the worker wants then
        (void)eventfd_write(b->fd, 1);
    free(response);
    unref(b);
}

void pending_retry(struct pending_ticket t)
{
    post(t, PENDING_RETRY, NULL, 0, NULL);
}

void pending_fail(struct pending_ticket t)
{
    post(t, PENDING_FAIL, NULL, 0, NULL);
}

void pending_answer(struct pending_ticket t, uint8_t *response, size_t n,
                    const struct endpoint *from)
{
    post(t, PENDING_ANSWER, response, n, from);
}

// Out of the list, wherever it is. Only pending_slot_done asks for one that is not the first.
static void unlist(struct pending_inbox *b, uint32_t slot)
{
    uint32_t *at = &b->first, before = PENDING_MAX;
    while (*at != slot) {
        before = *at;
        at = &b->box[*at].next;
    }
    *at = b->box[slot].next;
    if (b->last == slot)
        b->last = before;
    b->box[slot].news = PENDING_NOTHING;
}

struct pending_mail pending_inbox_take(struct pending_inbox *b)
{
    struct pending_mail m = {0};
    eventfd_t count;
    pthread_mutex_lock(&b->lock);
    if (b->first < PENDING_MAX) {
        struct box *x = &b->box[b->first];
        m = (struct pending_mail){x->news, b->first, take_ptr(x->response), x->n, x->from};
        unlist(b, b->first);
    } else {
        (void)eventfd_read(b->fd, &count); // nothing there is as good
    }
    pthread_mutex_unlock(&b->lock);
    return m;
}

struct pending_ticket pending_ticket_of(struct pending_inbox *b, uint32_t slot)
{
    return (struct pending_ticket){b, slot, b->box[slot].generation}; // written by this thread only
}

void pending_slot_done(struct pending_inbox *b, uint32_t slot)
{
    struct box *x = &b->box[slot];
    pthread_mutex_lock(&b->lock);
    x->generation++;
    if (x->news)
        unlist(b, slot);
    free(take_ptr(x->response));
    pthread_mutex_unlock(&b->lock);
}
