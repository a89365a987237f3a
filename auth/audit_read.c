// SPDX-License-Identifier: Apache-2.0
// Pages of the audit log for the auditor of a registry; see audit.h. Reads the files backwards, in
// blocks. Lines of other registries, lines that a kill has torn, and whatever else somebody wrote
// into the file, are passed over: what a page holds was parsed as one JSON object whose member
// "registry" is the one asked for.
#include "auth/audit_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES (64u << 10)
#define TIME_BYTES 23 // "2026-11-29T09:20:55.123", without its Z
// Two processes or threads may write their lines out of order, by a moment: so many older ones in
// a row are behind the time that was asked for.
#define OLDER_MAX 64
#define FLUSH_MS 2000

struct reader {
    const struct audit_ask *ask;
    struct audit_page *page;
    // as lines have it; "" none
    char since[TIME_BYTES + 1];
    // the member with the registry, as lines have it
    char mark[6 * AUDIT_VALUE_MAX];
    size_t n_mark;
    unsigned n_older;
    uint64_t scanned;
    // nothing older is asked for; or the page is full, or enough was looked at
    bool ended, full;
    // of the file that was read last
    uint64_t inode;
    uint8_t block[BLOCK_BYTES];
};

// "2026-11-29T09:20:55Z", or with milliseconds; nothing else.
static bool time_read(const char *s, char out[TIME_BYTES + 1])
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    size_t n = sizeof form - 1;
    if (strlen(s) < n + 1)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool fits = s[i] == form[i];
        if (form[i] == 'd')
            fits = s[i] >= '0' && s[i] <= '9';
        if (!fits)
            return false;
    }
    const char *ms = s + n, *digits = "000";
    if (*ms == '.') {
        if (strspn(ms + 1, "0123456789") != 3)
            return false;
        digits = ms + 1;
        ms += 4;
    }
    if (strcmp(ms, "Z") != 0)
        return false;
    snprintf(out, TIME_BYTES + 1, "%.19s.%.3s", s, digits);
    return true;
}

static bool line_is_of(const struct reader *r, const char *line, size_t n)
{
    bool found = false;
    if (!memmem(line, n, r->mark, r->n_mark))
        return false;
    json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    const char *registry = json_string_value(json_object_get(o, "registry"));
    if (registry)
        found = !strcmp(registry, r->ask->registry);
    json_decref(o);
    return found;
}

// Older than what is asked for: true, and after many in a row the reader is at its end.
static bool is_older(struct reader *r, const char *line)
{
    if (!*r->since)
        return false;
    if (memcmp(line + sizeof AUDIT_LINE_BEGIN - 1, r->since, TIME_BYTES) >= 0) {
        r->n_older = 0;
        return false;
    }
    r->n_older++;
    r->ended = r->n_older >= OLDER_MAX;
    return true;
}

static void line_take(struct reader *r, const char *line, size_t n)
{
    size_t head = sizeof AUDIT_LINE_BEGIN - 1;
    if (n < head + TIME_BYTES + 2 || n > AUDIT_LINE_MAX || memcmp(line, AUDIT_LINE_BEGIN, head))
        return;
    if (is_older(r, line) || !line_is_of(r, line, n))
        return;
    if (r->page->n)
        buf_u8(&r->page->lines, ',');
    buf_add(&r->page->lines, line, n);
    r->page->n++;
}

// The whole lines of the block, from its end. Returns where the first line that was not looked at
// ends.
static size_t block_take(struct reader *r, size_t from, size_t to)
{
    const char *p = (const char *)r->block;
    while (to > from && r->page->n < r->ask->n && !r->ended) {
        size_t end = to - 1; // its '\n'
        const char *before = memrchr(p + from, '\n', end - from);
        size_t begin = from;
        if (before)
            begin = (size_t)(before - p) + 1;
        line_take(r, p + begin, end - begin);
        to = begin;
    }
    return to;
}

// Where the first whole line of the block begins; `n` when none does. `first`: of the file.
static size_t lines_begin(const struct reader *r, size_t n, bool first)
{
    const uint8_t *nl;
    if (first)
        return 0;
    nl = memchr(r->block, '\n', n);
    if (!nl)
        return n;
    return (size_t)(nl - r->block) + 1;
}

// The end of the last whole line in the file up to `end`: what a writer has not ended counts not.
static int end_of_lines(struct reader *r, int fd, uint64_t *end)
{
    uint64_t from = 0;
    if (*end > BLOCK_BYTES)
        from = *end - BLOCK_BYTES;
    ssize_t n = pread(fd, r->block, (size_t)(*end - from), (off_t)from);
    if (n < 0)
        return err_from_errno(errno);
    const uint8_t *nl = memrchr(r->block, '\n', (size_t)n);
    if (nl)
        *end = from + (uint64_t)(nl - r->block) + 1;
    else
        *end = from;
    return 0;
}

