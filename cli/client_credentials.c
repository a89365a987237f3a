// SPDX-License-Identifier: Apache-2.0
// `meridian client-config credentials`: what kubelet runs as its credential provider. It answers with
// a user's or a token's name and the password in a file, for the hosts that its arguments name and
// no others; it calls nobody. `client-config kubelet` writes the settings that run it.
#include "cli/client_config.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/credential_request.h"

#include <stdio.h>
#include <string.h>

static bool host_in(const char *list, const char *host)
{
    size_t n = strlen(host);
    for (const char *p = list; *p;) {
        size_t len = strcspn(p, ",");
        if (len == n && !strncmp(p, host, n))
            return true;
        p += len;
        if (*p)
            p++;
    }
    return false;
}

static int request_read(struct credential_request *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CREDENTIAL_REQUEST_MAX_BYTES);
    int rc = file_read("/dev/stdin", CREDENTIAL_REQUEST_MAX_BYTES, &b);
    if (!rc)
        rc = credential_request_parse(buf_cstr(&b), b.n, out);
    if (!rc)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED,
                    "standard input is no CredentialProviderRequest of kubelet (v1): %s",
                    err_text(rc));
}

static int answer(struct cli *c, const struct credential_request *q)
{
    char *password = cli_password(c);
    if (!password)
        return EXIT_FAILED;
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:{s:{s:s, s:s}}}", "apiVersion", q->api_version,
                            "kind", "CredentialProviderResponse", "cacheKeyType", "Registry",
                            "cacheDuration", CLIENT_CREDENTIALS_FOR, "auth", q->host, "username",
                            c->username, "password", password);
    explicit_bzero(password, strlen(password));
    free(password);
    return cli_print_json(c, doc);
}

int client_credentials(struct cli *c, int argc, char **argv)
{
    const char *hosts = NULL;
    struct credential_request q;
    const struct opt rows[] = {
        {0, "hosts", "LIST", "hosts of images that are answered for, by comma", &hosts, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!hosts || !c->username || !c->password_file)
        return cli_fail(EXIT_USAGE, "client-config credentials: give --hosts, --username and "
                                    "--password-file");
    rc = request_read(&q);
    if (rc)
        return rc;
    if (!host_in(hosts, q.host))
        return cli_fail(EXIT_DENIED, "%s is none of the hosts of --hosts", q.host);
    return answer(c, &q);
}
