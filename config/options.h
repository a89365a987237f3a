// SPDX-License-Identifier: Apache-2.0
// The option-row engine: one table row per key says its type, range, default and help; the parser,
// its messages, the sample file and the manual page all come from the row.
//
//   static const struct option rows[] = {
//       {"interval", OPT_DURATION, OPT_AT(struct s, interval_ms), .def = "5s",
//        .min = 100, .max = 600000, .help = "…"},
//   };
//   static const struct option_set set = {rows, ARRAY_LEN(rows), sizeof(struct s), OPT_NO_NODE};
//   struct option_ctx ctx = {.source = path, .diag = diag, .arena = &arena};
//   options_apply(&ctx, &set, root, "", &s);
//   rc = option_ctx_result(&ctx);            // after everything: all errors are in diag
//
// Every error is reported, with file, line, key path, what was expected, what was found; an unknown
// key with the nearest known one. Values and arrays live in ctx->arena; strings are those of the
// document's tree. Single-threaded.
#ifndef MERIDIAN_CONFIG_OPTIONS_H
#define MERIDIAN_CONFIG_OPTIONS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "config/document.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
    OPT_STRING, // const char *
    OPT_BOOL,   // bool: true, false, enabled, disabled
    OPT_INT,    // an unsigned field of any width
    // the same, in the row's unit_ms (1: milliseconds): "750ms", "1s", "5m", "1h", "30d"
    OPT_DURATION,
    OPT_SIZE,      // the same, in bytes: "512", "64KiB", "4MiB", "1GiB", "2TiB", "1PiB"
    OPT_PERCENT,   // the same: "10%"
    OPT_ENUM,      // an enum of int's width; words
    OPT_FLAGS,     // unsigned: a list of words, or-ed
    OPT_ENDPOINT,  // struct endpoint
    OPT_IPS,       // array of struct ip; the row's n_offset holds the count (this and below)
    OPT_CIDRS,     // array of struct cidr
    OPT_ENDPOINTS, // array of struct endpoint
    OPT_STRINGS,   // array of const char *
    OPT_MAP,       // a struct in place, by sub
    OPT_LIST,      // array of structs, by sub
    OPT_NODE,      // const struct doc_node *: the owner reads it; NULL when absent
};

struct option_word {
    const char *word;
    unsigned value;
};

struct option_set;
struct option {
    const char *key;
    enum option_type type;
    // of the field: OPT_AT
    size_t offset, size;
    // of the count: OPT_ARRAY_AT
    size_t n_offset;
    // as it would be written; NULL: none (zero, NULL, empty)
    const char *def;
    // for the sample file where there is no default
    const char *example;
    const char *help;
    // what `check` accepts, in words
    const char *expect;
    // strings
    bool (*check)(const char *);
    // value, or number of items; max 0: no limit
    uint64_t min, max;
    unsigned unit_ms;
    // default port of endpoints
    uint16_t port;
    bool required, reloadable;
    // optional, yet not commented out in the sample file
    bool shown;
    // a list may be given as its only item
    bool one_ok;
    // of text: it is no secret, whatever is written there, and reports show it (options_print_values)
    bool open;
    const struct option_set *sub;
    const struct option_word *words;
    size_t n_words;
};

#define OPT_NO_NODE ((size_t)-1)
struct option_set {
    const struct option *rows;
    size_t n_rows;
    // of the struct
    size_t size;
    // where it keeps its const struct doc_node *, for messages later on; or OPT_NO_NODE
    size_t node_offset;
};

#define OPT_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define OPT_ARRAY_AT(type, member, n_member) \
    OPT_AT(type, member), .n_offset = offsetof(type, n_member)
#define OPT_WORDS(w) .words = (w), .n_words = sizeof(w) / sizeof((w)[0])

struct option_ctx {
    const char *source;
    // may be NULL
    struct diag *diag;
    struct arena *arena;
    size_t n_errors;
    // wall time that the document is judged by; 0: the clock
    int64_t now_s;
    bool nomem;
};

// Reads one mapping. `path` stands before keys in messages ("" at the top). Fields without a key
// get their default.
void options_apply(struct option_ctx *ctx, const struct option_set *set, const struct doc_node *map,
                   const char *path, void *out);
void options_error(struct option_ctx *ctx, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int option_ctx_result(const struct option_ctx *ctx); // 0, ERR_INVAL, ERR_NOMEM

int duration_parse(const char *text, uint64_t *out_ms); // "750ms" … "30d"; ERR_INVAL, ERR_RANGE
int size_parse(const char *text, uint64_t *out_bytes);

// A file with every key: required ones with their example, the others commented out with their
// default.
void options_print_sample(const struct option_set *set, FILE *out);
// What a struct holds after options_apply, as a document, for reports that strangers may read:
// numbers, words, addresses, and of text only what its row says is open; "(not shown)" for other
// text and for what the owner reads himself. Absent values are left out. out->err.
void options_print_values(const struct option_set *set, const void *values, struct buf *out);
// Man page fragment (man(7) macros): one .TP per key.
void options_print_man(const struct option_set *set, FILE *out);

#endif
