// SPDX-License-Identifier: Apache-2.0
// --query: a part of a JSON document, in the language of JMESPath (jmespath.org) as far as it is
// wanted on a command line:
//
//   name  "odd name"  a.b  a[0]  a[-1]  a[1:3]  a[*].b  a[].b  a.*  @
//   a[?b=='x' && c>`3`].d     [name, region]     {Name: name, Where: region}     a | [0]
//   length(a)  keys(a)  contains(a, 'x')  starts_with(a, 'x')  ends_with(a, 'x')
//
// What is not there is null. No slices with a step, no other functions, no expression types.
//
//   const struct query *q = query_parse(&arena, "replicas[0].region", why);   // NULL: `why` says
//   json_t *part = query_run(q, doc);                                         // new reference
//
// Any thread. A query is read-only and lives as long as its arena.
#ifndef MERIDIAN_CLI_QUERY_H
#define MERIDIAN_CLI_QUERY_H

#include "base/arena.h"

#include <jansson.h>

#define QUERY_MAX_BYTES 4096
#define QUERY_WHY_SIZE 160

struct query;
const struct query *query_parse(struct arena *a, const char *text, char why[QUERY_WHY_SIZE]);
json_t *query_run(const struct query *q, const json_t *doc); // NULL: out of memory

#endif
