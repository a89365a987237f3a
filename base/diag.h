// SPDX-License-Identifier: Apache-2.0
// Sentences for people: what failed, on what, why, and what to do; with file and line for
// configuration.
//
//   struct diag d;
//   diag_init(&d);
//   if (topology_file_load(path, &d, &t))
//       diag_print(&d, stderr);   // "topology.yaml:12: …", one to a line
//   diag_done(&d);
//
// A parser adds every error it finds and goes on. A `struct diag *` may be NULL: nothing is
// recorded then. At most DIAG_MAX sentences are kept; the rest are counted. Single-threaded.
#ifndef MERIDIAN_BASE_DIAG_H
#define MERIDIAN_BASE_DIAG_H

#include <stddef.h>
#include <stdio.h>

#define DIAG_MAX 200

struct diag {
    // "file:line: sentence" or the sentence alone
    char **lines;
    size_t n;
    size_t n_dropped;
};

void diag_init(struct diag *d);
void diag_done(struct diag *d);
// file may be NULL and line 0 when there is none.
void diag_add(struct diag *d, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
size_t diag_count(const struct diag *d); // recorded and dropped together
void diag_print(const struct diag *d, FILE *out);
// The sentences, joined by "\n"; the caller frees it. NULL: out of memory.
char *diag_text(const struct diag *d);
// The candidate nearest to `word` by edit distance, or NULL when none is near (for "did you mean").
const char *diag_nearest(const char *word, const char *const *candidates, size_t n);

#endif
