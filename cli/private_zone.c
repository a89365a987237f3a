// SPDX-License-Identifier: Apache-2.0
// See private_zone.h. What a node answers is put into a file's words here and nothing is added to it but
// the serial: that of the node's own SOA, or one above that of the file there is; a file that says the
// same already keeps its serial and stays as it is.
#include "cli/private_zone.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/plain.h"
#include "cli/registry_words.h"
#include "cli/show.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FILE_MAX (64u << 20)

struct export
{
    const char *view, *registry, *format, *zone, *file;
    // of the zone that is written; NULL with names alone
    const json_t *in;
    const json_t *doc;
    bool check;
};

static unsigned number_of(const json_t *of, const char *member)
{
    return (unsigned)json_integer_value(json_object_get(of, member));
}

// ---- what other resolvers read ----

typedef void put_fn(struct buf *b, const struct export *e, uint32_t serial);

static const char *type_of(const char *ip)
{
    return strchr(ip, ':') ? "AAAA" : "A";
}

// Each address of each name: in the zone, or all.
#define EACH_ADDRESS(e, name, ip)                                                                 \
    for (size_t i_ = 0, k_ = 0; i_ < json_array_size(names_of(e)); i_++, k_ = 0)                  \
        for (const json_t *name = json_array_get(names_of(e), i_);                                \
             k_ < json_array_size(json_object_get(name, "addresses"));)                           \
            for (const char *ip =                                                                 \
                     json_string_value(json_array_get(json_object_get(name, "addresses"), k_++)); \
                 ip; ip = NULL)

static const json_t *names_of(const struct export *e)
{
    return json_object_get(e->doc, "names");
}

static const char *apex_of(const struct export *e)
{
    return json_text(e->in, "apex");
}

static const char *path_of(const struct export *e)
{
    if (e->file && text_is_plain(e->file, strlen(e->file)))
        return e->file;
    return "FILE";
}

static void put_master(struct buf *b, const struct export *e, uint32_t serial)
{
    const json_t *soa = json_object_get(e->in, "soa"), *ns = json_object_get(e->in, "ns"), *one;
    size_t i;
    buf_printf(b, "%s. %u IN SOA %s. %s. %u %u %u %u %u\n", apex_of(e), number_of(soa, "ttl"),
               json_text(soa, "mname"), json_text(soa, "rname"), (unsigned)serial,
               number_of(soa, "refresh"), number_of(soa, "retry"), number_of(soa, "expire"),
               number_of(soa, "minimum"));
    json_array_foreach(json_object_get(ns, "names"), i, one) buf_printf(
        b, "%s. %u IN NS %s.\n", apex_of(e), number_of(ns, "ttl"), json_string_value(one));
    EACH_ADDRESS(e, name, ip)
    {
        if (!strcmp(json_text(name, "zone"), apex_of(e)))
            buf_printf(b, "%s. %u IN %s %s\n", json_text(name, "privateName"),
                       number_of(name, "ttl"), type_of(ip), ip);
    }
}

static void put_bind(struct buf *b, const struct export *e, uint32_t serial)
{
    buf_printf(b, "; named.conf: zone \"%s\" { type primary; file \"%s\"; };\n", apex_of(e),
               path_of(e));
    put_master(b, e, serial);
}

static void put_nsd(struct buf *b, const struct export *e, uint32_t serial)
{
    buf_printf(b, "; nsd.conf:\n;   zone:\n;     name: \"%s\"\n;     zonefile: \"%s\"\n",
               apex_of(e), path_of(e));
    put_master(b, e, serial);
}

static void put_knot(struct buf *b, const struct export *e, uint32_t serial)
{
    buf_printf(b, "; knot.conf:\n;   zone:\n;     - domain: %s\n;       file: %s\n", apex_of(e),
               path_of(e));
    put_master(b, e, serial);
}

static void put_coredns(struct buf *b, const struct export *e, uint32_t serial)
{
    buf_printf(b, "; Corefile:\n;   %s {\n;     file %s %s\n;   }\n", apex_of(e), path_of(e),
               apex_of(e));
    put_master(b, e, serial);
}

