// SPDX-License-Identifier: Apache-2.0
// The topology's text rewritten; see edit.h.
#include "cli/edit.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/frontend.h"
#include "control/compiled.h"
#include "control/successor.h"

#include <string.h>
#include <sys/stat.h>

#define SECTION_MAX 512

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
                 struct diag *diag)
{
    const char *path = c->topology;
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
    snapshot_unref(t);
    return rc;
}

static int commit(struct cli *c, struct buf *now, const char *what,
                  bool (*holds)(const struct topology *t, const void *ctx), const void *ctx)
{
    const char *path = c->topology;
    struct diag diag;
    struct stat st;
    diag_init(&diag);
    int rc = judge(c, now, what, holds, ctx, &diag);
    if (!rc)
        rc = file_write_atomic(path, now->p, now->n, stat(path, &st) ? 0644 : st.st_mode & 0777);
    diag_print(&diag, stderr);
    diag_done(&diag);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", path, err_text(rc));
    fprintf(stderr, "%s: version %llu; copy it to the nodes\n", path,
            (unsigned long long)c->topo->version + 1);
    return EXIT_DONE;
}

int edit_commit_text(struct cli *c, const struct buf *now, const char *what,
                     bool (*holds)(const struct topology *t, const void *ctx), const void *ctx)
{
    AUTO_BUF struct buf own;
    buf_init(&own, 0);
    buf_add(&own, now->p, now->n);
    return commit(c, &own, what, holds, ctx);
}

int edit_commit(struct cli *c, const struct edit_section *list, size_t n,
                bool (*holds)(const struct topology *t, const void *ctx), const void *ctx)
{
    AUTO_BUF struct buf was, now;
    buf_init(&was, 0);
    buf_init(&now, 0);
    int rc = file_read(c->topology, TOPOLOGY_MAX_BYTES, &was);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", c->topology, err_text(rc));
    if (!edit_allowed(c, &was))
        return EXIT_FAILED;
    edit_sections(buf_cstr(&was), list, n, c->topo->version + 1, &now);
    return commit(c, &now, list[0].key, holds, ctx);
}
