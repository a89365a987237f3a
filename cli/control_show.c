// SPDX-License-Identifier: Apache-2.0
// See control_show.h.
#include "cli/control_show.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/plain.h"
#include "cli/text_diff.h"
#include "config/document.h"
#include "control/entry.h"

#include <stdio.h>
#include <string.h>

// Who writes by that frame, and by which keys: what a takeover is about.
static int show_writer(struct bytes frame, struct arena *a, struct diag *d)
{
    struct doc_node *root;
    int rc = doc_parse((const char *)frame.p, frame.n, "the frame", a, d, &root);
    if (rc)
        return rc;
    const struct doc_node *writer = doc_get(doc_get(root, "control"), "writer");
    if (!writer || writer->kind != DOC_SCALAR)
        return ERR_INVAL;
    const struct doc_node *keys =
        doc_get(doc_get(doc_get(root, "identities"), writer->text), "control_keys");
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "signing: region %.64s writes, by", writer->text);
    for (const struct doc_node *v = keys ? keys->child : NULL; v; v = v->next) {
        const struct doc_node *id = doc_get(v, "id");
        buf_printf(&text, " %.64s", id && id->kind == DOC_SCALAR ? id->text : "?");
    }
    if (text.err)
        return text.err;
    text_plain((char *)text.p, text.n);
    fprintf(stderr, "%s\n", buf_cstr(&text));
    return 0;
}

// Without the line of its version, which differs in any two.
static char *without_version(const char *text, size_t n)
{
    static const char version[] = "version:";
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = n - at;
        if (end)
            len = (size_t)(end - (text + at)) + 1;
        if (len < sizeof version || memcmp(text + at, version, sizeof version - 1) != 0)
            buf_add(&out, text + at, len);
        at += len;
    }
    if (out.err)
        return NULL;
    return mem_strdup(buf_cstr(&out));
}

static int show_changes(struct bytes frame, const struct topology *before)
{
    if (!before || !before->frame->text) {
        fprintf(stderr,
                "signing: what else its frame changes is not shown: there is no topology to "
                "compare it with (--against)\n");
        return 0;
    }
    AUTO_FREE char *was = without_version(before->frame->text, before->frame->text_n);
    AUTO_FREE char *is = without_version((const char *)frame.p, frame.n);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (!was || !is)
        return ERR_NOMEM;
    if (!strcmp(was, is)) {
        fprintf(stderr, "signing: its frame changes nothing\n");
        return 0;
    }
    int rc = text_diff(&text, "frame", was, is);
    if (rc)
        return rc;
    text_plain_lines((char *)text.p, text.n); // a document is no command for a terminal
    fprintf(stderr, "signing: what its frame changes\n%s", buf_cstr(&text));
    return 0;
}

bool control_has_frame(const char *line)
{
    struct arena a;
    struct control_entry e;
    arena_init(&a, 0);
    bool has = !control_entry_parse(bytes_str(line), &a, NULL, &e) &&
               e.body.kind == CONTROL_TAKEOVER && e.body.frame.n;
    arena_done(&a);
    return has;
}

int control_show(const char *line, const struct topology *before, struct diag *d)
{
    struct arena a;
    struct control_entry e;
    arena_init(&a, 0);
    int rc = control_entry_parse(bytes_str(line), &a, d, &e);
    if (!rc)
        fprintf(stderr,
                "signing: %s, epoch %llu, entry %llu, which makes version %llu of the topology\n",
                control_kind_name(e.body.kind), (unsigned long long)e.place.epoch,
                (unsigned long long)e.place.seq, (unsigned long long)e.body.topology);
    if (!rc && e.body.kind == CONTROL_TAKEOVER && e.body.frame.n) {
        rc = show_writer(e.body.frame, &a, d);
        if (!rc)
            rc = show_changes(e.body.frame, before);
    }
    arena_done(&a);
    return rc;
}
