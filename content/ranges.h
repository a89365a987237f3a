// SPDX-License-Identifier: Apache-2.0
// One blob fetched in several streams at once, over a line whose round trip holds one stream back.
// The thread that runs the flight leads: it fetches ranges itself, digests what is there in order,
// and commits. Others, of a pool that all fetches share, fetch ranges beside it. Every stream takes
// the first chunks that nobody has or fetches, at most a share of what lacks; the range of one that
// fails goes to the others.
//
//   ranges_new(get, &rs);                       // ERR_UNSUPPORTED: it comes in order
//   rc = ranges_get(rs, i, error);              // from want->sources[i] on; again for the next source
//   ranges_end(rs);                             // no stream runs any more
//
// Threads: the leader's, which blocks on sources and the disk.
//
// Invariants
//   1. No stream is offered before the leader has had an answer, so a source that is silent holds
//      one thread as before; and a stream waits for nobody.
//   2. A chunk counts once all its bytes were written, and is given once: by one source.
//   3. What others borrow is theirs until ranges_end has seen the last of them leave; one that the
//      pool begins later finds the fetch closed.
//   4. Bytes that are wrong together are fetched anew in order, from one source. Who gave other
//      bytes than those that proved right is named for it, and nobody else.
//   5. The leader does not wait long for another stream from which no chunk comes: it ends them all,
//      and fetches what lacks from its own source.
#ifndef MERIDIAN_CONTENT_RANGES_H
#define MERIDIAN_CONTENT_RANGES_H

#include "content/content_priv.h"

struct ranges;

// The upload of `g` is open. ERR_UNSUPPORTED: not asked for, too little lacks, or the store cannot.
int ranges_new(struct blob_get *g, struct ranges **out);
// 0: all is there, and committed. ERR_UNSUPPORTED: the source gives no ranges, or the blob has
// another size than the want says: the blob must come in order. ERR_DIGEST: the bytes are wrong; the
// upload is empty, and g->giver who gave them all.
int ranges_get(struct ranges *rs, size_t source, char error[CONTENT_TEXT_SIZE]);
// Ends the streams and waits for them.
void ranges_end(struct ranges *rs);
bool ranges_fresh(struct ranges *rs);     // something came since the last sync, or the beginning
uint64_t ranges_bytes(struct ranges *rs); // that are there, in order or not
// The bytes are wrong, and about to be thrown away: notes who gave which, unless the source that is
// asked gave all. Reads them once more; ends early when the fetch is stopped, and then nobody is named.
void ranges_wrong(struct ranges *rs);
// The blob came in order after its ranges were wrong, and was published: names who gave other bytes
// than these. Reads it until the fetch is stopped.
void ranges_judge(struct ranges *rs, const struct blob_name *right);
void ranges_free(struct ranges *rs); // after ranges_end; NULL is ignored

#endif
