// SPDX-License-Identifier: Apache-2.0
// `meridian replication feed` and `revoked`: what a region wrote last, with the places and hashes
// that a revocation of its feed key would name, and what such a revocation has made void. Both ask
// the regions' public endpoints.
#include "cli/replication.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *what_of(struct cli *c, const json_t *o)
{
    const char *tag = json_string_value(json_object_get(o, "tag"));
    if (tag)
        return arena_printf(&c->arena, "%s:%s", replication_text(o, "repository"), tag);
    return replication_text(o, "repository");
}

static const char *place_of(struct cli *c, const json_t *o)
{
    return arena_printf(&c->arena, "%lld/%lld",
                        (long long)json_integer_value(json_object_get(o, "epoch")),
                        (long long)json_integer_value(json_object_get(o, "seq")));
}

static const char *digest_of(struct cli *c, const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (s) // sha256: and 12 digits
        return arena_printf(&c->arena, "%.19s", s);
    return "gone";
}

// What the entry sets it to, in few words.
static const char *value_of(struct cli *c, const json_t *o)
{
    const json_t *lock = json_object_get(o, "lock");
    bool write = json_is_true(json_object_get(lock, "write"));
    bool del = json_is_true(json_object_get(lock, "delete"));
    if (json_is_false(json_object_get(o, "known")))
        return arena_printf(&c->arena, "%s (not known there)", replication_text(o, "attribute"));
    if (lock && !write && !del)
        return "unlocked";
    if (lock)
        return arena_printf(&c->arena, "locked:%s%s", write ? " write" : "", del ? " delete" : "");
    if (json_is_true(json_object_get(o, "gone")))
        return "gone";
    return digest_of(c, o, "digest");
}

// ---- feed ----

static bool place_parse(const char *s, unsigned long long *out_epoch,
                        unsigned long long *out_seq) // "EPOCH/SEQ"
{
    char *slash, *end;
    unsigned long long epoch = strtoull(s, &slash, 10);
    if (slash == s || *slash != '/')
        return false;
    unsigned long long seq = strtoull(slash + 1, &end, 10);
    if (end == slash + 1 || *end)
        return false;
    *out_epoch = epoch;
    *out_seq = seq;
    return true;
}

static void print_feed(struct cli *c, const json_t *rows)
{
    size_t n = json_array_size(rows), i;
    const char **cells = arena_array(&c->arena, 6 * (n + 1), sizeof *cells);
    const char *head[] = {"written at", "epoch/seq", "key", "what", "value", "hash"};
    json_t *o;
    memcpy(cells, head, sizeof head);
    json_array_foreach(rows, i, o)
    {
        const char *row[] = {replication_text(o, "writtenAt"),
                             place_of(c, o),
                             replication_text(o, "key"),
                             what_of(c, o),
                             value_of(c, o),
                             replication_text(o, "hash")};
        memcpy(cells + 6 * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, 6);
}

static int feed_run(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *repository = "status", *origin = NULL, *at = NULL, *before = NULL;
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "origin", "REGION", "whose feed", &origin, NULL},
        {0, "region", "REGION", "as this region holds it (default: the origin)", &at, NULL},
        {0, "before", "EPOCH/SEQ", "older ones than this", &before, NULL},
        {0, "repository", "NAME",
         "also of this repository, of a user whose catalogue does not show it", &repository, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r)
        return cli_fail(EXIT_FAILED, "feed: give -r REGISTRY");
    if (!origin)
        return cli_fail(EXIT_USAGE, "feed: give --origin REGION");
    const struct region *of = cli_region(c, origin), *region = of;
    if (at)
        region = cli_region(c, at);
    if (!of || !region)
        return EXIT_FAILED;
    unsigned long long epoch = 0, seq = 0;
    if (before && !place_parse(before, &epoch, &seq))
        return cli_fail(EXIT_USAGE, "feed: --before EPOCH/SEQ, as the list prints it");
    const char *path =
        arena_printf(&c->arena, "/replication/v1/entries?registry=%s&origin=%s&epoch=%llu&seq=%llu",
                     r->name, of->name, epoch, seq);
    json_t *doc = NULL;
    rc = cli_replication_get(c, r, region, repository, path, &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_feed(c, json_object_get(doc, "entries"));
    json_decref(doc);
    return EXIT_DONE;
}

const struct command replication_feed_cmd = {
    "feed",
    "what a region wrote last, with keys, places and hashes",
    "-r REGISTRY --origin REGION [--region R] [--before EPOCH/SEQ]",
    feed_run,
    USES_ENDPOINT,
    0,
    1,
    {"meridian replication feed contoso --origin eastus -u ada",
     "meridian replication feed contoso --origin eastus --before 3/4711"}};

// ---- revoked ----

// What was refused has no reason of its own in the answer.
static void below_take(const json_t *doc, const struct region *region, json_t *all)
{
    json_t *o;
    size_t i;
    json_array_foreach(json_object_get(doc, "belowFloor"), i, o)
        json_object_set_new(o, "reason", json_string("below the floor"));
    replication_rows_take(doc, "belowFloor", region, all);
}

// All pages of a region; its rows get its name.
static int voided_at(struct cli *c, const struct registry *r, const struct region *region,
                     const char *repository, json_t *all)
{
    json_int_t after = 0;
    int rc;
    do {
        json_t *doc = NULL;
        rc = cli_replication_get(c, r, region, repository,
                                 arena_printf(&c->arena,
                                              "/replication/v1/revoked?registry=%s&after=%lld",
                                              r->name, (long long)after),
                                 &doc);
        replication_rows_take(doc, "voided", region, all);
        below_take(doc, region, all);
        after = json_integer_value(json_object_get(doc, "next"));
        json_decref(doc);
    } while (!rc && after);
    return rc;
}

static void print_voided(struct cli *c, const json_t *rows)
{
    size_t n = json_array_size(rows), i;
    const char **cells = arena_array(&c->arena, 9 * (n + 1), sizeof *cells);
    const char *head[] = {"region",     "what",      "void value", "was",   "now",
                          "written at", "epoch/seq", "key",        "reason"};
    json_t *o;
    memcpy(cells, head, sizeof head);
    json_array_foreach(rows, i, o)
    {
        const char *row[] = {replication_text(o, "region"),
                             what_of(c, o),
                             digest_of(c, o, "digest"),
                             replication_text(o, "was"),
                             digest_of(c, o, "now"),
                             replication_text(o, "writtenAt"),
                             place_of(c, o),
                             replication_text(o, "key"),
                             replication_text(o, "reason")};
        memcpy(cells + 9 * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, 9);
}

static int revoked_run(struct cli *c, int argc, char **argv)
{
    static const struct replication_rows rows = {"of this region only", voided_at, print_voided,
                                                 NULL};
    return replication_rows_run(c, &rows, argc, argv);
}

const struct command replication_revoked_cmd = {
    "revoked",
    "what revoked feed keys had written, and what came below a floor, and what is there now",
    "-r REGISTRY [--region R]",
    revoked_run,
    USES_ENDPOINT,
    0,
    1,
    {"meridian replication revoked contoso -u ada",
     "meridian replication revoked contoso --region eastus -o json"}};
