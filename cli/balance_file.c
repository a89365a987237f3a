// SPDX-License-Identifier: Apache-2.0
// Reading loads; see balance_file.h. The reader latches its first error, with the place in the file.
#include "cli/balance_file.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/hostname.h"
#include "config/topology.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MOST_REQUESTS (1LL << 50)

struct reader {
    const char *file;
    struct diag *diag;
    int rc;
    // "stamps[1].registries[0]": the place that is read
    char at[160];
};

typedef bool (*name_ok)(const char *s);

static void wrong(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void wrong(struct reader *r, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    if (r->rc)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    diag_add(r->diag, NULL, 0, "%s: %s%s%s", r->file, r->at, *r->at ? ": " : "", text);
    r->rc = ERR_INVAL;
}

static void no_memory(struct reader *r)
{
    diag_add(r->diag, NULL, 0, "%s: out of memory", r->file);
    r->rc = ERR_NOMEM;
}

// Goes down to a member, or to an element of a list; the caller goes back up with the length.
static size_t go_down(struct reader *r, const char *key)
{
    size_t n = strlen(r->at);
    snprintf(r->at + n, sizeof r->at - n, "%s%s", n ? "." : "", key);
    return n;
}

static size_t go_to(struct reader *r, size_t index)
{
    size_t n = strlen(r->at);
    snprintf(r->at + n, sizeof r->at - n, "[%zu]", index);
    return n;
}

// An object with no other keys than these.
static bool object(struct reader *r, const json_t *o, const char *const *keys)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    if (!json_is_object(o)) {
        wrong(r, "must be an object");
        return false;
    }
    while (keys[n])
        n++;
    json_object_foreach((json_t *)o, key, v)
    {
        size_t i = 0;
        while (i < n && strcmp(keys[i], key) != 0)
            i++;
        if (i < n)
            continue;
        const char *near = diag_nearest(key, keys, n);
        wrong(r, "unknown key \"%.40s\"%s%s%s", key, near ? " (did you mean " : "",
              near ? near : "", near ? "?)" : "");
    }
    return !r->rc;
}

// A list of at most so many; NULL: there is none, or it was wrong.
static const json_t *list(struct reader *r, const json_t *o, const char *key, size_t max)
{
    const json_t *v = json_object_get(o, key);
    size_t up = go_down(r, key);
    const json_t *found = NULL;
    if (v && !json_is_array(v))
        wrong(r, "must be a list");
    else if (json_array_size(v) > max)
        wrong(r, "has %zu elements, and at most %zu are allowed", json_array_size(v), max);
    else
        found = v;
    r->at[up] = 0;
    return found;
}

static int64_t whole(struct reader *r, const json_t *v, int64_t max)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max) {
        wrong(r, "must be a whole number from 0 to %lld", (long long)max);
        return 0;
    }
    return json_integer_value(v);
}

static int64_t number(struct reader *r, const json_t *o, const char *key, int64_t max, bool needed)
{
    const json_t *v = json_object_get(o, key);
    int64_t n = 0;
    size_t up = go_down(r, key);
    if (v)
        n = whole(r, v, max);
    else if (needed)
        wrong(r, "is missing");
    r->at[up] = 0;
    return n;
}

static bool truth(struct reader *r, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (v && !json_is_boolean(v))
        wrong(r, "%s must be true or false", key);
    return json_is_true(v);
}

static void name(struct reader *r, const json_t *o, const char *key, name_ok ok, char *out)
{
    const json_t *v = json_object_get(o, key);
    const char *text = json_string_value(v);
    if (!text || strlen(text) != json_string_length(v) || strlen(text) >= LOAD_NAME_SIZE ||
        !ok(text)) {
        wrong(r, "%s must be a name", key);
        return;
    }
    snprintf(out, LOAD_NAME_SIZE, "%s", text);
}

// ---- stamps ----

// The last element is the newest minute. What the list is too short for stays missing.
static void bins(struct reader *r, const json_t *o, const char *key, uint16_t *out, size_t max)
{
    const json_t *v = list(r, o, key, max);
    size_t n = json_array_size(v), up = go_down(r, key);
    for (size_t i = 0; i < n && !r->rc; i++) {
        const json_t *bin = json_array_get(v, i);
        if (json_is_null(bin))
            continue;
        size_t here = go_to(r, i);
        out[max - n + i] = (uint16_t)whole(r, bin, LOAD_FULL);
        r->at[here] = 0;
    }
    r->at[up] = 0;
}

