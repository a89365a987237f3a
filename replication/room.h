// SPDX-License-Identifier: Apache-2.0
// Room on the disk for what jobs fetch. A job's missing bytes are known before the first is asked
// for: all of them are charged against the disk's reserve (store/space.h), or the job is parked
// until they fit. So one large image stops nothing else, and no partial fetch fills a disk.
//
//   if (room_take(room, bytes, &charge) == ERR_NOSPACE)
//       room_say(room, registry, repository, bytes, error);   // and the job is parked for so many
//   …fetch…                                                   // room_failed, if a write failed
//   space_return(&charge);
//
// Threads: any, with a lock of its own; room_look is the dispatcher's alone. All functions but
// room_size, room_wrote and room_is_full block on the disk.
//
// Invariants
//   1. What one blob was found to take at least is not forgotten while its job is parked for it,
//      unless LARGER_MAX others came: a parked job is looked at again and again, and is not to
//      fetch as far as it fits each time.
#ifndef MERIDIAN_REPLICATION_ROOM_H
#define MERIDIAN_REPLICATION_ROOM_H

#include "base/bytes.h"
#include "content/source.h"
#include "store/blob.h"
#include "store/meta.h"
#include "store/space.h"

struct room;
struct room_options {
    // this region's name, for messages; outlives the room
    const char *region;
    struct meta *meta;
    struct blob_store *blobs;
    // NULL: nothing is ever refused for want of room
    struct space *space;
    // What partial fetches may hold, before those that nobody goes on with are given up. 0: no bound
    uint64_t partial_bytes;
};
int room_new(const struct room_options *o, struct room **out);
void room_free(struct room *room); // NULL is ignored

// Charges what is about to be fetched, all of it or nothing (ERR_NOSPACE). With 0 bytes nothing is
// known to lack: what comes all the same is charged by windows.
int room_take(struct room *room, uint64_t bytes, struct space_charge *out);
// That `lacks` bytes of the repository do not fit, in words.
void room_say(struct room *room, const char *registry, const char *repository, uint64_t lacks,
              char error[CONTENT_TEXT_SIZE]);
// A write of a blob failed for want of space after `came` of its bytes, which are given up next.
// Its manifest says `size`; `after` bytes of the job come after it. Returns how many bytes the job
// lacks: it is parked for so many. 0: there should be room for it (is there a quota?), so the try
// has failed.
uint64_t room_failed(struct room *room, const struct digest *d, uint64_t size, uint64_t came,
                     uint64_t after);
// How many bytes the blob will take: what its manifest says, or what is known better.
uint64_t room_size(struct room *room, const struct digest *d, uint64_t size);

// The dispatcher's look, once a second: makes parked jobs due that fit by now, and gives up partial
// fetches that nobody goes on with while the disk is short, or beyond their bound. 0, or why parked jobs cannot be read.
int room_look(struct room *room);

// What a write to this region's own metadata came to.
void room_wrote(struct room *room, int rc);
// The last such write was refused: the disk is full.
bool room_is_full(const struct room *room);
void room_metrics(struct room *room, struct buf *out);

#endif
