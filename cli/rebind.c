// SPDX-License-Identifier: Apache-2.0
// `meridian replication rebind`: a replica moves to another home stamp of its region, without a
// resolver ever saying that the new stamp does not exist (design section 3, publish before use).
// All who answer for fe.D are asked for its name; once they have it, the time since when names lead
// there is written into the topology: the negative TTL later.
#include "cli/edit.h"
#include "cli/published.h"
#include "cli/request.h"
#include "config/replica_row.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/endpoints.h"
#include "control/change.h"
#include "control/changes_file.h"
#include "control/compiled.h"

#include <stdio.h>
#include <string.h>

#define CLOCKS_S 5      // that nodes' clocks may be ahead of ours
#define SERVE_MORE_S 60 // beyond the TTLs: design section 11

struct rebind {
    struct cli *c;
    const struct registry *r;
    const struct region *region;
    // where names lead now, and where they are to lead
    const struct stamp *old, *new;
    struct replica_move move;
    struct publisher *asked;
    size_t n_asked;
    bool now, what_if;
    // that was written
    uint64_t version;
};

// ---- who has the name ----

static size_t count(const struct rebind *x, enum publishing state)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n_asked; i++)
        n += x->asked[i].state == state;
    return n;
}

static void tell_asked(const struct rebind *x, enum publishing state, const char *words)
{
    char at[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; i < x->n_asked; i++)
        if (x->asked[i].state == state)
            fprintf(stderr, "%s %s: %s\n", x->asked[i].what, endpoint_format(&x->asked[i].at, at),
                    *x->asked[i].why ? x->asked[i].why : words);
}

static int ask(struct rebind *x, uint16_t dns_port)
{
    const char *name = x->new->name, *region = x->region->name, *domain = x->c->topo->domain;
    x->asked = published_list(x->c, dns_port, &x->n_asked);
    if (!x->asked)
        return cli_fail(EXIT_FAILED, "out of memory");
    published_ask(x->c->topo, x->new, x->asked, x->n_asked);
    tell_asked(x, PUBLISHED_NOT, "has not got the name");
    tell_asked(x, PUBLISHED_SILENT,
               "no answer: it is down, or cannot be reached from here, and is not waited for");
    if (count(x, PUBLISHED_NOT))
        return cli_fail(EXIT_NOT_YET,
                        "not all who answer for fe.%s have %s.%s.fe.%s, and nothing was written: "
                        "copy the topology that "
                        "has the stamp to all nodes, see that the secondaries have transferred it, "
                        "and try again",
                        domain, name, region, domain);
    if (!count(x, PUBLISHED))
        return cli_fail(EXIT_UNREACHABLE,
                        "nobody who answers for fe.%s could be reached, and nothing was written: "
                        "try from where the name "
                        "servers can be asked",
                        domain);
    return EXIT_DONE;
}

// ---- what will be ----

static const char *target(const struct rebind *x, const struct stamp *s)
{
    char ip[IP_TEXT_SIZE];
    const struct ip *first;
    if (s->n_ipv4)
        first = s->ipv4;
    else
        first = s->ipv6;
    size_t n = s->n_ipv4 + s->n_ipv6;
    return arena_printf(&x->c->arena, "%s.%s.fe.%s (%s%s)", s->name, x->region->name,
                        x->c->topo->domain, ip_format(first, ip), n > 1 ? ", …" : "");
}

static const char *since_text(const struct rebind *x)
{
    char text[CLOCK_TEXT_SIZE];
    return arena_strdup(&x->c->arena, clock_format_s(x->move.since_s, text));
}

// Caches lead to the old stamp until then, by a name's TTL and then by its address's.
static const char *serves_until(const struct rebind *x)
{
    char text[CLOCK_TEXT_SIZE];
    const struct ttls *ttl = &x->c->topo->ttl;
    return arena_strdup(
        &x->c->arena,
        clock_format_s(x->move.since_s + ttls_cached_s(ttl) + ttl->frontend + SERVE_MORE_S, text));
}

static int print_json(const struct rebind *x)
{
    static const char *const states[] = {"published", "notPublished", "noAnswer"};
    char at[ENDPOINT_TEXT_SIZE];
    json_t *asked = json_array();
    for (size_t i = 0; i < x->n_asked; i++)
        json_array_append_new(asked, json_pack("{s:s, s:s, s:s, s:s*}", "address",
                                               endpoint_format(&x->asked[i].at, at), "what",
                                               x->asked[i].what, "state", states[x->asked[i].state],
                                               "why", *x->asked[i].why ? x->asked[i].why : NULL));
    return cli_print_json(
        x->c, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:I}", "registry", x->r->name,
                        "region", x->region->name, "stampWas", x->move.was, "stamp", x->move.stamp,
                        "since", since_text(x), "oldServesUntil", serves_until(x), "asked", asked,
                        "written", (int)!x->what_if, "version", (json_int_t)x->version));
}

