// SPDX-License-Identifier: Apache-2.0
// How the next private CA takes over from the one in use, over the control feed, while the fleet
// serves. The node that has the CA (ca_dir) leads it:
//
//   0.        people ask for it, or a fifth of the life of the CA in use is left (CA_ROLL_DUE): another
//             one is made in <ca_dir>/next
//   1. trust  the ledger's record has its certificate, and every node puts that into its ca.pem beside
//             the one in use
//   2. use    every region that can be reached, and a majority, trusts it, for CA_ROLL_SETTLE_MS; and
//             `issue` is over, for clients that people must give it. The CA's node issues by it. All
//             regions renew what the old one has issued. A region that is away holds it up, since it
//             could verify nobody when it comes back: until people say --without-away. Once the old
//             one has only CA_ROLL_LAST_MS left, no region is waited for longer than
//             CA_ROLL_PATIENCE_MS: all would be cut off when it expires
//   3. done   nothing in use hangs on the old one, and no region is away; or the old one has expired,
//             or people say so. Every node takes it out of its ca.pem
//   cancelled instead of step 2: every node takes the next one out
//
// Has the next one issued, and its key is lost, then the fleet goes back: the record says `use` with
// both in each other's place, as long as the key of the one before is there.
//
// The ledger's record, CA_ROLL_RECORD:
//
//   {"step":"trust"|"use"|"done"|"cancelled","old":hex,"next":hex,"certificate":PEM of the next,
//    "until":ms,"made":ms,"issue":ms,"used":ms,"without_away":bool}
//
// A record is an entry of the feed, so the writer alone makes it, signed by its control key. Where
// another region writes, the CA's region asks that:
//
//   POST CA_ROLL_PATH   {"request":TEXT,"key":feed key id,"signature":base64url}
//     TEXT {"v":1,"domain":D,"region":R,"record":record,"place":place of the feed}
//     → {"step":…}; 403 refused, 409 the feed is at another place, 503 ask again
//
// It is signed with that region's feed key (Ed25519, RFC 8032, over CA_ROLL_PREFIX and TEXT), which no
// edge has, and good for one place of the feed: a request that was seen on the way does nothing
// again. So a peer certificate begins nothing and goes on with nothing, nor does any region but the
// one that the topology calls ca_region.
//
//   struct ca_roll_facts f = {…};
//   switch (ca_roll_decide(&f, &state, why, sizeof why)) { … }
//
// Invariants
//   1. Nothing is issued by a CA that a region which answers does not trust.
//   2. The record says `use` before the files in ca_dir change, and `done` before an old CA leaves.
//   3. What is decided hangs on the record and the files alone, so it goes on after a crash.
//   4. A CA that is in use is not cancelled, also where a takeover has made the record `use` void.
//
// Threads: all of it is pure; a state belongs to who calls.
#ifndef MERIDIAN_FLEET_CA_ROLL_H
#define MERIDIAN_FLEET_CA_ROLL_H

#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "certs/trust.h"
#include "control/place.h"
#include "fleet/call.h"

#include <stdbool.h>
#include <stdint.h>

#define CA_ROLL_RECORD "ca/roll"
#define CA_ROLL_PATH "/control/v1/ca"
#define CA_ROLL_PREFIX "meridian private ca 1\n"
#define CA_ROLL_RECORD_BYTES (16u << 10)
#define CA_ROLL_CERTIFICATE_BYTES 8192
// So long each answer must say the same: an edge that was told of a file has read it by then.
#define CA_ROLL_SETTLE_MS 10000
#define CA_ROLL_LAST_MS (180LL * 24 * 3600 * 1000)
#define CA_ROLL_PATIENCE_MS (30LL * 24 * 3600 * 1000)
// One begins by itself when this part of the life of the CA in use is left: two years of ten. What the
// CA issues lives for one year at most.
#define CA_ROLL_DUE 5
// After people have cancelled one, none begins by itself for so long.
#define CA_ROLL_AGAIN_MS (30LL * 24 * 3600 * 1000)
// So long clients have to come to trust the next one, unless people say otherwise: when people have
// begun it, and know of it; and when it has begun by itself.
#define CA_ROLL_ISSUE_MS (7LL * 24 * 3600 * 1000)
#define CA_ROLL_ISSUE_SELF_MS (90LL * 24 * 3600 * 1000)
#define CA_ROLL_LIST TRUST_MAX

// ---- record ----

enum ca_step { CA_STEP_TRUST, CA_STEP_USE, CA_STEP_DONE, CA_STEP_CANCELLED };

