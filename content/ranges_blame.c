// SPDX-License-Identifier: Apache-2.0
// Ranges that are wrong together: who gave which; see ranges.h. On the leader's thread.
#include "content/ranges_priv.h"

#include "base/err.h"
#include "base/mem.h"

// Who gave all chunks; NULL: several, or an earlier fetch.
const struct source *ranges_giver(const struct ranges *rs)
{
    for (size_t i = 0; i < rs->n_chunks; i++)
        if (rs->givers[i] == GIVER_NONE || rs->givers[i] != rs->givers[0])
            return NULL;
    return rs->get->want->sources[rs->givers[0]];
}

static int chunk_sum(uint8_t *piece, size_t n, struct digest *out)
{
    return digest_of(DIGEST_SHA256, piece, n, out);
}

void ranges_wrong(struct ranges *rs)
{
    const struct source *only = ranges_giver(rs);
    bool blamed = only && only == rs->get->want->sources[rs->leads]; // by who asked it
    if (rs->sums || blamed || !ranges_all_here(rs))
        return;
    AUTO_FREE uint8_t *piece = mem_alloc(BLOB_CHUNK_BYTES);
    AUTO_FREE struct digest *sums = mem_zalloc_array(rs->n_chunks, sizeof *sums);
    if (!piece || !sums)
        return;
    const _Atomic bool *stop = blob_get_stop(rs->get);
    for (size_t i = 0; i < rs->n_chunks; i++) {
        size_t n = (size_t)(chunk_end(rs, i) - chunk_at(i));
        if (*stop || blob_upload_read(rs->get->upload, chunk_at(i), piece, n) ||
            chunk_sum(piece, n, &sums[i]))
            return;
    }
    rs->sums = take_ptr(sums);
}

// Is it what was given for that chunk?
static bool is_as_given(const struct ranges *rs, struct blob_reader *right, size_t i,
                        uint8_t *piece)
{
    struct digest sum;
    size_t n = 0, want = (size_t)(chunk_end(rs, i) - chunk_at(i));
    int rc = blob_reader_read(right, chunk_at(i), piece, want, &n);
    if (!rc)
        rc = chunk_sum(piece, n, &sum);
    return rc || (n == want && digest_equal(&sum, &rs->sums[i]));
}

void ranges_judge(struct ranges *rs, const struct blob_name *right)
{
    if (!rs->sums)
        return;
    const struct content_want *w = rs->get->want;
    bool blamed[UINT8_MAX + 1] = {0};
    struct blob_reader *reader = NULL;
    AUTO_FREE uint8_t *piece = mem_alloc(BLOB_CHUNK_BYTES);
    if (!piece || blob_reader_open(rs->get->content->blobs, right, &reader))
        return;
    const _Atomic bool *stop = blob_get_stop(rs->get);
    for (size_t i = 0; i < rs->n_chunks && !*stop; i++) {
        size_t giver = rs->givers[i];
        if (giver == GIVER_NONE || blamed[giver] || is_as_given(rs, reader, i, piece))
            continue;
        char error[CONTENT_TEXT_SIZE];
        struct content_ask ask = ranges_ask(rs);
        source_wrong(w->sources[giver], &ask, error); // invariant 4
        blamed[giver] = true;
    }
    blob_reader_close(reader);
}
