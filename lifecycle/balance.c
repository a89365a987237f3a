// SPDX-License-Identifier: Apache-2.0
// The decision; see balance.h for its steps.
#include "lifecycle/balance.h"

#include <string.h>

#define NOWHERE SIZE_MAX

// ---- what holds it ----

// Begins of the waves of the last day, the oldest first.
struct begun {
    int64_t at_s[BALANCE_A_DAY];
    size_t n;
};

static void add_begin(struct begun *b, int64_t at_s)
{
    if (b->n == BALANCE_A_DAY) {
        memmove(b->at_s, b->at_s + 1, sizeof b->at_s - sizeof *b->at_s);
        b->n--;
    }
    b->at_s[b->n++] = at_s;
}

static bool earlier_in_wave(const struct balance_input *in, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (in->moves[k].wave == in->moves[i].wave)
            return true;
    return false;
}

static bool is_of_today(const struct balance_input *in, size_t i)
{
    return in->moves[i].begun_s > in->now_s - BALANCE_DAY_S && !earlier_in_wave(in, i);
}

// The first move of that wave of the day which began next after wave `after`; NOWHERE: none.
static size_t next_begin(const struct balance_input *in, size_t after)
{
    size_t best = NOWHERE;
    for (size_t i = 0; i < in->n_moves; i++) {
        int64_t at = in->moves[i].begun_s;
        if (!is_of_today(in, i))
            continue;
        if (after != NOWHERE &&
            (at < in->moves[after].begun_s || (at == in->moves[after].begun_s && i <= after)))
            continue;
        if (best == NOWHERE || at < in->moves[best].begun_s)
            best = i;
    }
    return best;
}

static size_t waves_of_today(const struct balance_input *in, struct begun *out)
{
    size_t n = 0;
    for (size_t i = next_begin(in, NOWHERE); i != NOWHERE; i = next_begin(in, i)) {
        add_begin(out, in->moves[i].begun_s);
        n++;
    }
    return n;
}

static unsigned held_by(const struct balance_input *in, struct begun *begun)
{
    unsigned held = in->going_on;
    for (size_t i = 0; i < in->n_moves; i++)
        if (in->moves[i].in_flight)
            held |= HELD_IN_FLIGHT;
    if (waves_of_today(in, begun) >= BALANCE_A_DAY)
        held |= HELD_DAY_FULL;
    return held;
}

static void judge_all(const struct balance_input *in, struct balance_plan *p)
{
    for (size_t i = 0; i < in->n_stamps; i++) {
        const struct balance_stamp *s = &in->stamps[i];
        p->verdicts[i] = load_judge(&s->load, s->was_hot);
        for (size_t k = 0; k < in->n_moves; k++) {
            const struct balance_move *m = &in->moves[k];
            if (strcmp(m->from, s->name) != 0 && strcmp(m->to, s->name) != 0)
                continue;
            if (m->watched_until_s > in->now_s && m->watched_until_s > p->watched_until_s[i])
                p->watched_until_s[i] = m->watched_until_s;
        }
    }
}

// ---- candidates ----

static int64_t rests_until(const struct balance_input *in, const char *registry)
{
    int64_t until = 0;
    for (size_t i = 0; i < in->n_moves; i++) {
        const struct balance_move *m = &in->moves[i];
        if (strcmp(m->registry, registry) != 0 || m->begun_s + BALANCE_REST_S <= in->now_s)
            continue;
        if (m->begun_s + BALANCE_REST_S > until)
            until = m->begun_s + BALANCE_REST_S;
    }
    return until;
}

// Those of the stamp, the most load first; equal ones as they were.
static void list_candidates(const struct balance_input *in, struct balance_plan *p)
{
    const struct stamp_load *l = &in->stamps[p->from].load;
    p->n_candidates = 0;
    for (size_t i = 0; i < l->n_registries; i++) {
        struct balance_candidate c = {.registry = (uint8_t)i,
                                      .share = load_share(l, i),
                                      .to = in->n_stamps,
                                      .rests_until_s = rests_until(in, l->registries[i].name)};
        size_t k = p->n_candidates++;
        for (; k && p->candidates[k - 1].share < c.share; k--)
            p->candidates[k] = p->candidates[k - 1];
        p->candidates[k] = c;
    }
}

