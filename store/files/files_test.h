// SPDX-License-Identifier: Apache-2.0
// Hooks for tests of the file backend; no product code includes this header.
#ifndef MERIDIAN_STORE_FILES_FILES_TEST_H
#define MERIDIAN_STORE_FILES_FILES_TEST_H

#include "store/files/files_priv.h"

#include "base/mem.h"

// The blob's file, whether or not it is there; `dir` is the store's. Freed by the caller.
static inline char *files_test_path(const char *dir, const struct blob_name *name)
{
    char text[FILE_NAME_SIZE];
    file_name(name, text);
    return mem_printf("%s/blobs/%s/%.2s/%s", dir,
                      digest_alg_name((enum digest_alg)name->digest.alg), text, text);
}

// bytes that were read back from growing files
static inline uint64_t files_test_redigested(struct blob_store *bs)
{
    return file_store_of(bs)->redigested_bytes;
}

// Is any upload open?
static inline bool files_test_any_open(struct blob_store *bs)
{
    return file_store_of(bs)->open;
}

#endif
