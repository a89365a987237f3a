// SPDX-License-Identifier: Apache-2.0
// The control feed on disk: its index, made by reading the files in their order; see log.h and
// log_priv.h.
#include "control/log.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/log_priv.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRONT_BYTES 256 // of a base: what control_base_info reads

char *log_path(const struct control_log *l, uint64_t epoch, uint64_t seq, const char *suffix)
{
    return mem_printf("%s/%llu-%llu.%s", l->dir, (unsigned long long)epoch, (unsigned long long)seq,
                      suffix);
}

struct log_segment *log_segment(struct control_log *l, uint64_t number)
{
    assert(number >= l->first_segment && number - l->first_segment < l->n_segments); // invariant 2
    return &l->segments[number - l->first_segment];
}

// ---- the index ----

bool log_has(const struct control_log *l, const struct control_place *p)
{
    if (!l->begun)
        return false;
    return control_place_same(p, &l->first) || log_find(l, p) != NULL;
}

const struct log_row *log_find(const struct control_log *l, const struct control_place *p)
{
    if (!l->begun || p->seq <= l->first.seq || p->seq - l->first.seq > l->n_rows)
        return NULL;
    const struct log_row *r = &l->rows[p->seq - l->first.seq - 1]; // invariant 1
    if (control_place_same(&r->row.place, p))
        return r;
    return NULL;
}

bool log_base_holds(const struct control_log *l, const struct log_segment *s)
{
    return s->has_base && log_has(l, &s->base.place);
}

const struct log_checkpoint *log_checkpoint_of(const struct control_log *l,
                                               const struct control_place *at)
{
    for (size_t i = l->n_checkpoints; i-- > 0;)
        if (control_place_same(&l->checkpoints[i].at, at))
            return &l->checkpoints[i];
    return NULL;
}

static int row_push(struct log_row **list, size_t *n, size_t *cap, const struct log_row *row)
{
    if (*n == *cap) {
        size_t more = *cap ? 2 * *cap : 256;
        struct log_row *p = mem_realloc(*list, more * sizeof *p);
        if (!p)
            return ERR_NOMEM;
        *list = p;
        *cap = more;
    }
    (*list)[(*n)++] = *row;
    return 0;
}

static int checkpoint_push(struct control_log *l, const struct control_entry *e)
{
    if (l->n_checkpoints == l->cap_checkpoints) {
        size_t more = l->cap_checkpoints ? 2 * l->cap_checkpoints : 16;
        struct log_checkpoint *p = mem_realloc(l->checkpoints, more * sizeof *p);
        if (!p)
            return ERR_NOMEM;
        l->checkpoints = p;
        l->cap_checkpoints = more;
    }
    struct log_checkpoint *c = &l->checkpoints[l->n_checkpoints++];
    *c = (struct log_checkpoint){.at = e->body.at, .entry = e->place};
    memcpy(c->digest, e->body.digest, sizeof c->digest);
    return 0;
}

// A takeover goes on from an earlier place: what stands after it is void.
static int turn_void(struct control_log *l, const struct control_place *from)
{
    while (l->n_rows && l->rows[l->n_rows - 1].row.place.seq > from->seq) {
        int rc = row_push(&l->voids, &l->n_voids, &l->cap_voids, &l->rows[l->n_rows - 1]);
        if (rc)
            return rc;
        l->n_rows--;
    }
    while (l->n_checkpoints && l->checkpoints[l->n_checkpoints - 1].entry.seq > from->seq)
        l->n_checkpoints--;
    l->last = *from;
    return 0;
}

int log_enter(struct control_log *l, const struct control_entry *e, uint64_t segment, uint64_t at,
              uint32_t n)
{
    bool takes_over = e->body.kind == CONTROL_TAKEOVER && e->place.epoch > l->last.epoch;
    if (takes_over && log_has(l, &e->body.at)) {
        int rc = turn_void(l, &e->body.at);
        if (rc)
            return rc;
    }
    bool follows = e->place.seq == l->last.seq + 1 &&
                   !memcmp(e->before, l->last.hash, sizeof e->before) &&
                   (takes_over || e->place.epoch == l->last.epoch);
    if (!follows)
        return ERR_CONFLICT;
    if (e->body.kind == CONTROL_CHECKPOINT) {
        int rc = checkpoint_push(l, e);
        if (rc)
            return rc;
    }
    const struct log_row row = {
        .row = {e->place, e->body.topology, e->body.principals, e->body.time_ms, e->body.kind},
        .segment = segment,
        .at = at,
        .n = n};
    int rc = row_push(&l->rows, &l->n_rows, &l->cap_rows, &row);
    if (!rc)
        l->last = e->place;
    return rc;
}

