// SPDX-License-Identifier: Apache-2.0
// What goes on between the nodes of a fleet: the control feed is carried to every node, each learns
// who has stored what, the writer asks a majority before it writes, everybody says how it is, and sees
// in what they differ. All goes over the peer listener (mutual TLS, the region by its certificate's
// fingerprint).
//
//   const struct fleet_options o = {.region = "eastus", .topology = &topology, .feed = feed, …};
//   rc = fleet_new(&o, &fleet);          // asks nobody yet
//   rc = fleet_start(fleet);             // its threads; the feed is this process's own by now
//   …
//   rc = fleet_wait(fleet, &place, FLEET_MAJORITY, 10000, &stored);
//   fleet_stop(fleet);                   // nothing of it runs any more: before the feed is closed
//   fleet_free(fleet);                   // after the HTTP servers that call it have stopped
//
// Without a feed (files are the topology's source) it carries nothing: it serves and gathers reports,
// and looks for drift.
//
// Routes (peer listener)
//   GET  /control/v1/feed?after=E:S:HASH&beat=MS&nonce=HEX&wait_ms=N   what follows that place, as JSON
//        lines, then perhaps one beat, which answers the nonce at the writer (fleet/beat.h). The query is
//        the reader's word that it stored that far, and of the last beat it has. Waits for up to N ms,
//        and is answered with each beat. 410: read the base. 409: that place is not in this log
//   GET  /control/v1/base       the whole state, for who is too far behind
//   GET  /control/v1/place[?at=E:S:HASH]   {"epoch","seq","hash","writer","writes","confirmed"}
//   GET  /control/v1/report     how this node is
//   POST /control/v1/requests   an operator's envelope, for the writer
//
// Invariants
//   1. A region has stored a place when it said so itself, over its own certificate.
//   2. The feed is confirmed only while a majority of all regions has lately named no later place, and
//      of what this region wrote before its process began nothing that was done can be missing here
//      (fleet/heard.h).
//   3. A beat counts when the writer that the topology in force names has signed it.
//
// Threads: all functions from any thread unless they say otherwise.
#ifndef MERIDIAN_FLEET_FLEET_H
#define MERIDIAN_FLEET_FLEET_H

#include "base/bytes.h"
#include "base/diag.h"
#include "base/snapshot.h"
#include "config/topology.h"
#include "control/place.h"
#include "net/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_BEAT_MS 1000   // between two beats of the writer
#define FLEET_SILENT_MS 5000 // a region that said nothing for so long cannot be reached
#define FLEET_ANSWER_MAX_BYTES (32u << 20)

struct control_feed;
struct fetcher;
struct fleet;
struct region_keys;

struct fleet_answer {
    // HTTP status
    int status;
    // JSON
    struct buf body;
};
void fleet_answer_done(struct fleet_answer *a);

// What the daemon does for it; may block shortly.
struct fleet_hooks {
    // json_t *, a new reference: how this node is (release, certificates, conditions …). The fleet
    // adds what it knows itself. NULL: out of memory.
    void *(*report)(void *ctx);
    // An envelope that another region handed on to this one; fills a->status and a->body, which is
    // ready for use. On the pool. NULL: none is taken here.
    void (*request)(void *ctx, const char *from_region, struct bytes envelope,
                    struct fleet_answer *a);
    void *ctx;
};

// What it borrows lives longer than the fleet.
struct fleet_options {
    const char *region;
    // this node's
    const char *stamp;
    struct snapshot *topology, *principals;
    // NULL: files are the source
    struct control_feed *feed;
    // With a feed: its control key signs beats, where this region writes.
    const struct region_keys *keys;
    // With a feed: keeps there until when what is in force was known to be so.
    const char *state_dir;
    struct fetcher *fetcher;
    const char *ca_file, *peer_pem;
    struct fleet_hooks hooks;
    // For tests, as in fleet/call.h; NULL: none.
    int (*dial_socket)(void *ctx, const char *region, char *out, size_t cap);
    void *dial_ctx;
    // For tests. Between two rounds of reports; 0: 5,000. FLEET_BEAT_MS and FLEET_SILENT_MS; 0: these.
    unsigned every_ms, beat_ms, silent_ms;
};

