// SPDX-License-Identifier: Apache-2.0
// What clients see of a registry, subject by subject, as digests that two regions compare. Part of
// store/meta.h, whose opening lines hold here too.
//
//   struct shown_item items[1000];
//   rc = meta_shown_walk(m, "contoso", "app", NULL, 1000, items, &n, &at_end);
//   … shown_sum_add(&sum, &items[i]) for each …
//   rc = meta_shown_walk(m, "contoso", "app", &items[n - 1].subject, …     // while not at_end
//
// A subject is a repository, a manifest or a tag of it. It is shown while it lives (store/liveness.h)
// or, of a repository, while it is locked. Its text says what clients see and which writes made it
// so: two regions that have applied the same entries have the same text, whatever order the entries
// came in. Tombstones, history and values that lost are not in it: regions drop those at different
// times. The text, in lines that end in "\n":
//
//   manifest sha256:…       tag NAME                    repository
//   value STAMP ORIGIN EPOCH MEDIATYPE ABSENT           of a manifest that is asserted
//   value DIGEST STAMP ORIGIN EPOCH CREATEONLY GENERATION        of a tag
//   lock STAMP ORIGIN EPOCH WRITE DELETE                of a valid lock that refuses something
//
// Numbers are decimal, flags 0 or 1, ABSENT the bitmap in hex or "-". A subject's hash is the SHA-256
// of its text. The digest of a set is the sum of its hashes as numbers of 256 bits, the last byte the
// lowest, modulo 2^256: in no order. It finds what chance and faults do, and is no proof against a
// region that lies.
//
// Subjects are ordered: the repository, manifests by algorithm and bytes of their digest, tags by
// their bytes. A walk reads a page at a time and holds nothing between pages, so that its pages are
// of different moments while clients write.
#ifndef MERIDIAN_STORE_META_SHOWN_H
#define MERIDIAN_STORE_META_SHOWN_H

#include "base/bytes.h"
#include "base/digest.h"
#include "store/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

#define SHOWN_TAG_SIZE 129                         // the longest tag, and NUL
#define SHOWN_NAME_SIZE (DIGEST_TEXT_SIZE + 16)    // of shown_subject_format
#define SHOWN_SUM_TEXT_SIZE (2 * SHA256_BYTES + 1) // of a sum or a hash in hex

struct shown_subject {
    // SUBJECT_REPOSITORY, SUBJECT_MANIFEST or SUBJECT_TAG
    enum entry_subject kind;
    // of a manifest; else n is 0
    struct digest digest;
    // of a tag; else ""
    char tag[SHOWN_TAG_SIZE];
};

struct shown_item {
    struct shown_subject subject;
    uint8_t hash[SHA256_BYTES];
};

// {0}: of nothing.
struct shown_sum {
    uint64_t n;
    uint8_t b[SHA256_BYTES];
};

// --- pure ---

int shown_subject_order(const struct shown_subject *a, const struct shown_subject *b);
// "repository:", "manifest:sha256:…", "tag:NAME".
const char *shown_subject_format(const struct shown_subject *s, char out[SHOWN_NAME_SIZE]);
// ERR_INVAL.
int shown_subject_parse(const char *text, struct shown_subject *out);
void shown_sum_add(struct shown_sum *sum, const struct shown_item *item);
bool shown_sum_equal(const struct shown_sum *a, const struct shown_sum *b);

// --- of the store ---

// The subjects of a repository that are shown, after `after` (NULL: from the first), in order, at
// most max (above 0), as one moment has them. *out_end: there are no more. An unknown repository has
// none.
int meta_shown_walk(struct meta *m, const char *registry, const char *repository,
                    const struct shown_subject *after, size_t max, struct shown_item *out,
                    size_t *out_n, bool *out_end);

#endif
