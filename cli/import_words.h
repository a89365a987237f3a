// SPDX-License-Identifier: Apache-2.0
// What a registry that is imported from says in headers and fields, taken apart: challenges, links
// to the next page, times, how long to wait; and the words of `meridian import` itself. Every byte
// may be a stranger's: all is bounded, and what does not fit is an error, never cut.
//
//   struct challenge ch = challenge_parse("Bearer realm=\"https://…/token\",service=\"s\"");
//   if (ch.kind == CHALLENGE_BEARER) … ch.realm …
//
// Pure; any thread.
#ifndef MERIDIAN_CLI_IMPORT_WORDS_H
#define MERIDIAN_CLI_IMPORT_WORDS_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- WWW-Authenticate (RFC 9110 section 11.6.1) ----

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_kind kind;
    // of Bearer (distribution-spec's token flow): realm is an https URL; the others "" when absent
    char realm[1024], service[256], scope[1024];
};

// Of several challenges Bearer goes before Basic. A Bearer whose realm is no https URL, or with a
// parameter that is too long, is none.
struct challenge challenge_parse(const char *value);

// ---- other headers and fields ----

// `Link: </v2/_catalog?last=b&n=1>; rel="next"` (RFC 8288): the path and query of the next page, on
// the same host whatever host it names. ERR_NOTFOUND: no next; ERR_INVAL: not a path below /v2/.
int link_next_parse(const char *value, char *out, size_t cap);
// Words of a foreign registry, or of what is wrong with its content, for people: what is not printable
// ASCII becomes '?', so that they neither reach the terminal's controls nor are cut within a letter.
void words_clean(const char *text, char *out, size_t cap);
// Retry-After (RFC 9110 section 10.2.3), seconds or a date; -1: neither. At most INT32_MAX.
int64_t retry_after_parse(const char *value, int64_t wall_ms);
// RFC 3339 with any fraction and offset. ERR_INVAL; ERR_NOTFOUND: a time that says nothing (the zero
// of Go's time, or that of reproducible builds: until the end of 1970).
int created_parse(const char *text, int64_t *out_ms);
// [A-Za-z0-9_][A-Za-z0-9._-]{0,127} (distribution-spec, <reference>)
bool tag_name_ok(const char *s);
// The referrers' tag schema (distribution-spec, "Referrers Tag Schema"): "sha256-<hex>", of the hex
// digits the first 64.
#define TAG_SCHEMA_SIZE 80
void tag_schema_format(const struct digest *subject, char out[TAG_SCHEMA_SIZE]);
bool tag_schema_ok(const char *tag);

// ---- words of the command ----

struct import_place {
    // "registry.example" or "registry.example:5000"; docker.io is called by its real name
    char host[256 + 6];
    // "" : all repositories
    char repository[256];
};
// HOST[:PORT][/REPOSITORY], perhaps with https:// before it. ERR_INVAL.
int import_place_parse(const char *word, struct import_place *out);
// Does a list of glob patterns, separated by commas, hold the name? NULL: any name does.
bool globs_match(const char *list, const char *name);

#endif
