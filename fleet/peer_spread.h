// SPDX-License-Identifier: Apache-2.0
// Who has stored the control feed up to a place, asked at this moment: what a region looks at before
// it goes over to a peer certificate that the others must trust first. Unlike fleet_stored, which
// says what was heard lately, it asks every region anew.
#ifndef MERIDIAN_FLEET_PEER_SPREAD_H
#define MERIDIAN_FLEET_PEER_SPREAD_H

#include "control/place.h"
#include "fleet/call.h"

#include <stdbool.h>

struct peer_spread {
    // a majority of all regions, this one among them, has it, and nobody who answers lacks it
    bool enough;
    // answered and has it; answered and has not; could not be reached
    size_t n_stored, n_behind, n_away;
    // names of those that hold it up, by commas: who is behind, or, for want of a majority, away
    char waits_for[256];
};

// Asks all others. ERR_NOMEM, ERR_CANCELED. Blocks for 2 s at most.
int peer_spread_ask(const struct fleet_caller *by, const struct topology *t,
                    const struct control_place *p, struct peer_spread *out);
// Pure: of answers to GET /control/v1/place.
void peer_spread_judge(const struct fleet_answers *answers, const struct control_place *p,
                       struct peer_spread *out);

#endif