int log_segment_add(struct control_log *l, uint64_t epoch, uint64_t seq)
{
    struct log_segment *p = mem_realloc(l->segments, (l->n_segments + 1) * sizeof *p);
    if (!p)
        return ERR_NOMEM;
    l->segments = p;
    l->segments[l->n_segments++] = (struct log_segment){.epoch = epoch, .seq = seq};
    return 0;
}

// ---- reading the files ----

static bool name_parse(const char *name, uint64_t *epoch, uint64_t *seq)
{
    char *end;
    if (*name < '1' || *name > '9')
        return false;
    errno = 0;
    *epoch = strtoull(name, &end, 10);
    if (errno || *end != '-' || end[1] < '0' || end[1] > '9')
        return false;
    *seq = strtoull(end + 1, &end, 10);
    return !errno && (!strcmp(end, ".base") || !strcmp(end, ".log"));
}

static bool segment_known(const struct control_log *l, uint64_t epoch, uint64_t seq)
{
    for (size_t i = 0; i < l->n_segments; i++)
        if (l->segments[i].epoch == epoch && l->segments[i].seq == seq)
            return true;
    return false;
}

static int by_beginning(const void *a, const void *b)
{
    const struct log_segment *x = a, *y = b;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

// Enters the segments of the folder that are not known yet, behind those that are.
static int list_segments(struct control_log *l)
{
    DIR *d = opendir(l->dir);
    size_t before = l->n_segments;
    int rc = 0;
    if (!d)
        return errno == ENOENT ? 0 : err_from_errno(errno);
    for (struct dirent *e = readdir(d); e && !rc; e = readdir(d)) {
        uint64_t epoch, seq;
        if (name_parse(e->d_name, &epoch, &seq) && !segment_known(l, epoch, seq))
            rc = log_segment_add(l, epoch, seq);
    }
    closedir(d);
    if (l->n_segments > before)
        qsort(l->segments + before, l->n_segments - before, sizeof *l->segments, by_beginning);
    return rc;
}

static void look_at_base(struct control_log *l, struct log_segment *s)
{
    AUTO_FREE char *path = log_path(l, s->epoch, s->seq, "base");
    uint8_t front[FRONT_BYTES];
    if (!path)
        return;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    ssize_t n = pread(fd, front, sizeof front, 0);
    struct control_base_info info;
    if (n <= 0 || control_base_info(bytes_of(front, (size_t)n), &info))
        return;
    s->has_base = info.place.epoch == s->epoch && info.place.seq == s->seq;
    s->base = info;
}

// What the segment begins with: goes on from what stands before it, or begins anew. False: it can
// do neither.
static bool enter_segment(struct control_log *l, struct log_segment *s)
{
    bool same = l->begun && l->last.epoch == s->epoch && l->last.seq == s->seq;
    if (same && (!s->has_base || !memcmp(s->base.place.hash, l->last.hash, SHA256_BYTES)))
        return true;
    if (!s->has_base)
        return false;
    l->begun = true;
    l->first = l->last = s->base.place;
    l->n_rows = l->n_voids = l->n_checkpoints = 0;
    return true;
}

// Enters the whole lines of the text. *out_used: how many bytes of it they are.
static int enter_lines(struct control_log *l, uint64_t number, const struct buf *text,
                       size_t *out_used)
{
    struct log_segment *s = log_segment(l, number);
    size_t at = 0;
    int rc = 0;
    while (at < text->n) {
        const char *end = memchr(text->p + at, '\n', text->n - at);
        if (!end)
            break;
        size_t n = (size_t)(end + 1 - (text->p + at));
        struct arena a;
        struct control_entry e;
        arena_init(&a, 0);
        rc = control_entry_parse(bytes_of(text->p + at, n), &a, NULL, &e);
        if (!rc)
            rc = log_enter(l, &e, number, s->size + at, (uint32_t)n);
        arena_done(&a);
        if (rc)
            break;
        at += n;
    }
    *out_used = at;
    return rc;
}

static int read_from(const char *path, uint64_t at, struct buf *out)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_from_errno(errno);
    if (fstat(fd, &st))
        return err_from_errno(errno);
    while ((uint64_t)st.st_size > at + out->n) {
        size_t want = (size_t)((uint64_t)st.st_size - at - out->n);
        char *room = buf_room(out, want);
        if (!room)
            return out->err;
        ssize_t n = pread(fd, room, want, (off_t)(at + out->n));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (!n)
            break;
        out->n += (size_t)n;
    }
    return 0;
}