static void minutes(struct reader *r, const json_t *o, struct stamp_load *out)
{
    static const char *const keys[] = {"requests", "throttled", "failed", "p99Ms", NULL};
    const json_t *v = list(r, o, "minutes", LOAD_MINUTES);
    size_t up = go_down(r, "minutes");
    for (size_t i = 0; i < json_array_size(v) && !r->rc; i++) {
        const json_t *m = json_array_get(v, i);
        size_t here = go_to(r, i);
        if (object(r, m, keys)) {
            int64_t n = number(r, m, "requests", MOST_REQUESTS, true);
            out->minutes[i] =
                (struct load_minute){.requests = (uint64_t)n,
                                     .throttled = (uint64_t)number(r, m, "throttled", n, false),
                                     .failed = (uint64_t)number(r, m, "failed", n, false),
                                     .p99_ms = (uint32_t)number(r, m, "p99Ms", INT32_MAX, false)};
        }
        r->at[here] = 0;
    }
    r->at[up] = 0;
}

static void registries(struct reader *r, const json_t *o, struct stamp_load *out)
{
    static const char *const keys[] = {"name", "bins", NULL};
    const json_t *v = list(r, o, "registries", LOAD_REGISTRIES);
    size_t up = go_down(r, "registries");
    for (size_t i = 0; i < json_array_size(v) && !r->rc; i++) {
        struct load_registry *row = &out->registries[i];
        const json_t *one = json_array_get(v, i);
        size_t here = go_to(r, i);
        if (object(r, one, keys)) {
            name(r, one, "name", hostname_registry_ok, row->name);
            for (size_t k = 0; k < i; k++)
                if (!strcmp(out->registries[k].name, row->name))
                    wrong(r, "%s is there twice", row->name);
            bins(r, one, "bins", row->bins, LOAD_DAY);
            out->n_registries++;
        }
        r->at[here] = 0;
    }
    r->at[up] = 0;
}

static void stamp(struct reader *r, const json_t *o, struct balance_stamp *out)
{
    static const char *const keys[] = {"name", "wasHot",  "closed",    "hottest", "registries",
                                       "rest", "minutes", "p99WeekMs", NULL};
    stamp_load_init(&out->load);
    if (!object(r, o, keys))
        return;
    name(r, o, "name", hostname_stamp_ok, out->name);
    out->was_hot = truth(r, o, "wasHot");
    out->closed = truth(r, o, "closed");
    bins(r, o, "hottest", out->load.hottest, (size_t)LOAD_DAYS * LOAD_DAY);
    bins(r, o, "rest", out->load.rest, LOAD_DAY);
    registries(r, o, &out->load);
    minutes(r, o, &out->load);
    out->load.p99_week_ms = (uint32_t)number(r, o, "p99WeekMs", INT32_MAX, false);
}

static void stamps(struct reader *r, const json_t *root, struct balance_file *out)
{
    const json_t *v = list(r, root, "stamps", BALANCE_STAMPS);
    size_t n = json_array_size(v);
    if (!n) {
        wrong(r, "stamps: the list of the region's stamps is missing");
        return;
    }
    out->stamps = mem_zalloc_array(n, sizeof *out->stamps);
    if (!out->stamps) {
        no_memory(r);
        return;
    }
    for (size_t i = 0; i < n && !r->rc; i++) {
        size_t up = go_down(r, "stamps");
        go_to(r, i);
        stamp(r, json_array_get(v, i), &out->stamps[i]);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(out->stamps[k].name, out->stamps[i].name))
                wrong(r, "%s is there twice", out->stamps[i].name);
        r->at[up] = 0;
    }
    out->in.stamps = out->stamps;
    out->in.n_stamps = n;
}

// ---- moves, and what goes on ----

static void move(struct reader *r, const json_t *o, int64_t now_s, struct balance_move *out)
{
    static const char *const keys[] = {"registry",     "from", "to",       "begun",
                                       "watchedUntil", "wave", "inFlight", NULL};
    if (!object(r, o, keys))
        return;
    name(r, o, "registry", hostname_registry_ok, out->registry);
    name(r, o, "from", hostname_stamp_ok, out->from);
    name(r, o, "to", hostname_stamp_ok, out->to);
    out->begun_s = number(r, o, "begun", now_s, true);
    out->watched_until_s = number(r, o, "watchedUntil", MOVE_SINCE_MAX_S, false);
    out->wave = (uint32_t)number(r, o, "wave", UINT32_MAX, true);
    out->in_flight = truth(r, o, "inFlight");
}

