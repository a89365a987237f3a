// SPDX-License-Identifier: Apache-2.0
// The thread that reads one other region's feed, session after session, with rests in between. It
// waits on that region alone, so that one that cannot be reached delays itself only (design section
// 9, invariant 6). The first turn asks how far that region has read us (invariant 8).
#ifndef MERIDIAN_REPLICATION_PEER_READER_H
#define MERIDIAN_REPLICATION_PEER_READER_H

// A thread's main function; ends at the stop. `peer`: struct peer *.
void *peer_reader_main(void *peer);

#endif
