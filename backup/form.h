// SPDX-License-Identifier: Apache-2.0
// backup.json: what a backup is. JSON, with a hash of itself:
//
//   {"format":1, "program":"0.1.0", "schema":13, "region":"eastus", "at":"2026-11-30T…Z",
//    "epoch":4, "head":{"epoch":4,"seq":17}, "read":[{"origin":"westeurope","epoch":2,"seq":9}],
//    "counts":{"repositories":…,"manifests":…,"tags":…,"entries":…,"blobs":…,"blobBytes":…},
//    "missing":["sha256:…"], "keys":false,
//    "files":[{"path":"meta/meta.db","bytes":…,"sha256":"…","mode":"600"}, …],
//    "hash":"…"}
//
// The hash is the SHA-256 of the document without it, with its members sorted and without blanks.
// The folder of a backup (`meridian backup --to DIR`), 0700:
//   backup.json
//   files/<sha256>              the files that it lists, 0600: metadata, state, keys
//   blobs/sha256/ab/<hex>       the blobs that the metadata names; sha512 likewise
// A path is that below the data folder.
#ifndef MERIDIAN_BACKUP_FORM_H
#define MERIDIAN_BACKUP_FORM_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/digest.h"
#include "store/sqlite/sqlite_copy.h"

#include <stdbool.h>
#include <stdint.h>

#define BACKUP_FORMAT 1
#define BACKUP_META "meta/meta.db"
#define BACKUP_FORM_MAX (64u << 20)

struct backup_file {
    const char *path;
    uint64_t bytes;
    uint8_t sha256[SHA256_BYTES];
    unsigned mode;
};

struct backup_form {
    // the release that made it
    const char *program;
    // of the metadata; wall
    struct sqlite_facts facts;
    int64_t at_ms;
    // blobs that the metadata names and the region did not have
    const struct digest *missing;
    size_t n_missing;
    // keys/ and certs/ are in it
    bool keys;
    const struct backup_file *files;
    size_t n_files;
};

// Of two digests, as the metadata and `missing` have them: by algorithm, then by bytes.
int backup_digest_order(const void *a, const void *b);
int backup_form_write(const struct backup_form *f, struct buf *out);
// ERR_CORRUPT: no such document, or its hash differs; ERR_VERSION: of a later form.
int backup_form_read(struct bytes text, struct arena *a, struct diag *diag,
                     struct backup_form *out);
// NULL: it is not in it.
const struct backup_file *backup_form_find(const struct backup_form *f, const char *path);

#endif