// A forwarder does not follow an alias into what it has itself: so the public names lead there, too.
static void put_dnsmasq(struct buf *b, const struct export *e, uint32_t serial)
{
    (void)serial;
    EACH_ADDRESS(e, name, ip)
    {
        buf_printf(b, "host-record=%s,%s,%s,%u\n", json_text(name, "name"),
                   json_text(name, "privateName"), ip, number_of(name, "ttl"));
    }
}

static void put_hosts(struct buf *b, const struct export *e, uint32_t serial)
{
    (void)serial;
    EACH_ADDRESS(e, name, ip)
    {
        buf_printf(b, "%s %s %s\n", ip, json_text(name, "name"), json_text(name, "privateName"));
    }
}

static const struct format {
    const char *name;
    put_fn *put;
    // of a comment
    char mark;
    bool has_zone;
} formats[] = {
    {"bind", put_bind, ';', true},        {"nsd", put_nsd, ';', true},
    {"knot", put_knot, ';', true},        {"coredns", put_coredns, ';', true},
    {"dnsmasq", put_dnsmasq, '#', false}, {"hosts", put_hosts, '#', false},
};

static const struct format *format_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

static void render(struct buf *b, const struct export *e, const struct format *f, uint32_t serial)
{
    b->n = 0;
    buf_printf(
        b,
        "%c The private names of view %s of %s%s%s, as Meridian's resolvers answer them there.\n"
        "%c Written by meridian private-endpoint export-zone; edits are lost.\n",
        f->mark, e->view, json_text(e->doc, "domain"), e->registry ? ", registry " : "",
        e->registry ? e->registry : "", f->mark);
    f->put(b, e, serial);
}

// ---- the file ----

// The serial of a file that we wrote; 0: it has none.
static uint32_t serial_in(const char *text)
{
    const char *at = strstr(text, " IN SOA ");
    if (!at)
        return 0;
    at += sizeof " IN SOA " - 1;
    for (int i = 0; i < 2 && at; i++) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    if (!at)
        return 0;
    return (uint32_t)strtoul(at, NULL, 10);
}

static bool same(const struct buf *a, const struct buf *b)
{
    return a->n == b->n && (!a->n || !memcmp(a->p, b->p, a->n));
}

// RFC 1982: is a above b?
static bool serial_above(uint32_t a, uint32_t b)
{
    return a != b && a - b < UINT32_C(1) << 31;
}

static int said(struct cli *c, const struct export *e, const char *what, size_t n, int status)
{
    printf("%s: %s", e->file, what);
    if (n)
        printf(", %zu name%s", n, n == 1 ? "" : "s");
    printf("\n");
    (void)c;
    return status;
}

static int to_file(struct cli *c, const struct export *e, const struct format *f)
{
    AUTO_BUF struct buf text, old;
    uint32_t serial = number_of(json_object_get(e->in, "soa"), "serial"), before = 0;
    buf_init(&text, FILE_MAX);
    buf_init(&old, FILE_MAX);
    int rc = file_read(e->file, FILE_MAX, &old);
    if (rc && rc != ERR_NOTFOUND) // what is there may have a higher serial
        return cli_fail(EXIT_FAILED, "%s: what is there cannot be read, so it stays: %s", e->file,
                        err_text(rc));
    bool is_there = !rc;
    if (is_there)
        before = serial_in(buf_cstr(&old));
    render(&text, e, f, before ? before : serial);
    if (is_there && same(&text, &old))
        return said(c, e, "unchanged", 0, EXIT_DONE);
    if (e->check)
        return said(c, e, is_there ? "differs" : "is not there", 0, EXIT_CHANGES);
    if (before && !serial_above(serial, before))
        serial = before + 1 ? before + 1 : 1;
    render(&text, e, f, serial);
    rc = text.err;
    if (!rc)
        rc = file_write_atomic(e->file, text.p, text.n, 0640);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be written: %s", e->file, err_text(rc));
    return said(c, e, "written", json_array_size(names_of(e)), EXIT_DONE);
}

