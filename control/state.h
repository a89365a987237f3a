// SPDX-License-Identifier: Apache-2.0
// What the control feed has come to at a place (docs/control-feed.md): the topology, the principals
// and the ledger, which belong together. A state is a value that never changes; an entry makes the
// next one from it, whole or not at all. Nothing but the state and the entry goes into that, no
// clock and no file, so that all nodes come to the same.
//
//   rc = control_state_adopt(topology, principals, &s);           // where a feed begins
//   rc = control_state_apply(s, &entry, &how, &diag, &next);      // `s` stays as it is
//   rc = control_base_format(s, &out); rc = control_base_parse(…) // control/base_form.h
//
// Rules
// 1. An entry goes on from the place of the state: its `before` is that hash, and its sequence the
//    next one. A takeover opens a later epoch and says where it goes on from; all other kinds are of
//    the epoch in force.
// 2. Takeovers and confirmations are signed by the root key, which never changes; changes and
//    checkpoints by a control key of the writer region. The writer and its control keys change by a
//    takeover alone.
// 3. Versions only go up: by one with each document, by a gap with a takeover, so that no version
//    that the old writer gave to what is void now comes again.
// 4. Time does not go back from entry to entry, but with a takeover.
// 5. A frame is judged by control/successor.h, a change by control/changer.h, both at the entry's
//    time.
//
// References are counted (base/snapshot.h); any thread.
#ifndef MERIDIAN_CONTROL_STATE_H
#define MERIDIAN_CONTROL_STATE_H

#include "config/principals.h"
#include "config/topology.h"
#include "control/entry.h"
#include "control/ledger.h"

// By so much do versions go up with a takeover: more than an old writer can have got ahead.
#define CONTROL_TAKEOVER_GAP 1048576u

struct changer;

struct control_line { // of an entry, as it is stored; shared
    struct snapshot_head head;
    size_t n;
    char text[];
};

struct control_state {
    struct snapshot_head head;
    struct control_place place;
    // of the last entry that changed something: no checkpoint
    struct control_place changed;
    // wall; of the last entry
    int64_t time_ms;
    struct topology *topology;
    // NULL: the fleet has none
    struct principals *principals;
    struct control_ledger *ledger;
    // everything up to it is done, the root key has said; epoch 0: it said nothing
    struct control_place root_word;
    // what the epoch goes on from, and the takeover that opened it; NULL: it is the first
    struct control_place epoch_from;
    struct control_line *takeover;
    // entry's time at which the ledger was last rid of what is over (control/sweep.h)
    int64_t swept_ms;
};

struct control_how { // how entries are applied; all may be zero
    enum topology_form form;
    // what is remembered between changes, of one thread; NULL: nothing
    struct changer *changer;
};

// Takes a reference to each. The place is made of both documents: nodes that begin with the same
// ones are at the same place. ERR_INVAL: the topology has no section `control`, or cannot travel;
// diag says why.
int control_state_adopt(struct topology *t, struct principals *p, struct diag *diag,
                        struct control_state **out);

// ERR_CONFLICT: it does not go on from this place (rule 1). ERR_AUTH: not signed by who may (2).
// ERR_FROZEN: of a kind that is not known here. ERR_INVAL: what it brings cannot be; ERR_TOOBIG,
// ERR_NOMEM. diag says why.
int control_state_apply(const struct control_state *s, const struct control_entry *e,
                        const struct control_how *how, struct diag *diag,
                        struct control_state **out);
// Rule 2 alone: is it signed by who may, as the state has it? 0, ERR_AUTH, ERR_NOMEM.
int control_state_signed(const struct control_state *s, const struct control_entry *e,
                         struct diag *diag);
// The same without the signature, for an entry that is being made.
int control_state_try(const struct control_state *s, const struct control_entry *e,
                      const struct control_how *how, struct diag *diag, struct control_state **out);

const struct region *control_state_writer(const struct control_state *s);
uint64_t control_state_principals_version(const struct control_state *s); // 0: there are none
struct control_line *control_line_of(const struct control_entry *e);      // NULL: out of memory

// ---- for the room's files ----

// Empty, with an empty ledger; to be filled before anybody else sees it. NULL: out of memory.
struct control_state *control_state_new(void);
struct control_state *control_state_copy(const struct control_state *s);

#endif
