// SPDX-License-Identifier: Apache-2.0
// A growing file of changes; see change_log_reader.h.
#include "control/change_log_reader.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/change.h"
#include "control/changes_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (1u << 20)

int change_log_reader_init(struct change_log_reader *f, const char *topology_path)
{
    *f = (struct change_log_reader){.line = 1};
    f->path = mem_printf("%s.changes", topology_path);
    f->changer = changer_new();
    if (f->path && f->changer)
        return 0;
    return ERR_NOMEM;
}

void change_log_reader_done(struct change_log_reader *f)
{
    free(f->path);
    changer_free(f->changer);
    *f = (struct change_log_reader){0};
}

void change_log_reader_rewind(struct change_log_reader *f)
{
    f->at = 0;
    f->line = 1;
}

// What stands from f->at on, up to `max` bytes.
static int read_tail(int fd, const struct change_log_reader *f, size_t max, struct buf *out)
{
    char *p = buf_room(out, max);
    size_t n = 0;
    while (p && n < max) {
        ssize_t got = pread(fd, p + n, max - n, f->at + (off_t)n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_from_errno(errno);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    out->n += n;
    return out->err;
}

static void pass(struct change_log_reader *f, const char *text, size_t n)
{
    f->line += (int)bytes_lines(text, n);
    f->at += (off_t)n;
}

static void tell(const struct diag *from, struct diag *to)
{
    for (size_t i = 0; i < from->n; i++)
        diag_add(to, NULL, 0, "%s", from->lines[i]);
}

// Returns false when memory ended, or it is not its time yet: the document stays unread, and is
// tried again at the next look. What waits for its time is told once.
static bool take_one(struct change_log_reader *f, const char *text, size_t n, struct topology **t,
                     struct diag *diag, size_t *n_taken)
{
    struct topology *next = NULL;
    struct diag why;
    diag_init(&why);
    int rc = changer_apply(f->changer, *t, text, n, f->path, f->line, &why, &next);
    bool stays = rc == ERR_NOMEM || rc == ERR_BUSY,
         told = rc == ERR_BUSY && f->told_at == f->at + 1;
    if (!told)
        tell(&why, diag);
    diag_done(&why);
    if (rc == ERR_BUSY)
        f->told_at = f->at + 1;
    else
        f->told_at = 0;
    if (stays)
        return false;
    pass(f, text, n);
    if (!rc) {
        snapshot_unref(*t);
        *t = next;
        ++*n_taken;
    }
    return true;
}

static size_t take_all(struct change_log_reader *f, const struct buf *text, struct topology **t,
                       struct diag *diag)
{
    size_t at = 0, n, n_taken = 0;
    while ((n = change_whole(buf_cstr(text) + at, text->n - at)) &&
           take_one(f, text->p + at, n, t, diag, &n_taken))
        at += n;
    return n_taken;
}

size_t change_log_reader_look(struct change_log_reader *f, struct topology **t, struct diag *diag,
                              bool *out_more)
{
    struct stat st;
    AUTO_CLOSE int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out_more = false;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st)) {
        diag_add(diag, f->path, 0, "cannot be read: %s", err_text(err_from_errno(errno)));
        return 0;
    }
    if (st.st_dev != f->dev || st.st_ino != f->ino || st.st_size < f->at)
        change_log_reader_rewind(f);
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    if (!S_ISREG(st.st_mode) || st.st_size <= f->at)
        return 0;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    off_t from = f->at;
    int rc = read_tail(fd, f, CHUNK_BYTES, &text);
    if (!rc && text.n == CHUNK_BYTES && !change_whole(text.p, text.n)) { // a large one
        buf_clear(&text);
        rc = read_tail(fd, f, CHANGE_MAX_BYTES + CHUNK_BYTES, &text);
    }
    if (rc) {
        diag_add(diag, f->path, f->line, "cannot be read: %s", err_text(rc));
        return 0;
    }
    if (text.n > CHANGE_MAX_BYTES && !change_whole(text.p, text.n)) {
        diag_add(diag, f->path, f->line,
                 "more than %u bytes without a line `...` that ends them; they are passed over",
                 CHANGE_MAX_BYTES);
        pass(f, text.p, text.n);
    }
    size_t n = take_all(f, &text, t, diag);
    *out_more = f->at > from && f->at < st.st_size;
    return n;
}
