// SPDX-License-Identifier: Apache-2.0
// `meridian backup`, on a node beside its daemon, and `meridian restore`, on a node that is stopped.
// Both work as the daemon's user on the folders themselves, and ask no daemon: so a backup can be made
// where the daemon does not start, and goes on over its restarts (backup/backup.h says why it is
// sound).
#include "backup/backup.h"
#include "cli/cli.h"
#include "cli/node_user.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int status_of(int rc)
{
    switch (rc) {
    case 0:
        return EXIT_DONE;
    case ERR_NOSPACE:
        return EXIT_NO_SPACE;
    case ERR_NOTFOUND:
        return EXIT_UNKNOWN;
    case ERR_CONFLICT:
    case ERR_EXISTS:
    case ERR_BUSY:
        return EXIT_CONFLICT;
    default:
        return EXIT_FAILED;
    }
}

static int said(struct cli *c, int rc, struct diag *d)
{
    for (size_t i = 0; i < d->n; i++)
        cli_complain("%s: %s", c->path, d->lines[i]);
    if (d->n_dropped)
        cli_complain("%s: and %zu more", c->path, d->n_dropped);
    diag_done(d);
    return status_of(rc);
}

static json_t *place_json(const struct sqlite_place *p)
{
    return json_pack("{s:s, s:I, s:I}", "origin", p->origin, "epoch", (json_int_t)p->epoch, "seq",
                     (json_int_t)p->seq);
}

static json_t *read_json(const struct sqlite_facts *x)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < x->n_read; i++)
        json_array_append_new(list, place_json(&x->read[i]));
    return list;
}

static json_t *missing_json(const struct backup_form *f)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < f->n_missing; i++) {
        char text[DIGEST_TEXT_SIZE];
        json_array_append_new(list, json_string(digest_format(&f->missing[i], text)));
    }
    return list;
}

static json_t *report_json(const char *dir, const struct backup_report *r)
{
    const struct sqlite_facts *x = &r->form.facts;
    char at[CLOCK_TEXT_SIZE];
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:b}", "folder",
        dir, "region", x->region, "at", clock_format_s(r->form.at_ms / 1000, at), "program",
        r->form.program, "schema", (json_int_t)x->schema, "epoch", (json_int_t)x->epoch, "head",
        place_json(&x->head), "read", read_json(x), "repositories", (json_int_t)x->n_repositories,
        "manifests", (json_int_t)x->n_manifests, "tags", (json_int_t)x->n_tags, "blobs",
        (json_int_t)x->n_blobs, "blobBytes", (json_int_t)x->blob_bytes, "missing",
        missing_json(&r->form), "keys", (int)r->form.keys);
}

static const char *missing_text(struct cli *c, const struct backup_form *f)
{
    if (!f->n_missing)
        return "";
    return arena_printf(&c->arena,
                        "; %zu blobs that the region has lost are not in it (-o json names them): "
                        "other regions may have them",
                        f->n_missing);
}

// --- backup ---

static int backup_folders(struct cli *c, const struct node *n, const char *dir)
{
    struct node_user u;
    int rc = node_user_find(c, n, &u);
    if (!rc)
        rc = node_user_dir(c, &u, dir);
    if (!rc)
        rc = node_user_become(c, &u);
    if (!rc && access(dir, F_OK) && errno != ENOENT)
        rc = cli_fail(EXIT_FAILED,
                      "%s: the daemon's user cannot come to it (%s): choose a folder whose parents "
                      "all may pass through",
                      dir, strerror(errno));
    return rc;
}

static int backup_now(struct cli *c, const struct node *n, struct backup_want *w)
{
    struct diag d;
    struct backup_report r;
    int rc = backup_folders(c, n, w->dir);
    if (rc)
        return rc;
    w->data_dir = n->data_dir;
    w->region = n->region;
    diag_init(&d);
    rc = said(c, backup_take(w, &c->arena, &d, &r), &d);
    if (rc)
        return rc;
    json_t *doc = report_json(w->dir, &r);
    if (doc)
        json_object_update_new(
            doc, json_pack("{s:I, s:I, s:I, s:I}", "newBlobs", (json_int_t)r.n_new, "newBytes",
                           (json_int_t)r.new_bytes, "linkedBlobs", (json_int_t)r.n_linked,
                           "readBlobs", (json_int_t)r.n_read));
    return cli_done(c, doc,
                    "%s: backup of %s, whole: %" PRIu64 " tags, %" PRIu64 " manifests, %" PRIu64
                    " blobs (%" PRIu64 " new, %" PRIu64 " of them linked, %" PRIu64
                    " bytes); to entry %" PRIu64 " of epoch %" PRIu64 "%s",
                    w->dir, n->region, r.form.facts.n_tags, r.form.facts.n_manifests,
                    r.form.facts.n_blobs, r.n_new, r.n_linked, r.new_bytes, r.form.facts.head.seq,
                    r.form.facts.head.epoch, missing_text(c, &r.form));
}

static int verify_now(struct cli *c, const char *dir, bool sizes)
{
    struct diag d;
    struct backup_report r = {0};
    diag_init(&d);
    int rc = said(c, backup_verify(dir, !sizes, &c->arena, &d, &r), &d);
    if (rc)
        return rc;
    json_t *doc = report_json(dir, &r);
    if (doc)
        json_object_set_new(doc, "readBlobs", json_integer((json_int_t)r.n_read));
    char at[CLOCK_TEXT_SIZE];
    return cli_done(c, doc, "%s: backup of %s of %s is whole: %" PRIu64 " blobs, %s%s", dir,
                    r.form.facts.region, clock_format_s(r.form.at_ms / 1000, at), r.n_kept,
                    sizes ? "by their sizes" : "each read and held against its digest",
                    missing_text(c, &r.form));
}

