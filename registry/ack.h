// SPDX-License-Identifier: Apache-2.0
// Writes that are acknowledged only once other regions have them too: a registry's `ack: peers:N`
// (config/policy.h). A handler notes what it writes; when its answer says that it was written, the
// answer is held, no thread with it, until N regions have all of that, content too, on their disks
// (content/elsewhere.h). If they have not in time, the client gets 503 with Retry-After and a sentence
// that names who has it: the write stays.
//
// A repeat of such a write, by the same user, is a write like any other: it mints, since what another
// region wrote meanwhile may not be known here, and loses to what is acknowledged now. But while the
// value of the first stands, conditions that the first met (If-Match) are not asked again, and a
// DELETE finds gone what it deleted. One that was acknowledged, or another user's, is no repeat.
//
//   if (!ack_repeats(op, tag, &digest, false) && !…conditions hold…)
//       return;
//   …write…
//   ack_note(op, tag, &digest);
//
// Threads: the op's own. The list of unacknowledged writes has a lock of its own.
#ifndef MERIDIAN_REGISTRY_ACK_H
#define MERIDIAN_REGISTRY_ACK_H

#include "base/digest.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct op;
struct op_ack;
struct http_response;

// Writes that were answered with 503; the oldest are forgotten, and their repeats are new writes.
#define UNACKED_MAX 4096
struct unacked {
    pthread_mutex_t lock;
    struct unacked_write {
        // of the value; 0: free
        uint64_t stamp, epoch, who;
    } list[UNACKED_MAX];
    // the next to be used; how many are not free
    size_t next, n;
};
void unacked_init(struct unacked *u);
void unacked_done(struct unacked *u);

// Too few other regions are heard for a write to be acknowledged. True: answered, 503, and nothing is
// kept.
bool ack_refused(struct op *op, struct http_response *resp);
// The request writes this register: a tag, or (NULL) the presence of that manifest. Latches
// op->failed.
void ack_note(struct op *op, const char *tag, const struct digest *manifest);
// Is the register's value what an earlier request of this user wrote, with no acknowledgement so far?
// `gone`: its deletion; else `manifest` is the value of the tag, or what is present.
bool ack_repeats(struct op *op, const char *tag, const struct digest *manifest, bool gone);
// Is it gone by a deletion of this region, whoever asked for that?
bool ack_deleted_here(struct op *op, const char *tag, const struct digest *manifest);
// The handler has answered: holds the answer where it has to be: that something was written, or (404,
// of what was noted) has gone. True: there is none yet.
bool ack_hold(struct op *op, struct http_response *resp);
// The handler's answer to a write that stands, in place of which the client was told that it is not
// acknowledged; NULL: he was told no such thing.
const struct http_response *ack_stands(const struct op *op);
// The request is over.
void ack_done(struct op *op);

#endif
