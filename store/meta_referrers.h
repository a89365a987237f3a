// SPDX-License-Identifier: Apache-2.0
// Which manifests of a repository have a given one as their `subject` (distribution-spec 1.1, "Listing
// Referrers"). Part of store/meta.h, whose opening lines hold here too.
//
//   struct referrers_ask ask = {"contoso", "app", &subject, .max = 100, .max_bytes = 2 << 20};
//   rc = meta_referrers(m, &ask, &arena, &page);      // page.n 0: none, or no such repository
//   ask.after = &page.rows[page.n - 1].digest;        // the next page, while page.more
//
// Every manifest notes what it refers to when it is stored, whatever came first; so manifests that
// were pushed before this list was offered are in it, and the subject itself need not be there.
#ifndef MERIDIAN_STORE_META_REFERRERS_H
#define MERIDIAN_STORE_META_REFERRERS_H

#include "store/meta_manifests.h"

struct referrers_ask {
    const char *registry, *repository;
    const struct digest *subject;
    // the list begins behind this manifest; NULL: at its start
    const struct digest *after;
    // The page ends after so many manifests, or with the one whose content takes it past so many
    // bytes.
    size_t max, max_bytes;
};

struct referrers_page {
    // by their digests, with their content
    struct manifest_row *rows;
    size_t n;
    bool more;
};

int meta_referrers(struct meta *m, const struct referrers_ask *ask, struct arena *a,
                   struct referrers_page *out);

#endif
