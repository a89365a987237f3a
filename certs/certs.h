// SPDX-License-Identifier: Apache-2.0
// A region's certificates on disk (<data_dir>/certs: region.pem, shared.pem, peer.pem, ca.pem),
// enrolment, renewal ahead of expiry, and the hand-over to the edge (design section 7). One file
// holds chain and key, so that one rename swaps both.
// ca.pem may hold several CAs, while one takes over from another (fleet/ca_roll.h): then what the
// other one has issued is renewed ahead of time (certs_prefer).
//
// Enrolment (`meridian init`, with the CA at hand): certs_enrol. Renewal: a new key and request are
// sent to the region that answers for the CA, on its peer listener; or, where the CA is at hand
// (ca_dir), issued directly. What comes back is checked (names, key, chain, dates) before it
// replaces anything.
//
// Two proofs say which region asks: the peer certificate, which the edge reports, and a signature
// of the region's feed key over the request and a nonce (certs/signed_request.h), which no edge can
// make. So a broken edge, even the CA's own, gets no certificate. The proof needs no wall clock:
// the CA makes the nonce, and it is valid for a minute of the CA's monotonic clock. The dates in a
// certificate need wall clocks. A region whose clock is far from the other regions' neither issues
// nor renews, and no region does so before it has compared clocks once after a start (clock_ok). A
// certificate begins five minutes before it is issued, so that clocks may differ by that much.
//
//   POST /certs/v1/nonce    -> {"nonce": hex}
//   POST /certs/v1/renew    the signed request -> the certificate in PEM
//
// The peer certificate is different, because the topology pins its fingerprint: a region that
// swapped it by itself would shut itself out. So a renewed one is written to peer-next.pem, and
// `certs show` prints its fingerprint (next_fingerprint). Each check looks whether the topology in
// force has it, and whether peer_ready agrees; then peer-next.pem is renamed to peer.pem. Where the
// topology comes over the control feed, the writer names the new fingerprint and drops the old one
// by itself (fleet/peer_roll.h). Where files are the source, the operator adds it to the region's
// peer_fingerprints and takes the old one out. A peer certificate lives 365 days and renewal begins
// after two thirds of them, so there are months for that; the log says that the renewal waits. In
// the last twentieth of its life (CERTS_PEER_LAST) peer_ready is not waited for: with one that has
// expired the region could ask nobody any more, and one region that never stores the change, or
// says so, would shut out all others.
#ifndef MERIDIAN_CERTS_CERTS_H
#define MERIDIAN_CERTS_CERTS_H

#include "base/diag.h"
#include "base/snapshot.h"
#include "certs/ca.h"
#include "certs/keys.h"
#include "certs/plan.h"
#include "net/fetch.h"
#include "net/http.h"

#include <stdbool.h>
#include <stdint.h>

enum cert_fault { // of a certificate on disk, the first that was found
    CERT_FINE,
    CERT_MISSING,
    CERT_UNREADABLE, // or others may read its key, or it holds no certificate
    CERT_KEY_DIFFERS,
    CERT_EXPIRED,
    CERT_NOT_VALID_YET,
    CERT_LACKS_NAME, // of its plan
    CERT_NO_CA,      // ca.pem cannot be read
    CERT_FOREIGN     // was not issued by that CA
};

struct cert_info {
    enum cert_kind kind;
    enum cert_fault fault;
    char path[512];
    bool present;
    // wall
    int64_t not_before_ms, not_after_ms;
    // when two thirds of its life are over
    int64_t renew_at_ms;
    // SHA-256 of the DER, hex
    char fingerprint[65];
    char issuer[128], serial[64];
    // blank-separated
    char names[1024];
    // `fault` in words; "" when fine
    char problem[512];
    // fingerprint of the CA in ca.pem that has signed it; "" if none has
    char authority[65];
    // CERT_PEER: of peer-next.pem, which waits for the topology to name it; "" if none
    char next_fingerprint[65];
};

// Issues all three certificates of a region (or those that are missing or lack a name, unless
// `all`) from a CA at hand.
int certs_enrol(const char *certs_dir, struct ca *ca, const struct topology *t, const char *region,
                bool all, unsigned lifetime_s, struct diag *diag);
