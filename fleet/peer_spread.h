// SPDX-License-Identifier: Apache-2.0
// Who has stored the control feed up to a place, asked at this moment: what a region looks at before
// it goes over to a peer certificate that the others must trust first. Unlike fleet_stored, which
// says what was heard lately, it asks every region anew.
#ifndef MERIDIAN_FLEET_PEER_SPREAD_H
#define MERIDIAN_FLEET_PEER_SPREAD_H

#include "control/place.h"
#include "fleet/call.h"
#include "fleet/heard.h"

#include <stdbool.h>

struct peer_spread {
    // a majority of all regions, this one among them, has it, and nobody who answers lacks it
    bool enough;
    // answered and has it; answered and has not; could not be reached
    size_t n_stored, n_behind, n_away;
    // names of those that hold it up, by commas: who is behind, or, for want of a majority, away
    char waits_for[256];
};

struct peer_spread_from { // what this region asks for, and judges answers by
    struct control_place place;
    // as of control_view, read before the others are asked
    struct heard_own own;
    bool we_write;
};

// Asks all others. ERR_NOMEM, ERR_CANCELED. Blocks for 2 s at most.
int peer_spread_ask(const struct fleet_caller *by, const struct topology *t,
                    const struct peer_spread_from *from, struct peer_spread *out);
// Pure: of answers to GET /control/v1/place.
void peer_spread_judge(const struct fleet_answers *answers, const struct peer_spread_from *from,
                       struct peer_spread *out);

struct peer_named { // the place from which on a fingerprint is named here
    // "": none
    char fingerprint[65];
    struct control_place place;
};

// That fingerprint is named at own->applied. The first place at which it was stays, so that whoever
// is a few entries behind is not waited for anew with each entry; unless a takeover made it void.
void peer_named_note(struct peer_named *n, const char *fingerprint, const struct heard_own *own);

#endif
