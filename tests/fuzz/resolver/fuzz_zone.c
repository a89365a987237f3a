// SPDX-License-Identifier: Apache-2.0
// Any file of a zone, with a digest that is right so that the reader gets past it: what it takes is
// a zone in order, which written out again is read as the same.
#include "base/bytes.h"
#include "base/digest.h"
#include "resolver/packet/wire.h"
#include "resolver/zone/zone_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct zone *z)
{
    struct buf b AUTO_BUF;
    struct zone *again = NULL;
    buf_init(&b, 0);
    zone_format(z, &b);
    if (b.err || zone_parse(b.p, b.n, &again) || again->n_rrs != z->n_rrs ||
        again->serial != z->serial)
        abort();
    for (size_t i = 1; i < z->n_rrs; i++)
        if (zone_rr_compare(&z->rrs[i - 1], &z->rrs[i]) >= 0 ||
            zone_rr_compare(&z->rrs[i], &again->rrs[i]))
            abort();
    if (!zone_soa(z) || !zone_at_or_before(z, z->apex, z->apex_n))
        abort();
    snapshot_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b AUTO_BUF;
    struct zone *z = NULL;
    uint8_t digest[SHA256_BYTES];
    buf_init(&b, 0);
    buf_add(&b, data, size);
    sha256(data, size, digest);
    buf_add(&b, digest, sizeof digest);
    if (!b.err && !zone_parse(b.p, b.n, &z))
        check(z);
    snapshot_unref(z);
    return 0;
}
