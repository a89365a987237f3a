// SPDX-License-Identifier: Apache-2.0
// The audit log's memory of lines that wait, and the thread that writes them; see audit.h.
// Invariants:
//   1. `lines` holds whole lines. The writer alone takes from it, and gives `in_hand` lines of it
//      back to nobody: they are written, or still in hand.
//   2. n_in = n_done + lines that wait or are in hand.
//   3. No lock is held while the file is touched.
#include "auth/audit_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/wait.h"
#include "net/refusals.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HALF (AUDIT_MEMORY_BYTES / 2)
#define NAP_MS 20     // lines gather for so long after the writer wrote some
#define RETRY_MS 1000 // after a failure of the file
#define SYNC_MS 5000  // a power cut takes at most so much

struct half {
    char *p;
    size_t n;
    uint64_t n_lines;
};

struct audit {
    char *region, *stamp;
    unsigned keep;
    char path[AUDIT_PATH_MAX];
    // of refusals, and of what strangers cause
    struct refusals *floods;
    pthread_t thread;
    bool running;
    // the writer's own
    struct audit_file file;
    struct half in_hand;
    int64_t synced_ms;

    pthread_mutex_t lock;
    // to the writer: there is work; from it: something was done
    pthread_cond_t work, done;
    // of the lock, from here on
    struct half waiting;
    bool sleeps, hurried, reopen, stopping;
    // lines that were taken in, and that are written or lost since
    uint64_t n_in, n_done;
    // lost, and not told in the file yet
    uint64_t untold;
    struct audit_status status;
};

static int memory_make(struct audit *a, const struct audit_options *o)
{
    a->region = mem_strdup(o->region);
    a->stamp = mem_strdup(o->stamp);
    a->floods = refusals_new();
    a->waiting.p = mem_alloc(HALF);
    a->in_hand.p = mem_alloc(HALF);
    if (!a->region || !a->stamp || !a->floods || !a->waiting.p || !a->in_hand.p)
        return ERR_NOMEM;
    return 0;
}

static void memory_free(struct audit *a)
{
    refusals_free(a->floods);
    free(a->waiting.p);
    free(a->in_hand.p);
    free(a->region);
    free(a->stamp);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->done);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

// ---- the caller's side ----

// Under the lock.
static void lose(struct audit *a, uint64_t n_lines)
{
    a->status.n_lost += n_lines;
    a->untold += n_lines;
    a->status.lost_at_ms = clock_wall_ms();
    a->n_done += n_lines;
}

static void take_in(struct audit *a, const char *line, size_t n)
{
    pthread_mutex_lock(&a->lock);
    a->n_in++;
    if (a->waiting.n + n > HALF) {
        lose(a, 1);
    } else {
        memcpy(a->waiting.p + a->waiting.n, line, n);
        a->waiting.n += n;
        a->waiting.n_lines++;
    }
    bool wake = a->sleeps;
    a->sleeps = false;
    if (wake)
        pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
}

void audit_write(struct audit *a, const struct audit_event *e)
{
    char line[AUDIT_LINE_MAX];
    if (!a)
        return;
    assert(e->what && e->outcome);
    bool bounded = e->stranger || !strcmp(e->outcome, "refused");
    if (bounded && !refusals_admit(a->floods, &e->client, !e->stranger, clock_mono_ms())) {
        pthread_mutex_lock(&a->lock);
        a->status.n_left_out++;
        pthread_mutex_unlock(&a->lock);
        return;
    }
    size_t n = audit_line_format(e, 0, clock_wall_ms(), a->region, a->stamp, line);
    take_in(a, line, n);
}

// ---- the writer ----

// Under the lock: waits for lines or a word. Lines may gather for a moment, so that a busy node
// wakes the writer 50 times a second and not with each line.
static void wait_for_work(struct audit *a, int64_t for_ms)
{
    if (a->stopping || a->reopen || a->hurried)
        return;
    wait_cond(&a->work, &a->lock, for_ms);
}

// A line of the log about itself.
static void tell(struct audit *a, const char *what, uint64_t n_lines, const char *detail)
{
    char line[AUDIT_LINE_MAX];
    size_t n_out;
    struct audit_event e = {.what = what, .outcome = "done", .detail = detail};
    size_t n = audit_line_format(&e, n_lines, clock_wall_ms(), a->region, a->stamp, line);
    if (audit_file_append(&a->file, line, n, &n_out))
        return;
    pthread_mutex_lock(&a->lock);
    a->status.n_written++;
    if (!strcmp(what, "lost"))
        a->untold -= n_lines;
    pthread_mutex_unlock(&a->lock);
}

static void tell_all(struct audit *a)
{
    struct refusals_left_out left;
    pthread_mutex_lock(&a->lock);
    uint64_t lost = a->untold;
    pthread_mutex_unlock(&a->lock);
    if (lost)
        tell(a, "lost", lost, "lines that the file did not take in time");
    if (!refusals_take(a->floods, clock_mono_ms(), &left))
        return;
    char text[IP_TEXT_SIZE], detail[128];
    snprintf(detail, sizeof detail,
             "refusals, and what callers without a credential did, of %u networks; most from %s",
             left.n_networks, ip_format(&left.most, text));
    tell(a, "left_out", left.n, detail);
}

