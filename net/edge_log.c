// SPDX-License-Identifier: Apache-2.0
// The pipe that nginx speaks into, and the process that reads it; see edge_log.h. The upper half
// runs in that process: it holds the pipe, the way back for reasons, and our stderr, and allocates
// nothing. The lower half runs in the supervisor, which reads only what the reader has cleaned.
#include "net/edge_log.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) // 256 records, one page each
#define LINES_BURST 100      // so many at once, and then
#define LINES_PER_S 5
#define TOLD_EVERY_MS 10000 // how many were left out
#define READS_MAX 64        // before what was made of them is written
#define RETRY_MS 1000       // another reader
#define REST_MS 20          // between two looks, while little comes: one awakening for many lines
#define END_MS 300          // for a reader that is told to end
#define ANSWER_MS 2000      // until the reader has read all that was said
static const char mark[1];  // "have you read all before this?", and its echo

// ---- in the reader ----

struct budget {
    // a line costs 1000 / LINES_PER_S of it
    int64_t at_ms, left_ms;
};

static bool budget_take(struct budget *b)
{
    const int64_t line = 1000 / LINES_PER_S, most = line * LINES_BURST;
    int64_t now = clock_mono_ms();
    b->left_ms += now - b->at_ms;
    b->at_ms = now;
    if (b->left_ms > most)
        b->left_ms = most;
    if (b->left_ms < line)
        return false;
    b->left_ms -= line;
    return true;
}

struct reading {
    // records that were waiting, one after the other; how many the pipe takes
    unsigned behind, slots;
    // how many were taken in this turn
    unsigned taken;
    struct edge_access_file access;
    // what strangers can cause must not hide that nginx is in trouble
    struct budget severe, other;
    unsigned swallowed;
    int64_t told_ms;
};

static void tell_swallowed(struct reading *r)
{
    if (!r->swallowed || clock_mono_ms() < r->told_ms + TOLD_EVERY_MS)
        return;
    log_warn("edge: %u more lines of nginx's are not shown: at most %d a second are", r->swallowed,
             LINES_PER_S);
    r->swallowed = 0;
    r->told_ms = clock_mono_ms();
}

static void take_access(struct reading *r, const uint8_t *record, size_t n)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    char line[EDGE_ACCESS_LINE_MAX];
    size_t line_n;
    if (edge_access_format(record, n, line, &line_n))
        edge_access_add(&r->access, line, line_n);
    else
        log_limited(&lim, LOG_WARN, "edge: a record of the access log is malformed, and left out");
}

static void take_record(struct reading *r, const uint8_t *record, size_t n)
{
    char line[EDGE_LOG_LINE_MAX];
    if (record[0] == (uint8_t)mark[0]) {
        (void)!write(STDOUT_FILENO, mark, sizeof mark);
        return;
    }
    if (record[0] == EDGE_ACCESS_MARK) {
        take_access(r, record, n);
        return;
    }
    enum log_level level = edge_log_clean(record, n, line);
    bool emerg = !strncmp(line, "[emerg] ", 8), severe = emerg || !strncmp(line, "[alert] ", 8);
    if (emerg)
        (void)!write(STDOUT_FILENO, line, strlen(line));
    if (budget_take(severe ? &r->severe : &r->other))
        log_write(level, "edge: nginx: %s", line);
    else
        r->swallowed++;
    tell_swallowed(r);
}

static volatile sig_atomic_t ending;

static void on_end(int sig)
{
    (void)sig;
    ending = 1;
}

// nginx cannot tell that the pipe was full: its word for it would go the same way. But then so many
// records wait.
static void count_behind(struct reading *r)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    if (++r->behind == r->slots)
        log_limited(&lim, LOG_WARN,
                    "edge: the pipe of nginx's logs was full, since its reader fell behind: lines "
                    "of nginx's may be lost");
}

