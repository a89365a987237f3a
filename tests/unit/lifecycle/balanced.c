// SPDX-License-Identifier: Apache-2.0
// See balanced.h.
#include "tests/unit/lifecycle/balanced.h"

#include "base/mem.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

void balanced_init(struct balanced *b, size_t n_stamps)
{
    memset(b, 0, sizeof *b);
    b->stamps = mem_zalloc_array(n_stamps, sizeof *b->stamps);
    b->plan = mem_zalloc(sizeof *b->plan);
    ck_assert(b->stamps && b->plan);
    b->in = (struct balance_input){
        .now_s = BALANCED_NOW, .stamps = b->stamps, .n_stamps = n_stamps, .moves = b->moves};
    for (size_t i = 0; i < n_stamps; i++) {
        struct balance_stamp *s = &b->stamps[i];
        snprintf(s->name, sizeof s->name, "eus-%zu", i + 1);
        stamp_load_init(&s->load);
        memset(s->load.hottest, 0, sizeof s->load.hottest);
        memset(s->load.rest, 0, sizeof s->load.rest);
    }
}

void balanced_done(struct balanced *b)
{
    free(b->stamps);
    free(b->plan);
}

size_t balanced_registry(struct balanced *b, size_t stamp, const char *name, uint16_t permille)
{
    struct stamp_load *l = &b->stamps[stamp].load;
    size_t i = l->n_registries++;
    ck_assert_uint_lt(i, LOAD_REGISTRIES);
    snprintf(l->registries[i].name, sizeof l->registries[i].name, "%s", name);
    memset(l->registries[i].bins, 0, sizeof l->registries[i].bins);
    balanced_add(b, stamp, i, 0, LOAD_DAY, permille);
    return i;
}

void balanced_add(struct balanced *b, size_t stamp, size_t registry, size_t begin, size_t n,
                  uint16_t permille)
{
    struct stamp_load *l = &b->stamps[stamp].load;
    for (size_t i = begin; i < begin + n; i++) {
        l->registries[registry].bins[i] += permille;
        for (size_t day = 0; day < LOAD_DAYS; day++)
            l->hottest[day * LOAD_DAY + i] += permille;
    }
}

struct balance_move *balanced_moved(struct balanced *b, const char *registry, const char *from,
                                    const char *to, int64_t ago_s)
{
    ck_assert_uint_lt(b->in.n_moves, BALANCED_MOVES);
    struct balance_move *m = &b->moves[b->in.n_moves];
    *m = (struct balance_move){.begun_s = b->in.now_s - ago_s, .wave = (uint32_t)++b->in.n_moves};
    snprintf(m->registry, sizeof m->registry, "%s", registry);
    snprintf(m->from, sizeof m->from, "%s", from);
    snprintf(m->to, sizeof m->to, "%s", to);
    return m;
}

void balanced_decide(struct balanced *b)
{
    balance_decide(&b->in, b->plan);
}

const char *balanced_moves(const struct balanced *b)
{
    static char text[LOAD_REGISTRIES * 2 * LOAD_NAME_SIZE];
    const struct balance_plan *p = b->plan;
    size_t n = 0;
    text[0] = 0;
    for (size_t w = 0; w < p->n_waves; w++)
        for (size_t i = 0; i < p->waves[w].n; i++) {
            const struct balance_candidate *c = &p->candidates[p->order[p->waves[w].first + i]];
            const char *between = " ";
            if (!i)
                between = " | ";
            if (!n)
                between = "";
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s>%s", between,
                                  b->stamps[p->from].load.registries[c->registry].name,
                                  b->stamps[c->to].name);
        }
    return text;
}

const struct balance_candidate *balanced_candidate(const struct balanced *b, const char *name)
{
    const struct balance_plan *p = b->plan;
    for (size_t i = 0; i < p->n_candidates; i++)
        if (!strcmp(b->stamps[p->from].load.registries[p->candidates[i].registry].name, name))
            return &p->candidates[i];
    ck_abort_msg("no candidate %s", name);
    return NULL;
}
