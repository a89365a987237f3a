// SPDX-License-Identifier: Apache-2.0
// An asked fleet (asked.h) whose feed also does what documents need: it numbers changes, keeps the
// base of apply, and has the versions of before. One at a time.
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_DOCUMENTED_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_DOCUMENTED_H

#include "tests/unit/lifecycle/asked.h"

#include <jansson.h>

// Who asks for documents, with the rights of the fleet's asked.h; operator:bob at each beginning.
extern const char *documented_by;

void documented_begin(struct asked *a, const char *rows);
// The same of a fleet that has begun.
void documented_hook(struct asked *a);
void documented_end(struct asked *a);
// Takes the arguments. The status; nothing goes on yet.
int documented_ask(struct asked *a, const char *verb, json_t *arguments, bool what_if,
                   uint64_t if_version, json_t **out_body);
// The arguments of an apply of that text, as the command line sends them. force: NULL, or whose word
// holds.
json_t *documented_apply(const struct asked *a, const char *text, const char *force);
// The frame in force, with the version in force, then `rows`. Heap.
char *documented_text(const struct asked *a, const char *rows);

#endif
