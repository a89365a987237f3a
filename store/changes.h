// SPDX-License-Identifier: Apache-2.0
// Numbers by which somebody who remembers what a look at the metadata showed can tell whether it
// still holds. There is one for each shard; repositories and blobs share the shards by their ids and
// digests. A backend whose database one process writes keeps such numbers; see backend_changes in
// store/backend.h.
//
//   uint64_t before = changes_number(&c, shard_of_repo(repo));   // 0: remember nothing
//   … the look …
//   bool holds = changes_number(&c, shard_of_repo(repo)) == before;
//
//   changes_begin(&c, &touched);      // the writer, just before it commits
//   … COMMIT …
//   changes_end(&c, &touched);        // before anybody is told of it
//
// The number is read BEFORE the look. Who would read it after the look, or would only drop what is
// remembered at a commit, remembers an old value for ever: look, commit and drop, remember. And from
// changes_begin to changes_end there is no number, because a reader may see either state meanwhile:
// without that, one client could read the new value and then the old one.
//
// Threads: one writes; all read, without a lock.
#ifndef MERIDIAN_STORE_CHANGES_H
#define MERIDIAN_STORE_CHANGES_H

#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

#define CHANGES_SHARDS 1024
#define TOUCHED_MAX 62

// What a transaction changes: shards, or all of them when they are many. {0}: nothing.
struct touched {
    uint16_t list[TOUCHED_MAX];
    uint16_t n;
    bool all;
    // between changes_begin and changes_end
    bool open;
};

struct changes {
    // of every shard; odd: a commit is under way
    _Atomic uint64_t all;
    _Atomic uint64_t shards[CHANGES_SHARDS];
};

static inline unsigned shard_of_repo(int64_t repo)
{
    return (unsigned)((uint64_t)repo * 0x9e3779b97f4a7c15ull >> 54); // the highest 10 bits
}

static inline unsigned shard_of_blob(const struct digest *d)
{
    return (d->b[0] | (unsigned)d->b[1] << 8) % CHANGES_SHARDS;
}

void changes_init(struct changes *c);
// Greater than all before after each change of the shard. 0: a commit is under way.
uint64_t changes_number(const struct changes *c, unsigned shard);
void touched_add(struct touched *t, unsigned shard);
void changes_begin(struct changes *c, struct touched *t);
// Empties it. Without a changes_begin there was no commit, and no number moves.
void changes_end(struct changes *c, struct touched *t);

#endif
