// SPDX-License-Identifier: Apache-2.0
// What the files of this room share. See fleet.h.
//
//   carry.c    serves the feed to others; a thread of its own, the carrier, which also beats
//   follow.c   reads it from others: two lanes, a thread each
//   watch.c    asks the others how they are, and for their places while the writer is not confirmed
//   word.c     what is known of the feed between the nodes: who stored what, the last beat
//
// Locks: `lock` guards what is said so below, and is held shortly; nobody holds it while the feed, the
// fetcher, the network or the disk is called.
#ifndef MERIDIAN_FLEET_FLEET_PRIV_H
#define MERIDIAN_FLEET_FLEET_PRIV_H

#include "fleet/beat.h"
#include "fleet/call.h"
#include "fleet/fleet.h"
#include "fleet/heard.h"
#include "fleet/reports.h"

#include <pthread.h>
#include <stdatomic.h>

#define FLEET_UNNAMED_AFTER_MS 10000 // without a word of the writer; see reads_unnamed in follow.c
#define FLEET_LOOK_MS 250            // a thread that rests looks so often

#define FLEET_BASE_MAX_BYTES (512u << 20)
#define FLEET_FEED_PATH "/control/v1/feed"
#define FLEET_BASE_PATH "/control/v1/base"
#define FLEET_PLACE_PATH "/control/v1/place"
#define FLEET_REQUESTS_PATH "/control/v1/requests"

struct control_view;
struct poll; // a request for the feed that waits (carry.c)

struct lane { // reads the feed from one region at a time
    struct fleet *fl;
    // 0: from the writer; 1: from anybody, while the writer is silent or somebody has more
    unsigned index;
    pthread_t thread;
    bool runs;
    // where it reads, or read last; under the fleet's lock where another thread looks
    char from[HOSTNAME_REGION_SIZE];
    // for whose turn it is next
    unsigned turn;
    unsigned failures;
    // what it asked last: when (mono), with which nonce
    int64_t asked_ms;
    uint8_t nonce[BEAT_NONCE_BYTES];
    // it was answered by the feed there, not by something on the way; something new came
    bool answered, news;
    // wakes the fetch that it waits for
    _Atomic bool give_up;
};

struct words { // under `lock`
    // of what anybody may wait for
    uint64_t changes;
    struct heard heard;
    // the last beat that counted
    bool has_beat;
    struct beat beat;
    // mono; as of when its word is: of an answer, when it was asked for
    int64_t beat_ms;
    // mono; until then what is in force here was known to be in force
    int64_t fresh_ms;
    // wall; what of it is on disk
    int64_t kept_ms;
    bool confirmed;
    // mono; since when this region writes and is not confirmed; 0: it is not so
    int64_t unconfirmed_ms;
    // why the last lane failed, for people
    char lane_why[256];
    uint64_t n_taken, n_lane_failures;
};

struct fleet {
    struct fleet_options o;
    struct fleet_caller caller;
    _Atomic bool stopping;
    pthread_mutex_t lock;
    // whoever rests or waits: something of `words` changed, or it stops
    pthread_cond_t wake;
    struct words words;
    struct reports reports;
    // reports are wanted soon
    _Atomic bool hurried;
    pthread_t watch;
    bool watch_runs;

    // ---- with a feed only ----
    struct lane lanes[2];
    pthread_t carrier;
    bool carrier_runs;
    // under carry_lock
    pthread_mutex_t carry_lock;
    pthread_cond_t carry_wake;
    bool carry_due;
    struct poll *polls;
    unsigned n_bases;
    char *fresh_path;
};

// watch.c
void *fleet_watch_main(void *fleet);
// follow.c
void *fleet_lane_main(void *lane);
// A lane that still reads from who is not the writer any more gives up.
void fleet_lanes_look(struct fleet *fl);
// carry.c
void *fleet_carrier_main(void *fleet);
// There may be something for those that wait. Any thread, cheap.
void fleet_carrier_poke(void *fleet);
void fleet_polls_drop(struct fleet *fl); // after all servers and threads have ended
void fleet_feed_run(struct http_request *req, struct http_response *resp);
void fleet_base_run(struct http_request *req, struct http_response *resp);

struct peer_call { // what a request of the peer listener carries (req->ctx)
    struct fleet *fl;
    const char *region;
};

// word.c
// Counts what may concern somebody who waits. fleet_rest returns when it is not `seen` any more, after
// `ms`, for no reason, or at once on stop: true.
uint64_t fleet_changes(struct fleet *fl);
bool fleet_rest(struct fleet *fl, uint64_t seen, int64_t ms);
// The same, whatever changes.
bool fleet_pause(struct fleet *fl, int64_t ms);
void fleet_words_open(struct fleet *fl);
void fleet_words_close(struct fleet *fl);
void fleet_topology_look(struct fleet *fl);
// A region's word that it stored up to there.
void fleet_heard(struct fleet *fl, const char *region, const struct control_place *place);
// A beat that came. It answers what was asked at asked_ms (mono), or 0: it may be from any time.
// ERR_AUTH; ERR_EXISTS: not later than the last one.
int fleet_beat_take(struct fleet *fl, const struct beat *b, int64_t asked_ms);
// The last beat that counted. False: there was none.
bool fleet_beat_get(struct fleet *fl, struct beat *out);
// At the writer, while it beats: adds the answer to a reader's nonce. False: the beat is as it was.
bool fleet_beat_answer(struct fleet *fl, const uint8_t nonce[BEAT_NONCE_BYTES], struct beat *b);
// What is in force here moved: a beat may cover it now.
void fleet_advanced(struct fleet *fl);
// Says to the feed whether a majority is heard; the carrier calls it each turn.
void fleet_confirm_look(struct fleet *fl);
void fleet_own_get(struct fleet *fl, struct heard_own *out);

#endif
