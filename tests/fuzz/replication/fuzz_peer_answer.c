// SPDX-License-Identifier: Apache-2.0
// Answers of another region to small questions. What is read keeps to its bounds, and a place reads
// back as it was written.
#include "replication/clock_track.h"
#include "replication/cursor.h"
#include "replication/peer_answer.h"
#include "replication/speech.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mark_check(const struct feed_mark *mark)
{
    char text[CURSOR_TEXT_SIZE];
    struct feed_mark again;
    if (cursor_parse(cursor_format(mark, text), &again) || !mark_equal(mark, &again))
        abort();
}

static void refusal_check(const char *text)
{
    size_t n = strnlen(text, REFUSAL_SIZE);
    if (n == REFUSAL_SIZE)
        abort();
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes body = bytes_of(data, size);
    struct feed_mark mark;
    int64_t wall_ms;
    unsigned speaks;
    bool stored;
    char refusal[REFUSAL_SIZE];
    if (!answer_mark(body, &mark))
        mark_check(&mark);
    if (!answer_clock(body, &wall_ms, &speaks) &&
        (wall_ms < 0 || wall_ms > CLOCK_WALL_MAX_MS || speaks < SPEECH_OLD || speaks > SPEECH_NOW))
        abort();
    (void)answer_stored(body, &stored);
    answer_refusal(body, refusal);
    refusal_check(refusal);
    return 0;
}
