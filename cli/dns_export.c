// SPDX-License-Identifier: Apache-2.0
// `meridian dns export`: a zone of the topology as a master file, for a stock name server, for a
// look, or to compare two topologies. Works from the topology alone.
#include "cli/cli.h"
#include "cli/dns_zone.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct export_options {
    const char *zone, *view, *pin, *file;
    bool expand;
};

enum part { PART_MAIN, PART_FRONTEND, PART_CHILD };

struct chosen {
    enum part part;
    // of a child zone; REGION_NONE: all regions' one
    uint8_t region;
};

// "label" or "label.D", with or without a final dot.
static bool is_zone(const struct cli *c, const char *word, const char *label)
{
    size_t n = strlen(word), n_label = strlen(label), n_d = strlen(c->topo->domain);
    if (n > 1 && word[n - 1] == '.')
        n--;
    if (n < n_label || strncasecmp(word, label, n_label))
        return false;
    return n == n_label || (n == n_label + 1 + n_d && word[n_label] == '.' &&
                            !strncasecmp(word + n_label + 1, c->topo->domain, n_d));
}

static bool is_child(const struct cli *c, const char *word, struct chosen *out)
{
    const struct topology *t = c->topo;
    char label[HOSTNAME_REGION_SIZE + sizeof ".geo.privatelink"];
    *out = (struct chosen){PART_CHILD, REGION_NONE};
    if (t->private_cut == PRIVATE_CUT_PRIVATELINK)
        return is_zone(c, word, "privatelink");
    for (size_t i = 0; t->private_cut == PRIVATE_CUT_REGION && i < t->n_regions; i++) {
        snprintf(label, sizeof label, "%s.geo.privatelink", t->regions[i].name);
        out->region = (uint8_t)i;
        if (is_zone(c, word, label))
            return true;
    }
    return false;
}

// "D", "fe", a child zone's labels before D, or the zone's name.
static int choose_zone(const struct cli *c, const char *word, struct chosen *out)
{
    static const char *const children[] = {[PRIVATE_CUT_NONE] = "",
                                           [PRIVATE_CUT_PRIVATELINK] = ", and privatelink",
                                           [PRIVATE_CUT_REGION] =
                                               ", and REGION.geo.privatelink of each region"};
    const char *d = c->topo->domain;
    struct chosen child;
    size_t n = strlen(word);
    if (n > 1 && word[n - 1] == '.')
        n--;
    if (!strcmp(word, "D") || (n == strlen(d) && !strncasecmp(word, d, n)))
        *out = (struct chosen){PART_MAIN, REGION_NONE};
    else if (is_zone(c, word, "fe"))
        *out = (struct chosen){PART_FRONTEND, REGION_NONE};
    else if (is_child(c, word, &child))
        *out = child;
    else
        return cli_fail(EXIT_USAGE, "--zone %s: the zones are D (%s), fe (fe.%s)%s", word, d, d,
                        children[c->topo->private_cut]);
    return 0;
}

static int choose_view(struct cli *c, const char *name, const struct view **out)
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
    const char *near = NULL;
    if (names)
        near = diag_nearest(name, names, t->n_views);
    free(names);
    if (*out)
        return 0;
    return cli_fail(EXIT_FAILED, "%s has no view %s%s", c->topology, name,
                    cli_did_you_mean(c, near));
}

static int choose(struct cli *c, const struct export_options *o, struct zone *z, struct chosen *out)
{
    int rc = choose_zone(c, o->zone, out);
    if (rc)
        return rc;
    if (out->part != PART_FRONTEND && !o->expand)
        return cli_fail(
            EXIT_USAGE,
            "the names under %s are computed for each client: --expand writes them all, with the "
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
    if (fflush(f) || ferror(f))
        return err_from_errno(errno);
    return 0;
}

static int write_zone(const struct zone *z, const struct chosen *chosen)
{
    int rc = 0;
    if (chosen->part == PART_FRONTEND)
        zone_write_frontend(z);
    else if (chosen->part == PART_CHILD)
        rc = zone_write_child(z, chosen->region);
    else
        rc = zone_write_main(z);
    int flush = flushed(z->out);
    if (rc)
        return rc;
    return flush;
}

// Beside, whole, synced, then renamed: a server that reloads never sees half a zone. Readable by
// the server's user, except for private addresses, which only the group may see.
static int write_file(struct zone *z, const struct chosen *chosen, const char *path,
                      const char *beside)
{
    z->out = fopen(beside, "wxe");
    if (!z->out)
        return err_from_errno(errno);
    int fd = fileno(z->out);
    int rc = write_zone(z, chosen);
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
        {0, "zone", "ZONE",
         "D, fe for the zone of the frontends, or a private child zone; or the zone's name",
         &o.zone, NULL},
        {0, "expand", NULL, "write out the computed names of D, the global ones pinned", NULL,
         &o.expand},
        {0, "view", "NAME", "as this private network sees it (default: public)", &o.view, NULL},
        {0, "pin", "REGION", "region that global names prefer; `order`: the operator's (default)",
         &o.pin, NULL},
        {'o', "output", "FILE", "where to write (default: standard output)", &o.file, NULL},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 1 || !o.zone)
        return cli_fail(EXIT_USAGE, "dns export: give --zone D or --zone fe, and no other words");
    if (o.file && (!strcmp(o.file, "table") || !strcmp(o.file, "json")))
        return cli_fail(
            EXIT_USAGE,
            "dns export writes a master file: -o names it (./%s for a file of that name)", o.file);
    struct zone z = {.pin = REGION_NONE, .out = stdout, .now_s = clock_wall_ms() / 1000};
    struct chosen chosen = {PART_MAIN, REGION_NONE};
    rc = cli_topology(c);
    if (!rc)
        rc = choose(c, &o, &z, &chosen);
    if (rc)
        return rc;
    if (!o.file || !strcmp(o.file, "-")) {
        rc = write_zone(&z, &chosen);
        if (rc)
            return cli_fail(EXIT_FAILED, "cannot write the zone: %s", err_text(rc));
        return EXIT_DONE;
    }
    const char *beside = arena_printf(&c->arena, "%s.new.%ld", o.file, (long)getpid());
    if (beside)
        rc = write_file(&z, &chosen, o.file, beside);
    else
        rc = ERR_NOMEM;
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot write the zone: %s", o.file, err_text(rc));
    return EXIT_DONE;
}