int certs_inspect(const char *certs_dir, const struct topology *t, const char *region,
                  enum cert_kind kind, struct cert_info *out);
void *certs_info_json(const struct cert_info *info); // new json_t *
// What anybody may know of every certificate in a PEM text, private keys passed over: new json_t *,
// an array of {"subject","issuer","serial","notBefore","notAfter","names","fingerprint"}; names are
// text, "" where they are of a kind that no plan has. NULL: out of memory.
void *certs_public_json(struct bytes pem);

struct certs;
#define CERTS_PEER_LAST 20
struct certs_options {
    const char *certs_dir;
    const char *region;
    struct snapshot *topology;
    struct fetcher *fetcher;
    // sign requests to the CA's region; may be NULL where none are made
    struct region_keys *keys;
    // this node answers renewals; NULL elsewhere
    const char *ca_dir;
    // how often expiry is looked at
    unsigned check_s;
    // after files changed: the edge must reload. On the renewal thread
    void (*on_renewed)(void *ctx);
    // May certificates be dated by our wall clock? 0; ERR_BUSY: it was not compared yet;
    // ERR_CONFLICT: it is far from a majority of the other regions', with a sentence in why. Any
    // thread; NULL: it may.
    int (*clock_ok)(void *ctx, char *why, size_t cap);
    // A date of that region's does not fit our clock: a clause that says whose clock is suspect.
    // Any thread; may be NULL.
    void (*clock_suspect)(void *ctx, const char *region, char *out, size_t cap);
    // The topology in force names the peer certificate that waits: may it be used from now on? May
    // block for a few seconds. NULL: it may, and people name it.
    bool (*peer_ready)(void *ctx, const char *fingerprint);
    // What the peer certificate that waits is waiting for, a clause. Any thread; NULL:
    // for people.
    void (*peer_waits)(void *ctx, char *out, size_t cap);
    void *ctx;
};
// renewal thread
int certs_start(const struct certs_options *o, struct diag *diag, struct certs **out);
// ends soon, also what is being asked for; certs_stop has less to wait for
void certs_end(struct certs *c);
void certs_stop(struct certs *c);
// The renewal thread looks at once: the peer certificate that waits may be ready. NULL is fine.
void certs_poke(struct certs *c);
// From now on certificates of another CA than this one (fingerprint; "": of any) are renewed as if they
// were due. Any thread. NULL is fine.
void certs_prefer(struct certs *c, const char *authority);
// Calls `change`, which changes the CA in ca_dir, and issues by what lies there from then on; nothing
// is issued meanwhile. Any thread. ERR_UNSUPPORTED: the CA is not here; what `change` gives.
int certs_ca_change(struct certs *c, int (*change)(void *ctx, struct diag *diag), void *ctx,
                    struct diag *diag);
// Issues by what lies in ca_dir when that is another CA than this process has read, as it is when the
// process before it has changed it a moment ago. `fingerprint`: of what lies there. Any thread.
int certs_ca_follow(struct certs *c, const char *fingerprint, struct diag *diag);
// ca.pem has changed: the edge must reload. NULL is fine.
void certs_changed(struct certs *c);
// Renews now (kind NULL: all three). Blocks. Used by the admin socket.
int certs_renew(struct certs *c, const enum cert_kind *kind, struct diag *diag);
// As certs_inspect, of this node's own, and the problem says which clock is suspect where it may be
// one; in out_error why the last renewal failed, "" if it did not.
#define CERTS_ERROR_SIZE 512
int certs_look(struct certs *c, enum cert_kind kind, struct cert_info *out,
               char out_error[CERTS_ERROR_SIZE]);
// new json_t *: array of cert infos, with last error and next renewal; of the peer certificate
// "nextWaits", what the next one waits for: null where there is none, or people must name it
void *certs_status_json(struct certs *c);

// Peer listener, role of the CA: the two routes above. Fills the plan (404 when this node has no
// CA; 403 when the peer is not a region of the topology, asks for another's, or its signature or
// nonce is not good).
void certs_begin(struct certs *c, struct http_request *req, const struct region *peer,
                 struct http_plan *plan);

#endif
