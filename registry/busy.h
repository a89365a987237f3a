// SPDX-License-Identifier: Apache-2.0
// Which uploads have a request under way in this process. A PATCH or PUT marks its upload when its
// head is read, before it opens a file, until it has released the upload. Only unmarked uploads may
// be dropped (to make room, or because they are idle): who drops one claims it first, and no
// request enters a claimed upload. Bounded by the requests under way. Any thread; the lock is held
// for a few steps.
//
//   busy_enter(&b, &mark, id);                  // false: another thread has claimed it
//   busy_leave(&b, &mark);
//
//   struct busy_claims mine = {0};
//   busy_claim(&b, id, &mine);                  // false: a request is under way, or it is claimed
//   …drop the uploads in mine, or not…
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