static void print_names(const struct rebind *x)
{
    struct endpoint_name e;
    char name[HOSTNAME_TEXT_SIZE];
    const char *cells[3 * 4] = {"name", "now",
                                arena_printf(&x->c->arena, "from %s on", since_text(x))};
    size_t n = 1;
    for (size_t at = 0; n < 4 && endpoint_next(x->r, &at, &e);) {
        bool global = e.kind == NAME_GLOBAL;
        if ((!global && e.region != x->region->index) ||
            hostname_format(e.kind, x->c->topo->domain, x->r->label,
                            global ? NULL : x->region->name, NULL, name))
            continue;
        cells[3 * n] = arena_printf(&x->c->arena, "%s%s", name,
                                    global ? " (where it leads to the region)" : "");
        cells[3 * n + 1] = target(x, x->old);
        cells[3 * n + 2] = target(x, x->new);
        n++;
    }
    cli_table(cells, n, 3);
}

static int print_outcome(const struct rebind *x)
{
    if (cli_json(x->c))
        return print_json(x);
    if (x->what_if) {
        print_names(x);
        return EXIT_DONE;
    }
    if (x->old == x->new) {
        printf("%s: names of %s stay at stamp %s\n", x->r->name, x->region->name, x->new->name);
        return EXIT_DONE;
    }
    printf("%s: names of %s lead to stamp %s from %s on, and until then to %s\n"
           "stamp %s must serve on until %s: caches lead to it for the TTLs\n",
           x->r->name, x->region->name, x->new->name, since_text(x), x->old->name, x->old->name,
           serves_until(x));
    return EXIT_DONE;
}

// ---- writing ----

static bool holds(const struct topology *t, const void *ctx)
{
    const struct rebind *x = ctx;
    const struct registry *r = topology_registry(t, x->r->name);
    const struct region *region = topology_region(t, x->region->name);
    const struct replica *rep = NULL;
    if (r && region)
        rep = registry_replica(r, region->index);
    const struct stamp_move *m = NULL;
    if (rep)
        m = registry_move(r, region->index);
    return m && m->was != STAMP_GONE && m->since_s == x->move.since_s &&
           r->n_replicas == x->r->n_replicas && !strcmp(region->stamps[m->was].name, x->move.was) &&
           !strcmp(topology_replica_stamp(t, rep)->name, x->move.stamp);
}

static int write_document(struct rebind *x, const struct buf *was)
{
    AUTO_BUF struct buf row, now;
    buf_init(&row, 0);
    buf_init(&now, 0);
    int rc = replica_row_edit(buf_cstr(was), was->n, &x->move, &row);
    if (rc)
        return cli_fail(
            EXIT_FAILED,
            "%s is left as it was: the row of registry %s in %s cannot be rewritten there (%s). "
            "Write by hand, "
            "and raise the version:\n  stamp: %s\n  stamp_was: %s\n  stamp_since: \"%s\"",
            x->c->topology, x->r->name, x->region->name, err_text(rc), x->move.stamp, x->move.was,
            since_text(x));
    x->version = x->c->topo->version + 1;
    edit_sections(buf_cstr(&row), NULL, 0, x->version, &now);
    return edit_commit_text(x->c, &now, "registries", holds, x);
}

// The registry's row as it is in force, with the move.
static int format_change(const struct rebind *x, struct buf *out)
{
    struct spec_registry row;
    int rc = change_registry_row(x->c->topo, x->r, &x->c->arena, &row);
    if (rc)
        return rc;
    struct spec_replica *replica = change_replica(&row, x->region->name);
    if (!replica)
        return ERR_NOTFOUND;
    replica->stamp = x->move.stamp;
    replica->was = x->move.was;
    replica->since = since_text(x);
    const struct change change = {.registries = &row, .n_registries = 1};
    return change_format(&change, out);
}

static int write_change(struct rebind *x)
{
    AUTO_BUF struct buf change;
    struct diag d;
    buf_init(&change, 0);
    diag_init(&d);
    int rc = format_change(x, &change);
    if (!rc)
        rc = changes_append(x->c->topology, x->c->topo->version, buf_cstr(&change), change.n,
                            "the change", &d, &x->version);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s.changes is left as it was: %s", x->c->topology,
                        err_text(rc));
    fprintf(stderr, "%s.changes: version %llu; copy it to the nodes\n", x->c->topology,
            (unsigned long long)x->version);
    return EXIT_DONE;
}

static int send_move(struct rebind *x)
{
    struct cli *c = x->c;
    json_t *answer = NULL;
    x->version = c->topo->version + 1;
    c->if_version = (int64_t)c->topo->version; // what was asked about is what is rewritten
    int rc = cli_request_answer(
        c,
        &(struct request){.verb = "replication rebind",
                          .object = arena_printf(&c->arena, "%s/%s", x->r->name, x->region->name),
                          .arguments = json_pack("{s:s, s:s, s:s}", "stamp", x->move.stamp, "was",
                                                 x->move.was, "since", since_text(x))},
        &answer);
    json_decref(answer);
    return rc;
}

