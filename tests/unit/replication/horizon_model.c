// SPDX-License-Identifier: Apache-2.0
// Every state of a small fleet; see horizon_model.h. States are walked depth first, each once.
//
// Words are not sent here: a region looks at the others' words as they are now. A word only grows,
// and the more it says the more may go, so a rule that is right with the newest words is right with
// older ones. Where a word does not grow, the last one before is kept and looked at as long as it could be:
// when its region follows another topology (`moved`), and when it begins with an empty store (`lost`).
#include "tests/unit/replication/horizon_model.h"

#include "replication/horizon.h"
#include "store/floor.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 3
#define FEED_MAX 4
#define DEPTH_MAX 96

// Stamps are small numbers. A value that is announced again has a stamp above its register stamp.
struct entry {
    uint8_t stamp, value;
    bool gone, cut;
};

struct word {
    uint8_t floor, applied[N];
};

struct place {
    // its own entries, and how many of each region's it has read
    struct entry feed[FEED_MAX];
    uint8_t n, read[N];
    // nothing at or below will come of this origin; of itself: what it promised
    uint8_t promised[N];
    // the tag's highest value and tombstone, and who made that; 0: none
    uint8_t value, gone, gone_by;
    uint8_t floor, heard_floor;
    // the version of the topology that it follows
    uint8_t topology;
    // It began anew: who may still use a word of its earlier store, by bits
    uint8_t unheard;
    // it knows no floor since it began anew
    uint8_t no_floor;
    struct word lost;
};

struct state {
    uint8_t now, top_value, top_gone;
    uint8_t writes, deletes, resets, restates;
    struct place r[N];
};

struct model {
    const struct model_options *o;
    struct model_result *out;
    uint64_t *seen;
    size_t cap, n;
    char steps[DEPTH_MAX][8];
    struct horizon_word words[TOPOLOGY_MAX_REGIONS];
};

// --- states that were seen ---

static uint64_t fingerprint(const struct state *s)
{
    const uint8_t *p = (const uint8_t *)s;
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *s; i++)
        h = (h ^ p[i]) * 1099511628211u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    return h ? h : 1;
}

static bool seen_put(uint64_t *table, size_t cap, uint64_t f)
{
    size_t i = f & (cap - 1);
    while (table[i] && table[i] != f)
        i = (i + 1) & (cap - 1);
    bool is_new = !table[i];
    table[i] = f;
    return is_new;
}

static void seen_grow(struct model *m)
{
    size_t cap = 2 * m->cap;
    uint64_t *table = calloc(cap, sizeof *table);
    assert(table);
    for (size_t i = 0; i < m->cap; i++)
        if (m->seen[i])
            (void)seen_put(table, cap, m->seen[i]);
    free(m->seen);
    m->seen = table;
    m->cap = cap;
}

static bool state_is_new(struct model *m, const struct state *s)
{
    if (2 * m->n > m->cap)
        seen_grow(m);
    if (!seen_put(m->seen, m->cap, fingerprint(s)))
        return false;
    m->n++;
    return true;
}

// --- the fleet ---

static bool joins(const struct model *m)
{
    return m->o->joins;
}

static uint64_t members_of(const struct model *m, const struct place *r)
{
    return joins(m) && r->topology == 0 ? 3 : 7;
}

static bool is_member(const struct model *m, const struct place *r, unsigned i)
{
    return members_of(m, r) >> i & 1;
}

static uint8_t wall(const struct model *m, const struct state *s, unsigned i)
{
    if (!m->o->slow || i != 1)
        return s->now;
    return s->now > 2 ? s->now - 2 : 0;
}

