// SPDX-License-Identifier: Apache-2.0
// The topology's text rewritten; see edit.h.
#include "cli/edit.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/apply.h"
#include "cli/request.h"
#include "cli/show.h"
#include "cli/what_if_print.h"
#include "config/frontend.h"
#include "control/compiled.h"
#include "control/document_diff.h"
#include "control/successor.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_MAX 512

// ---- where it is ----

const char *edit_name(const struct cli *c)
{
    if (c->from_node)
        return "the topology in force";
    return c->topology;
}

static int take_document(struct cli *c)
{
    AUTO_BUF struct buf text;
    struct diag d;
    buf_init(&text, 0);
    int rc = cli_in_force_text(c, 0, &text);
    if (rc)
        return rc;
    diag_init(&d);
    rc = topology_parse(buf_cstr(&text), text.n, "the topology in force", &d, &c->topo);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: the topology of %s cannot be used: %s", c->path,
                        cli_node_name(c), err_text(rc));
    c->document = arena_strndup(&c->arena, text.p, text.n);
    if (!c->document)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(ERR_NOMEM));
    c->from_node = true;
    return EXIT_DONE;
}

int edit_begin(struct cli *c)
{
    bool named = strcmp(c->topology, CLI_DEFAULT_TOPOLOGY) != 0;
    json_t *doc = NULL;
    if (!c->server && (named || access(c->admin, R_OK | W_OK)))
        return cli_topology(c);
    c->quiet = !c->server; // a socket without a node is no reason not to edit the file
    int rc = cli_admin(c, "GET", "/v1/status", &doc);
    c->quiet = false;
    if (rc && !c->server)
        return cli_topology(c);
    if (rc)
        return rc;
    bool feed = !strcmp(json_text(doc, "source"), "feed");
    json_decref(doc);
    if (feed)
        return take_document(c);
    if (!c->server)
        return cli_topology(c);
    return cli_fail(EXIT_FAILED, "%s: %s takes its topology from files: edit them, and copy them",
                    c->path, cli_node_name(c));
}

// ---- sections ----

const char *edit_zone_serial(struct cli *c, uint64_t serial, const uint8_t content[SHA256_BYTES],
                             uint32_t offset)
{
    char hex[2 * SHA256_BYTES + 1], pin[SECTION_MAX] = "", more[32] = "";
    hex_format(content, SHA256_BYTES, hex);
    if (serial)
        snprintf(pin, sizeof pin, "  serial: %llu\n  content: %s\n", (unsigned long long)serial,
                 hex);
    if (offset)
        snprintf(more, sizeof more, "  offset: %u\n", (unsigned)offset);
    if (serial || offset)
        return arena_printf(&c->arena, "zone_serial: # of fe.D\n%s%s", pin, more);
    return "";
}

static int parse(const struct buf *text, const char *path, struct diag *diag, struct topology **out)
{
    if (text->err)
        return text->err;
    return topology_parse(text->p, text->n, path, diag, out);
}

// A pin that does not hold is of no use, and would be wrong if its content came back.
static int renew_pin(struct cli *c, struct buf *text, const char *path, struct diag *diag,
                     struct topology **t)
{
    const struct zone_serial *s = &(*t)->frame->serial;
    AUTO_BUF struct buf again;
    buf_init(&again, 0);
    if (!s->pin || frontend_pinned(*t))
        return 0;
    const struct edit_section pin = {"zone_serial",
                                     edit_zone_serial(c, (*t)->version, s->content, s->offset)};
    if (!pin.text)
        return ERR_NOMEM;
    edit_sections(buf_cstr(text), &pin, 1, 0, &again);
    snapshot_unref(*t);
    *t = NULL;
    int rc = parse(&again, path, diag, t);
    buf_clear(text);
    buf_add(text, again.p, again.n);
    if (rc)
        return rc;
    return text->err;
}

bool edit_allowed(const struct cli *c, const struct buf *text)
{
    const struct topology *t = c->topo;
    if (compiled_is(text->p, text->n))
        cli_complain("%s is compiled; rewrite the document that it comes from", c->topology);
    else if (t->version != t->frame->version)
        cli_complain(
            "%s.changes goes up to version %llu, and what it says would be lost under a new "
            "document: write it "
            "into %s first, with a version above that",
            c->topology, (unsigned long long)t->version, c->topology);
    else
        return true;
    return false;
}

// `now` as a node would read it.
static int judge(struct cli *c, struct buf *now, const char *what,
                 bool (*holds)(const struct topology *t, const void *ctx), const void *ctx,
                 struct diag *diag, struct topology **out)
{
    const char *path = edit_name(c);
    struct topology *t = NULL;
    int64_t again_s;
    int rc = parse(now, path, diag, &t);
    if (!rc)
        rc = renew_pin(c, now, path, diag, &t);
    if (!rc && (t->version != c->topo->version + 1 || !holds(t, ctx))) {
        diag_add(diag, path, 0, "version and %s must stand at the margin, each on lines of its own",
                 what);
        rc = ERR_INVAL;
    }
    if (!rc &&
        !successor_ok(c->topo, t, bytes_of(now->p, now->n), clock_wall_ms() / 1000, diag, &again_s))
        rc = ERR_INVAL;
    *out = t;
    return rc;
}

