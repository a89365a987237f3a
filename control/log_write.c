// SPDX-License-Identifier: Apache-2.0
// What is written to the control feed on disk; see log.h.
#include "control/log_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t newest(const struct control_log *l)
{
    assert(l->n_segments);
    return l->first_segment + l->n_segments - 1;
}

// ---- owning ----

static int lock_dir(struct control_log *l, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s/lock", l->dir);
    if (!path)
        return ERR_NOMEM;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int rc = err_from_errno(errno);
        diag_add(diag, path, 0, "cannot be opened: %s", err_text(rc));
        return rc;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        diag_add(diag, l->dir, 0, "another process writes this control feed");
        return ERR_BUSY;
    }
    l->lock_fd = fd;
    return 0;
}

// Temporary files of writes that were cut off.
static void remove_leftovers(const struct control_log *l)
{
    DIR *d = opendir(l->dir);
    if (!d)
        return;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        AUTO_FREE char *path = mem_printf("%s/%s", l->dir, e->d_name);
        if (strstr(e->d_name, ".tmp.") && path)
            unlink(path);
    }
    closedir(d);
}

// What follows the whole entries of the newest segment. A line that is cut off was never done;
// whole lines that are damaged are kept beside, for whoever wants to know.
static int cut_end(struct control_log *l, const struct log_segment *s, char **out_damaged)
{
    AUTO_FREE char *path = log_path(l, s->epoch, s->seq, "log");
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (!path)
        return ERR_NOMEM;
    int rc = file_read(path, SIZE_MAX, &text);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    if (text.n <= s->size)
        return 0;
    if (s->damaged) {
        AUTO_FREE char *beside = mem_printf("%s/damaged-%lld", l->dir, (long long)clock_wall_ms());
        if (!beside)
            return ERR_NOMEM;
        rc = file_write_atomic(beside, text.p + s->size, text.n - s->size, 0600);
        *out_damaged = mem_printf("%zu bytes of it were damaged, and were put aside into %s",
                                  text.n - (size_t)s->size, beside);
    }
    if (!rc && truncate(path, (off_t)s->size))
        rc = err_from_errno(errno);
    return rc;
}

static int open_newest(struct control_log *l)
{
    const struct log_segment *s = log_segment(l, newest(l));
    AUTO_FREE char *path = log_path(l, s->epoch, s->seq, "log");
    if (!path)
        return ERR_NOMEM;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    int rc = dir_sync(l->dir);
    if (rc) { // what was written to stays
        close(fd);
        return rc;
    }
    if (l->fd >= 0)
        close(l->fd);
    l->fd = fd;
    return 0;
}

static void put_aside(const struct control_log *l, const struct log_segment *s)
{
    AUTO_FREE char *log = log_path(l, s->epoch, s->seq, "log");
    AUTO_FREE char *base = log_path(l, s->epoch, s->seq, "base");
    AUTO_FREE char *aside = mem_printf("%s/damaged-%llu-%llu", l->dir, (unsigned long long)s->epoch,
                                       (unsigned long long)s->seq);
    if (log && aside)
        rename(log, aside);
    if (base)
        unlink(base);
}

// A segment that could be neither gone on with nor begun with is of no use to anybody.
static void drop_useless(struct control_log *l)
{
    while (l->n_segments) {
        const struct log_segment *s = log_segment(l, newest(l));
        if (!s->damaged || s->size || log_base_holds(l, s))
            return;
        put_aside(l, s);
        l->n_segments--;
    }
}

// What came after an entry that could not be applied (control_log_restore).
static void put_aside_cut(struct control_log *l)
{
    for (size_t i = 0; i < l->n_cut; i++)
        put_aside(l, &l->cut[i]);
    l->n_cut = 0;
}

