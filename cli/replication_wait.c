// SPDX-License-Identifier: Apache-2.0
// `meridian replication wait`: until a tag or a digest is in a region, or in all of them, as new as
// it was at the call. What cannot come is said at once and by name: nobody has it, the user may not
// see it, the region cannot be reached.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/register.h"
#include "cli/ask.h"

#include <stdio.h>
#include <string.h>

#define POLL_MS 20000

struct wait {
    struct cli *c;
    const struct registry *r;
    // tag "" when a digest is waited for
    const char *repository, *tag;
    const char *digest;
    // of the tag, as it was highest anywhere at the call; origin NULL: nowhere yet
    struct register_value value;
    // mono
    int64_t until_ms;
};

static uint64_t number_of(const json_t *doc, const char *key)
{
    const char *s = json_string_value(json_object_get(doc, key));
    if (s)
        return strtoull(s, NULL, 10);
    return 0;
}

// A manifest may show after its tombstone, as long as something leads to it.
static bool is_gone(const json_t *doc)
{
    return json_is_true(json_object_get(doc, "gone")) &&
           !json_is_true(json_object_get(doc, "found"));
}

// The value that a region told; its strings are the document's. false: it has none.
static bool value_of(const json_t *doc, struct register_value *out)
{
    const char *digest = json_string_value(json_object_get(doc, "digest"));
    struct register_value v = {.stamp = number_of(doc, "stamp"),
                               .origin = json_string_value(json_object_get(doc, "origin")),
                               .epoch = number_of(doc, "epoch"),
                               .gone = is_gone(doc),
                               .create_only = json_is_true(json_object_get(doc, "createOnly")),
                               .generation = number_of(doc, "generation")};
    if (!v.origin || (!digest && !v.gone))
        return false;
    if (digest && digest_parse(digest, strlen(digest), &v.digest))
        return false;
    *out = v;
    return true;
}

static const char *have_path(struct wait *w, uint64_t wait_ms)
{
    struct cli *c = w->c;
    return arena_printf(
        &c->arena, "/replication/v1/have?registry=%s&repository=%s&%s=%s%s", w->r->name,
        cli_urlencode(c, w->repository), *w->tag ? "tag" : "digest",
        cli_urlencode(c, *w->tag ? w->tag : w->digest),
        wait_ms ? arena_printf(&c->arena, "&wait_ms=%llu", (unsigned long long)wait_ms) : "");
}

// How long may asking for a token take? A hung region is no reason to wait longer than was asked
// for.
static uint32_t token_ms(const struct wait *w, uint32_t most_ms)
{
    int64_t left = w->until_ms - clock_mono_ms();
    if (left > most_ms - 1000)
        return most_ms;
    if (left > 0)
        return (uint32_t)left + 1000;
    return 1000;
}

static void value_take(struct wait *w, const json_t *doc)
{
    struct register_value v;
    if (!value_of(doc, &v) || (w->value.origin && register_order(&v, &w->value) <= 0))
        return;
    w->value = v;
    w->value.origin = arena_strdup(&w->c->arena, v.origin);
    const char *digest = json_string_value(json_object_get(doc, "digest"));
    w->digest = arena_strdup(&w->c->arena, digest ? digest : "gone");
}

// No region that answered has it. Was there one that did not, that is why nobody can tell.
static int say_unknown(const struct wait *w, const struct region *silent,
                       const struct region_answer *why)
{
    const char *what = arena_printf(&w->c->arena, "%s/%s%s%s", w->r->name, w->repository,
                                    *w->tag ? ":" : "@", *w->tag ? w->tag : w->digest);
    if (!silent)
        return cli_fail(EXIT_UNKNOWN, "%s is unknown: no region has it", what);
    return cli_fail(ask_exit(why->how), "%s is in no region that answers; %s: %s", what,
                    silent->name, why->why);
}

// Fixes the value at the call: the newest one, by the register's order, that any region has now.
static int fix_target(struct wait *w)
{
    const struct region *silent = NULL;
    struct region_answer worst = {.how = ASK_ANSWERED};
    for (size_t i = 0; i < w->r->n_replicas; i++) {
        const struct region *region = &w->c->topo->regions[w->r->replicas[i].region];
        struct region_answer a;
        w->c->token_ms = token_ms(w, 10000);
        ask_region(w->c, w->r, region, w->repository, have_path(w, 0), 10000, &a);
        if (a.how == ASK_ANSWERED)
            value_take(w, a.doc);
        json_decref(a.doc);
        if (a.how <= worst.how)
            continue;
        worst = a;
        silent = region;
    }
    if (w->value.origin)
        return EXIT_DONE;
    return say_unknown(w, silent, &worst);
}

