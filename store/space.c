// SPDX-License-Identifier: Apache-2.0
// The reserve of a region's disk; see space.h. One lock guards all; a thread holds it over
// statvfs(2), once a second or before a refusal.
//
// Invariants:
//   1. outstanding is the sum of `left` of all charges.
//   2. free_now is the last measure less the bytes that writers spent since then.
#include "store/space.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MEASURE_EVERY_MS 1000
#define FILES_RESERVE_MAX 1000 // inodes: a file for each thing that must still be written
#define FILES_PART 20          // but no more than one in so many

struct space {
    pthread_mutex_t lock;
    // of the directory; -1 with measure
    int fd;
    int (*measure)(void *ctx, struct space_disk *out);
    void *measure_ctx;
    uint64_t reserve_bytes;
    unsigned reserve_percent;
    // as measured
    struct space_disk disk;
    uint64_t free_now;
    uint64_t outstanding;
    // the last measure
    uint64_t granted_since;
    // monotonic
    int64_t measured_ms;
    // wall
    int64_t changed_ms;
    uint64_t n_refused;
    bool is_short, short_of_files;
};

// a - b, and 0 where that is negative
static uint64_t less(uint64_t a, uint64_t b)
{
    if (a > b)
        return a - b;
    return 0;
}

static uint64_t reserve_of(const struct space *s)
{
    if (s->reserve_bytes)
        return s->reserve_bytes;
    uint64_t share = s->disk.total_bytes / 100 * s->reserve_percent;
    if (share < SPACE_SHARE_MAX_BYTES)
        return share;
    return SPACE_SHARE_MAX_BYTES;
}

static uint64_t files_reserve(const struct space *s)
{
    uint64_t part = s->disk.total_files / FILES_PART;
    if (part < FILES_RESERVE_MAX)
        return part;
    return FILES_RESERVE_MAX;
}

static uint64_t room(const struct space *s, uint64_t reserve)
{
    return less(less(s->free_now, s->outstanding), reserve);
}

// What must fit before a short disk is open again.
static uint64_t enough(const struct space *s)
{
    uint64_t more = reserve_of(s) / 4;
    if (more < SPACE_WINDOW_BYTES)
        more = SPACE_WINDOW_BYTES;
    return SPACE_WINDOW_BYTES + more;
}

static bool few_files(const struct space *s)
{
    uint64_t least = files_reserve(s);
    if (s->short_of_files)
        least += least / 4;
    return s->disk.free_files < least;
}

static void judge(struct space *s)
{
    s->short_of_files = few_files(s);
    uint64_t least = s->is_short ? enough(s) : SPACE_WINDOW_BYTES;
    bool is_short = s->short_of_files || room(s, reserve_of(s)) < least;
    if (is_short != s->is_short)
        s->changed_ms = clock_wall_ms();
    s->is_short = is_short;
}

static int ask_kernel(struct space *s, struct space_disk *out)
{
    struct statvfs vfs;
    if (fstatvfs(s->fd, &vfs))
        return err_from_errno(errno);
    *out = (struct space_disk){.total_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize,
                               .free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize,
                               .total_files = vfs.f_files,
                               .free_files = vfs.f_favail};
    return 0;
}

static int measure(struct space *s)
{
    struct space_disk disk = {0};
    int rc;
    if (s->measure)
        rc = s->measure(s->measure_ctx, &disk);
    else
        rc = ask_kernel(s, &disk);
    if (rc)
        return rc;
    s->disk = disk;
    s->free_now = disk.free_bytes;
    s->granted_since = 0;
    s->measured_ms = clock_mono_ms();
    judge(s);
    return 0;
}

