// SPDX-License-Identifier: Apache-2.0
// The record of snapshots that are taken; see join_state.h. A file for each origin:
//   {"v":1,"registries":{"contoso@42":{"state":"IN_PROGRESS","at":CURSOR,"next":TEXT,…}}}
#include "replication/join_state.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (16u << 20)

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const phase_names[] = {"PREPARING", "IN_PROGRESS", "COMPLETE", "FAILED"};

// --- the files ---

// A file as it was read or written last: status asks for many rows of it.
struct record {
    char *path;
    // which file it is of; size 0: of none
    ino_t inode;
    off_t size;
    struct timespec changed;
    // an object
    json_t *rows;
    struct record *next;
};

// Of the process. Under the lock.
static struct record *records;

static bool is_that(const struct record *r, const struct stat *st)
{
    return r->rows && r->size == st->st_size && r->inode == st->st_ino &&
           r->changed.tv_sec == st->st_mtim.tv_sec && r->changed.tv_nsec == st->st_mtim.tv_nsec;
}

static void note_file(struct record *r, const struct stat *st)
{
    r->inode = st->st_ino;
    r->size = st->st_size;
    r->changed = st->st_mtim;
}

static void forget_file(struct record *r)
{
    json_decref(r->rows);
    r->rows = NULL;
    r->size = 0;
}

// NULL when out of memory.
static struct record *record_of(const char *state_dir, const char *origin)
{
    AUTO_FREE char *path = mem_printf("%s/joining-%s.json", state_dir, origin);
    struct record *r = records;
    if (!path)
        return NULL;
    while (r && strcmp(r->path, path) != 0)
        r = r->next;
    if (r)
        return r;
    r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    r->path = take_ptr(path);
    r->next = records;
    records = r;
    return r;
}

// The rows of a file, or a new empty object when there is no usable one. NULL when out of memory.
static json_t *file_load(const char *path)
{
    AUTO_BUF struct buf text;
    json_t *root = NULL, *rows = NULL;
    buf_init(&text, FILE_MAX);
    int rc = file_read(path, FILE_MAX, &text);
    if (!rc)
        root = json_loadb(buf_cstr(&text), text.n, JSON_REJECT_DUPLICATES, NULL);
    if (root && json_integer_value(json_object_get(root, "v")) == 1)
        rows = json_object_get(root, "registries");
    if (json_is_object(rows))
        json_incref(rows);
    else
        rows = NULL;
    json_decref(root);
    if (rows)
        return rows;
    if (rc != ERR_NOTFOUND)
        log_warn("replication: %s is damaged: snapshots that were begun are taken anew", path);
    return json_object();
}

// Its rows, which stay the record's. NULL when out of memory.
static json_t *rows_of(struct record *r)
{
    struct stat st;
    bool there = stat(r->path, &st) == 0;
    if (there && is_that(r, &st))
        return r->rows;
    forget_file(r);
    r->rows = file_load(r->path);
    if (there && r->rows)
        note_file(r, &st);
    return r->rows;
}

static int rows_write(struct record *r)
{
    struct stat st;
    json_t *root = json_pack("{s:i, s:O}", "v", 1, "registries", r->rows);
    AUTO_FREE char *text = NULL;
    if (root)
        text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(root);
    int rc = text ? file_write_atomic(r->path, text, strlen(text), 0600) : ERR_NOMEM;
    if (!rc && stat(r->path, &st) == 0)
        note_file(r, &st);
    else
        forget_file(r); // it is read again
    return rc;
}

// --- rows ---

static bool text_get(const json_t *o, const char *name, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(o, name));
    int n = snprintf(out, size, "%s", s ? s : "");
    return s && n >= 0 && (size_t)n < size;
}

static uint64_t number_of(const json_t *o, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(o, name));
    return v > 0 ? (uint64_t)v : 0;
}

static bool phase_get(const json_t *o, enum join_phase *out)
{
    const char *s = json_string_value(json_object_get(o, "state"));
    for (size_t i = 0; s && i < ARRAY_LEN(phase_names); i++)
        if (strcmp(s, phase_names[i]) == 0) {
            *out = (enum join_phase)i;
            return true;
        }
    return false;
}

