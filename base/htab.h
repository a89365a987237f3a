// SPDX-License-Identifier: Apache-2.0
// Hash table from byte strings to pointers. Keys are copied, values borrowed. SipHash-like keyed
// mixing per table, so that a client cannot choose colliding keys. Single-threaded.
//
//   struct htab *t = htab_new();
//   htab_put(t, "contoso", 7, reg);           // ERR_EXISTS if there, ERR_NOMEM
//   struct registry *r = htab_get(t, name, n); // NULL if absent
#ifndef MERIDIAN_BASE_HTAB_H
#define MERIDIAN_BASE_HTAB_H

#include <stddef.h>

struct htab;
struct htab *htab_new(void);
void htab_free(struct htab *t);                                       // values are not touched
int htab_put(struct htab *t, const void *key, size_t n, void *value); // value must not be NULL
// insert or replace; old or NULL
int htab_set(struct htab *t, const void *key, size_t n, void *value, void **out_old);
void *htab_get(const struct htab *t, const void *key, size_t n);
void *htab_del(struct htab *t, const void *key, size_t n); // the value that was there, or NULL
size_t htab_count(const struct htab *t);

#endif
