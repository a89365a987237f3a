// SPDX-License-Identifier: Apache-2.0
// Whether a version may follow another; see successor.h.
#include "control/successor.h"

#include "base/err.h"
#include "config/frontend.h"
#include "config/topology_control.h"
#include "control/incarnations.h"
#include "control/moves.h"
#include "control/reservations.h"

#include <stdlib.h>

bool successor_ok(const struct topology *before, const struct topology *next, struct bytes text,
                  int64_t now_s, struct diag *diag, int64_t *out_again_s)
{
    char *why = NULL;
    *out_again_s = 0;
    bool ok = frontend_serial_may_follow(before, next, now_s, &why);
    if (ok)
        ok = topology_revocations_may_follow(before, next, &why);
    if (ok)
        ok = topology_seals_may_follow(before, next, &why);
    if (ok)
        ok = control_may_follow(before, next, &why);
    if (!ok) {
        diag_add(diag, NULL, 0, "%s", why ? why : err_text(ERR_NOMEM));
        free(why);
        return false;
    }
    if (!incarnations_may_follow(before, next, text, diag))
        return false;
    if (!reservations_may_follow(before, next, text, now_s, diag, out_again_s))
        return false;
    return moves_may_follow(before, next, text, now_s, diag, out_again_s);
}
