// SPDX-License-Identifier: Apache-2.0
// A topology source (control/source.h) without files: the topology lies in memory, beside the
// source as a disk would, and a proposal is in force before it returns. It shows that what is above
// a source does not know which one it has.
//
//   struct memory_store m = {.topology = t};         // takes over the reference
//   rc = memory_source_open(&m, &s);
//   … topology_source_close(s); memory_source_open(&m, &s): what was proposed is still there …
//   memory_store_done(&m);
//
// It has no principals, and no thread: on_change is called by whoever proposes. One source of a
// store at a time.
#ifndef MERIDIAN_TESTS_SUPPORT_MEMORY_SOURCE_H
#define MERIDIAN_TESTS_SUPPORT_MEMORY_SOURCE_H

#include "control/source.h"

struct memory_store {
    // the last version that was made durable
    struct topology *topology;
};

int memory_source_open(struct memory_store *m, struct topology_source **out);
void memory_store_done(struct memory_store *m);

#endif
