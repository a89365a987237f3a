// SPDX-License-Identifier: Apache-2.0
// `meridian dns export`: a zone of the topology as a master file, for a stock name server, for a look, or to compare
// two topologies. Works from the topology alone.
#include "cli/cli.h"
#include "cli/dns_zone.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct command cmd = {
    "export", "a zone of the topology as a master file (RFC 1035 section 5); asks no node",
    "--zone D|fe [--expand] [--view NAME] [--pin REGION|order] [-o FILE]", cmd_dns_export};

struct export_options {
    const char *zone, *view, *pin, *file;
    bool expand;
};

// "D", "fe", or the zone's name. Sets *out_frontend.
static int choose_zone(const struct cli *c, const char *word, bool *out_frontend)
{
    const char *d = c->topo->domain;
    size_t n = strlen(word);
    if (n > 1 && word[n - 1] == '.')
        n--;
    bool main_zone = !strcmp(word, "D") || (n == strlen(d) && !strncasecmp(word, d, n));
    bool frontend =
        !strcmp(word, "fe") || (n == strlen(d) + 3 && !strncasecmp(word, "fe.", 3) && !strncasecmp(word + 3, d, n - 3));
    if (!main_zone && !frontend)
        return cli_fail(EXIT_USAGE, "--zone %s: the zones are D (%s) and fe (fe.%s)", word, d, d);
    *out_frontend = frontend;
    return 0;
}

static int choose_view(const struct cli *c, const char *name, const struct view **out)
{
    const struct topology *t = c->topo;
    if (!name || !strcmp(name, "public"))
        return 0;
    const char **names = mem_zalloc_array(t->n_views + 1, sizeof *names);
    for (size_t i = 0; i < t->n_views; i++) {
        if (names)
            names[i] = t->views[i].name;
        if (!strcmp(t->views[i].name, name))
            *out = &t->views[i];
    }
    const char *near = names ? diag_nearest(name, names, t->n_views) : NULL;
    free(names);
    if (*out)
        return 0;
    return cli_fail(EXIT_FAILED, "%s has no view %s%s%s%s", c->topology, name, near ? " (did you mean " : "",
                    near ? near : "", near ? "?)" : "");
}

static int choose(struct cli *c, const struct export_options *o, struct zone *z, bool *frontend)
{
    int rc = choose_zone(c, o->zone, frontend);
    if (rc)
        return rc;
    if (!*frontend && !o->expand)
        return cli_fail(EXIT_USAGE,
                        "the names of %s are computed for each client: --expand writes them all, with the "
                        "global names pinned",
                        c->topo->domain);
    z->t = c->topo;
    rc = choose_view(c, o->view, &z->view);
    if (rc || !o->pin || !strcmp(o->pin, "order"))
        return rc;
    const struct region *r = cli_region(c, o->pin);
    if (!r)
        return EXIT_FAILED;
    z->pin = r->index;
    return 0;
}

static int flushed(FILE *f)
{
    errno = EIO;
    return fflush(f) || ferror(f) ? err_from_errno(errno) : 0;
}

static void write_zone(const struct zone *z, bool frontend)
{
    if (frontend)
        zone_write_frontend(z);
    else
        zone_write_main(z);
}

// Beside, whole, synced, then renamed: a server that reloads never sees half a zone. Readable by the server's user,
// except for private addresses, which only the group may see.
static int write_file(struct zone *z, bool frontend, const char *path, const char *beside)
{
    z->out = fopen(beside, "wxe");
    if (!z->out)
        return err_from_errno(errno);
    int fd = fileno(z->out);
    write_zone(z, frontend);
    int rc = flushed(z->out);
    if (!rc && (fchmod(fd, z->view ? 0640 : 0644) || fsync(fd)))
        rc = err_from_errno(errno);
    if (fclose(z->out) && !rc)
        rc = err_from_errno(errno);
    if (!rc && rename(beside, path))
        rc = err_from_errno(errno);
    if (rc)
        unlink(beside);
    return rc;
}

int cmd_dns_export(struct cli *c, int argc, char **argv)
{
    struct export_options o = {0};
    const struct opt rows[] = {
        {0, "zone", "ZONE", "D, or fe for the zone of the frontends; or the zone's name", &o.zone, NULL},
        {0, "expand", NULL, "write out the computed names of D, the global ones pinned", NULL, &o.expand},
        {0, "view", "NAME", "as this private network sees it (default: public)", &o.view, NULL},
        {0, "pin", "REGION", "region that global names prefer; `order`: the operator's (default)", &o.pin, NULL},
        {'o', "output", "FILE", "where to write (default: standard output)", &o.file, NULL},
    };
    int rc = opt_parse(c, &cmd, "dns", rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 1 || !o.zone)
        return cli_fail(EXIT_USAGE, "dns export: give --zone D or --zone fe, and no other words");
    if (o.file && (!strcmp(o.file, "table") || !strcmp(o.file, "json")))
        return cli_fail(EXIT_USAGE, "dns export writes a master file: -o names it (./%s for a file of that name)",
                        o.file);
    struct zone z = {.pin = REGION_NONE, .out = stdout};
    bool frontend = false;
    rc = cli_topology(c);
    rc = rc ? rc : choose(c, &o, &z, &frontend);
    if (rc)
        return rc;
    if (!o.file || !strcmp(o.file, "-")) {
        write_zone(&z, frontend);
        rc = flushed(stdout);
        return rc ? cli_fail(EXIT_FAILED, "cannot write the zone: %s", err_text(rc)) : EXIT_DONE;
    }
    const char *beside = arena_printf(&c->arena, "%s.new.%ld", o.file, (long)getpid());
    rc = beside ? write_file(&z, frontend, o.file, beside) : ERR_NOMEM;
    return rc ? cli_fail(EXIT_FAILED, "%s: cannot write the zone: %s", o.file, err_text(rc)) : EXIT_DONE;
}