// Reads on before *end, which is the end of a line; leaves there where it stopped.
static int file_take(struct reader *r, int fd, uint64_t *end)
{
    while (*end && r->page->n < r->ask->n && !r->ended && r->scanned < AUDIT_SCAN_BYTES) {
        uint64_t from = 0;
        if (*end > BLOCK_BYTES)
            from = *end - BLOCK_BYTES;
        size_t n = (size_t)(*end - from);
        ssize_t got = pread(fd, r->block, n, (off_t)from);
        if (got < 0)
            return err_from_errno(errno);
        r->scanned += n;
        if ((size_t)got < n) { // truncated meanwhile
            *end = 0;
            return 0;
        }
        size_t begin = lines_begin(r, n, from == 0);
        size_t left = n;
        if (begin < n)
            left = block_take(r, begin, n);
        if (left == n && begin >= n)
            *end = from; // no line of ours is so long
        else
            *end = from + left;
    }
    return r->page->lines.err;
}

static int open_old(const char *path, unsigned i, struct stat *st)
{
    char name[AUDIT_PATH_MAX + 16];
    int fd = open(audit_file_name(path, i, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return err_from_errno(errno);
    if (!fstat(fd, st) && S_ISREG(st->st_mode))
        return fd;
    close(fd);
    return ERR_INVAL;
}

// Where a page begins: in which file, and before which byte of it.
struct place {
    uint64_t inode, end;
};

static void cursor_format(const struct place *p, char out[AUDIT_CURSOR_SIZE])
{
    snprintf(out, AUDIT_CURSOR_SIZE, "%llx-%llx", (unsigned long long)p->inode,
             (unsigned long long)p->end);
}

// Only what we write: a cursor that is read and written again is the same.
static bool cursor_read(const char *text, struct place *out)
{
    char again[AUDIT_CURSOR_SIZE], *end;
    out->inode = strtoull(text, &end, 16);
    if (*end == '-')
        out->end = strtoull(end + 1, NULL, 16);
    cursor_format(out, again);
    return out->inode && !strcmp(text, again);
}

// The file that the cursor is of, the newest or an older one: its descriptor and which it is.
static int place_find(const struct audit *a, const struct place *at, unsigned *out_i)
{
    struct stat st;
    for (unsigned i = 0; i <= audit_keep(a); i++) {
        int fd = open_old(audit_path(a), i, &st);
        if (fd < 0)
            continue;
        if ((uint64_t)st.st_ino == at->inode) {
            *out_i = i;
            return fd;
        }
        close(fd);
    }
    return ERR_NOTFOUND;
}

// One file, before its byte `end`; 0: all of it.
static int one_take(struct reader *r, int fd, uint64_t end)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_from_errno(errno);
    if (!end || end > (uint64_t)st.st_size)
        end = (uint64_t)st.st_size;
    r->inode = (uint64_t)st.st_ino;
    int rc = end_of_lines(r, fd, &end);
    if (!rc)
        rc = file_take(r, fd, &end);
    if (rc || r->ended)
        return rc;
    r->full = r->page->n >= r->ask->n || r->scanned >= AUDIT_SCAN_BYTES;
    if (r->full)
        cursor_format(&(struct place){r->inode, end}, r->page->next);
    return 0;
}

// All files that are older than number `i`. One that was read is passed over: a rotation may give
// it the next number meanwhile.
static int older_take(const struct audit *a, struct reader *r, unsigned i)
{
    struct stat st;
    int rc = 0;
    while (!rc && !r->full && !r->ended && ++i <= audit_keep(a)) {
        int fd = open_old(audit_path(a), i, &st);
        if (fd == ERR_NOTFOUND)
            return 0;
        if (fd < 0)
            return fd;
        if ((uint64_t)st.st_ino != r->inode)
            rc = one_take(r, fd, 0);
        close(fd);
    }
    return rc;
}

static int reader_init(struct reader *r, const struct audit_ask *ask)
{
    size_t n = sizeof AUDIT_LINE_REGISTRY - 1;
    if (ask->since && !time_read(ask->since, r->since))
        return ERR_INVAL;
    r->ask = ask;
    memcpy(r->mark, AUDIT_LINE_REGISTRY, n);
    n += audit_line_value(ask->registry, r->mark + n, sizeof r->mark - n - 1);
    r->mark[n++] = '"';
    r->n_mark = n;
    return 0;
}

// Opens where the page begins. A descriptor, or why not.
static int first_open(struct audit *a, const struct place *at, unsigned *out_i)
{
    struct stat st;
    *out_i = 0;
    if (at->inode)
        return place_find(a, at, out_i);
    (void)audit_flush(a, FLUSH_MS); // what cannot be written now is not in the page
    return open_old(audit_path(a), 0, &st);
}

int audit_read(struct audit *a, const struct audit_ask *ask, struct audit_page *out)
{
    struct place at = {0};
    unsigned i;
    *out = (struct audit_page){0};
    buf_init(&out->lines, (AUDIT_PAGE_MAX + 1) * AUDIT_LINE_MAX);
    AUTO_FREE struct reader *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->page = out;
    int rc = reader_init(r, ask);
    if (!rc && ask->cursor && !cursor_read(ask->cursor, &at))
        rc = ERR_INVAL;
    if (rc)
        return rc;
    int fd = first_open(a, &at, &i);
    if (fd == ERR_NOTFOUND && !ask->cursor)
        return older_take(a, r, 0); // moved away just now
    if (fd < 0)
        return fd;
    if (ask->cursor && !at.end) // the page before ended at the beginning of this file
        r->inode = at.inode;
    else
        rc = one_take(r, fd, at.end);
    close(fd);
    if (rc)
        return rc;
    return older_take(a, r, i);
}

void audit_page_done(struct audit_page *p)
{
    buf_done(&p->lines);
}
