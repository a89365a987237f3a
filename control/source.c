// SPDX-License-Identifier: Apache-2.0
// Calls to a source, whichever it is; see source.h.
#include "control/source.h"

#include "control/change.h"

#include <assert.h>

int topology_source_load(struct topology_source *s, const struct source_cells *cells,
                         struct diag *diag)
{
    return s->ops->load(s, cells, diag);
}

int topology_source_follow(struct topology_source *s, topology_source_change *on_change, void *ctx)
{
    return s->ops->follow(s, on_change, ctx);
}

int topology_source_propose(struct topology_source *s, uint64_t expected, const struct proposal *p,
                            struct diag *diag, uint64_t *out_version)
{
    assert(expected); // a version in force is at least 1
    return s->ops->propose(s, expected, p, diag, out_version);
}

int topology_source_propose_change(struct topology_source *s, uint64_t expected,
                                   const struct change *change, struct diag *diag,
                                   uint64_t *out_version)
{
    AUTO_BUF struct buf text;
    struct change unnumbered = *change;
    buf_init(&text, CHANGE_MAX_BYTES);
    unnumbered.version = 0;
    int rc = change_format(&unnumbered, &text);
    if (rc)
        return rc;
    const struct proposal p = {"the change", buf_cstr(&text), text.n};
    return topology_source_propose(s, expected, &p, diag, out_version);
}

void topology_source_look(struct topology_source *s)
{
    s->ops->look(s);
}

void topology_source_status(struct topology_source *s, struct topology_status *out_topology,
                            struct topology_status *out_principals)
{
    s->ops->status(s, out_topology, out_principals);
}

void topology_source_close(struct topology_source *s)
{
    if (s)
        s->ops->close(s);
}
