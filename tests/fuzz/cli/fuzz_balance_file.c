// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of loads: refused with one sentence, or taken and then decided about: what is
// advised names stamps and registries that are there, within the limits.
#include "base/err.h"
#include "base/mem.h"
#include "cli/balance_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct balance_file *f, const struct balance_plan *p)
{
    size_t n_moves = 0;
    for (size_t w = 0; w < p->n_waves; w++)
        for (size_t i = 0; i < p->waves[w].n; i++) {
            const struct balance_candidate *c = &p->candidates[p->order[p->waves[w].first + i]];
            if (c->to >= f->in.n_stamps || c->to == p->from || c->forecast > LOAD_ROOM_TO)
                abort();
            if (f->in.stamps[c->to].closed || f->in.going_on)
                abort();
            n_moves++;
        }
    if (n_moves > LOAD_REGISTRIES || (n_moves > 0) != (p->outcome == BALANCE_MOVES_ADVISED))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct balance_file f;
    struct diag diag;
    diag_init(&diag);
    int rc = balance_file_parse((const char *)data, size, "load.json", &f, &diag);
    if ((rc != 0) != (diag_count(&diag) == 1))
        abort();
    diag_done(&diag);
    if (rc)
        return 0;
    struct balance_plan *p = mem_zalloc(sizeof *p);
    if (!p)
        abort();
    balance_decide(&f.in, p);
    check(&f, p);
    (void)canary_judge(&f.canary);
    free(p);
    balance_file_done(&f);
    return 0;
}