int cmd_backup(struct cli *c, int argc, char **argv)
{
    struct backup_want w = {0};
    const char *node = NODE_SETTINGS_DEFAULT;
    bool sizes = false;
    const struct opt rows[] = {
        {0, "to", "DIR", "the folder of the backup: one of before gets what is new", &w.dir},
        {0, "verify", NULL, "read all blobs of the backup, and hold them against their digests",
         NULL, &w.verify},
        {0, "copy", NULL, "copy blobs also where a hard link could be made", NULL, &w.copy},
        {0, "with-keys", NULL, "keys/ and certs/ too: who has the backup is then the region", NULL,
         &w.with_keys},
        {0, "sizes", NULL, "of verify: hold blobs against their sizes only, and read none", NULL,
         &sizes},
        {0, "node", "FILE", "the node's settings (default " NODE_SETTINGS_DEFAULT ")", &node}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    struct node *n = NULL;
    if (rc)
        return rc;
    if (argc == 3 && !strcmp(argv[1], "verify") && !w.dir)
        return verify_now(c, argv[2], sizes);
    if (argc != 1 || !w.dir || sizes)
        return cli_fail(EXIT_USAGE, "backup: give --to DIR, or verify DIR");
    rc = node_user_settings(c, node, &n);
    if (!rc)
        rc = backup_now(c, n, &w);
    node_free(n);
    return rc;
}

// --- restore ---

// As root, before anything else: nobody runs there, and the folders are the daemon's.
static int restore_folders(struct cli *c, const struct node *n, const struct node_user *u,
                           int *out_lock)
{
    static const char *const names[] = {"meta", "store", "state", "keys", "certs"};
    if (mkdir(n->data_dir, 0711) && errno != EEXIST)
        return cli_fail(EXIT_FAILED, "%s: cannot be made: %s", n->data_dir, strerror(errno));
    const char *lock = arena_printf(&c->arena, "%s/lock", n->data_dir);
    *out_lock = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*out_lock < 0)
        return cli_fail(EXIT_FAILED, "%s: cannot be opened: %s", lock, strerror(errno));
    if (flock(*out_lock, LOCK_EX | LOCK_NB))
        return cli_fail(EXIT_CONFLICT, "%s: a daemon runs there: stop it first", n->data_dir);
    for (size_t i = 0; i < ARRAY_LEN(names) && u->switches; i++) {
        int rc = node_user_dir(c, u, arena_printf(&c->arena, "%s/%s", n->data_dir, names[i]));
        if (rc)
            return rc;
    }
    return EXIT_DONE;
}

static int restore_say(struct cli *c, const struct restore_want *w, const struct backup_report *r)
{
    char at[CLOCK_TEXT_SIZE];
    json_t *doc = report_json(w->dir, r);
    if (doc)
        json_object_update_new(doc, json_pack("{s:s, s:I, s:b}", "dataDir", w->data_dir,
                                              "restoredBlobs", (json_int_t)(r->n_new + r->n_left),
                                              "keysLeft", (int)r->keys_left));
    return cli_done(c, doc,
                    "%s: restored %s as of %s, entry %" PRIu64 " of epoch %" PRIu64 ": %" PRIu64
                    " blobs%s%s. Start the daemon: it asks the other regions, takes back what they "
                    "have of later "
                    "writes of its own, and takes writes in a new epoch; what it wrote after that "
                    "moment and no "
                    "other region had read is lost",
                    w->data_dir, w->region, clock_format_s(r->form.at_ms / 1000, at),
                    r->form.facts.head.seq, r->form.facts.head.epoch, r->n_new + r->n_left,
                    r->keys_left ? "; keys that were there stayed" : "", missing_text(c, &r->form));
}

static int restore_now(struct cli *c, const struct node *n, struct restore_want *w)
{
    struct node_user u;
    struct diag d;
    struct backup_report r;
    AUTO_CLOSE int lock = -1;
    int rc = node_user_find(c, n, &u);
    if (!rc)
        rc = restore_folders(c, n, &u, &lock);
    if (!rc)
        rc = node_user_become(c, &u);
    if (rc)
        return rc;
    w->data_dir = n->data_dir;
    w->region = n->region;
    w->edge_gid = u.edge_gid;
    diag_init(&d);
    rc = said(c, backup_restore(w, &c->arena, &d, &r), &d);
    if (rc)
        return rc;
    return restore_say(c, w, &r);
}

int cmd_restore(struct cli *c, int argc, char **argv)
{
    struct restore_want w = {0};
    const char *node = NODE_SETTINGS_DEFAULT;
    const struct opt rows[] = {
        {0, "from", "DIR", "the folder of the backup", &w.dir},
        {0, "verify", NULL, "read all blobs of the backup first", NULL, &w.verify},
        {0, "copy", NULL, "copy blobs also where a hard link could be made", NULL, &w.copy},
        {0, "node", "FILE", "the node's settings (default " NODE_SETTINGS_DEFAULT ")", &node}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    struct node *n = NULL;
    if (rc)
        return rc;
    if (!w.dir)
        return cli_fail(EXIT_USAGE, "restore: give --from DIR");
    rc = node_user_settings(c, node, &n);
    if (!rc)
        rc = restore_now(c, n, &w);
    node_free(n);
    return rc;
}
