// SPDX-License-Identifier: Apache-2.0
// The text of a word (replication/words.h), read and judged by itself: form, bounds and grammar of all
// that is in it. Whose signature it is, and what the words are about, is its taker's.
//
//   struct word_page page;
//   rc = word_page_read(body, &page);       // ERR_PROTO: malformed
//   …
//   word_page_done(&page);
//
// Pure; one owner.
#ifndef MERIDIAN_REPLICATION_WORD_PAGE_H
#define MERIDIAN_REPLICATION_WORD_PAGE_H

#include "base/bytes.h"
#include "store/entry.h"
#include "store/meta_words.h"

#include <jansson.h>
#include <stdbool.h>

#define WORDS_ROWS_MAX 512     // registries in one request; a region with more sends several
#define WORDS_BODY_MAX 2097152 // bytes of one request

struct word_page {
    json_t *doc;
    // of doc: {key: {"floor","applied","seals"?}}, at most WORDS_ROWS_MAX
    json_t *rows;
    bool promises;
    struct promise promise;
    char key[ENTRY_KEY_SIZE];
    uint8_t sig[ENTRY_SIG_BYTES];
};

// ERR_PROTO, ERR_NOMEM: there is nothing to free.
int word_page_read(struct bytes body, struct word_page *out);
void word_page_done(struct word_page *p);

// A decimal text from 0 to 2^63 - 1.
bool word_stamp_parse(const json_t *text, uint64_t *out);
json_t *word_stamp_json(uint64_t stamp);
// What an origin signs of its promise.
int word_text(const char *origin, const struct promise *p, struct buf *out);

#endif