// Clock ahead: its writer's clock was, and this region takes nothing so far ahead of its own. No
// space: the time is over, and what is waited for does not fit on that region's disk.
enum outcome {
    WAIT_DONE,
    WAIT_SUPERSEDED,
    WAIT_TIMEOUT,
    WAIT_UNREACHABLE,
    WAIT_DENIED,
    WAIT_REFUSED,
    WAIT_CLOCK_AHEAD,
    WAIT_NO_SPACE,
    N_OUTCOMES
};
static const struct {
    const char *name;
    int status;
} outcomes[N_OUTCOMES] = {[WAIT_DONE] = {"done", EXIT_DONE},
                          [WAIT_SUPERSEDED] = {"superseded", EXIT_DONE},
                          [WAIT_TIMEOUT] = {"timeout", EXIT_NOT_YET},
                          [WAIT_UNREACHABLE] = {"unreachable", EXIT_UNREACHABLE},
                          [WAIT_DENIED] = {"denied", EXIT_DENIED},
                          [WAIT_REFUSED] = {"refused", EXIT_FAILED},
                          [WAIT_CLOCK_AHEAD] = {"clock-ahead", EXIT_CLOCK_AHEAD},
                          [WAIT_NO_SPACE] = {"no-space", EXIT_NO_SPACE}};

static const char *until_path(struct wait *w, uint64_t wait_ms)
{
    const char *path = have_path(w, wait_ms);
    if (!*w->tag) // the stamp tells whether it can come at all now, and what ended it later
        return arena_printf(&w->c->arena, "%s&stamp=%llu%s", path,
                            (unsigned long long)w->value.stamp, w->value.gone ? "&gone=1" : "");
    path = arena_printf(&w->c->arena, "%s&stamp=%llu&origin=%s&epoch=%llu", path,
                        (unsigned long long)w->value.stamp, w->value.origin,
                        (unsigned long long)w->value.epoch);
    if (w->value.create_only)
        path = arena_printf(&w->c->arena, "%s&generation=%llu", path,
                            (unsigned long long)w->value.generation);
    if (w->value.gone)
        return arena_printf(&w->c->arena, "%s&gone=1", path);
    return arena_printf(&w->c->arena, "%s&digest=%s", path, cli_urlencode(w->c, w->digest));
}

static bool manifest_is_there(const struct wait *w, const struct register_value *here, bool found)
{
    if (w->value.gone)
        return here->gone && here->stamp >= w->value.stamp;
    return found || (here->gone && here->stamp > w->value.stamp);
}

// Is the wait for a region over with what it has now? A digest that is waited for is there, or was
// deleted later; a tag has the value that was fixed, or a newer one, or went with its manifest.
static bool outcome_of(struct wait *w, const json_t *doc, enum outcome *out)
{
    struct register_value here;
    if (!value_of(doc, &here))
        return false;
    bool found = json_is_true(json_object_get(doc, "found"));
    if (*w->tag && register_order(&here, &w->value) < 0)
        return false;
    if (!*w->tag && !manifest_is_there(w, &here, found))
        return false;
    bool same = here.gone == w->value.gone && digest_equal(&here.digest, &w->value.digest);
    if (same && (found || here.gone))
        *out = WAIT_DONE;
    else
        *out = WAIT_SUPERSEDED;
    return true;
}

// Why it is not there, when that is for want of space; else NULL. Room may come: no reason to end
// the wait.
static const char *lacks_of(struct wait *w, const json_t *doc)
{
    const json_t *lacks = json_object_get(doc, "noSpace"),
                 *needed = json_object_get(lacks, "neededBytes");
    if (!lacks)
        return NULL;
    if (!needed)
        return "its disk is full, so nothing that it reads can be noted";
    return arena_printf(&w->c->arena,
                        "what is missing there takes %.1f MiB, which do not fit on its disk",
                        json_number_value(needed) / (1 << 20));
}

// The wait is over without it: it answered, but had it not; or this is what it did instead.
static enum outcome outcome_late(const struct region_answer *last, bool answered, const char *lacks)
{
    if (lacks && last->how == ASK_ANSWERED)
        return WAIT_NO_SPACE;
    if (answered)
        return WAIT_TIMEOUT;
    if (last->how == ASK_REFUSED)
        return WAIT_REFUSED;
    return WAIT_UNREACHABLE;
}

// How long the region may keep the next question open: until the end, at most POLL_MS, and at least
// once.
static uint64_t poll_ms(const struct wait *w)
{
    int64_t left = w->until_ms - clock_mono_ms();
    if (left > POLL_MS)
        return POLL_MS;
    if (left > 0)
        return (uint64_t)left;
    return 1;
}

// Until this region has it or newer. `why`: what stood in the way last; "" nothing.
static enum outcome wait_region(struct wait *w, const struct region *region, const char **out_why)
{
    bool answered = false;
    struct region_answer a;
    *out_why = "";
    for (;;) {
        uint64_t poll = poll_ms(w);
        w->c->token_ms = token_ms(w, 20000);
        ask_region(w->c, w->r, region, w->repository, until_path(w, poll), (uint32_t)poll + 5000,
                   &a);
        enum outcome how;
        bool over = a.how == ASK_ANSWERED && outcome_of(w, a.doc, &how);
        bool ahead = a.how == ASK_ANSWERED && json_is_true(json_object_get(a.doc, "clockAhead"));
        const char *lacks = NULL;
        if (a.how == ASK_ANSWERED && !over)
            lacks = lacks_of(w, a.doc);
        json_decref(a.doc);
        answered = answered || a.how == ASK_ANSWERED;
        if (over || a.how == ASK_ANSWERED)
            *out_why = "";
        else
            *out_why = arena_strdup(&w->c->arena, a.why);
        if (lacks)
            *out_why = lacks;
        if (over)
            return how;
        if (ahead)
            return WAIT_CLOCK_AHEAD;
        if (a.how == ASK_DENIED)
            return WAIT_DENIED;
        if (w->until_ms <= clock_mono_ms())
            return outcome_late(&a, answered, lacks);
        clock_sleep_ms(a.how == ASK_ANSWERED ? 50 : 500);
    }
}

