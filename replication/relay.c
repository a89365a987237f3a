// SPDX-License-Identifier: Apache-2.0
// The choice of relays; see relay.h.
#include "replication/relay.h"

#include "base/err.h"

#include <assert.h>
#include <string.h>

#define BYTES_PER_MS 4096

// --- groups ---

static bool all_placed(const struct relay_map *map)
{
    for (size_t i = 0; i < map->n; i++)
        if (!map->members[i].placed)
            return false;
    return true;
}

static bool stands_before(const struct relay_member *a, const struct relay_member *b, bool placed)
{
    if (placed && a->longitude != b->longitude)
        return a->longitude < b->longitude;
    return strcmp(a->name, b->name) < 0;
}

static size_t place_of(const struct relay_map *map, size_t i, bool placed)
{
    size_t n = 0;
    for (size_t k = 0; k < map->n; k++)
        n += stands_before(&map->members[k], &map->members[i], placed);
    return n;
}

static size_t isqrt(size_t n)
{
    size_t root = 0;
    while ((root + 1) * (root + 1) <= n)
        root++;
    return root;
}

void relay_map_make(struct relay_map *map, unsigned least)
{
    bool placed = all_placed(map);
    assert(map->n <= RELAY_MEMBERS_MAX);
    map->n_groups = 0;
    if (!least || map->n < least)
        return;
    map->n_groups = isqrt(map->n);
    for (size_t i = 0; i < map->n; i++)
        map->group[i] = (uint8_t)(place_of(map, i, placed) * map->n_groups / map->n);
}

size_t relay_find(const struct relay_map *map, const char *name)
{
    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->members[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

// --- the order within a group ---

// FNV-1a over the bytes of the name and its end.
static uint64_t hash_name(uint64_t h, const char *name)
{
    for (const char *p = name;; p++) {
        h = (h ^ (uint8_t)*p) * 1099511628211u;
        if (!*p)
            return h;
    }
}

// The last step of MurmurHash3: names that differ in their last byte are far apart.
static uint64_t rank_of(const struct relay_map *map, size_t origin, size_t member)
{
    uint64_t h = hash_name(14695981039346656037u, map->members[origin].name);
    h = hash_name(h, map->members[member].name);
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 33);
}

// Does `a` stand before `b` for that origin?
static bool ranks_before(const struct relay_map *map, size_t origin, size_t a, size_t b)
{
    uint64_t x = rank_of(map, origin, a), y = rank_of(map, origin, b);
    if (x != y)
        return x < y;
    return strcmp(map->members[a].name, map->members[b].name) < 0;
}

// The first behind `after` (SIZE_MAX: of all) and before `self` that is heard; SIZE_MAX: none.
static size_t next_before(const struct relay_map *map, size_t origin, size_t self, size_t after,
                          const bool heard[])
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < map->n; i++) {
        bool may = i != origin && i != self && map->group[i] == map->group[self] && heard[i];
        if (!may || !ranks_before(map, origin, i, self)) // invariant 1
            continue;
        if (after != SIZE_MAX && !ranks_before(map, origin, after, i))
            continue;
        if (best == SIZE_MAX || ranks_before(map, origin, i, best))
            best = i;
    }
    return best;
}

size_t relay_tries(const struct relay_map *map, size_t origin, size_t self, const bool heard[],
                   uint8_t out[RELAY_TRIES])
{
    size_t n = 0, at = SIZE_MAX;
    if (!map->n_groups || origin >= map->n || self >= map->n || origin == self)
        return 0;
    while (n < RELAY_TRIES) {
        at = next_before(map, origin, self, at, heard);
        if (at == SIZE_MAX)
            break;
        out[n++] = (uint8_t)at;
    }
    return n;
}

size_t relay_of(const struct relay_map *map, size_t origin, size_t self, const bool heard[])
{
    uint8_t try[RELAY_TRIES];
    if (relay_tries(map, origin, self, heard, try))
        return try[0];
    return origin; // invariant 2
}

enum relay_word relay_word(const struct relay_map *map, size_t origin, size_t from, size_t to,
                           bool later, const bool heard[])
{
    size_t by = relay_of(map, origin, to, heard);
    if (to == from || to == origin)
        return RELAY_SAY_NOTHING;
    if (by == from)
        return RELAY_SAY_HERE;
    if (from == origin && !later)
        return RELAY_SAY_EXPECT;
    return RELAY_SAY_NOTHING;
}

// --- patience ---

int64_t relay_patience_ms(int64_t least_ms, uint64_t size)
{
    uint64_t ms = size / BYTES_PER_MS;
    if (!least_ms)
        least_ms = RELAY_PATIENCE_MS;
    if (ms > (uint64_t)(RELAY_PATIENCE_MAX_MS - least_ms))
        return RELAY_PATIENCE_MAX_MS;
    return least_ms + (int64_t)ms;
}

int64_t relay_look_ms(int64_t age_ms)
{
    if (age_ms / 2 < RELAY_LOOK_MIN_MS)
        return RELAY_LOOK_MIN_MS;
    if (age_ms / 2 > RELAY_LOOK_MAX_MS)
        return RELAY_LOOK_MAX_MS;
    return age_ms / 2;
}

enum relay_next relay_next(int rc, int64_t age_ms, int64_t patience_ms)
{
    switch (rc) {
    case 0:
    case ERR_BUSY:
    case ERR_CANCELED:
    case ERR_NOSPACE:
    case ERR_NOMEM:
        return RELAY_DONE;
    case ERR_NOTFOUND:
        if (age_ms < patience_ms)
            return RELAY_LOOK_AGAIN;
        return RELAY_ASK_ORIGIN;
    default: // it does not answer, or what it gave was wrong
        return RELAY_ASK_ORIGIN;
    }
}
