// SPDX-License-Identifier: Apache-2.0
// nginx's messages, cleaned before they are kept. nginx writes whole request lines into its error
// log, with signed URLs that stay valid for minutes: so nginx has no log file. It writes into a
// pipe, and a small process (the reader) reads the pipe, cuts what may be secret, and writes lines
// of our log:
//
//   nginx: master, workers, `-t` --stderr--> pipe -->
//       reader: edge_log_clean, at most so many lines --> log_write
//
//   edge_log_start(&l, &options)       pipes, and the reader, which gives up all privileges by
//                                      `o.confine`
//   nginx gets l.write_fd as its stderr
//   edge_log_reason(&l, text, cap)     after nginx ended: its first [emerg] since the last such
//                                      question
//   edge_log_tick(&l)                  starts another reader when one died
//   edge_log_stop(&l)                  what was said is still written, then the reader ends
//
// The same pipe carries the records of the access log (net/edge_access.h), which the reader tells
// apart by their first byte and appends to a file.
//
// The reader is a process apart from the supervisor, because strangers shape the text and the
// supervisor is root, and because the supervisor sometimes waits (for `nginx -t`, for a drain, for
// the consumer of our log), during which the pipe must not fill. nginx's end never blocks: when the
// pipe is full, nginx's line is lost and nginx runs on. The pipe keeps writes apart (packet mode):
// one write is one line, whatever bytes it holds.
#ifndef MERIDIAN_NET_EDGE_LOG_H
#define MERIDIAN_NET_EDGE_LOG_H

#include "base/log.h"
#include "net/edge_access.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EDGE_LOG_RECORD_MAX 4096 // what one write to the pipe can be and stay whole (PIPE_BUF)
#define EDGE_LOG_LINE_MAX 1024   // what is kept of it, with the final NUL

// One record of nginx's → one line of printable ASCII; its level. The rules, which need not know
// nginx's messages:
//   - inside quotes, where nginx puts what clients sent, only letters, digits and what paths and
//     host names are made of is shown; the first other byte ('?', '&', '=', '%', '#', …) cuts all
//     up to nginx's next field
//   - outside of quotes a '?' cuts in the same way
//   - the value of a header, a referrer, an Authorization or a token is cut whole, and so is
//     user:password@ in a URL
//   - control bytes, backslashes and bytes above ASCII are written \xNN
// Time and pid at the front are left out, since our own line has them.
enum log_level edge_log_clean(const uint8_t *record, size_t n, char out[EDGE_LOG_LINE_MAX]);

// The reader calls `become`, opens the access log (which then belongs to that user), and calls
// `confine`; it ends when one of them does not return 0. NULL: nothing to do.
struct edge_log_options {
    int (*become)(const void *ctx);
    // gives up privileges
    int (*confine)(const void *ctx);
    const void *ctx;
    // NULL: none. Borrowed
    const char *access_file;
    uint64_t access_max_bytes;
};

struct edge_log {
    // nginx's stderr; ours too, so that the pipe outlives nginx and readers
    int write_fd;
    // the reader's; ours too, for the next reader
    int read_fd;
    // from the reader to us: [emerg] lines
    int reason_fd, say_fd;
    // 0: none
    pid_t reader;
    int64_t next_try_ms;
    struct edge_log_options o;
};
#define EDGE_LOG_NONE                                                \
    {                                                                \
        .write_fd = -1, .read_fd = -1, .reason_fd = -1, .say_fd = -1 \
    }

int edge_log_start(struct edge_log *l, const struct edge_log_options *o);
// The same for pipes of the program before, which stay open over an exec; the descriptors are taken
// over.
int edge_log_adopt(struct edge_log *l, int write_fd, int read_fd, const struct edge_log_options *o);
void edge_log_tick(struct edge_log *l);
// the reader ends at a whole line and the next one opens the file anew
void edge_log_reopen(struct edge_log *l);
void edge_log_end_reader(struct edge_log *l); // before an exec; what is in the pipe stays there
void edge_log_reason(struct edge_log *l, char *out, size_t cap); // "" when it gave none
void edge_log_stop(struct edge_log *l);
void edge_log_close(const struct edge_log *l); // in a child process that does not use it

#endif
