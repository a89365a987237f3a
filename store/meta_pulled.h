// SPDX-License-Identifier: Apache-2.0
// When manifests were pulled last, to the hour: for lists, and for rules that take away what nobody
// uses. Part of store/meta.h, whose opening lines hold here too.
//
//   meta_pulled(m, "contoso", "app", &digest);           // a client got it: no disk, no lock as a rule
//   rc = meta_pulled_flush(m);                           // now and then, by one thread
//   rc = meta_pulled_get(m, "contoso", "app", &digest, &wall_ms);   // ERR_NOTFOUND: never
//
// A manifest is noted once an hour at most, in memory; a flush writes what was noted. What a process
// that dies did not flush is lost. It is this region's own word, and is not replicated.
#ifndef MERIDIAN_STORE_META_PULLED_H
#define MERIDIAN_STORE_META_PULLED_H

#include "base/digest.h"

#include <stdint.h>

struct meta;

#define META_PULLED_FLUSH_MS 60000
#define META_PULLED_GRAIN_MS 3600000

void meta_pulled(struct meta *m, const char *registry, const char *repository,
                 const struct digest *manifest);
int meta_pulled_flush(struct meta *m);
// Of the wall clock, the beginning of the hour. ERR_NOTFOUND: it was never pulled here.
int meta_pulled_get(struct meta *m, const char *registry, const char *repository,
                    const struct digest *manifest, int64_t *out_wall_ms);

#endif
