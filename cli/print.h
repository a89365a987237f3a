// SPDX-License-Identifier: Apache-2.0
// How answers are printed: -o table, json, jsonc, yaml or tsv, after --query has taken its part.
//
// A command makes one JSON document of what it has to say and gives it to cli_print_json, unless
// it has a table of its own and cli_json says false: then nobody asked for another form or for a
// part. What has no table of its own is JSON then, too. Single-threaded.
//
//   tsv    a list: one line for each element; an object: the values of its members, in one line;
//          null is empty, what is deeper is compact JSON; tab, newline and backslash are \t \n \\ .
//   table  of a query: objects as rows, with those members that are no lists or objects
//   jsonc  json, coloured where standard output is a terminal and NO_COLOR is not set
#ifndef MERIDIAN_CLI_PRINT_H
#define MERIDIAN_CLI_PRINT_H

#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

#define PRINT_FORMATS "table|json|jsonc|yaml|tsv"

// Are the format (it may come from the environment) and the query well-formed? 0, or EXIT_USAGE
// said.
int print_check(struct cli *c);
void print_yaml(const json_t *v, FILE *out);
void print_tsv(const json_t *v, FILE *out);
// What cli_complain and the like say, with what a terminal would take as an order made question marks;
// line ends stay. Heap; NULL: out of memory.
char *cli_plain(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
// Any document as columns; the cells are the arena's.
void print_generic_table(struct cli *c, const json_t *v);

#endif
