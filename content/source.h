// SPDX-License-Identifier: Apache-2.0
// A source: a thing that can be asked for a manifest or blob of a repository by digest, from an
// offset on. Another region is one (replication/peer_source.h); a registry upstream can be another.
// Each kind of source is a small table of operations; what all kinds have in common is here: when
// the source may be asked again after it failed, how many requests run to it, and what is known of
// wrong bytes that it gave.
//
//   static const struct source_ops peer_ops = {.open = …, .read = …, .close = …};
//   source_new("eastus", &peer_ops, peer, &s);
//   struct source *in_order[] = {s, other};
//   struct content_want want = {.sources = in_order, .n_sources = 2, …};   // content/content.h
//
// Ownership: whoever makes a source frees it, after all calls that were given it have returned.
// Threads: any; a source has a lock of its own, and calls no operation while it holds it.
//
// Invariants
//   1. A source that failed rests, each time longer, up to 15 s; while it is in doubt one request
//      at a time goes to it. So a dead source takes neither all threads nor all time.
//   2. Each source_enter that said SOURCE_READY is followed by one source_leave.
//   3. Who gave wrong bytes is told, and not more than once in 10 minutes of the same digest.
#ifndef MERIDIAN_CONTENT_SOURCE_H
#define MERIDIAN_CONTENT_SOURCE_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SOURCE_NAME_SIZE 64
// A sentence for people.
#define CONTENT_TEXT_SIZE 256

enum content_kind { CONTENT_MANIFEST, CONTENT_BLOB };
const char *content_kind_name(enum content_kind kind); // "manifest", "blob"

// What a source is asked for. The strings are borrowed for the call.
struct content_ask {
    enum content_kind kind;
    const char *registry, *repository;
    struct digest digest;
    // Bytes of it that are here already: the source goes on behind them. 0: all of it.
    uint64_t from;
    // Only the bytes before that one, and only if the source can give a range. 0: to its end.
    uint64_t to;
    // Turns true once somebody waits for it who goes before all: until then the source may hold it
    // back for others' sake. NULL: nobody does. Outlives the body.
    const _Atomic bool *urgent;
};

// A running answer; what is in it is the source's own.
struct source_body;

// One kind of source. Each operation that can fail writes a sentence that names the source to
// `error`.
struct source_ops {
    // Asks, and waits until the source answers. 0: *out is the body and *out_from where it begins:
    // ask->from, or 0 when the source gives the whole. ERR_NOTFOUND: it has not got it. ERR_RANGE:
    // it has less of it than ask->from. ERR_UNSUPPORTED: it gives no range (with ask->to).
    // ERR_CANCELED soon after *stop is true; `stop` outlives the
    // body.
    int (*open)(void *ctx, const struct content_ask *ask, const _Atomic bool *stop,
                struct source_body **out, uint64_t *out_from, char error[CONTENT_TEXT_SIZE]);
    // Waits for the next bytes. >0: so many; 0: the body came whole; else why it broke off.
    // ERR_TIMEOUT: it is silent.
    ssize_t (*read)(struct source_body *b, void *to, size_t cap, char error[CONTENT_TEXT_SIZE]);
    // Ends the answer, whether it came whole or not.
    void (*close)(struct source_body *b);
    // Its owner knows that it would not answer now: it is not asked. NULL: nobody knows.
    bool (*away)(void *ctx);
    // Its bytes were not the digest's: tells it so, without waiting. NULL: it cannot be told.
    void (*tell_wrong)(void *ctx, const struct content_ask *ask);
};

struct source;
// `name` stands in messages and is copied; `ops` and `ctx` outlive the source. ERR_NOMEM.
int source_new(const char *name, const struct source_ops *ops, void *ctx, struct source **out);
void source_free(struct source *s); // NULL is ignored
const char *source_name(const struct source *s);

// It is known to answer again: it may be asked at once. true: it was in doubt until now.
bool source_recovered(struct source *s);

struct source_view {
    // requests that run to it
    unsigned n_running;
    // failures since it last answered
    unsigned n_failures;
    // how often it gave wrong bytes; when and what it was the last time, "" never
    uint64_t n_wrong;
    char wrong[CONTENT_TEXT_SIZE];
};
void source_look(struct source *s, struct source_view *out);

// --- for those who ask a source ---

enum source_state {
    SOURCE_READY,
    SOURCE_AWAY,
    SOURCE_RESTS,
    // all requests that may run to it do
    SOURCE_BUSY,
};
// SOURCE_READY: counts one request to it, which source_leave ends. Else *out_again_mono is when to
// look again. `max_running`: so many requests may run to it at once.
enum source_state source_enter(struct source *s, unsigned max_running, int64_t *out_again_mono);
// The request is over. `rc`: how it went; ERR_CANCELED when that says nothing about the source.
void source_leave(struct source *s, int rc);
// The same for a request that has no part in `max_running`, neither its own nor that of others:
// somebody else bounds how many of these there are.
enum source_state source_enter_besides(struct source *s, int64_t *out_again_mono);
void source_leave_besides(struct source *s, int rc);
// Would source_enter say SOURCE_READY?
bool source_ready(struct source *s, unsigned max_running);
// The operations of its table.
int source_open(struct source *s, const struct content_ask *ask, const _Atomic bool *stop,
                struct source_body **out, uint64_t *out_from, char error[CONTENT_TEXT_SIZE]);
ssize_t source_read(struct source *s, struct source_body *b, void *to, size_t cap,
                    char error[CONTENT_TEXT_SIZE]);
void source_close(struct source *s, struct source_body *b);
// The source's bytes were not the digest's: counts that, writes the log and `error`, and tells the
// source.
void source_wrong(struct source *s, const struct content_ask *ask, char error[CONTENT_TEXT_SIZE]);

#endif