// May it take registries at all? What holds it back for a time is noted.
static bool takes(const struct balance_input *in, struct balance_plan *p, size_t stamp)
{
    const struct balance_stamp *s = &in->stamps[stamp];
    if (stamp == p->from || s->closed || s->was_hot || p->verdicts[stamp].heat == LOAD_HOT)
        return false;
    if (p->watched_until_s[stamp])
        p->held |= HELD_WATCHED;
    if (p->verdicts[stamp].heat == LOAD_UNKNOWN)
        p->held |= HELD_UNKNOWN;
    return !p->watched_until_s[stamp] && p->verdicts[stamp].heat == LOAD_COOL;
}

// P95 of the stamp with those bins as well; NULL: as it is. Above all others where it is not known.
static uint16_t p95_with(const struct balance_plan *p, size_t stamp, const uint16_t *bins)
{
    uint16_t sum[LOAD_DAY];
    memcpy(sum, p->forecast[stamp], sizeof sum);
    if (bins)
        load_add(sum, bins);
    struct load_figures f = load_figures(sum);
    if (!f.known)
        return UINT16_MAX;
    return f.p95;
}

static void find_room(const struct balance_input *in, struct balance_plan *p,
                      struct balance_candidate *c)
{
    const uint16_t *bins = in->stamps[p->from].load.registries[c->registry].bins;
    uint16_t least_with = UINT16_MAX, least_now = UINT16_MAX;
    c->fate = FATE_NO_ROOM;
    if (!load_figures(bins).known) {
        p->held |= HELD_UNKNOWN;
        return;
    }
    for (size_t i = 0; i < in->n_stamps; i++) {
        if (!takes(in, p, i))
            continue;
        uint16_t with = p95_with(p, i, bins), now = p95_with(p, i, NULL);
        if (with > LOAD_ROOM_TO) {
            if (c->fate == FATE_NO_ROOM && with < least_with) {
                least_with = c->forecast = with;
                c->to = i;
            }
            continue;
        }
        if (c->fate == FATE_MOVES && now >= least_now)
            continue;
        c->fate = FATE_MOVES;
        least_now = now;
        c->forecast = with;
        c->to = i;
    }
}

// The P95 of the stamp that registries leave, with all moves that were found.
static uint16_t p95_left(const struct balance_plan *p)
{
    return p95_with(p, p->from, NULL);
}

static size_t find_moves(const struct balance_input *in, struct balance_plan *p)
{
    const struct stamp_load *l = &in->stamps[p->from].load;
    size_t n = 0;
    for (size_t i = 0; i < p->n_candidates; i++) {
        struct balance_candidate *c = &p->candidates[i];
        if (!c->share || (n && p95_left(p) <= LOAD_ROOM_TO))
            break;
        if (c->rests_until_s) {
            c->fate = FATE_RESTS;
            p->held |= HELD_RESTING;
            continue;
        }
        find_room(in, p, c);
        if (c->fate != FATE_MOVES)
            continue;
        load_add(p->forecast[c->to], l->registries[c->registry].bins);
        load_take(p->forecast[p->from], l->registries[c->registry].bins);
        n++;
    }
    return n;
}

static bool cools(const struct balance_plan *p)
{
    const struct load_verdict *v = &p->verdicts[p->from];
    uint16_t before = v->days[0].p95;
    if (p->p95_after <= LOAD_ROOM_TO)
        return true;
    if (v->cause != LOAD_P95)
        return p->p95_after < LOAD_HOT_AT;
    return before >= LOAD_HOT_AT && p->p95_after < LOAD_HOT_AT;
}

// ---- outcome ----

static void forecast_as_is(const struct balance_input *in, struct balance_plan *p)
{
    for (size_t i = 0; i < in->n_stamps; i++)
        memcpy(p->forecast[i], in->stamps[i].load.hottest + (size_t)(LOAD_DAYS - 1) * LOAD_DAY,
               sizeof p->forecast[i]);
}

static void make_waves(const struct balance_input *in, struct balance_plan *p, struct begun begun)
{
    uint16_t shares[LOAD_REGISTRIES];
    uint8_t which[LOAD_REGISTRIES];
    size_t n = 0;
    for (size_t i = 0; i < p->n_candidates; i++) {
        if (p->candidates[i].fate != FATE_MOVES)
            continue;
        which[n] = (uint8_t)i;
        shares[n++] = p->candidates[i].share;
    }
    p->n_waves = balance_waves(shares, n, p->order, p->waves);
    for (size_t i = 0; i < n; i++)
        p->order[i] = which[p->order[i]];
    int64_t at = in->now_s;
    for (size_t i = 0; i < p->n_waves; i++) {
        if (begun.n == BALANCE_A_DAY && at < begun.at_s[0] + BALANCE_DAY_S)
            at = begun.at_s[0] + BALANCE_DAY_S;
        p->begins_s[i] = at;
        add_begin(&begun, at);
        at += p->waves[i].watch_s;
    }
}