static void moves(struct reader *r, const json_t *root, struct balance_file *out)
{
    const json_t *v = list(r, root, "moves", BALANCE_MOVES);
    size_t n = json_array_size(v);
    if (!n || r->rc)
        return;
    out->moves = mem_zalloc_array(n, sizeof *out->moves);
    if (!out->moves) {
        no_memory(r);
        return;
    }
    for (size_t i = 0; i < n && !r->rc; i++) {
        size_t up = go_down(r, "moves");
        go_to(r, i);
        move(r, json_array_get(v, i), out->in.now_s, &out->moves[i]);
        r->at[up] = 0;
    }
    out->in.moves = out->moves;
    out->in.n_moves = n;
}

static unsigned going_on(struct reader *r, const json_t *root)
{
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {{"region-down", HELD_REGION_DOWN},
                 {"drill", HELD_DRILL},
                 {"snapshot", HELD_SNAPSHOT},
                 {"freeze", HELD_FREEZE}};
    const json_t *v = list(r, root, "goingOn", ARRAY_LEN(words));
    unsigned bits = 0;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *word = json_string_value(json_array_get(v, i));
        unsigned bit = 0;
        for (size_t k = 0; word && k < ARRAY_LEN(words); k++)
            if (!strcmp(words[k].word, word))
                bit = words[k].bit;
        if (!bit || bits & bit)
            wrong(r, "goingOn has region-down, drill, snapshot and freeze, each once at most");
        bits |= bit;
    }
    return bits;
}

// ---- canary ----

static struct canary_rates rates(struct reader *r, const json_t *o, const char *key)
{
    static const char *const keys[] = {"requests", "throttled", "failed", "p99Ms", NULL};
    const json_t *v = json_object_get(o, key);
    struct canary_rates out = {0};
    size_t up = go_down(r, key);
    if (object(r, v, keys)) {
        int64_t n = number(r, v, "requests", MOST_REQUESTS, true);
        out.requests = (uint64_t)n;
        out.throttled = (uint64_t)number(r, v, "throttled", n, false);
        out.failed = (uint64_t)number(r, v, "failed", n, false);
        out.p99_ms = (uint32_t)number(r, v, "p99Ms", INT32_MAX, false);
    }
    r->at[up] = 0;
    return out;
}

static void canary(struct reader *r, const json_t *root, struct balance_file *out)
{
    static const char *const keys[] = {"registry", "moved",       "waveSize",     "after",
                                       "before",   "othersAfter", "othersBefore", NULL};
    const json_t *o = json_object_get(root, "canary");
    if (!o || r->rc)
        return;
    size_t up = go_down(r, "canary");
    if (object(r, o, keys)) {
        name(r, o, "registry", hostname_registry_ok, out->canary_registry);
        out->canary.now_s = out->in.now_s;
        out->canary.moved_s = number(r, o, "moved", out->in.now_s, true);
        out->n_canary_wave = (size_t)number(r, o, "waveSize", BALANCE_BATCH, false);
        out->canary.after = rates(r, o, "after");
        out->canary.before = rates(r, o, "before");
        out->canary.others_after = rates(r, o, "othersAfter");
        out->canary.others_before = rates(r, o, "othersBefore");
    }
    r->at[up] = 0;
}

// ---- the whole ----

static void document(struct reader *r, const json_t *root, struct balance_file *out)
{
    static const char *const keys[] = {"region", "at",     "goingOn", "stamps",
                                       "moves",  "canary", NULL};
    if (!object(r, root, keys))
        return;
    name(r, root, "region", hostname_region_ok, out->region);
    out->in.now_s = number(r, root, "at", MOVE_SINCE_MAX_S, true);
    out->in.going_on = going_on(r, root);
    if (!r->rc)
        stamps(r, root, out);
    moves(r, root, out);
    canary(r, root, out);
}

int balance_file_parse(const char *text, size_t n, const char *file, struct balance_file *out,
                       struct diag *diag)
{
    struct reader r = {.file = file, .diag = diag};
    struct balance_file f = {0};
    json_error_t e;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (!root) {
        diag_add(diag, file, e.line > 0 ? e.line : 1, "this is not JSON: %s", e.text);
        return ERR_INVAL;
    }
    document(&r, root, &f);
    json_decref(root);
    if (r.rc) {
        balance_file_done(&f);
        return r.rc;
    }
    *out = f;
    return 0;
}

void balance_file_done(struct balance_file *f)
{
    free(f->stamps);
    free(f->moves);
    *f = (struct balance_file){0};
}
