// SPDX-License-Identifier: Apache-2.0
// `meridian region rebuild`, on a node whose disk was lost: how far its daemon is in getting back what
// the region wrote and what the others have. The daemon does that by itself (replication/write_gate.h,
// replication/recovery.h); this waits for it, says what it waits for, and can say that there is nobody
// to wait for.
#include "cli/cli.h"
#include "cli/show.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 1000
#define TIMEOUT_DEFAULT "10m"

struct progress {
    // of the document: "open", or why writes are not
    const char *writes;
    // feeds of other regions in registries: all, and those that are read and applied to their ends
    size_t n_feeds, n_ready;
    // what is known to be to go
    int64_t entries, bytes;
    // some row that is not ready, for people
    char waits_for[512];
};

static int64_t number(const json_t *row, const char *member)
{
    return json_integer_value(json_object_get(row, member));
}

static void row_count(const json_t *row, struct progress *p)
{
    const char *state = json_text(row, "state"), *error = json_text(row, "lastError");
    p->n_feeds++;
    p->entries += number(row, "lagEntries");
    p->bytes += number(row, "bytesToGo");
    if (!strcmp(state, "Ready")) {
        p->n_ready++;
        return;
    }
    snprintf(p->waits_for, sizeof p->waits_for, "%s of %s: %s%s%s", json_text(row, "registry"),
             json_text(row, "origin"), state, *error ? ", " : "", error);
}

static int progress_get(struct cli *c, struct progress *out, json_t **out_doc)
{
    json_t *doc = NULL, *row;
    size_t i;
    struct progress p = {0};
    int rc = cli_admin(c, "GET", "/v1/replication", &doc);
    if (rc)
        return rc;
    p.writes = json_text(doc, "writes");
    json_array_foreach(json_object_get(doc, "replications"), i, row) row_count(row, &p);
    *out = p;
    *out_doc = doc;
    return EXIT_DONE;
}

static bool is_done(const struct progress *p)
{
    return !strcmp(p->writes, "open") && p->n_ready == p->n_feeds;
}

static void progress_say(const struct progress *p)
{
    fprintf(stderr,
            "writes: %s; %zu of %zu feeds whole, %" PRId64 " entries and %" PRId64
            " bytes known to go%s%s\n",
            p->writes, p->n_ready, p->n_feeds, p->entries, p->bytes,
            *p->waits_for ? "; waits for " : "", p->waits_for);
}

static json_t *progress_json(const struct progress *p, const json_t *doc)
{
    return json_pack("{s:O, s:b, s:s, s:I, s:I, s:I, s:I, s:O}", "region",
                     json_object_get(doc, "region"), "complete", (int)is_done(p), "writes",
                     p->writes, "feeds", (json_int_t)p->n_feeds, "feedsWhole",
                     (json_int_t)p->n_ready, "entriesToGo", (json_int_t)p->entries, "bytesToGo",
                     (json_int_t)p->bytes, "replications", json_object_get(doc, "replications"));
}

static int end_say(struct cli *c, const struct progress *p, const json_t *doc)
{
    json_t *out = progress_json(p, doc);
    const char *region = json_text(doc, "region");
    if (is_done(p))
        return cli_done(c, out,
                        "%s is whole: it takes writes, and has all that %zu feeds of the other "
                        "regions hold",
                        region, p->n_feeds);
    int rc = cli_done(c, out, "%s is not whole yet (writes: %s)", region, p->writes);
    return rc ? rc : EXIT_NOT_YET;
}

// Says what has changed, until it is done or the time is over.
static int progress_wait(struct cli *c, bool wait, int64_t timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    char last[1024] = "";
    for (;;) {
        struct progress p;
        json_t *doc;
        char now[1024];
        int rc = progress_get(c, &p, &doc);
        if (rc)
            return rc;
        if (!wait || is_done(&p) || clock_mono_ms() >= until) {
            rc = end_say(c, &p, doc);
            json_decref(doc);
            return rc;
        }
        snprintf(now, sizeof now, "%s %zu %" PRId64 " %" PRId64 " %s", p.writes, p.n_ready,
                 p.entries, p.bytes, p.waits_for);
        if (strcmp(now, last) != 0)
            progress_say(&p);
        memcpy(last, now, sizeof last);
        json_decref(doc);
        clock_sleep_ms(LOOK_MS);
    }
}

static int region_rebuild(struct cli *c, int argc, char **argv)
{
    bool alone = false, no_wait = false;
    const char *timeout = TIMEOUT_DEFAULT;
    uint64_t timeout_ms;
    const struct opt rows[] = {
        {0, "alone", NULL,
         "an empty store takes writes, though no other region can be asked what this one wrote",
         NULL, &alone},
        {0, "no-wait", NULL, "say how far it is, and wait for nothing", NULL, &no_wait},
        {0, "timeout", "TIME", "how long to wait; " TIMEOUT_DEFAULT " when not given", &timeout}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    json_t *doc = NULL;
    if (rc)
        return rc;
    if (duration_parse(timeout, &timeout_ms))
        return cli_fail(EXIT_USAGE, "--timeout %s: give a time, as in 10m", timeout);
    if (alone)
        rc = cli_admin(c, "POST", "/v1/replication/alone", &doc);
    json_decref(doc);
    if (rc)
        return rc;
    return progress_wait(c, !no_wait, (int64_t)timeout_ms);
}

const struct command region_rebuild_cmd = {
    "rebuild",
    "a node whose disk was lost: how far it is in getting its content back, until it has",
    "[--alone] [--no-wait] [--timeout TIME]",
    region_rebuild,
    USES_ADMIN,
    0,
    0,
    {"meridian region rebuild", "meridian region rebuild --no-wait -o json"}};
