// SPDX-License-Identifier: Apache-2.0
// What is read from the control feed on disk; see log.h.
#include "control/log_priv.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

// ---- single values ----

bool control_log_begun(struct control_log *l)
{
    pthread_mutex_lock(&l->lock);
    bool begun = l->begun;
    pthread_mutex_unlock(&l->lock);
    return begun;
}

struct control_place control_log_first(struct control_log *l)
{
    pthread_mutex_lock(&l->lock);
    struct control_place p = l->first;
    pthread_mutex_unlock(&l->lock);
    return p;
}

struct control_place control_log_last(struct control_log *l)
{
    pthread_mutex_lock(&l->lock);
    struct control_place p = l->last;
    pthread_mutex_unlock(&l->lock);
    return p;
}

size_t control_log_count(struct control_log *l)
{
    pthread_mutex_lock(&l->lock);
    size_t n = l->n_rows;
    pthread_mutex_unlock(&l->lock);
    return n;
}

size_t control_log_n_void(struct control_log *l)
{
    pthread_mutex_lock(&l->lock);
    size_t n = l->n_voids;
    pthread_mutex_unlock(&l->lock);
    return n;
}

bool control_log_has(struct control_log *l, const struct control_place *p)
{
    pthread_mutex_lock(&l->lock);
    bool has = log_has(l, p);
    pthread_mutex_unlock(&l->lock);
    return has;
}

