// SPDX-License-Identifier: Apache-2.0
// One line per event on stderr: "2026-11-23T19:58:50.123Z info eastus store: text". Library rooms
// return errors, and the program at the edge logs each once. Callers never log secrets. Any thread;
// a line is one write(2).
//
//   log_info("resolver: serving %s on %s", domain, addr);
//
//   static struct log_limit lim = LOG_LIMIT(5000);
//   log_limited(&lim, LOG_WARN, "peer %s: %s", region, err_text(rc));
//   log_setup(LOG_INFO, "eastus");                                       // once, at start
//
// The last lines can be kept in memory as well, for reports of what went wrong:
//
//   log_keep(256 << 10);                                                 // once, at start
//   log_recent(&buf);                                                    // any thread
#ifndef MERIDIAN_BASE_LOG_H
#define MERIDIAN_BASE_LOG_H

#include "base/bytes.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

// tag: the region or program name, at most 31 bytes
void log_setup(enum log_level least, const char *tag);
// Keeps the last `bytes` of lines. Before there are other threads; a second call changes nothing.
// What a process has kept goes on in its children. ERR_NOMEM: none are kept.
int log_keep(size_t bytes);
// Appends what was kept, whole lines, the oldest first; out->err. Nothing where nothing is kept.
void log_recent(struct buf *out);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

// At most one line per `every_ms` through one limiter; the next line that passes says how many it
// swallowed.
struct log_limit {
    int64_t every_ms;
    _Atomic int64_t next_ms;
    _Atomic uint32_t swallowed;
};
#define LOG_LIMIT(ms)    \
    {                    \
        .every_ms = (ms) \
    }
void log_limited(struct log_limit *lim, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
