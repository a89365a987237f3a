// SPDX-License-Identifier: Apache-2.0
// How the next private CA takes over from the one in use, over the control feed, while the fleet
// serves. The node that has the CA (ca_dir) leads it, where its region is the writer:
//
//   1. trust  the next CA lies in <ca_dir>/next; the ledger's record has its certificate, and every
//             node puts that into its ca.pem beside the one in use
//   2. use    every region that can be reached, and a majority, trusts it, for CA_ROLL_SETTLE_MS; and
//             `issue` is over, for clients that people must give it. The CA's node issues by it. All
//             regions renew what the old one has issued. A region that is away holds it up, since it
//             could verify nobody when it comes back: until people say --without-away, or the old
//             one has only CA_ROLL_LAST_MS left
//   3. done   nothing in use hangs on the old one, and no region is away; or the old one has expired,
//             or people say so. Every node takes it out of its ca.pem
//   cancelled instead of step 2: every node takes the next one out
//
// The ledger's record, CA_ROLL_RECORD:
//
//   {"step":"trust"|"use"|"done"|"cancelled","old":hex,"next":hex,"certificate":PEM of the next,
//    "until":ms,"made":ms,"issue":ms,"used":ms,"without_away":bool}
//
// A record is an entry of the feed, so the writer alone makes it, signed by its control key: neither
// a peer certificate nor another region can begin or go on with anything. It begins with a CA that
// root, on that node, has had made.
//
//   struct ca_roll_facts f = {…};
//   switch (ca_roll_decide(&f, &state, why, sizeof why)) { … }
//
// Invariants
//   1. Nothing is issued by a CA that a region which answers does not trust.
//   2. The record says `use` before the files in ca_dir change, and `done` before an old CA leaves.
//   3. What is decided hangs on the record and the files alone, so it goes on after a crash.
//
// Threads: all of it is pure; a state belongs to who calls.
#ifndef MERIDIAN_FLEET_CA_ROLL_H
#define MERIDIAN_FLEET_CA_ROLL_H

#include "base/bytes.h"
#include "fleet/call.h"

#include <stdbool.h>
#include <stdint.h>

#define CA_ROLL_RECORD "ca/roll"
#define CA_ROLL_PATH "/control/v1/ca"
#define CA_ROLL_RECORD_BYTES (16u << 10)
#define CA_ROLL_CERTIFICATE_BYTES 8192
// So long each answer must say the same: an edge that was told of a file has read it by then.
#define CA_ROLL_SETTLE_MS 10000
#define CA_ROLL_LAST_MS (180LL * 24 * 3600 * 1000)
#define CA_ROLL_LIST 8

// ---- record ----

enum ca_step { CA_STEP_TRUST, CA_STEP_USE, CA_STEP_DONE, CA_STEP_CANCELLED };

struct ca_record {
    enum ca_step step;
    // SHA-256 of the certificates, hex
    char old[65], next[65];
    char certificate[CA_ROLL_CERTIFICATE_BYTES];
    // wall: when the old one expires; when the next one was announced; not before this it issues;
    // when it was decided that it does, 0: not yet
    int64_t until_ms, made_ms, issue_ms, used_ms;
    // it goes on though regions are away
    bool without_away;
};

int ca_record_format(const struct ca_record *r, struct buf *out);
int ca_record_parse(const char *json, struct ca_record *out); // ERR_INVAL
const char *ca_step_name(enum ca_step s);

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
    char without[256], old[256], away[256];
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
// May a roll begin? ERR_BUSY: another one is under way; ERR_CONFLICT: ca.pem has been changed by
// hand, or the CA in use is not that of the record; with a clause in why. ERR_EXISTS: it has begun,
// the next one lies there.
int ca_roll_may_begin(const struct ca_roll_facts *f, const struct ca_word *own, char *why,
                      size_t cap);
// May the old one be dropped though regions are away, or hang on it? ERR_CONFLICT with a clause.
int ca_roll_may_drop(const struct ca_roll_facts *f, char *why, size_t cap);

#endif