static uint8_t max8(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

static uint8_t stamp_mint(const struct model *m, struct state *s, unsigned i)
{
    struct place *r = &s->r[i];
    uint8_t stamp = max8(r->promised[i], wall(m, s, i));
    stamp = max8(stamp, max8(r->value, r->gone)) + 1;
    r->promised[i] = stamp;
    s->now = max8(s->now, stamp);
    return stamp;
}

static void value_take(struct place *r, const struct entry *e, unsigned origin)
{
    if (!e->gone)
        r->value = max8(r->value, e->value);
    else if (e->value > r->gone) {
        r->gone = e->value;
        r->gone_by = (uint8_t)origin;
    }
}

// Words of its earlier store may count still.
static bool waits(const struct model *m, const struct place *r)
{
    return r->unheard && m->o->rule != MODEL_NO_LEASE;
}

static bool write_one(const struct model *m, struct state *s, unsigned i, bool gone)
{
    struct place *r = &s->r[i];
    if (!is_member(m, r, i) || r->n == FEED_MAX || waits(m, r) || r->no_floor)
        return false;
    if (gone && r->value <= r->gone)
        return false; // there is nothing to delete
    if (gone && i != 0 && (m->o->n_resets || m->o->n_restates))
        return false; // who deletes is looked at without these
    if (!s->top_value && i == 1 && !m->o->slow)
        return false; // the second region is as good as the first
    struct entry e = {.gone = gone};
    e.stamp = e.value = stamp_mint(m, s, i);
    r->feed[r->n++] = e;
    r->read[i] = r->n;
    value_take(r, &e, i);
    if (gone)
        s->top_gone = max8(s->top_gone, e.value);
    else
        s->top_value = max8(s->top_value, e.value);
    return true;
}

// Its first write, under its old stamp: from an old backup, say.
static bool restate(const struct model *m, struct state *s, unsigned i)
{
    struct place *r = &s->r[i];
    unsigned k = 0;
    while (k < r->n && (r->feed[k].gone || r->feed[k].value != r->feed[k].stamp))
        k++;
    if (!s->top_gone || k == r->n || r->n == FEED_MAX || waits(m, r) || r->no_floor ||
        r->read[i] < r->n)
        return false;
    struct entry e = {.value = r->feed[k].value};
    uint8_t heard = max8(r->floor, r->heard_floor);
    if (m->o->rule != MODEL_NO_FLOOR && e.value <= heard)
        return false; // it is exported and listed
    e.stamp = stamp_mint(m, s, i);
    r->feed[r->n++] = e;
    r->read[i] = r->n;
    if (e.value > r->value)
        r->value = e.value;
    return true;
}

static bool refused(const struct model *m, const struct place *r, const struct entry *e)
{
    if (m->o->rule == MODEL_NO_FLOOR || m->o->rule == MODEL_MARKS_OF_ORIGIN || e->gone)
        return false;
    const struct floor_value v = {e->value, e->value < e->stamp, !r->value && !r->gone};
    return floor_refuses(&v, r->floor, r->heard_floor);
}

static unsigned next_of(const struct place *from, unsigned at)
{
    while (at < from->n && from->feed[at].cut)
        at++;
    return at;
}

// One entry of that origin, or that there is none.
static bool read_one(const struct model *m, struct state *s, unsigned i, unsigned origin)
{
    struct place *r = &s->r[i], *from = &s->r[origin];
    if (!is_member(m, r, i) || !is_member(m, r, origin) || !is_member(m, from, i))
        return false;
    if (from->no_floor || r->no_floor || waits(m, r))
        return false;
    struct place before = *r;
    if (i != origin)
        r->heard_floor = max8(r->heard_floor, from->floor);
    unsigned at = next_of(from, r->read[origin]);
    if (at < from->n) {
        const struct entry *e = &from->feed[at++];
        if (!refused(m, r, e))
            value_take(r, e, origin);
    }
    r->read[origin] = (uint8_t)at;
    if (next_of(from, at) == from->n && i != origin) {
        r->read[origin] = from->n;
        from->promised[origin] = max8(from->promised[origin], wall(m, s, origin));
        r->promised[origin] = from->promised[origin];
    }
    return memcmp(&before, r, sizeof before) != 0;
}

static struct word word_of(const struct state *s, unsigned i)
{
    const struct place *r = &s->r[i];
    struct word w = {.floor = r->floor};
    memcpy(w.applied, r->promised, sizeof w.applied);
    if (r->read[i] < r->n)
        w.applied[i] = 0; // it has not got its own back yet
    return w;
}

// A region that began anew meets another one: that hears so, and says its floor.
static bool meet(const struct model *m, struct state *s, unsigned i, unsigned other)
{
    struct place *r = &s->r[i], *o = &s->r[other];
    if (!is_member(m, r, other) || !is_member(m, o, i))
        return false;
    if (!(r->unheard >> other & 1) && !r->no_floor)
        return false;
    struct place before = *r;
    r->unheard &= (uint8_t) ~(1u << other);
    if (!o->no_floor) {
        r->heard_floor = max8(r->heard_floor, o->floor);
        r->no_floor = 0;
    }
    return memcmp(&before, r, sizeof before) != 0;
}

// The time is over for which a word of its earlier store counts.
static bool word_expire(struct state *s, unsigned i, unsigned at)
{
    if (!(s->r[i].unheard >> at & 1))
        return false;
    s->r[i].unheard &= (uint8_t) ~(1u << at);
    return true;
}

// The word of k that region i looks at.
static struct word word_at(const struct state *s, unsigned i, unsigned k)
{
    if (s->r[k].unheard >> i & 1)
        return s->r[k].lost;
    return word_of(s, k);
}

// --- dropping ---

static struct horizon_view view_make(struct model *m, const struct state *s, unsigned i)
{
    for (unsigned k = 0; k < N; k++) {
        struct word w = word_at(s, i, k);
        m->words[k].counts = true;
        m->words[k].floor = w.floor;
        for (unsigned o = 0; o < N; o++)
            m->words[k].applied[o] = w.applied[o];
    }
    return (struct horizon_view){members_of(m, &s->r[i]), m->words};
}

// How far every member's mark on one origin is.
static uint64_t marks_on(const struct horizon_view *v, unsigned origin)
{
    uint64_t low = UINT64_MAX;
    for (unsigned k = 0; k < N; k++)
        if (v->members >> k & 1 && v->words[k].applied[origin] < low)
            low = v->words[k].applied[origin];
    return low;
}

static uint64_t floor_by_rule(const struct model *m, const struct place *r,
                              const struct horizon_view *v)
{
    if (m->o->rule == MODEL_MARKS_OF_ORIGIN)
        return marks_on(v, r->gone_by);
    return horizon_floor(v).stamp;
}

static bool clear(struct model *m, struct state *s, unsigned i)
{
    struct place *r = &s->r[i];
    if (!is_member(m, r, i))
        return false;
    struct horizon_view v = view_make(m, s, i);
    uint64_t to = floor_by_rule(m, r, &v);
    if (to <= r->floor || !r->gone || r->gone > to)
        return false;
    r->floor = (uint8_t)to;
    if (r->value > r->gone)
        return true;
    r->value = 0;
    for (unsigned k = 0; k < r->n; k++)
        if (!r->feed[k].gone && r->feed[k].value <= r->gone)
            r->feed[k].cut = m->o->rule != MODEL_MARKS_OF_ORIGIN; // which says nothing of the feed
    return true;
}

static bool end(struct model *m, struct state *s, unsigned i)
{
    struct place *r = &s->r[i];
    if (!is_member(m, r, i))
        return false;
    struct horizon_view v = view_make(m, s, i);
    uint64_t to = horizon_tombstones(&v).stamp;
    if (m->o->rule == MODEL_MARKS_OF_ORIGIN || m->o->rule == MODEL_ONE_STEP)
        to = r->floor;
    if (!r->gone || r->value || r->gone > to)
        return false;
    r->gone = r->gone_by = 0;
    for (unsigned k = 0; k < r->n; k++)
        if (r->feed[k].gone && r->feed[k].stamp <= to)
            r->feed[k].cut = true;
    m->out->n_ended++;
    return true;
}

// --- joining, and beginning anew ---

static bool topology_follow(const struct model *m, struct state *s, unsigned i)
{
    if (!joins(m) || s->r[i].topology)
        return false;
    s->r[i].topology = 1;
    return true;
}

// Its store is lost; what it wrote comes back from the others, and its clock goes on. Before there is
// a tombstone it would be like a joiner; and the second region is as good as the third.
static bool begin_anew(const struct model *m, struct state *s, unsigned i)
{
    struct place *r = &s->r[i];
    if (!s->top_gone || i == 1 || !is_member(m, r, i) || r->unheard || r->no_floor)
        return false;
    struct place fresh = {.n = r->n, .topology = r->topology, .no_floor = 1};
    fresh.lost = word_of(s, i);
    memcpy(fresh.feed, r->feed, sizeof fresh.feed);
    fresh.promised[i] = r->promised[i];
    for (unsigned k = 0; k < N; k++)
        if (k != i)
            fresh.unheard |= (uint8_t)(1u << k);
    *r = fresh;
    return true;
}

// --- all states ---

static bool has_all(const struct model *m, const struct state *s, unsigned i)
{
    const struct place *r = &s->r[i];
    if (!is_member(m, r, i) || waits(m, r) || r->no_floor)
        return false;
    for (unsigned k = 0; k < N; k++) {
        if (!is_member(m, r, k) && s->r[k].n)
            return false;
        if (next_of(&s->r[k], r->read[k]) < s->r[k].n)
            return false;
        if (k != i && !r->promised[k])
            return false; // it has never been asked
    }
    return true;
}

static bool is_broken(const struct model *m, const struct state *s)
{
    bool lives = s->top_value > s->top_gone;
    for (unsigned i = 0; i < N; i++)
        if (has_all(m, s, i) && (s->r[i].value > s->r[i].gone) != lives)
            return true;
    return false;
}

static void history_write(struct model *m, size_t depth)
{
    size_t at = 0;
    for (size_t i = 0; i < depth && at + 16 < sizeof m->out->history; i++)
        at +=
            (size_t)snprintf(m->out->history + at, sizeof m->out->history - at, "%s ", m->steps[i]);
}

enum { WRITE, DELETE, READ, MEET, CLEAR, END, FOLLOW, ANEW, EXPIRE, RESTATE, N_KINDS };

// false: this step is not possible now.
static bool step(struct model *m, struct state *s, unsigned kind, unsigned i, unsigned k)
{
    if (k && kind != READ && kind != MEET && kind != EXPIRE)
        return false;
    switch (kind) {
    case WRITE:
        return s->writes++ < m->o->n_writes && write_one(m, s, i, false);
    case DELETE:
        return s->deletes++ < m->o->n_deletes && write_one(m, s, i, true);
    case READ:
        return (i != k || s->r[i].read[i] < s->r[i].n) && read_one(m, s, i, k);
    case MEET:
        return i != k && meet(m, s, i, k);
    case CLEAR:
        return clear(m, s, i);
    case END:
        return end(m, s, i);
    case FOLLOW:
        return topology_follow(m, s, i);
    case ANEW:
        return s->resets++ < m->o->n_resets && begin_anew(m, s, i);
    case EXPIRE:
        return i != k && word_expire(s, i, k);
    default:
        return s->restates++ < m->o->n_restates && restate(m, s, i);
    }
}

static void walk(struct model *m, const struct state *s, size_t depth)
{
    static const char names[N_KINDS + 1] = "wdrmceFNXR";
    if (m->out->broken || depth == DEPTH_MAX || !state_is_new(m, s))
        return;
    if (is_broken(m, s)) {
        m->out->broken = true;
        history_write(m, depth);
        return;
    }
    for (unsigned at = 0; at < N_KINDS * N * N; at++) {
        unsigned kind = at / (N * N), i = at / N % N, k = at % N;
        struct state next = *s;
        if (!step(m, &next, kind, i, k))
            continue;
        snprintf(m->steps[depth], sizeof m->steps[depth], "%c%c%c", names[kind], 'A' + (int)i,
                 'A' + (int)k);
        walk(m, &next, depth + 1);
    }
}

void model_run(const struct model_options *o, struct model_result *out)
{
    static struct model m;
    struct state s;
    memset(&s, 0, sizeof s);
    *out = (struct model_result){0};
    m = (struct model){.o = o, .out = out, .cap = 1u << 16};
    m.seen = calloc(m.cap, sizeof *m.seen);
    assert(m.seen);
    s.now = 1;
    walk(&m, &s, 0);
    out->n_states = m.n;
    free(m.seen);
}
