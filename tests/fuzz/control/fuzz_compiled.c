// SPDX-License-Identifier: Apache-2.0
// Any bytes as a compiled topology, with the length and the digest made right so that what lies
// behind them is reached: refused with a sentence, or as whole as one from a document, and the same
// again after writing and reading it.
#include "base/bytes.h"
#include "base/digest.h"
#include "config/catalogue.h"
#include "config/policy.h"
#include "control/compiled.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void make_right(uint8_t *p, size_t n)
{
    memcpy(p, "MERIDTC1", 8);
    for (int i = 0; i < 8; i++)
        p[8 + i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
    sha256(p + 48, n - 48, p + 16);
}

static void check(const struct topology *t)
{
    struct catalogue_iter it = {0};
    size_t n = 0;
    for (const struct registry *r; (r = topology_next(t, &it)); n++) {
        must(r->n_replicas && topology_registry(t, r->name) == r &&
             topology_by_label(t, r->label) == r && topology_registry_by_key(t, r->key) == r);
        must(policy_of(r, "prod/app")->match[0] && policy_runner(t, r, "prod/app") < t->n_regions);
        for (size_t k = 0; k < r->n_replicas; k++)
            must(topology_replica_stamp(t, &r->replicas[k])->name[0]);
        for (size_t k = 0; k < r->n_moves; k++)
            must(registry_stamp_at(t, r, r->moves[k].region, 0)->name[0] &&
                 registry_stamp_at(t, r, r->moves[k].region, INT64_MAX)->name[0]);
        for (size_t k = 0; k < r->n_private_endpoints; k++)
            must(r->private_endpoints[k]->view < t->n_views && r->private_endpoints[k]->n_members);
    }
    must(n == t->n_registries);
    AUTO_BUF struct buf out;
    struct topology *again = NULL;
    buf_init(&out, 0);
    must(!compiled_format(t, &out) &&
         !compiled_parse(TOPOLOGY_COMPACT, out.p, out.n, "again", NULL, &again));
    must(again->n_registries == n && again->version == t->version);
    snapshot_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d;
    struct topology *t = NULL;
    uint8_t *p = malloc(size + 1);
    if (!p)
        return 0;
    if (size)
        memcpy(p, data, size);
    if (size > 48)
        make_right(p, size);
    diag_init(&d);
    int rc = compiled_parse(TOPOLOGY_FULL, p, size, "fuzz", &d, &t);
    must((rc == 0) == (t != NULL) && (rc == 0) == (diag_count(&d) == 0));
    if (t)
        check(t);
    snapshot_unref(t);
    diag_done(&d);
    free(p);
    return 0;
}