// To the writer of a fleet; else into the document; beside it where there are changes already, or where it is compiled.
static int write_move(struct rebind *x)
{
    AUTO_BUF struct buf was;
    buf_init(&was, 0);
    if (x->c->from_node)
        return send_move(x);
    int rc = file_read(x->c->topology, TOPOLOGY_MAX_BYTES, &was);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", x->c->topology, err_text(rc));
    bool beside = compiled_is(was.p, was.n) || x->c->topo->version != x->c->topo->frame->version;
    if (beside)
        return write_change(x);
    return write_document(x, &was);
}

// ---- the command ----

static int find(struct rebind *x, const char *region, const char *stamp, int64_t now_s)
{
    x->region = cli_region(x->c, region);
    if (!x->region)
        return EXIT_FAILED;
    x->new = region_stamp(x->region, stamp);
    if (!x->new)
        return cli_fail(
            EXIT_FAILED,
            "region %s has no stamp %s: add it to the topology first, and copy that to the nodes",
            region, stamp);
    x->old = registry_stamp_at(x->c->topo, x->r, x->region->index, now_s);
    if (!x->old)
        return cli_fail(EXIT_FAILED, "registry %s has no replica in region %s", x->r->name, region);
    return EXIT_DONE;
}

// Is there nothing to do? Says so.
static bool is_settled(struct rebind *x, int64_t now_s)
{
    const struct stamp_move *m = registry_move(x->r, x->region->index);
    bool pending = m && now_s < m->since_s,
         home =
             topology_replica_stamp(x->c->topo, registry_replica(x->r, x->region->index)) == x->new;
    char since[CLOCK_TEXT_SIZE];
    if (!home || (pending && x->now))
        return false;
    if (pending)
        fprintf(stderr,
                "%s: names of %s lead to stamp %s from %s on, as the topology says already\n",
                x->r->name, x->region->name, x->new->name, clock_format_s(m->since_s, since));
    else
        fprintf(stderr, "%s: names of %s lead to stamp %s already\n", x->r->name, x->region->name,
                x->new->name);
    return true;
}

static int move(struct rebind *x, uint16_t dns_port, int64_t now_s)
{
    // Back to where names lead still: what was to come is taken back, and nobody need be asked.
    bool stays = x->old == x->new;
    const struct stamp *home =
        topology_replica_stamp(x->c->topo, registry_replica(x->r, x->region->index));
    int rc = EXIT_DONE;
    if (!stays && !x->now)
        rc = ask(x, dns_port);
    if (rc)
        return rc;
    // to whole seconds, and none too early
    int64_t asked_s = (clock_wall_ms() + 999) / 1000;
    int64_t wait_s = x->c->topo->ttl.negative + CLOCKS_S;
    x->move = (struct replica_move){.registry = x->r->name,
                                    .region = x->region->name,
                                    .stamp = x->new->name,
                                    .was = stays ? home->name : x->old->name,
                                    .since_s = stays || x->now ? now_s : asked_s + wait_s};
    if (x->what_if)
        rc = EXIT_DONE;
    else
        rc = write_move(x);
    if (rc)
        return rc;
    rc = print_outcome(x);
    if (!rc && x->what_if)
        return EXIT_CHANGES;
    return rc;
}

static int rebind(struct cli *c, int argc, char **argv)
{
    struct rebind x = {.c = c};
    const char *name = NULL, *region = NULL, *stamp = NULL;
    int64_t port = 53;
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "region", "REGION", "whose replica", &region, NULL},
        {0, "stamp", "STAMP", "the stamp of that region to move it to", &stamp, NULL},
        {0, "now", NULL, "at once and without asking: when the old stamp is dead", NULL, &x.now},
        {0, "what-if", NULL, "ask and tell what would be, and write nothing", NULL, &x.what_if},
        {0, "dns-port", "PORT", "port of the name servers (default 53)", .number = &port, .min = 1,
         .max = 65535},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!region || !stamp)
        return cli_fail(EXIT_USAGE, "rebind: give --region and --stamp");
    rc = edit_begin(c);
    if (rc)
        return rc;
    x.r = cli_registry_given(c, name, argc, argv);
    if (!x.r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    int64_t now_s = clock_wall_ms() / 1000;
    rc = find(&x, region, stamp, now_s);
    if (rc || is_settled(&x, now_s))
        return rc;
    return move(&x, (uint16_t)port, now_s);
}

const struct command replication_rebind_cmd = {
    "rebind",
    "move a replica to another stamp of its region, once all who answer for fe.D have that",
    "-r REGISTRY --region REGION --stamp STAMP [--now] [--what-if]",
    rebind,
    USES_CHANGE | USES_TOPOLOGY,
    0,
    1,
    {"meridian replication rebind contoso --region eastus --stamp eus-2 --what-if",
     "meridian replication rebind contoso --region eastus --stamp eus-2"}};
