// SPDX-License-Identifier: Apache-2.0
// `meridian certs roll-ca`: another private CA takes over, over the control feed. `meridian certs
// create-ca`: where the next one begins in a fleet that takes its topology from files; nothing uses it
// yet. docs/runbooks/rotate-keys.md has both.
#include "cli/certs_ca.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/ca.h"
#include "cli/show.h"
#include "config/options.h"

#include <stdio.h>
#include <string.h>

int certs_create_ca(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc && argc != 2)
        rc = cli_fail(EXIT_USAGE, "certs create-ca: name a directory for the CA and its key");
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    struct diag d;
    diag_init(&d);
    int made = ca_create(argv[1], c->topo->domain, &d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (made)
        return cli_fail(EXIT_FAILED, "certs create-ca: %s: %s", argv[1], err_text(made));
    return cli_done(c, json_pack("{s:s, s:s}", "directory", argv[1], "domain", c->topo->domain),
                    "%s holds a CA for %s; nothing trusts or uses it yet", argv[1],
                    c->topo->domain);
}

// --- roll-ca ---

static const char *ca_line(struct cli *c, const json_t *doc)
{
    const char *step = json_text(doc, "step"), *waits = json_text(doc, "waits"),
               *next = json_text(doc, "next");
    if (!strcmp(step, "trust"))
        return arena_printf(
            &c->arena,
            "the next private CA %.16s is on its way (meridian certs roll-ca --show): %s\n", next,
            *waits ? waits : "all regions come to trust it");
    if (!strcmp(step, "use"))
        return arena_printf(&c->arena, "the private CA %.16s issues from now on: %s\n", next,
                            *waits ? waits : "what the old one has issued is renewed");
    if (*waits)
        return arena_printf(&c->arena, "a next private CA was made: %s\n", waits);
    return "";
}

const char *certs_ca_line(struct cli *c)
{
    json_t *doc = NULL;
    bool quiet = c->quiet;
    c->quiet = true; // a node of an older version has no such answer
    int rc = cli_admin(c, "GET", "/v1/certs/ca", &doc);
    c->quiet = quiet;
    if (rc)
        return "";
    const char *line = ca_line(c, doc);
    json_decref(doc);
    return line ? line : "";
}

struct roll {
    const char *issue_after;
    bool show, cancel, without_away, drop_old, back;
};

static int roll_path(struct cli *c, const struct roll *o, const char **out)
{
    uint64_t ms = 7 * 24 * 3600 * 1000ULL;
    if (o->show + o->cancel + o->without_away + o->drop_old + o->back + (o->issue_after != NULL) >
        1)
        return cli_fail(EXIT_USAGE, "certs roll-ca: give one of --issue-after, --show, --cancel, "
                                    "--without-away, --drop-old and --back");
    if (o->issue_after && duration_parse(o->issue_after, &ms))
        return cli_fail(EXIT_USAGE, "--issue-after %s: a time such as 7d, or 0s", o->issue_after);
    *out = arena_printf(&c->arena, "/v1/certs/ca?do=begin&issue_after_ms=%llu",
                        (unsigned long long)ms);
    if (o->show)
        *out = "/v1/certs/ca";
    if (o->cancel)
        *out = "/v1/certs/ca?do=cancel";
    if (o->without_away)
        *out = "/v1/certs/ca?do=without-away";
    if (o->drop_old)
        *out = "/v1/certs/ca?do=drop-old";
    if (o->back)
        *out = "/v1/certs/ca?do=back";
    if (*out)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "out of memory");
}

static int roll_confirm(struct cli *c, const struct roll *o)
{
    if (o->without_away)
        return cli_confirm(c, "Regions that are away now know nobody any more when they come back, "
                              "until ca.pem is carried to them.");
    if (o->drop_old)
        return cli_confirm(c, "Regions that are away now are refused when they come back: each has "
                              "to be replaced.");
    if (o->back)
        return cli_confirm(c, "The CA in ca_dir issues again, and the next one, whose key is lost, "
                              "is dropped.");
    return EXIT_DONE;
}

int certs_roll_ca(struct cli *c, int argc, char **argv)
{
    struct roll o = {0};
    const struct opt rows[] = {
        {0, "issue-after", "TIME",
         "so long at least clients have to come to trust the next one: 7d when left out",
         &o.issue_after, NULL},
        {0, "show", NULL, "how far it is, and the certificate of the next one; changes nothing",
         NULL, &o.show},
        {0, "cancel", NULL, "before it issues: the next one goes again", NULL, &o.cancel},
        {0, "without-away", NULL, "before it issues: do not wait for regions that are away", NULL,
         &o.without_away},
        {0, "drop-old", NULL, "drop the old one though regions are away", NULL, &o.drop_old},
        {0, "back", NULL, "the next one issues, and its key is lost: go back", NULL, &o.back},
        {'y', "yes", NULL, "do not ask", .flag = &c->yes}};
    const char *path = NULL;
    json_t *doc = NULL;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = roll_path(c, &o, &path);
    if (!rc)
        rc = roll_confirm(c, &o);
    if (!rc)
        rc = cli_admin(c, o.show ? "GET" : "POST", path, &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    const char *line = ca_line(c, doc);
    fputs(*line ? line : "no private CA is taking over\n", stdout);
    if (!strcmp(json_text(doc, "step"), "trust") && !o.without_away)
        fprintf(stdout, "clients that trust the private CA need this one beside it before %s:\n%s",
                json_text(doc, "issuesAt"), json_text(doc, "certificate"));
    json_decref(doc);
    return EXIT_DONE;
}
