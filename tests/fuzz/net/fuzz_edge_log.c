// SPDX-License-Identifier: Apache-2.0
// A record of nginx's log, whatever is in it: the line is bounded, printable, without a query; and
// a signature in it is not shown, wherever in a record it stands. A record of the access log is a
// line of JSON, or none.
#include "net/edge_access.h"
#include "net/edge_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char query[] = "?sig=", secret[] = "SeCrEt0123";

static void judge(const uint8_t *record, size_t n, char line[EDGE_LOG_LINE_MAX])
{
    uint8_t *exact = malloc(n ? n : 1); // its own block: a read past the end is seen
    if (!exact)
        abort();
    for (size_t i = 0; i < n; i++)
        exact[i] = record[i];
    memset(line, 0x55, EDGE_LOG_LINE_MAX);
    enum log_level level = edge_log_clean(exact, n, line);
    free(exact);
    if (level > LOG_ERROR || !memchr(line, 0, EDGE_LOG_LINE_MAX))
        abort();
    for (const char *c = line; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '?')
            abort();
    if (strstr(line, "sig="))
        abort();
}

// The same bytes as a record of the access log: a line of JSON that ends, with nothing in it that
// needs an escape.
static void judge_access(const uint8_t *record, size_t n)
{
    char line[EDGE_ACCESS_LINE_MAX];
    size_t line_n = 0;
    if (!edge_access_format(record, n, line, &line_n))
        return;
    if (!line_n || line_n > sizeof line || line[line_n - 1] != '\n')
        abort();
    for (size_t i = 0; i + 1 < line_n; i++)
        if (line[i] < ' ' || line[i] > '~' || line[i] == '?' || line[i] == '\\')
            abort();
    if (memmem(line, line_n, "sig=", 4))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t record[EDGE_LOG_RECORD_MAX];
    char line[EDGE_LOG_LINE_MAX];
    if (size > sizeof record - sizeof query - sizeof secret)
        return 0;
    judge(data, size, line);
    judge_access(data, size);
    if (memmem(data, size, secret, sizeof secret - 1))
        return 0;
    size_t at = size ? data[size - 1] * size / 256 : 0, n = 0;
    memcpy(record, data, at);
    n = at;
    memcpy(record + n, query, sizeof query - 1);
    n += sizeof query - 1;
    memcpy(record + n, secret, sizeof secret - 1);
    n += sizeof secret - 1;
    memcpy(record + n, data + at, size - at);
    judge(record, n + size - at, line);
    if (strstr(line, secret))
        abort();
    return 0;
}
