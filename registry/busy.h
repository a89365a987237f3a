// SPDX-License-Identifier: Apache-2.0
// Which uploads have a request under way in this process: a PATCH or PUT from the moment its head
// was read, so before it opens anything, until it let go. Only others may be dropped, to make room
// or because they were left alone. Bounded by the requests that there are. Any thread; the lock is
// held for a few steps.
//
//   busy_enter(&b, &mark, id);                  // false: it is being dropped just now
//   busy_leave(&b, &mark);
//
//   struct busy_claims mine = {0};
//   busy_claim(&b, id, &mine);                  // ours: nobody enters; false: under way, or
//                                               // another's
//   …drop what is in mine, or not…
//   busy_release(&b, &mine);
#ifndef MERIDIAN_REGISTRY_BUSY_H
#define MERIDIAN_REGISTRY_BUSY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define BUSY_BUCKETS 256

struct busy_mark { // of one request, in memory of its own
    struct busy_mark *next, **at;
    const char *id;
    bool claims;
};
struct busy_claim {
    struct busy_mark mark;
    struct busy_claim *next;
    char id[];
};
struct busy_claims {
    struct busy_claim *first;
};
struct busy {
    pthread_mutex_t lock;
    struct busy_mark *buckets[BUSY_BUCKETS];
};

void busy_init(struct busy *b);
void busy_done(struct busy *b);
// `id` lives until busy_leave
bool busy_enter(struct busy *b, struct busy_mark *mark, const char *id);
void busy_leave(struct busy *b, struct busy_mark *mark);
// false also when memory ends
bool busy_claim(struct busy *b, const char *id, struct busy_claims *mine);
void busy_release(struct busy *b, struct busy_claims *mine);

#endif
