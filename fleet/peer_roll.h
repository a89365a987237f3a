// SPDX-License-Identifier: Apache-2.0
// How a region's peer certificate is replaced by the next one without anybody's hand, where the
// topology comes over the control feed. The region renews (certs/certs.h), and keeps the new
// certificate aside. Then:
//
//   1. next   the region asks the writer to name the new fingerprint in the topology, beside the one
//             in use. The writer judges, and writes it as an entry of the feed, `by` region:<name>
//   2.        every region that can be reached, and a majority, has stored a version that names it:
//             the region sees to that itself (daemon/rolling.h), and goes over. When the old one
//             nears its end it goes over without them (CERTS_PEER_LAST)
//   3. used   the region tells the writer so, over a connection with the new certificate
//   4. drop   PEER_ROLL_OVERLAP_MS later the writer takes the old fingerprint out
//
// What is under way is the ledger's record peer/<region>, so that each step goes on after a crash of
// either side, also at another writer:
//
//   {"old":hex,"next":hex,"until":ms,"named":ms,"used":ms}      used: from step 3 on
//
// Routes (peer listener, a region of the topology by its fingerprint; only at the writer)
//
//   POST /control/v1/peer/nonce         → {"nonce":hex}
//   POST /control/v1/peer/certificate   {"request":TEXT,"key":feed key id,"signature":base64url}
//     TEXT {"v":1,"domain":D,"region":R,"step":"next"|"used","nonce":hex,"current":hex,
//           "certificate":PEM}        certificate: of step next
//     → {"step":"named"|"used"}; 403 refused, 409 not now, 503 ask again
//
// Who holds a peer certificate and its key gets nothing here: requests are signed with the region's
// feed key (Ed25519, RFC 8032, over PEER_ROLL_PREFIX and TEXT), which no edge has. The writer's
// nonce is good once, for a minute of its monotonic clock, so that a request that was seen on the
// way brings back no certificate that has left.
//
// Invariants
//   1. A region has at most one fingerprint more than the one in use by this way.
//   2. A fingerprint that the topology does not name is added only for a certificate of the fleet's
//      CA for exactly that region, which is valid by a clock of the writer that is not known to be
//      wrong.
//   3. Only a fingerprint that a record calls old, or never used, is taken out. What people have
//      named by hand stays until they take it out.
//
// Threads: a roll from any thread, one request at a time; the rest is pure.
#ifndef MERIDIAN_FLEET_PEER_ROLL_H
#define MERIDIAN_FLEET_PEER_ROLL_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "certs/nonces.h"
#include "config/topology.h"
#include "net/http.h"

#include <stdbool.h>
#include <stdint.h>

#define PEER_ROLL_NONCE_PATH "/control/v1/peer/nonce"
#define PEER_ROLL_PATH "/control/v1/peer/certificate"
#define PEER_ROLL_PREFIX "meridian peer certificate 1\n"
#define PEER_ROLL_RECORD "peer/"
// From the first use of the new certificate to the end of the old one. Connections that were opened
// with the old one live an hour at most (the edge's keepalive_time).
#define PEER_ROLL_OVERLAP_MS (2 * 3600 * 1000)
// One that was not used yet makes room for another one so long after it was named: each is an entry of
// the feed, which a region that was taken over could fill.
#define PEER_ROLL_AGAIN_MS (10 * 60 * 1000)

// ---- records ----

struct peer_record {
    char old[65], next[65];
    // wall: when `next` expires; when the topology named it; when it was used first, 0: not yet
    int64_t until_ms, named_ms, used_ms;
};

int peer_record_format(const struct peer_record *r, struct buf *out);
int peer_record_parse(const char *json, struct peer_record *out); // ERR_INVAL

// ---- requests ----

enum peer_step { PEER_NEXT, PEER_USED };

struct peer_request {
    enum peer_step step;
    const char *nonce;
    // fingerprint of the certificate in use, hex
    const char *current;
    // PEM; PEER_NEXT, else NULL
    const char *certificate;
};

int peer_request_format(const struct topology *t, const char *region, const struct peer_request *q,
                        struct region_keys *keys, struct buf *out);
// `from`: the region whose connection brought it. Strings hang off `a`. ERR_DENIED with a sentence.
int peer_request_parse(const struct topology *t, const char *from, struct bytes body,
                       struct arena *a, struct diag *diag, struct peer_request *out);

// ---- the topology ----

bool peer_names(const struct topology *t, const char *region, const char *fingerprint);
// The frame in force with `add` among that region's fingerprints and without `drop`; either may be
// NULL. ERR_UNSUPPORTED: there is no text of the frame.
int peer_frame(const struct topology *t, const char *region, const char *add, const char *drop,
               struct arena *a, struct buf *out);

// ---- the writer ----

struct peer_change { // one entry of the control feed
    // "region:<name>", or NULL: the writer itself
    const char *by;
    uint64_t expect_topology; // 0: no frame
    struct bytes frame;
    // value NULL: it goes
    const char *record_key, *record;
};

// What it stands on; any thread, with one sentence in diag on failure.
struct peer_roll_deps {
    void *ctx;
    int64_t (*now_ms)(void *ctx); // wall
    // May this node write? ERR_DENIED: another region does; ERR_BUSY: not confirmed, or its clock is
    // wrong.
    int (*writer)(void *ctx, struct diag *diag);
    struct topology *(*topology)(void *ctx); // a reference; NULL: none
    // The ledger's record; ERR_NOTFOUND.
    int (*record)(void *ctx, const char *key, struct buf *out);
    // ERR_CONFLICT: another version is in force.
    int (*append)(void *ctx, const struct peer_change *c, struct diag *diag);
    int (*ca)(void *ctx, struct buf *out_pem);
    // For logs and the audit log; req NULL: the writer's own. why NULL: it was done.
    void (*note)(void *ctx, const struct http_request *req, const char *region, const char *what,
                 const char *fingerprint, const char *why);
};

struct peer_roll;
int peer_roll_new(const struct peer_roll_deps *d, struct peer_roll **out);
void peer_roll_free(struct peer_roll *p); // NULL is fine

// `peer`: the region whose certificate came, or NULL. `p` NULL: 404. On an HTTP thread.
void peer_roll_begin(struct peer_roll *p, struct http_request *req, const struct region *peer,
                     struct http_plan *plan);
bool peer_roll_is_path(const char *path);

// What it runs, without HTTP; `via`: the fingerprint of the connection's certificate. ERR_DENIED,
// ERR_CONFLICT (later), ERR_BUSY … with a sentence. The writer's own region calls them, too.
int peer_roll_nonce(struct peer_roll *p, const char *region, char out[NONCE_TEXT_SIZE]);
int peer_roll_take(struct peer_roll *p, const char *region, const char *via, struct bytes body,
                   struct diag *diag, const char **out_step);
// Takes out what is over, of all regions. Called now and then; does nothing where it may not write.
// What could not be written is tried again ever more seldom, every five minutes at the least.
void peer_roll_look(struct peer_roll *p);

#endif