static enum balance_outcome no_move_helps(const struct balance_input *in, struct balance_plan *p)
{
    size_t largest = NOWHERE;
    forecast_as_is(in, p);
    p->p95_after = p95_left(p);
    for (size_t i = 0; i < p->n_candidates; i++) {
        struct balance_candidate *c = &p->candidates[i];
        if (c->fate == FATE_MOVES)
            c->fate = FATE_NO_HELP;
        if (c->fate == FATE_NO_ROOM && largest == NOWHERE)
            largest = i;
    }
    if (p->held)
        return BALANCE_HELD;
    if (largest == NOWHERE || p->candidates[largest].share >= BALANCE_ALONE)
        return BALANCE_RESIZE;
    p->alone = largest;
    return BALANCE_ISOLATE;
}

static enum balance_outcome decide_for(const struct balance_input *in, struct balance_plan *p,
                                       size_t from, const struct begun *begun)
{
    p->from = from;
    p->held = 0;
    p->n_waves = 0;
    forecast_as_is(in, p);
    list_candidates(in, p);
    size_t n = find_moves(in, p);
    p->p95_after = p95_left(p);
    if (!n || !cools(p))
        return no_move_helps(in, p);
    make_waves(in, p, *begun);
    return BALANCE_MOVES_ADVISED;
}

// The hottest of those that may be relieved and come after `after`; NOWHERE: none.
static size_t next_hot(const struct balance_input *in, const struct balance_plan *p, size_t after)
{
    size_t best = NOWHERE;
    for (size_t i = 0; i < in->n_stamps; i++) {
        const struct load_verdict *v = &p->verdicts[i];
        if (v->heat != LOAD_HOT || p->watched_until_s[i])
            continue;
        uint16_t p95 = v->days[0].p95;
        if (after != NOWHERE) {
            uint16_t last = p->verdicts[after].days[0].p95;
            if (p95 > last || (p95 == last && i <= after))
                continue;
        }
        if (best == NOWHERE || p95 > p->verdicts[best].days[0].p95)
            best = i;
    }
    return best;
}

// Why no stamp is hot that may be relieved.
static unsigned not_judged(const struct balance_input *in, const struct balance_plan *p)
{
    unsigned held = 0;
    for (size_t i = 0; i < in->n_stamps; i++) {
        if (p->verdicts[i].heat == LOAD_UNKNOWN)
            held |= HELD_UNKNOWN;
        if (p->verdicts[i].heat == LOAD_HOT && p->watched_until_s[i])
            held |= HELD_WATCHED;
    }
    return held;
}

void balance_decide(const struct balance_input *in, struct balance_plan *out)
{
    struct begun begun = {0};
    memset(out, 0, sizeof *out);
    judge_all(in, out);
    forecast_as_is(in, out);
    out->held = held_by(in, &begun);
    if (out->held) {
        out->outcome = BALANCE_HELD;
        return;
    }
    size_t first = next_hot(in, out, NOWHERE);
    if (first == NOWHERE) {
        out->held = not_judged(in, out);
        out->outcome = out->held ? BALANCE_HELD : BALANCE_NOTHING;
        return;
    }
    for (size_t i = first; i != NOWHERE; i = next_hot(in, out, i)) {
        out->outcome = decide_for(in, out, i, &begun);
        if (out->outcome == BALANCE_MOVES_ADVISED)
            return;
    }
    out->outcome = decide_for(in, out, first, &begun);
}

const char *balance_held_text(enum balance_held bit)
{
    switch (bit) {
    case HELD_REGION_DOWN:
        return "a region is down";
    case HELD_DRILL:
        return "a region is in a drill";
    case HELD_SNAPSHOT:
        return "a snapshot is being replicated";
    case HELD_FREEZE:
        return "it is a freeze window";
    case HELD_IN_FLIGHT:
        return "a move is in flight in this region";
    case HELD_DAY_FULL:
        return "5 waves began in the last 24 h";
    case HELD_UNKNOWN:
        return "too many minutes of a stamp are missing";
    case HELD_WATCHED:
        return "a stamp is watched after a move";
    case HELD_RESTING:
        return "registries rest for 7 days after a move";
    }
    return "";
}
