// SPDX-License-Identifier: Apache-2.0
// `meridian debug bundle`: what somebody needs who looks for a fault from elsewhere, in one file; see
// bundle.h.
#include "cli/bundle.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/plain.h"
#include "cli/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTINGS_DEFAULT "/etc/meridian/meridiand.yaml"
#define UNIT_DEFAULT "meridiand.service"
#define FOLDER_MAX 64

// ---- parts ----

void bundle_lacks(struct bundle *b, const char *name, const char *fmt, ...)
{
    va_list ap;
    size_t begin = b->errors.n;
    buf_printf(&b->errors, "%s: ", name);
    va_start(ap, fmt);
    buf_vprintf(&b->errors, fmt, ap);
    va_end(ap);
    if (b->errors.p)
        text_plain(b->errors.p + begin, b->errors.n - begin);
    buf_str(&b->errors, "\n");
    b->n_errors++;
}

void bundle_add(struct bundle *b, const char *name, const char *what, struct bytes content)
{
    int rc = ERR_TOOBIG;
    if (content.n <= BUNDLE_PART_MAX)
        rc = tarball_add(&b->tar, name, content);
    if (rc == ERR_TOOBIG) {
        bundle_lacks(b, name, "%zu bytes are too many: a part has %u at most, and all together %u",
                     content.n, BUNDLE_PART_MAX, BUNDLE_MAX);
        return;
    }
    if (rc) {
        bundle_lacks(b, name, "%s", err_text(rc));
        return;
    }
    b->n_parts++;
    buf_printf(&b->contents, "%-28s %9zu  %s\n", name, content.n, what);
}

void bundle_add_json(struct bundle *b, const char *name, const char *what, json_t *doc)
{
    AUTO_FREE char *text = NULL;
    if (doc)
        text = json_dumps(doc, JSON_INDENT(2) | JSON_ENCODE_ANY);
    json_decref(doc);
    if (text)
        bundle_add(b, name, what, bytes_str(text));
    else
        bundle_lacks(b, name, "%s", err_text(ERR_NOMEM));
}

void bundle_add_buf(struct bundle *b, const char *name, const char *what, const struct buf *text)
{
    if (text->err)
        bundle_lacks(b, name, "%s", err_text(text->err));
    else
        bundle_add(b, name, what, bytes_of(text->p, text->n));
}

// ---- the node ----

int bundle_ask(struct bundle *b, const char *path, struct buf *out, const char **out_why)
{
    struct cli *c = b->c;
    struct fetch_result r;
    if (b->deaf) {
        *out_why = "not asked: the node let an earlier question wait for too long";
        return EXIT_UNREACHABLE;
    }
    c->why = NULL;
    int64_t since_ms = clock_mono_ms();
    int rc = cli_node_fetch(c, "GET", path, (struct bytes){0}, BUNDLE_WAIT_MS, &r);
    if (rc) {
        b->deaf = clock_mono_ms() - since_ms >= BUNDLE_WAIT_MS / 2;
        *out_why = "the node cannot be asked";
        if (c->why)
            *out_why = c->why;
        if (c->why && b->last_why && !strcmp(c->why, b->last_why))
            *out_why = "likewise";
        b->last_why = c->why;
        return rc;
    }
    if (r.status == 200)
        buf_add(out, r.body.p, r.body.n);
    else
        rc = EXIT_FAILED;
    if (rc)
        *out_why = arena_printf(&c->arena, "HTTP %d: %.*s", r.status,
                                (int)strcspn(buf_cstr(&r.body), "\r\n"), buf_cstr(&r.body));
    else if (out->err)
        *out_why = err_text(out->err);
    fetch_result_done(&r);
    if (!rc && out->err)
        return EXIT_FAILED;
    return rc;
}

// ---- the file ----

// "meridian-bundle-eastus-20261130T101500Z"
static const char *folder_name(struct bundle *b)
{
    char now[CLOCK_TEXT_SIZE], time[CLOCK_TEXT_SIZE];
    const char *from = clock_format_s(clock_wall_ms() / 1000, now), *region = "node";
    size_t n = 0;
    for (; *from; from++)
        if (*from != '-' && *from != ':')
            time[n++] = *from;
    time[n] = 0;
    const char *said = json_string_value(json_object_get(b->status, "region"));
    if (said && hostname_region_ok(said))
        region = said;
    else if (b->node)
        region = b->node->region;
    return arena_printf(&b->c->arena, "meridian-bundle-%.31s-%s", region, time);
}

