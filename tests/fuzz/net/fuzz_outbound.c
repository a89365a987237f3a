// SPDX-License-Identifier: Apache-2.0
// A URL, and what a redirect says: first line and second line of the input. Whatever comes, what is
// called is https to the host that was judged: what the guard writes for libcurl is read by libcurl
// as the same host and port, without a user. The first 16 bytes also count as an address: one that
// leads to a loopback or private address in any dress is refused.
#include "net/outbound_priv.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *part_of(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    curl_url_get(u, part, &text, CURLU_DEFAULT_PORT);
    return text;
}

static void judge_url(const struct outbound_url *url)
{
    struct outbound_url again;
    const char *why;
    if (strncmp(url->text, "https://", 8) || strlen(url->text) >= sizeof url->text || !url->port)
        abort();
    // its own form is read again, if the length still allows it
    if (!outbound_url_parse(url->text, &again, &why) &&
        (strcmp(again.text, url->text) || again.port != url->port || strcmp(again.host, url->host)))
        abort();
    CURLU *u = curl_url();
    if (!u || curl_url_set(u, CURLUPART_URL, url->text, CURLU_PATH_AS_IS))
        abort();
    char *host = part_of(u, CURLUPART_HOST), *port = part_of(u, CURLUPART_PORT),
         *user = part_of(u, CURLUPART_USER), *fragment = part_of(u, CURLUPART_FRAGMENT);
    if (!host || !port || user || fragment || atoi(port) != url->port)
        abort();
    size_t n = strlen(url->host);
    const char *plain = host;
    if (*plain == '[')
        plain++;
    if (strncmp(plain, url->host, n) || (plain[n] && strcmp(plain + n, "]")))
        abort();
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

static void judge_address(const uint8_t *p)
{
    static const struct outbound nobody = {0};
    struct ip ip;
    memcpy(ip.b, p, sizeof ip.b);
    const uint8_t *v4 = NULL;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (!memcmp(ip.b, mapped, 12) || !memcmp(ip.b, nat64, 12))
        v4 = ip.b + 12;
    else if (ip.b[0] == 0x20 && ip.b[1] == 0x02)
        v4 = ip.b + 2;
    bool inside = (ip.b[0] & 0xe0) != 0x20;
    if (v4)
        inside = v4[0] == 10 || v4[0] == 127 || v4[0] == 0 || v4[0] >= 224 ||
                 (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254) ||
                 (v4[0] == 172 && (v4[1] & 0xf0) == 16) || (v4[0] == 100 && (v4[1] & 0xc0) == 64);
    if (inside && !outbound_judge(&nobody, &ip))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2 * OUTBOUND_URL_MAX_BYTES)
        return 0;
    if (size >= 16)
        judge_address(data);
    AUTO_FREE char *text = mem_strndup((const char *)data, size);
    AUTO_FREE struct outbound_url *url = mem_zalloc(sizeof *url), *next = mem_zalloc(sizeof *next);
    const char *why = NULL;
    if (!text || !url || !next)
        abort();
    char *line = strchr(text, '\n');
    if (line)
        *line++ = 0;
    (void)outbound_proxy_ok(text);
    if (outbound_url_parse(text, url, &why)) {
        if (!why)
            abort();
        return 0;
    }
    judge_url(url);
    if (line && !outbound_url_follow(url, line, next, &why))
        judge_url(next);
    return 0;
}