// Writes what is in hand, as far as the file takes it. Without the lock.
static int write_in_hand(struct audit *a)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    size_t n = 0;
    struct half *h = &a->in_hand;
    if (!h->n)
        return 0;
    int rc = audit_file_append(&a->file, h->p, h->n, &n);
    uint64_t lines = h->n_lines;
    if (n < h->n)
        lines = bytes_lines(h->p, n);
    memmove(h->p, h->p + n, h->n - n);
    h->n -= n;
    h->n_lines -= lines;
    pthread_mutex_lock(&a->lock);
    a->status.n_written += lines;
    a->n_done += lines;
    pthread_mutex_unlock(&a->lock);
    if (rc)
        log_limited(&lim, LOG_WARN,
                    "audit: %s takes no lines: %s; they wait in memory, and are lost beyond %u KiB",
                    a->path, err_text(rc), AUDIT_MEMORY_BYTES / 1024);
    return rc;
}

static void sync_now_and_then(struct audit *a)
{
    int64_t now = clock_mono_ms();
    if (!a->file.dirty || now - a->synced_ms < SYNC_MS)
        return;
    a->synced_ms = now;
    audit_file_sync(&a->file);
}

// Under the lock.
static void swap_locked(struct audit *a)
{
    if (a->in_hand.n || !a->waiting.n)
        return;
    struct half h = a->in_hand;
    a->in_hand = a->waiting;
    a->waiting = (struct half){.p = h.p};
}

// One round. Returns how long to wait for the next at most.
static int64_t turn(struct audit *a, bool reopen)
{
    if (reopen)
        audit_file_close(&a->file);
    int rc = audit_file_open(&a->file);
    bool had = a->in_hand.n;
    if (!rc)
        rc = write_in_hand(a);
    if (!rc)
        tell_all(a);
    sync_now_and_then(a);
    pthread_mutex_lock(&a->lock);
    a->status.error = rc;
    a->status.waiting = a->waiting.n + a->in_hand.n;
    a->hurried = false;
    pthread_cond_broadcast(&a->done);
    pthread_mutex_unlock(&a->lock);
    if (rc)
        return RETRY_MS;
    if (had)
        return NAP_MS;
    return 0;
}

static void *writer_main(void *arg)
{
    struct audit *a = arg;
    int64_t nap_ms = 0;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        // a nap is not ended by lines, and a sleep is
        if (nap_ms)
            wait_for_work(a, nap_ms);
        if (!a->waiting.n && !a->in_hand.n) {
            a->sleeps = true;
            wait_for_work(a, SYNC_MS);
            a->sleeps = false;
        }
        bool stop = a->stopping, reopen = a->reopen;
        a->reopen = false;
        swap_locked(a);
        pthread_mutex_unlock(&a->lock);
        nap_ms = turn(a, reopen);
        pthread_mutex_lock(&a->lock);
        if (stop && (nap_ms == RETRY_MS || !a->waiting.n))
            break;
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

// ---- life ----

int audit_start(const struct audit_options *o, struct diag *diag, struct audit **out)
{
    if (strlen(o->path) >= AUDIT_PATH_MAX) {
        diag_add(diag, NULL, 0, "audit.file: %s: the path is too long", o->path);
        return ERR_TOOBIG;
    }
    struct audit *a = mem_zalloc(sizeof *a);
    if (!a)
        return ERR_NOMEM;
    pthread_mutex_init(&a->lock, NULL);
    wait_cond_init(&a->work);
    wait_cond_init(&a->done);
    snprintf(a->path, sizeof a->path, "%s", o->path);
    audit_file_init(&a->file, o->path, o->max_bytes, o->keep);
    a->keep = a->file.keep;
    int rc = memory_make(a, o);
    if (!rc)
        rc = thread_start(&a->thread, writer_main, a);
    if (rc) {
        memory_free(a);
        return rc;
    }
    a->running = true;
    pthread_setname_np(a->thread, "audit");
    *out = a;
    return 0;
}

static void word(struct audit *a, bool *flag)
{
    pthread_mutex_lock(&a->lock);
    *flag = true;
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
}

void audit_reopen(struct audit *a)
{
    if (a)
        word(a, &a->reopen);
}

void audit_stop(struct audit *a)
{
    if (!a)
        return;
    word(a, &a->stopping);
    pthread_join(a->thread, NULL);
    if (a->waiting.n_lines + a->in_hand.n_lines)
        log_error("audit: %s: %llu lines are lost: the file takes none", a->path,
                  (unsigned long long)(a->waiting.n_lines + a->in_hand.n_lines));
    audit_file_close(&a->file);
    memory_free(a);
}

int audit_flush(struct audit *a, unsigned timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms, left;
    int rc = 0;
    if (!a)
        return 0;
    pthread_mutex_lock(&a->lock);
    uint64_t upto = a->n_in;
    a->hurried = true;
    pthread_cond_signal(&a->work);
    while (!rc && a->n_done < upto) {
        left = until - clock_mono_ms();
        if (left <= 0)
            rc = ERR_TIMEOUT;
        else
            wait_cond(&a->done, &a->lock, left);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

void audit_status(const struct audit *a, struct audit_status *out)
{
    struct audit *m = (struct audit *)a; // its lock
    *out = (struct audit_status){0};
    if (!a)
        return;
    pthread_mutex_lock(&m->lock);
    *out = a->status;
    pthread_mutex_unlock(&m->lock);
}

const char *audit_path(const struct audit *a)
{
    return a->path;
}

unsigned audit_keep(const struct audit *a)
{
    return a->keep;
}