static int parse_target(struct wait *w, char *text)
{
    char *slash = strchr(text, '/');
    if (!slash)
        return cli_fail(EXIT_USAGE,
                        "wait: give REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST");
    *slash = 0;
    w->r = cli_registry(w->c, text);
    if (!w->r)
        return EXIT_FAILED;
    w->repository = slash + 1;
    char *at = strchr(slash + 1, '@'), *colon = strrchr(slash + 1, ':');
    w->tag = "";
    if (at) {
        *at = 0;
        w->digest = at + 1;
    } else {
        if (colon) {
            w->tag = colon + 1;
            *colon = 0;
        } else {
            w->tag = "latest";
        }
    }
    return 0;
}

// In milliseconds; 0: there is no such unit.
static int64_t unit_ms(const char *unit)
{
    if (!strcmp(unit, "ms"))
        return 1;
    if (!*unit || !strcmp(unit, "s"))
        return 1000;
    if (strcmp(unit, "m"))
        return 0;
    return 60000;
}

static int64_t parse_seconds(const char *s)
{
    char *end = NULL;
    long v = strtol(s, &end, 10);
    if (end == s || v < 0 || v > 86400 || !unit_ms(end))
        return -1;
    return v * unit_ms(end);
}

#define WAIT_COLUMNS 4

// Each region, or only this one; the highest of their statuses.
static int wait_all(struct wait *w, const struct region *only)
{
    struct cli *c = w->c;
    json_t *doc = json_array();
    const char *cells[WAIT_COLUMNS * (TOPOLOGY_MAX_REGIONS + 1)] = {"region", "outcome", "digest",
                                                                    "reason"};
    size_t n = 1;
    int worst = EXIT_DONE;
    for (size_t i = 0; i < w->r->n_replicas; i++) {
        const struct region *region = &c->topo->regions[w->r->replicas[i].region];
        if (only && only != region)
            continue;
        const char *why, **row = cells + WAIT_COLUMNS * n++;
        enum outcome how = wait_region(w, region, &why);
        if (outcomes[how].status > worst)
            worst = outcomes[how].status;
        row[0] = region->name, row[1] = outcomes[how].name, row[2] = w->digest, row[3] = why;
        json_array_append_new(doc, json_pack("{s:s, s:s, s:s, s:s*}", "region", region->name,
                                             "outcome", outcomes[how].name, "digest", w->digest,
                                             "reason", *why ? why : NULL));
    }
    if (cli_json(c)) {
        cli_print_json(c, doc);
        return worst;
    }
    json_decref(doc);
    cli_table(cells, n, WAIT_COLUMNS);
    return worst;
}

static int replication_wait(struct cli *c, int argc, char **argv)
{
    const char *region_name = "all", *timeout = "60s";
    const struct opt rows[] = {
        {0, "region", "REGION", "this region, or all (default)", &region_name, NULL},
        {0, "timeout", "TIME", "60s, 500ms, 5m (default 60s)", &timeout, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    int64_t ms = parse_seconds(timeout);
    if (argc != 2 || ms < 0)
        return cli_fail(EXIT_USAGE, argc != 2 ? "wait: give one REGISTRY/REPOSITORY:TAG"
                                              : "wait: --timeout 60s, 500ms or 5m");
    if (c->password_stdin)
        return cli_fail(
            EXIT_USAGE,
            "wait asks several regions for tokens: give --password-file, not --password-stdin");
    struct wait w = {.c = c, .until_ms = clock_mono_ms() + ms};
    rc = parse_target(&w, argv[1]);
    if (rc)
        return rc;
    const struct region *only = NULL;
    if (strcmp(region_name, "all"))
        only = cli_region(c, region_name);
    if (!only && strcmp(region_name, "all") != 0)
        return EXIT_FAILED;
    if (only && !registry_replica(w.r, only->index))
        return cli_fail(EXIT_FAILED, "%s has no replica in %s", w.r->name, only->name);
    rc = fix_target(&w);
    if (rc)
        return rc;
    return wait_all(&w, only);
}

const struct command replication_wait_cmd = {
    "wait",
    "until a tag or digest is there, as new as now",
    "REGISTRY/REPOSITORY:TAG [--region R] [--timeout T]",
    replication_wait,
    USES_ENDPOINT,
    1,
    1,
    {"meridian replication wait contoso/app:1.0 -u ada",
     "meridian replication wait contoso/app:1.0 --region westeurope --timeout 5m"}};