int space_open(const struct space_options *o, struct space **out)
{
    struct space *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    *s = (struct space){.fd = -1,
                        .measure = o->measure,
                        .measure_ctx = o->measure_ctx,
                        .reserve_bytes = o->reserve_bytes,
                        .reserve_percent = o->reserve_percent,
                        .changed_ms = clock_wall_ms()};
    pthread_mutex_init(&s->lock, NULL);
    if (!o->measure)
        s->fd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;
    if (!o->measure && s->fd < 0)
        rc = err_from_errno(errno);
    else
        rc = measure(s);
    if (rc) {
        space_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void space_close(struct space *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

// A writer that has begun goes on while its bytes fit; new writers stay out until the disk is no
// longer short.
static bool fits(const struct space *s, uint64_t bytes, enum space_use use, bool has_begun)
{
    if (use == SPACE_ENTRY)
        return bytes <= room(s, reserve_of(s) / 2);
    if (s->short_of_files)
        return false;
    if (s->is_short && !has_begun)
        return false;
    return bytes <= room(s, reserve_of(s));
}

// Others write to the disk as well: a measure holds for a second, and less while much of the room
// is being granted.
static bool is_stale(const struct space *s, uint64_t bytes)
{
    uint64_t granted = s->granted_since + bytes;
    if (clock_mono_ms() - s->measured_ms >= MEASURE_EVERY_MS)
        return true;
    if (granted < bytes) // overflow
        return true;
    return granted > room(s, reserve_of(s)) / 4;
}

// Under the lock. At least `least`, rather `most`.
static uint64_t grant(struct space *s, uint64_t least, uint64_t most, enum space_use use,
                      bool has_begun)
{
    if (is_stale(s, most) || !fits(s, least, use, has_begun))
        (void)measure(s); // on failure the last measure holds
    if (!fits(s, least, use, has_begun)) {
        s->n_refused++;
        return 0;
    }
    uint64_t n = fits(s, most, use, has_begun) ? most : least;
    s->outstanding += n;
    s->granted_since += n;
    judge(s);
    return n;
}

static int take(struct space *s, uint64_t bytes, enum space_use use, struct space_charge *out)
{
    struct space_charge c = {.space = s, .use = use};
    if (!s) {
        *out = c;
        return 0;
    }
    pthread_mutex_lock(&s->lock);
    if (bytes)
        c.left = grant(s, bytes, bytes, use, false);
    else // of an unknown length: a window, so that a short disk refuses it here
        c.left = grant(s, 1, SPACE_WINDOW_BYTES, use, false);
    pthread_mutex_unlock(&s->lock);
    if (!c.left)
        return ERR_NOSPACE;
    *out = c;
    return 0;
}

int space_take(struct space *s, uint64_t bytes, struct space_charge *out)
{
    return take(s, bytes, SPACE_CONTENT, out);
}

int space_take_entry(struct space *s, uint64_t bytes, struct space_charge *out)
{
    return take(s, bytes, SPACE_ENTRY, out);
}

int space_grow(struct space_charge *c, uint64_t bytes)
{
    struct space *s = c->space;
    if (!s || c->left >= bytes)
        return 0;
    uint64_t least = bytes - c->left;
    uint64_t most = least > SPACE_WINDOW_BYTES ? least : SPACE_WINDOW_BYTES;
    pthread_mutex_lock(&s->lock);
    uint64_t n = grant(s, least, most, c->use, true);
    pthread_mutex_unlock(&s->lock);
    if (!n)
        return ERR_NOSPACE;
    c->left += n;
    return 0;
}

void space_spend(struct space_charge *c, uint64_t bytes)
{
    struct space *s = c->space;
    if (!s)
        return;
    // the next measure sees bytes that were never granted
    uint64_t n = bytes < c->left ? bytes : c->left;
    c->left -= n;
    pthread_mutex_lock(&s->lock);
    assert(s->outstanding >= n); // invariant 1
    s->outstanding -= n;
    s->free_now = less(s->free_now, bytes);
    pthread_mutex_unlock(&s->lock);
}

void space_return(struct space_charge *c)
{
    struct space *s = c->space;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    assert(s->outstanding >= c->left); // invariant 1
    s->outstanding -= c->left;
    judge(s);
    pthread_mutex_unlock(&s->lock);
    *c = (struct space_charge){0};
}

void space_move(struct space_charge *from, uint64_t bytes, struct space_charge *to)
{
    assert(!to->left || to->space == from->space);
    if (bytes > from->left)
        bytes = from->left;
    to->space = from->space;
    to->use = from->use;
    to->left += bytes; // invariant 1: the sum stays
    from->left -= bytes;
}

static void say_why(const struct space *s, char out[SPACE_TEXT_SIZE])
{
    const double mib = 1 << 20;
    if (!s->is_short)
        out[0] = '\0';
    else if (s->short_of_files)
        snprintf(out, SPACE_TEXT_SIZE,
                 "the disk takes no more content: %llu files can be made, fewer than its reserve "
                 "of %llu",
                 (unsigned long long)s->disk.free_files, (unsigned long long)files_reserve(s));
    else
        snprintf(out, SPACE_TEXT_SIZE,
                 "the disk takes no more content: %.1f MiB free, %.1f MiB of them promised to "
                 "writers, reserve %.1f "
                 "MiB; it does again with %.1f MiB free",
                 (double)s->free_now / mib, (double)s->outstanding / mib,
                 (double)reserve_of(s) / mib, (double)(reserve_of(s) + enough(s)) / mib);
}

int space_look(struct space *s, struct space_view *out)
{
    pthread_mutex_lock(&s->lock);
    int rc = measure(s);
    *out = (struct space_view){.disk = s->disk,
                               .reserve_bytes = reserve_of(s),
                               .outstanding_bytes = s->outstanding,
                               .room_bytes = room(s, reserve_of(s)),
                               .is_short = s->is_short,
                               .of_files = s->short_of_files,
                               .changed_ms = s->changed_ms,
                               .n_refused = s->n_refused};
    say_why(s, out->text);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

bool space_fits(struct space *s, uint64_t bytes)
{
    if (!s)
        return true;
    pthread_mutex_lock(&s->lock);
    (void)measure(s);
    bool ok = !s->is_short && bytes <= less(s->free_now, reserve_of(s));
    pthread_mutex_unlock(&s->lock);
    return ok;
}
