// SPDX-License-Identifier: Apache-2.0
// Any bytes as a topology: refused with at least one sentence, or whole enough that every index
// leads somewhere.
#include "config/topology.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct topology *t)
{
    must(t->n_regions >= 1 && t->n_regions <= TOPOLOGY_MAX_REGIONS && t->n_name_servers >= 1 &&
         t->version >= 1);
    for (size_t i = 0; i < t->n_regions; i++)
        must(t->routing_order[i] < t->n_regions && t->regions[i].n_stamps >= 1 &&
             topology_region(t, t->regions[i].name) == &t->regions[i]);
    const struct registry **all = topology_sorted(t);
    for (size_t i = 0; i < t->n_registries; i++) {
        const struct registry *r = all[i];
        must((!i || strcmp(all[i - 1]->label, r->label) < 0) && r->n_replicas &&
             topology_registry(t, r->name) == r && topology_by_label(t, r->label) == r);
        for (size_t k = 0; k < r->n_replicas; k++)
            must(topology_replica_stamp(t, &r->replicas[k])->name[0] &&
                 registry_replica(r, r->replicas[k].region) == &r->replicas[k]);
        for (size_t k = 0; k < r->n_private_endpoints; k++)
            must(r->private_endpoints[k]->view < t->n_views);
    }
    free(all);
    for (size_t i = 1; i < t->n_overrides; i++)
        must(t->overrides[i - 1].cidr.bits >= t->overrides[i].cidr.bits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_parse((const char *)data, size, "fuzz.yaml", &d, &t);
    must((rc == 0) == (t != NULL) && (rc == 0) == (diag_count(&d) == 0));
    if (t)
        check(t);
    snapshot_unref(t);
    diag_done(&d);
    return 0;
}