struct ca_record {
    enum ca_step step;
    // SHA-256 of the certificates, hex
    char old[65], next[65];
    char certificate[CA_ROLL_CERTIFICATE_BYTES];
    // wall: when the old one expires; when the next one was announced; not before this it issues;
    // when it was decided that it does, or that it never will, 0: not yet
    int64_t until_ms, made_ms, issue_ms, used_ms;
    // it goes on though regions are away
    bool without_away;
};

int ca_record_format(const struct ca_record *r, struct buf *out);
int ca_record_parse(const char *json, struct ca_record *out); // ERR_INVAL
const char *ca_step_name(enum ca_step s);

// May `next` come after `now` (NULL: none)? ERR_DENIED with a sentence.
int ca_record_may_follow(const struct ca_record *now, const struct ca_record *next,
                         struct diag *diag);

int ca_request_format(const struct topology *t, const char *region, const struct ca_record *record,
                      const struct control_place *place, struct region_keys *keys, struct buf *out);
// `from`: the region whose connection brought it. ERR_DENIED with a sentence: among others, it does
// not have the CA.
int ca_request_parse(const struct topology *t, const char *from, struct bytes body,
                     struct diag *diag, struct ca_record *out, struct control_place *out_place);

// ---- what a region says of itself ----

struct ca_word { // GET CA_ROLL_PATH → {"trusts":[hex],"uses":[hex]}
    // CAs in its ca.pem; CAs that have issued certificates which it has in use, or that wait
    char trusts[CA_ROLL_LIST][65], uses[CA_ROLL_LIST][65];
    size_t n_trusts, n_uses;
};

int ca_word_format(const struct ca_word *w, struct buf *out);
int ca_word_parse(struct bytes json, struct ca_word *out); // ERR_INVAL

struct ca_spread {
    // this region and others; those that trust the next one, those that answer and do not; those that
    // answer and have certificates of the old one; those that could not be reached
    size_t n_all, n_trust, n_without, n_old, n_away;
    // their names, by commas
    char without[512], old[512], away[512];
};

// `own`: of region `us`. `answers` of all others.
void ca_spread_judge(const char *us, const struct ca_word *own, const struct fleet_answers *answers,
                     const struct ca_record *r, struct ca_spread *out);

// ---- what is to be done ----

struct ca_roll_facts { // at the node that has the CA
    // NULL: none
    const struct ca_record *record;
    // in ca_dir; in <ca_dir>/next, "" when there is none, or only a part of one
    const char *in_use, *next;
    // of the one in use, wall
    int64_t from_ms, until_ms;
    // ca.pem of this node holds the one in use, and no other
    bool alone;
    // NULL: this node may write entries, and its clock is compared and right; else why not, a clause
    const char *held;
    // NULL: not asked, or it could not be
    const struct ca_spread *spread;
    int64_t now_ms, mono_ms;
};

struct ca_roll_state { // since when the answers are as they must be; begins as {0}
    bool good;
    enum ca_step step;
    int64_t since_mono_ms;
};

enum ca_roll_act {
    CA_ROLL_NOTHING,
    CA_ROLL_MAKE,     // another one in <ca_dir>/next, and the record `trust`
    CA_ROLL_ANNOUNCE, // the record `trust`, of the CA in <ca_dir>/next
    CA_ROLL_USE,      // the record `use`
    CA_ROLL_SWITCH,   // <ca_dir>/next becomes the CA in use
    CA_ROLL_DROP,     // the record `done`
    CA_ROLL_DISCARD   // <ca_dir>/next goes
};

// Is a spread looked at in this step?
bool ca_roll_asks(const struct ca_record *r);
// why: what it waits for, a clause; "" when nothing is under way.
enum ca_roll_act ca_roll_decide(const struct ca_roll_facts *f, struct ca_roll_state *s, char *why,
                                size_t cap);
// How long clients have, of one that nobody has given a time.
int64_t ca_roll_issue_after(const struct ca_roll_facts *f);
// May a roll begin? ERR_BUSY: another one is under way; ERR_CONFLICT: ca.pem has been changed by
// hand; with a clause in why. ERR_EXISTS: it has begun, the next one lies there.
int ca_roll_may_begin(const struct ca_roll_facts *f, char *why, size_t cap);
// May the fleet go back to the CA before, which is in use here still? ERR_BUSY; ERR_CONFLICT: the next
// one is here, or has not issued yet.
int ca_roll_may_go_back(const struct ca_roll_facts *f, char *why, size_t cap);
// May the one that is on its way be cancelled, or go on without regions that are away? ERR_BUSY;
// ERR_CONFLICT: there is none, or it issues.
int ca_roll_may_change(const struct ca_roll_facts *f, char *why, size_t cap);
// May the old one be dropped though regions are away, or hang on it? ERR_CONFLICT with a clause.
int ca_roll_may_drop(const struct ca_roll_facts *f, char *why, size_t cap);

#endif