static int to_stdout(struct cli *c, const struct export *e, const struct format *f)
{
    AUTO_BUF struct buf text;
    buf_init(&text, FILE_MAX);
    render(&text, e, f, number_of(json_object_get(e->in, "soa"), "serial"));
    (void)c;
    if (text.err || fwrite(text.p, 1, text.n, stdout) != text.n || fflush(stdout))
        return cli_fail(EXIT_FAILED, "cannot write the zone");
    return EXIT_DONE;
}

// ---- what is asked for ----

// "privatelink", "eastus.geo.privatelink.", or with D.
static bool is_zone(const char *word, const char *apex, const char *domain)
{
    size_t n = strlen(word), n_apex = strlen(apex), n_short = n_apex - strlen(domain) - 1;
    if (n > 1 && word[n - 1] == '.')
        n--;
    return (n == n_apex || n == n_short) && !strncasecmp(word, apex, n);
}

static int choose_zone(struct cli *c, struct export *e)
{
    const json_t *zones = json_object_get(e->doc, "zones"), *one;
    const char *others = "";
    size_t i;
    json_array_foreach(zones, i, one)
    {
        const char *apex = json_text(one, "apex");
        bool is = e->zone ? is_zone(e->zone, apex, json_text(e->doc, "domain")) : !i;
        if (is && !e->in)
            e->in = one;
        else
            others = arena_printf(&c->arena, "%s%s%s", others, *others ? ", " : "", apex);
    }
    if (!e->in)
        return cli_fail(EXIT_USAGE, "%s: there is no zone %s: there are %s", c->path,
                        e->zone ? e->zone : "", others);
    if (*others && !e->zone)
        fprintf(stderr,
                "note: this is %s alone; the topology cuts there, so give the other zones as well, "
                "each with a file of its own (--zone): %s\n",
                apex_of(e), others);
    return EXIT_DONE;
}

static int get(struct cli *c, const struct export *e, json_t **out)
{
    const char *path =
        arena_printf(&c->arena, "/v1/private-zone?view=%s", cli_urlencode(c, e->view));
    if (e->registry)
        path = arena_printf(&c->arena, "%s&registry=%s", path, cli_urlencode(c, e->registry));
    return cli_admin(c, "GET", path, out);
}

int private_export_zone(struct cli *c, int argc, char **argv)
{
    struct export e = {.format = "bind"};
    json_t *doc = NULL;
    const struct opt rows[] = {
        {0, "view", "VIEW", "the private network", &e.view},
        {'r', "registry", "REGISTRY", "only names of this registry", &e.registry},
        {0, "format", "bind|nsd|knot|coredns|dnsmasq|hosts", "who is to read it (bind)", &e.format,
         .choices = "bind|nsd|knot|coredns|dnsmasq|hosts"},
        {0, "zone", "ZONE", "which zone, where the topology cuts at regions (privatelink)",
         &e.zone},
        {'o', "output", "FILE", "where to write, if it differs (default: standard output)",
         &e.file},
        {0, "check", NULL, "write nothing; exit status 10: FILE differs", .flag = &e.check}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (e.file && !strcmp(e.file, "-"))
        e.file = NULL;
    if (!e.view)
        return cli_fail(EXIT_USAGE, "%s: give --view, the private network", c->path);
    if (e.check && !e.file)
        return cli_fail(EXIT_USAGE, "%s: --check compares with a file: name it with -o", c->path);
    const struct format *f = format_of(e.format);
    if (e.zone && !f->has_zone)
        return cli_fail(EXIT_USAGE, "%s: --format %s has no zones: it gets all names", c->path,
                        e.format);
    e.registry = words_plain(c, e.registry);
    rc = get(c, &e, &doc);
    e.doc = doc;
    if (!rc && f->has_zone)
        rc = choose_zone(c, &e);
    if (!rc && e.file)
        rc = to_file(c, &e, f);
    else if (!rc)
        rc = to_stdout(c, &e, f);
    json_decref(doc);
    return rc;
}
