// SPDX-License-Identifier: Apache-2.0
// Files of changes, as the command line reads and writes them; see changes.h. A running node
// follows its own with control/topology_watcher.c.
#include "control/changes.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/document.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 30)

static int count_lines(const char *text, size_t n)
{
    int lines = 0;
    for (const char *p = text, *end = text + n; p < end && (p = memchr(p, '\n', (size_t)(end - p)));
         p++)
        lines++;
    return lines;
}

static int apply_all(const char *file, struct buf *text, struct diag *diag, struct topology **t,
                     size_t *out_applied)
{
    struct changer *c = changer_new();
    size_t at = 0, n;
    int line = 1, rc = c ? 0 : ERR_NOMEM;
    *out_applied = 0;
    while (!rc && (n = change_whole(buf_cstr(text) + at, text->n - at))) {
        struct topology *next = NULL;
        rc = changer_apply(c, *t, text->p + at, n, file, line, diag, &next);
        if (!rc) {
            snapshot_unref(*t);
            *t = next;
            ++*out_applied;
        }
        if (rc != ERR_NOMEM)
            rc = 0;
        line += count_lines(text->p + at, n);
        at += n;
    }
    changer_free(c);
    return rc;
}

int changes_load(const char *path, struct diag *diag, struct topology **t, size_t *out_applied)
{
    AUTO_BUF struct buf text;
    AUTO_FREE char *file = mem_printf("%s.changes", path);
    buf_init(&text, 0);
    int rc = ERR_NOMEM;
    if (file)
        rc = file_read(file, FILE_MAX, &text);
    *out_applied = 0;
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        diag_add(diag, file, 0, "cannot be read: %s", err_text(rc));
    if (rc)
        return rc;
    return apply_all(file, &text, diag, t, out_applied);
}

// The document as it is appended: with its version in front if it has none, and the line that ends
// it, if it has not.
static int with_version(const char *text, size_t n, uint64_t version, struct buf *out)
{
    struct arena a;
    struct doc_node *root;
    arena_init(&a, 0);
    int rc = doc_parse(text, n, "", &a, NULL, &root);
    if (!rc && !doc_get(root, "version") && root->kind == DOC_MAP)
        buf_printf(out, "version: %llu\n", (unsigned long long)version);
    arena_done(&a);
    buf_add(out, text, n);
    if (n && text[n - 1] != '\n')
        buf_str(out, "\n");
    if (!change_whole(text, n))
        buf_str(out, "...\n");
    return out->err; // what is wrong with it is said when it is applied
}

// A torn end is what a writer left that died: no reader has taken it, and none may.
static int cut_torn_end(int fd, const struct buf *now)
{
    size_t whole = 0, n;
    while ((n = change_whole(buf_cstr(now) + whole, now->n - whole)))
        whole += n;
    if (whole == now->n || !ftruncate(fd, (off_t)whole))
        return 0;
    return err_from_errno(errno);
}

static int append_durably(int fd, const struct buf *doc, const char *file)
{
    AUTO_FREE char *dir = mem_strdup(file);
    char *slash = NULL;
    if (dir)
        slash = strrchr(dir, '/');
    int rc = ERR_NOMEM;
    if (dir)
        rc = 0;
    if (!rc && lseek(fd, 0, SEEK_END) < 0)
        rc = err_from_errno(errno);
    // in one write: readers see it whole or torn at its end
    if (!rc)
        rc = fd_write_all(fd, doc->p, doc->n);
    if (!rc && fsync(fd))
        rc = err_from_errno(errno);
    if (slash)
        *slash = 0;
    if (rc)
        return rc;
    return dir_sync(!slash ? "." : *dir ? dir : "/");
}

static int append_locked(int fd, const char *path, const char *file, const char *text, size_t n,
                         const char *source, struct diag *diag, uint64_t *out_version)
{
    AUTO_BUF struct buf now, doc;
    struct topology *t = NULL, *next = NULL;
    struct changer *c = NULL;
    size_t applied;
    buf_init(&now, 0);
    buf_init(&doc, 0);
    int rc = file_read(file, FILE_MAX, &now);
    if (!rc)
        rc = topology_load(path, diag, &t);
    assert(rc || t);
    if (!rc)
        rc = apply_all(file, &now, NULL, &t, &applied);
    if (!rc)
        rc = with_version(text, n, t->version + 1, &doc);
    if (!rc) {
        c = changer_new();
        bool filled = doc.n > n && memcmp(doc.p, text, n < 8 ? n : 8) != 0;
        if (c)
            rc = changer_apply(c, t, doc.p, doc.n, source, filled ? 0 : 1, diag, &next);
        else
            rc = ERR_NOMEM;
    }
    if (rc == ERR_BUSY) // it will do later, but only what holds now is appended
        rc = ERR_INVAL;
    if (rc == ERR_EXISTS && t)
        diag_add(diag, source, 0, "its version is not higher than %llu, which it would follow",
                 (unsigned long long)t->version);
    if (!rc)
        rc = cut_torn_end(fd, &now);
    if (!rc)
        rc = append_durably(fd, &doc, file);
    if (!rc)
        *out_version = next->version;
    else if (!diag_count(diag))
        diag_add(diag, file, 0, "%s", err_text(rc));
    changer_free(c);
    snapshot_unref(next);
    snapshot_unref(t);
    return rc;
}

int changes_append(const char *path, const char *text, size_t n, const char *source,
                   struct diag *diag, uint64_t *out_version)
{
    AUTO_FREE char *file = mem_printf("%s.changes", path);
    size_t whole = change_whole(text, n);
    if (!file)
        return ERR_NOMEM;
    if (whole && whole < n) {
        diag_add(diag, source, count_lines(text, whole),
                 "one change at a time: more follows the line that ends it");
        return ERR_INVAL;
    }
    struct stat st;
    // whoever reads the topology reads its changes
    mode_t mode = 0640;
    if (!stat(path, &st))
        mode = st.st_mode & 0666;
    AUTO_CLOSE int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, mode) || flock(fd, LOCK_EX)) {
        int rc = err_from_errno(errno);
        diag_add(diag, file, 0, "cannot be opened: %s", err_text(rc));
        return rc;
    }
    return append_locked(fd, path, file, text, n, source, diag, out_version);
}
