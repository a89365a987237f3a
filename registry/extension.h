// SPDX-License-Identifier: Apache-2.0
// What the handlers below /registry/v1/ share: the JSON in which they speak of values, and how their
// lists end. Whole answers are in docs/registry-api.md. On the pool.
//
//   json_t *o = x_named(op, "tag", t->tag);                 // {"registry":…,"repository":…,"tag":…}
//   x_value(op, o, t->stamp, t->origin, t->by);                 // "stamp", "time", "region", "by"
//   x_lock(o, "locked", t->lock_write, t->lock_delete);     // {"write":…,"delete":…}
//   x_answer(op, resp, 200, o, "listing tags");             // takes o over; NULL is answered too
//
// Every x_ function that takes an object takes NULL too: then memory ended before, and the answer
// says so. One that fails marks the object, which x_answer finds.
#ifndef MERIDIAN_REGISTRY_EXTENSION_H
#define MERIDIAN_REGISTRY_EXTENSION_H

#include "base/digest.h"
#include "registry/page.h"

#include <jansson.h>
#include <stdint.h>

#define PAGE_X_MAX 1000 // of a list
#define PAGE_X 100      // when the client names no number

struct op;
struct usage;

// "registry", "repository" where the route has one, and `key` when it is not NULL.
json_t *x_named(const struct op *op, const char *key, const char *value);
void x_text(json_t *o, const char *key, const char *value); // "" and NULL too
void x_number(json_t *o, const char *key, uint64_t value);
void x_bool(json_t *o, const char *key, bool value);
void x_own(json_t *o, const char *key, json_t *value);             // takes value over
void x_digest(json_t *o, const char *key, const struct digest *d); // null when it has none
// Stamp 0: no value; then there is no time. "by" is a name of the registry's users: an anonymous
// caller gets "".
void x_value(const struct op *op, json_t *o, uint64_t stamp, const char *origin, const char *by);
void x_lock(json_t *o, const char *key, bool write, bool del);
void x_answer(struct op *op, struct http_response *resp, int status, json_t *o, const char *what);

// n and last of a list of ours. False: answered.
bool x_page_read(struct op *op, struct http_response *resp, struct page_ask *out);
// The list ends with `last`, and there is more: "next", and a Link.
void x_page_next(struct op *op, struct http_response *resp, json_t *o, const char *path,
                 const struct page_ask *page, const char *last);

#endif