// A file of somebody else's would keep its owner, who could then read it.
static int check_file(const char *file)
{
    struct stat st;
    if (!strcmp(file, "table") || !strcmp(file, "json") || !strcmp(file, "yaml"))
        return cli_fail(
            EXIT_USAGE,
            "debug bundle writes an archive: -o names it (./%s for a file of that name)", file);
    if (!strcmp(file, "-") && isatty(STDOUT_FILENO))
        return cli_fail(EXIT_USAGE,
                        "debug bundle: an archive is nothing for a terminal: give -o FILE");
    if (!strcmp(file, "-") || lstat(file, &st))
        return EXIT_DONE;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return cli_fail(EXIT_FAILED, "%s: is there, and is no file of yours: name another", file);
    return EXIT_DONE;
}

static int write_out(const char *file, const struct buf *archive)
{
    int rc;
    if (strcmp(file, "-") != 0)
        rc = file_write_atomic(file, archive->p, archive->n, 0600);
    else
        rc = fd_write_all(STDOUT_FILENO, archive->p, archive->n);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: the bundle cannot be written: %s", file, err_text(rc));
    return EXIT_DONE;
}

static void gather(struct bundle *b)
{
    bundle_node(b);
    bundle_topology(b);
    bundle_principals(b);
    bundle_dns(b);
    bundle_certificates(b);
    bundle_logs(b);
    bundle_machine(b);
    if (!b->n_errors)
        buf_str(&b->errors, "nothing: every part could be gathered\n");
    bundle_add_buf(b, "errors.txt", "what could not be gathered, and why", &b->errors);
    bundle_add_buf(b, "contents.txt", "this list", &b->contents);
}

static int finish(struct bundle *b, const char *file)
{
    AUTO_BUF struct buf archive;
    buf_init(&archive, 0);
    int rc = tarball_end(&b->tar, &archive);
    if (rc)
        return cli_fail(EXIT_FAILED, "debug bundle: the archive cannot be made: %s", err_text(rc));
    rc = write_out(file, &archive);
    if (rc || !strcmp(file, "-"))
        return rc;
    printf("%s: %zu parts, %zu KiB; %zu could not be gathered (errors.txt in it says why)\n", file,
           b->n_parts, (archive.n + 1023) / 1024, b->n_errors);
    puts("It holds no secrets. It names hosts, addresses, registries, repositories and users: look "
         "it over before you send it.");
    return EXIT_DONE;
}

static int bundle_make(struct bundle *b, const char *file)
{
    struct cli *c = b->c;
    const char *why = NULL;
    AUTO_BUF struct buf status;
    buf_init(&status, BUNDLE_PART_MAX);
    b->from_afar = c->server != NULL;
    if (!b->from_afar)
        bundle_settings_load(b);
    if (!bundle_ask(b, "/v1/status", &status, &why))
        b->status = json_loadb(status.p, status.n, 0, NULL);
    const char *folder = folder_name(b);
    if (!file)
        file = arena_printf(&c->arena, "%s.tar.gz", folder);
    int rc = check_file(file);
    if (rc)
        return rc;
    (void)tarball_begin(&b->tar, folder, BUNDLE_MAX, clock_wall_ms() / 1000);
    bundle_settings(b);
    gather(b);
    return finish(b, file);
}

static int debug_bundle(struct cli *c, int argc, char **argv)
{
    const char *file = NULL;
    struct bundle b = {.c = c, .node_path = SETTINGS_DEFAULT, .unit = UNIT_DEFAULT};
    const struct opt rows[] = {
        {'o', "output", "FILE",
         "where to write; - is standard output (default: meridian-bundle-REGION-TIME.tar.gz)",
         &file},
        {0, "node", "FILE", "the node's settings (default " SETTINGS_DEFAULT ")", &b.node_path},
        {0, "unit", "NAME", "whose journal is read (default " UNIT_DEFAULT ")", &b.unit}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    struct cli_server *server;
    if (!rc && c->server)
        rc = cli_server_find(c, &server);
    if (rc)
        return rc;
    c->quiet = true;
    c->answer_max_bytes = BUNDLE_PART_MAX;
    buf_init(&b.contents, BUNDLE_PART_MAX);
    buf_init(&b.errors, BUNDLE_PART_MAX);
    rc = bundle_make(&b, file);
    buf_done(&b.contents);
    buf_done(&b.errors);
    json_decref(b.status);
    node_free(b.node);
    snapshot_unref(b.topology);
    return rc;
}

static const struct command debug_cmds[] = {
    {"bundle",
     "what a bug report needs, in one file without secrets",
     "[-o FILE] [--node FILE] [--unit NAME]",
     debug_bundle,
     USES_ADMIN | NO_FORMAT,
     0,
     0,
     {"meridian debug bundle",
      "meridian debug bundle -o /root/bundle.tar.gz --node /etc/meridian/meridiand.yaml"}},
};

int cmd_debug(struct cli *c, int argc, char **argv)
{
    return command_group(c, debug_cmds, ARRAY_LEN(debug_cmds), argc, argv);
}
