// SPDX-License-Identifier: Apache-2.0
// What lies on the node's disk: settings, certificates, the audit log; and systemd's journal. See
// bundle.h. Each is written anew from what it was parsed into.
#include "cli/bundle.h"

#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/certs.h"
#include "config/options.h"

#include <string.h>

#define SETTINGS_PART "settings.yaml"
#define CERTIFICATES_PART "certificate-files.json"
#define AUDIT_PART "log/audit.jsonl"
#define JOURNAL_PART "log/journal.txt"
#define PEM_BYTES_MAX (256u << 10)
#define AUDIT_BYTES_MAX (1u << 20)
#define AUDIT_LINES_MAX 500
#define JOURNAL_BYTES_MAX (4u << 20)
#define JOURNAL_LINES "2000"

// ---- settings ----

void bundle_settings_load(struct bundle *b)
{
    struct diag unsaid;
    diag_init(&unsaid);
    int rc = node_load(b->node_path, &unsaid, &b->node);
    diag_done(&unsaid);
    if (rc)
        bundle_lacks(b, SETTINGS_PART,
                     "%s cannot be used: %s (meridiand --check --config %s has all of it; --node "
                     "names another)",
                     b->node_path, err_text(rc), b->node_path);
}

void bundle_settings(struct bundle *b)
{
    AUTO_BUF struct buf out;
    buf_init(&out, BUNDLE_PART_MAX);
    if (b->from_afar)
        bundle_lacks(b, SETTINGS_PART, "the node is on another machine: run this there");
    if (!b->node)
        return;
    buf_printf(&out, "# as %s has it, with defaults\n", b->node_path);
    options_print_values(node_options(), b->node, &out);
    bundle_add_buf(b, SETTINGS_PART, "the node's settings", &out);
}

// ---- certificates ----

static void certificates_of(struct bundle *b, const char *path, bool may_lack, json_t *all)
{
    AUTO_BUF struct buf pem;
    buf_init(&pem, PEM_BYTES_MAX);
    int rc = bundle_read_end(path, PEM_BYTES_MAX, false, &pem);
    if (rc == ERR_NOTFOUND && may_lack)
        return;
    json_t *list = NULL;
    if (!rc)
        list = certs_public_json(bytes_of(pem.p, pem.n));
    if (pem.p)
        explicit_bzero(pem.p, pem.cap);
    if (list)
        json_array_append_new(all, json_pack("{s:s, s:o}", "file", path, "certificates", list));
    else
        bundle_lacks(b, CERTIFICATES_PART, "%s: %s", path, err_text(rc ? rc : ERR_NOMEM));
}

void bundle_certificates(struct bundle *b)
{
    static const struct {
        const char *name;
        bool may_lack;
    } files[] = {{"ca.pem", false},
                 {"region.pem", false},
                 {"shared.pem", false},
                 {"peer.pem", false},
                 {"peer-next.pem", true}};
    if (!b->node)
        return;
    json_t *all = json_array();
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        certificates_of(b,
                        arena_printf(&b->c->arena, "%s/certs/%s", b->node->data_dir, files[i].name),
                        files[i].may_lack, all);
    if (b->node->resolver.certificate)
        certificates_of(b, b->node->resolver.certificate, false, all);
    bundle_add_json(b, CERTIFICATES_PART, "certificates on the disk, without their keys", all);
}

// ---- the audit log ----

// One event with the members that are listed here, and of those only words and numbers; NULL: the
// line is none. "detail" is not among them: it holds what callers from afar have written.
static json_t *event_kept(const char *line, size_t n)
{
    static const char *const members[] = {
        "time",   "what", "outcome", "registry", "repository", "reference", "digest", "principal",
        "client", "code", "why",     "region",   "stamp",      "id",        "n"};
    json_t *event = json_loadb(line, n, 0, NULL);
    json_t *out = NULL;
    if (json_is_object(event))
        out = json_object();
    for (size_t i = 0; out && i < ARRAY_LEN(members); i++) {
        json_t *v = json_object_get(event, members[i]);
        if (json_is_string(v) || json_is_integer(v))
            json_object_set(out, members[i], v);
    }
    json_decref(event);
    return out;
}

// Where the last `max` lines begin.
static const char *last_lines(const struct buf *text, size_t max)
{
    const char *at = text->p + text->n;
    size_t n = 0;
    while (at > text->p) {
        if (at[-1] == '\n' && n++ == max)
            return at;
        at--;
    }
    return at;
}

static void audit_lines(const struct buf *text, struct buf *out)
{
    const char *end = text->p + text->n, *next;
    for (const char *line = last_lines(text, AUDIT_LINES_MAX); line < end; line = next) {
        const char *nl = memchr(line, '\n', (size_t)(end - line));
        next = nl ? nl + 1 : end;
        json_t *kept = event_kept(line, (size_t)((nl ? nl : end) - line));
        if (!kept)
            continue; // torn
        AUTO_FREE char *said = json_dumps(kept, JSON_COMPACT);
        json_decref(kept);
        if (said)
            buf_printf(out, "%s\n", said);
    }
}

static void audit_log(struct bundle *b)
{
    AUTO_BUF struct buf text, out;
    const char *path = b->node->audit_file;
    buf_init(&text, AUDIT_BYTES_MAX);
    buf_init(&out, BUNDLE_PART_MAX);
    if (!b->node->audit)
        return;
    if (!path)
        path = arena_printf(&b->c->arena, "%s/log/audit.log", b->node->data_dir);
    int rc = bundle_read_end(path, AUDIT_BYTES_MAX, false, &text);
    if (rc) {
        bundle_lacks(b, AUDIT_PART, "%s: %s", path, err_text(rc));
        return;
    }
    if (text.n)
        audit_lines(&text, &out);
    bundle_add_buf(b, AUDIT_PART, "the last events of the audit log, without their details", &out);
}

// ---- the journal ----

static void journal(struct bundle *b)
{
    const char *const argv[] = {
        "/usr/bin/journalctl", "--no-pager", "--quiet",           "--unit", b->unit, "--lines",
        JOURNAL_LINES,         "--output",   "short-iso-precise", NULL};
    AUTO_BUF struct buf out;
    buf_init(&out, JOURNAL_BYTES_MAX);
    int rc = bundle_run(argv, JOURNAL_BYTES_MAX, &out);
    if (rc == ERR_NOTFOUND)
        bundle_lacks(b, JOURNAL_PART, "there is no journalctl here: add the daemon's log by hand");
    else if (rc)
        bundle_lacks(b, JOURNAL_PART, "journalctl --unit %s: %s", b->unit, err_text(rc));
    else if (!out.n)
        bundle_lacks(
            b, JOURNAL_PART,
            "the journal has nothing of %s (--unit names another): add the daemon's log by "
            "hand if it goes elsewhere",
            b->unit);
    else
        bundle_add_buf(b, JOURNAL_PART, "the journal of the daemon, nginx and systemd about them",
                       &out);
}

void bundle_logs(struct bundle *b)
{
    if (b->node)
        audit_log(b);
    if (b->from_afar)
        bundle_lacks(b, JOURNAL_PART, "the node is on another machine: run this there");
    else
        journal(b);
}
