// SPDX-License-Identifier: Apache-2.0
// A second backend of blobs, in memory, for tests: it proves that store/blob.h needs no file. It
// behaves as an object store does:
//   - what was not synced is lost with the handle;
//   - bytes of an upload cannot be read back: the state of the running hash is stored at each resume
//     point, and a trim goes to such a point only;
//   - a serve decision is a URL that expires.
//
//   struct memory_blobs *m = memory_blobs_new();
//   struct blob_store *bs;
//   memory_blobs_open(m, &bs);           // as often as wanted: each is one process
//   …
//   blob_store_close(bs);
//   memory_blobs_free(m);
//
// Any thread. One lock guards all.
#ifndef MERIDIAN_TESTS_MEMORY_BLOBS_H
#define MERIDIAN_TESTS_MEMORY_BLOBS_H

#include "store/blob.h"

struct memory_blobs;

#define MEMORY_BLOBS_URL "https://blobs.example.test/"
#define MEMORY_BLOBS_URL_MS 300000

struct memory_blobs *memory_blobs_new(void);
void memory_blobs_free(struct memory_blobs *m); // no store of it is open any more
int memory_blobs_open(struct memory_blobs *m, struct blob_store **out);
// Changes each byte of a blob; its size stays.
void memory_blobs_damage(struct memory_blobs *m, const struct blob_name *name);

#endif
