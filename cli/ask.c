// SPDX-License-Identifier: Apache-2.0
// Questions to regions; see ask.h.
#include "cli/ask.h"

#include "base/mem.h"
#include "cli/show.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

// The host at which a region answers for a registry: its regional name, or the global one while
// those are off.
static const char *host_at(struct cli *c, const struct registry *r, const struct region *region)
{
    char host[HOSTNAME_TEXT_SIZE];
    hostname_format(registry_name_there(r, region->index), c->topo->domain, r->label, region->name,
                    NULL, host);
    return arena_strdup(&c->arena, host);
}

static void fill(struct region_answer *out, enum ask_outcome how, const char *why)
{
    out->how = how;
    snprintf(out->why, sizeof out->why, "%.*s", (int)sizeof out->why - 1, why);
}

static const char *may_not(const struct cli *c)
{
    if (c->username)
        return "the user may not pull there";
    return "this takes a user that may pull: give --username";
}

static enum ask_outcome outcome_of_exit(int status)
{
    if (status == EXIT_DENIED)
        return ASK_DENIED;
    if (status == EXIT_UNREACHABLE)
        return ASK_UNREACHABLE;
    return ASK_REFUSED;
}

static void ask(struct cli *c, const struct registry *r, const struct region *region,
                const char *scope, const char *path, uint32_t timeout_ms, struct region_answer *out)
{
    *out = (struct region_answer){.how = ASK_ANSWERED};
    const char *host = host_at(c, r, region);
    bool quiet = c->quiet;
    int status = EXIT_FAILED;
    c->why = NULL;
    c->quiet = true; // whoever asked shows it
    char *token = cli_token(c, r, host, region, scope, &status);
    c->quiet = quiet;
    if (!token) {
        fill(out, outcome_of_exit(status), c->why ? c->why : "no token");
        return;
    }
    const char *header = arena_printf(&c->arena, "Authorization: Bearer %s", token);
    free(token);
    struct fetch_result res;
    int rc = cli_endpoint_fetch(c, host, region, "GET", path, &header, 1, (struct bytes){0}, NULL,
                                NULL, timeout_ms, &res);
    if (!rc && res.status == 200)
        out->doc = json_said(&res.body, 0);
    if (rc)
        fill(out, ASK_UNREACHABLE, res.message);
    else if (res.status == 401 || res.status == 403)
        fill(out, ASK_DENIED, arena_printf(&c->arena, "%s (%s)", may_not(c), cli_refusal(c, &res)));
    else if (res.status != 200)
        fill(out, ASK_REFUSED, cli_refusal(c, &res));
    else if (!out->doc)
        fill(out, ASK_REFUSED, "the answer is no JSON");
    fetch_result_done(&res);
}

void ask_region(struct cli *c, const struct registry *r, const struct region *region,
                const char *repository, const char *path, uint32_t timeout_ms,
                struct region_answer *out)
{
    const char *scope = arena_printf(&c->arena, "repository:%s:pull", repository);
    ask(c, r, region, scope, path, timeout_ms, out);
}

int ask_exit(enum ask_outcome how)
{
    static const int status[] = {EXIT_DONE, EXIT_FAILED, EXIT_UNREACHABLE, EXIT_DENIED};
    return status[how];
}

const char *ask_state(enum ask_outcome how)
{
    static const char *const states[] = {"Ready", "Refused", "Unreachable", "Denied"};
    return states[how];
}

int cli_replication_get(struct cli *c, const struct registry *r, const struct region *region,
                        const char *repository, const char *path, json_t **out_doc)
{
    struct region_answer a;
    const char *scope =
        arena_printf(&c->arena, "repository:%s:pull registry:catalog:*", repository);
    ask(c, r, region, scope, path, 20000, &a);
    if (a.how != ASK_ANSWERED)
        return cli_fail(ask_exit(a.how), "%s: %s", region->name, a.why);
    *out_doc = a.doc;
    return EXIT_DONE;
}
