// SPDX-License-Identifier: Apache-2.0
// Files of changes; see changes_file.h.
#include "control/changes_file.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/document.h"
#include "config/reserved.h"
#include "control/change.h"
#include "control/change_number.h"
#include "control/changer.h"
#include "control/topology_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 30)

static bool ends_document(const char *line, size_t n)
{
    if (n == 4 && line[3] == '\r')
        n = 3;
    return n == 3 && !memcmp(line, "...", 3);
}

size_t change_whole(const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        if (!end)
            return 0;
        size_t line = (size_t)(end - text) - at;
        if (ends_document(text + at, line))
            return at + line + 1;
        at += line + 1;
    }
    return 0;
}

// ---- reading ----

static int apply_all(const char *file, struct buf *text, struct diag *diag, struct topology **t,
                     size_t *out_applied)
{
    struct changer *c = changer_new();
    size_t at = 0, n;
    int line = 1;
    *out_applied = 0;
    if (!c)
        return ERR_NOMEM;
    while ((n = change_whole(buf_cstr(text) + at, text->n - at))) {
        struct topology *next = NULL;
        int rc = changer_apply(c, *t, text->p + at, n, file, line, diag, &next);
        if (rc == ERR_NOMEM) {
            changer_free(c);
            return rc;
        }
        if (!rc) {
            snapshot_unref(*t);
            *t = next;
            ++*out_applied;
        }
        line += (int)bytes_lines(text->p + at, n);
        at += n;
    }
    changer_free(c);
    return 0;
}

int changes_load(const char *path, struct diag *diag, struct topology **t, size_t *out_applied)
{
    AUTO_BUF struct buf text;
    AUTO_FREE char *file = mem_printf("%s.changes", path);
    buf_init(&text, 0);
    *out_applied = 0;
    if (!file)
        return ERR_NOMEM;
    int rc = file_read(file, FILE_MAX, &text);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc) {
        diag_add(diag, file, 0, "cannot be read: %s", err_text(rc));
        return rc;
    }
    return apply_all(file, &text, diag, t, out_applied);
}

// ---- appending ----

// Does what it does hang on the time, and it does not say when it was made? Nodes judge reserved
// names by that, each else by its own clock.
static bool lacks_time(const char *text, size_t n, const struct topology *t)
{
    struct arena a;
    struct doc_node *root;
    bool lacks = false;
    arena_init(&a, 0);
    if (!doc_parse(text, n, "", &a, NULL, &root) && root->kind == DOC_MAP)
        lacks = !doc_get(root, "time") && (topology_reserved_count(t) || doc_get(root, "reserve"));
    arena_done(&a);
    return lacks;
}

// The document as it is appended after `t`: numbered, with its time, and with the line that ends it,
// if it has not. *out_front: lines that were added in front.
static int completed(const char *text, size_t n, const struct topology *t, struct buf *out,
                     int *out_front)
{
    char now[CLOCK_TEXT_SIZE];
    bool time = lacks_time(text, n, t);
    if (time)
        buf_printf(out, "time: \"%s\"\n", clock_format_s(clock_wall_ms() / 1000, now));
    int rc = change_number(text, n, t->version + 1, t, out, out_front);
    if (rc)
        return rc;
    *out_front += time;
    if (n && text[n - 1] != '\n')
        buf_str(out, "\n");
    if (!change_whole(text, n))
        buf_str(out, "...\n");
    return out->err;
}

// A torn end is what a writer left that died: no reader has taken it, and none may.
static int cut_torn_end(int fd, const struct buf *now)
{
    size_t whole = 0, n;
    while ((n = change_whole(buf_cstr(now) + whole, now->n - whole)))
        whole += n;
    if (whole == now->n)
        return 0;
    if (ftruncate(fd, (off_t)whole))
        return err_from_errno(errno);
    return 0;
}

// Its directory (heap); NULL: out of memory.
static char *dir_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    if (!slash)
        return mem_strdup(".");
    if (slash == file)
        return mem_strdup("/");
    return mem_strndup(file, (size_t)(slash - file));
}

static int append_durably(int fd, const struct buf *doc, const char *file)
{
    AUTO_FREE char *dir = dir_of(file);
    if (!dir)
        return ERR_NOMEM;
    if (lseek(fd, 0, SEEK_END) < 0)
        return err_from_errno(errno);
    // in one write: readers see it whole or torn at its end
    int rc = fd_write_all(fd, doc->p, doc->n);
    if (rc)
        return rc;
    if (fsync(fd))
        return err_from_errno(errno);
    return dir_sync(dir);
}

struct appending {
    // the topology's, and that of the changes
    const char *path, *file;
    uint64_t expected;
    // what is proposed, and where it is from
    const char *text, *source;
    size_t n;
    struct diag *diag;
};

// May `doc` (of a->text, `front` lines further down, and as it would be appended) follow `t`?
static int judge(const struct appending *a, const struct topology *t, const struct buf *doc,
                 int front, uint64_t *out_version)
{
    struct changer *c = changer_new();
    struct topology *next = NULL;
    if (!c)
        return ERR_NOMEM;
    int rc = changer_apply(c, t, doc->p, doc->n, a->source, 1 - front, a->diag, &next);
    changer_free(c);
    if (rc == ERR_BUSY) // only what holds now is appended
        rc = ERR_INVAL;
    if (rc == ERR_EXISTS)
        diag_add(a->diag, a->source, 0,
                 "its version is not higher than %llu, which it would follow",
                 (unsigned long long)t->version);
    if (!rc)
        *out_version = next->version;
    snapshot_unref(next);
    return rc;
}

// Under the file's lock. *t: what is in force, also when this fails.
static int append_to(const struct appending *a, int fd, struct topology **t, uint64_t *out_version)
{
    AUTO_BUF struct buf now, doc;
    size_t applied;
    buf_init(&now, 0);
    buf_init(&doc, 0);
    int rc = file_read(a->file, FILE_MAX, &now);
    if (!rc)
        rc = topology_file_load(a->path, a->diag, t);
    if (!rc)
        rc = apply_all(a->file, &now, NULL, t, &applied);
    if (rc)
        return rc;
    if (a->expected && (*t)->version != a->expected) {
        diag_add(a->diag, a->source, 0, "version %llu is in force, not %llu, which it would follow",
                 (unsigned long long)(*t)->version, (unsigned long long)a->expected);
        return ERR_CONFLICT;
    }
    int front;
    rc = completed(a->text, a->n, *t, &doc, &front);
    uint64_t version = 0;
    if (!rc)
        rc = judge(a, *t, &doc, front, &version);
    if (!rc)
        rc = cut_torn_end(fd, &now);
    if (!rc)
        rc = append_durably(fd, &doc, a->file);
    if (!rc)
        *out_version = version;
    return rc;
}

int changes_append(const char *path, uint64_t expected, const char *text, size_t n,
                   const char *source, struct diag *diag, uint64_t *out_version)
{
    AUTO_FREE char *file = mem_printf("%s.changes", path);
    size_t whole = change_whole(text, n);
    if (!file)
        return ERR_NOMEM;
    if (whole && whole < n) {
        diag_add(diag, source, (int)bytes_lines(text, whole),
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
    const struct appending a = {path, file, expected, text, source, n, diag};
    struct topology *t = NULL;
    int rc = append_to(&a, fd, &t, out_version);
    if (rc && !diag_count(diag))
        diag_add(diag, file, 0, "%s", err_text(rc));
    snapshot_unref(t);
    return rc;
}
