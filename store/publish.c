// SPDX-License-Identifier: Apache-2.0
// See publish.h. Called on the pool.
#include "store/publish.h"

#include "base/err.h"

int blob_is_here(struct blob_store *bs, const struct blob_name *name, uint64_t size)
{
    uint64_t is;
    int rc = blob_stat(bs, name, &is);
    if (rc)
        return rc;
    return is == size ? 0 : ERR_NOTFOUND;
}

int blob_publish(struct blob_store *bs, struct meta *m, const struct lease_add *add,
                 struct lease_result *out)
{
    int rc = meta_lease_add(m, add, out);
    if (rc == ERR_QUOTA) // a repetition is refused, too
        (void)blob_remove_unnamed(bs, add->published);
    if (rc)
        return rc;
    if (out->replaced)
        blob_retire(bs, &out->old);
    (void)blob_damaged_forget(bs, &add->digest); // else the mender finds it whole
    return 0;
}