// A row that is not as this file writes it is none.
static bool row_read(const json_t *o, const char *registry, struct join_row *out)
{
    char cursor[CURSOR_TEXT_SIZE];
    struct join_row row = {.anew = json_is_true(json_object_get(o, "anew")),
                           .n_entries = number_of(o, "entries"),
                           .n_bytes = number_of(o, "bytes"),
                           .looked = number_of(o, "looked"),
                           .of = number_of(o, "of"),
                           .n_failures = (unsigned)number_of(o, "failures"),
                           .began_ms = (int64_t)number_of(o, "beganMs"),
                           .run_ms = (int64_t)number_of(o, "runMs"),
                           .wrote_ms = (int64_t)number_of(o, "wroteMs"),
                           .run_looked = number_of(o, "runLooked"),
                           .run_bytes = number_of(o, "runBytes")};
    int n = snprintf(row.registry, sizeof row.registry, "%s", registry);
    if (n < 0 || (size_t)n >= sizeof row.registry || !phase_get(o, &row.phase))
        return false;
    if (!text_get(o, "at", cursor, sizeof cursor) || cursor_parse(cursor, &row.at))
        return false;
    if (!text_get(o, "next", row.next, sizeof row.next) || !snapshot_next_ok(row.next))
        return false;
    if (!text_get(o, "error", row.error, sizeof row.error))
        return false;
    *out = row;
    return true;
}

static json_t *row_write(const struct join_row *row)
{
    char cursor[CURSOR_TEXT_SIZE];
    return json_pack(
        "{s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "state",
        phase_names[row->phase], "at", cursor_format(&row->at, cursor), "anew", (int)row->anew,
        "next", row->next, "entries", (json_int_t)row->n_entries, "bytes", (json_int_t)row->n_bytes,
        "looked", (json_int_t)row->looked, "of", (json_int_t)row->of, "failures",
        (json_int_t)row->n_failures, "beganMs", (json_int_t)row->began_ms, "runMs",
        (json_int_t)row->run_ms, "wroteMs", (json_int_t)row->wrote_ms, "runLooked",
        (json_int_t)row->run_looked, "runBytes", (json_int_t)row->run_bytes, "error", row->error);
}

int join_state_get(const char *state_dir, const char *origin, const char *registry,
                   struct join_row *out)
{
    pthread_mutex_lock(&file_lock);
    struct record *r = record_of(state_dir, origin);
    json_t *rows = r ? rows_of(r) : NULL;
    bool found = row_read(json_object_get(rows, registry), registry, out);
    pthread_mutex_unlock(&file_lock);
    return found ? 0 : ERR_NOTFOUND;
}

int join_state_place(const char *state_dir, const char *origin, struct feed_mark *out)
{
    struct feed_mark highest = {0};
    const char *registry;
    json_t *o;
    pthread_mutex_lock(&file_lock);
    struct record *r = record_of(state_dir, origin);
    json_t *rows = r ? rows_of(r) : NULL;
    json_object_foreach(rows, registry, o)
    {
        struct join_row row;
        if (row_read(o, registry, &row) && mark_order(&row.at, &highest) > 0)
            highest = row.at;
    }
    pthread_mutex_unlock(&file_lock);
    if (mark_is_zero(&highest))
        return ERR_NOTFOUND;
    *out = highest;
    return 0;
}

int join_state_set(const char *state_dir, const char *origin, const struct join_row *row)
{
    int rc = ERR_NOMEM;
    pthread_mutex_lock(&file_lock);
    struct record *r = record_of(state_dir, origin);
    json_t *rows = r ? rows_of(r) : NULL;
    if (rows && json_object_set_new(rows, row->registry, row_write(row)) == 0)
        rc = rows_write(r);
    pthread_mutex_unlock(&file_lock);
    return rc;
}

// --- many rows ---

struct sweep {
    const struct feed_mark *mark;
    const char *const *registries;
    size_t n;
};

enum verdict { ROW_STAYS, ROW_CHANGED, ROW_GOES };
typedef enum verdict (*row_judge_fn)(const struct sweep *sweep, struct join_row *row);

static enum verdict judge_named(const struct sweep *sweep, struct join_row *row)
{
    for (size_t i = 0; i < sweep->n; i++)
        if (strcmp(sweep->registries[i], row->registry) == 0)
            return ROW_GOES;
    return ROW_STAYS;
}

static enum verdict judge_settled(const struct sweep *sweep, struct join_row *row)
{
    if (row->phase == JOIN_COMPLETE)
        return ROW_STAYS;
    return judge_named(sweep, row);
}

static enum verdict judge_place(const struct sweep *sweep, struct join_row *row)
{
    return mark_equal(&row->at, sweep->mark) ? ROW_GOES : ROW_STAYS;
}

static enum verdict judge_behind(const struct sweep *sweep, struct join_row *row)
{
    return mark_order(&row->at, sweep->mark) > 0 ? ROW_GOES : ROW_STAYS;
}

static enum verdict judge_arrived(const struct sweep *sweep, struct join_row *row)
{
    if (!row->anew || mark_is_zero(&row->at) || mark_order(&row->at, sweep->mark) > 0)
        return ROW_STAYS;
    row->anew = false;
    return ROW_CHANGED;
}

