// SPDX-License-Identifier: Apache-2.0
// The thread that looks four times a second at when each region was heard last (silence.h). When
// three beats in a row are missed the region is away: what runs to it is ended at once, and the
// daemon is told, which holds connections of its own to it. No beat touches a store: the sender
// repeats a line that it has, and a mark that did not move is not written.
//
// Threads: any; silence_watch_kick does not block.
#ifndef MERIDIAN_REPLICATION_SILENCE_WATCH_H
#define MERIDIAN_REPLICATION_SILENCE_WATCH_H

struct replicator;
struct silence_watch;

int silence_watch_new(struct replicator *r, struct silence_watch **out);
int silence_watch_start(struct silence_watch *w);
// A region may have gone, or come back: looks now.
void silence_watch_kick(struct silence_watch *w);
// After life_end: joins the thread. NULL is ignored.
void silence_watch_stop(struct silence_watch *w);
void silence_watch_free(struct silence_watch *w);

#endif