int control_log_fork(struct control_log *l, uint64_t epoch, struct control_place *out)
{
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    struct control_place before = l->first;
    for (size_t i = 0; i < l->n_rows && rc; i++) {
        bool later = l->rows[i].row.place.epoch > epoch;
        if (later && before.epoch <= epoch) {
            *out = before;
            rc = 0;
        }
        before = l->rows[i].row.place;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

// ---- lines ----

struct taken { // rows as they were, with the files that hold their lines
    struct log_row *rows;
    // by row
    struct log_segment *segments;
    size_t n;
};

static void taken_done(struct taken *t)
{
    free(t->rows);
    free(t->segments);
}

// Under the lock: copies n rows of the list from `from` on.
static int take_rows(struct control_log *l, const struct log_row *list, size_t from, size_t n,
                     struct taken *out)
{
    struct taken t = {mem_zalloc_array(n + 1, sizeof *t.rows),
                      mem_zalloc_array(n + 1, sizeof *t.segments), n};
    if (!t.rows || !t.segments) {
        taken_done(&t);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        t.rows[i] = list[from + i];
        t.segments[i] = *log_segment(l, t.rows[i].segment);
    }
    *out = t;
    return 0;
}

struct line_reader { // keeps the file of the row before open
    struct control_log *l;
    uint64_t epoch, seq;
    int fd;
};

static int open_segment(struct line_reader *r, const struct log_segment *s)
{
    if (r->fd >= 0 && r->epoch == s->epoch && r->seq == s->seq)
        return 0;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    AUTO_FREE char *path = log_path(r->l, s->epoch, s->seq, "log");
    if (!path)
        return ERR_NOMEM;
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (r->fd < 0)
        return err_from_errno(errno);
    r->epoch = s->epoch;
    r->seq = s->seq;
    return 0;
}

static int read_line(struct line_reader *r, const struct log_segment *s, const struct log_row *row,
                     struct buf *out)
{
    int rc = open_segment(r, s);
    if (rc)
        return rc;
    char *room = buf_room(out, row->n);
    if (!room)
        return out->err;
    size_t got = 0;
    while (got < row->n) {
        ssize_t n = pread(r->fd, room + got, row->n - got, (off_t)(row->at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_CORRUPT;
        got += (size_t)n;
    }
    out->n += row->n;
    return 0;
}

static void reader_done(struct line_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
}

// Under the lock: how many rows after the place fit, one at least if there is one.
static size_t rows_that_fit(const struct control_log *l, size_t from, size_t max_bytes)
{
    size_t n = 0, bytes = 0;
    while (from + n < l->n_rows) {
        bytes += l->rows[from + n].n;
        if (n && bytes > max_bytes)
            break;
        n++;
    }
    return n;
}

int control_log_read(struct control_log *l, const struct control_place *after, size_t max_bytes,
                     struct buf *out)
{
    struct taken t;
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    if (log_has(l, after)) {
        size_t from = (size_t)(after->seq - l->first.seq);
        rc = take_rows(l, l->rows, from, rows_that_fit(l, from, max_bytes), &t);
    }
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    struct line_reader r = {.l = l, .fd = -1};
    for (size_t i = 0; i < t.n && !rc; i++)
        rc = read_line(&r, &t.segments[i], &t.rows[i], out);
    reader_done(&r);
    taken_done(&t);
    return rc;
}

static const struct log_row *find_void(const struct control_log *l, const struct control_place *p)
{
    for (size_t i = 0; i < l->n_voids; i++)
        if (control_place_same(&l->voids[i].row.place, p))
            return &l->voids[i];
    return NULL;
}

int control_log_line(struct control_log *l, const struct control_place *p, struct buf *out)
{
    struct log_row row;
    struct log_segment s;
    pthread_mutex_lock(&l->lock);
    const struct log_row *found = log_find(l, p);
    if (!found)
        found = find_void(l, p);
    if (found) {
        row = *found;
        s = *log_segment(l, row.segment);
    }
    pthread_mutex_unlock(&l->lock);
    if (!found)
        return ERR_NOTFOUND;
    struct line_reader r = {.l = l, .fd = -1};
    int rc = read_line(&r, &s, &row, out);
    reader_done(&r);
    return rc;
}

// ---- rows ----

static int visit_copies(const struct taken *t, control_log_visitor *visit, void *ctx)
{
    for (size_t i = 0; i < t->n; i++)
        if (!visit(ctx, &t->rows[i].row))
            break;
    return 0;
}

int control_log_visit(struct control_log *l, const struct control_place *after,
                      control_log_visitor *visit, void *ctx)
{
    struct taken t;
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    if (!after || log_has(l, after)) {
        size_t from = 0;
        if (after)
            from = (size_t)(after->seq - l->first.seq);
        rc = take_rows(l, l->rows, from, l->n_rows - from, &t);
    }
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    rc = visit_copies(&t, visit, ctx);
    taken_done(&t);
    return rc;
}

int control_log_visit_void(struct control_log *l, control_log_visitor *visit, void *ctx)
{
    struct taken t;
    pthread_mutex_lock(&l->lock);
    int rc = take_rows(l, l->voids, 0, l->n_voids, &t);
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    rc = visit_copies(&t, visit, ctx);
    taken_done(&t);
    return rc;
}

int control_log_version(struct control_log *l, uint64_t topology, struct control_place *out)
{
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    uint64_t before = 0; // of the row before
    for (size_t i = 0; i < l->n_rows && rc; i++) {
        const struct control_log_row *r = &l->rows[i].row;
        if (r->topology == topology && before != topology) {
            *out = r->place;
            rc = 0;
        }
        before = r->topology;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

// ---- states ----

// Under the lock: bases in force at or before the place, the newest first.
static int take_bases(struct control_log *l, const struct control_place *at,
                      struct log_segment **out, size_t *out_n)
{
    struct log_segment *list = mem_zalloc_array(l->n_segments + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    for (size_t i = l->n_segments; i-- > 0;)
        if (log_base_holds(l, &l->segments[i]) && l->segments[i].base.place.seq <= at->seq)
            list[n++] = l->segments[i];
    *out = list;
    *out_n = n;
    return 0;
}

static int base_read(struct control_log *l, const struct log_segment *s, struct buf *out)
{
    AUTO_FREE char *path = log_path(l, s->epoch, s->seq, "base");
    if (!path)
        return ERR_NOMEM;
    return file_read(path, CONTROL_BASE_MAX_BYTES, out);
}

static int base_load(struct control_log *l, const struct log_segment *s,
                     const struct control_how *how, struct diag *diag, struct control_state **out)
{
    AUTO_FREE char *path = log_path(l, s->epoch, s->seq, "base");
    AUTO_BUF struct buf text;
    struct control_state *state = NULL;
    buf_init(&text, CONTROL_BASE_MAX_BYTES);
    if (!path)
        return ERR_NOMEM;
    int rc = base_read(l, s, &text);
    if (rc)
        diag_add(diag, path, 0, "cannot be read: %s", err_text(rc));
    if (!rc)
        rc = control_base_parse(how->form, bytes_of(text.p, text.n), l->home, path, diag, &state);
    if (!rc && !control_place_same(&state->place, &s->base.place))
        rc = ERR_CORRUPT;
    if (rc)
        snapshot_unref(state);
    else
        *out = state;
    return rc;
}

static int replay_line(struct control_state **s, const struct buf *line,
                       const struct control_how *how, struct diag *diag)
{
    struct arena a;
    struct control_entry e;
    struct control_state *next = NULL;
    arena_init(&a, 0);
    int rc = control_entry_parse(bytes_of(line->p, line->n), &a, diag, &e);
    if (!rc)
        rc = control_state_apply(*s, &e, how, diag, &next);
    arena_done(&a);
    if (rc)
        return rc;
    snapshot_unref(*s);
    *s = next;
    return 0;
}

// *s comes as far as the error, if there is one.
static int replay(struct control_log *l, const struct control_place *at,
                  const struct control_how *how, struct diag *diag, struct control_state **s)
{
    struct taken t;
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    if (log_has(l, at) && log_has(l, &(*s)->place)) {
        size_t from = (size_t)((*s)->place.seq - l->first.seq);
        rc = take_rows(l, l->rows, from, (size_t)(at->seq - (*s)->place.seq), &t);
    }
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    AUTO_BUF struct buf line;
    struct line_reader r = {.l = l, .fd = -1};
    buf_init(&line, 0);
    for (size_t i = 0; i < t.n && !rc; i++) {
        buf_clear(&line);
        rc = read_line(&r, &t.segments[i], &t.rows[i], &line);
        if (!rc)
            rc = replay_line(s, &line, how, diag);
    }
    reader_done(&r);
    taken_done(&t);
    return rc;
}

// From the nearest base before the place that can be read. *out_at: the place.
static int load_before(struct control_log *l, const struct control_place *at,
                       const struct control_how *how, struct diag *diag,
                       struct control_place *out_at, struct control_state **out)
{
    struct log_segment *bases = NULL;
    size_t n = 0;
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    *out_at = at ? *at : l->last;
    if (log_has(l, out_at))
        rc = take_bases(l, out_at, &bases, &n);
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    rc = ERR_CORRUPT;
    for (size_t i = 0; i < n && rc && rc != ERR_NOMEM; i++) // the next when this one is damaged
        rc = base_load(l, &bases[i], how, diag, out);
    free(bases);
    return rc;
}

int control_log_state(struct control_log *l, const struct control_place *at,
                      const struct control_how *how, struct diag *diag, struct control_state **out)
{
    struct control_state *s = NULL;
    struct control_place place;
    int rc = load_before(l, at, how, diag, &place, &s);
    if (!rc)
        rc = replay(l, &place, how, diag, &s);
    if (rc)
        snapshot_unref(s);
    else
        *out = s;
    return rc;
}

// Under the lock: the log ends at the place.
static int cut(struct control_log *l, const struct control_place *at)
{
    const struct log_row *first = &l->rows[at->seq - l->first.seq]; // after the place
    uint64_t keep = first->segment - l->first_segment + 1;
    struct log_segment *s = log_segment(l, first->segment);
    s->size = first->at;
    s->damaged = true;
    free(l->cut);
    l->n_cut = 0;
    l->cut = mem_zalloc_array(l->n_segments, sizeof *l->cut);
    if (!l->cut)
        return ERR_NOMEM;
    for (size_t i = keep; i < l->n_segments; i++)
        l->cut[l->n_cut++] = l->segments[i];
    l->n_segments = keep;
    l->n_rows = (size_t)(at->seq - l->first.seq);
    l->last = *at;
    while (l->n_checkpoints && l->checkpoints[l->n_checkpoints - 1].entry.seq > at->seq)
        l->n_checkpoints--;
    return 0;
}

int control_log_restore(struct control_log *l, const struct control_how *how, struct diag *diag,
                        struct control_state **out)
{
    struct control_state *s = NULL;
    struct control_place place;
    int rc = load_before(l, NULL, how, diag, &place, &s);
    if (rc)
        return rc;
    rc = replay(l, &place, how, NULL, &s);
    if (rc && rc != ERR_NOMEM) {
        pthread_mutex_lock(&l->lock);
        rc = cut(l, &s->place);
        pthread_mutex_unlock(&l->lock);
    }
    if (rc)
        snapshot_unref(s);
    else
        *out = s;
    return rc;
}

// ---- bases ----

int control_log_signed_base(struct control_log *l, struct buf *out)
{
    struct log_segment s;
    struct control_place entry;
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->n_segments; i-- > 0 && rc;) {
        const struct log_checkpoint *c = NULL;
        if (log_base_holds(l, &l->segments[i]))
            c = log_checkpoint_of(l, &l->segments[i].base.place);
        if (!c || memcmp(c->digest, l->segments[i].base.digest, sizeof c->digest) != 0)
            continue;
        s = l->segments[i];
        entry = c->entry;
        rc = 0;
    }
    pthread_mutex_unlock(&l->lock);
    if (!rc)
        rc = base_read(l, &s, out);
    if (!rc)
        rc = control_log_line(l, &entry, out);
    return rc;
}

int control_log_unsigned_base(struct control_log *l, struct control_place *out_place,
                              uint8_t out_digest[SHA256_BYTES])
{
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->n_segments; i-- > 0;) {
        const struct log_segment *s = &l->segments[i];
        if (!log_base_holds(l, s))
            continue;
        if (!log_checkpoint_of(l, &s->base.place)) {
            *out_place = s->base.place;
            memcpy(out_digest, s->base.digest, SHA256_BYTES);
            rc = 0;
        }
        break; // older ones are of no use any more
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

bool control_log_disagrees(struct control_log *l, struct control_place *out_at)
{
    bool any = false;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_segments && !any; i++) {
        const struct log_segment *s = &l->segments[i];
        const struct log_checkpoint *c = NULL;
        if (log_base_holds(l, s))
            c = log_checkpoint_of(l, &s->base.place);
        any = c && memcmp(c->digest, s->base.digest, sizeof c->digest) != 0;
        if (any)
            *out_at = c->at;
    }
    pthread_mutex_unlock(&l->lock);
    return any;
}

int control_log_wants_base(struct control_log *l, struct control_place *out)
{
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->n_segments; i-- > 0 && rc;) {
        const struct log_segment *s = &l->segments[i];
        if (log_base_holds(l, s))
            break; // one is newer than all that lack theirs
        for (size_t k = 0; k < l->n_rows && rc; k++) {
            const struct control_place *p = &l->rows[k].row.place;
            if (p->epoch == s->epoch && p->seq == s->seq) {
                *out = *p;
                rc = 0;
            }
        }
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}