// How many rows went or changed. A row that cannot be read goes.
static size_t rows_sweep(json_t *rows, row_judge_fn judge, const struct sweep *sweep)
{
    const char *registry;
    json_t *o;
    void *next;
    size_t n = 0;
    json_object_foreach_safe(rows, next, registry, o)
    {
        struct join_row row;
        enum verdict v = ROW_GOES;
        if (row_read(o, registry, &row))
            v = judge(sweep, &row);
        if (v == ROW_GOES)
            json_object_del(rows, registry);
        if (v == ROW_CHANGED)
            json_object_set_new(rows, row.registry, row_write(&row));
        n += v != ROW_STAYS;
    }
    return n;
}

static int sweep_file(const char *state_dir, const char *origin, row_judge_fn judge,
                      const struct sweep *sweep, size_t *out_n)
{
    size_t n = 0;
    int rc = ERR_NOMEM;
    pthread_mutex_lock(&file_lock);
    struct record *r = record_of(state_dir, origin);
    json_t *rows = r ? rows_of(r) : NULL;
    if (rows) {
        rc = 0;
        n = rows_sweep(rows, judge, sweep);
    }
    if (n)
        rc = rows_write(r);
    pthread_mutex_unlock(&file_lock);
    if (!rc)
        *out_n = n;
    return rc;
}

int join_state_forget(const char *state_dir, const char *origin, const char *registry)
{
    const struct sweep sweep = {.registries = &registry, .n = 1};
    size_t n;
    return sweep_file(state_dir, origin, judge_named, &sweep, &n);
}

int join_state_forget_place(const char *state_dir, const char *origin, const struct feed_mark *at)
{
    const struct sweep sweep = {.mark = at};
    size_t n;
    return sweep_file(state_dir, origin, judge_place, &sweep, &n);
}

int join_state_forget_behind(const char *state_dir, const char *origin,
                             const struct feed_mark *mark, size_t *out_n)
{
    const struct sweep sweep = {.mark = mark};
    return sweep_file(state_dir, origin, judge_behind, &sweep, out_n);
}

int join_state_settle(const char *state_dir, const char *origin, const char *const *registries,
                      size_t n)
{
    const struct sweep sweep = {.registries = registries, .n = n};
    size_t n_gone;
    return sweep_file(state_dir, origin, judge_settled, &sweep, &n_gone);
}

int join_state_arrived(const char *state_dir, const char *origin, const struct feed_mark *mark)
{
    const struct sweep sweep = {.mark = mark};
    size_t n;
    return sweep_file(state_dir, origin, judge_arrived, &sweep, &n);
}

// --- status ---

// Without chance, so that status can say when.
int64_t join_row_rests_ms(const struct join_row *row, int64_t now_ms)
{
    int64_t rest = JOIN_RETRY_MIN_MS;
    if (row->phase != JOIN_FAILED || !row->n_failures || now_ms < row->wrote_ms)
        return 0;
    for (unsigned i = 1; i < row->n_failures && rest < JOIN_RETRY_MAX_MS; i++)
        rest *= 2;
    if (rest > JOIN_RETRY_MAX_MS)
        rest = JOIN_RETRY_MAX_MS;
    rest -= now_ms - row->wrote_ms;
    return rest > 0 ? rest : 0;
}

static double per_second(uint64_t now, uint64_t before, int64_t took_ms)
{
    if (took_ms <= 0 || now <= before)
        return 0;
    return (double)(now - before) * 1000 / (double)took_ms;
}

static int fault_add(json_t *o, const struct join_row *row)
{
    int bad = json_object_set_new(o, "lastError", json_string(row->error));
    if (!bad)
        bad = json_object_set_new(o, "failures", json_integer((json_int_t)row->n_failures));
    return bad;
}

json_t *join_row_json(const struct join_row *row)
{
    int64_t took_ms = row->wrote_ms - row->run_ms;
    uint64_t left = row->of > row->looked ? row->of - row->looked : 0;
    double rate = per_second(row->looked, row->run_looked, took_ms);
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "state", phase_names[row->phase],
                  "entries", (json_int_t)row->n_entries, "bytes", (json_int_t)row->n_bytes, "done",
                  (json_int_t)row->looked, "of", (json_int_t)row->of, "entriesPerSecond", rate,
                  "bytesPerSecond", per_second(row->n_bytes, row->run_bytes, took_ms), "startedMs",
                  (json_int_t)row->began_ms);
    int bad = !o;
    if (o && row->phase == JOIN_IN_PROGRESS && rate > 0 && row->of)
        bad = json_object_set_new(o, "etaSeconds", json_integer((json_int_t)((double)left / rate)));
    if (!bad && row->phase == JOIN_FAILED)
        bad = fault_add(o, row);
    if (!bad)
        return o;
    json_decref(o);
    return NULL;
}