// ---- to the writer ----

static int ask_writer(struct cli *c, json_t *arguments)
{
    json_t *answer = NULL, *what_if;
    if (c->if_version && (uint64_t)c->if_version != c->topo->version) {
        json_decref(arguments);
        return cli_fail(EXIT_CONFLICT, "%s: version %llu is in force, not %lld", c->path,
                        (unsigned long long)c->topo->version, (long long)c->if_version);
    }
    c->if_version = (int64_t)c->topo->version; // what was read is what is rewritten
    json_object_set_new(arguments, "from", json_integer((json_int_t)c->topo->version));
    json_object_set_new(arguments, "force", json_string("file"));
    int rc = cli_request_answer(
        c, &(struct request){.verb = "topology apply", .object = "", .arguments = arguments},
        &answer);
    what_if = json_object_get(answer, "whatIf");
    if (c->what_if && what_if)
        what_if_show(c, what_if);
    json_decref(answer);
    return rc;
}

// A document that is applied and has no such section says nothing about it.
static int refuse_removal(const struct cli *c, const char *section)
{
    return cli_fail(EXIT_FAILED,
                    "%s: the section %s cannot be taken out of what a fleet has in force", c->path,
                    section);
}

static int send_document(struct cli *c, const struct topology *t, const char *what)
{
    struct document_diff d = {0};
    AUTO_BUF struct buf change;
    size_t next = 0;
    buf_init(&change, CHANGE_MAX_BYTES);
    int rc = document_diff(c->topo, t, &d);
    json_t *arguments = json_object();
    if (!rc && document_diff_rows(&d))
        rc = document_diff_part(&d, 0, CHANGE_MAX_BYTES, &change, &next);
    if (!rc && d.frame)
        json_object_set_new(arguments, "frame", json_stringn(t->frame->text, t->frame->text_n));
    if (!rc && change.n)
        json_object_set_new(arguments, "change", json_stringn(change.p, change.n));
    document_diff_done(&d);
    if (!rc && json_object_size(arguments))
        return ask_writer(c, arguments);
    json_decref(arguments);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(rc));
    return refuse_removal(c, what);
}

// ---- writing ----

static int write_file(struct cli *c, const struct buf *now)
{
    const char *path = c->topology;
    struct stat st;
    unsigned long long version = c->topo->version + 1;
    if (c->what_if)
        return cli_fail(EXIT_CHANGES, "%s would be version %llu", path, version);
    int rc = file_write_atomic(path, now->p, now->n, stat(path, &st) ? 0644 : st.st_mode & 0777);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", path, err_text(rc));
    fprintf(stderr, "%s: version %llu; copy it to the nodes\n", path, version);
    return EXIT_DONE;
}

static int commit(struct cli *c, struct buf *now, const char *what,
                  bool (*holds)(const struct topology *t, const void *ctx), const void *ctx)
{
    struct topology *t = NULL;
    struct diag diag;
    diag_init(&diag);
    int rc = judge(c, now, what, holds, ctx, &diag, &t);
    diag_print(&diag, stderr);
    diag_done(&diag);
    if (rc)
        rc = cli_fail(EXIT_FAILED, "%s is left as it was: %s", edit_name(c), err_text(rc));
    else if (c->from_node)
        rc = send_document(c, t, what);
    else
        rc = write_file(c, now);
    snapshot_unref(t);
    return rc;
}

int edit_commit_text(struct cli *c, const struct buf *now, const char *what,
                     bool (*holds)(const struct topology *t, const void *ctx), const void *ctx)
{
    AUTO_BUF struct buf own;
    buf_init(&own, 0);
    buf_add(&own, now->p, now->n);
    return commit(c, &own, what, holds, ctx);
}

static int read_document(struct cli *c, struct buf *out)
{
    if (c->from_node) {
        buf_str(out, c->document);
        return EXIT_DONE;
    }
    int rc = file_read(c->topology, TOPOLOGY_MAX_BYTES, out);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", c->topology, err_text(rc));
    if (!edit_allowed(c, out))
        return EXIT_FAILED;
    return EXIT_DONE;
}

int edit_commit(struct cli *c, const struct edit_section *list, size_t n,
                bool (*holds)(const struct topology *t, const void *ctx), const void *ctx)
{
    AUTO_BUF struct buf was, now;
    buf_init(&was, 0);
    buf_init(&now, 0);
    int rc = read_document(c, &was);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && c->from_node; i++)
        if (!*list[i].text)
            return refuse_removal(c, list[i].key);
    edit_sections(buf_cstr(&was), list, n, c->topo->version + 1, &now);
    return commit(c, &now, list[0].key, holds, ctx);
}
