// SPDX-License-Identifier: Apache-2.0
// Sixty regions in one process, with a network and a time of the test's own: who sends how much to
// whom when an image is pushed, when nothing happens, when a region is cut off.
//
// The product's own code decides: who is a relay, whom to ask, how long to wait, and whom to tell
// (replication/relay.h); who may be asked after a failure (content/source.h); which of the others is
// nearest (near_order); who is away (replication/silence.h); where a stream goes on
// (replication/cursor.h). Simulated are the network, the store, and the order of steps that
// replication/blob_fetch.c, blob_group.c, tell.c and holds.c take with threads: a region fetches up
// to four blobs of an image at a time, small ones first, and looks again as a whole. The network
// has a delay for each pair by their longitudes, and for each region a line out and a line in, each
// with a rate, on which what is sent stands in a queue; requests and their answers have sizes as
// seen on the wire without TLS. What is cut is silent: a connection then fails after
// PEER_CONNECT_MS, an answer that was on its way after SOURCE_IDLE_MS.
//
//   struct sim *s = sim_new(8);                         // relays_from
//   sim_push(s, 0, false, blobs, n);                    // from region 0
//   sim_run(s, 60000);                                  // so much time
//   sim_free(s);
//
// One thread. base/clock.h's monotonic clock is the simulation's (--wrap).
#ifndef MERIDIAN_TESTS_REPLICATION_SIXTY_H
#define MERIDIAN_TESTS_REPLICATION_SIXTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIXTY 60
#define SIM_BLOBS_MAX 8

struct sim_tally { // of one region since sim_count
    // of blobs that it sent to others, and of all else
    uint64_t blob_bytes, other_bytes;
    // for blobs, and offers of blobs, that came to it; offers that it sent
    unsigned n_requests, n_absent, n_offers_in, n_offers_out;
    // others that asked it for a blob
    unsigned n_askers;
};

struct sim;
struct sim *sim_new(unsigned relays_from);
void sim_free(struct sim *s);
// An image whose blobs the client sends one after the other, and then its manifest.
// `anywhere`: by the global name, so that its client may go on in any region.
void sim_push(struct sim *s, size_t region, bool anywhere, const uint64_t *blob_bytes, size_t n);
void sim_run(struct sim *s, int64_t ms);
// No way to or from the region, or again one.
void sim_cut(struct sim *s, size_t region, bool cut);
void sim_count(struct sim *s); // from now on
const struct sim_tally *sim_tally(const struct sim *s, size_t region);
// How long after the push's answer, or after a region came back since, the last of those that are not cut had the tag; -1: one has not.
int64_t sim_visible_ms(const struct sim *s);
// To whom a region's relay for that origin is.
size_t sim_relay(struct sim *s, size_t origin, size_t region);
// A region's place in the feed of an origin; streams from it that run.
uint64_t sim_mark(const struct sim *s, size_t region, size_t origin);
unsigned sim_streams(const struct sim *s, size_t origin);

#endif
