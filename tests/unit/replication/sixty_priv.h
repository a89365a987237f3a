// SPDX-License-Identifier: Apache-2.0
// What the files of the simulation share (sixty.h): its regions, and its network with the events that
// are to happen, by time. One thread.
#ifndef MERIDIAN_TESTS_REPLICATION_SIXTY_PRIV_H
#define MERIDIAN_TESTS_REPLICATION_SIXTY_PRIV_H

#include "content/source.h"
#include "replication/cursor.h"
#include "replication/relay.h"
#include "replication/silence.h"
#include "tests/unit/replication/sixty.h"

#define US 1000          // in a millisecond
#define BYTES_PER_US 125 // 1 Gbit/s, each way, of each region
#define CLIENT_BYTES_PER_US 25
#define ASK_BYTES 420      // a request for a blob, a refusal
#define OFFER_BYTES 460    // with its answer
#define ENTRIES_BYTES 2600 // the entries of an image: its manifest, inline, and a tag
#define N_RUNNING 4        // blobs that a region fetches of one image at a time
#define RETRY_MS 250       // after all have failed

enum what { // happens when
    EV_UPLOADED,
    EV_COMMITTED,
    EV_ENTRY,
    EV_BEATS,
    EV_OFFER,
    EV_ASKED,
    EV_ANSWERED,
    EV_WORK,
};

struct event {
    int64_t at_us;
    uint64_t n; // in the order in which they were made
    enum what what;
    // to whom it happens, and from whom
    size_t at, from;
    size_t blob;
    // of an answer; of an entry its number
    int rc;
};

struct fetch { // of one blob, by one region
    bool runs;
    // whom to ask, in order; the first n_relays are relays
    size_t n, next, n_relays;
    uint8_t list[SIXTY];
    // some relay has not got it
    bool absent, failed;
    // told of by, and to be told on to others then; SIXTY: nobody, it is a job's
    size_t teller;
};

struct sim_region {
    bool has[SIM_BLOBS_MAX];
    struct fetch fetch[SIM_BLOBS_MAX];
    // its job of the image: it has the entries; since when relays have not got a blob
    bool job, waits, done;
    int64_t absent_us, visible_us;
    // when its lines are free
    int64_t out_us, in_us;
    struct sim_tally tally;
    bool asked_by[SIXTY];
    // by other region
    struct source *source[SIXTY];
    struct silence silence[SIXTY];
    bool away[SIXTY];
    struct feed_mark mark[SIXTY];
    bool stream[SIXTY];
};

struct sim {
    struct relay_map map;
    char names[SIXTY][8];
    struct sim_region regions[SIXTY];
    bool cut[SIXTY];
    // entries of each origin so far
    uint64_t n_entries[SIXTY];
    struct event *heap;
    size_t n_heap, cap_heap;
    uint64_t n_events;
    // the image
    bool anywhere;
    size_t origin, n_blobs;
    uint64_t bytes[SIM_BLOBS_MAX];
    // when it was pushed, or a region came back since
    int64_t since_us;
    uint64_t beat_bytes;
};

// of the simulation
extern int64_t sim_now_us;

void sim_later(struct sim *s, int64_t at_us, struct event e);
struct event sim_event_take(struct sim *s); // there is one

// One way between two regions.
int64_t sim_delay_us(const struct sim *s, size_t a, size_t b);
bool sim_way(const struct sim *s, size_t a, size_t b);
// When so many bytes that are sent now are there, behind all that was sent before.
int64_t sim_sent_us(struct sim *s, size_t from, size_t to, uint64_t bytes);
// The same of what is small: it stands in no queue.
int64_t sim_said_us(struct sim *s, size_t from, size_t to, uint64_t bytes);

#endif