int fleet_new(const struct fleet_options *o, struct fleet **out);
int fleet_start(struct fleet *fl);
void fleet_stop(struct fleet *fl); // NULL is fine, and so is a second time
void fleet_free(struct fleet *fl); // stops it first

// Routes of the peer listener under /control. `peer`: the region by its certificate. On an HTTP
// thread. `fl` NULL: 404.
void fleet_begin(struct fleet *fl, struct http_request *req, const struct region *peer,
                 struct http_plan *plan);

// ---- who has stored what; only with a feed ----

enum fleet_until {
    FLEET_MAJORITY,  // a majority of all regions has stored it
    FLEET_REACHABLE, // and all that can be reached
};

struct fleet_stored {
    // by index of the regions in the topology of version `topology`; this one is among them
    region_set stored;  // has said that it stored it
    region_set behind;  // can be reached and has not
    region_set away;    // cannot be reached: takes it when it is back
    region_set unheard; // cannot be reached, whether it has stored it or not
    bool majority;
    uint64_t topology;
};

// ERR_NOTFOUND: that place is not in the log in force here (a takeover made it void).
int fleet_stored(struct fleet *fl, const struct control_place *p, struct fleet_stored *out);
// The same, once it is so: 0. ERR_TIMEOUT: *out says how far it came. ERR_CANCELED: stopping.
int fleet_wait(struct fleet *fl, const struct control_place *p, enum fleet_until until, int64_t ms,
               struct fleet_stored *out);
// Names of the regions of a set, as the topology in force has them: json_t *, an array.
void *fleet_regions_json(struct fleet *fl, region_set set);

// ---- the writer; only with a feed ----

// Hands an operator's envelope on to the writer region, and waits for its answer for up to 30 s. 0: it
// answered, whatever it said. Else diag says why; ERR_EXISTS: this region is the writer.
int fleet_to_writer(struct fleet *fl, struct bytes envelope, struct diag *diag,
                    struct fleet_answer *out);

// For how long it is not known that what is in force here still is so, in ms: no beat of the writer
// covers it (tokens.max_stale bounds that). -1: files are the source.
int64_t fleet_stale_ms(struct fleet *fl);

// ---- how everybody is: json_t *, new references; NULL: out of memory ----

void *fleet_report_json(struct fleet *fl);
// How this node stands to the control feed: {"epoch","seq","hash","writer","writes","confirmed",
// "staleMs","alarm"}. Only with a feed.
void *fleet_control_json(struct fleet *fl);
// Asks every other region, each for at most timeout_ms: an array, this node first. Blocks.
void *fleet_all_json(struct fleet *fl, unsigned timeout_ms);
// The same of what was heard last; asks nobody.
void *fleet_heard_json(struct fleet *fl);
// What differs between the nodes for longer than it should (fleet/drift.h), as one sentence with a
// cure; false: nothing. Of what was heard last; never waits.
bool fleet_drift(struct fleet *fl, char *out, size_t cap);
// What is wrong with the control feed here, likewise: an alarm of the feed, no word of the writer, or
// no majority for the writer that this region is.
bool fleet_alarm(struct fleet *fl, char *out, size_t cap);
// Somebody waits for what the reports say: they are asked for every FLEET_HURRY_MS as long as this is
// called so often.
#define FLEET_HURRY_MS 1000
void fleet_hurry(struct fleet *fl);
void fleet_metrics(struct fleet *fl, struct buf *out); // NULL is fine

// An answer with 200 and a text of any size, which it takes over. ERR_NOMEM.
int fleet_answer_text(struct http_response *resp, const char *content_type, struct buf *text);

#endif