int control_log_own(struct control_log *l, struct diag *diag, char **out_damaged)
{
    *out_damaged = NULL;
    int rc = dir_make(l->dir, 0700);
    if (rc) {
        diag_add(diag, l->dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    if (l->lock_fd < 0)
        rc = lock_dir(l, diag);
    if (rc)
        return rc;
    rc = control_log_refresh(l);
    remove_leftovers(l);
    pthread_mutex_lock(&l->lock);
    drop_useless(l);
    put_aside_cut(l);
    if (!rc && l->begun) {
        rc = cut_end(l, log_segment(l, newest(l)), out_damaged);
        log_segment(l, newest(l))->damaged = false;
        if (!rc)
            rc = open_newest(l);
    }
    pthread_mutex_unlock(&l->lock);
    if (rc)
        diag_add(diag, l->dir, 0, "cannot be written: %s", err_text(rc));
    return rc;
}

// ---- appending ----

static int write_at(int fd, const struct buf *text, uint64_t at)
{
    int rc = fd_pwrite_all(fd, text->p, text->n, (off_t)at);
    if (!rc && fdatasync(fd))
        rc = err_from_errno(errno);
    return rc;
}

// After a write that failed: nothing of it may be found later. Until that is sure nothing else is
// written.
static int take_back(struct control_log *l, uint64_t size)
{
    int rc = 0;
    if (ftruncate(l->fd, (off_t)size) || fdatasync(l->fd))
        rc = err_from_errno(errno);
    l->broken = rc != 0;
    return rc;
}

static int format_all(const struct control_entry *all, size_t n, struct buf *text,
                      uint32_t *lengths)
{
    for (size_t i = 0; i < n; i++) {
        size_t before = text->n;
        control_entry_format(&all[i], text);
        if (text->err)
            return text->err;
        lengths[i] = (uint32_t)(text->n - before);
        if (lengths[i] > CONTROL_ENTRY_MAX_BYTES)
            return ERR_TOOBIG;
    }
    return 0;
}

static int enter_all(struct control_log *l, const struct control_entry *all, size_t n,
                     const uint32_t *lengths)
{
    int rc = 0;
    pthread_mutex_lock(&l->lock);
    struct log_segment *s = log_segment(l, newest(l));
    for (size_t i = 0; i < n && !rc; i++) {
        rc = log_enter(l, &all[i], newest(l), s->size, lengths[i]);
        if (!rc)
            s->size += lengths[i];
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int control_log_append(struct control_log *l, const struct control_entry *all, size_t n,
                       struct diag *diag)
{
    AUTO_BUF struct buf text;
    AUTO_FREE uint32_t *lengths = mem_zalloc_array(n + 1, sizeof *lengths);
    buf_init(&text, 0);
    if (!lengths)
        return ERR_NOMEM;
    if (l->fd < 0)
        return ERR_BUSY;
    pthread_mutex_lock(&l->lock);
    uint64_t size = log_segment(l, newest(l))->size;
    pthread_mutex_unlock(&l->lock);
    int rc = format_all(all, n, &text, lengths);
    if (!rc && l->broken)
        rc = take_back(l, size);
    if (!rc) {
        rc = write_at(l->fd, &text, size);
        if (rc)
            take_back(l, size);
    }
    if (rc) {
        diag_add(diag, l->dir, 0, "an entry of the control feed cannot be written: %s",
                 err_text(rc));
        return rc;
    }
    rc = enter_all(l, all, n, lengths);
    assert(rc != ERR_CONFLICT); // the caller has judged them
    if (rc)
        take_back(l, size);
    return rc;
}

// ---- segments ----

static bool is_due(const struct control_log *l)
{
    const struct log_segment *s = &l->segments[l->n_segments - 1];
    if (l->last.seq == s->seq && l->last.epoch == s->epoch)
        return false;
    bool new_epoch = l->n_rows && l->rows[l->n_rows - 1].row.kind == CONTROL_TAKEOVER;
    return new_epoch || !(l->last.seq % l->o.segment_entries) || s->size >= l->o.segment_bytes;
}

static void remove_segment(const struct control_log *l, const struct log_segment *s)
{
    AUTO_FREE char *log = log_path(l, s->epoch, s->seq, "log");
    AUTO_FREE char *base = log_path(l, s->epoch, s->seq, "base");
    if (log)
        unlink(log);
    if (base)
        unlink(base);
}

// The segment that was added last; when it cannot be, it goes on with the one before.
static int open_added(struct control_log *l)
{
    const struct log_segment *s = log_segment(l, newest(l));
    int rc = open_newest(l);
    if (!rc)
        return 0;
    remove_segment(l, s);
    l->n_segments--;
    return rc;
}

int control_log_rotate(struct control_log *l, bool *out_rotated)
{
    *out_rotated = false;
    pthread_mutex_lock(&l->lock);
    int rc = 0;
    if (is_due(l)) {
        rc = log_segment_add(l, l->last.epoch, l->last.seq);
        if (!rc)
            rc = open_added(l);
        *out_rotated = !rc;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

// Drops the oldest `n` segments, and what the index has of them.
static void drop_oldest(struct control_log *l, size_t n)
{
    for (size_t i = 0; i < n; i++)
        remove_segment(l, &l->segments[i]);
    memmove(l->segments, l->segments + n, (l->n_segments - n) * sizeof *l->segments);
    l->n_segments -= n;
    l->first_segment += n;
    const struct control_place first = l->segments[0].base.place;
    size_t rows = (size_t)(first.seq - l->first.seq);
    memmove(l->rows, l->rows + rows, (l->n_rows - rows) * sizeof *l->rows);
    l->n_rows -= rows;
    l->first = first;
    size_t kept = 0;
    for (size_t i = 0; i < l->n_voids; i++)
        if (l->voids[i].segment >= l->first_segment)
            l->voids[kept++] = l->voids[i];
    l->n_voids = kept;
}

static bool is_enough(const struct control_log *l, size_t from)
{
    const struct log_segment *s = &l->segments[from];
    uint64_t bytes = 0;
    if (!log_base_holds(l, s) || !log_checkpoint_of(l, &s->base.place))
        return false;
    for (size_t i = from; i < l->n_segments; i++)
        bytes += l->segments[i].size;
    return l->last.seq - s->base.place.seq >= l->o.keep_entries || bytes >= l->o.keep_bytes;
}

static void prune(struct control_log *l)
{
    size_t n = 0;
    for (size_t i = 1; i < l->n_segments; i++)
        if (is_enough(l, i))
            n = i;
    if (n)
        drop_oldest(l, n);
}

static int base_write(const struct control_log *l, const struct control_place *at,
                      struct bytes base)
{
    AUTO_FREE char *path = log_path(l, at->epoch, at->seq, "base");
    if (!path)
        return ERR_NOMEM;
    return file_write_atomic(path, base.p, base.n, 0600);
}

static void base_remove(const struct control_log *l, const struct control_place *at)
{
    AUTO_FREE char *path = log_path(l, at->epoch, at->seq, "base");
    if (path)
        unlink(path);
}

int control_log_base_put(struct control_log *l, const struct control_place *at, struct bytes base)
{
    int rc = base_write(l, at, base);
    if (rc)
        return rc;
    bool wanted = false;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_segments; i++) {
        struct log_segment *s = &l->segments[i];
        if (s->epoch != at->epoch || s->seq != at->seq)
            continue;
        s->has_base = !control_base_info(base, &s->base);
        wanted = true;
    }
    if (wanted)
        prune(l);
    else
        base_remove(l, at); // the log has begun anew meanwhile
    pthread_mutex_unlock(&l->lock);
    return 0;
}

// ---- a beginning ----

// Entries of a segment that began at that place before are of another beginning.
static int drop_same(struct control_log *l, const struct control_place *at)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n_segments; i++)
        if (l->segments[i].epoch != at->epoch || l->segments[i].seq != at->seq)
            l->segments[kept++] = l->segments[i];
    l->n_segments = kept;
    AUTO_FREE char *log = log_path(l, at->epoch, at->seq, "log");
    if (!log)
        return ERR_NOMEM;
    if (unlink(log) && errno != ENOENT)
        return err_from_errno(errno);
    return 0;
}

static int begin_anew(struct control_log *l, const struct control_base_info *info)
{
    l->begun = false;
    l->n_rows = l->n_voids = l->n_checkpoints = 0;
    int rc = drop_same(l, &info->place);
    size_t old = l->n_segments;
    if (!rc)
        rc = log_segment_add(l, info->place.epoch, info->place.seq);
    if (rc)
        return rc;
    l->segments[old].has_base = true;
    l->segments[old].base = *info;
    rc = open_newest(l);
    if (rc)
        return rc;
    for (size_t i = 0; i < old; i++)
        remove_segment(l, &l->segments[i]);
    l->segments[0] = l->segments[old];
    l->first_segment += old;
    l->n_segments = 1;
    l->first = l->last = info->place;
    l->begun = true;
    l->broken = false;
    return 0;
}

int control_log_begin(struct control_log *l, struct bytes base, struct diag *diag)
{
    struct control_base_info info;
    int rc = control_base_info(base, &info);
    if (!rc)
        rc = base_write(l, &info.place, base);
    if (rc) {
        diag_add(diag, l->dir, 0, "a base of the control feed cannot be written: %s", err_text(rc));
        return rc;
    }
    pthread_mutex_lock(&l->lock);
    rc = begin_anew(l, &info);
    pthread_mutex_unlock(&l->lock);
    return rc;
}