static int scan_segment(struct control_log *l, uint64_t number)
{
    struct log_segment *s = log_segment(l, number);
    AUTO_FREE char *path = log_path(l, s->epoch, s->seq, "log");
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (!path)
        return ERR_NOMEM;
    if (s->damaged)
        return 0;
    int rc = read_from(path, s->size, &text);
    if (rc || !text.n)
        return rc;
    size_t used;
    rc = enter_lines(l, number, &text, &used);
    s->size += used;
    if (!rc || rc == ERR_NOMEM)
        return rc;
    s->damaged = true;
    return 0;
}

int log_scan(struct control_log *l)
{
    // the newest of those that are known may have grown
    size_t from = l->n_segments ? l->n_segments - 1 : 0;
    int rc = 0;
    if (from < l->n_segments)
        rc = scan_segment(l, l->first_segment + from);
    size_t known = l->n_segments;
    if (!rc)
        rc = list_segments(l);
    for (size_t i = known; !rc && i < l->n_segments; i++) {
        look_at_base(l, &l->segments[i]);
        if (enter_segment(l, &l->segments[i]))
            rc = scan_segment(l, l->first_segment + i);
        else
            l->segments[i].damaged = true;
    }
    for (size_t i = 0; i < known; i++) // its base may have come since
        if (!l->segments[i].has_base)
            look_at_base(l, &l->segments[i]);
    return rc;
}

// ---- opening ----

static int log_new(const struct control_log_options *o, struct control_log **out)
{
    struct control_log *l = mem_zalloc(sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->o = *o;
    l->lock_fd = l->fd = -1;
    pthread_mutex_init(&l->lock, NULL);
    if (!l->o.segment_entries)
        l->o.segment_entries = CONTROL_SEGMENT_ENTRIES;
    if (!l->o.segment_bytes)
        l->o.segment_bytes = CONTROL_SEGMENT_BYTES;
    if (!l->o.keep_entries)
        l->o.keep_entries = CONTROL_KEEP_ENTRIES;
    if (!l->o.keep_bytes)
        l->o.keep_bytes = CONTROL_KEEP_BYTES;
    l->dir = mem_strdup(o->dir);
    l->home = mem_strdup(o->home);
    if (!l->dir || !l->home) {
        control_log_close(l);
        return ERR_NOMEM;
    }
    *out = l;
    return 0;
}

int control_log_open(const struct control_log_options *o, struct diag *diag,
                     struct control_log **out)
{
    struct control_log *l = NULL;
    int rc = log_new(o, &l);
    if (rc)
        return rc;
    rc = log_scan(l);
    if (rc)
        diag_add(diag, o->dir, 0, "cannot be read: %s", err_text(rc));
    if (!rc && l->n_segments && !l->begun) {
        diag_add(diag, o->dir, 0,
                 "holds a control feed of which no base can be read; move the folder away, and the "
                 "node begins with its files again and takes the feed from another region");
        rc = ERR_CORRUPT;
    }
    if (rc)
        control_log_close(l);
    else
        *out = l;
    return rc;
}

void control_log_close(struct control_log *l)
{
    if (!l)
        return;
    if (l->fd >= 0)
        close(l->fd);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->rows);
    free(l->voids);
    free(l->segments);
    free(l->cut);
    free(l->checkpoints);
    free(l->dir);
    free(l->home);
    free(l);
}

// Another process is at work: begins anew when it has dropped what we began with.
int control_log_refresh(struct control_log *l)
{
    pthread_mutex_lock(&l->lock);
    int rc = log_scan(l);
    pthread_mutex_unlock(&l->lock);
    return rc;
}
