// SPDX-License-Identifier: Apache-2.0
// How answers are shown: members of JSON as cells of a table, sizes, progress. Texts are borrowed
// from the JSON or the arena's. Single-threaded.
#ifndef MERIDIAN_CLI_SHOW_H
#define MERIDIAN_CLI_SHOW_H

#include "cli/cli.h"

// What another program answered: NULL when it is no JSON. What a terminal would take as an order is
// made question marks in its texts (line ends stay), whatever is done with them. `flags` of jansson.
json_t *json_said(const struct buf *body, size_t flags);
const char *size_text(struct cli *c, const json_t *bytes);               // "12.3 MiB"; "-" without
const char *json_text(const json_t *o, const char *key);                 // of an object; "" without
const char *json_count(struct cli *c, const json_t *o, const char *key); // "12"; "-" without
// "write, delete", "write", "delete" or ""
const char *lock_text(const json_t *lock);
// A line of progress on the terminal, in the place of the one before, a few times a second at most;
// nothing where stderr is no terminal. progress_end takes it away.
void progress_show(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_end(void);

#endif