// Takes what is there, but not without end: what it has made of it is to be written now and then.
// False: nginx and supervisor are gone.
static bool read_some(struct reading *r)
{
    r->taken = 0;
    for (int i = 0; i < READS_MAX; i++) {
        uint8_t record[EDGE_LOG_RECORD_MAX];
        ssize_t n = read(STDIN_FILENO, record, sizeof record);
        if (n == 0)
            return false;
        if (n < 0 && errno == EAGAIN)
            r->behind = 0;
        if (n < 0)
            return errno == EINTR || errno == EAGAIN;
        count_behind(r);
        r->taken++;
        take_record(r, record, (size_t)n);
    }
    return true;
}

static void __attribute__((noreturn)) finish(struct reading *r, int status)
{
    edge_access_flush(&r->access);
    r->told_ms = clock_mono_ms() - TOLD_EVERY_MS;
    tell_swallowed(r);
    _exit(status);
}

// A signal that comes just before poll is seen a second later.
static void __attribute__((noreturn)) read_all(struct reading *r)
{
    r->told_ms = clock_mono_ms() - TOLD_EVERY_MS;
    r->severe.at_ms = r->other.at_ms = clock_mono_ms() - (int64_t)1000 * LINES_BURST; // full
    while (!ending) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&p, 1, 1000);
        if (ready == 0)
            tell_swallowed(r);
        if (ready <= 0)
            continue;
        if (!read_some(r))
            break;
        edge_access_flush(&r->access);
        if (edge_access_full(&r->access))
            break;
        if (r->taken < r->slots / 8) // a signal ends it
            (void)poll(NULL, 0, REST_MS);
    }
    finish(r, 0);
}

static void __attribute__((noreturn)) reader(const struct edge_log *l)
{
    static struct reading r;
    char warm[CLOCK_TEXT_SIZE];
    sigset_t none;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN},
              NULL); // the consumer of our log may go away
    sigaction(SIGHUP, &(struct sigaction){.sa_handler = on_end}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_end}, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); // a Ctrl-C is for the supervisor: this one ends after nginx
    prctl(PR_SET_NAME, "edge-log");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // libc reads the time zone at the first time: before it may open nothing
    (void)clock_format(clock_wall_ms(), warm);
    if (dup2(l->read_fd, STDIN_FILENO) < 0 || dup2(l->say_fd, STDOUT_FILENO) < 0)
        _exit(1);
    closefrom(STDERR_FILENO + 1);
    int bytes = fcntl(STDIN_FILENO, F_GETPIPE_SZ);
    if (bytes > 0)
        r.slots = (unsigned)bytes / EDGE_LOG_RECORD_MAX;
    else
        r.slots = 16;
    if (l->o.become && l->o.become(l->o.ctx))
        _exit(1);
    edge_access_open(&r.access, l->o.access_file, l->o.access_max_bytes);
    if (l->o.confine && l->o.confine(l->o.ctx))
        _exit(1);
    read_all(&r);
}

// ---- in the supervisor ----

static int reader_start(struct edge_log *l)
{
    sigset_t ends, before; // not before the reader has its own ways to meet them
    sigemptyset(&ends);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, &before);
    pid_t pid = fork();
    if (pid == 0)
        reader(l);
    int rc = 0;
    if (pid < 0)
        rc = err_from_errno(errno);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return rc;
    l->reader = pid;
    return 0;
}

static int packet_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return err_from_errno(errno);
    (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES); // a courtesy: without it, 16 records
    return 0;
}

static void close_all(struct edge_log *l)
{
    edge_log_close(l);
    l->write_fd = l->read_fd = l->reason_fd = l->say_fd = -1;
}

int edge_log_adopt(struct edge_log *l, int write_fd, int read_fd, const struct edge_log_options *o)
{
    int reasons[2];
    *l = (struct edge_log){
        .write_fd = write_fd, .read_fd = read_fd, .reason_fd = -1, .say_fd = -1, .o = *o};
    int rc = packet_pipe(reasons);
    if (!rc) {
        l->reason_fd = reasons[0];
        l->say_fd = reasons[1];
        rc = reader_start(l);
    }
    if (rc)
        close_all(l);
    return rc;
}

