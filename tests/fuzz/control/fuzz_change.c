// SPDX-License-Identifier: Apache-2.0
// Any bytes as a stream of changes on a small topology: each document is refused with a sentence or
// taken whole, and what comes out can be walked, compiled and read again.
#include "base/bytes.h"
#include "base/err.h"
#include "config/catalogue.h"
#include "control/changer.h"
#include "control/changes_file.h"
#include "control/compiled.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
    "version: 1\ndomain: example.io\nregions:\n"
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n"
    "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }, { name: s2, "
    "ipv4: [192.0.2.3] }] }\n"
    "name_servers: [s1.a]\nviews:\n  - { name: corp, sources: [10.1.0.0/16] }\nregistries:\n"
    "  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: a }, { region: b, "
    "stamp: s2 }] }\n"
    "  - { name: fabrikam, hash: abcdefgh01234567, replicas: [{ region: a, drained: true }] }\n"
    "private_endpoints:\n  - { name: pe, registry: contoso, view: corp, addresses: { registry: "
    "10.1.0.1 } }\n";

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct topology *t)
{
    struct catalogue_iter it = {0};
    size_t n = 0;
    for (const struct registry *r; (r = topology_next(t, &it)); n++)
        must(r->n_replicas && topology_registry(t, r->name) == r &&
             topology_by_label(t, r->label) == r && topology_registry_by_key(t, r->key) == r);
    must(n == t->n_registries);
    AUTO_BUF struct buf out;
    struct topology *again = NULL;
    buf_init(&out, 0);
    must(!compiled_format(t, &out) &&
         !compiled_parse(TOPOLOGY_FULL, out.p, out.n, "again", NULL, &again));
    must(again->n_registries == n && again->version == t->version);
    snapshot_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct topology *base;
    if (!base && topology_parse(yaml, sizeof yaml - 1, "base", NULL, &base))
        abort();
    struct topology *t = snapshot_ref(base), *next;
    struct changer *c = changer_new();
    const char *text = (const char *)data;
    for (size_t n; c && (n = change_whole(text, size)); text += n, size -= n) {
        struct diag d;
        diag_init(&d);
        next = NULL;
        int rc = changer_apply(c, t, text, n, "fuzz", 1, &d, &next);
        must((rc == 0) == (next != NULL) && (rc == 0 || rc == ERR_EXISTS) == (diag_count(&d) == 0));
        diag_done(&d);
        if (next) {
            must(next->version == t->version + 1);
            snapshot_unref(t);
            t = next;
        }
    }
    if (t != base)
        check(t);
    snapshot_unref(t);
    changer_free(c);
    return 0;
}
