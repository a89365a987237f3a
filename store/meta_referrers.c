// SPDX-License-Identifier: Apache-2.0
// Referrers of a manifest; see meta_referrers.h. Any thread.
#include "store/meta_referrers.h"

#include "store/meta_priv.h"

int meta_referrers(struct meta *m, const struct referrers_ask *ask, struct arena *a,
                   struct referrers_page *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = referrers(tx, ask, a, out);
    tx_end(tx);
    return rc;
}
