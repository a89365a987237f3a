// SPDX-License-Identifier: Apache-2.0
// A page of a snapshot (store/meta_snapshot.h) on the wire, on both ends: lines of JSON, each ended
// by one line feed. The first is its head, the last its foot; between them are entries, as lines of
// a feed have them (store/entry.h):
//
//   {"snapshot":1,"origin":"eastus","registry":"contoso@42","at":CURSOR,"topology":57,"chain":["7",HASH],"of":12}
//   {"v":2,"body":…}
//   {"entries":1,"looked":12,"next":TEXT}
//
// "at": the place up to which the snapshot goes. "chain": in the first page, the number of the
// origin's last entry in the registry at that place and the hash of its body; that entry is then
// the first line behind the head; "0" and zeros: there is none. "of", in the first page: how many
// entries of the feed all pages stand for; may be left out. "floor": the region's floor of the registry;
// left out: none. "looked": entries of the feed that
// this page stands for. "next": what to ask for the next page with, "" at the end. A page without
// its foot counts for nothing. Members that are not known are passed over.
//
// snapshot_line_accept is the whole of what a joining region believes of a page: nothing it refused
// reaches the store. Pure; one `struct page_rules` per page.
//
//   struct page_rules rules = {.feed = {…}, .registry = "contoso", .first = true};
//   for each line: rc = snapshot_line_accept(&rules, line, &arena, &l, &why);
//   …and the page is whole when rules.ended
#ifndef MERIDIAN_REPLICATION_SNAPSHOT_PAGE_H
#define MERIDIAN_REPLICATION_SNAPSHOT_PAGE_H

#include "replication/feed_line.h"
#include "store/meta_snapshot.h"

#define SNAPSHOT_ENTRIES_MAX 1000        // of one page
#define SNAPSHOT_PAGE_BYTES (1u << 20)   // behind which this implementation ends a page
#define SNAPSHOT_TEXT_MAX (4u << 20)     // a page, with all its lines
#define SNAPSHOT_NEXT_SIZE 1025          // of "next", and NUL
#define SNAPSHOT_LINE_MAX ENTRY_LINE_MAX // each line

struct page_head {
    const char *origin, *registry;
    struct feed_mark at;
    uint64_t topology;
    // what follows is there
    bool first;
    uint64_t chain_seq;
    uint8_t chain_hash[ENTRY_HASH_BYTES];
    // 0: not said
    uint64_t of;
    // of the region that sends, 0: none
    uint64_t floor;
};

struct page_foot {
    uint64_t n_entries, looked;
    // "": there is no further page
    const char *next;
};

int snapshot_head_format(const struct page_head *h, struct buf *out);
int snapshot_foot_format(const struct page_foot *f, struct buf *out);

// "next" as text, and back. ERR_INVAL: it is none. Only the region that serves looks inside.
int snapshot_next_format(const struct snapshot_at *at, char out[SNAPSHOT_NEXT_SIZE]);
int snapshot_next_parse(const char *text, struct arena *a, struct snapshot_at *out);
// What a reader may keep and give back.
bool snapshot_next_ok(const char *text);

enum page_line_kind { SNAPSHOT_HEAD, SNAPSHOT_ENTRY, SNAPSHOT_FOOT };

struct page_line {
    enum page_line_kind kind;
    struct page_head head;
    struct feed_entry entry;
    struct page_foot foot;
};

struct page_rules {
    // topology, self, origin, verify and limit are used, as for lines of its feed. The origin itself
    // is who sends. `vouched`: of a revoked key that is enough for what lies before the place of the
    // revocation; else nothing that such a key signed is taken
    struct feed_rules feed;
    // the key that was asked for
    const char *registry;
    // the place that was asked for; NULL: the page chooses
    const struct feed_mark *at;
    // the first page was asked for
    bool first;

    // --- kept by snapshot_line_accept: {0} at first ---
    bool begun, ended;
    struct feed_mark upto;
    uint64_t n_entries;
    uint64_t chain_seq;
    uint8_t chain_hash[ENTRY_HASH_BYTES];
    uint64_t of;
    uint64_t floor;
};

// `line` is without its line feed. ERR_PROTO (malformed, out of place, not what was asked for),
// ERR_AUTH (signature or key, or a key that is revoked), ERR_AHEAD (an entry of the future: the
// whole page has to wait), ERR_NOMEM; *out_why is a sentence for the log, static.
int snapshot_line_accept(struct page_rules *rules, struct bytes line, struct arena *a,
                         struct page_line *out, const char **out_why);

#endif