int edge_log_start(struct edge_log *l, const struct edge_log_options *o)
{
    int words[2];
    int rc = packet_pipe(words);
    if (rc)
        return rc;
    return edge_log_adopt(l, words[1], words[0], o);
}

static bool reader_ended(struct edge_log *l, int *out_status)
{
    if (!l->reader || waitpid(l->reader, out_status, WNOHANG) == 0)
        return false;
    l->reader = 0;
    return true;
}

void edge_log_tick(struct edge_log *l)
{
    int status = 0;
    if (l->write_fd < 0)
        return;
    bool ended = reader_ended(l, &status);
    // it was told to, or its file is full
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        l->next_try_ms = 0;
    } else if (ended) {
        log_error("edge: the process that reads nginx's log ended (%s %d); another is started",
                  WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        l->next_try_ms = clock_mono_ms() + RETRY_MS;
    }
    if (l->reader || clock_mono_ms() < l->next_try_ms)
        return;
    int rc = reader_start(l);
    if (rc)
        log_error("edge: no process can be started to read nginx's log: %s", err_text(rc));
    l->next_try_ms = clock_mono_ms() + RETRY_MS;
}

void edge_log_reopen(struct edge_log *l)
{
    if (l->reader)
        kill(l->reader, SIGHUP);
}

void edge_log_end_reader(struct edge_log *l)
{
    int status;
    if (l->reader)
        kill(l->reader, SIGTERM); // what it has taken from the pipe is written
    for (int64_t until = clock_mono_ms() + END_MS; l->reader && clock_mono_ms() < until;)
        if (!reader_ended(l, &status))
            clock_sleep_ms(2);
    if (l->reader) {
        kill(l->reader, SIGKILL);
        waitpid(l->reader, NULL, 0);
    }
    l->reader = 0;
}

// The pipe may be full of what nginx has said: the reader makes room.
static bool mark_send(const struct edge_log *l, int64_t until)
{
    while (write(l->write_fd, mark, sizeof mark) != sizeof mark) {
        if (errno != EAGAIN && errno != EINTR)
            return false;
        struct pollfd p = {.fd = l->write_fd, .events = POLLOUT};
        int64_t left = until - clock_mono_ms();
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return false;
    }
    return true;
}

// The mark travels behind all that nginx has said, so that its echo comes behind all reasons.
void edge_log_reason(struct edge_log *l, char *out, size_t cap)
{
    out[0] = 0;
    int64_t until = clock_mono_ms() + ANSWER_MS;
    if (!l->reader || !mark_send(l, until))
        return;
    for (int64_t left = ANSWER_MS; left > 0; left = until - clock_mono_ms()) {
        struct pollfd p = {.fd = l->reason_fd, .events = POLLIN};
        char line[EDGE_LOG_LINE_MAX];
        int ready = poll(&p, 1, (int)left);
        if (ready == 0)
            return;
        ssize_t n = -1;
        if (ready > 0)
            n = read(l->reason_fd, line, sizeof line - 1);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (n > 0 && line[0] == mark[0])
            return;
        if (n > 0 && !out[0])
            snprintf(out, cap, "%.*s", (int)n, line);
    }
}

void edge_log_stop(struct edge_log *l)
{
    char rest[EDGE_LOG_LINE_MAX];
    if (l->write_fd < 0)
        return;
    edge_log_reason(l, rest, sizeof rest); // waits until all is read
    close_all(l);
    int status;
    for (int64_t until = clock_mono_ms() + ANSWER_MS; l->reader && clock_mono_ms() < until;)
        if (!reader_ended(l, &status))
            clock_sleep_ms(2);
    edge_log_end_reader(l);
}

void edge_log_close(const struct edge_log *l)
{
    const int fds[] = {l->write_fd, l->read_fd, l->reason_fd, l->say_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}
